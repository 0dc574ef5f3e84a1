"""Whether and when a run that failed is tried again, by its cause. Pure."""

import random
from datetime import timedelta

from agentos.domain.frames import Failure

_MOST_TRANSIENT = 10
_LONGEST = timedelta(minutes=5)
_RATE_LIMIT_DEFAULT = timedelta(minutes=5)


def next_try(
    failure: Failure | None,
    *,
    attempts: int,
    max_attempts: int,
    told: timedelta | None,
) -> timedelta | None:
    """How long to wait before the next attempt, or None when there is to be none.

    `told` is how long the far end asks to wait. The wait doubles with each attempt and is spread
    over half to all of it, so that jobs that failed together do not come back together ("full
    jitter" halved; Brooker, "Exponential Backoff and Jitter", 2015).
    """
    match failure:
        case Failure.rate_limited:
            return told or _RATE_LIMIT_DEFAULT if attempts < _MOST_TRANSIENT else None
        case Failure.transient:
            return _backoff(attempts) if attempts < _MOST_TRANSIENT else None
        case Failure.crashed:
            return timedelta() if attempts < max_attempts else None
        case Failure.authentication | Failure.refused | Failure.budget | Failure.nonsense | None:
            return None


def advice(failure: Failure | None, *, timed_out: bool) -> str:
    """What the owner can do about a job that was given up."""
    if timed_out:
        return "It ran out of time. Ask again for a smaller piece of it."
    match failure:
        case Failure.authentication:
            return "The model refused the credentials. `agentos doctor` shows which are used."
        case Failure.rate_limited:
            return "The model's limit did not lift in time. Ask again later."
        case Failure.transient:
            return "The model could not be reached in many tries. Ask again later."
        case Failure.refused:
            return "The model refused the request. Put it another way, or choose another model."
        case _:
            return "Nothing was lost; `pm job logs` tells the whole story. Ask again to retry."


def _backoff(attempts: int) -> timedelta:
    doublings: int = 2 ** max(0, attempts - 1)
    longest = min(_LONGEST, timedelta(seconds=2 * doublings))
    return longest * random.uniform(0.5, 1.0)  # noqa: S311 - spreading load, not a secret
