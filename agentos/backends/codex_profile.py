"""The profile of a Codex session: its instructions, where its model is, what its commands may do.

A file rather than options: instructions may be longer than a command line takes. It layers on top
of a `config.toml` that is not there, because CODEX_HOME is ours.
"""

import hashlib
import json
import os
import pwd
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from datetime import timedelta
from pathlib import Path
from typing import Any

from agentos.domain.frames import Access, Assignment

_PREFIX = "worker-"
_KEPT = timedelta(days=2)
# Below home, and below the owner's own home: what no command of a worker's has to read.
_OURS = (".env", "config.toml", "agentos.db", "agentos.db-wal", "agentos.db-shm", "claude")
_OWNERS = (".aws", ".claude", ".codex", ".config/gcloud", ".gnupg", ".kube", ".netrc", ".ssh")
_NO_FEATURES = (
    "apps",
    "browser_use",
    "computer_use",
    "daemon_auto_start",
    "enable_request_compression",
    "goals",
    "hooks",
    "image_generation",
    "in_app_updates",
    "memories",
    "plugins",
    "remote_plugin",
    "skill_search",
    "tool_suggest",
    # Without end, and without a word: the engine tries again, and tells.
    "unbounded_connection_retries",
)


def write(
    assignment: Assignment, *, state: Path, url: str, token_variable: str, folders: Sequence[str]
) -> str:
    """Write the profile of a turn; returns its name. The session's folder names it."""
    mark = hashlib.blake2b(os.fsencode(assignment.working_folder), digest_size=8).hexdigest()
    settings = _settings(assignment, url=url, token_variable=token_variable, folders=folders)
    _replace(state / f"{_PREFIX}{mark}.config.toml", to_toml(settings))
    return f"{_PREFIX}{mark}"


def write_schema(schema: Mapping[str, Any], *, state: Path) -> Path:
    """Write what an answer has to fit; returns the file."""
    text = json.dumps(strict(schema))
    mark = hashlib.blake2b(text.encode(), digest_size=8).hexdigest()
    path = state / f"{_PREFIX}{mark}.schema.json"
    _replace(path, text)
    return path


def sweep(state: Path) -> None:
    """Remove what earlier sessions have left; each turn writes its own anew."""
    for path in state.glob(f"{_PREFIX}*"):
        try:
            if path.stat().st_mtime < time.time() - _KEPT.total_seconds():
                path.unlink()
        except FileNotFoundError:
            continue  # another worker was faster


def _settings(
    assignment: Assignment, *, url: str, token_variable: str, folders: Sequence[str]
) -> dict[str, Any]:
    works = assignment.access is Access.work
    return {
        "developer_instructions": assignment.system_prompt,
        "model_provider": "agentos",
        "approval_policy": "never",
        "default_permissions": "agentos",
        "web_search": "disabled",
        # No start file of the owner's shell runs in a worker.
        "allow_login_shell": False,
        "check_for_update_on_startup": False,
        # Files of this name in the folders of a job are not instructions of ours.
        "project_doc_max_bytes": 0,
        "model_providers": {
            "agentos": {
                "name": "agentos",
                "base_url": url,
                "env_key": token_variable,
                "wire_api": "responses",
                # The engine tries again, and knows for how long: this CLI would wait in silence
                # for as long as the far end says.
                "request_max_retries": 0,
                "stream_max_retries": 0,
                "supports_websockets": False,
            }
        },
        "permissions": {
            "agentos": {
                "filesystem": _files(assignment, folders if works else ()),
                "network": {"enabled": False},
            }
        },
        # No command is shown a variable whose name has KEY, SECRET or TOKEN in it.
        "shell_environment_policy": {"ignore_default_excludes": False},
        "analytics": {"enabled": False},
        "history": {"persistence": "none"},
        "agents": {"enabled": False},
        "skills": {"bundled": {"enabled": False}},
        "features": {
            **dict.fromkeys(_NO_FEATURES, False),
            **({} if works else {"shell_tool": False, "view_image": False}),
        },
    }


def _files(assignment: Assignment, folders: Sequence[str]) -> dict[str, str]:
    """Reading everywhere but where secrets are; writing in the folders of the turn."""
    rules = {":root": "read"}
    home = os.environ.get("AGENTOS_HOME")
    places = [Path(home) / name for name in _OURS] if home else []
    with suppress(KeyError):  # nobody of this number is known here
        places += [Path(pwd.getpwuid(os.getuid()).pw_dir) / name for name in _OWNERS]
    rules.update({str(place): "deny" for place in places if place.exists()})
    if assignment.access is Access.work:
        rules[":tmpdir"] = "write"
        for folder in (assignment.working_folder, *folders):
            rules[os.path.realpath(folder)] = "write"
    return rules


def strict(schema: Any) -> Any:
    """A schema as the API demands it: every property is required, and there are no others."""
    if isinstance(schema, list):
        return [strict(one) for one in schema]
    if not isinstance(schema, Mapping):
        return schema
    made = {name: strict(part) for name, part in schema.items() if name != "default"}
    if isinstance(schema.get("properties"), Mapping):
        # Names of properties are no keywords: one may be called "default".
        made["properties"] = {name: strict(part) for name, part in schema["properties"].items()}
        made["required"] = list(schema["properties"])
        made["additionalProperties"] = False
    return made


def to_toml(settings: Mapping[str, Any], *, path: tuple[str, ...] = ()) -> str:
    """Strings, numbers and truths, in tables of tables."""
    plain = {name: value for name, value in settings.items() if not isinstance(value, Mapping)}
    lines = [f"[{'.'.join(_quoted(part) for part in path)}]"] if path and plain else []
    lines += [f"{_quoted(name)} = {_value(value)}" for name, value in plain.items()]
    text = "\n".join(lines) + "\n" if lines else ""
    for name, value in settings.items():
        if isinstance(value, Mapping):
            text += to_toml(value, path=(*path, name))
    return text


def _value(value: str | int) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value) if isinstance(value, int) else _quoted(value)


def _quoted(text: str) -> str:
    # A basic string of TOML is one of JSON, but for this character.
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")


def _replace(path: Path, text: str) -> None:
    """Write whole or not at all: two runs of one worker may meet here."""
    aside = path.with_name(f".{path.name}.{os.getpid()}")
    aside.write_text(text, encoding="utf-8")
    aside.chmod(0o600)
    aside.replace(path)
