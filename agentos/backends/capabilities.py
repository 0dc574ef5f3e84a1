"""What each backend can and cannot: shown by `pm engine backends`, asked before a job is taken.

Light: the daemon and `pm` import it.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass

from agentos.errors import BadRequest


@dataclass(frozen=True, kw_only=True)
class Capabilities:
    """What one backend can. Where a plain yes would not be honest, the word says how far."""

    # Go on with a session after its process has ended.
    resume: bool
    # End a turn, and all that it started.
    cancel: bool
    # Tell tokens, tell what they cost.
    usage: bool
    cost: bool
    # Tell each tool as it starts and ends.
    tool_events: bool
    # What keeps a tool within what it may do.
    sandbox: str
    # An answer that fits a JSON schema.
    structured_output: bool
    # Take in a word while a turn runs.
    nudge: bool
    # Tell the answer piece by piece as it is written.
    streaming: bool
    # Be its own process between turns, so that the next one starts at once.
    warm: bool
    # Ask memory by itself: recall, remember, request_forget.
    memory: bool
    # What is missing, in plain words; empty when nothing is.
    missing: tuple[str, ...] = ()


BACKENDS: Mapping[str, Capabilities] = {
    "claude": Capabilities(
        resume=True,
        cancel=True,
        usage=True,
        cost=True,
        tool_events=True,
        sandbox="each tool is asked for; writing in the folders of the job only",
        structured_output=True,
        nudge=True,
        streaming=True,
        warm=True,
        memory=True,
        missing=("shell commands are asked for, but not confined by the kernel",),
    ),
    "codex": Capabilities(
        resume=True,
        cancel=True,
        usage=True,
        cost=False,
        tool_events=True,
        sandbox=(
            "commands are confined by the kernel: writing in the folders of the job, no network, "
            "no reading of secrets"
        ),
        structured_output=True,
        nudge=False,
        streaming=False,
        warm=False,
        memory=False,
        missing=(
            "it cannot ask memory by itself: what is recalled is in the prompt of its job",
            "costs are not told: budgets in dollars do not hold it, those in tokens do",
            "when a rate limit ends is not told",
            "a command that the sandbox refused is not told as a tool, only its answer is",
            "commands reach no network and no socket, so `pm` and web searches do not work in them",
            "where the kernel allows no namespaces (some containers), every command fails",
        ),
    ),
    "gemini": Capabilities(
        resume=True,
        cancel=True,
        usage=True,
        cost=False,
        tool_events=True,
        sandbox=(
            "commands and changes of files are asked for; files in the folders of the job only, "
            "none that may hold secrets"
        ),
        structured_output=True,
        nudge=False,
        streaming=True,
        warm=True,
        memory=False,
        missing=(
            "it cannot ask memory by itself: what is recalled is in the prompt of its job",
            "costs are not told: budgets in dollars do not hold it, those in tokens do",
            "tokens are told at the end of a turn only, and not those of a turn that failed",
            "how full the session is is not told",
            "commands that it knows as harmless (ls, cat) are not asked for, files with secrets "
            "are refused by rule; a command with $(…) is refused by itself",
            "why a tool was refused is told to you, not to the model",
            "commands are not confined by the kernel",
            "an object as the answer is asked for in words",
            "other folders than in the turn before cost a start of the CLI (2 s)",
        ),
    ),
    "opencode": Capabilities(
        resume=True,
        cancel=True,
        usage=True,
        cost=True,
        tool_events=True,
        sandbox="each tool is asked for; writing in the folders of the job only",
        structured_output=True,
        nudge=True,
        streaming=True,
        warm=True,
        memory=False,
        missing=(
            "it cannot ask memory by itself: what is recalled is in the prompt of its job",
            "shell commands are asked for, but not confined by the kernel",
            "searching in files (glob, grep) needs ripgrep (rg) on the PATH; commands do without",
            "models of Anthropic, Google and OpenAI only",
            "costs are those of its own price list; a model that is not on it costs nothing there",
            "it takes 600 MB while it is warm",
        ),
    ),
    "echo": Capabilities(
        resume=True,
        cancel=True,
        usage=False,
        cost=False,
        tool_events=False,
        sandbox="it has no tools",
        structured_output=False,
        nudge=False,
        streaming=False,
        warm=True,
        memory=False,
        missing=("no model: it says what it was told, for drills of the queue",),
    ),
}

# Those whose CLI is installed when they are configured.
OTHERS = ("codex", "gemini", "opencode")


def takes_tools(name: str) -> bool:
    """Whether sessions of a backend can have tools of ours; one that does not exist has none."""
    return name in BACKENDS and BACKENDS[name].memory


def check_known(name: str) -> None:
    """Raises BadRequest, with those there are, for a name that no backend has."""
    if name not in BACKENDS:
        known = ", ".join(sorted(BACKENDS))
        raise BadRequest(problem=f"there is no backend {name!r}; there is {known}")


def sideways(
    backend: str, *, unavailable: Collection[str], fallback: Mapping[str, str]
) -> str | None:
    """The backend that does a job: its own, else along `fallback`; None when it has to wait.

    `unavailable` are those that cannot work now: not in use, not installed, at their limit.
    """
    tried: set[str] = set()
    name: str | None = backend
    while name is not None and name in unavailable and name not in tried:
        tried.add(name)
        name = fallback.get(name)
    return None if name is None or name in unavailable else name
