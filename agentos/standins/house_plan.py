"""The house model's plans: research, an optional comparison, writing it up."""

import re
from typing import Any

_REQUEST = re.compile(r"<request>\n?(.*?)\n?</request>", re.DOTALL)
_CHANGE = re.compile(r"<change>\n?(.*?)\n?</change>", re.DOTALL)
_DROPPED = re.compile(r"\b(drop|skip|without|remove|leave out|no)\b", re.IGNORECASE)
_COMPARED = re.compile(r"\b(compare|versus|vs|options?|choose|best|alternatives?)\b", re.IGNORECASE)

Json = dict[str, Any]


def answer(prompt: str) -> Json:
    """The plan for the request in a prompt, changed as the last <change> in it wishes."""
    request = _marked(_REQUEST, prompt) or prompt.strip()
    change = _marked(_CHANGE, prompt)
    topic = _shortened(request, limit=70)
    steps = [_research(request, topic), _writing(request, topic, after=[0])]
    if _COMPARED.search(request):
        steps = _with_comparison(steps, request, topic)
    if change:
        steps = _changed(steps, request, change)
    goal = _shortened(request, limit=400)
    return {
        "goal": f"{goal} (changed: {_shortened(change, limit=150)})" if change else goal,
        "steps": steps,
        "risks": ["Drafted by the built-in stand-in: the steps are generic."],
        "asks": [],
    }


def _research(request: str, topic: str) -> Json:
    prompt = f"Collect the facts that this needs, with where each comes from: {request}"
    return _step(f"Research: {topic}", "research", prompt, after=[], minutes=4)


def _writing(request: str, topic: str, *, after: list[int]) -> Json:
    prompt = f"Write the result up in one clear document, ready to be used: {request}"
    return _step(f"Write up: {topic}", "writing", prompt, after=after, minutes=5)


def _with_comparison(steps: list[Json], request: str, topic: str) -> list[Json]:
    prompt = f"Set the options side by side and say which is best and why: {request}"
    comparison = _step(f"Compare: {topic}", "research", prompt, after=[0], minutes=3)
    return [steps[0], comparison, _writing(request, topic, after=[0, 1])]


def _changed(steps: list[Json], request: str, change: str) -> list[Json]:
    """Drop the last step of several when the change takes away, else add what it asks for."""
    if _DROPPED.search(change) and len(steps) > 1:
        return [{**step, "prompt": _noted(step, change)} for step in steps[:-1]]
    prompt = f"Do this as part of the whole ({_shortened(request, limit=400)}): {change}"
    title = f"As asked: {_shortened(change, limit=70)}"
    return [*steps, _step(title, "writing", prompt, after=[len(steps) - 1], minutes=4)]


def _noted(step: Json, change: str) -> str:
    return f"{step['prompt']}\nThe owner changed the plan: {_shortened(change, limit=400)}"


def _step(title: str, kind: str, prompt: str, *, after: list[int], minutes: int) -> Json:
    return {
        "title": title,
        "kind": kind,
        "prompt": prompt[:8000],
        "after": after,
        "minutes": minutes,
        "cost_usd": 0,
    }


def _marked(pattern: re.Pattern[str], prompt: str) -> str:
    found = pattern.findall(prompt)
    return str(found[-1]).strip() if found else ""


def _shortened(text: str, *, limit: int) -> str:
    plain = " ".join(text.split())
    return plain if len(plain) <= limit else plain[: limit - 1].rstrip() + "…"
