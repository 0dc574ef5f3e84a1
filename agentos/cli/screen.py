"""What a person sees in the terminal: replies in Markdown, answers as they are written, cards."""

from pathlib import Path

from rich.console import Console
from rich.live import Live
from rich.markdown import Markdown
from rich.text import Text

from agentos.cli.conversation import Said
from agentos.control.plain import clean, one_line

PROMPT = "› "
_SHOWN_LINES = 12
_SHOWN_BYTES = 64 * 1024
_TEXTS = {".md", ".txt", ".csv", ".json", ".toml", ".yaml", ".yml", ".py", ".log"}


class Screen:
    """Prints between the lines that are typed: each output starts on a fresh line."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._live: Live | None = None
        self._live_message: int | None = None
        self._prompted = False

    def note(self, words: str) -> None:
        """A quiet line of our own."""
        self._fresh_line()
        self._console.print(Text(clean(words), style="dim"))

    def prompt(self) -> None:
        """Invite to type."""
        if self._live is None and not self._prompted:
            self._console.print(PROMPT, end="", style="bold cyan")
            self._console.file.flush()
            self._prompted = True

    def typed(self) -> None:
        """The person has ended a line, so the cursor is on a fresh one."""
        self._prompted = False

    async def said(self, said: Said) -> None:
        """Show a row."""
        self._end_preview(said.message_id)
        self._fresh_line()
        if said.uncertain:
            self._console.print(Text("↻ said again after a hiccup", style="dim"))
        if said.news.strip():
            self._console.print(_markdown(said.news))
        for number, option in enumerate(said.options, start=1):
            self._console.print(Text.assemble((f"  {number} ", "bold cyan"), clean(option.label)))
        if said.options:
            self._console.print(Text("  type a number to choose", style="dim"))
        if said.file is not None:
            self._show_file(said.file)
        self.prompt()

    def preview(self, message_id: int, text: str) -> None:
        """Show the answer so far; the whole one takes its place."""
        if self._live is None:
            self._fresh_line()
            self._live = Live(console=self._console, auto_refresh=False, transient=True)
            self._live.start()
        self._live_message = message_id
        self._live.update(_markdown(text), refresh=True)

    def arrived(self, message_id: int) -> None:
        """Show that a message has arrived."""
        self.note("· received")
        self.prompt()

    def working(self, text: str) -> None:
        """Show how some work is getting on, unless an answer is being written."""
        if self._live is None:
            self.note(" · ".join(text.splitlines()))
            self.prompt()

    def close(self) -> None:
        """Leave the cursor on a fresh line."""
        self._end_preview(self._live_message)
        self._fresh_line()

    def _end_preview(self, message_id: int | None) -> None:
        if self._live is not None and message_id == self._live_message:
            self._live.stop()
            self._live = None

    def _fresh_line(self) -> None:
        if self._prompted:
            self._console.print()
            self._prompted = False

    def _show_file(self, file: Path) -> None:
        self._console.print(Text.assemble("  📎 ", (describe(file), "bold")), soft_wrap=True)
        for line in first_lines(file):
            self._console.print(Text(f"  │ {line}", style="dim"), no_wrap=True, overflow="ellipsis")


def describe(file: Path) -> str:
    """A file's place and its size."""
    try:
        count = file.stat().st_size
    except OSError:
        return f"{one_line(str(file))} (not there any more)"
    unit = f"{count} B" if count < 1000 else f"{count / 1000:.1f} KB"
    return f"{one_line(str(file))} ({unit})"


def first_lines(file: Path) -> list[str]:
    """How a small text begins; nothing of anything else."""
    try:
        if file.suffix.lower() not in _TEXTS or file.stat().st_size > _SHOWN_BYTES:
            return []
        lines = clean(file.read_text(encoding="utf-8")).strip().split("\n")
    except (OSError, UnicodeDecodeError):
        return []
    return lines[:_SHOWN_LINES] + (["…"] if len(lines) > _SHOWN_LINES else [])


def _markdown(text: str) -> Markdown:
    """What we say, with its line ends: in a chat a new line is one, in Markdown it needs a sign."""
    lines, in_code = [], False
    for line in clean(text).strip().split("\n"):
        is_fence = line.lstrip().startswith("```")
        in_code ^= is_fence
        lines.append(line if in_code or is_fence or not line.strip() else f"{line}  ")
    return Markdown("\n".join(lines), hyperlinks=False)
