"""`pm engine events`: everything that happens, one event a line, to go on with where one was."""

import time
from typing import Any

from agentos.control.plain import one_line
from pm.call import call
from pm.output import paint, say, say_json
from pm.zone import local

_PAUSE_SECONDS = 0.4
_Event = dict[str, Any]


def print_events(*, since: int | None, follow: bool, as_json: bool) -> None:
    """Print the events after one; without `since` all there are, or when following, from now on.

    Each has an id, and they come in the order of their ids: none is left out, none comes twice.
    """
    last = since or 0
    if since is None and follow:
        last = call("engine.events", newest=True)["last"]
    while True:
        started = time.monotonic()
        found = call("engine.events", since=last)
        took = time.monotonic() - started
        for event in found["events"]:
            if as_json:
                say_json(event, indent=None)
            else:
                say(words_of(event))
        last = found["last"]
        if found["more"]:
            continue
        if not follow:
            return
        # A call is cheap with the daemon up and costs a second of work with it down.
        time.sleep(max(_PAUSE_SECONDS, 4 * took))


def words_of(event: _Event) -> str:
    """One event in plain words."""
    nouns = (("job", "job_id"), ("run", "run_id"), ("task", "task_id"), ("message", "message_id"))
    noun, _, verb = str(event["key"]).partition("_")
    about = [f"{name} {event[key]}" for name, key in nouns if event.get(key)]
    data = event.get("data") or {}
    more = [
        f"{name} {_value(value)}" for name, value in data.items() if value not in (None, "", [])
    ]
    at = f"{local(event['at']):%d %b %H:%M:%S}"
    key = f"{noun} {paint(verb.replace('_', ' '))}"
    rest = one_line(" · ".join([*about, *more]), width=200)
    return f"{event['id']:>6}  {at}  {key}  {rest}".rstrip()


def _value(value: object) -> str:
    if isinstance(value, list):
        return ", ".join(map(str, value))
    return one_line(str(value), width=100)
