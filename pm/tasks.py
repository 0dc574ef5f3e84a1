"""`pm task`."""

from typing import Annotated

import typer

from agentos.control.plain import one_line
from agentos.domain.states import TaskState
from pm.asking import Expires, NoOther, Options, QuestionText, ask
from pm.call import call
from pm.options import AsJson, Limit, ProjectOption
from pm.output import field, paint, say, say_json, table, when
from pm.tables import JOB_COLUMNS, TASK_COLUMNS

tasks = typer.Typer(no_args_is_help=True, rich_markup_mode=None, help="Outcomes somebody wants.")


@tasks.command("add")
def add(
    title: Annotated[str, typer.Option(help="The outcome, in a few words.")],
    kind: Annotated[str, typer.Option(help="code, writing, research, extraction or ops.")] = "ops",
    brief: Annotated[str, typer.Option(help="What exactly is wanted.")] = "",
    project: ProjectOption = None,
    verify: Annotated[
        str | None, typer.Option(help="A command that must succeed before it counts as done.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Add a task. Its work is added as jobs: pm job add --task ID.

    \b
    Example: pm task add --title "Paint the door" --project house
    """
    made = call(
        "task.add", title=title, kind=kind, brief=brief, project=project, verify_command=verify
    )["task"]
    if as_json:
        say_json(made)
    else:
        say(f"Added task {made['id']}: {one_line(made['title'])}")


@tasks.command("list")
def list_all(
    state: Annotated[TaskState | None, typer.Option(help="Only those in this state.")] = None,
    project: ProjectOption = None,
    limit: Limit = 50,
    as_json: AsJson = False,
) -> None:
    """List tasks, the newest first."""
    found = call("task.list", state=state, project=project, limit=limit)["tasks"]
    if as_json:
        say_json(found)
    else:
        table(found, TASK_COLUMNS, empty="No tasks yet. Add one: pm task add --title …")


@tasks.command("show")
def show(
    task: Annotated[int, typer.Argument(help="Its id.", min=1)],
    as_json: AsJson = False,
) -> None:
    """Show a task with its jobs and reviews."""
    found = call("task.show", task=task)
    if as_json:
        say_json(found)
        return
    its = found["task"]
    say(f"Task {its['id']} · {one_line(its['title'])}")
    field("state", paint(its["state"]))
    field("kind", its["kind"])
    field("project", its["project"] or "")
    field("added", when(its["created_at"]))
    field("verify", its["verify_command"] or "")
    field("brief", its["brief"])
    for review in found["reviews"]:
        verdict = "passed" if review["passed"] else "not passed"
        field("review", f"{verdict}, {review['score']} by {review['model']}")
    say("\nJobs")
    table(found["jobs"], JOB_COLUMNS, empty="none")


@tasks.command("ask")
def ask_owner(
    task: Annotated[int, typer.Argument(help="Its id.", min=1)],
    question: QuestionText,
    option: Options = None,
    expires: Expires = None,
    no_other: NoOther = False,
    as_json: AsJson = False,
) -> None:
    """Ask the owner about a task. What works on it waits for the answer, and goes on with it.

    \b
    Example:
      pm task ask 88 --question "Which approach?" \\
        --option "a:Direct:Ship now" --option "b:Staged:Test first" --expires 2d
    """
    ask(
        "task.ask",
        task=task,
        question=question,
        options=option,
        expires=expires,
        no_other=no_other,
        as_json=as_json,
    )
