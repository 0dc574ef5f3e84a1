"""`pm policy`."""

from typing import Annotated, Any

import typer

from agentos.control.plain import one_line
from pm.call import call
from pm.options import AsJson, Limit
from pm.output import Column, field, say, say_json, table, when

policy = typer.Typer(
    no_args_is_help=True,
    rich_markup_mode=None,
    help="What workers may do without asking, and what you have decided.",
)

_COLUMNS = (
    Column("ID", lambda row: str(row["id"])),
    Column("STATE", lambda row: row["state"]),
    Column("SCOPE", lambda row: _scope(row)),
    Column("TOOL", lambda row: row["tool"], wide=True),
    Column("WHAT", lambda row: row["pattern"], stretch=True),
    Column("CARD", lambda row: str(row["card_id"] or ""), wide=True),
    Column("VIA", lambda row: row["via"], wide=True),
    Column("DECIDED", lambda row: when(row["decided_at"]), wide=True),
)


@policy.command("show")
def show(limit: Limit = 20, as_json: AsJson = False) -> None:
    """Show the rules by kind of task and by persona, and the newest decisions.

    \b
    Example: pm policy show --limit 100
    """
    found = call("policy.show", limit=limit)
    if as_json:
        say_json(found)
        return
    say("Without asking")
    for name, rules in [*found["kinds"].items(), *found["personas"].items()]:
        _print_rules(name, rules)
    say("\nWhat these mean; without the word, you are asked")
    for name, meaning in found["meanings"].items():
        field(name, meaning)
    say("\nDecided")
    table(found["decisions"], _COLUMNS, empty="nothing yet")


@policy.command("revoke")
def revoke(
    decision: Annotated[int, typer.Argument(help="Its id.", min=1)], as_json: AsJson = False
) -> None:
    """Take a decision back: from its next turn on a worker asks again.

    \b
    Example: pm policy revoke 3
    """
    found = call("policy.revoke", grant=decision)["grant"]
    if as_json:
        say_json(found)
    else:
        say(f"Revoked {decision}: {found['tool']} {one_line(found['pattern'])}")


def _print_rules(name: str, rules: dict[str, Any]) -> None:
    lines = [", ".join(rules["may"]) or "nothing beyond its folders"]
    lines += [f"runs: {one_line(command)}" for command in rules["commands"]]
    lines += [f"writes to: {folder}" for folder in rules["folders"]]
    lines += [f"uses: {tool}" for tool in rules["tools"]]
    field(name, "\n".join(lines))


def _scope(row: dict[str, Any]) -> str:
    if row["scope"] == "project":
        return f"project {row['project'] or row['project_id']}"
    return f"{row['scope']} (job {row['job_id']})" if row["job_id"] else str(row["scope"])
