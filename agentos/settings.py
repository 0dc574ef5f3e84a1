"""The sections of the settings: what each key means, and what it may be."""

import json
import re
import shlex
from typing import Annotated, Any, Literal
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import BaseModel, ConfigDict, Field, SecretStr, field_validator
from pydantic_settings import NoDecode
from tzlocal import get_localzone_name

BACKENDS = ("claude", "codex", "gemini", "opencode")


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid")


class Owner(_Section):
    """Who this belongs to."""

    name: str = ""
    timezone: str = Field(default_factory=lambda: get_localzone_name() or "UTC")

    @field_validator("timezone")
    @classmethod
    def _known(cls, name: str) -> str:
        try:
            ZoneInfo(name)
        except (ZoneInfoNotFoundError, ValueError, OSError) as error:
            raise ValueError(
                f"no time zone is called {name!r}; try one like Europe/Berlin"
            ) from error
        return name

    @property
    def zone(self) -> ZoneInfo:
        """The time zone all times are shown in."""
        return ZoneInfo(self.timezone)


class Telegram(_Section):
    """The bot. Without a token there is no Telegram channel."""

    token: SecretStr = SecretStr("")
    base_url: str = "https://api.telegram.org"
    owner_id: int | None = None

    @field_validator("base_url")
    @classmethod
    def _plain(cls, url: str) -> str:
        if not url.startswith(("http://", "https://")):
            raise ValueError("must start with http:// or https://")
        return url.rstrip("/").removesuffix("/bot")


class Models(_Section):
    """Which model does what. Aliases of the CLI (haiku, sonnet, opus) or full names."""

    fast: str = "haiku"
    work: str = "sonnet"
    deep: str = "opus"
    review: str = "opus"


class Engine(_Section):
    """How much runs at once and how closely it is watched."""

    slots: int = Field(default=3, ge=1, le=64)
    tick_seconds: float = Field(default=10.0, gt=0, le=3600)
    heartbeat_seconds: float = Field(default=30.0, gt=0, le=600)
    lease_seconds: float = Field(default=120.0, gt=0, le=3600)
    warm_seconds: float = Field(default=600.0, ge=0)
    max_attempts: int = Field(default=3, ge=1, le=20)
    job_timeout_seconds: int = Field(default=1800, ge=1, le=86400)
    triage_timeout_seconds: float = Field(default=60.0, gt=0, le=600)
    # A run whose transcript does not grow for so long is ended, and resumed.
    stall_seconds: float = Field(default=900.0, gt=0, le=86_400)
    # At which share of its time a job is told to come to an end.
    warn_at: float = Field(default=0.8, gt=0, lt=1)
    # How long an orderly end waits for running sessions to come to a safe point.
    drain_seconds: float = Field(default=8.0, ge=0, le=3600)
    # A session that fills more of its context than this is handed over to a fresh one.
    session_tokens: int = Field(default=120_000, ge=1000)
    # How many jobs of one project, and of one template, run at once; 0 means no such limit.
    project_slots: int = Field(default=0, ge=0)
    template_slots: int = Field(default=1, ge=0)


Share = Annotated[float, Field(gt=0, le=1)]
Tokens = Annotated[int, Field(ge=0)]


class Capacity(_Section):
    """How much may be used, and when to wait. A limit of 0 is none.

    Tokens are input, output and what is written to a cache; what is read from one does not count.
    """

    # In any five minutes, by all backends together.
    window_tokens: Tokens = 2_000_000
    # From this share of it on, and with so many jobs waiting, only urgent work starts.
    backpressure: Share = 0.8
    deep_queue: int = Field(default=10, ge=1)
    # What each backend may use in five hours and in a week, from the first use on: in tokens, or
    # in turns where the tokens are not told.
    five_hour_tokens: Tokens = 0
    five_hour_turns: Tokens = 0
    weekly_tokens: Tokens = 0
    weekly_turns: Tokens = 0
    # From this share of a pool on, what is left is the owner's: only urgent work starts.
    pause_at: Share = 0.8
    # How long to wait when a backend says that its limit is reached, and not until when.
    rest_seconds: int = Field(default=300, ge=1)
    # With less memory available, or more load on each processor, only urgent work starts.
    least_memory_mb: int = Field(default=300, ge=0)
    most_load: float = Field(default=8.0, gt=0)


class Claude(_Section):
    """How the Claude CLI reaches a model. An empty base_url means Anthropic's own address."""

    base_url: str = ""


class Backends(_Section):
    """Which backends there are beside claude, and which one does the work of one that cannot."""

    use: Annotated[list[str], NoDecode] = Field(default_factory=list)
    fallback: Annotated[dict[str, str], NoDecode] = Field(default_factory=dict)

    @field_validator("use", "fallback", mode="before")
    @classmethod
    def _from_variable(cls, value: Any) -> Any:
        """In a variable a list is a text: JSON, or names with commas between them."""
        if not isinstance(value, str):
            return value
        if value.lstrip().startswith(("[", "{")):
            return json.loads(value)
        return [name.strip() for name in value.split(",") if name.strip()]

    @field_validator("use")
    @classmethod
    def _known(cls, names: list[str]) -> list[str]:
        for name in names:
            _known_backend(name)
        return [name for name in dict.fromkeys(names) if name != "claude"]

    @field_validator("fallback")
    @classmethod
    def _known_both(cls, pairs: dict[str, str]) -> dict[str, str]:
        for pair in pairs.items():
            for name in pair:
                _known_backend(name)
        return pairs


def _known_backend(name: str) -> None:
    if name not in BACKENDS:
        raise ValueError(f"there is no backend {name!r}; there is {', '.join(BACKENDS)}")


class Cli(_Section):
    """How the CLI of another backend is run. What is empty is left to it, or to us."""

    # The model of jobs that name none; empty leaves it to the CLI.
    model: str = ""
    # Where the model is; empty means the provider's own address.
    base_url: str = ""
    # A program to use instead of the one from npm.
    command: str = ""


class Memory(_Section):
    """What is remembered, and how it is found again."""

    # "bundled", a folder with a sentence-transformers model or its name on a hub; "" goes by words.
    embedder: str = "bundled"
    # The shares of a memory's score, and when what is new counts half; see memory/recall.py.
    similarity: float = Field(default=0.45, ge=0, le=1)
    recency: float = Field(default=0.25, ge=0, le=1)
    importance: float = Field(default=0.20, ge=0, le=1)
    use: float = Field(default=0.10, ge=0, le=1)
    half_life_days: float = Field(default=365, gt=0, le=36_500)
    # What is less relevant than this answers nothing; and how much is given unasked.
    floor: float = Field(default=0.25, ge=0, le=1)
    tokens: int = Field(default=800, ge=0)
    # How long daily episodes are kept whole, and a forgotten memory can be restored.
    episode_days: int = Field(default=30, ge=1, le=3650)
    forget_days: int = Field(default=30, ge=0, le=3650)
    # Whether talks and jobs are looked through, after which lull, by which model, for what a day.
    capture: bool = True
    lull_minutes: float = Field(default=10, gt=0, le=1440)
    model: str = ""
    capture_tokens: int = Field(default=500_000, ge=0)
    # When it is tidied, empty never; what was going on, and not recalled for so long, is over.
    consolidate_at: str = Field(default="03:00", pattern=r"^(([01]\d|2[0-3]):[0-5]\d)?$")
    context_days: int = Field(default=90, ge=0, le=3650)


class Voice(_Section):
    """Who puts voice messages into words: a program here, or a server; with neither, nobody does.

    In `command`, {file} is the audio and {language} the language; its output is the text. `url` is
    an address like https://host/v1/audio/transcriptions that speaks OpenAI's API.
    """

    command: str = ""
    url: str = ""
    key: SecretStr = SecretStr("")
    model: str = "whisper-1"
    # Two letters, such as "de"; empty lets the transcriber find out.
    language: str = Field(default="", pattern=r"^[a-zA-Z-]{0,12}$")
    timeout_seconds: float = Field(default=120.0, gt=0, le=3600)

    @field_validator("command")
    @classmethod
    def _has_file(cls, command: str) -> str:
        if command and not any("{file}" in word for word in shlex.split(command)):
            raise ValueError("the command needs {file}, which becomes the audio file")
        return command

    @field_validator("url")
    @classmethod
    def _is_web(cls, url: str) -> str:
        if url and not url.startswith(("http://", "https://")):
            raise ValueError("must start with http:// or https://")
        return url


class Store(_Section):
    """Where the rows are. Empty means SQLite in home."""

    url: str = ""


class Quiet(_Section):
    """When what can wait is held back: results of background work, notices, briefings."""

    # "22:00-7:00" in the owner's zone; empty for never. /quiet in a chat changes it.
    hours: str = ""

    @field_validator("hours")
    @classmethod
    def _readable(cls, words: str) -> str:
        if words and not re.fullmatch(r"\d{1,2}(:\d{2})?\s*-\s*\d{1,2}(:\d{2})?", words.strip()):
            raise ValueError("write them like 22:00-7:00")
        return words.strip()


class Retention(_Section):
    """How long what has ended is kept."""

    # Days; 0 keeps everything. Costs, messages, tasks and reviews are always kept.
    days: int = Field(default=90, ge=0, le=36_500)


class Log(_Section):
    """How much is logged."""

    level: str = Field(default="INFO", pattern="(?i)^(debug|info|warning|error)$")


class Cards(_Section):
    """Questions that wait for you."""

    # How long what a worker asks waits for an answer; then nothing happens, and it goes on without.
    days: float = Field(default=7, gt=0, le=365)


class Allowance(_Section):
    """What is allowed without asking, beside or instead of what ships (agentos/domain/rules.py)."""

    # Instead of the shipped list; unset leaves that.
    may: list[Literal["fetch", "install", "send", "outside", "system", "unseen"]] | None = None
    # Beside it: tools by name, commands word for word, folders to write to.
    tools: list[str] = Field(default_factory=list)
    commands: list[str] = Field(default_factory=list)
    folders: list[str] = Field(default_factory=list)


class PolicySettings(_Section):
    """What workers may do without asking, by the kind of task and by persona."""

    kinds: dict[Literal["code", "writing", "research", "extraction", "ops"], Allowance] = Field(
        default_factory=dict
    )
    personas: dict[str, Allowance] = Field(default_factory=dict)


class Standins(_Section):
    """For the demo and for tests."""

    # Let the control socket move the clock.
    clock: bool = False
    # Use the built-in stand-in model even when there are credentials.
    model: bool = False
