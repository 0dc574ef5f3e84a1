"""The other backends, seen from the daemon: their CLIs are installed, their gateways run.

Nothing here holds up a start: a CLI that is not there yet is fetched meanwhile, and a backend that
cannot work says why in one line.
"""

import asyncio
import json
import secrets
import shutil
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from agentos import log as logs
from agentos.backends import npm
from agentos.backends.reach import Reach, not_in_use
from agentos.config import Config
from agentos.errors import AgentosError, BackendFailed
from agentos.loopback.process import LoopbackProcess
from agentos.settings import Cli

log = logs.get(__name__)
# Sees to it that a server of ours lives as long as we do.
KeepAlive = Callable[[LoopbackProcess, str], Awaitable[None]]


@dataclass(frozen=True)
class Provider:
    """Who runs a model: where, under which names its key is known, how a request shows it."""

    url: str
    keys: tuple[str, ...]
    header: str
    before: str = ""

    def headers(self, key: str) -> dict[str, str]:
        """What a request carries."""
        return {self.header: self.before + key}


PROVIDERS: Mapping[str, Provider] = {
    "openai": Provider(
        "https://api.openai.com/v1", ("OPENAI_API_KEY",), "authorization", "Bearer "
    ),
    "google": Provider(
        "https://generativelanguage.googleapis.com",
        ("GEMINI_API_KEY", "GOOGLE_API_KEY"),
        "x-goog-api-key",
    ),
    "anthropic": Provider("https://api.anthropic.com", ("ANTHROPIC_API_KEY",), "x-api-key"),
}


def provider_of(backend: str, *, model: str) -> str:
    """Whose model a backend uses: opencode says it in the name of the model, "openai/…"."""
    match backend:
        case "codex":
            return "openai"
        case "gemini":
            return "google"
        case _:
            named = model.partition("/")[0]
            return named if named in PROVIDERS else "openai"


class Roster:
    """The backends of `[backends] use`, each with how far it is."""

    def __init__(self, config: Config, *, folder: Path) -> None:
        """`folder` is where CLIs and their files are: `backends` in home."""
        self._config = config
        self._folder = folder
        self._reaches: dict[str, Reach] = {}
        self._problems: dict[str, str] = {}
        self._installing: set[str] = set()
        self._tasks: list[asyncio.Task[None]] = []

    async def open(self, *, known: Mapping[str, str], keep_alive: KeepAlive) -> None:
        """Start the gateways, and the installing of what is missing; `known` has the keys."""
        for name in self._config.backends.use:
            try:
                self._reaches[name] = await self._reach(name, known=known, keep_alive=keep_alive)
            except AgentosError as error:
                self._wrong(name, str(error.fields.get("problem", error)))
                continue
            except OSError as error:  # a full disk, above all
                self._wrong(name, f"{self._folder} cannot be written: {error.strerror or error}")
                continue
            if not self._reaches[name].program.is_file():
                self._installing.add(name)
                self._tasks.append(asyncio.create_task(self._install(name)))

    async def close(self) -> None:
        """Stop installing; what was fetched so far is dropped."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def variables(self) -> dict[str, str]:
        """What a worker's environment has to say of each: its address and a token for it."""
        return dict(reach.variable for reach in self._reaches.values())

    def missing(self) -> dict[str, str]:
        """Each backend that cannot be used, and how that is mended, in one line."""
        others = {name: not_in_use(name) for name in npm.PACKAGES if name not in self._reaches}
        return {**others, **self._problems}

    def coming(self) -> dict[str, str]:
        """Each backend that cannot be used yet, and what its jobs wait for."""
        return {name: f"{name} is being installed" for name in self._installing}

    async def installed(self) -> None:
        """Wait until nothing is being installed any more."""
        await asyncio.gather(*self._tasks)

    async def _reach(self, name: str, *, known: Mapping[str, str], keep_alive: KeepAlive) -> Reach:
        settings: Cli = getattr(self._config, name)
        provider = PROVIDERS[provider_of(name, model=settings.model)]
        url, token = settings.base_url, "not-needed"
        key = next((known[each] for each in provider.keys if known.get(each)), "")
        if key:
            token = secrets.token_urlsafe(24)
            gateway = await _gateway(name, settings, provider, key=key, token=token)
            await keep_alive(gateway, f"gateway of {name}")
            url = gateway.url
        elif not url:
            mend = f"set {provider.keys[0]} in .env or the environment, and restart"
            raise BackendFailed(backend=name, problem=f"it has no key; {mend}")
        return Reach(
            backend=name,
            program=self._program(name, settings),
            path=npm.path_with_node(self._folder),
            url=url,
            token=token,
            model=settings.model,
            state=self._folder / name / "state",
        )

    def _program(self, name: str, settings: Cli) -> Path:
        if not settings.command:
            return npm.program(name, folder=self._folder)
        found = shutil.which(settings.command)
        if found is None:
            mend = f"correct [{name}] command in config.toml, or leave it out to have it installed"
            problem = f"there is no program {settings.command}; {mend}"
            raise BackendFailed(backend=name, problem=problem)
        return Path(found)

    async def _install(self, name: str) -> None:
        try:
            program = await npm.install(name, folder=self._folder)
        except BackendFailed as error:
            self._wrong(name, str(error.fields["problem"]))
        else:
            log.info("backend_installed", backend=name, program=str(program))
        self._installing.discard(name)

    def _wrong(self, name: str, problem: str) -> None:
        self._problems[name] = problem
        log.warning("backend_unavailable", backend=name, problem=problem)


async def _gateway(
    name: str, settings: Cli, provider: Provider, *, key: str, token: str
) -> LoopbackProcess:
    told = {
        "upstream": settings.base_url or provider.url,
        "token": token,
        "headers": provider.headers(key),
    }
    return await LoopbackProcess.launch(
        ["-m", "agentos.backends.gateway"],
        name=f"the gateway of {name}",
        secret=json.dumps(told).encode() + b"\n",
    )
