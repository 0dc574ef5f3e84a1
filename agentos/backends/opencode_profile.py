"""What opencode is told of a session: its model, what its tools may do, where its files are.

All of its folders are ours, so nothing of the owner's own opencode is read or changed; and nothing
that lies in the folder of a job is settings or instructions for it.
"""

import json
import os
import secrets
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil

from agentos.backends.reach import Reach
from agentos.domain.frames import Access, Assignment

AGENT = "agentos"
# Those that a gateway of ours leads to, each with what its client puts between address and path.
_PROVIDERS = {"anthropic": "/v1", "google": "/v1beta", "openai": ""}
_ASKED = ("read", "edit", "bash", "webfetch", "websearch")
# These need ripgrep, and it would be fetched from the net by opencode itself.
_SEARCHING = ("glob", "grep", "list")
# Outside of its folder the tool itself is asked for, too.
_FREE = ("external_directory", "todowrite")
# What an answer that has to be an object is given with.
_ANSWERING = "StructuredOutput"
_LIBRARY = "@opencode-ai/plugin"
# Nothing is fetched, shared or told, and nothing is read that others have put somewhere.
_SWITCHES = (
    "OPENCODE_DISABLE_AUTOUPDATE",
    "OPENCODE_DISABLE_CLAUDE_CODE",
    "OPENCODE_DISABLE_DEFAULT_PLUGINS",
    "OPENCODE_DISABLE_EXTERNAL_SKILLS",
    "OPENCODE_DISABLE_LSP_DOWNLOAD",
    "OPENCODE_DISABLE_MODELS_FETCH",
    "OPENCODE_DISABLE_PROJECT_CONFIG",
    "OPENCODE_DISABLE_SHARE",
    "OPENCODE_EXPERIMENTAL_DISABLE_FILEWATCHER",
    "OPENCODE_PURE",
)


@dataclass(frozen=True)
class Model:
    """A model as opencode names it: "anthropic/claude-…"."""

    provider: str
    name: str


@dataclass(frozen=True)
class Profile:
    """One session's settings, written down."""

    folder: Path
    variables: Mapping[str, str]
    # What a client of its server has to show.
    password: str = field(repr=False)


def model_of(wanted: str, *, usual: str) -> Model:
    """The model of a session; one without a provider is of the same as the usual model."""
    provider, found, name = (wanted or usual).partition("/")
    if found and provider in _PROVIDERS:
        return Model(provider, name)
    usually = usual.partition("/")[0]
    return Model(usually if usually in _PROVIDERS else "openai", wanted or usual)


def write(assignment: Assignment, reach: Reach) -> Profile:
    """Write the settings of a session into a folder of this process."""
    sweep(reach.state)
    ours = reach.state / "run" / str(os.getpid())
    ours.mkdir(parents=True, exist_ok=True)
    ours.chmod(0o700)
    file = ours / "opencode.json"
    file.write_text(json.dumps(_settings(assignment, reach)), encoding="utf-8")
    _as_if_installed(reach.state / "config" / "opencode")
    password = secrets.token_urlsafe(24)
    folders = {
        f"XDG_{name}_HOME": str(reach.state / name.lower())
        for name in ("CACHE", "CONFIG", "DATA", "STATE")
    }
    variables = {
        **folders,
        **dict.fromkeys(_SWITCHES, "true"),
        "OPENCODE_CONFIG": str(file),
        "OPENCODE_SERVER_PASSWORD": password,
        # Where it looks for `.opencode`; commands keep the home they have.
        "OPENCODE_TEST_HOME": str(reach.state),
        "PATH": reach.path,
    }
    return Profile(ours, variables, password)


def _as_if_installed(folder: Path) -> None:
    """It would fetch its library for plugins from npm at each start, were that not there."""
    (folder / "node_modules").mkdir(parents=True, exist_ok=True)
    locked = {"lockfileVersion": 3, "packages": {"": {"dependencies": {_LIBRARY: "*"}}}}
    aside = folder / f".package-lock.{os.getpid()}"
    aside.write_text(json.dumps(locked), encoding="utf-8")
    aside.replace(folder / "package-lock.json")


def remove(profile: Profile) -> None:
    """Remove the settings of a session."""
    shutil.rmtree(profile.folder, ignore_errors=True)


def sweep(state: Path) -> None:
    """Remove what workers have left that were killed."""
    for left in state.glob("run/*"):
        if not left.name.isdecimal() or not psutil.pid_exists(int(left.name)):
            shutil.rmtree(left, ignore_errors=True)


def _settings(assignment: Assignment, reach: Reach) -> dict[str, Any]:
    model = model_of(assignment.model, usual=reach.model)
    named = f"{model.provider}/{model.name}"
    options = {"baseURL": reach.url.rstrip("/") + _PROVIDERS[model.provider], "apiKey": reach.token}
    permission = {"*": "deny", _ANSWERING: "allow"}
    if assignment.access is Access.work:
        permission |= {**dict.fromkeys(_ASKED, "ask"), **dict.fromkeys(_FREE, "allow")}
        if shutil.which("rg", path=reach.path):
            permission |= dict.fromkeys(_SEARCHING, "ask")
    provider: dict[str, Any] = {"options": options}
    return {
        "autoupdate": False,
        "share": "disabled",
        "snapshot": False,
        "enabled_providers": [model.provider],
        # A name that it does not know yet is the provider's to know.
        "provider": {
            model.provider: {**provider, "models": {model.name: {}}} if model.name else provider
        },
        **({"model": named, "small_model": named} if model.name else {}),
        "permission": permission,
        # What it is comes with each turn: in a file of settings, `{env:…}` would be put in.
        "agent": {AGENT: {"mode": "primary", "prompt": "agentos", "permission": permission}},
        "default_agent": AGENT,
    }
