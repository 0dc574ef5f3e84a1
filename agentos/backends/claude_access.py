"""How the Claude CLI gets to a model on this machine: which credentials there are, and where it is.

It is looked at without importing the SDK, because the daemon does not.
"""

import importlib.util
import json
import os
import secrets
import shutil
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from agentos.loopback.process import LoopbackProcess

_ANTHROPIC = "https://api.anthropic.com"
_KEYS = ("ANTHROPIC_API_KEY", "CLAUDE_CODE_OAUTH_TOKEN", "ANTHROPIC_AUTH_TOKEN")
_STATUS_SECONDS = 20.0


@dataclass(frozen=True)
class Credentials:
    """A key of the owner's, under the name of the variable it came in, and where it is good for."""

    name: str
    value: str = field(repr=False)
    base_url: str

    @property
    def headers(self) -> dict[str, str]:
        """How a request shows it."""
        if self.name == "ANTHROPIC_API_KEY":
            return {"x-api-key": self.value}
        return {"authorization": f"Bearer {self.value}"}

    @property
    def source(self) -> str:
        """What the owner is told of it."""
        if self.base_url:
            return f"the model at {self.base_url}"
        return "Claude (API key)" if self.name == "ANTHROPIC_API_KEY" else "Claude (token)"


@dataclass(frozen=True)
class ModelAccess:
    """How a child reaches a model."""

    # What the owner is told: "Claude (API key)", "the model at http://…", "the built-in stand-in".
    source: str
    # The variables that the CLI reads: its address and what it shows there. Never the owner's key.
    variables: Mapping[str, str] = field(default_factory=dict)
    # The CLI's own folder for its sessions; None leaves it where the owner logged in.
    config_folder: Path | None = None
    is_standin: bool = False


def find_credentials(*, base_url: str, known: Mapping[str, str]) -> Credentials | None:
    """The owner's key, from the environment or `.env`; None when there is none."""
    for name in _KEYS:
        if value := known.get(name):
            return Credentials(name, value, base_url)
    return None


async def open_gateway(
    credentials: Credentials, *, config_folder: Path
) -> tuple[ModelAccess, LoopbackProcess]:
    """Access through a gateway that alone knows the key, and the gateway's process."""
    token = secrets.token_urlsafe(24)
    settings = {
        "upstream": credentials.base_url or _ANTHROPIC,
        "token": token,
        "headers": credentials.headers,
    }
    gateway = await LoopbackProcess.launch(
        ["-m", "agentos.backends.gateway"],
        name="the gateway to the model",
        secret=json.dumps(settings).encode() + b"\n",
    )
    variables = {"ANTHROPIC_BASE_URL": gateway.url, credentials.name: token}
    return ModelAccess(credentials.source, variables, config_folder), gateway


def open_access(base_url: str, *, config_folder: Path) -> ModelAccess:
    """Access to a server that needs no key."""
    variables = {"ANTHROPIC_BASE_URL": base_url, "ANTHROPIC_API_KEY": "not-needed"}
    return ModelAccess(f"the model at {base_url}", variables, config_folder)


def standin_access(url: str, *, config_folder: Path) -> ModelAccess:
    """Access to the built-in stand-in model."""
    variables = {"ANTHROPIC_BASE_URL": url, "ANTHROPIC_API_KEY": "stand-in"}
    return ModelAccess("the built-in stand-in model", variables, config_folder, is_standin=True)


def login_access() -> ModelAccess | None:
    """Access by the owner's own login of the Claude CLI; None when there is no login."""
    return ModelAccess("Claude (your login of the Claude CLI)") if logged_in() else None


def find_cli() -> Path | None:
    """The CLI that the SDK brings, or one on the PATH, or None."""
    package = importlib.util.find_spec("claude_agent_sdk")
    if package is not None and package.origin is not None:
        bundled = Path(package.origin).parent / "_bundled" / "claude"
        if bundled.is_file():
            return bundled
    found = shutil.which("claude")
    return Path(found) if found else None


def logged_in() -> bool:
    """Whether somebody has logged in with the Claude CLI here; it asks the CLI itself."""
    cli = find_cli()
    if cli is None:
        return False
    environment = {name: value for name, value in os.environ.items() if name not in _KEYS}
    try:
        answer = subprocess.run(
            [cli, "auth", "status", "--json"],
            capture_output=True,
            timeout=_STATUS_SECONDS,
            env=environment,
            stdin=subprocess.DEVNULL,
            check=False,
        )
        return bool(json.loads(answer.stdout).get("loggedIn"))
    except (OSError, subprocess.TimeoutExpired, json.JSONDecodeError, AttributeError):
        return False
