"""Messages that are odd, huge or empty, and a disk that is full: a kind reply, and nothing lost."""

import asyncio
import os
import resource
import socket
from collections.abc import Iterator
from contextlib import contextmanager

from tests.scenarios.lines import quick, text, works
from tests.stage import Stage, by_bot

HUGE = "write all this down: " + "word " * 20_000


async def test_odd_texts_get_an_answer_each_in_their_order(live: Stage) -> None:
    odd = ["👍🎉", "مرحبا كيف حالك", "\u202eabc", "```", "<b>&amp;", "*_[](~", "/etc/hosts is odd"]
    for said in odd:
        await live.user.say(said)
    view = await live.user.wait_until(lambda view: len(by_bot(view)) == len(odd))
    for said, answer in zip(odd, by_bot(view), strict=True):
        # What would turn the letters of others around is left out.
        assert said.removesuffix("amp;").replace("\u202e", "") in answer
        assert "\u202e" not in answer


async def test_messages_without_words_get_kind_ones(live: Stage) -> None:
    for said in ("\u200b", "\x00\x01"):
        await live.user.say(said)
    view = await live.user.wait_until(lambda view: len(by_bot(view)) == 2)
    assert all("no words in it" in answer for answer in by_bot(view))
    asked = await live.model.requests()
    assert asked == []


async def test_a_file_that_is_too_big_is_refused_kindly(live: Stage) -> None:
    await live.user.send_file("film.mp4", size=30_000_000, kind="video")
    await live.user.wait_for("That file is 30 MB; I can take up to 20 MB")
    # What was said with it is still answered.
    await live.user.send_file("film.mp4", size=30_000_000, caption="hello")
    await live.user.wait_for("Hello")


async def test_the_terminal_has_a_limit_of_its_own(live: Stage) -> None:
    big = live.home.root.parent / "film.mp4"
    with big.open("wb") as file:
        file.truncate(130_000_000)
    told = live.agentos("chat", "--message", "hello", "--file", str(big), "--wait")
    assert "That file is 130 MB; I can take up to 100 MB" in told.stdout
    assert told.returncode == 0 and "Hello" in told.stdout


async def test_what_was_said_at_the_terminal_may_be_huge_or_nothing(live: Stage) -> None:
    await live.model.add_rules([works("write all", text("Twenty thousand words."))])
    huge = live.run("agentos.cli", "chat", "--message", "-", "--wait", typed=HUGE)
    assert (huge.returncode, huge.stderr) == (0, "")
    assert "Twenty thousand words." in huge.stdout
    kept = live.home.inbox / "1" / "message.txt"
    assert kept.read_text().split() == HUGE.split()
    nothing = live.agentos("chat", "--message", "", "--wait")
    assert nothing.returncode == 0 and "no words in it" in nothing.stdout
    missing = live.agentos("chat", "--message", "see", "--file", "/not/there", "--wait")
    assert missing.returncode == 1 and missing.stderr == "there is no file /not/there\n"


NOISE = (
    b"\xff\xfe\x00\n",
    b"[]\n",
    b'{"op": 5}\n',
    b"GET / HTTP/1.1\r\n\r\n",
    b"[" * 100_000 + b"\n",
    b'{"id": 1, "op": "chat.say", "params": {"text": 5, "key": ""}}\n',
    b'{"id": 1, "op": "clock.advance", "params": {"seconds": 1e300}}\n',
    b'{"id": 1, "op": "no.such", "params": {}}\n',
)


async def test_noise_on_the_control_socket_is_answered_and_survived(live: Stage) -> None:
    for noise in NOISE:
        answer = await asyncio.to_thread(_send, live, noise)
        assert b'"error"' in answer and b"its log" not in answer, noise[:60]
    await live.user.say("hello")
    await live.user.wait_for("Hello")


async def test_a_full_disk_loses_nothing(live: Stage) -> None:
    await live.model.add_rules(quick("write it down", text("It is written.")))
    await live.user.say("/help")
    before = await live.user.wait_for("what you want")
    with full_disk(live):
        await live.user.say("write it down")
        async with asyncio.timeout(20):
            while "messages wait at Telegram" not in live.output:
                await asyncio.sleep(0.1)
        assert await live.said() == [before.text]
    await live.user.wait_for("It is written")
    shown = await live.user.wait_for(r"✅ write it down · \d+ \w+")
    assert await live.said() == [
        before.text,
        shown.text,
        "✅ write it down\n\nIt is written.",
    ]
    assert live.output.count("messages wait at Telegram") == 1


async def test_a_disk_that_fills_up_during_a_job_loses_nothing(live: Stage) -> None:
    await live.model.add_rules(quick("write it down", text("It is written.", delay_ms=2500)))
    await live.user.say("write it down")
    await live.model.wait_for_request("<task>\nwrite it down")
    with full_disk(live):
        await asyncio.sleep(4)
        assert len(await live.said()) == 1
    await live.user.wait_for("It is written")
    assert len(await live.said()) == 2


async def test_a_start_on_a_full_disk_says_so(stage: Stage) -> None:
    def full() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))

    stage.begin(before=full)
    assert await stage.ended() == 1
    (line,) = stage.output.strip().splitlines()
    assert "File too large" in line and "Free some space" in line


@contextmanager
def full_disk(stage: Stage) -> Iterator[None]:
    """No file of the daemon's can grow; its children are not concerned."""
    assert stage.process is not None
    pid = stage.process.pid
    before = resource.prlimit(pid, resource.RLIMIT_FSIZE)
    resource.prlimit(pid, resource.RLIMIT_FSIZE, (1, before[1]))
    try:
        yield
    finally:
        resource.prlimit(pid, resource.RLIMIT_FSIZE, before)


def _send(stage: Stage, noise: bytes) -> bytes:
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(10)
        connection.connect(os.fspath(stage.home.socket))
        connection.sendall(noise)
        connection.shutdown(socket.SHUT_WR)
        return connection.recv(65536)
