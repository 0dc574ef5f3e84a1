"""Every error a person may meet, and the one line each of them says.

    AgentosError
    ├── Misconfigured      a file or a setting of the owner's is wrong
    ├── HomeUnusable       the home folder cannot be written
    ├── AlreadyRunning     another daemon holds this home
    ├── StoreUnusable      the database cannot be opened, read or written
    ├── NotFound           an id or a name that nothing has
    ├── WrongState         a thing that exists, but not in the state the call needs
    ├── BadRequest         a call whose words do not fit
    ├── DaemonUnreachable  the control socket does not answer
    ├── ChannelDown        the other side of a channel cannot be reached, or refuses us
    ├── BackendFailed      the agent backend ended without a result
    │   └── BackendMissing it is not there, or not what it should be: another try fails, too
    ├── NotTranscribed     a recording that could not be put into words
    ├── IndexDown          the memory index does not answer; recall goes by the rows meanwhile
    └── LeaseLost          a run that is no longer the live one tried to settle

The docstring of a class is its message; the keyword arguments fill it and stay as attributes.
"""

from typing import Any


class AgentosError(Exception):
    """Something went wrong: {reason}"""

    def __init__(self, **fields: Any) -> None:
        self.fields = fields
        template = type(self).__doc__ or type(self).__name__
        super().__init__(template.format(**fields))

    def __reduce__(self) -> tuple[Any, ...]:
        return (_rebuild, (type(self), self.fields))


def _rebuild(kind: type[AgentosError], fields: dict[str, Any]) -> AgentosError:
    return kind(**fields)


class Misconfigured(AgentosError):
    """{where}: {problem}. {mend}"""


class HomeUnusable(AgentosError):
    """The home folder {home} cannot be used: {problem}. {mend}"""


class AlreadyRunning(AgentosError):
    """agentos is already running on {home} (pid {pid}). Talk to it with `agentos chat`, or replace it with `agentos up --takeover`."""  # noqa: E501


class StoreUnusable(AgentosError):
    """The database {url} cannot be used: {problem}. {mend}"""


class NotFound(AgentosError):
    """There is no {noun} {name}. `pm {noun} list` shows what there is."""


class WrongState(AgentosError):
    """{noun} {name} is {state}: {problem}."""


class BadRequest(AgentosError):
    """{problem}"""


class DaemonUnreachable(AgentosError):
    """The daemon does not answer on {socket}: {problem}. Start it with `agentos up`."""


class ChannelDown(AgentosError):
    """{channel}: {problem}"""

    # Seconds the other side asks us to wait, when it says so.
    retry_after: float | None = None
    # The call may have taken effect although its reply was lost.
    uncertain: bool = False


class BackendFailed(AgentosError):
    """The {backend} backend ended without a result: {problem}"""


class BackendMissing(BackendFailed):
    """The {backend} backend cannot be used: {problem}"""


class NotTranscribed(AgentosError):
    """A recording could not be put into words: {problem}."""


class IndexDown(AgentosError):
    """The memory index does not answer: {problem}."""


class LeaseLost(AgentosError):
    """Run {run_id} is no longer the live run of its job, so nothing was changed."""
