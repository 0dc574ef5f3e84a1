"""When a far end is down, slow or refuses us: the rest goes on, and it is said in one line."""

import pytest

from tests.scenarios.lines import answers, decides, fails
from tests.stage import Stage


def counted(said: list[str], words: str) -> int:
    return sum(words in text for text in said)


async def test_with_the_model_down_local_rules_decide_and_it_is_told_once(live: Stage) -> None:
    await live.model.add_rules([fails("auth")])
    await live.user.say("remind me in 20 minutes to stretch")
    await live.user.say("remind me in 30 minutes to eat")
    await live.user.wait_for("I'll remind you.*Eat")
    said = await live.said()
    assert counted(said, "I'll remind you") == 2
    assert counted(said, "by simple rules") == counted(said, "refused the credentials") == 1
    await live.model.reset()
    await live.user.say("hello")
    await live.user.wait_for("Hello")


async def test_a_chat_that_cannot_answer_says_why(live: Stage) -> None:
    await live.model.add_rules([answers("how are you", {"fault": {"kind": "bad_request"}})])
    await live.user.say("how are you")
    told = await live.user.wait_for("I can't answer that now")
    assert "refused the request" in told.text


async def test_a_model_that_is_slower_than_triage_may_be_counts_as_down(stage: Stage) -> None:
    stage.environment["AGENTOS_ENGINE__TRIAGE_TIMEOUT_SECONDS"] = "3"
    await stage.start()
    slow = decides("remind me in 20 minutes to stretch", "respond", delay_ms=30_000)
    await stage.model.add_rules([slow])
    await stage.user.say("remind me in 20 minutes to stretch")
    await stage.user.wait_for("I'll remind you")
    told = await stage.user.wait_for("by simple rules")
    assert "within 3 seconds" in told.text
    # The session has come through it.
    await stage.user.say("hello")
    await stage.user.wait_for("Hello")


@pytest.mark.parametrize("token", ["", "1000001:wrong", "no-token-at-all"])
async def test_without_a_good_token_the_terminal_is_served(stage: Stage, token: str) -> None:
    stage.environment["AGENTOS_TELEGRAM__TOKEN"] = token
    status = await stage.start()
    assert status["channels"] == ["terminal"]
    (line,) = [line for line in stage.output.splitlines() if "Telegram" in line]
    assert line.startswith("Telegram is off: ") and "token" in line.lower()
    assert not token or token not in stage.output + stage.log
    told = stage.agentos("chat", "--message", "hello", "--wait")
    assert told.returncode == 0 and "Hello" in told.stdout


async def test_telegram_that_is_down_at_the_start_is_waited_for(stage: Stage) -> None:
    await stage.user.plan_fault("500", method="getMe", times=1)
    await stage.user.plan_fault("500", method="getUpdates", times=2)
    await stage.user.say("hello")
    await stage.start()
    await stage.user.wait_for("Hello")
    assert stage.output.count("I keep trying") == 1


async def test_an_answer_waits_for_telegram_and_is_said_once(live: Stage) -> None:
    await live.user.plan_fault("500", method="sendMessage", times=3)
    await live.user.say("hello")
    await live.user.wait_for("Hello")
    assert counted(await live.said(), "Hello") == 1
