"""Being unable to stop or steer: a word to work that runs reaches it, whatever happens."""

from datetime import timedelta

from tests.scenarios.lines import quick, text, works
from tests.stage import Stage, by_bot

TITLE = "bake bread"


async def test_being_unable_to_stop_or_steer_is_over_even_when_everything_is_killed(
    live: Stage,
) -> None:
    decide, work = quick(TITLE, text("Never said.", delay_ms=120_000))
    await live.model.add_rules(
        [
            decide,
            # Its first run is killed while it thinks: until then nobody could have told it.
            work.model_copy(update={"times": 1}),
            works(TITLE, text("With rye.")),
        ]
    )
    await live.user.say(TITLE)
    begun = await live.user.wait_for("On it")
    await live.model.wait_for_request(rf"<task>\n{TITLE}")
    await live.user.say("use rye, please", reply_to=begun.message_id)
    await live.user.wait_for(r"Told #1\.")
    await live.kill()
    await live.start()
    await live.user.wait_for("With rye", timeout=timedelta(seconds=90))
    asked = [one for one in await live.model.requests() if f"<task>\n{TITLE}" in one.prompt]
    told = [one.prompt.count("use rye, please") for one in asked]
    assert told[0] == 0 and told[-1] == 1
    # A reply to the result goes on from it, and can be stopped in plain words.
    result = next(one for one in (await live.user.chat()).messages if "With rye" in one.text)
    await live.user.say("why?", reply_to=result.message_id)
    why = await live.user.wait_for("#1 bake bread: done")
    assert "You said meanwhile: “use rye, please” (heard)" in why.text
    assert by_bot(await live.user.chat()).count("Told #1.") == 1
