"""The house model at work: it looks at the clock, writes one honest report, says where it is."""

import re
from pathlib import PurePosixPath

from agentos.standins.messages.turn import Turn
from agentos.standins.script import Block

_TASK = re.compile(r"<task>\n?(.*?)\n?</task>", re.DOTALL)
_LABELLED = re.compile(r"^\s*(?:Task|Title|Request|Job)(?: \d+)?: (.+)$", re.MULTILINE)
_NOT_A_TITLE = ("<", "Artefacts folder:", "Now:", "---")


def answer(turn: Turn) -> list[Block]:
    """The next message of a job: `date` when there is a shell, then the report, then its name.

    Which one is due is counted from the messages already there, so it holds for any session.
    """
    task = task_of(turn.prompt)
    steps = ["Bash", "Write"] if "Bash" in turn.tools else ["Write"]
    path = str(PurePosixPath(turn.artefacts) / f"{slug(task)}.md")
    if turn.answered >= len(steps):
        return [Block(text=_closing(path, turn))]
    if steps[turn.answered] == "Bash":
        said = "I'll check the date first."
        return [
            Block(text=said),
            Block(tool="Bash", input={"command": "date", "description": "Show the date"}),
        ]
    seen = "" if turn.tool_errors or not turn.tool_results else turn.tool_results[0]
    arguments = {"file_path": path, "content": _report(task, seen=seen)}
    return [Block(text="Writing the report."), Block(tool="Write", input=arguments)]


def task_of(prompt: str) -> str:
    """What a job is about, in one line: the marked task, a labelled line, or the first line."""
    if marked := _TASK.findall(prompt):
        return _first_line(marked[-1])
    if labelled := _LABELLED.search(prompt):
        return _first_line(labelled[1])
    return _first_line(prompt)


def slug(task: str) -> str:
    """A short file name out of a task."""
    words = re.findall(r"[a-z0-9]+", task.lower())
    return "-".join(words[:6])[:60] or "report"


def _first_line(text: str) -> str:
    lines = (line.strip() for line in text.splitlines())
    told = (line.lstrip("# ") for line in lines if line and not line.startswith(_NOT_A_TITLE))
    return next(told, "A task")[:200]


def _report(task: str, *, seen: str) -> str:
    clock = f"\nThe machine's clock said: {seen.strip().splitlines()[0]}\n" if seen.strip() else ""
    return f"""# {task}

> Made by the built-in stand-in model, without a real Claude. The way here was real (a queue, a
> worker process, a tool that wrote this file); the words below are a template.
{clock}
## What was asked

{task}

## How to go about it

1. Say what a good result looks like, in one sentence.
2. Collect what is known, and where it comes from.
3. Make the smallest version that could be used.
4. Show it to somebody, and mend what they stumble over.

## Next

Give agentos a key or a signed-in Claude, and send the same message again.
"""


def _closing(path: str, turn: Turn) -> str:
    if turn.tool_errors:
        return f"I could not write the report: {_first_line(turn.tool_errors[0])}"
    name = PurePosixPath(path).name
    return f"The report is in {name}. It comes from the built-in stand-in, so it is a template."
