"""`pm memory`."""

import json
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from agentos.control.plain import clean, one_line
from agentos.errors import BadRequest
from pm.call import call, call_slowly
from pm.options import AsJson, Limit, ProjectOption
from pm.output import Column, field, say, say_json, table, when

memory = typer.Typer(no_args_is_help=True, rich_markup_mode=None, help="What is remembered.")
MemoryId = Annotated[int, typer.Argument(help="Its id.", min=1, metavar="ID")]
_IMPORT_AT_ONCE = 500

_COLUMNS = (
    Column("ID", lambda row: str(row["id"])),
    Column("SCORE", lambda row: f"{row['score']:.2f}"),
    Column("CATEGORY", lambda row: row["category"], wide=True),
    Column("MEMORY", lambda row: row["text"], stretch=True),
    Column("TRUST", lambda row: row["trust"], wide=True),
    Column("SINCE", lambda row: when(row["valid_from"]), wide=True),
)
_HISTORY_COLUMNS = (
    Column("ID", lambda row: str(row["id"])),
    Column("FROM", lambda row: when(row["valid_from"])),
    Column("TO", lambda row: when(row["valid_to"])),
    Column("MEMORY", lambda row: row["text"], stretch=True),
)
_EPISODE_COLUMNS = (
    Column("REF", lambda row: row["ref"]),
    Column("WHEN", lambda row: when(row["at"]), wide=True),
    Column("KIND", lambda row: row["kind"], wide=True),
    Column("WHAT", lambda row: row["text"], stretch=True),
)
_VERSION_COLUMNS = (
    Column("ID", lambda row: str(row["id"])),
    Column("STATE", lambda row: row["state"]),
    Column("WHEN", lambda row: when(row["at"])),
    Column("BY", lambda row: row["by"]),
    Column("WHY", lambda row: row["reason"], stretch=True),
)


@memory.command("search")
def search(
    query: Annotated[str, typer.Argument(help="A question, or some words.")],
    limit: Limit = 10,
    project: ProjectOption = None,
    lexical: Annotated[bool, typer.Option("--lexical", help="By words, not by meaning.")] = False,
    as_json: AsJson = False,
) -> None:
    """Find memories, the best first.

    \b
    Example: pm memory search "what does Anna like to eat"
    """
    found = call(
        "memory.search", query=query, limit=limit, project=project, lexical=lexical or None
    )
    if as_json:
        say_json(found)
        return
    table(found["found"], _COLUMNS, empty="Nothing is remembered about that.")
    if found["note"]:
        say(f"({one_line(found['note'])})")


@memory.command("why")
def why(
    memory_id: MemoryId,
    query: Annotated[str | None, typer.Option(help="Why it answers this, or does not.")] = None,
    as_json: AsJson = False,
) -> None:
    """Tell where a memory comes from, what it replaced, and how it scores for a question."""
    told = call("memory.why", memory=memory_id, query=query)
    if as_json:
        say_json(told)
        return
    _print_memory(told["memory"])
    last = f", last {when(told['last_at'])}" if told["last_at"] else ""
    field("recalled", f"{told['times']} times{last}")
    for one in told["replaced"]:
        field("replaced", f"{one['id']}: {one_line(one['text'])}")
    score = told.get("score")
    if score is not None:
        field("place", f"{score['place']}, with a score of {score['score']:.3f}")
        for name, value in score["parts"].items():
            field(name, f"{value:.3f}")
    elif query is not None:
        say("It does not answer that question.")
    if told.get("note"):
        say(f"({one_line(told['note'])})")


@memory.command("add")
def add(
    text: Annotated[str, typer.Argument(help="What to remember; - reads standard input.")],
    category: Annotated[
        str,
        typer.Option(
            help="preference, decision, lesson, fact, person, event, context or procedure."
        ),
    ] = "fact",
    importance: Annotated[float, typer.Option(min=0, max=1, help="From 0 to 1.")] = 0.5,
    project: ProjectOption = None,
    instead_of: Annotated[
        list[int] | None, typer.Option(help="A memory that is no longer true; several times.")
    ] = None,
    outside: Annotated[
        bool, typer.Option("--outside", help="It is somebody else's word, not yours.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Remember something.

    \b
    Examples:
      pm memory add "Anna is vegetarian" --category person
      pm memory add "The office is in Hamburg now" --instead-of 12
    """
    made = call(
        "memory.add",
        text=sys.stdin.read() if text == "-" else text,
        category=category,
        importance=importance,
        project=project,
        instead_of=instead_of,
        trust="outside" if outside else None,
    )["memory"]
    if as_json:
        say_json(made)
    else:
        say(f"Remembered {made['id']}: {one_line(made['text'], width=100)}")


@memory.command("forget")
def forget(
    memory_id: MemoryId,
    now: Annotated[bool, typer.Option("--now", help="For good, at once.")] = False,
    as_json: AsJson = False,
) -> None:
    """Forget something; it can be restored for a while, unless with --now."""
    told = call("memory.forget", memory=memory_id, now=now or None)
    if as_json:
        say_json(told)
    elif told["erased"]:
        say(f"Memory {memory_id} is gone for good.")
    else:
        until = when(told["memory"]["erase_at"])
        say(f"Forgot memory {memory_id}. Until {until}: pm memory restore {memory_id}")


@memory.command("restore")
def restore(memory_id: MemoryId, as_json: AsJson = False) -> None:
    """Take a forgetting back."""
    made = call("memory.restore", memory=memory_id)["memory"]
    if as_json:
        say_json(made)
    else:
        say(f"Remembered again {memory_id}: {one_line(made['text'], width=100)}")


@memory.command("history")
def history(memory_id: MemoryId, as_json: AsJson = False) -> None:
    """Tell what a memory replaced, and what replaced it."""
    found = call("memory.history", memory=memory_id)["memories"]
    if as_json:
        say_json(found)
    else:
        table(found, _HISTORY_COLUMNS, empty="")


@memory.command("core")
def core(
    add_line: Annotated[str | None, typer.Option("--add", help="A line to add.")] = None,
    section: Annotated[str, typer.Option(help="Where to add it.")] = "Rules",
    write: Annotated[
        Path | None, typer.Option(help="Take the text of this file; - is standard input.")
    ] = None,
    undo: Annotated[bool, typer.Option("--undo", help="Back to the version before.")] = False,
    accept: Annotated[int | None, typer.Option(min=1, help="Say yes to a proposal.")] = None,
    refuse: Annotated[int | None, typer.Option(min=1, help="Say no to a proposal.")] = None,
    versions: Annotated[bool, typer.Option("--history", help="Show its versions.")] = False,
    as_json: AsJson = False,
) -> None:
    """Show the core memory, which every session reads, or change it."""
    told = call(
        "memory.core",
        text=None if write is None else _content(write),
        line=add_line,
        section=section if add_line is not None else None,
        undo=undo or None,
        accept=accept,
        refuse=refuse,
        history=versions or None,
    )
    if as_json:
        say_json(told)
    elif versions:
        table(told["versions"], _VERSION_COLUMNS, empty="")
    else:
        say(clean(told["text"]).rstrip("\n"))
        say(f"({told['lines']} of 80 lines)")
        for one in told["versions"]:
            if one["state"] == "proposed":
                reason = one_line(one["reason"], width=80)
                say(f"Proposed by {one_line(one['by'])}: {reason} (--accept {one['id']})")


@memory.command("export")
def export(
    everything: Annotated[
        bool, typer.Option("--all", help="Closed and forgotten ones, too.")
    ] = False,
) -> None:
    """Print all memories, one JSON object a line."""
    after: int | None = 0
    while after is not None:
        told = call("memory.export", after=after, everything=everything or None)
        for one in told["memories"]:
            say_json(one, indent=None)
        after = told["more"]


@memory.command("import")
def import_(
    file: Annotated[Path, typer.Argument(help="What export printed; - is standard input.")],
    as_json: AsJson = False,
) -> None:
    """Remember what an export has; what is known already is left alone."""
    rows = [_row(line, number) for number, line in enumerate(_content(file).splitlines(), 1)]
    given = [row for row in rows if row is not None]
    total = {"added": 0, "known": 0}
    for start in range(0, len(given), _IMPORT_AT_ONCE):
        told = call("memory.import", memories=given[start : start + _IMPORT_AT_ONCE])
        total = {name: total[name] + told[name] for name in total}
    if as_json:
        say_json(total)
    else:
        say(f"Added {total['added']} memories; {total['known']} were known.")


@memory.command("stats")
def stats(as_json: AsJson = False) -> None:
    """Tell how much is remembered, and how the index is."""
    told = call("memory.stats")
    if as_json:
        say_json(told)
        return
    for part in ("memories", "index", "capture", "consolidation"):
        say(part.capitalize())
        for name, value in told[part].items():
            shown = "never" if value is None else one_line(str(value))
            say(f"  {name.replace('_', ' '):<12} {shown}")
    days = told["episode_days"]
    say(f"Episodes of {days} {'day' if days == 1 else 'days'}")


@memory.command("consolidate")
def consolidate(as_json: AsJson = False) -> None:
    """Do the night's tidying of memory now.

    What is new is only read while the service runs: it has the model.
    """
    told = call_slowly("memory.consolidate")
    if as_json:
        say_json(told)
    else:
        say(told["told"] or "There was nothing to tidy.")


@memory.command("episodes")
def episodes(
    day: Annotated[str | None, typer.Option(help="A day such as 2026-11-21; today.")] = None,
    search_for: Annotated[str | None, typer.Option("--search", help="Words in any day.")] = None,
    limit: Limit = 50,
    as_json: AsJson = False,
) -> None:
    """Show what happened on a day, or find it by words."""
    found = call("memory.episodes", day=day, search=search_for, limit=limit)["episodes"]
    if as_json:
        say_json(found)
    else:
        table(found, _EPISODE_COLUMNS, empty="Nothing was noted.")


def _print_memory(row: dict[str, Any]) -> None:
    say(f"Memory {row['id']} · {row['category']}")
    field("text", row["text"])
    field("since", when(row["valid_from"]))
    field("until", when(row["valid_to"]))
    if row["superseded_by"]:
        field("now", f"replaced by {row['superseded_by']}")
    field("trust", row["trust"])
    source = row["origin"] + (f" {row['source_ref']}" if row["source_ref"] else "")
    field("source", source)
    field("forgotten", when(row["forgotten_at"]))


def _content(file: Path) -> str:
    if str(file) == "-":
        return sys.stdin.read()
    try:
        return file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        problem = getattr(error, "strerror", None) or "this is not text"
        raise BadRequest(problem=f"{file}: {problem}") from error


def _row(line: str, number: int) -> dict[str, Any] | None:
    if not line.strip():
        return None
    try:
        row = json.loads(line)
    except ValueError:
        row = None
    if not isinstance(row, dict):
        raise BadRequest(problem=f"line {number} is not one JSON object")
    return row
