"""Complaint: silence. "Is it dead?" is a question nobody has to ask."""

from tests.scenarios.lines import decides, long_work, text, works
from tests.stage import Stage

TITLE = "count the stars"


async def test_silence_a_long_job_tells_what_it_is_doing_and_for_how_long(live: Stage) -> None:
    long = works(TITLE, long_work(60), text("Never said.")).model_copy(update={"times": 1})
    await live.model.add_rules(
        [
            decides(TITLE, "quick_work", title=TITLE, kind="research", prompt=TITLE),
            long,
            works(TITLE, text("There are many.", delay_ms=4_000)),
        ]
    )
    said = await live.user.say(TITLE)
    shown = await live.user.wait_for(r"⚙ count the stars \(#1\)\nrunning python3 · \d+ \w+")
    assert shown.labels == ["Stop"]
    view = await live.user.chat()
    assert view.messages[0].reactions == ["👨‍💻"]
    await live.kill()
    await live.start()
    # The same message goes on being changed, by a daemon that has never seen it before.
    await live.user.wait_until(
        lambda view: any(
            one.message_id == shown.message_id and one.edits > shown.edits
            for one in view.messages
            if "⚙" in one.text
        )
    )
    await live.user.wait_for("There are many")
    ended = await live.user.wait_for(r"✅ count the stars · \d+ \w+")
    assert ended.message_id == shown.message_id and not ended.buttons
    view = await live.user.wait_until(lambda view: view.messages[0].reactions == ["👍"])
    asked, told, result = view.messages
    assert (asked.message_id, told.message_id) == (said.message_id, shown.message_id)
    assert "There are many" in result.text and not result.silent
