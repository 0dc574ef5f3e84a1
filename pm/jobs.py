"""`pm job`."""

import sys
from datetime import datetime
from typing import Annotated, Literal

import typer

from agentos.control.plain import one_line
from agentos.domain.states import JobState
from agentos.domain.when import find_time
from pm.asking import Expires, NoOther, Options, QuestionText, ask
from pm.call import ask_daemon, call
from pm.graph import dot, mermaid, tree
from pm.logs import print_logs
from pm.options import AsJson, Limit, ProjectOption
from pm.output import say, say_json, screen_width, table, when
from pm.story import print_story
from pm.tables import JOB_COLUMNS
from pm.zone import owner_zone

jobs = typer.Typer(no_args_is_help=True, rich_markup_mode=None, help="Work in the queue.")
IfNeedsFail = Literal["skip", "block", "go_on"]
JobId = Annotated[int, typer.Argument(help="Its id.", min=1)]


@jobs.command("add")
def add(
    title: Annotated[str, typer.Option(help="A few words.")],
    prompt: Annotated[str, typer.Option(help="What to do; - reads it from standard input.")],
    backend: Annotated[
        str | None, typer.Option("--type", "--backend", help="What runs it; claude unless given.")
    ] = None,
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
    if_needs_fail: Annotated[
        IfNeedsFail | None,
        typer.Option(help="If one of those fails: skip this one (so it is), block it, or go_on."),
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
        if_needs_fail=if_needs_fail,
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


@jobs.command("retry")
def retry(job: JobId, as_json: AsJson = False) -> None:
    """Queue a job that failed again; it goes on in the session it had.

    
    Example: pm job retry 12
    """
    found = call("job.retry", job=job)
    if as_json:
        say_json(found["job"])
        return
    say(f"Job {job} is queued again: {one_line(found['job']['title'])}")
    for left in found["left"]:
        title = one_line(left["title"])
        say(f"#{left['id']} {title} was cancelled when this one failed, and stays so.")


@jobs.command("poke")
def poke(job: JobId, as_json: AsJson = False) -> None:
    """Kill what runs a job that is stuck; it goes on at once where it was.

    
    Example: pm job poke 12
    """
    found = ask_daemon("job.poke", job=job)["job"]
    if as_json:
        say_json(found)
    else:
        say(f"Poked job {job}: {one_line(found['title'])}.")
        say(f"pm job logs {job} --follow shows how it goes on.")


@jobs.command("needs")
def needs(
    job: JobId,
    add: Annotated[
        list[int] | None, typer.Option(min=1, help="A job it is to need, too; several times.")
    ] = None,
    remove: Annotated[
        list[int] | None, typer.Option(min=1, help="A job it needs no longer; several times.")
    ] = None,
    if_needs_fail: Annotated[
        IfNeedsFail | None, typer.Option(help="If one of them fails: skip it, block it, or go_on.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Change what a queued job needs before it starts.

    
    Example: pm job needs 14 --add 12 --remove 9
    """
    found = call("job.needs", job=job, add=add, remove=remove, if_needs_fail=if_needs_fail)
    if as_json:
        say_json(found)
        return
    named = [f"#{one['id']} {one_line(one['title'])} ({one['state']})" for one in found["needs"]]
    say(f"Job {job} needs {', '.join(named) if named else 'nothing'}.")


@jobs.command("graph")
def graph(
    job: Annotated[int | None, typer.Argument(help="A job and all it hangs with.", min=1)] = None,
    project: ProjectOption = None,
    plan: Annotated[int | None, typer.Option(min=1, help="The jobs of a plan.")] = None,
    as_mermaid: Annotated[bool, typer.Option("--mermaid", help="Print Mermaid.")] = False,
    as_dot: Annotated[bool, typer.Option("--dot", help="Print DOT, for Graphviz.")] = False,
    as_json: AsJson = False,
) -> None:
    """Draw which job needs which; all that have not ended, unless some are named.

    
    Examples:
      pm job graph 12
      pm job graph --plan 3
      pm job graph --dot | dot -Tsvg > jobs.svg
    """
    found = call("job.graph", job=job, project=project, plan=plan)
    if as_json:
        say_json(found)
        return
    drawn = tree(found, width=screen_width())
    if as_mermaid or as_dot:
        drawn = mermaid(found) if as_mermaid else dot(found)
    for line in drawn or ["No job is under way. pm job graph ID draws one that has ended."]:
        say(line)
    if found["cut"] and not (as_mermaid or as_dot):
        say("(there are more; name a job, a plan or a project)")


@jobs.command("ask")
def ask_owner(
    job: JobId,
    question: QuestionText,
    option: Options = None,
    expires: Expires = None,
    no_other: NoOther = False,
    as_json: AsJson = False,
) -> None:
    """Ask the owner something that a job waits for.

    \b
    Example: pm job ask 12 --question "Which colour?" --option "a:Green" --option "b:Red"
    """
    ask(
        "job.ask",
        job=job,
        question=question,
        options=option,
        expires=expires,
        no_other=no_other,
        as_json=as_json,
    )


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
