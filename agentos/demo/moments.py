"""Moments of the story, kept as pages: the chat as it looked then."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from zoneinfo import ZoneInfo

from agentos.demo import page
from agentos.standins.telegram_user import ChatView


@dataclass(frozen=True)
class Moment:
    """What a person saw at a moment of the story, and what it is called."""

    name: str
    title: str
    view: ChatView


class Moments:
    """Those that were kept, in their order."""

    def __init__(self) -> None:
        self._kept: list[Moment] = []

    def keep(self, name: str, *, title: str, view: ChatView, since: int = 0) -> None:
        """Keep the chat as it is, from message `since` on; a name kept before is replaced."""
        shown = [one for one in view.messages if one.message_id >= since]
        seen = view.model_copy(update={"messages": shown})
        self._kept = [one for one in self._kept if one.name != name]
        self._kept.append(Moment(name, title, seen))

    def write(self, folder: Path, *, files: Mapping[str, bytes], zone: ZoneInfo) -> list[Path]:
        """Write each as `<name>.html`; returns the paths. Raises OSError."""
        folder.mkdir(parents=True, exist_ok=True)
        paths = []
        for moment in self._kept:
            path = folder / f"{moment.name}.html"
            drawn = page.draw(moment.view, title=moment.title, zone=zone, files=files)
            path.write_text(drawn, encoding="utf-8")
            paths.append(path)
        return paths
