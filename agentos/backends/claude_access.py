"""How the Claude CLI gets to a model on this machine: which credentials there are, and where it is.

It is looked at without importing the SDK, because the daemon does not.
"""

import importlib.util
import json
import os
import shutil
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

_KEYS = ("ANTHROPIC_API_KEY", "CLAUDE_CODE_OAUTH_TOKEN", "ANTHROPIC_AUTH_TOKEN")
_STATUS_SECONDS = 20.0


@dataclass(frozen=True)
class ModelAccess:
    """How a child reaches a model: where, and with which credentials."""

    # What the owner is told: "Claude (API key)", "the model at http://…", "the built-in stand-in".
    source: str
    # The variables that the CLI reads: its address and its key.
    variables: Mapping[str, str] = field(default_factory=dict, repr=False)
    # The CLI's own folder for its sessions; None leaves it where the owner logged in.
    config_folder: Path | None = None
    is_standin: bool = False


def find_access(
    *, base_url: str, secrets: Mapping[str, str], config_folder: Path
) -> ModelAccess | None:
    """The credentials of this machine, or None when there are none.

    A `base_url` of the owner's counts as access by itself: a local server may need no key.
    """
    address = {"ANTHROPIC_BASE_URL": base_url} if base_url else {}
    for name in _KEYS:
        if key := secrets.get(name):
            source = f"the model at {base_url}" if base_url else f"Claude ({_spoken(name)})"
            return ModelAccess(source, {name: key, **address}, config_folder)
    if base_url:
        variables = {"ANTHROPIC_API_KEY": "not-needed", **address}
        return ModelAccess(f"the model at {base_url}", variables, config_folder)
    if logged_in():
        return ModelAccess("Claude (your login of the Claude CLI)")
    return None


def standin_access(url: str, *, config_folder: Path) -> ModelAccess:
    """Access to the built-in stand-in model."""
    variables = {"ANTHROPIC_BASE_URL": url, "ANTHROPIC_API_KEY": "stand-in"}
    return ModelAccess("the built-in stand-in model", variables, config_folder, is_standin=True)


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


def _spoken(name: str) -> str:
    return "API key" if name == "ANTHROPIC_API_KEY" else "token"
