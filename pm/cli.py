"""`pm`: projects, tasks, jobs and workers from any shell, with the daemon up or down."""

from typing import NoReturn

import typer

from agentos.control import command
from pm.cards import cards
from pm.engine import engine
from pm.jobs import jobs
from pm.memory import memory
from pm.people import people
from pm.policy import policy
from pm.projects import projects
from pm.tasks import tasks
from pm.workers import workers

app = typer.Typer(
    name="pm",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    help="""Projects, tasks, jobs and who does them. Works whether agentos is running or not.

\b
  pm job add --title "Tidy notes" --prompt "Sort my notes by topic"
  pm job list
  pm job show 12
  pm job logs 12 --follow
  pm task add --title "Paint the door" --project house
  pm task ask 3 --question "Which colour?" --option "a:Green" --option "b:Red"
  pm card list
  pm worker list
  pm people list
  pm engine status
  pm memory search "what does Anna eat"
""",
)
app.add_typer(projects, name="project")
app.add_typer(tasks, name="task")
app.add_typer(jobs, name="job")
app.add_typer(cards, name="card")
app.add_typer(memory, name="memory")
app.add_typer(workers, name="worker")
app.add_typer(people, name="people")
app.add_typer(engine, name="engine")
app.add_typer(policy, name="policy")


def main() -> NoReturn:
    """The entry point."""
    command.run(lambda: app(prog_name="pm"))
