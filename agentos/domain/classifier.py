"""The local triage: plain rules that decide when no model can be asked. Pure, no I/O.

It errs towards answering: work is started only on a clear request, and only small work.
"""

import re
from datetime import datetime

from agentos.domain.triage import (
    BigWork,
    Clarify,
    Defer,
    QuickWork,
    Respond,
    Triage,
)
from agentos.domain.when import find_time
from agentos.domain.work import TaskKind

_REMIND = re.compile(
    r"\b(remind me|reminder|erinner\w* mich|don'?t let me forget|ping me)\b", re.IGNORECASE
)
_BIG = re.compile(
    r"\b(plan (?:a|an|the|my|out)|build (?:me )?(?:a|an|the)|launch|redesign|migrate|"
    r"step by step|end[- ]to[- ]end|whole|entire|complete|full|research and|compare .* and .* and|"
    r"organi[sz]e (?:a|an|my|the)|set up (?:a|an|my|the))\b",
    re.IGNORECASE,
)
_KINDS: tuple[tuple[TaskKind, re.Pattern[str]], ...] = (
    (
        TaskKind.code,
        re.compile(
            r"\b(code|script|function|bug|refactor|python|test suite|program|regex|sql)\b", re.I
        ),
    ),
    (
        TaskKind.extraction,
        re.compile(r"\b(extract|parse|pull out|convert|csv|spreadsheet|table of)\b", re.I),
    ),
    (
        TaskKind.writing,
        re.compile(
            r"\b(write|draft|compose|rewrite|translate|summari[sz]e|summary|note|letter|post|poem)\b",
            re.I,
        ),
    ),
    (
        TaskKind.research,
        re.compile(r"\b(research|find|look up|search|compare|investigate|check|list)\b", re.I),
    ),
    (
        TaskKind.ops,
        re.compile(r"\b(run|install|clean up|rename|move|download|back ?up|deploy|make)\b", re.I),
    ),
)
_ASKS = re.compile(
    r"^(?:please|pls|can you|could you|would you|kindly|now|hey|also|then)\b[ ,]*", re.I
)
_VAGUE = re.compile(
    r"^(?:fix|do|handle|change|sort out|deal with|improve|update|make) (?:it|this|that|the thing|"
    r"things|stuff|something)(?: better)?[.! ]*$",
    re.IGNORECASE,
)


def classify(text: str, *, now: datetime) -> Triage:
    """Decide by rules what a message is. `now` must be aware, in the owner's zone."""
    plain = " ".join(text.split())
    request = _strip_politeness(plain)
    if _REMIND.search(plain):
        return _reminder(plain, now=now)
    if _VAGUE.match(request):
        return _triage(
            "too vague to start on",
            Clarify(
                outcome="clarify",
                question="What exactly should I work on?",
                options=["The last thing we spoke of", "Something new, I'll describe it"],
            ),
        )
    kind = _kind(request)
    if kind is None:
        return _triage("no clear request for work", Respond(outcome="respond"))
    title = request[:80].rstrip(" .!?") or "A task"
    if _BIG.search(request):
        return _triage(
            "reads like several steps",
            BigWork(outcome="big_work", title=title, request=plain[:8000]),
        )
    work = QuickWork(outcome="quick_work", title=title, kind=kind, prompt=plain[:8000])
    return _triage(f"a clear request ({kind.value})", work)


def _triage(reason: str, decision: Respond | QuickWork | BigWork | Clarify | Defer) -> Triage:
    return Triage(reason=reason, decision=decision)


def _strip_politeness(text: str) -> str:
    previous = ""
    while previous != text:
        previous, text = text, _ASKS.sub("", text, count=1)
    return text


def _kind(request: str) -> TaskKind | None:
    """The kind of work that a request opens with, or None when it does not ask for work."""
    if request.endswith("?") and re.match(
        r"(?i)(who|what|when|where|why|how|is|are|do|does)\b", request
    ):
        return None
    opening = " ".join(request.split()[:4])
    if not any(pattern.search(opening) for _, pattern in _KINDS) and not _BIG.search(opening):
        return None
    return next((kind for kind, pattern in _KINDS if pattern.search(request)), TaskKind.ops)


def _reminder(text: str, *, now: datetime) -> Triage:
    found = find_time(text, now=now)
    if found is None:
        question = Clarify(
            outcome="clarify",
            question="When should I remind you?",
            options=["In an hour", "This evening at 18:00", "Tomorrow at 9:00"],
        )
        return _triage("a reminder without a time", question)
    what = _REMIND.sub(" ", text.replace(found.words, " "))
    what = re.sub(r"^\W*(?:to|that|about|please)\b|\s+", " ", what).strip(" ,.!;:")
    what = re.sub(r"^(?:to|that|about)\s+", "", what)
    reminder = (what[:1].upper() + what[1:200]) or "You asked me to remind you"
    return _triage(
        "a reminder with a time", Defer(outcome="defer", reminder=reminder[:200], at=found.at)
    )
