"""`pm job logs`: what the rows and the transcript tell, step by step, in plain words."""

import time
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any

from agentos.control.plain import clean, one_line
from pm.call import call
from pm.output import say, say_json
from pm.transcript import TranscriptFile
from pm.zone import local

_PAUSE_SECONDS = 0.4
_MOST_LINES = 8
_WIDEST = 400
_KEPT_WORDS = {
    "job_queued": "queued",
    "job_retried": "you try it again",
    "job_needs": "what it needs has changed",
    "run_running": "its process runs",
    "job_running": "running",
    "job_parked": "parked: it waits for an answer",
    "job_done": "done",
    "job_failed": "failed",
    "job_cancelled": "cancelled",
    "card_opened": "asked you something",
    "card_answered": "you answered",
    "card_expired": "no answer came in time",
    "card_cancelled": "no answer is needed any more",
    "tool_allowed": "you allowed it a tool",
    "tool_refused": "a tool is refused",
    "tool_used": "it uses what you allowed once",
    "tool_revoked": "you took back what you had decided",
}
_Line = dict[str, Any]


def print_logs(job_id: int, *, follow: bool, as_json: bool) -> None:
    """Print all there is; with `follow` go on until the job has ended. Raises NotFound."""
    transcript = TranscriptFile(job_id)
    printer = _Printer(as_json=as_json)
    last_event = 0
    while True:
        started = time.monotonic()
        found = call("job.logs", job=job_id, since_event=last_event)
        took = time.monotonic() - started
        # The transcript is read after the rows: when they say that it has ended, it is whole.
        for line in _in_order([*map(_from_event, found["events"]), *transcript.lines()]):
            printer.print(line)
        if found["events"]:
            last_event = found["events"][-1]["id"]
            continue  # there may be more than one answer holds
        if found["ended"] or not follow:
            break
        # A call is cheap with the daemon up and costs a second of work with it down.
        time.sleep(max(_PAUSE_SECONDS, 4 * took))
    if printer.empty and not as_json:
        say(f"Nothing has happened to job {job_id} yet.")


class _Printer:
    """Prints lines as they come; what is said twice is printed once."""

    def __init__(self, *, as_json: bool) -> None:
        self._as_json = as_json
        self._last_text = ""
        self.empty = True

    def print(self, line: _Line) -> None:
        self.empty = False
        if self._as_json:
            say_json(line, indent=None)
            return
        text = str(line.get("text") or "").strip()
        # A run's result is mostly its last words again.
        if line["kind"] != "result" or text != self._last_text:
            _print(line)
        if line["kind"] == "text":
            self._last_text = text


def words_of(line: _Line) -> str:
    """One line of the log in plain words; several lines where the text has them."""
    text = str(line.get("text") or "")
    match line["kind"]:
        case "event":
            return _event_words(line)
        case "prompt":
            return f"asked: {_some(text)}"
        case "text":
            return text.strip()
        case "tool":
            return f"{line.get('tool')}: {one_line(str(line.get('input') or ''), width=_WIDEST)}"
        case "tool_result":
            failed = "failed: " if line.get("failed") else ""
            return f"→ {failed}{_some(text)}" if text.strip() or failed else ""
        case "result":
            return f"result: {text.strip()}"
        case "error":
            return f"error: {text.strip()}"
        case "session":
            lost = " (the one before was lost)" if line.get("lost") else ""
            return f"session {line.get('session_id')}{lost}"
        case kind:
            return f"{kind}: {text.strip()}".rstrip(": ")


def _event_words(line: _Line) -> str:
    key, data = str(line["key"]), line.get("data") or {}
    match key:
        case "run_started":
            return f"run {data.get('number', '')} started by worker {data.get('worker', '')}"
        case "run_settled":
            detail = f": {data['detail']}" if data.get("detail") else ""
            return f"run ended, {data.get('outcome', '')}{detail}"
        case _:
            words = _KEPT_WORDS.get(key, key.replace("_", " "))
            return f"{words}: {data['error']}" if data.get("error") else words


def _from_event(event: dict[str, Any]) -> _Line:
    return {"kind": "event", **event}


def _in_order(lines: list[_Line]) -> Iterable[_Line]:
    """By time; lines of the same moment stay as they came."""
    return sorted(lines, key=_moment)


def _moment(line: _Line) -> datetime:
    try:
        at = datetime.fromisoformat(str(line.get("at")))
    except ValueError:
        return datetime.max.replace(tzinfo=UTC)
    return at if at.tzinfo else at.replace(tzinfo=UTC)


def _print(line: _Line) -> None:
    words = clean(words_of(line)).strip("\n")
    if not words:
        return
    first, *rest = words.split("\n")
    moment = _moment(line)
    at = f"{local(moment.isoformat()):%H:%M:%S}" if moment.year < datetime.max.year else " " * 8
    say(f"{at}  {first}")
    for more in rest:
        say(f"{'':10}{more}".rstrip())


def _some(text: str) -> str:
    """The beginning of a long text."""
    lines = clean(text).strip().split("\n")
    shown = [one if len(one) <= _WIDEST else one[:_WIDEST] + "…" for one in lines[:_MOST_LINES]]
    if len(lines) > _MOST_LINES:
        shown.append(f"… {len(lines) - _MOST_LINES} more lines (--json shows all)")
    return "\n".join(shown)
