"""`pm worker`."""

from typing import Annotated, Any

import typer

from agentos.control.plain import one_line
from pm.call import call
from pm.options import AsJson, Limit, ProjectOption
from pm.output import Column, field, paint, say, say_json, span, table, when
from pm.overview import context

workers = typer.Typer(
    no_args_is_help=True, rich_markup_mode=None, help="Who does the work, from job to job."
)
Name = Annotated[str, typer.Argument(help="Its name.")]
_Row = dict[str, Any]


def _session(row: _Row) -> str:
    count = row["session_job_count"]
    return f"{count} job" if count == 1 else f"{count} jobs"


def _works_on(row: _Row) -> str:
    doing = row["working_on"]
    return f"#{doing['id']} {doing['title']}" if doing else ""


_COLUMNS = (
    Column("NAME", lambda row: row["name"], stretch=True),
    Column("BACKEND", lambda row: row["backend"], wide=True),
    Column("MODEL", lambda row: row["model"] or "—", wide=True),
    Column("STATE", lambda row: row["state"]),
    Column("SESSION", _session),
    Column("FULL", lambda row: context(row["session_share"])),
    Column("USED", lambda row: when(row["last_used_at"]) or "never", wide=True),
    Column("WORKS ON", _works_on, wide=True, stretch=True),
)


@workers.command("list")
def list_all(
    retired: Annotated[bool, typer.Option("--all", help="Also those that have retired.")] = False,
    limit: Limit = 100,
    as_json: AsJson = False,
) -> None:
    """List workers: their session, how full it is, what they work on.

    A worker that stays keeps its session from job to job. The others were made for one job.
    """
    found = call("worker.list", retired=retired, limit=limit)["workers"]
    if as_json:
        say_json(found)
    else:
        table(found, _COLUMNS, empty="No workers yet. Add one: pm worker add NAME --model sonnet")


@workers.command("show")
def show(worker: Name, as_json: AsJson = False) -> None:
    """Show a worker with its last runs."""
    found = call("worker.show", worker=worker)
    if as_json:
        say_json(found)
        return
    its = found["worker"]
    say(f"Worker {its['name']}")
    field("state", paint(its["state"]))
    field("runs on", " · ".join(one for one in (its["backend"], its["model"]) if one))
    field("persona", its["persona"] or "")
    field("skills", ", ".join(its["skills"]))
    field("project", its["project"] or "")
    field("stays", "yes" if its["persistent"] else "no, it was made for one job")
    full = f", {context(its['session_share'])} full" if its["session_share"] else ""
    field("session", f"{_session(its)}{full} · {its['session_id'] or 'begins with its next job'}")
    field("before", one_line(its["summary"], width=300))
    field("added", when(its["created_at"]))
    field("used", when(its["last_used_at"]))
    field("works on", _works_on(its))
    if found["runs"]:
        say("\nLast runs")
        table(found["runs"], _RUN_COLUMNS, empty="none")


@workers.command("add")
def add(
    name: Name,
    backend: Annotated[str, typer.Option("--type", "--backend", help="What runs it.")] = "claude",
    model: Annotated[str | None, typer.Option(help="haiku, sonnet, opus or a full name.")] = None,
    persona: Annotated[str | None, typer.Option(help="Who it is to be.")] = None,
    skill: Annotated[list[str] | None, typer.Option(help="May be given several times.")] = None,
    project: ProjectOption = None,
    as_json: AsJson = False,
) -> None:
    """Add a worker that keeps its session from job to job.

    \b
    Examples:
      pm worker add email --model sonnet --skill summarise
      pm worker add builder --model opus --project house
      pm job add --worker email --title "Inbox" --prompt "What is new?"
    """
    made = call(
        "worker.add",
        name=name,
        backend=backend,
        model=model,
        persona=persona,
        skills=skill,
        project=project,
    )["worker"]
    if as_json:
        say_json(made)
    else:
        kind = " ".join(one for one in (made["backend"], made["model"]) if one)
        say(f"Added worker {made['name']} ({kind}). It waits for its first job.")


@workers.command("retire")
def retire(worker: Name, as_json: AsJson = False) -> None:
    """Retire a worker. What it works on it finishes; what waits for it goes to another one.

    \b
    Example: pm worker retire email
    """
    found = call("worker.retire", worker=worker)
    if as_json:
        say_json(found)
        return
    name = found["worker"]["name"]
    if doing := found["finishes"]:
        title = one_line(doing["title"])
        say(f"Worker {name} retires as soon as #{doing['id']} {title} has ended.")
    else:
        say(f"Worker {name} has retired.")
    freed = [each for each in found["freed"] if not doing or each != doing["id"]]
    if freed:
        named = ", ".join(f"#{each}" for each in freed)
        say(f"Another worker takes {named}.")


_RUN_COLUMNS = (
    Column("JOB", lambda row: str(row["job_id"])),
    Column("ENDED", lambda row: row["state"]),
    Column("TITLE", lambda row: row["title"], stretch=True),
    Column("BEGAN", lambda row: when(row["started_at"]), wide=True),
    Column("TOOK", lambda row: span(row["started_at"], row["finished_at"])),
)
