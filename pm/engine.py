"""`pm engine`."""

import textwrap
from collections.abc import Mapping
from dataclasses import asdict
from typing import Annotated, Any

import typer

from agentos.backends.capabilities import BACKENDS
from agentos.control.plain import one_line
from pm.call import call, call_slowly
from pm.options import AsJson
from pm.output import Column, field, paint, say, say_json, screen_width, table, when
from pm.overview import lines_of
from pm.stream import print_events
from pm.watch import watch as watch_engine

engine = typer.Typer(
    no_args_is_help=True, rich_markup_mode=None, help="What runs, what waits and why."
)


@engine.command("status")
def status(
    job: Annotated[int | None, typer.Option(min=1, help="Only this job: why it waits.")] = None,
    limit: Annotated[int, typer.Option(min=0, max=1000, help="How many waiting ones.")] = 20,
    as_json: AsJson = False,
) -> None:
    """Tell what runs, why the others do not, and what is left to be used.

    \b
    Examples:
      pm engine status
      pm engine status --job 12
    """
    found = call("engine.status", job=job, waiting=limit)
    if as_json:
        say_json(found["job"] if job is not None else found)
    elif job is not None:
        _print_job(found["job"])
    else:
        for line in lines_of(found, width=screen_width()):
            say(line)


@engine.command("watch")
def watch() -> None:
    """Show the status live, drawn anew each second. q or Ctrl-C ends it.

    \b
    Example: pm engine watch
    """
    watch_engine()


@engine.command("events")
def events(
    follow: Annotated[
        bool, typer.Option("--follow", "-f", help="Go on with what happens from now on.")
    ] = False,
    since: Annotated[
        int | None, typer.Option(min=0, help="Only what came after the event of this id.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Tell everything that happens: one event a line, with --json one object a line.

    A reader that was away goes on with --since and the id of the last event it has seen.

    \b
    Examples:
      pm engine events --follow
      pm engine events --json --follow --since 4711
    """
    print_events(since=since, follow=follow, as_json=as_json)


@engine.command("backends")
def backends(as_json: AsJson = False) -> None:
    """Show what runs agents here, and what each of them can."""
    missing = call("engine.status", waiting=0)["missing"]
    rows = [_backend(name, missing) for name in BACKENDS]
    if as_json:
        say_json(rows)
        return
    table(rows, _BACKEND_COLUMNS, empty="none")
    for row in rows:
        notes = [row["unusable"], f"tools: {row['sandbox']}", *row["missing"]]
        width = (screen_width() or 100) - 12
        lines = [line for note in notes for line in textwrap.wrap(note, width)]
        field(row["name"], "\n".join(lines))


@engine.command("tidy")
def tidy(
    days: Annotated[
        int | None,
        typer.Option(min=1, help="Keep so many days; as retention.days says unless given."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Remove jobs that ended long ago, with their files. It happens by itself once a day.

    Costs, messages, tasks and whatever was reviewed stay.

    \b
    Example: pm engine tidy --days 30
    """
    found = call_slowly("engine.tidy", days=days)
    if as_json:
        say_json(found)
        return
    if not found["days"]:
        say("Everything is kept: retention.days is 0. --days 30 removes what is older.")
        return
    gone = f"{found['jobs']} jobs, {found['events']} events and {found['folders']} folders"
    say(f"Removed {gone} from more than {found['days']} days ago.")
    for folder in found["stuck"]:
        say(f"  this stays: {folder}")


def _print_job(job: dict[str, Any]) -> None:
    say(f"Job {job['id']} · {one_line(job['title'])}")
    field("state", paint(job["state"]))
    field("why", one_line(job["why"]))
    if job["state"] == "running" and job.get("since"):
        field("since", when(job["since"]))
        field("worker", job["worker"])
        field("does", one_line(job["doing"]))


def _backend(name: str, missing: Mapping[str, str]) -> dict[str, Any]:
    told = asdict(BACKENDS[name])
    told["missing"] = list(told["missing"])
    return {"name": name, "unusable": missing.get(name, ""), **told}


def _can(name: str) -> Any:
    return lambda row: "yes" if row[name] else "–"


_BACKEND_COLUMNS = (
    Column("BACKEND", lambda row: row["name"]),
    Column("RESUME", _can("resume")),
    Column("CANCEL", _can("cancel")),
    Column("TOKENS", _can("usage")),
    Column("COST", _can("cost"), wide=True),
    Column("TOOLS", _can("tool_events"), wide=True),
    Column("STREAM", _can("streaming"), wide=True),
    Column("NUDGE", _can("nudge"), wide=True),
    Column("WARM", _can("warm")),
)
