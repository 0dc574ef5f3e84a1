"""The laws of the queue: what starts, what waits, and that nothing waits for ever."""

from collections import Counter
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

from hypothesis import given
from hypothesis import strategies as st

from agentos.domain.work import PATIENCE, Job, JobKind, Lane, lane_of, turn_of
from agentos.engine.lanes import (
    Choice,
    Hold,
    Limits,
    Supply,
    Under,
    barred,
    choose,
    detour,
    holds,
)
from agentos.store.jobs import Barred

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)
BACKENDS = ("claude", "codex", "gemini")
MINUTE = timedelta(minutes=1)


def a_job(number: int, priority: int = 2, *, ago: timedelta = timedelta(), **more: object) -> Job:
    since = NOW - ago
    return Job(
        id=number,
        title="t",
        prompt="p",
        priority=priority,
        lane=int(lane_of(priority)),
        created_at=since,
        turn_at=turn_of(priority, since=since),
        **more,
    )


def a_supply(**more: object) -> Supply:
    return Supply(now=NOW, **more)


def in_turn(queue: list[Job]) -> list[Job]:
    return sorted(queue, key=lambda job: (job.turn_at, job.id))


def ids(chosen: list[Job]) -> list[int | None]:
    return [job.id for job in chosen]


@st.composite
def queues(draw: st.DrawFn) -> list[Job]:
    return in_turn(
        [
            a_job(
                number,
                draw(st.integers(0, 5)),
                ago=draw(st.integers(0, 300)) * MINUTE,
                project_id=draw(st.sampled_from([None, 1, 2])),
                template=draw(st.sampled_from([None, "inbox", "tidy"])),
                backend=draw(st.sampled_from(BACKENDS)),
                wants_worker_id=draw(st.sampled_from([None, None, 7])),
                tokens=draw(st.sampled_from([0, 10, 40, 90, 200])),
            )
            for number in range(1, draw(st.integers(0, 12)) + 1)
        ]
    )


class Situation(NamedTuple):
    """What a round finds."""

    queue: list[Job]
    under: Under
    supply: Supply
    limits: Limits


def seldom(what: str) -> st.SearchStrategy[str]:
    return st.sampled_from(["", "", "", "", what])


@st.composite
def situations(draw: st.DrawFn) -> Situation:
    """Most limits are far away most of the time, or they would hide each other."""
    slots = draw(st.integers(1, 4))
    limits = Limits(
        slots=slots,
        project_slots=draw(st.sampled_from([0, 0, 1, 2])),
        template_slots=draw(st.sampled_from([0, 0, 1, 2])),
        window_tokens=draw(st.sampled_from([0, 100, 400])),
        backpressure=draw(st.sampled_from([0.5, 0.8, 1.0])),
        deep_queue=draw(st.sampled_from([1, 10])),
    )
    running = draw(st.sampled_from([0, slots - 1, slots, slots, slots + 1]))
    under = Under(
        running=running,
        urgent=draw(st.integers(0, running)),
        projects=Counter(draw(st.lists(st.sampled_from([1, 2]), max_size=min(running, 2)))),
        templates=Counter(
            draw(st.lists(st.sampled_from(["inbox", "tidy"]), max_size=min(running, 2)))
        ),
        tokens=draw(st.sampled_from([0, 10, 50, 90, 300])) if running else 0,
    )
    some = st.sampled_from([[], [], ["claude"], ["codex"], ["claude", "codex"]])
    resting = dict.fromkeys(draw(some), "it rests until 14:00")
    free = [each for each in BACKENDS if each not in resting]
    supply = a_supply(
        resting=resting,
        spared=dict.fromkeys(draw(some), "the rest is kept until 15:00"),
        detours={each: draw(st.sampled_from(free)) for each in resting if draw(st.booleans())},
        window_used=draw(st.sampled_from([0, 0, 30, 85, 100, 350])),
        depth=draw(st.sampled_from([0, 1, 10])),
        strain=draw(seldom("the machine has 12 MB of memory left")),
        draining=bool(draw(seldom("it is"))),
    )
    return Situation(draw(queues()), under, supply, limits)


def passes(job: Job, bars: Barred) -> bool:
    """What `store.jobs.list_ready` lets through, in Python."""
    named = job.wants_worker_id is not None
    backends = bars.backends_by_name if named else bars.backends
    spared = bars.spared_by_name if named else bars.spared
    urgent = job.lane == Lane.urgent
    return (
        bars.last_lane is not None
        and job.lane <= bars.last_lane
        and (urgent or bars.turn_by is None or job.turn_at is None or job.turn_at <= bars.turn_by)
        and job.backend not in backends
        and (urgent or job.backend not in spared)
        and job.project_id not in bars.projects
        and job.template not in bars.templates
    )


def held_as(choice: Choice) -> dict[int | None, Hold]:
    return {held.job.id: held.hold for held in choice.held}


# Never above capacity.


@given(situations())
def test_never_above_the_slots_and_the_one_for_urgent_work(found: Situation) -> None:
    queue, under, supply, limits = found
    for job in choose(queue, under=under, supply=supply, limits=limits).start:
        assert under.running <= limits.slots
        under = under.and_(job)
        if job.lane != Lane.urgent:
            assert under.running - under.urgent <= limits.slots
            # It takes the last slot only while an urgent job has the one that is theirs.
            assert under.running <= limits.slots or under.urgent


@given(situations())
def test_never_more_of_a_project_or_a_template_than_may_run_at_once(found: Situation) -> None:
    queue, under, supply, limits = found
    for job in choose(queue, under=under, supply=supply, limits=limits).start:
        under = under.and_(job)
        if limits.project_slots and job.project_id is not None:
            assert under.projects[job.project_id] <= limits.project_slots
        if limits.template_slots and job.template is not None:
            assert under.templates[job.template] <= limits.template_slots


@given(situations())
def test_what_can_wait_never_goes_beyond_the_windows_tokens(found: Situation) -> None:
    queue, under, supply, limits = found
    for job in choose(queue, under=under, supply=supply, limits=limits).start:
        used = supply.window_used + under.tokens
        under = under.and_(job)
        if limits.window_tokens and job.lane != Lane.urgent:
            assert used == 0 or used + job.tokens <= limits.window_tokens
            deep = supply.depth >= limits.deep_queue
            assert not deep or used < limits.backpressure * limits.window_tokens


@given(situations())
def test_every_job_is_started_or_held_and_what_is_held_says_why_in_one_line(
    found: Situation,
) -> None:
    queue, under, supply, limits = found
    choice = choose(queue, under=under, supply=supply, limits=limits)
    told = [*ids(choice.start), *(held.job.id for held in choice.held)]
    assert sorted(told) == sorted(ids(queue))
    for held in choice.held:
        assert held.words.strip() and "\n" not in held.words
        if held.hold in (Hold.backend_rests, Hold.pool):
            assert "until" in held.words


# No inversion.


@given(situations())
def test_a_job_is_passed_over_only_for_one_that_something_else_would_hold_it_for(
    found: Situation,
) -> None:
    """Of two alike in all but their turn, the later never starts without the earlier."""
    queue, under, supply, limits = found
    choice = choose(queue, under=under, supply=supply, limits=limits)
    started = set(ids(choice.start))
    for place, job in enumerate(queue):
        for later in queue[place + 1 :]:
            if later.id in started and job.id not in started and _alike(job, later):
                assert later.lane < job.lane or later.priority <= job.priority
                assert later.lane == Lane.urgent, "only the urgent slot is taken out of turn"


def _alike(one: Job, other: Job) -> bool:
    names = ("project_id", "template", "backend", "wants_worker_id")
    return all(getattr(one, name) == getattr(other, name) for name in names)


@given(situations())
def test_of_two_jobs_a_lower_priority_starts_alone_only_when_it_waited_longer(
    found: Situation,
) -> None:
    queue, under, _, limits = found
    alike = [
        job.model_copy(update={"project_id": None, "template": None, "wants_worker_id": None})
        for job in queue
    ]
    choice = choose(alike, under=under, supply=a_supply(), limits=limits)
    started = set(ids(choice.start))
    for higher in alike:
        for lower in alike:
            if (
                higher.priority < lower.priority
                and lower.id in started
                and higher.id not in started
                and not limits.window_tokens
            ):
                waited = higher.created_at - lower.created_at
                assert waited >= PATIENCE[lower.priority] - PATIENCE[higher.priority]


# Work-conserving.


@given(situations())
def test_nothing_idles_while_a_job_could_start(found: Situation) -> None:
    queue, under, supply, limits = found
    choice = choose(queue, under=under, supply=supply, limits=limits)
    for held in choice.held:
        assert holds(held.job, under=choice.under, supply=supply, limits=limits) is not None


@given(situations())
def test_slots_are_left_free_only_for_want_of_jobs(found: Situation) -> None:
    queue, under, _, limits = found
    free = Limits(slots=limits.slots)
    choice = choose(queue, under=under, supply=a_supply(), limits=free)
    waiting = [held.job for held in choice.held]
    if waiting:
        assert choice.under.running >= free.slots
    if any(job.lane == Lane.urgent for job in waiting):
        assert choice.under.running > free.slots


def test_a_small_job_does_not_take_the_tokens_that_a_big_one_before_it_waits_for() -> None:
    limits = Limits(slots=8, window_tokens=100)
    supply = a_supply(window_used=50)
    queue = [a_job(1, tokens=60, ago=2 * MINUTE), a_job(2, tokens=10), a_job(3, 0, tokens=10)]
    choice = choose(in_turn(queue), under=Under(), supply=supply, limits=limits)
    assert ids(choice.start) == [3]
    assert held_as(choice) == {1: Hold.window, 2: Hold.window}
    later = a_supply(window_used=30)
    assert ids(choose(in_turn(queue), under=Under(), supply=later, limits=limits).start) == [3, 1]


def test_a_job_bigger_than_the_whole_window_starts_when_nothing_else_is_under_way() -> None:
    limits = Limits(slots=8, window_tokens=100)
    huge = a_job(1, tokens=5_000)
    assert ids(choose([huge], under=Under(), supply=a_supply(), limits=limits).start) == [1]
    busy = choose([huge], under=Under(running=1, tokens=1), supply=a_supply(), limits=limits)
    assert held_as(busy) == {1: Hold.window}


# What is barred, and what is held: one law.


@given(situations())
def test_barring_never_hides_a_job_that_would_start(found: Situation) -> None:
    queue, under, supply, limits = found
    bars = barred(under=under, supply=supply, limits=limits)
    looked_at = [job for job in queue if passes(job, bars)]
    whole = choose(queue, under=under, supply=supply, limits=limits)
    assert ids(choose(looked_at, under=under, supply=supply, limits=limits).start) == ids(
        whole.start
    )


@given(situations())
def test_what_is_barred_is_all_that_is_held_but_for_tokens(found: Situation) -> None:
    """Else jobs that are held would fill a look at the queue, and hide those behind them."""
    queue, under, supply, limits = found
    bars = barred(under=under, supply=supply, limits=limits)
    for job in queue:
        held = holds(job, under=under, supply=supply, limits=limits)
        if passes(job, bars):
            assert held is None or held.hold is Hold.window
        else:
            assert held is not None


@given(situations())
def test_after_one_job_waits_for_tokens_nothing_but_urgent_work_is_looked_at(
    found: Situation,
) -> None:
    queue, under, supply, limits = found
    choice = choose(queue, under=under, supply=supply, limits=limits)
    if Hold.window in held_as(choice).values():
        again = barred(under=choice.under, supply=supply, limits=limits)
        assert again.last_lane in (Lane.urgent, None)


# Urgent work.


@given(situations())
def test_no_limit_that_keeps_something_free_for_the_owner_holds_urgent_work(
    found: Situation,
) -> None:
    queue, under, supply, limits = found
    choice = choose(queue, under=under, supply=supply, limits=limits)
    for held in choice.held:
        if held.job.lane == Lane.urgent:
            assert held.hold not in (Hold.pool, Hold.machine, Hold.backpressure, Hold.window)


@given(situations())
def test_rest_holds_whatever_names_the_backend_and_has_no_detour(found: Situation) -> None:
    queue, under, supply, limits = found
    for job in choose(queue, under=under, supply=supply, limits=limits).start:
        assert (detour(job, supply) or job.backend) not in supply.resting


def test_the_urgent_slot_takes_an_urgent_job_when_all_others_are_full() -> None:
    limits, full = Limits(slots=2), Under(running=2)
    queue = [a_job(1, 2, ago=300 * MINUTE), a_job(2, 0), a_job(3, 1)]
    choice = choose(queue, under=full, supply=a_supply(), limits=limits)
    assert ids(choice.start) == [2]
    words = {held.job.id: held.words for held in choice.held}
    assert words[1] == "all 2 slots are taken"
    assert words[3] == "all 2 slots are taken, and the urgent one, too"


def test_what_waited_out_its_patience_takes_the_last_slot_while_urgent_work_has_its_own() -> None:
    limits = Limits(slots=2)
    old, fresh = a_job(1, 2, ago=15 * MINUTE), a_job(2, 2, ago=14 * MINUTE)
    queue = [old, a_job(3, 0), fresh]
    urgent_ones = Under(running=2, urgent=2)
    assert ids(choose(queue, under=urgent_ones, supply=a_supply(), limits=limits).start) == [1]
    assert ids(choose([fresh], under=urgent_ones, supply=a_supply(), limits=limits).start) == []
    others = Under(running=2, urgent=0)
    assert ids(choose(queue, under=others, supply=a_supply(), limits=limits).start) == [3]


# Detours.


def test_a_detour_takes_the_jobs_of_a_backend_that_rests_and_leaves_those_that_name_a_worker() -> (
    None
):
    supply = a_supply(resting={"claude": "rests until 14:00"}, detours={"claude": "codex"})
    named = a_job(2, wants_worker_id=7)
    choice = choose([a_job(1), named], under=Under(), supply=supply, limits=Limits(slots=5))
    assert ids(choice.start) == [1]
    assert held_as(choice) == {2: Hold.backend_rests}
    assert (detour(a_job(1), supply), detour(named, supply)) == ("codex", None)


def test_an_empty_pool_is_gone_round_though_it_is_kept_for_the_owner_too() -> None:
    resting, spared = {"claude": "empty until 14:00"}, {"claude": "100 % used until 14:00"}
    supply = a_supply(resting=resting, spared=spared, detours={"claude": "codex"})
    choice = choose([a_job(1)], under=Under(), supply=supply, limits=Limits(slots=5))
    assert ids(choice.start) == [1]


def test_a_detour_does_not_spend_what_the_other_backend_keeps_for_the_owner() -> None:
    supply = a_supply(
        resting={"claude": "rests until 14:00"},
        spared={"codex": "80 % used until 15:00"},
        detours={"claude": "codex"},
    )
    choice = choose([a_job(1), a_job(2, 0)], under=Under(), supply=supply, limits=Limits(slots=5))
    assert ids(choice.start) == [2]
    assert held_as(choice) == {1: Hold.pool}


def test_an_ending_daemon_starts_nothing() -> None:
    supply = a_supply(draining=True)
    choice = choose([a_job(1, 0)], under=Under(), supply=supply, limits=Limits(slots=5))
    assert held_as(choice) == {1: Hold.draining}


# No starvation, over hours of virtual time.


class Day:
    """Virtual time: a stream of jobs that take a minute each, and what becomes of them."""

    SERVICE = MINUTE

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self.now = NOW
        self.queue: list[Job] = []
        self.live: list[tuple[datetime, Job]] = []
        self.spent: list[tuple[datetime, int]] = []
        self.started: dict[int | None, datetime] = {}
        self._number = 0

    def add(self, priority: int, *, tokens: int = 0, project_id: int | None = None) -> Job:
        self._number += 1
        job = a_job(
            self._number,
            priority,
            ago=NOW - self.now,
            tokens=tokens,
            project_id=project_id,
            kind=JobKind.agent,
        )
        self.queue.append(job)
        return job

    def step(self, by: timedelta) -> None:
        """Start what may start, then let time pass."""
        under = Under()
        for _, job in self.live:
            under = under.and_(job)
        recent = sum(used for at, used in self.spent if at > self.now - 5 * MINUTE)
        supply = Supply(now=self.now, window_used=recent, depth=len(self.queue))
        chosen = choose(in_turn(self.queue), under=under, supply=supply, limits=self.limits).start
        for job in chosen:
            self.queue.remove(job)
            self.started[job.id] = self.now
            self.live.append((self.now + self.SERVICE, job))
        self.now += by
        self.spent += [(end, job.tokens) for end, job in self.live if end <= self.now]
        self.live = [(end, job) for end, job in self.live if end > self.now]

    def waited(self, job: Job) -> timedelta:
        return self.started[job.id] - job.created_at


def test_an_endless_stream_of_urgent_work_does_not_keep_the_rest_waiting_for_ever() -> None:
    """Two slots serve three a minute, four urgent ones come: their own queue grows without end."""
    day = Day(Limits(slots=2))
    others = {priority: day.add(priority) for priority in range(2, 6)}
    for _ in range(60 * 7):
        for _ in range(4):
            day.add(0)
        day.step(MINUTE)
        if all(job.id in day.started for job in others.values()):
            break
    for priority, job in others.items():
        # What came within its patience goes first: four a minute, of which three are served. Then
        # one more service until a slot is free.
        most = PATIENCE[priority] * (4 / 3) + 2 * Day.SERVICE
        assert day.waited(job) <= most, priority


def test_background_work_that_waited_for_hours_does_not_keep_urgent_work_waiting() -> None:
    day = Day(Limits(slots=3))
    for _ in range(300):
        day.add(5)
    day.now += PATIENCE[5] + MINUTE  # the daemon was down: all their turns have come
    for _ in range(20):
        urgent = day.add(0)
        for _ in range(3):
            day.step(MINUTE)
        assert day.waited(urgent) <= Day.SERVICE
    assert len(day.started) >= 3 * 60, "the slots were never idle"


def test_every_job_of_a_mixed_stream_that_can_be_served_starts_within_its_patience() -> None:
    day = Day(Limits(slots=4))
    mine: list[Job] = []
    for minute in range(60 * 10):
        for number in range(4):
            mine.append(day.add((0, 2, 3, 5)[(minute + number) % 4]))
        day.step(MINUTE)
    for _ in range(10):
        day.step(MINUTE)
    assert not day.queue
    for job in mine:
        assert day.waited(job) <= PATIENCE[job.priority] + 2 * Day.SERVICE


def test_a_stream_of_small_jobs_does_not_keep_a_big_one_waiting_for_tokens_for_ever() -> None:
    day = Day(Limits(slots=4, window_tokens=100))
    for _ in range(20):
        day.add(2, tokens=15)
        day.step(MINUTE)
    big = day.add(2, tokens=90)
    for _ in range(60):
        day.add(2, tokens=15)
        day.step(MINUTE)
    # The window is empty five minutes after the last of those before it have ended.
    assert day.waited(big) <= 7 * MINUTE


def test_a_busy_project_does_not_keep_its_own_jobs_waiting_out_of_turn() -> None:
    day = Day(Limits(slots=4, project_slots=1))
    waits = day.add(5, project_id=1)
    for _ in range(60 * 6):
        day.add(2, project_id=1)
        day.step(MINUTE)
    assert day.waited(waits) <= PATIENCE[5] + 2 * Day.SERVICE
