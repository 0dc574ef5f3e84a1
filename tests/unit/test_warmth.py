"""Which warm children are kept, and which go."""

import asyncio
from datetime import timedelta
from pathlib import Path

from agentos.domain.frames import Access, Assignment
from agentos.engine.children import Child
from agentos.engine.warmth import WarmChildren

ERRORS = Path("errors.log")


def opened_for(session_id: str | None = "s1", *, prompt: str = "You work.") -> Assignment:
    return Assignment(
        backend="claude",
        model="sonnet",
        system_prompt=prompt,
        access=Access.work,
        working_folder="/w",
        session_id=session_id,
    )


async def a_child() -> Child:
    """A real process that only waits, in a group of its own as a child is."""
    process = await asyncio.create_subprocess_exec("sleep", "600", start_new_session=True)
    child = Child()
    child.pid = process.pid

    async def reap() -> None:
        child.ended(await process.wait())

    child.reaping = asyncio.create_task(reap())  # type: ignore[attr-defined]
    return child


async def gone(child: Child) -> bool:
    async with asyncio.timeout(5):
        await child.exited
    return not child.alive


async def test_a_child_is_handed_out_for_the_session_it_is_in() -> None:
    warm = WarmChildren(keep=timedelta(minutes=10))
    child = await a_child()
    warm.put(1, child, assignment=opened_for(), errors=ERRORS)
    assert warm.take(2, opened_for()) is None
    kept = warm.take(1, opened_for())
    assert kept is not None and kept.child is child and kept.errors == ERRORS
    child.kill()
    assert await gone(child)


async def test_a_child_in_another_session_or_under_other_rules_is_ended() -> None:
    warm = WarmChildren(keep=timedelta(minutes=10))
    for wanted in (opened_for("s2"), opened_for(None), opened_for(prompt="You write.")):
        child = await a_child()
        warm.put(1, child, assignment=opened_for(), errors=ERRORS)
        assert warm.take(1, wanted) is None
        assert await gone(child)


async def test_with_too_many_the_longest_unused_goes() -> None:
    warm = WarmChildren(keep=timedelta(minutes=10), most=2)
    children = [await a_child() for _ in range(3)]
    for number, child in enumerate(children):
        warm.put(number, child, assignment=opened_for(), errors=ERRORS)
    assert await gone(children[0])
    assert warm.worker_ids() == {1, 2}
    warm.evict(everything=True)
    assert all([await gone(child) for child in children])


async def test_short_memory_ends_one_at_a_time_the_longest_unused_first() -> None:
    warm = WarmChildren(keep=timedelta(minutes=10))
    children = [await a_child() for _ in range(3)]
    for number, child in enumerate(children):
        warm.put(number, child, assignment=opened_for(), errors=ERRORS)
    for number in range(3):
        warm.evict(short_of_memory=True)
        assert await gone(children[number])
        assert warm.worker_ids() == set(range(number + 1, 3))
    warm.evict(short_of_memory=True)


async def test_what_is_not_needed_for_long_goes() -> None:
    warm = WarmChildren(keep=timedelta(milliseconds=30))
    child = await a_child()
    warm.put(1, child, assignment=opened_for(), errors=ERRORS)
    warm.evict()
    assert child.alive
    await asyncio.sleep(0.05)
    warm.evict()
    assert await gone(child)


async def test_a_retired_workers_child_goes_now_and_when_it_comes_back() -> None:
    warm = WarmChildren(keep=timedelta(minutes=10))
    child, later = await a_child(), await a_child()
    warm.put(1, child, assignment=opened_for(), errors=ERRORS)
    warm.retire(1)
    assert await gone(child)
    warm.put(1, later, assignment=opened_for(), errors=ERRORS)
    assert await gone(later)
