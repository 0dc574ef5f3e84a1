"""A control group a child, where the system lets us have them: nothing that is in one gets away.

Groups and marks end all that does not mean to escape. A group of the kernel's also ends what forks
faster than one can kill, what has wiped its environment, and what a dead fork server has left. It
takes cgroup version 2 and a folder that may be written (root, a container, or a service with
`Delegate=yes`); elsewhere there is simply none.
"""

from contextlib import suppress
from pathlib import Path

_TRIES = 50


class Cgroup:
    """The group of one home, with a group in it for each child."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    @classmethod
    def make(cls, name: str, *, proc: Path = Path("/proc/self")) -> "Cgroup | None":
        """The group of this name below our own one; None where there can be none."""
        try:
            own = _own_group(proc)
            if own is None:
                return None
            folder = own / name
            folder.mkdir(exist_ok=True)
            if not (folder / "cgroup.kill").is_file():  # Linux before 5.14
                folder.rmdir()
                return None
        except OSError:
            return None
        return cls(folder)

    def enter(self, child: str, *, pid: int) -> None:
        """Put a process into a group of its own; all that it starts is in there, too."""
        with suppress(OSError):
            group = self._folder / child
            group.mkdir(exist_ok=True)
            (group / "cgroup.procs").write_text(str(pid), encoding="ascii")

    def kill(self, child: str) -> None:
        """End all that is in a child's group, and the group as soon as it is empty."""
        _end(self._folder / child)

    def close(self) -> None:
        """End all that is in any of the groups, and the groups."""
        self.sweep()
        with suppress(OSError):
            self._folder.rmdir()

    def sweep(self) -> None:
        """End what an earlier fork server of this home has left."""
        with suppress(OSError):
            for group in self._folder.iterdir():
                if group.is_dir():
                    _end(group)


def _end(group: Path) -> None:
    with suppress(OSError):
        (group / "cgroup.kill").write_text("1", encoding="ascii")
    for _ in range(_TRIES):
        try:
            group.rmdir()
        except FileNotFoundError:
            return
        except OSError:  # what was killed is not gone yet; the next sweep gets what stays
            continue
        return


def _own_group(proc: Path) -> Path | None:
    """Where the group of this process lies; None without version 2."""
    mounts = (proc / "mountinfo").read_text(encoding="utf-8").splitlines()
    roots = [line.split()[4] for line in mounts if line.split(" - ")[-1].startswith("cgroup2 ")]
    names = [
        line.removeprefix("0::")
        for line in (proc / "cgroup").read_text(encoding="utf-8").splitlines()
        if line.startswith("0::")
    ]
    if not roots or not names:
        return None
    return Path(roots[0]) / names[0].lstrip("/")
