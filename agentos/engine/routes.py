"""Which backend takes a job whose own one cannot. Pure."""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field

from agentos.backends.capabilities import sideways


def _none() -> Mapping[str, str]:
    return {}


@dataclass(frozen=True)
class Routes:
    """The backends that there are, and the ways between them that the owner allows."""

    # The model that a job gets which names none, by backend.
    models: Mapping[str, str]
    # Backends that cannot be used here, and how that is mended.
    missing: Callable[[], Mapping[str, str]] = _none
    # Those that soon can, and what they wait for.
    coming: Callable[[], Mapping[str, str]] = _none
    # Where a job goes when its backend cannot take it. Never without the owner's word.
    fallback: Mapping[str, str] = field(default_factory=dict)

    def model(self, backend: str) -> str:
        """The model of a backend for a job that names none; empty for the backend's own choice."""
        return self.models.get(backend, "")

    def detours(self, resting: Collection[str]) -> dict[str, str]:
        """Backends that cannot take jobs now, each with the one that does so meanwhile."""
        away = {*resting, *self.missing()}
        ways = {
            backend: sideways(backend, unavailable=away, fallback=self.fallback)
            for backend in self.fallback
            if backend in away
        }
        return {backend: other for backend, other in ways.items() if other is not None}
