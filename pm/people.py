"""`pm people`."""

from enum import StrEnum, auto
from typing import Annotated

import typer

from agentos.control.plain import one_line
from pm.call import call
from pm.options import AsJson, Limit
from pm.output import Column, paint, say, say_json, table, when

people = typer.Typer(
    no_args_is_help=False,
    invoke_without_command=True,
    rich_markup_mode=None,
    help="Who may talk to it, and who has knocked.",
)


# Not the domain's: its tables cost half a second to import.
class As(StrEnum):
    """What somebody is let in as."""

    owner = auto()
    guest = auto()


class Role(StrEnum):
    """What somebody is."""

    owner = auto()
    guest = auto()
    stranger = auto()
    ignored = auto()


PersonId = Annotated[int, typer.Argument(metavar="ID", help="From `pm people list`.")]

_COLUMNS = (
    Column("ID", lambda row: str(row["id"])),
    Column("ROLE", lambda row: paint(row["role"])),
    Column("NAME", lambda row: _named(row), stretch=True),
    Column("CHANNEL", lambda row: f"{row['channel']}:{row['external_id']}", wide=True),
    Column("SINCE", lambda row: when(row["seen_at"]), wide=True),
)


@people.callback()
def main(context: typer.Context) -> None:
    """Who may talk to it, and who has knocked."""
    if context.invoked_subcommand is None:
        list_all()


@people.command("list")
def list_all(
    role: Annotated[Role | None, typer.Option(help="Only those.")] = None,
    limit: Limit = 50,
    as_json: AsJson = False,
) -> None:
    """List people, the newest first.

    \b
    Example: pm people list --role stranger
    """
    found = call("people.list", role=role, limit=limit)["people"]
    if as_json:
        say_json(found)
    else:
        table(found, _COLUMNS, empty="Nobody yet. `agentos up` shows how to pair the bot with you.")


@people.command("approve")
def approve(
    person: PersonId,
    role: Annotated[As, typer.Option("--as", help="A guest may chat, and no more.")] = As.guest,
    as_json: AsJson = False,
) -> None:
    """Let somebody in: a guest may chat, an owner may do all that you may.

    \b
    Example: pm people approve 3 --as guest
    """
    _tell(call("people.approve", person=person, role=role)["person"], as_json=as_json)


@people.command("remove")
def remove(person: PersonId, as_json: AsJson = False) -> None:
    """Let somebody in no more. They get no answer, and are not asked about again.

    \b
    Example: pm people remove 3
    """
    _tell(call("people.remove", person=person)["person"], as_json=as_json)


def _tell(person: dict[str, str], *, as_json: bool) -> None:
    if as_json:
        say_json(person)
    else:
        say(f"{_named(person)} (person {person['id']}): {person['role']}")


def _named(row: dict[str, str]) -> str:
    handle = f" (@{row['username']})" if row["username"] else ""
    return one_line(f"{row['name']}{handle}".strip()) or "?"
