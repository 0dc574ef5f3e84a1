"""What was used, what is left, and what is expected: as the rows tell it, on each database."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from agentos.config import Config
from agentos.domain.capacity import Pool, Span
from agentos.domain.ledger import Purpose, Usage
from agentos.domain.work import Job, Task, TaskKind
from agentos.engine.capacity import WINDOW, survey
from agentos.engine.lanes import Supply
from agentos.engine.routes import Routes
from agentos.store import events, expectations, jobs, pools, tasks, usage
from agentos.store.database import Database, sqlite_url
from agentos.store.migrate import migrate

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)


def spend(
    database: Database, tokens: int, *, at: datetime = NOW, backend: str = "claude", **more: int
) -> None:
    row = Usage(
        purpose=Purpose.work, backend=backend, model="m", input_tokens=tokens, at=at, **more
    )
    with database.begin() as connection:
        usage.record(connection, row)


def pool(database: Database, span: Span = Span.five_hours, *, backend: str = "claude") -> Pool:
    with database.read() as connection:
        found = pools.list_all(connection)
    return next(each for each in found if (each.backend, each.span) == (backend, span))


def rest(database: Database, *, hours: float, at: datetime = NOW) -> bool:
    until = at + hours * HOUR
    with database.begin() as connection:
        return pools.rest(connection, "claude", until=until, at=at)


def look(database: Database, config: Config | None = None, *, now: datetime = NOW) -> Supply:
    with database.read() as connection:
        return survey(connection, config=config or Config(), routes=Routes(models={}), now=now)


def a_config(**capacity: object) -> Config:
    return Config(capacity=capacity, owner={"timezone": "UTC"})


def test_every_turn_counts_in_both_pools_of_its_backend(any_database: Database) -> None:
    spend(any_database, 100, output_tokens=20, cache_write_tokens=3, cache_read_tokens=10**6)
    spend(any_database, 0, at=NOW + HOUR)
    spend(any_database, 5, backend="codex")
    for span in Span:
        found = pool(any_database, span)
        assert (found.tokens, found.turns, found.began_at) == (123, 2, NOW)
    assert (pool(any_database, backend="codex").tokens) == 5


def test_a_pool_begins_anew_with_the_first_use_after_its_reset(any_database: Database) -> None:
    spend(any_database, 100)
    spend(any_database, 7, at=NOW + 5 * HOUR)
    assert pool(any_database).tokens == 7
    assert pool(any_database).began_at == NOW + 5 * HOUR
    assert pool(any_database, Span.week).tokens == 107


def test_a_pool_lasts_to_the_last_instant_before_its_reset(any_database: Database) -> None:
    spend(any_database, 100)
    spend(any_database, 7, at=NOW + 5 * HOUR - timedelta(microseconds=1))
    assert pool(any_database).tokens == 107


def test_a_clock_that_is_set_back_begins_a_pool_anew_and_does_not_make_it_longer(
    any_database: Database,
) -> None:
    spend(any_database, 100, at=NOW + 24 * HOUR)
    spend(any_database, 7)
    assert (pool(any_database).tokens, pool(any_database).began_at) == (7, NOW)


def test_more_tokens_than_fit_a_small_number_are_counted(any_database: Database) -> None:
    for _ in range(3):
        spend(any_database, 2_000_000_000)
    assert pool(any_database, Span.week).tokens == 6_000_000_000


def test_a_rest_is_news_once(any_database: Database) -> None:
    assert rest(any_database, hours=1)
    assert not rest(any_database, hours=1)
    assert not rest(any_database, hours=2), "longer than was told, but not news"
    assert pool(any_database).rests_until == NOW + 2 * HOUR
    assert not rest(any_database, hours=1)
    assert pool(any_database).rests_until == NOW + 2 * HOUR
    assert rest(any_database, hours=1, at=NOW + 3 * HOUR)


def test_resting_and_waking_have_their_events(any_database: Database) -> None:
    rest(any_database, hours=1)
    with any_database.begin() as connection:
        pools.wake(connection, "claude", at=NOW)
        pools.wake(connection, "claude", at=NOW)
        found = [event.key for event in events.list_since(connection, 0)]
    assert [key for key in found if key.startswith("backend_")] == [
        "backend_rests",
        "backend_wakes",
    ]


def test_a_rest_outlasts_the_pool_it_was_told_in(any_database: Database) -> None:
    spend(any_database, 1)
    rest(any_database, hours=10, at=NOW + 4 * HOUR)
    spend(any_database, 1, at=NOW + 6 * HOUR)
    assert "claude" in look(any_database, now=NOW + 7 * HOUR).resting
    assert "claude" not in look(any_database, now=NOW + 14 * HOUR).resting


def test_an_answer_wakes_a_backend_whatever_it_has_said(any_database: Database) -> None:
    rest(any_database, hours=1)
    with any_database.begin() as connection:
        pools.wake(connection, "claude", at=NOW)
    assert look(any_database).resting == {}


def test_a_rest_that_a_jumping_clock_told_is_told_anew_by_the_next_try(
    any_database: Database,
) -> None:
    rest(any_database, hours=5, at=NOW + 9 * 24 * HOUR)
    assert look(any_database).resting == {}, "it was told in days to come"
    assert rest(any_database, hours=1)
    assert look(any_database).resting == {
        "claude": "claude has reached its limit and rests until "
        f"{(NOW + HOUR).astimezone(Config().owner.zone):%H:%M}"
    }
    assert look(any_database, now=NOW + HOUR).resting == {}


def test_pools_and_rests_are_there_after_a_restart(tmp_path: Path) -> None:
    url = sqlite_url(tmp_path / "agentos.db")
    config = a_config(five_hour_tokens=100)
    before = Database(url)
    migrate(before)
    spend(before, 90)
    rest(before, hours=1)
    told = look(before, config)
    before.close()
    after = Database(url)
    migrate(after)
    assert look(after, config) == told
    assert told.resting and told.spared
    after.close()


@pytest.mark.parametrize(
    "limit", [{"five_hour_tokens": 100}, {"five_hour_turns": 1}, {"weekly_tokens": 100}]
)
def test_a_full_pool_takes_work_again_at_its_reset(
    any_database: Database, limit: dict[str, int]
) -> None:
    config = a_config(**limit)
    spend(any_database, 100)
    assert "claude" in look(any_database, config).resting
    assert "claude" not in look(any_database, config, now=NOW + 7 * 24 * HOUR).resting


def test_five_minutes_are_a_window_that_moves_with_the_clock(any_database: Database) -> None:
    spend(any_database, 10, at=NOW - WINDOW)
    spend(any_database, 20, at=NOW - WINDOW + timedelta(seconds=1))
    spend(any_database, 40, at=NOW)
    spend(any_database, 80, at=NOW + HOUR)  # by a clock that was ahead
    assert look(any_database).window_used == 60
    assert look(any_database, now=NOW + WINDOW).window_used == 0
    assert look(any_database, a_config(window_tokens=0)).window_used == 0


def test_the_queue_is_counted_no_further_than_it_matters(any_database: Database) -> None:
    with any_database.begin() as connection:
        for number in range(6):
            later = NOW + HOUR if number < 2 else None
            jobs.enqueue(connection, Job(title="t", prompt="p", created_at=NOW, run_at=later))
    assert look(any_database, a_config(deep_queue=3)).depth == 3
    assert look(any_database, a_config(deep_queue=10)).depth == 4


# What jobs are expected to use.


def a_job(**more: object) -> Job:
    return Job(**{"title": "t", "prompt": "p" * 400, "created_at": NOW, **more})


def learn(database: Database, tokens: int, **more: object) -> None:
    with database.begin() as connection:
        expectations.learn(
            connection, a_job(**more), tokens=tokens, took=timedelta(seconds=tokens / 10)
        )


def expected(database: Database, **more: object) -> int:
    with database.read() as connection:
        return expectations.expect(connection, a_job(**more))


def test_before_anything_is_learned_a_job_is_expected_to_use_its_prompt_and_a_guess(
    any_database: Database,
) -> None:
    assert expected(any_database) == 100 + 8_000
    assert expected(any_database, prompt="") == 8_000


def test_the_first_job_of_a_sort_sets_what_is_expected_of_the_next(
    any_database: Database,
) -> None:
    learn(any_database, 500)
    assert expected(any_database) == 500
    assert expected(any_database, prompt="p" * 4000) == 1000 + 400, (
        "its own prompt, what others used beyond"
    )


def test_the_average_moves_by_the_weight_of_each_and_at_least_by_a_fifth(
    any_database: Database,
) -> None:
    for tokens in (200, 400, 600):  # 100, 300 and 500 beyond the prompt
        learn(any_database, tokens)
    assert expected(any_database) == 100 + 300
    for _ in range(40):
        learn(any_database, 1100)
    assert 1090 <= expected(any_database) <= 1100
    before = expected(any_database)
    learn(any_database, 100)
    assert expected(any_database) == pytest.approx(100 + (before - 100) * 0.8, abs=1)


def test_a_job_that_used_less_than_its_prompt_teaches_nothing_below_zero(
    any_database: Database,
) -> None:
    learn(any_database, 3)
    assert expected(any_database) == 100


def test_templates_kinds_of_tasks_and_the_rest_are_learned_apart(any_database: Database) -> None:
    with any_database.begin() as connection:
        code, prose = (
            tasks.add(connection, Task(title="t", kind=kind, created_at=NOW, updated_at=NOW)).id
            for kind in (TaskKind.code, TaskKind.writing)
        )
    learn(any_database, 1100, template="inbox", task_id=code)
    learn(any_database, 2100, task_id=code)
    learn(any_database, 3100)
    assert expected(any_database, template="inbox") == 1100
    assert expected(any_database, template="other", task_id=code) == 8100
    assert expected(any_database, task_id=code) == 2100
    assert expected(any_database, task_id=prose) == 8100
    assert expected(any_database) == 3100
    with any_database.read() as connection:
        found = expectations.find(connection, "kind:code")
        same = expectations.find_for(connection, a_job(task_id=code))
    assert found == same
    assert found is not None and (found.seconds, found.samples) == (210, 1)


def test_what_a_job_is_expected_to_use_is_written_down_when_it_is_queued(
    any_database: Database,
) -> None:
    learn(any_database, 500)
    with any_database.begin() as connection:
        made = jobs.enqueue(connection, a_job())
        assert jobs.get(connection, made.id or 0).tokens == 500
