"""`pm job show`: the whole story of a job on one screen."""

from decimal import Decimal
from typing import Any

from agentos.control.plain import clean, one_line
from pm.output import field, paint, say, say_json, size, span, when
from pm.transcript import count_tools

_SHORT = 300
_LANES = ("urgent", "normal", "background")
_Story = dict[str, Any]


def print_story(story: _Story, *, as_json: bool) -> None:
    """Print all that is known of a job."""
    story["tools"] = count_tools(story["job"]["id"])
    if as_json:
        say_json(story)
        return
    _print_head(story)
    _print_origin(story)
    _print_work(story)
    _print_outcome(story)


def _print_head(story: _Story) -> None:
    job = story["job"]
    say(f"Job {job['id']} · {one_line(job['title'])}")
    waits = ", ".join(map(str, story["waits_for"]))
    field("state", paint(job["state"]) + (f" (waits for job {waits})" if waits else ""))
    field("priority", f"P{job['priority']}, {_LANES[job['lane']]} lane")
    took = span(job["created_at"], job["finished_at"])
    field("added", when(job["created_at"]) + (f", ended after {took}" if took else ""))
    field("due", when(job["run_at"]))


def _print_origin(story: _Story) -> None:
    job, message, task, plan = (story[name] for name in ("job", "message", "task", "plan"))
    if message:
        field("asked", f"“{one_line(message['text'], width=_SHORT)}” ({message['conversation']})")
        if message["reason"]:
            field("why", f"{message['outcome']}: {message['reason']} ({message['triaged_by']})")
    field("project", job["project"] or "")
    if plan:
        field("plan", f"{plan['id']} · {one_line(plan['title'])} ({plan['state']})")
    if task:
        field("task", f"{task['id']} · {one_line(task['title'])} ({task['state']})")
        for review in task["reviews"]:
            verdict = "passed" if review["passed"] else "not passed"
            field("review", f"{verdict}, {review['score']} by {review['model']}")
    for needed in story["needs"]:
        field("needs", f"{needed['id']} · {one_line(needed['title'])} ({needed['state']})")
    if not message or message["text"] != job["prompt"]:
        field("prompt", _short(job["prompt"]))


def _print_work(story: _Story) -> None:
    job = story["job"]
    runs_on = [job["backend"], job["model"], job["persona"], *job["skills"]]
    wanted = f"worker {story['wants_worker']}" if story["wants_worker"] else None
    field("runs on", " · ".join(one for one in (*runs_on, wanted) if one))
    for run in story["runs"]:
        took = span(run["started_at"], run["finished_at"])
        parts = [
            run["state"],
            f"worker {run['worker']}",
            run["model"],
            when(run["started_at"]),
            took,
            one_line(run["detail"] or "", width=_SHORT),
        ]
        field(f"run {run['number']}", " · ".join(part for part in parts if part))
    field("tools", " · ".join(f"{name} {count}" for name, count in story["tools"].items()))
    used = story["usage"]
    if used["input_tokens"] or used["output_tokens"]:
        cost = Decimal(used["cost_usd"])
        tokens = f"{used['input_tokens']:,} tokens in, {used['output_tokens']:,} out"
        field("used", f"{tokens}, ${cost:.4f}")


def _print_outcome(story: _Story) -> None:
    job = story["job"]
    for card in story["cards"]:
        answer = f" → {card['answer']}" if card["answer"] else f" ({card['state']})"
        field("card", one_line(card["question"], width=_SHORT) + answer)
    for file in story["artefacts"]:
        field("file", f"{one_line(file['name'])} ({size(file['size'])}) {one_line(file['path'])}")
    for row in story["said"]:
        text = one_line(row["text"] or row["file_path"] or "", width=80)
        field("said", f"{when(row['sent_at'] or row['created_at'])} “{text}” ({row['state']})")
    field("error", job["error"] or "")
    if job["result"]:
        say()
        say(clean(job["result"]).strip())


def _short(text: str) -> str:
    """The beginning of a prompt."""
    text = clean(text).strip()
    return text if len(text) <= 2 * _SHORT else text[: 2 * _SHORT] + "… (--json shows all)"
