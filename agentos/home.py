"""The owner's folder and the files that come with the release, and where each thing in them lies.

Standard library only: `pm` asks for a path here on every call.
"""

import errno
import fcntl
import hashlib
import os
import secrets
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from agentos.errors import AlreadyRunning, HomeUnusable, NotFound

_PACKAGE = Path(__file__).resolve().parent


def default_home() -> Path:
    """`AGENTOS_HOME`, or `~/.agentos`."""
    chosen = os.environ.get("AGENTOS_HOME")
    try:
        return Path(chosen).expanduser().resolve() if chosen else Path.home() / ".agentos"
    except RuntimeError as error:  # a `~` that stands for nobody's folder
        raise HomeUnusable(
            home=chosen or "~/.agentos",
            problem="nobody knows where ~ is",
            mend="Set AGENTOS_HOME to a folder, written out in full.",
        ) from error


def shipped_root() -> Path:
    """Where the shipped files lie: inside the installed package, or the checkout's top."""
    installed = _PACKAGE / "shipped"
    return installed if installed.is_dir() else _PACKAGE.parent


@dataclass(frozen=True)
class Home:
    """The paths under one home. Everything that is written at run time is written here."""

    root: Path

    @property
    def config_file(self) -> Path:
        """The settings the owner edits."""
        return self.root / "config.toml"

    @property
    def secrets_file(self) -> Path:
        """`.env`, mode 0600: tokens and keys."""
        return self.root / ".env"

    @property
    def database_file(self) -> Path:
        """The embedded default of `store.url`."""
        return self.root / "agentos.db"

    @property
    def core_memory_file(self) -> Path:
        """The always-loaded memory."""
        return self.root / "memory" / "core-memory.md"

    @property
    def memory_index(self) -> Path:
        """What is searched; made from the rows, so it may be deleted at any time."""
        return self.root / "memory" / "index"

    @property
    def memory_lock(self) -> Path:
        """Held by the one process that has the index open."""
        return self.run / "memory.lock"

    @property
    def memory_log(self) -> Path:
        """What the index process complains of."""
        return self.logs / "memory.log"

    @property
    def episodes(self) -> Path:
        """One file a day of what happened."""
        return self.root / "episodes"

    @property
    def episodes_seen(self) -> Path:
        """How far the episodes have followed the events."""
        return self.run / "episodes.seen"

    @property
    def jobs(self) -> Path:
        """One folder a job: transcript, working folder, artefacts."""
        return self.root / "jobs"

    @property
    def inbox(self) -> Path:
        """Files that came in with messages."""
        return self.root / "inbox"

    @property
    def logs(self) -> Path:
        """Where the daemon writes its log."""
        return self.root / "logs"

    @property
    def log_file(self) -> Path:
        """The daemon's log, one JSON object a line."""
        return self.logs / "agentos.log"

    @property
    def run(self) -> Path:
        """Sockets and locks of the running daemon."""
        return self.root / "run"

    @property
    def lock_file(self) -> Path:
        """Held by the one daemon of this home."""
        return self.run / "daemon.lock"

    @property
    def socket(self) -> Path:
        """The control socket; in the temporary folder when home's path is too long for one.

        The kernel allows 107 bytes for the path of a socket, macOS 103.
        """
        inside = self.run / "control.sock"
        if len(os.fsencode(inside)) <= 100:
            return inside
        return Path(tempfile.gettempdir()) / f"agentos-{os.getuid()}-{self.mark}.sock"

    @property
    def mark(self) -> str:
        """A short name for this home that no other has; what its children carry along."""
        return hashlib.blake2b(os.fsencode(self.root), digest_size=8).hexdigest()

    @property
    def claude_config(self) -> Path:
        """The Claude CLI's own folder: its sessions and settings."""
        return self.root / "claude"

    @property
    def backends(self) -> Path:
        """The CLIs of other backends, and what they keep: their sessions and settings."""
        return self.root / "backends"

    @property
    def worker_home(self) -> Path:
        """What a worker's programs take for the home folder."""
        return self.root / "worker-home"

    @property
    def tmp(self) -> Path:
        """The temporary folder of workers."""
        return self.root / "tmp"

    @property
    def desk(self) -> Path:
        """The working folder of the front desk's sessions; it stays empty."""
        return self.root / "desk"

    def node(self) -> str:
        """What this installation calls itself among others that share a database; made once."""
        file = self.run / "node"
        with self.written():
            try:
                with file.open("x", encoding="ascii") as made:
                    made.write(secrets.token_hex(8))
            except FileExistsError:
                pass
            return file.read_text(encoding="ascii").strip() or self.mark

    def job_folder(self, job_id: int) -> Path:
        """Everything one job leaves behind."""
        return self.jobs / str(job_id)

    def make(self) -> None:
        """Create the folders. Raises HomeUnusable when that is not possible."""
        with self.written():
            self.root.mkdir(mode=0o700, parents=True, exist_ok=True)
            for folder in (
                self.jobs,
                self.inbox,
                self.logs,
                self.run,
                self.desk,
                self.worker_home,
                self.tmp,
                self.claude_config,
                self.core_memory_file.parent,
            ):
                folder.mkdir(exist_ok=True)
            probe = self.run / f".probe-{os.getpid()}"
            probe.write_bytes(b"x" * 4096)
            probe.unlink()

    @contextmanager
    def written(self) -> Iterator[None]:
        """Around what writes into this home. Raises HomeUnusable when it cannot."""
        try:
            yield
        except OSError as error:
            problem = error.strerror or str(error)
            named = Path(str(error.filename)).name if error.filename else ""
            if named and named != self.root.name:
                problem = f"{problem} ({named})"
            mend = "Choose another folder with AGENTOS_HOME, or fix its permissions."
            if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
                mend = "Free some space; nothing that was stored is lost."
            raise HomeUnusable(home=self.root, problem=problem, mend=mend) from error

    def set_aside(self, folder: Path) -> Path | None:
        """Move what is in a folder of ours out of the way; returns where it is now, if anything."""
        if not folder.is_dir() or not any(folder.iterdir()):
            return None
        stamp = datetime.now(UTC).strftime("%Y%m%d-%H%M%S")
        aside = folder.with_name(f"{folder.name}.before-{stamp}")
        with self.written():
            folder.rename(aside)
            folder.mkdir()
        return aside

    def find(self, name: str) -> Path:
        """A file by its relative name: the owner's when there is one, else the shipped one."""
        for root in (self.root, shipped_root()):
            if (path := root / name).is_file():
                return path
        raise NotFound(noun="file", name=name)

    def copy_editable(self) -> list[Path]:
        """Copy the files the owner is meant to edit, where they are missing; returns those."""
        made = []
        for name in ("SOUL.md", "CLAUDE.md", "memory/core-memory.md"):
            target = self.root / name
            if not target.exists():
                with self.written():
                    target.write_bytes((shipped_root() / name).read_bytes())
                made.append(target)
        return made

    def holder(self) -> int | None:
        """The process of the daemon that holds this home; None when there is none."""
        try:
            with self.lock_file.open("r", encoding="ascii") as file:
                try:
                    fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
                except BlockingIOError:
                    return int(file.read())
        except (OSError, ValueError):
            return None
        return None

    @contextmanager
    def lock(self) -> Iterator[None]:
        """Hold the home as its one daemon. Raises AlreadyRunning when another does.

        The kernel gives the lock back when the process ends, however it ends.
        """
        with self.written():
            file = self.lock_file.open("a+", encoding="ascii")
        with file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                file.seek(0)
                pid = file.read().strip() or "unknown"
                raise AlreadyRunning(home=self.root, pid=pid) from error
            with self.written():
                file.truncate(0)
                file.write(str(os.getpid()))
                file.flush()
            yield
