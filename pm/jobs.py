"""`pm job`."""

import sys
from datetime import datetime
from typing import Annotated

import typer

from agentos.control.plain import one_line
from agentos.domain.states import JobState
from agentos.domain.when import find_time
from pm.call import call
from pm.logs import print_logs
from pm.options import AsJson, Limit, ProjectOption
from pm.output import say, say_json, table, when
from pm.story import print_story
from pm.tables import JOB_COLUMNS
from pm.zone import owner_zone

jobs = typer.Typer(no_args_is_help=True, rich_markup_mode=None, help="Work in the queue.")
JobId = Annotated[int, typer.Argument(help="Its id.", min=1)]


@jobs.command("add")
def add(
    title: Annotated[str, typer.Option(help="A few words.")],
    prompt: Annotated[str, typer.Option(help="What to do; - reads it from standard input.")],
    backend: Annotated[str, typer.Option("--type", "--backend", help="What runs it.")] = "claude",
    project: ProjectOption = None,
    task: Annotated[int | None, typer.Option("--task", "--task-id", min=1)] = None,
    priority: Annotated[
        int, typer.Option(min=0, max=5, help="0 is urgent, 2 normal, 5 background.")
    ] = 2,
    model: Annotated[str | None, typer.Option(help="haiku, sonnet, opus or a full name.")] = None,
    persona: Annotated[str | None, typer.Option(help="Who the worker is to be.")] = None,
    skill: Annotated[list[str] | None, typer.Option(help="May be given several times.")] = None,
    worker: Annotated[
        str | None,
        typer.Option(help="A worker that keeps its session; with --model it is made if missing."),
    ] = None,
    needs: Annotated[
        list[int] | None, typer.Option(help="A job that must be done before; several times.")
    ] = None,
    at: Annotated[
        str | None, typer.Option(help='When: "in 20 minutes", "tomorrow at 9", 2026-11-21T09:00.')
    ] = None,
    timeout: Annotated[int | None, typer.Option(min=1, max=86_400, help="Seconds.")] = None,
    conversation: Annotated[
        str | None, typer.Option(help="Where the result is told; terminal:main unless given.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Add a job.

    \b
    Examples:
      pm job add --title "Tidy" --prompt "Sort my notes by topic" --type claude
      pm job add --title "Test it" --prompt "Run the tests" --needs 12 --priority 1
      pm job add --title "News" --prompt - --at "tomorrow at 7" < prompt.txt
    """
    made = call(
        "job.add",
        title=title,
        prompt=sys.stdin.read() if prompt == "-" else prompt,
        backend=backend,
        project=project,
        task=task,
        priority=priority,
        model=model,
        persona=persona,
        skills=skill,
        worker=worker,
        needs=needs,
        at=None if at is None else _moment(at).isoformat(),
        timeout_seconds=timeout,
        conversation=conversation,
    )["job"]
    if as_json:
        say_json(made)
        return
    due = f", due {when(made['run_at'])}" if made["run_at"] else ""
    say(f"Added job {made['id']}: {one_line(made['title'])} ({made['state']}{due})")


@jobs.command("list")
def list_all(
    state: Annotated[JobState | None, typer.Option(help="Only those in this state.")] = None,
    project: ProjectOption = None,
    limit: Limit = 50,
    as_json: AsJson = False,
) -> None:
    """List jobs, the newest first."""
    found = call("job.list", state=state, project=project, limit=limit)
    if as_json:
        say_json(found["jobs"])
        return
    empty = "No jobs yet. Add one: pm job add --title … --prompt …"
    if state is not None or project is not None:
        empty = "No such jobs."
    table(found["jobs"], JOB_COLUMNS, empty=empty)
    if len(found["jobs"]) == limit:
        say(f"(the newest {limit}; --limit shows more)")


@jobs.command("show")
def show(job: JobId, as_json: AsJson = False) -> None:
    """Tell the whole story of a job: why, what ran, what it cost, what came of it."""
    print_story(call("job.show", job=job), as_json=as_json)


@jobs.command("cancel")
def cancel(job: JobId, as_json: AsJson = False) -> None:
    """Cancel a job that has not ended; what it runs is ended with it."""
    found = call("job.cancel", job=job)
    if as_json:
        say_json(found["job"])
    else:
        say(f"Cancelled job {job}: {one_line(found['job']['title'])} (it was {found['was']})")


@jobs.command("logs")
def logs(
    job: JobId,
    follow: Annotated[
        bool, typer.Option("--follow", "-f", help="Go on until the job has ended.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Tell what a job did, step by step.

    \b
    Example: pm job logs 12 --follow
    """
    print_logs(job, follow=follow, as_json=as_json)


def _moment(words: str) -> datetime:
    """The moment that the words name, in the owner's zone."""
    now = datetime.now(owner_zone()).astimezone(owner_zone())
    try:
        named = datetime.fromisoformat(words)
    except ValueError:
        found = find_time(words, now=now)
        if found is None:
            raise typer.BadParameter(
                f'{words!r} names no time; try "in 20 minutes" or 2026-11-21T09:00',
                param_hint="--at",
            ) from None
        return found.at
    return named if named.tzinfo else named.replace(tzinfo=owner_zone()).astimezone()
