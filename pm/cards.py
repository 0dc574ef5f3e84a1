"""`pm card`."""

from typing import Annotated, Any

import typer

from agentos.control.plain import one_line
from agentos.domain.states import CardState
from pm.call import call
from pm.options import AsJson, Limit
from pm.output import Column, field, paint, say, say_json, table, when

cards = typer.Typer(no_args_is_help=True, rich_markup_mode=None, help="What waits for your answer.")
CardId = Annotated[int, typer.Argument(help="Its id.", min=1)]

_COLUMNS = (
    Column("ID", lambda row: str(row["id"])),
    Column("STATE", lambda row: row["state"]),
    Column("AGE", lambda row: row["age"]),
    Column("KIND", lambda row: row["kind"], wide=True),
    Column("JOB", lambda row: str(row["job_id"] or ""), wide=True),
    Column("QUESTION", lambda row: row["question"], stretch=True),
    Column("OPTIONS", lambda row: _options(row), wide=True, stretch=True),
    Column("UNTIL", lambda row: when(row["expires_at"]), wide=True),
)


@cards.command("list")
def list_all(
    state: Annotated[CardState | None, typer.Option(help="Those in this state instead.")] = None,
    every: Annotated[bool, typer.Option("--all", help="Those that have ended, too.")] = False,
    limit: Limit = 50,
    as_json: AsJson = False,
) -> None:
    """List what waits for your answer, the oldest first.

    \b
    Examples:
      pm card list
      pm card list --all --json
    """
    found = call("card.list", state=state, every=every, limit=limit)["cards"]
    if as_json:
        say_json(found)
    else:
        table(found, _COLUMNS, empty="Nothing waits for you.")


@cards.command("show")
def show(card: CardId, as_json: AsJson = False) -> None:
    """Show all of a card: for a tool, the whole command or change.

    \b
    Example: pm card show 12
    """
    found = call("card.show", card=card)["card"]
    if as_json:
        say_json(found)
        return
    say(f"Card {found['id']} · {found['kind']}")
    field("state", paint(found["state"]))
    field("question", found["question"])
    for option in found["options"]:
        after = f": {option['consequence']}" if option.get("consequence") else ""
        field(option["key"], f"{option['label']}{after}")
    if found["state"] == CardState.answered:
        field("answer", f"{found['answer_shown']} (via {found['answered_via']})")
    field("job", str(found["job_id"] or ""))
    field("task", found["task"] or "")
    field("asked", when(found["created_at"]))
    field("until", when(found["expires_at"]))
    field("ended", when(found["answered_at"]))
    if found["request"]:
        field("because", found["request"].get("why", ""))
    field("what", found["detail"] or "")


@cards.command("answer")
def answer(
    card: CardId,
    option: Annotated[str | None, typer.Argument(help="The key of an option, or its name.")] = None,
    words: Annotated[str | None, typer.Option(help="Your own words, instead.")] = None,
    as_json: AsJson = False,
) -> None:
    """Answer a card; what waits for it goes on.

    \b
    Examples:
      pm card answer 12 b
      pm card answer 12 --words "neither: wait for Monday"
    """
    found = call("card.answer", card=card, answer=option, words=words)["card"]
    if as_json:
        say_json(found)
    else:
        say(f"Answered card {card}: {one_line(found['answer_shown'])}")


def _options(row: dict[str, Any]) -> str:
    return ", ".join(f"{one['key']} {one['label']}" for one in row["options"])
