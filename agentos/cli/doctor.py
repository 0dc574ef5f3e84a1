"""`agentos doctor`: one line a part, and what to do about what is wrong."""

import json
import os
import shutil
import stat
import sys
from dataclasses import asdict, dataclass
from datetime import timedelta
from enum import StrEnum, auto

import httpx

from agentos import config as configuration
from agentos.backends.claude_access import find_cli, find_credentials, logged_in
from agentos.config import Config
from agentos.control.client import ControlClient
from agentos.errors import AgentosError, DaemonUnreachable
from agentos.home import Home
from agentos.memory.embedder_place import find_place
from agentos.store import jobs
from agentos.store.database import Database, sqlite_url
from agentos.store.migrate import migrate

_GIGABYTE = 1_000_000_000
_LOW_DISK = 1 * _GIGABYTE
_FULL_DISK = _GIGABYTE // 10
_TELEGRAM_SECONDS = 5.0
_DAEMON_PATIENCE = timedelta(seconds=5)


class Verdict(StrEnum):
    """How a part is."""

    ok = auto()
    warn = auto()
    fail = auto()


@dataclass(frozen=True)
class Finding:
    """What is known of one part; `mend` says what to do when it is not ok."""

    part: str
    verdict: Verdict
    words: str
    mend: str = ""


def run(*, home: Home, as_json: bool) -> int:
    """Look at every part; the status is 1 when one of them does not work."""
    findings = examine(home)
    if as_json:
        sys.stdout.write(json.dumps([asdict(one) for one in findings], indent=2) + "\n")
    else:
        for one in findings:
            sys.stdout.write(f"{one.verdict.value:<4}  {one.part:<9} {one.words}\n")
            if one.mend:
                sys.stdout.write(f"{'':<16}→ {one.mend}\n")
    return int(any(one.verdict is Verdict.fail for one in findings))


def examine(home: Home) -> list[Finding]:
    """All findings; what needs valid settings is left out when they are not."""
    # Reading the settings tightens the mode of .env, so it is looked at before.
    findings = [_home(home), _disk(home), _secrets(home)]
    config, finding = _settings(home)
    findings.append(finding)
    if config is not None:
        findings += [look(home, config) for look in (_database, _model, _telegram, _memory)]
    findings.append(_daemon(home))
    return findings


def _home(home: Home) -> Finding:
    if not home.root.exists():
        return Finding("home", Verdict.warn, f"{home.root} is not there yet", "Run `agentos init`.")
    try:
        home.make()
    except AgentosError as error:
        return Finding("home", Verdict.fail, str(error), "Fix its permissions.")
    return Finding("home", Verdict.ok, str(home.root))


def _disk(home: Home) -> Finding:
    folder = home.root
    while not folder.exists():
        folder = folder.parent
    free = shutil.disk_usage(folder).free
    words = f"{free / _GIGABYTE:.1f} GB free"
    if free >= _LOW_DISK:
        return Finding("disk", Verdict.ok, words)
    verdict = Verdict.warn if free >= _FULL_DISK else Verdict.fail
    return Finding("disk", verdict, words, "Free some space.")


def _secrets(home: Home) -> Finding:
    try:
        mode = stat.S_IMODE(home.secrets_file.stat().st_mode)
    except OSError:
        return Finding("secrets", Verdict.ok, "there is no .env; the environment is used")
    if mode & 0o077:
        words = f".env could be read by others (mode {mode:04o})"
        mend = "It is tightened now; change the tokens in it if others use this machine."
        return Finding("secrets", Verdict.warn, words, mend)
    return Finding("secrets", Verdict.ok, ".env, readable by you only")


def _settings(home: Home) -> tuple[Config | None, Finding]:
    try:
        config = configuration.load(config_file=home.config_file, secrets_file=home.secrets_file)
    except AgentosError as error:
        return None, Finding("settings", Verdict.fail, str(error), f"Edit {home.config_file}.")
    words = f"valid, times in {config.owner.timezone}"
    if not home.config_file.exists():
        words = f"defaults (no config.toml), times in {config.owner.timezone}"
    return config, Finding("settings", Verdict.ok, words)


def _database(home: Home, config: Config) -> Finding:
    if not config.store.url and not home.database_file.exists():
        return Finding("database", Verdict.ok, "will be made at the first start")
    try:
        database = Database(config.store.url or sqlite_url(home.database_file))
        try:
            migrate(database)
            with database.read() as connection:
                counts = jobs.count_by_state(connection)
        finally:
            database.close()
    except AgentosError as error:
        return Finding("database", Verdict.fail, str(error), str(error.fields.get("mend", "")))
    told = ", ".join(f"{count} {state}" for state, count in sorted(counts.items()))
    return Finding("database", Verdict.ok, f"opens; jobs: {told or 'none yet'}")


def _model(home: Home, config: Config) -> Finding:
    if find_cli() is None:
        mend = "Install claude-agent-sdk again; it brings the CLI."
        return Finding("model", Verdict.fail, "the Claude CLI is missing", mend)
    if config.standins.model:
        return Finding("model", Verdict.ok, "the built-in stand-in, as the settings ask")
    known = {**configuration.read_secrets(home.secrets_file), **os.environ}
    found = find_credentials(base_url=config.claude.base_url, known=known)
    if found is not None:
        return Finding("model", Verdict.ok, found.source)
    if config.claude.base_url:
        return Finding("model", Verdict.ok, f"the model at {config.claude.base_url}")
    if logged_in():
        return Finding("model", Verdict.ok, "Claude (your login of the Claude CLI)")
    words = "no Claude credentials, so the built-in stand-in answers"
    mend = "Set ANTHROPIC_API_KEY, or log in with `claude`."
    return Finding("model", Verdict.warn, words, mend)


def _telegram(home: Home, config: Config) -> Finding:
    token = config.telegram.token.get_secret_value()
    if not token:
        mend = "Put AGENTOS_TELEGRAM__TOKEN into .env; @BotFather gives you one."
        return Finding("telegram", Verdict.warn, "off: there is no token", mend)
    try:
        answer = httpx.get(
            f"{config.telegram.base_url}/bot{token}/getMe", timeout=_TELEGRAM_SECONDS
        )
        told = answer.json()
        name = told["result"]["username"] if told.get("ok") else None
    # An httpx error may carry the address, and with it the token: only its kind is told.
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        words = f"{config.telegram.base_url} cannot be reached ({type(error).__name__})"
        return Finding("telegram", Verdict.warn, words, "Check the network; it is tried again.")
    except (ValueError, KeyError, TypeError, AttributeError):
        words = f"{config.telegram.base_url} does not speak the Bot API"
        return Finding("telegram", Verdict.fail, words, "Check telegram.base_url.")
    if name is None:
        words = f"the token is refused ({answer.status_code})"
        return Finding("telegram", Verdict.fail, words, "Get a new one from @BotFather.")
    return Finding("telegram", Verdict.ok, f"@{name}")


def _memory(home: Home, config: Config) -> Finding:
    if not config.memory.embedder:
        return Finding("memory", Verdict.ok, "recall goes by words, as the settings ask")
    try:
        find_place(config.memory.embedder)
    except AgentosError as error:
        words = f"recall goes by words: {error.fields.get('problem', error)}"
        return Finding("memory", Verdict.warn, words, str(error.fields.get("mend", "")))
    words = f"recall goes by words and by meaning ({config.memory.embedder})"
    return Finding("memory", Verdict.ok, words)


def _daemon(home: Home) -> Finding:
    try:
        with ControlClient(home.socket, patience=_DAEMON_PATIENCE) as client:
            status = client.call("daemon.status")
    except DaemonUnreachable as error:
        if home.socket.exists() and "nobody" not in str(error.fields.get("problem")):
            mend = "Restart it: `agentos up`."
            return Finding("daemon", Verdict.fail, str(error), mend)
        return Finding("daemon", Verdict.warn, "not running", "Start it: `agentos up`.")
    except AgentosError as error:
        return Finding("daemon", Verdict.fail, str(error), "Restart it: `agentos up`.")
    words = f"running (pid {status.get('pid')}), {status.get('model_source', 'model unknown')}"
    for name, state in status.get("channel_states", {}).items():
        words += f"; {name}: {state}"
    return Finding("daemon", Verdict.ok, words)
