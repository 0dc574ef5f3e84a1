"""Which of the waiting jobs start now. Pure: the queue and the room in, a choice out."""

from collections.abc import Sequence
from dataclasses import dataclass

from agentos.domain.work import Job, Lane


@dataclass(frozen=True)
class Room:
    """How many jobs run, and how many may: `slots`, and one more that only urgent work takes."""

    slots: int
    running: int

    @property
    def free(self) -> int:
        """Slots that any job may take."""
        return max(0, self.slots - self.running)

    @property
    def free_for_urgent(self) -> int:
        """Slots that an urgent job may take, the reserved one with them."""
        return max(0, self.slots + 1 - self.running)


def choose(ready: Sequence[Job], *, room: Room) -> list[Job]:
    """The jobs to start, first the urgent ones; `ready` is in the order of the lanes.

    The reserved slot keeps the owner from waiting behind maintenance: when every other slot is
    taken, one job of lane 0 still starts.
    """
    chosen: list[Job] = []
    for job in ready:
        taken = len(chosen)
        limit = room.free_for_urgent if job.lane == Lane.urgent else room.free
        if taken < limit:
            chosen.append(job)
    return chosen
