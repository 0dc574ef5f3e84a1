"""The lines on the control socket."""

import json

import pytest

from agentos.control import wire
from agentos.errors import AgentosError, BadRequest, NotFound, WrongState


def test_a_message_is_one_line_whatever_is_in_it() -> None:
    line = wire.encode({"text": "two\nlines and \ud800 half a pair"})
    assert line.count(b"\n") == 1
    assert wire.decode(line)["text"] == "two\nlines and \ud800 half a pair"


@pytest.mark.parametrize(
    "line", [b"", b"{", b"[1]", b"7", b"null", b"\xff\xfe", b"[" * 100_000, b'"text"']
)
def test_what_is_not_an_object_is_refused(line: bytes) -> None:
    with pytest.raises(BadRequest, match="one JSON object"):
        wire.decode(line)


def test_a_message_that_is_too_long_is_not_sent() -> None:
    with pytest.raises(BadRequest, match="16 MB"):
        wire.encode({"text": "x" * wire.LINE_LIMIT})


@pytest.mark.parametrize(
    "error",
    [
        NotFound(noun="job", name=7),
        WrongState(noun="job", name=7, state="done", problem="it has ended"),
        BadRequest(problem="{braces} stay"),
    ],
)
def test_an_error_is_the_same_on_the_other_side(error: AgentosError) -> None:
    reply = json.loads(wire.encode(wire.error_reply(1, error)))
    there = wire.error_of(reply["error"])
    assert type(there) is type(error)
    assert str(there) == str(error)


def test_an_error_nobody_knows_still_says_its_message() -> None:
    there = wire.error_of({"kind": "FromTheFuture", "message": "no more tea", "fields": {}})
    assert "no more tea" in str(there)


def test_a_fault_of_the_daemon_tells_no_details() -> None:
    reply = wire.error_reply(1, None)
    assert "log" in reply["error"]["message"]
