"""A worker's question: parked, answered after a crash, and resumed after another one."""

import asyncio

from agentos.standins.script import Rule
from tests.scenarios.lines import quick, text
from tests.stage import Stage

ENDED = "what you asked the owner has ended"
ASK = {
    "blocks": [
        {
            "tool": "mcp__agentos__ask_owner",
            "input": {"question": "Which tea?", "options": [{"label": "Green"}, {"label": "Mint"}]},
        }
    ]
}


async def test_a_tap_days_after_a_kill_resumes_the_job_even_when_killed_right_after_it(
    live: Stage,
) -> None:
    await live.model.add_rules(
        [
            Rule.model_validate({"when": {"prompt": ENDED}, "turn": [text("Mint it is.")]}),
            *quick("write a note about tea", ASK, text("I wait.")),
        ]
    )
    await live.user.say("write a note about tea")
    await live.user.wait_for_button("Mint")
    async with asyncio.timeout(30):
        while live.listed("job")[0]["state"] != "parked":
            await asyncio.sleep(0.2)
    assert live.listed("task")[0]["state"] == "waiting"
    await live.kill()
    await live.start()
    tapped = await live.user.tap("Mint")
    await live.user.wait_until(lambda view: tapped.tap_id in view.answers)
    await live.kill()
    await live.start()
    await live.user.wait_for("Mint it is.")
    (done,) = live.listed("job")
    assert done["state"] == "done"
    view = await live.user.chat()
    shown = [one for one in view.messages if "Which tea?" in one.text]
    assert len(shown) == 1 and shown[0].text.rstrip().endswith("✓ Mint")
    late = live.pm("card", "answer", "1", "a")
    assert late.returncode == 1 and "card 1 is answered: the answer was Mint" in late.stderr
