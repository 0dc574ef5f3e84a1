import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from telegram import Message, Update, User

from agentos.channels.telegram.leniency import complete


def completed(method: str, result: Any) -> Any:
    payload = json.dumps({"ok": True, "result": result}).encode()
    return json.loads(complete(method, payload))["result"]


def test_a_bot_that_does_not_say_it_is_one_is_read() -> None:
    user = User.de_json(completed("getMe", {"id": 666, "username": "b"}), None)
    assert (user.id, user.username, user.is_bot) == (666, "b", True)


@pytest.mark.parametrize("result", [None, {}, {"message_id": 5}, {"date": 1795227305841}, []])
def test_a_sent_message_is_read_however_little_is_said_of_it(result: Any) -> None:
    message = Message.de_json(completed("sendMessage", result), None)
    assert message.message_id in (0, 5)
    assert message.date.year < 2200


def test_an_update_without_dates_and_types_is_read() -> None:
    raw = {"update_id": 1, "message": {"message_id": 3, "chat": {"id": 7}, "from": {"id": 7}}}
    (update,) = completed("getUpdates", [raw])
    read = Update.de_json(update, None)
    assert read.message is not None
    assert read.message.chat.type == "private"


def test_what_telegram_itself_sends_is_left_as_it_is() -> None:
    sent = {"message_id": 5, "date": 1795227305, "chat": {"id": 7, "type": "group"}, "text": "x"}
    assert completed("sendMessage", sent) == sent
    for method in ("setMessageReaction", "sendMessageDraft", "sendChatAction", "editMessageText"):
        assert completed(method, True) is True


@pytest.mark.parametrize("payload", [b"", b"<html>", b"[]", b'{"ok": false, "error_code": 429}'])
def test_an_error_is_left_as_it_is(payload: bytes) -> None:
    assert complete("sendMessage", payload) == payload


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=10,
)


@given(st.sampled_from(["getMe", "getUpdates", "sendMessage", "sendDocument"]), json_values)
def test_no_reply_trips_it(method: str, result: Any) -> None:
    completed(method, result)
