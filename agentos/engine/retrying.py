"""Whether and when a run that failed is tried again, by its cause. Pure."""

import random
from datetime import timedelta

from agentos.domain.frames import Failure

_MOST_TRANSIENT = 10
_MOST_RATE_LIMITED = 50
_LONGEST = timedelta(minutes=5)


def next_try(failure: Failure | None, *, times: int, max_crashes: int) -> timedelta | None:
    """How long to wait before the next attempt, or None when there is to be none.

    `times` is how often the job has failed for this reason, this time included. For what the far
    end could not do, the wait doubles each time and is spread over half to all of it, so that jobs
    that failed together do not come back together ("full jitter" halved; Brooker, "Exponential
    Backoff and Jitter", 2015). After a rate limit it is the backend that rests, not the job.
    """
    match failure:
        case Failure.rate_limited:
            return timedelta() if times < _MOST_RATE_LIMITED else None
        case Failure.transient:
            return _backoff(times) if times <= _MOST_TRANSIENT else None
        case Failure.crashed:
            return timedelta() if times < max_crashes else None
        case Failure.authentication | Failure.refused | Failure.budget | Failure.nonsense | None:
            return None


def advice(failure: Failure | None, *, job_id: int | None, timed_out: bool) -> str:
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
            return "Put it another way, or choose another model; `pm job retry` tries it again."
        case Failure.crashed:
            return (
                f"It is set aside. Its last words are in jobs/{job_id}/errors.log, and "
                f"`pm job retry {job_id}` tries it again."
            )
        case _:
            return "Nothing was lost; `pm job logs` tells the whole story. Ask again to retry."


def _backoff(times: int) -> timedelta:
    doublings: int = 2 ** max(0, times - 1)
    longest = min(_LONGEST, timedelta(seconds=2 * doublings))
    return longest * random.uniform(0.5, 1.0)  # noqa: S311 - spreading load, not a secret
