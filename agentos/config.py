"""The settings: `config.toml` in home, each key overridable by `AGENTOS_<SECTION>__<KEY>`.

Secrets (`.env` in home, mode 0600, or the environment) arrive by the same names, for example
`AGENTOS_TELEGRAM__TOKEN`; keys of models keep their usual ones, such as `ANTHROPIC_API_KEY`.
"""

import os
import stat
import tomllib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from dotenv import dotenv_values
from pydantic import Field, ValidationError
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from agentos.errors import Misconfigured
from agentos.settings import (
    Backends,
    Capacity,
    Cards,
    Claude,
    Cli,
    Engine,
    Log,
    Memory,
    Models,
    Owner,
    PolicySettings,
    Quiet,
    Retention,
    Standins,
    Store,
    Telegram,
    Voice,
)

PREFIX = "AGENTOS_"


class Config(BaseSettings):
    """All settings of one home."""

    model_config = SettingsConfigDict(
        env_prefix=PREFIX, env_nested_delimiter="__", extra="forbid", case_sensitive=False
    )

    owner: Owner = Field(default_factory=Owner)
    telegram: Telegram = Field(default_factory=Telegram)
    models: Models = Field(default_factory=Models)
    engine: Engine = Field(default_factory=Engine)
    capacity: Capacity = Field(default_factory=Capacity)
    claude: Claude = Field(default_factory=Claude)
    backends: Backends = Field(default_factory=Backends)
    codex: Cli = Field(default_factory=Cli)
    gemini: Cli = Field(default_factory=Cli)
    opencode: Cli = Field(default_factory=Cli)
    memory: Memory = Field(default_factory=Memory)
    quiet: Quiet = Field(default_factory=Quiet)
    voice: Voice = Field(default_factory=Voice)
    store: Store = Field(default_factory=Store)
    cards: Cards = Field(default_factory=Cards)
    policy: PolicySettings = Field(default_factory=PolicySettings)
    retention: Retention = Field(default_factory=Retention)
    log: Log = Field(default_factory=Log)
    standins: Standins = Field(default_factory=Standins)

    def work_model(self, backend: str) -> str:
        """The model of jobs that name none; empty leaves it to the backend's CLI."""
        found = getattr(self, backend, None)
        return found.model if isinstance(found, Cli) else self.models.work

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """The environment wins over `.env`, and that over `config.toml` (given as init values)."""
        return (env_settings, init_settings)


def load(*, config_file: Path, secrets_file: Path) -> Config:
    """Read the settings. Raises Misconfigured with the file, the key and the mend."""
    values = _read_toml(config_file)
    secrets = read_secrets(secrets_file)
    for section, value in values.items():
        if section in Config.model_fields and not isinstance(value, dict):
            problem, mend = f"{section} is not a section", f"Write [{section}] above its keys."
            raise Misconfigured(where=config_file, problem=problem, mend=mend)
    _check_names(os.environ, where="the environment")
    _check_names(secrets, where=str(secrets_file))
    for name, value in secrets.items():
        _overlay(values, name, value)
    try:
        return Config(**values)
    except ValidationError as error:
        key = [str(part) for part in error.errors(include_url=False)[0]["loc"]]
        where = _place_of(key, secrets=secrets, files=(secrets_file, config_file))
        raise _explain(error, where=where) from error


def read_secrets(secrets_file: Path) -> dict[str, str]:
    """What `.env` in home says; its mode is tightened to 0600 when it is wider."""
    if not secrets_file.is_file():
        return {}
    try:
        if stat.S_IMODE(secrets_file.stat().st_mode) & 0o077:
            secrets_file.chmod(0o600)
        found = dotenv_values(secrets_file, interpolate=False)
    except (OSError, UnicodeDecodeError) as error:
        raise Misconfigured(
            where=secrets_file, problem=_unreadable(error), mend="Make it a readable UTF-8 file."
        ) from error
    return {name: value for name, value in found.items() if value}


def secret(name: str, *, secrets_file: Path) -> str | None:
    """A secret by its name, from the environment or else from `.env` in home."""
    return os.environ.get(name) or read_secrets(secrets_file).get(name)


def _read_toml(path: Path) -> dict[str, Any]:
    if not path.exists():
        return {}
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except tomllib.TOMLDecodeError as error:
        raise Misconfigured(
            where=path, problem=f"this is not valid TOML: {error}", mend="Mend that line."
        ) from error
    except (OSError, UnicodeDecodeError) as error:
        raise Misconfigured(
            where=path, problem=_unreadable(error), mend="Make it a readable UTF-8 file."
        ) from error


def _unreadable(error: OSError | UnicodeDecodeError) -> str:
    return (error.strerror or str(error)) if isinstance(error, OSError) else "this is not text"


def _overlay(values: dict[str, Any], name: str, value: str) -> None:
    """Put `AGENTOS_SECTION__KEY=value` of `.env` over the values of the file."""
    section, dot, key = name.upper().removeprefix(PREFIX).lower().partition("__")
    if not name.upper().startswith(PREFIX) or not dot:
        return
    table = values.setdefault(section, {})
    if isinstance(table, dict):
        table[key] = value


def _check_names(names: Iterable[str], *, where: str) -> None:
    """Refuse `AGENTOS_ENGIN__SLOTS` and `AGENTOS_ENGINE`: nobody would ever read them."""
    sections = set(Config.model_fields)
    for name in names:
        section, dot, _ = name.upper().removeprefix(PREFIX).lower().partition("__")
        # Without the two underscores it may be a name that is no setting, such as AGENTOS_HOME.
        known = section in sections
        if name.upper().startswith(PREFIX) and known is not bool(dot):
            problem = f"{name} sets a whole section" if known else f"{name} sets nothing there is"
            shown = section.upper() if known else "<SECTION>"
            mend = f"Write {PREFIX}{shown}__<KEY>; sections: {', '.join(sorted(sections))}."
            raise Misconfigured(where=where, problem=problem, mend=mend)


def _place_of(key: list[str], *, secrets: Mapping[str, str], files: tuple[Path, Path]) -> str:
    """Where a value comes from: a variable by its name, else one of the two files."""
    variable = PREFIX + "__".join(part.upper() for part in key)
    for name in os.environ:
        if name.upper() == variable:
            return name
    return str(files[0] if variable in {name.upper() for name in secrets} else files[1])


def _explain(error: ValidationError, *, where: str) -> Misconfigured:
    first = error.errors(include_url=False)[0]
    path = [str(part) for part in first["loc"]]
    key = ".".join(path)
    if first["type"] == "extra_forbidden":
        known = _known_keys(path[:-1])
        return Misconfigured(
            where=where,
            problem=f"there is no setting {key}",
            mend=f"Known here: {', '.join(known)}.",
        )
    message = first["msg"].removeprefix("Value error, ")
    return Misconfigured(where=where, problem=f"{key} is wrong: {message}", mend=f"Set {key}.")


def _known_keys(section: list[str]) -> list[str]:
    fields: dict[str, Any] = dict(Config.model_fields)
    for part in section:
        annotation = fields[part].annotation if part in fields else None
        fields = dict(getattr(annotation, "model_fields", {}))
    return sorted(fields)
