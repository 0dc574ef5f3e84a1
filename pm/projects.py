"""`pm project`."""

from typing import Annotated

import typer

from agentos.control.plain import one_line
from agentos.domain.states import ProjectState
from pm.call import call
from pm.options import AsJson, Limit
from pm.output import Column, field, paint, say, say_json, table, when
from pm.tables import JOB_COLUMNS, TASK_COLUMNS

projects = typer.Typer(no_args_is_help=True, rich_markup_mode=None, help="Areas of work.")

_COLUMNS = (
    Column("ID", lambda row: str(row["id"])),
    Column("STATE", lambda row: row["state"]),
    Column("NAME", lambda row: row["name"], stretch=True),
    Column("SINCE", lambda row: when(row["created_at"]), wide=True),
)


@projects.command("add")
def add(
    name: Annotated[str, typer.Argument(help="What it is called.")],
    description: Annotated[str, typer.Option(help="What it is about.")] = "",
    as_json: AsJson = False,
) -> None:
    """Add a project.

    \b
    Example: pm project add house --description "All about the house"
    """
    made = call("project.add", name=name, description=description)["project"]
    if as_json:
        say_json(made)
    else:
        say(f"Added project {made['id']}: {one_line(made['name'])}")


@projects.command("list")
def list_all(
    state: Annotated[ProjectState | None, typer.Option(help="Only those in this state.")] = None,
    limit: Limit = 50,
    as_json: AsJson = False,
) -> None:
    """List projects, the newest first."""
    found = call("project.list", state=state, limit=limit)["projects"]
    if as_json:
        say_json(found)
    else:
        table(found, _COLUMNS, empty="No projects yet. Add one: pm project add NAME")


@projects.command("show")
def show(
    project: Annotated[str, typer.Argument(help="Its id or its name.")],
    as_json: AsJson = False,
) -> None:
    """Show a project with its tasks and jobs."""
    found = call("project.show", project=project)
    if as_json:
        say_json(found)
        return
    its = found["project"]
    say(f"Project {its['id']} · {one_line(its['name'])}")
    field("state", paint(its["state"]))
    field("since", when(its["created_at"]))
    field("about", its["description"])
    say("\nTasks")
    table(found["tasks"], TASK_COLUMNS, empty="none")
    say("\nJobs")
    table(found["jobs"], JOB_COLUMNS, empty="none")
