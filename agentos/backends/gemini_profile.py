"""What the Gemini CLI is told of a session: settings, rules for its tools, the system prompt.

GEMINI_CLI_HOME is ours, so nothing of the owner's own Gemini settings is read or changed; and the
folder of a job is not trusted, so nothing that lies in it is: no settings, no servers, no `.env`.
"""

import json
import os
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path

import psutil

from agentos.backends.reach import Reach
from agentos.domain.frames import Access, Assignment

_SETTINGS = {
    "general": {
        "enableAutoUpdate": False,
        "enableAutoUpdateNotification": False,
        # The engine tries again, and knows for how long: this CLI would wait in silence.
        "maxAttempts": 1,
        "retryFetchErrors": False,
        "plan": {"enabled": False},
        "topicUpdateNarration": False,
    },
    "privacy": {"usageStatisticsEnabled": False},
    "telemetry": {"enabled": False},
    "ide": {"enabled": False},
    "security": {"auth": {"selectedType": "gemini-api-key"}, "folderTrust": {"enabled": True}},
    # Files of other names in the folders of a job are not instructions of ours.
    "context": {"fileName": "AGENTOS_HAS_NONE.md", "includeDirectoryTree": False},
    # The terminal of a person and a search program fetched from the net: neither is needed.
    "tools": {"useRipgrep": False, "shell": {"enableInteractiveShell": False}},
    "skills": {"enabled": False},
    "hooksConfig": {"enabled": False},
    "experimental": {"enableAgents": False, "gemma": False},
}
_KEPT = "session-kept-"
_READING = ("list_directory", "read_file", "read_many_files", "grep_search", "glob")
_FREE = ("google_web_search", "write_todos", "list_background_processes", "read_background_output")
_ASKED = ("run_shell_command", "write_file", "replace", "web_fetch")
# As the policy of a worker has them. This CLI asks before it writes, but not before it reads, be it
# by a command (`cat`) that it knows as harmless.
_SECRETS = r"(\.env|\.credentials\.json|agentos\.db|config\.toml|id_rsa|id_ed25519)"
_SECRETS_IN_COMMANDS = r"[^A-Za-z0-9_](\.env|\.credentials\.json|agentos\.db)"


def write(assignment: Assignment, reach: Reach) -> Path:
    """Write the files of a session into a folder of this process; returns that folder."""
    sweep(reach.state)
    ours = reach.state / "run" / str(os.getpid())
    ours.mkdir(parents=True, exist_ok=True)
    ours.chmod(0o700)
    (ours / "system.md").write_text(assignment.system_prompt, encoding="utf-8")
    (ours / "policy.toml").write_text(_policy(assignment.access), encoding="utf-8")
    settings = reach.state / ".gemini" / "settings.json"
    settings.parent.mkdir(parents=True, exist_ok=True)
    aside = settings.with_name(f".settings.{os.getpid()}")
    aside.write_text(json.dumps(_SETTINGS, indent=2), encoding="utf-8")
    aside.replace(settings)  # whole or not at all: other workers read it
    return ours


def remove(ours: Path) -> None:
    """Remove the files of a session."""
    shutil.rmtree(ours, ignore_errors=True)


def sweep(state: Path) -> None:
    """Remove what workers have left that were killed."""
    for left in state.glob("run/*"):
        if not left.name.isdecimal() or not psutil.pid_exists(int(left.name)):
            shutil.rmtree(left, ignore_errors=True)


def keep(session_id: str, *, state: Path) -> None:
    """Move a session's file aside before the session is gone on with.

    The CLI begins a file named by the minute first, and one of the same minute would be lost.
    """
    for file in state.glob(f".gemini/tmp/*/chats/session-*-{_short(session_id)}.jsonl"):
        if not file.name.startswith(_KEPT):
            file.rename(file.with_name(f"{_KEPT}{file.name.removeprefix('session-')}"))


def _short(session_id: str) -> str:
    """The part of a session's id that is in the name of its file; nothing else of it gets there."""
    return "".join(char for char in session_id[:8] if char.isalnum())


def arguments(reach: Reach, *, ours: Path, model: str, folders: Sequence[str]) -> list[str]:
    """The command line of an agent to talk with."""
    words = [str(reach.program), "--acp", "--policy", str(ours / "policy.toml")]
    if model:
        words += ["--model", model]
    for folder in folders:
        words += ["--include-directories", folder]
    return words


def variables(reach: Reach, *, ours: Path) -> Mapping[str, str]:
    """What its environment has to say."""
    return {
        "GEMINI_API_KEY": reach.token,
        "GEMINI_CLI_HOME": str(reach.state),
        "GEMINI_CLI_NO_RELAUNCH": "true",
        "GEMINI_SYSTEM_MD": str(ours / "system.md"),
        "GEMINI_TELEMETRY_ENABLED": "false",
        "GOOGLE_GEMINI_BASE_URL": reach.url,
        "NO_COLOR": "1",
        "PATH": reach.path,
    }


def _policy(access: Access) -> str:
    """The rules of its policy engine; the highest priority that fits decides."""
    rules = [_rule(["*"], "deny", priority=1)]
    if access is Access.work:
        rules += [
            _rule([*_READING, *_FREE], "allow", priority=10),
            _rule(_ASKED, "ask_user", priority=10),
            _rule(_READING, "deny", priority=20, having=rf'[/"]{_SECRETS}'),
            _rule(["run_shell_command"], "deny", priority=20, having=_SECRETS_IN_COMMANDS),
        ]
    return "\n".join(rules)


def _rule(tools: Sequence[str], decision: str, *, priority: int, having: str = "") -> str:
    named = json.dumps(tools[0] if len(tools) == 1 else list(tools))
    lines = [
        "[[rule]]",
        f"toolName = {named}",
        f'decision = "{decision}"',
        f"priority = {priority}",
    ]
    if having:
        lines.append(f"argsPattern = '{having}'")
    return "\n".join(lines) + "\n"
