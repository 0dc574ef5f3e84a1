"""A stand-in as a child process: start it, learn its url, stop it."""

from collections.abc import Sequence
from typing import Literal, Self

from agentos.loopback.process import LoopbackProcess

Kind = Literal["messages", "gemini", "responses", "bot"]


class StandinProcess(LoopbackProcess):
    """One running stand-in. It dies with this process, also when that is killed."""

    @classmethod
    async def start(cls, kind: Kind, *, args: Sequence[str] = ()) -> Self:
        """Start one and wait until it listens; `args` go to `python -m agentos.standins KIND`."""
        return await cls.launch(_arguments(kind, args), name=f"the {kind} stand-in")

    @classmethod
    def start_blocking(cls, kind: Kind, *, args: Sequence[str] = ()) -> Self:
        """The same for callers without an event loop."""
        return cls.launch_blocking(_arguments(kind, args), name=f"the {kind} stand-in")


def _arguments(kind: Kind, args: Sequence[str]) -> list[str]:
    return ["-m", "agentos.standins", kind, "--with-parent", *args]
