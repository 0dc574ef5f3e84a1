"""How a worker's CLI reaches its model: one variable a backend in the worker's environment.

The daemon writes it (`roster.py`), the worker reads it. It never holds the owner's key: `token` is
good at the gateway at `url` and nowhere else.
"""

import asyncio
from collections.abc import Mapping
from pathlib import Path
from typing import Self

from pydantic import BaseModel, ConfigDict, ValidationError

from agentos.backends.capabilities import OTHERS
from agentos.backends.npm import is_being_installed
from agentos.errors import BackendMissing

# Not of the form AGENTOS_<SECTION>__<KEY>: these are no settings. No CLI is given them.
PREFIX = "AGENTOS_REACH_"
_POLL_SECONDS = 0.2


class Reach(BaseModel):
    """Where a CLI is and how it gets to a model."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    backend: str
    # The program itself; may not be there (yet), which the first use tells.
    program: Path
    # What PATH has to be for the program to find its interpreter.
    path: str
    # Where the model is: an address that takes what comes after the provider's own base address.
    url: str
    token: str
    # The model of a session that asks for none.
    model: str
    # For the CLI's own files: settings and sessions. Under home, so they are ours.
    state: Path

    @property
    def variable(self) -> tuple[str, str]:
        """Its name and value in the environment of a worker."""
        return PREFIX + self.backend.upper(), self.model_dump_json()

    @classmethod
    def of(cls, backend: str, environment: Mapping[str, str]) -> Self:
        """What the environment of this worker says. Raises BackendMissing when it says nothing."""
        try:
            return cls.model_validate_json(environment[PREFIX + backend.upper()])
        except (KeyError, ValidationError) as error:
            raise BackendMissing(backend=backend, problem=not_in_use(backend)) from error

    def check(self) -> None:
        """Raises BackendMissing when the CLI is not there."""
        if not self.program.is_file():
            problem = f"its CLI is missing: there is no {self.program}; restart agentos to get it"
            raise BackendMissing(backend=self.backend, problem=problem)

    async def ready(self) -> None:
        """Wait while the CLI is being installed. Raises BackendMissing when it is not there."""
        while not self.program.is_file() and is_being_installed(self.program):  # noqa: ASYNC110
            await asyncio.sleep(_POLL_SECONDS)  # another process installs it
        self.check()


def not_in_use(backend: str) -> str:
    """What to do about a backend that is known, but not configured."""
    mend = f'put use = ["{backend}"] under [backends] in config.toml and restart'
    return f"it is not in use; {mend}" if backend in OTHERS else "there is no such backend"
