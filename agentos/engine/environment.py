"""The environment of a child: an allow-list. What is not named here does not reach a worker."""

import os
import sys
from collections.abc import Mapping
from pathlib import Path

from agentos.backends.claude_access import ModelAccess
from agentos.backends.claude_program import PROGRAM
from agentos.domain.frames import MARK

_LONGEST_SOCKET_ROOT = 60
_PASSED = (
    PROGRAM,
    "HOME",
    "LANG",
    "LANGUAGE",
    "LOGNAME",
    "NODE_EXTRA_CA_CERTS",
    "NO_PROXY",
    "HTTPS_PROXY",
    "HTTP_PROXY",
    "SHELL",
    "SSL_CERT_DIR",
    "SSL_CERT_FILE",
    "TERM",
    "TMPDIR",
    "TZ",
    "USER",
    "https_proxy",
    "http_proxy",
    "no_proxy",
)


def child_environment(
    access: ModelAccess,
    *,
    home: Path,
    mark: str,
    base: Mapping[str, str] | None = None,
    others: Mapping[str, str] | None = None,
) -> dict[str, str]:
    """All that a child gets to see. `others` is what the other backends are told (`Roster`)."""
    base = os.environ if base is None else base
    chosen = {name: base[name] for name in _PASSED if name in base}
    chosen.update({name: value for name, value in base.items() if name.startswith("LC_")})
    # `pm` is beside this interpreter; a worker's shell finds it.
    beside = str(Path(sys.executable).parent)
    chosen["PATH"] = os.pathsep.join([beside, base.get("PATH", os.defpath)])
    chosen["AGENTOS_HOME"] = str(home)
    chosen[MARK] = mark
    chosen["DISABLE_AUTOUPDATER"] = "1"
    chosen["CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC"] = "1"
    chosen["CLAUDE_AGENT_SDK_SKIP_VERSION_CHECK"] = "1"
    # About ten seconds of tries; what is still down then is told, and tried again by the engine.
    chosen["CLAUDE_CODE_MAX_RETRIES"] = "4"
    if access.config_folder is not None:
        # A home of their own: no start file of the owner's shell runs in a worker, with the tokens
        # it may export. Only the CLI's own login needs the real one.
        chosen["HOME"] = str(home / "worker-home")
        # What the CLI leaves in the temporary folder stays under home, too, unless the path is too
        # long for the sockets that it opens there.
        if len(str(home)) <= _LONGEST_SOCKET_ROOT:
            chosen["TMPDIR"] = str(home / "tmp")
        chosen["CLAUDE_CONFIG_DIR"] = str(access.config_folder)
    for name in ("NO_PROXY", "no_proxy"):
        # The model may be on loopback, and no proxy knows our loopback.
        chosen[name] = ",".join(part for part in (base.get(name), "127.0.0.1,localhost") if part)
    chosen.update(access.variables)
    chosen.update(others or {})
    return chosen
