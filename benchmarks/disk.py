"""A disk of its own, small enough to be filled. Only root may mount one."""

import shutil
import subprocess
from pathlib import Path

_SIZE = "96m"


class SmallDisk:
    """A tmpfs on a folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def mount(self) -> None:
        """Raises CalledProcessError when that is not allowed."""
        self.folder.mkdir()
        command = ["mount", "-t", "tmpfs", "-o", f"size={_SIZE}", "chaos", str(self.folder)]
        subprocess.run(command, check=True, capture_output=True)

    def unmount(self, *, keep_in: Path | None = None) -> None:
        """Put it away; its files are copied first where a folder for them is named."""
        if keep_in is not None:
            shutil.copytree(self.folder, keep_in, ignore=_sockets)
        subprocess.run(["umount", "-l", str(self.folder)], check=False, capture_output=True)


def _sockets(folder: str, names: list[str]) -> list[str]:
    """What cannot be copied."""
    return [name for name in names if (Path(folder) / name).is_socket()]
