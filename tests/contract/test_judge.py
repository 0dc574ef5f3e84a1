"""The judge: a real session, without tools, that answers one structured question at a time."""

from datetime import UTC, datetime
from typing import Any

from agentos.backends.claude_access import standin_access
from agentos.domain.frames import Failure, TurnEnded
from agentos.domain.memory import Category, Origin, Trust
from agentos.engine.environment import child_environment
from agentos.engine.forks import ForkServer
from agentos.engine.sessions import Sessions
from agentos.home import Home
from agentos.memory.judge import SCHEMA, Judge, Line, Question, assignment, read_verdict
from agentos.standins.messages_control import MessagesControl
from agentos.standins.process import StandinProcess
from agentos.standins.script import Rule
from tests.capture_room import proposal
from tests.memory_room import a_memory

AT = datetime(2026, 11, 21, 9, 30, tzinfo=UTC)
LINE = Line("owner", AT, "Ana is vegetarian", Trust.owner, Origin.message, "message:1")
QUESTION = Question(now=AT, about="a talk", lines=[LINE], near=[a_memory("Ana paints", id=7)])


def ended(**more: Any) -> TurnEnded:
    return TurnEnded(turn_id="t", **more)


async def test_a_real_session_is_asked_and_answers(home: Home, model: StandinProcess) -> None:
    access = standin_access(model.url, config_folder=home.claude_config)
    forks = ForkServer(
        home=home.root,
        environment=lambda mark: child_environment(access, home=home.root, mark=mark),
        mark=home.mark,
    )
    sessions = Sessions(forks, logs_folder=home.logs)
    judge = Judge(sessions.open(assignment(home, model="haiku"), title="judge"))
    answers = [
        {"memories": [proposal("Ana is vegetarian", category="person", instead_of=[7])]},
        {"memories": []},
    ]
    rules = [
        {
            "when": {"prompt": "Ana is vegetarian", "schema_property": "memories"},
            "times": 1,
            "turn": [{"blocks": [{"structured": answer}]}],
        }
        for answer in answers
    ]
    async with MessagesControl(model.url) as control:
        await control.add_rules([Rule.model_validate(rule) for rule in rules])
        try:
            verdict = await judge.judge(QUESTION)
            (found,) = verdict.proposals
            assert (found.text, found.category) == ("Ana is vegetarian", Category.person)
            assert found.instead_of == [7]
            assert verdict.usage is not None and verdict.usage.tokens > 0
            await judge.rest()
            # After a rest another child answers; it knows nothing of the first question.
            assert (await judge.judge(QUESTION)).proposals == []
            requests = [one for one in await control.requests() if one.prompt]
        finally:
            await sessions.close()
            await forks.close()
    assert len(requests) >= 2
    # But for the one that its answer goes through, and a name that stands for none, it has none.
    tools = {name for one in requests for name in one.tools}
    assert tools <= {"StructuredOutput", "DeferredToolPlaceholder"}


def test_the_schema_is_one_that_every_provider_takes() -> None:
    item = SCHEMA["properties"]["memories"]["items"]
    assert set(item["required"]) == set(item["properties"])
    assert item["properties"]["action"]["enum"] == ["add", "supersede", "ignore"]
    assert "$ref" not in str(SCHEMA)


def test_an_outage_is_no_nonsense() -> None:
    told = read_verdict(ended(failure=Failure.rate_limited, problem="later", retry_after_seconds=9))
    assert told.outage == "rate_limited: later" and not told.nonsense
    assert told.retry_after is not None and told.retry_after.total_seconds() == 9
    for problem in (
        ended(text="I would rather talk"),
        ended(structured={"memory": []}),
        ended(structured={"memories": "none"}),
        ended(failure=Failure.refused),
    ):
        told = read_verdict(problem)
        assert told.nonsense and not told.outage and not told.proposals


def test_too_many_proposals_are_cut_to_their_limit() -> None:
    many = [proposal(f"fact {number}") for number in range(50)]
    assert len(read_verdict(ended(structured={"memories": many})).proposals) == 20
