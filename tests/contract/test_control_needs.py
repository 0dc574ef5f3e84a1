"""What jobs need of each other: changed in one go, never in a circle, drawn as a graph."""

from concurrent.futures import ThreadPoolExecutor

import pytest

from agentos.domain.states import JobState
from agentos.engine.claiming import _end_the_doomed
from agentos.errors import BadRequest, NotFound, WrongState
from agentos.home import Home
from agentos.store import jobs, needs
from agentos.store.database import Database
from tests.row_room import NOW, Rows


@pytest.fixture
def there(any_database: Database, home: Home) -> Rows:
    return Rows(any_database, home)


def ready(there: Rows) -> list[int]:
    with there.database.read() as connection:
        return [job.id or 0 for job in jobs.list_ready(connection, now=NOW, limit=50)]


def end_the_doomed(there: Rows) -> None:
    with there.database.begin() as connection:
        _end_the_doomed(connection, at=NOW)


def test_many_need_one_and_one_needs_many(there: Rows) -> None:
    first = there.job(title="First")["id"]
    middle = [there.job(needs=[first])["id"] for _ in range(3)]
    last = there.job(needs=middle)["id"]
    assert ready(there) == [first]
    there.finish(first)
    assert ready(there) == middle
    for each in middle:
        assert last not in ready(there)
        there.finish(each)
    assert ready(there) == [last]


def test_needs_are_added_and_removed_at_once(there: Rows) -> None:
    one, two, three = (there.job(title=name)["id"] for name in ("One", "Two", "Three"))
    there.ask("job.needs", job=three, add=[one])
    changed = there.ask("job.needs", job=three, add=[two, two], remove=[one])
    assert [need["id"] for need in changed["needs"]] == [two]
    assert ready(there) == [one, two]
    with pytest.raises(BadRequest, match=f"job {three} does not need job {one}"):
        there.ask("job.needs", job=three, remove=[one])
    assert there.keys().count("job_needs") == 2


def test_a_circle_is_refused_by_the_names_of_all_who_are_in_it(there: Rows) -> None:
    write, test, ship = (there.job(title=name)["id"] for name in ("Write it", "Test it", "Ship it"))
    there.ask("job.needs", job=test, add=[write])
    there.ask("job.needs", job=ship, add=[test])
    circle = f"{write} Write it → {ship} Ship it → {test} Test it → {write} Write it"
    with pytest.raises(BadRequest, match=f"that would be a circle: {circle}"):
        there.ask("job.needs", job=write, add=[ship])
    with pytest.raises(BadRequest, match=f"circle: {write} Write it → {write} Write it"):
        there.ask("job.needs", job=write, add=[write])
    assert ready(there) == [write]


def test_half_a_change_is_no_change(there: Rows) -> None:
    one, two = there.job()["id"], there.job()["id"]
    with pytest.raises(NotFound):
        there.ask("job.needs", job=two, add=[one, 99])
    assert ready(there) == [one, two]


def test_two_who_add_the_halves_of_a_circle_side_by_side(there: Rows) -> None:
    for _ in range(5):
        one, two = there.job()["id"], there.job()["id"]

        def add(pair: tuple[int, int]) -> bool:
            try:
                there.ask("job.needs", job=pair[0], add=[pair[1]])
            except BadRequest:
                return False
            return True

        with ThreadPoolExecutor(2) as pool:
            added = list(pool.map(add, [(one, two), (two, one)]))
        assert sorted(added) == [False, True]


@pytest.mark.parametrize("state", [JobState.done, JobState.running, JobState.cancelled])
def test_only_a_queued_job_changes_what_it_needs(there: Rows, state: JobState) -> None:
    other, job = there.job()["id"], there.job(worker="ada", model="sonnet")["id"]
    if state is JobState.running:
        there.start(job, "ada")
    else:
        there.finish(job, state)
    with pytest.raises(WrongState, match="only while a job is queued"):
        there.ask("job.needs", job=job, add=[other])


def test_skip_cancels_along_the_chain_with_the_reason(there: Rows) -> None:
    first = there.job()["id"]
    second = there.job(needs=[first])["id"]
    third = there.job(needs=[second])["id"]
    there.finish(first, JobState.failed)
    end_the_doomed(there)
    assert (there.state(second), there.state(third)) == (JobState.cancelled,) * 2
    assert there.row(third).error == f"it needed #{second}, which did not get done"


def test_block_waits_until_that_one_is_tried_again_and_done(there: Rows) -> None:
    first = there.job(title="Bake")["id"]
    second = there.job(needs=[first], if_needs_fail="block")["id"]
    there.finish(first, JobState.failed)
    end_the_doomed(there)
    assert there.state(second) is JobState.queued
    assert ready(there) == []
    (waits,) = there.ask("engine.status")["waiting"]
    assert (
        waits["why"] == f"needs #{first} Bake, which failed: `pm job retry {first}` tries it again"
    )
    there.ask("job.retry", job=first)
    there.finish(first)
    assert ready(there) == [second]


def test_go_on_starts_all_the_same(there: Rows) -> None:
    first = there.job()["id"]
    second = there.job(needs=[first], if_needs_fail="go_on")["id"]
    assert ready(there) == [first]
    there.finish(first, JobState.failed)
    end_the_doomed(there)
    assert ready(there) == [second]


def test_what_is_lost_can_be_needed_only_by_who_can_bear_it(there: Rows) -> None:
    failed, cancelled = there.job()["id"], there.job()["id"]
    there.finish(failed, JobState.failed)
    there.finish(cancelled, JobState.cancelled)
    for needed, policy in ((failed, "skip"), (cancelled, "skip"), (cancelled, "block")):
        with pytest.raises(WrongState, match="would never start"):
            there.job(needs=[needed], if_needs_fail=policy)
    there.job(needs=[failed], if_needs_fail="block")
    there.job(needs=[failed, cancelled], if_needs_fail="go_on")
    late = there.job()["id"]
    with pytest.raises(WrongState, match="would never start"):
        there.ask("job.needs", job=late, add=[failed])
    there.ask("job.needs", job=late, add=[failed], if_needs_fail="go_on")


def test_a_graph_is_all_that_hangs_together(there: Rows) -> None:
    one = there.job(title="One")["id"]
    two = there.job(title="Two", needs=[one])["id"]
    three = there.job(title="Three", needs=[one])["id"]
    alone = there.job(title="Alone")["id"]
    there.finish(one)
    graph = there.ask("job.graph", job=three)
    assert [job["id"] for job in graph["jobs"]] == [one, two, three]
    assert graph["edges"] == [{"from": one, "to": two}, {"from": one, "to": three}]
    assert [job["id"] for job in there.ask("job.graph")["jobs"]] == [one, two, three, alone]
    there.ask("project.add", name="house")
    housed = there.job(project="house")["id"]
    assert [job["id"] for job in there.ask("job.graph", project="house")["jobs"]] == [housed]
    with pytest.raises(BadRequest, match="one job, one project or one plan"):
        there.ask("job.graph", job=one, project="house")
    with pytest.raises(NotFound):
        there.ask("job.graph", plan=9)


def test_a_long_chain_is_walked_to_its_end(there: Rows) -> None:
    chain = [there.job()["id"]]
    for _ in range(60):
        chain.append(there.job(needs=[chain[-1]])["id"])
    with there.database.read() as connection:
        assert needs.find_way(connection, chain[-1], chain[0]) == chain[::-1]
        assert needs.find_way(connection, chain[0], chain[-1]) == []
    with pytest.raises(BadRequest, match="circle"):
        there.ask("job.needs", job=chain[0], add=[chain[-1]])
