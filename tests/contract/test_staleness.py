"""Facts that change: what is current is recalled, and what was replaced is nobody's answer."""

from datetime import timedelta
from itertools import pairwise

from agentos.home import Home
from agentos.standins.clock import VirtualClock
from agentos.store.database import Database
from benchmarks.staleness import generate, measure
from tests.memory_room import memory_room


def test_the_generated_facts_change_one_to_five_times_and_sometimes_back() -> None:
    facts = generate(200)
    changes = [len(fact.said) - 1 for fact in facts]
    assert (min(changes), max(changes)) == (1, 5)
    assert all(one != two for fact in facts for one, two in pairwise(fact.said))
    assert any(len(set(fact.said)) < len(fact.said) for fact in facts)
    assert generate(200) == facts


async def test_the_current_fact_comes_first_and_a_superseded_one_never(
    home: Home, database: Database, clock: VirtualClock
) -> None:
    facts = generate(24, seed=2)
    clock.advance(-timedelta(days=10))
    async with memory_room(home, database, clock) as room:
        outcome = await measure(room.remembering, database, home, clock, facts)
    assert outcome.stale == 0
    assert outcome.superseded == sum(len(fact.said) - 1 for fact in facts)
    assert outcome.first >= 0.95 * outcome.facts
