"""How the jobs stand, for those who tell the owner: what each does now, or why it waits."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from zoneinfo import ZoneInfo

from sqlalchemy import Connection

from agentos.domain.ports import Clock
from agentos.engine.claiming import Claims, Present
from agentos.engine.dispatcher import Dispatcher
from agentos.engine.waiting import Explainer

_LOOK_AHEAD = 200


@dataclass(frozen=True)
class Look:
    """What the daemon knew at one moment that is not in the rows."""

    present: Present
    # By job id, in words.
    doing: Mapping[int, str] = field(default_factory=dict)


class Outlook:
    """Looks for others: `now` in the daemon's loop, `explainer` in any thread."""

    def __init__(
        self, *, dispatcher: Dispatcher, claims: Claims, clock: Clock, zone: ZoneInfo
    ) -> None:
        self._dispatcher = dispatcher
        self._claims = claims
        self._clock = clock
        self._zone = zone

    def now(self) -> Look:
        """What is under way."""
        return Look(present=self._dispatcher.present(), doing=self._dispatcher.doing())

    def explainer(self, connection: Connection, look: Look) -> Explainer:
        """Who says why a queued job waits, as `pm engine status` does."""
        preview = self._claims.preview(connection, look.present, limit=_LOOK_AHEAD)
        return Explainer(
            connection,
            now=self._clock.now(),
            zone=self._zone,
            held=preview.choice.held,
            startable=[job.id or 0 for job in preview.choice.start],
        )
