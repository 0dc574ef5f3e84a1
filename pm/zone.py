"""The owner's time zone, read without the settings' machinery, which costs `pm` 150 ms.

What is wrong in the settings is for `agentos doctor` to say: here it means the machine's zone.
"""

import os
import tomllib
from datetime import datetime, tzinfo
from functools import lru_cache
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from agentos.home import Home, default_home

_VARIABLE = "AGENTOS_OWNER__TIMEZONE"


@lru_cache(maxsize=1)
def owner_zone() -> tzinfo | None:
    """The zone of `owner.timezone`; None stands for the machine's."""
    home = Home(default_home())
    name = os.environ.get(_VARIABLE) or _from_secrets(home) or _from_settings(home)
    try:
        return ZoneInfo(name) if name else None
    except (ZoneInfoNotFoundError, ValueError, OSError):
        return None


def local(moment: str) -> datetime:
    """A time of ours in the owner's zone."""
    return datetime.fromisoformat(moment).astimezone(owner_zone())


def _from_secrets(home: Home) -> str | None:
    try:
        lines = home.secrets_file.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError):
        return None
    for line in lines:
        name, _, value = line.removeprefix("export ").partition("=")
        if name.strip().upper() == _VARIABLE:
            return value.strip().strip("\"'")
    return None


def _from_settings(home: Home) -> str | None:
    try:
        settings = tomllib.loads(home.config_file.read_text(encoding="utf-8"))
        name = settings.get("owner", {}).get("timezone")
    except (OSError, ValueError, AttributeError):
        return None
    return name if isinstance(name, str) else None
