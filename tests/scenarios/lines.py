"""What the model says in a scenario, as rules for the stand-in: each for one of the texts."""

import re
from typing import Any

from agentos.standins.script import Rule

Reply = dict[str, Any]


def text(words: str, **more: Any) -> Reply:
    """Say something."""
    return {"blocks": [{"text": words}], **more}


def bash(command: str) -> Reply:
    """Run a command."""
    return {"blocks": [{"tool": "Bash", "input": {"command": command}}]}


def write(name: str, content: str) -> Reply:
    """Write a file into the artefacts folder."""
    path = "{{artefacts}}/" + name
    return {"blocks": [{"tool": "Write", "input": {"file_path": path, "content": content}}]}


def long_work(seconds: int = 60) -> Reply:
    """Be busy for long. The CLI refuses a bare `sleep`."""
    return bash(f"python3 -c 'import time; time.sleep({seconds})'")


def decides(message: str, outcome: str, *, delay_ms: int = 0, **fields: Any) -> Rule:
    """Triage makes this of a message."""
    decision = {"reason": "as scripted", "decision": {"outcome": outcome, **fields}}
    reply = {"blocks": [{"structured": decision}], "delay_ms": delay_ms}
    return _rule(_message(message), reply, schema_property="decision")


def answers(message: str, *turn: Reply) -> Rule:
    """The chat answers a message with this."""
    return _rule(_message(message), *turn, system="You are agentos, the personal assistant")


def works(title: str, *turn: Reply) -> Rule:
    """A worker does this for the job whose title begins so."""
    return _rule(rf"<task>\n{re.escape(title)}", *turn, tool="Bash")


def quick(message: str, *turn: Reply) -> list[Rule]:
    """A message that is quick work, and how it is done."""
    work: dict[str, Any] = {"title": message, "kind": "writing", "prompt": message}
    return [decides(message, "quick_work", **work), works(message, *turn)]


def fails(kind: str, *, message: str = "", **more: Any) -> Rule:
    """All that is about a message goes wrong; without a message everything does."""
    return _rule(_message(message) if message else "", {"fault": {"kind": kind, **more}})


def _message(text: str) -> str:
    return rf"<message>\n{re.escape(text)}\n</message>"


def _rule(prompt: str, *turn: Reply, **when: Any) -> Rule:
    return Rule.model_validate({"when": {"prompt": prompt, **when}, "turn": list(turn)})
