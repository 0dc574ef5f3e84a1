"""How updates reach python-telegram-bot: polls, confirmations, conflicts, webhooks, faults."""

import asyncio
import time
from collections.abc import AsyncIterator, Iterator
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, HTTPServer
from threading import Thread
from typing import ClassVar

import httpx
import pytest
from telegram import Bot, Update
from telegram.error import (
    Conflict,
    Forbidden,
    InvalidToken,
    NetworkError,
    RetryAfter,
    TelegramError,
    TimedOut,
)
from telegram.ext import Application, ApplicationBuilder, MessageHandler, filters
from telegram.request import HTTPXRequest

from agentos.standins.process import StandinProcess
from agentos.standins.telegram_user import TelegramUser

TOKEN = "1000001:for-tests"
OWNER = 7001


@pytest.fixture(autouse=True)
def _times_are_timedeltas(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without this the library warns whenever it is refused for a flood."""
    monkeypatch.setenv("PTB_TIMEDELTA", "1")


@pytest.fixture(scope="module")
def standin() -> Iterator[StandinProcess]:
    process = StandinProcess.start_blocking("bot", args=["--token", TOKEN])
    yield process
    process.stop_blocking()


@pytest.fixture
async def user(standin: StandinProcess) -> AsyncIterator[TelegramUser]:
    async with TelegramUser(standin.url) as user:
        await user.reset()
        yield user


def _request() -> HTTPXRequest:
    return HTTPXRequest(httpx_kwargs={"trust_env": False}, connection_pool_size=8)


def _bot(url: str) -> Bot:
    return Bot(TOKEN, base_url=f"{url}/bot", request=_request(), get_updates_request=_request())


@pytest.fixture
async def bot(standin: StandinProcess, user: TelegramUser) -> AsyncIterator[Bot]:
    async with _bot(standin.url) as bot:
        yield bot


def _texts(updates: tuple[Update, ...]) -> list[str | None]:
    return [update.message.text for update in updates if update.message]


async def test_an_update_comes_until_it_is_confirmed(bot: Bot, user: TelegramUser) -> None:
    await user.say("one")
    await user.say("two")
    first = await bot.get_updates(limit=1)
    assert _texts(first) == ["one"]
    assert _texts(await bot.get_updates()) == ["one", "two"]
    assert _texts(await bot.get_updates(offset=first[0].update_id + 1)) == ["two"]
    assert _texts(await bot.get_updates()) == ["two"]


async def test_a_negative_offset_keeps_only_the_newest(bot: Bot, user: TelegramUser) -> None:
    for text in ("one", "two", "three"):
        await user.say(text)
    assert _texts(await bot.get_updates(offset=-1)) == ["three"]
    assert _texts(await bot.get_updates()) == ["three"]


async def test_a_long_poll_returns_as_soon_as_something_comes(bot: Bot, user: TelegramUser) -> None:
    poll = asyncio.create_task(bot.get_updates(timeout=10))
    await asyncio.sleep(0.1)
    began = time.monotonic()
    await user.say("now")
    assert _texts(await poll) == ["now"]
    assert time.monotonic() - began < 1


async def test_a_long_poll_ends_empty_when_nothing_comes(bot: Bot, user: TelegramUser) -> None:
    began = time.monotonic()
    assert await bot.get_updates(timeout=1) == ()
    assert 0.9 < time.monotonic() - began < 3


async def test_a_second_poll_ends_the_first_with_a_conflict(
    bot: Bot, user: TelegramUser, standin: StandinProcess
) -> None:
    older = asyncio.create_task(bot.get_updates(timeout=10))
    await asyncio.sleep(0.1)
    async with _bot(standin.url) as other:
        newer = asyncio.create_task(other.get_updates(timeout=10))
        with pytest.raises(Conflict, match="terminated by other getUpdates"):
            await older
        await user.say("for the newer")
        assert _texts(await newer) == ["for the newer"]


async def test_a_poll_whose_client_left_is_no_conflict(
    bot: Bot, user: TelegramUser, standin: StandinProcess
) -> None:
    left = asyncio.create_task(bot.get_updates(timeout=10))
    await asyncio.sleep(0.1)
    left.cancel()
    await asyncio.gather(left, return_exceptions=True)
    await asyncio.sleep(0.1)
    async with _bot(standin.url) as other:
        assert await other.get_updates() == ()
    outcomes = [call.outcome for call in await user.calls(method="getUpdates")]
    assert outcomes == ["client_went_away", "ok"]


async def test_a_bot_that_polls_goes_on_after_a_reset(bot: Bot, user: TelegramUser) -> None:
    await user.say("before")
    [before] = await bot.get_updates()
    poll = asyncio.create_task(bot.get_updates(offset=before.update_id + 1, timeout=10))
    await asyncio.sleep(0.1)
    await user.reset()
    assert await poll == ()
    await user.say("after")
    assert _texts(await bot.get_updates(offset=before.update_id + 1)) == ["after"]


async def test_only_wanted_kinds_are_queued(bot: Bot, user: TelegramUser) -> None:
    await bot.get_updates(allowed_updates=["message"])
    said = await user.say("one")
    changed = await user.edit(said.message_id, text="two")
    assert changed.update_id is None
    assert _texts(await bot.get_updates()) == ["one"]


async def test_a_duplicate_has_the_same_update_id(bot: Bot, user: TelegramUser) -> None:
    await user.say("once")
    [first] = await bot.get_updates()
    await bot.get_updates(offset=first.update_id + 1)
    await user.duplicate()
    [again] = await bot.get_updates(offset=first.update_id + 1)
    assert again.update_id == first.update_id
    assert await bot.get_updates(offset=first.update_id + 1) == ()


async def test_the_applications_own_polling_answers(
    standin: StandinProcess, user: TelegramUser
) -> None:
    async def echo(update: Update, context: object) -> None:
        assert update.message is not None
        await update.message.reply_text(f"You said {update.message.text}")

    application: Application = (  # type: ignore[type-arg]
        ApplicationBuilder()
        .token(TOKEN)
        .base_url(f"{standin.url}/bot")
        .request(_request())
        .get_updates_request(_request())
        .build()
    )
    application.add_handler(MessageHandler(filters.TEXT, echo))
    async with application:
        assert application.updater is not None
        await application.updater.start_polling(timeout=timedelta(seconds=5))
        await application.start()
        await user.say("hello")
        await user.wait_for("You said hello")
        await application.updater.stop()
        await application.stop()


async def test_a_flood_refusal_tells_how_long_to_wait(bot: Bot, user: TelegramUser) -> None:
    await user.plan_fault("429", method="sendMessage", retry_after=7)
    with pytest.raises(RetryAfter) as told:
        await bot.send_message(OWNER, "x")
    assert told.value.retry_after == timedelta(seconds=7)
    await bot.send_message(OWNER, "x")


@pytest.mark.parametrize(
    ("kind", "error"),
    [
        ("500", NetworkError),
        ("502", NetworkError),
        ("409", Conflict),
        ("401", InvalidToken),
        ("403", Forbidden),
        ("drop_before", NetworkError),
    ],
)
async def test_planned_faults_arrive_as_the_librarys_errors(
    bot: Bot, user: TelegramUser, kind: str, error: type[TelegramError]
) -> None:
    await user.plan_fault(kind, method="sendMessage", times=2)
    for _ in range(2):
        with pytest.raises(error):
            await bot.send_message(OWNER, "x")
    assert (await user.chat()).messages == []
    await bot.send_message(OWNER, "x")
    calls = await user.calls(method="sendMessage")
    assert [call.fault for call in calls] == [kind, kind, None]


async def test_a_lost_reply_leaves_the_message_in_the_chat(bot: Bot, user: TelegramUser) -> None:
    await user.plan_fault("drop_after", method="sendMessage")
    with pytest.raises(NetworkError):
        await bot.send_message(OWNER, "did it arrive?")
    assert [message.text for message in (await user.chat()).messages] == ["did it arrive?"]


async def test_a_call_that_hangs_times_out(bot: Bot, user: TelegramUser) -> None:
    await user.plan_fault("hang", method="sendMessage")
    with pytest.raises(TimedOut):
        await bot.send_message(OWNER, "x", read_timeout=0.2)


async def test_calls_are_recorded_with_what_they_did(bot: Bot, user: TelegramUser) -> None:
    before = time.monotonic()
    sent = await bot.send_message(OWNER, "x", disable_notification=True)
    [call] = await user.calls(method="sendMessage")
    assert call.params["text"] == "x"
    assert call.outcome == "ok"
    assert call.result["message_id"] == sent.message_id
    assert before <= call.monotonic <= time.monotonic()
    assert await user.calls(since=call.index + 1) == []


async def test_calls_may_come_as_query_json_or_form(
    standin: StandinProcess, user: TelegramUser
) -> None:
    params: dict[str, str | int] = {"chat_id": OWNER, "text": "x"}
    url = f"{standin.url}/bot{TOKEN}/sendMessage"
    async with httpx.AsyncClient(trust_env=False) as client:
        answers = [
            await client.get(url, params=params),
            await client.post(url, json=params),
            await client.post(url, data=params),
            await client.post(url.replace("sendMessage", "SENDMESSAGE"), data=params),
        ]
        refused = await client.get(f"{standin.url}/bot{TOKEN}/nothing")
    assert [answer.json()["ok"] for answer in answers] == [True] * 4
    not_found = {"ok": False, "error_code": 404, "description": "Not Found"}
    assert (refused.status_code, refused.json()) == (404, not_found)


async def test_with_limits_a_flood_is_refused(user: TelegramUser) -> None:
    args = ["--token", TOKEN, "--limits"]
    async with await StandinProcess.start("bot", args=args) as limited, _bot(limited.url) as bot:
        for _ in range(3):
            await bot.send_message(OWNER, "x")
        with pytest.raises(RetryAfter):
            await bot.send_message(OWNER, "x")
        await asyncio.sleep(1.05)
        await bot.send_message(OWNER, "x")


class _Hook(BaseHTTPRequestHandler):
    """Refuses the first delivery, takes the rest."""

    seen: ClassVar[list[tuple[str | None, bytes]]] = []

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.seen.append((self.headers.get("X-Telegram-Bot-Api-Secret-Token"), body))
        self.send_response(500 if len(self.seen) == 1 else 200)
        self.end_headers()

    def log_message(self, *args: object) -> None:
        return


@pytest.fixture
def hook() -> Iterator[str]:
    _Hook.seen.clear()
    server = HTTPServer(("127.0.0.1", 0), _Hook)
    thread = Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}/hook"
    server.shutdown()
    thread.join()
    server.server_close()


async def test_a_webhook_gets_each_update_until_it_takes_it(
    bot: Bot, user: TelegramUser, hook: str
) -> None:
    await bot.set_webhook(hook, secret_token="s3")
    await user.say("pushed")
    async with asyncio.timeout(5):
        while len(_Hook.seen) < 2:
            await asyncio.sleep(0.02)
    assert [secret for secret, _ in _Hook.seen] == ["s3", "s3"]
    assert _Hook.seen[0][1] == _Hook.seen[1][1]
    assert b"pushed" in _Hook.seen[1][1]
    with pytest.raises(Conflict, match="webhook is active"):
        await bot.get_updates()
    info = await bot.get_webhook_info()
    assert (info.url, info.pending_update_count) == (hook, 0)
    assert info.last_error_message is not None
    assert await bot.delete_webhook()
    assert await bot.get_updates() == ()
