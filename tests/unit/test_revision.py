"""What a change made of a plan."""

from hypothesis import given
from hypothesis import strategies as st

from agentos.domain.plan import Step
from agentos.domain.work import TaskKind
from agentos.frontdesk.revision import Fate, compare

LINES = st.text(st.characters(categories=["L", "Nd", "Zs"]), min_size=1, max_size=20).filter(
    lambda text: bool(text.strip())
)


def step(title: str, prompt: str = "p", *after: int, minutes: int = 5) -> Step:
    return Step(
        title=title, kind=TaskKind.research, prompt=prompt, after=list(after), minutes=minutes
    )


STEPS = st.lists(st.builds(step, LINES, LINES), max_size=6)


def test_steps_are_new_changed_gone_or_as_they_were() -> None:
    before = [step("What to see"), step("Where to eat"), step("The page", "p", 0, 1)]
    after = [step("What to see", minutes=9), step("Where to eat fish"), step("Day trip to Sintra")]
    found = compare(before, after)
    assert found.fates == [Fate.same, Fate.changed, Fate.new]
    assert found.gone == ["The page"]


def test_a_step_that_needs_something_else_is_changed_and_one_that_moved_is_not() -> None:
    before = [step("A thing"), step("Bread"), step("Page", "p", 0)]
    moved = [step("Bread"), step("A thing"), step("Page", "p", 1)]
    assert compare(before, moved).fates == [Fate.same] * 3
    assert compare(before, [*moved[:2], step("Page", "p", 0)]).fates[2] is Fate.changed


def test_a_step_that_does_the_same_in_other_words_is_changed() -> None:
    assert compare([step("Page", "short")], [step("page", "long")]).fates == [Fate.changed]


@given(STEPS)
def test_a_plan_compared_with_itself_has_not_changed(steps: list[Step]) -> None:
    found = compare(steps, steps)
    assert not found.gone and set(found.fates) <= {Fate.same}


@given(STEPS, STEPS)
def test_every_step_has_one_fate_and_each_old_one_goes_on_once_or_is_gone(
    before: list[Step], after: list[Step]
) -> None:
    found = compare(before, after)
    assert len(found.fates) == len(after)
    gone_on = len(before) - len(found.gone)
    assert gone_on == sum(fate is not Fate.new for fate in found.fates)
