"""What a turn of the Claude CLI used and cost, from what it tells."""

from decimal import Decimal
from typing import Any

from claude_agent_sdk import AssistantMessage, ResultMessage, TextBlock, ToolUseBlock

from agentos.backends.claude_outcome import Bill, Outcome, detail_of


def result(cost: float, *, used: int, of: int | None = None, **more: Any) -> ResultMessage:
    """A result: `used` input tokens in this turn, `of` in all that its cost is for."""
    fields = {
        "subtype": "success",
        "duration_ms": 1,
        "duration_api_ms": 1,
        "is_error": False,
        "num_turns": 1,
        "session_id": "s",
        "total_cost_usd": cost,
        "usage": {"input_tokens": used},
        "model_usage": {"claude-x": {"inputTokens": used if of is None else of}},
    }
    return ResultMessage(**{**fields, **more})


def said(message_id: str, *blocks: Any, **usage: int) -> AssistantMessage:
    counted = {"input_tokens": 100, "output_tokens": 1, "cache_read_input_tokens": 20, **usage}
    return AssistantMessage(
        content=list(blocks), model="claude-x", usage=counted, message_id=message_id
    )


def test_a_turn_costs_what_the_sum_has_grown_by() -> None:
    bill = Bill()
    bill.begin(resumed=False)
    costs = [bill.of(result(total, used=100, of=1)) for total in (0.003, 0.007, 0.007, 0.01)]
    assert costs == [Decimal(each) for each in ("0.003", "0.004", "0", "0.003")]


def test_a_resumed_session_may_go_on_with_the_sum_of_the_process_before() -> None:
    bill = Bill()
    bill.begin(resumed=True)
    assert bill.of(result(0.010, used=250, of=1000)) == Decimal("0.0025")
    assert bill.of(result(0.012, used=200, of=1200)) == Decimal("0.002")
    bill.begin(resumed=True)
    assert bill.of(result(0.004, used=300)) == Decimal("0.004")


def test_output_weighs_five_times_as_much_as_input() -> None:
    bill = Bill()
    bill.begin(resumed=True)
    told = result(
        1.0,
        used=0,
        usage={"output_tokens": 100},
        model_usage={"claude-x": {"inputTokens": 500, "outputTokens": 100}},
    )
    assert bill.of(told) == Decimal("0.5")


def test_each_request_is_counted_once_however_many_blocks_it_comes_in() -> None:
    outcome = Outcome(turn_id="t", model="m", bill=Bill())
    assert outcome.session_tokens is None
    assert outcome.heard(said("a", TextBlock("x" * 40)))
    assert not outcome.heard(said("a", ToolUseBlock(id="1", name="Bash", input={"command": "ls"})))
    assert outcome.heard(said("b", TextBlock("y" * 80), input_tokens=300))
    assert (outcome.spent.input_tokens, outcome.spent.cache_read_tokens) == (400, 40)
    # The newest request alone: 300 + 20 from the cache, 1 + 80 / 4 of output.
    assert outcome.session_tokens == 341
    assert outcome.spent.model == "claude-x"


def test_an_error_in_the_shape_of_an_answer_fills_nothing() -> None:
    outcome = Outcome(turn_id="t", model="m", bill=Bill())
    synthetic = AssistantMessage(
        content=[TextBlock("API Error")], model="<synthetic>", usage={"input_tokens": 0}
    )
    assert not outcome.heard(synthetic)
    assert outcome.session_tokens is None
    assert outcome.broken("it ended").usage.tokens == 0


def test_the_detail_of_a_tool_is_its_command_or_all_of_its_input() -> None:
    assert detail_of({"command": "make test", "description": "Run the tests"}) == "make test"
    assert detail_of({"file_path": "/a", "content": "x"}) == '{"file_path": "/a", "content": "x"}'
    assert len(detail_of({"content": "x" * 10_000})) == 2000
