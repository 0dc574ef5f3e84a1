"""What is seen of the story: who says what and when, what was checked, the table at the end."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta

from rich import box
from rich.console import Console, RenderableType
from rich.live import Live
from rich.table import Table
from rich.text import Text

from agentos.control.plain import clean, one_line
from agentos.demo.picture import Picture, drawn
from agentos.demo.report import Check, Report, Step, Totals
from agentos.standins.telegram_user import ChatMessage

_WIDEST = 80
_WHO = 9
_WHEN = 7
_PICTURE_COLUMNS = 64
_SHOWN_LINES = 9
_VERDICTS = {"ok": "green", "failed": "bold red", "skipped": "yellow"}
_STYLES = {"bold": "bold", "italic": "italic", "code": "cyan"}


class Telling:
    """Prints the story as it happens. A quiet one prints nothing."""

    def __init__(self, *, quiet: bool) -> None:
        console = Console(quiet=quiet, highlight=False)
        console.width = min(console.width, _WIDEST)
        self._console = console
        self._live: Live | None = None

    def opening(self) -> None:
        """Say what is going to happen."""
        self._print(Text("agentos demo", style="bold"))
        self._print(
            Text(
                "A day with agentos, as Mila sees it on her phone. The service, the workers and "
                "their tools are real; Telegram and the model are played by stand-ins on this "
                "machine. No key, no network, and nothing is left behind.",
                style="dim",
            )
        )

    def heading(self, step: Step, *, number: int) -> None:
        """Begin a step."""
        self._print()
        title = Text.assemble((f"{number} ", "bold cyan"), (step.about, "bold"))
        line = Table.grid(expand=True)
        line.add_column()
        line.add_column(justify="right", style="dim")
        line.add_row(title, step.name)
        self._print(line)

    def said(self, who: str, text: Text | str, *, after: timedelta | None = None) -> None:
        """Somebody said something, so long after the owner's last word."""
        when = f"+{after.total_seconds():.1f} s" if after is not None else ""
        style = "bold magenta" if after is None else "bold green"
        body = Text(clean(text)) if isinstance(text, str) else text
        self._row(Text(who, style=style), body, Text(when, style="dim"))

    def heard(self, message: ChatMessage, *, after: timedelta) -> None:
        """A message of the service, with its buttons."""
        if message.text and message.document is None:
            self.said("agentos", _styled(message), after=after)
        for row in message.keyboard:
            buttons = "  ".join(f"[ {one_line(label)} ]" for label in row)
            self._row("", Text(buttons, style="cyan"), "")

    def note(self, words: str) -> None:
        """What happens beside the conversation."""
        self._row("", Text(clean(words), style="dim"), "")

    def file(self, name: str, content: bytes, *, after: timedelta) -> None:
        """A file that arrived: what it is called, and how it begins when it is a text."""
        self._row("", Text.assemble("📎 ", (name, "bold"), f"  {len(content)} bytes"), _span(after))
        if name.endswith(".md"):
            lines = [line for line in clean(content.decode(errors="replace")).split("\n") if line]
            more = ["…"] if len(lines) > _SHOWN_LINES else []
            for line in [*lines[:_SHOWN_LINES], *more]:
                self._row("", Text(f"│ {line}", style="dim"), "")

    def picture(self, name: str, picture: Picture, *, after: timedelta) -> None:
        """A picture that arrived; it is drawn where there are colours."""
        told = f"  {picture.width} × {picture.height} pixels"
        self._row("", Text.assemble("🖼  ", (name, "bold"), told), _span(after))
        if self._console.color_system is not None:
            room = max(1, self._console.width - _WHO - _WHEN)
            self._row("", drawn(picture, columns=min(room, _PICTURE_COLUMNS)), "")

    def checked(self, check: Check) -> None:
        """Whether something is as it should be."""
        mark = ("✓ ", "green") if check.holds else ("✗ ", "bold red")
        self._row("", Text.assemble(mark, check.claim), "")

    def stuck(self, problem: str) -> None:
        """A step that could not be played to its end."""
        self._row("", Text.assemble(("✗ ", "bold red"), clean(problem)), "")

    @contextmanager
    def waiting(self) -> Iterator[None]:
        """While something is awaited: what is being written, where a screen can show it."""
        if not self._console.is_terminal:
            yield
            return
        with Live(console=self._console, transient=True, auto_refresh=False) as live:
            self._live = live
            try:
                yield
            finally:
                live.update(Text(), refresh=True)
                self._live = None

    def writing(self, draft: str) -> None:
        """The answer so far."""
        if self._live is not None:
            cursor = Text(clean(draft), style="dim")
            grid = _grid()
            grid.add_row(Text("agentos", style="green"), cursor.append(" ▌"), "")
            self._live.update(grid if draft else Text(), refresh=True)

    def summary(self, report: Report) -> None:
        """The table at the end, the totals, and how it went."""
        table = Table(box=box.SIMPLE_HEAD, expand=True, pad_edge=False)
        table.add_column("step", no_wrap=True)
        table.add_column("what was checked", ratio=1)
        table.add_column("seconds", justify="right", no_wrap=True)
        table.add_column("", no_wrap=True)
        for step in report.steps:
            verdict = Text(step.verdict, style=_VERDICTS[step.verdict])
            table.add_row(step.name, _claims(step), f"{step.seconds:.1f}", verdict)
        self._print()
        self._print(table)
        for line in _totals(report.totals):
            self._print(Text(line))
        self._verdict(report)

    def _verdict(self, report: Report) -> None:
        took = f"in {report.seconds:.0f} seconds"
        self._print()
        if report.passed:
            words = f"All {len(report.steps)} steps passed {took}. Your turn: agentos chat"
            self._print(Text(words, style="bold green"))
            return
        words = f"Failed {took}: {', '.join(report.failed)}."
        self._print(Text(words, style="bold red"))
        if report.kept is not None:
            self._print(Text(f"What it left is in {report.kept}", overflow="fold"))

    def _row(self, who: Text | str, text: Text, when: Text | str) -> None:
        grid = _grid()
        grid.add_row(who, text, when)
        self._print(grid)

    def _print(self, *what: RenderableType) -> None:
        """Print; into a file or a pipe without the spaces that fill a line."""
        if self._console.is_terminal:
            self._console.print(*what)
            return
        with self._console.capture() as captured:
            self._console.print(*what)
        lines = captured.get().splitlines()
        self._console.file.write("".join(line.rstrip() + "\n" for line in lines))
        self._console.file.flush()


def _grid() -> Table:
    grid = Table.grid(expand=True)
    grid.add_column(width=_WHO, no_wrap=True)
    grid.add_column(ratio=1)
    grid.add_column(width=_WHEN, justify="right", no_wrap=True)
    return grid


def _span(after: timedelta) -> Text:
    return Text(f"+{after.total_seconds():.1f} s", style="dim")


def _styled(message: ChatMessage) -> Text:
    """The text with its emphasis. Telegram counts places in UTF-16 units."""
    units = message.text.encode("utf-16-le")
    text = Text(clean(message.text).rstrip())
    for mark in message.entities:
        style = _STYLES.get(mark["type"])
        if style is not None:
            start = _letters(units[: mark["offset"] * 2])
            length = _letters(units[mark["offset"] * 2 : (mark["offset"] + mark["length"]) * 2])
            text.stylize(style, start, start + length)
    return text


def _letters(units: bytes) -> int:
    return len(units.decode("utf-16-le", errors="replace"))


def _claims(step: Step) -> Text:
    text = Text("\n").join(
        Text(one.claim) if one.holds else Text(f"✗ {one.claim}", style="red") for one in step.checks
    )
    if step.problem:
        text.append(("\n" if step.checks else "") + f"✗ {step.problem}", style="red")
    return text


def _totals(totals: Totals) -> Sequence[str]:
    return (
        f"{totals.messages_in} messages and taps in, {totals.messages_out} messages out, "
        f"{totals.files} of them files.",
        f"{totals.jobs} jobs, {totals.tool_calls} tool calls, {totals.model_calls} model calls, "
        f"{totals.input_tokens:,} tokens in, {totals.output_tokens:,} out.",
        f"The slowest 👀 came after {totals.slowest_acknowledgement_ms} ms. "
        f"At Claude's prices this would have been ${totals.cost_usd:.2f}.",
    )
