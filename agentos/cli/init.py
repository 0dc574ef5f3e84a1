"""`agentos init`: the home folder, with settings that say what they are."""

import json
import os
import sys
from pathlib import Path
from typing import Any

from pydantic import BaseModel, SecretStr

from agentos.config import PREFIX, Config
from agentos.home import Home

# For demos and tests only.
_HIDDEN = {"standins"}
_HINTS = {
    "owner.name": "what it calls you",
    "owner.timezone": "all times are shown in this zone",
    "telegram.base_url": "another server that speaks the Bot API",
    "telegram.owner_id": "your Telegram id; or pair by the code that `agentos up` shows",
    "models.fast": "sorts what you say",
    "models.work": "answers and works",
    "models.deep": "plans",
    "models.review": "judges the work",
    "engine.slots": "how many jobs run at once",
    "engine.max_attempts": "how often a job is tried",
    "engine.job_timeout_seconds": "how long one attempt may take",
    "claude.base_url": "another server that speaks the Messages API",
    "retention.days": "how long ended jobs and their files are kept; 0 for ever",
    "store.url": "for example postgresql://user@host/name",
}
_EXAMPLES = {"owner_id": 123456789}
_SECRETS_TEXT = """\
# Secrets of agentos. Only you can read this file; keep it so.
#
# One of these lets Claude answer; with none, a built-in stand-in does.
# ANTHROPIC_API_KEY=
# CLAUDE_CODE_OAUTH_TOKEN=
#
# The token of your Telegram bot, from @BotFather.
# AGENTOS_TELEGRAM__TOKEN=
"""


def run(*, home: Home, as_json: bool) -> int:
    """Make what is missing; nothing that is there is changed."""
    home.make()
    made = home.copy_editable()
    if _write_new(home.config_file, config_text(), mode=0o644):
        made.append(home.config_file)
    if _write_new(home.secrets_file, _SECRETS_TEXT, mode=0o600):
        made.append(home.secrets_file)
    if as_json:
        told = {"home": str(home.root), "made": [str(path) for path in made]}
        sys.stdout.write(json.dumps(told, indent=2) + "\n")
        return 0
    lines = [f"Home is {home.root}"]
    lines += [f"  made {path.relative_to(home.root)}" for path in made]
    if not made:
        lines.append("  all was there already; nothing was changed")
    lines.append("Next: put your keys into .env (or none, to try it), then run `agentos chat`.")
    sys.stdout.write("\n".join(lines) + "\n")
    return 0


def config_text() -> str:
    """All settings with their defaults, commented out. Made from the settings, so it cannot lie."""
    lines = [
        "# Settings of agentos. Lines show the defaults; take the # away to change one.",
        f"# Any of them can also be set as {PREFIX}<SECTION>__<KEY>.",
        "# Tokens and keys belong into .env beside this file.",
    ]
    for name, section in Config.model_fields.items():
        kind = section.annotation
        if name in _HIDDEN or not (isinstance(kind, type) and issubclass(kind, BaseModel)):
            continue
        said = (kind.__doc__ or name).splitlines()[0]
        lines += ["", f"# {said}", f"[{name}]"]
        defaults = kind()
        for key in kind.model_fields:
            line = _setting(key, getattr(defaults, key))
            hint = _HINTS.get(f"{name}.{key}")
            if line is not None:
                lines.append(f"{line}  # {hint}" if hint else line)
    return "\n".join(lines) + "\n"


def _setting(key: str, value: Any) -> str | None:
    if isinstance(value, SecretStr):
        return None
    if value is None:  # TOML has no word for nothing
        value = _EXAMPLES[key]
    if isinstance(value, dict):  # an inline table; all of them are empty at first
        return f"# {key} = {{}}"
    # A TOML string, number, boolean or list is written like one of JSON.
    return f"# {key} = {json.dumps(value)}"


def _write_new(path: Path, text: str, *, mode: int) -> bool:
    """Write a file unless it is there; whether it was written."""
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    except FileExistsError:
        return False
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(text)
    return True
