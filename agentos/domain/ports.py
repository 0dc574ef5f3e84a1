"""The ports: what the rooms need from each other, without knowing who brings it."""

from collections.abc import AsyncIterator
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from agentos.domain.frames import (
    Asked,
    Assignment,
    ChildFailed,
    Heartbeat,
    Ready,
    SessionOpened,
    Spent,
    TextDelta,
    ToolEnded,
    ToolStarted,
    Turn,
    TurnEnded,
)

if TYPE_CHECKING:
    # Not at run time: a worker's child knows this module, and no tables (20 MB it would carry).
    from agentos.domain.progress import Mark
    from agentos.domain.talk import Message, Outgoing

Event = SessionOpened | TextDelta | ToolStarted | ToolEnded | Spent | TurnEnded
UpFrame = Event | Asked | Ready | Heartbeat | ChildFailed


class Clock(Protocol):
    """Where the time comes from, so that a demo and a test can move it."""

    def now(self) -> datetime:
        """The time, aware, in UTC."""
        ...

    async def sleep_until(self, moment: datetime) -> None:
        """Return when `now()` has reached the moment."""
        ...


class Backend(Protocol):
    """What runs an agent: one open session of it, turn by turn."""

    async def open(self, assignment: Assignment) -> None:
        """Start the session. Raises BackendFailed when it cannot be started."""
        ...

    def turn(self, turn: Turn) -> AsyncIterator[Event]:
        """Do one turn; the last event is always its TurnEnded.

        When the session that was to be resumed is gone, a new one begins with `turn.if_lost`
        before the prompt, and its SessionOpened says `lost`.
        """
        ...

    async def nudge(self, text: str) -> bool:
        """Tell the session something while a turn runs; False when this backend cannot."""
        ...

    async def close(self) -> None:
        """End the session and whatever it started."""
        ...


class Channel(Protocol):
    """A way to talk. Each has a name, which begins its conversations: "telegram:42"."""

    name: str
    # Whether what was said can be changed where it stands.
    edits_in_place: bool

    async def run(self) -> None:
        """Receive until cancelled; a message is stored before it is acknowledged."""
        ...

    async def acknowledge(self, message: "Message") -> None:
        """Show that a message has arrived. Best effort, within 300 ms, before any model call."""
        ...

    async def preview(self, message: "Message", *, text: str) -> None:
        """Show the answer so far (all of it, not the newest piece). Best effort, paced."""
        ...

    async def mark(self, message: "Message", mark: "Mark") -> None:
        """Show at the owner's message how far it is. Best effort."""
        ...

    async def progress(self, row: "Outgoing", *, text: str) -> bool:
        """Show how the work is getting on that a row told of; silent, in its place, plain text.

        Best effort, and no row of its own: False when it was not shown, for whatever reason.
        """
        ...

    async def fetch(self, attachment: dict[str, Any], *, folder: Path) -> Path:
        """Bring a file that came with a message into a folder of ours.

        Raises BadRequest when it never will work (too big), ChannelDown when it may later.
        """
        ...

    async def ready(self, conversation: str) -> None:
        """Return when something can be delivered there; at once for most channels."""
        ...

    async def deliver(self, row: "Outgoing") -> str | None:
        """Say one outbox row; returns the channel's id of it.

        Raises ChannelDown when it may be tried again, BadRequest when it never will work.
        """
        ...


class Reception(Protocol):
    """Where a channel brings what came in. Each call returns when it is committed."""

    async def receive(self, message: "Message") -> "Message | None":
        """Store a message and have it acknowledged and handled; None when it was known already."""
        ...

    async def edited(
        self,
        *,
        channel: str,
        external_message_id: str,
        text: str,
        conversation: str | None = None,
    ) -> None:
        """Somebody changed a message; one that is not handled yet is changed too."""
        ...

    async def tapped(self, *, card_id: int, key: str, via: str) -> str:
        """The owner tapped an option; returns a few words to show at the button."""
        ...

    async def pressed(self, *, job_id: int, verb: str, via: str) -> str:
        """The owner pressed a button at a job's message; returns a few words to show there."""
        ...
