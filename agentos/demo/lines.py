"""The model's part in the story: what it decides, says and does, as rules for its stand-in.

What the workers run are the programs beside this module: the stand-in only writes them down, and
each number that arrives was worked out by a process on this machine.
"""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from agentos.standins.script import Block, Reply, Rule, When

QUESTION = "My starter doubled in four hours. Is it ready to bake with?"
CARD = "Make me a recipe card for 12 sourdough loaves of 900 g at 75 % water."
SIGN = "Make a price sign for my stall."
REMINDER = "Remind me tomorrow at 9 to feed the starter"
STALL = "Plan Saturday's market stall: prices that pay, what to buy, and one page to print."

CARD_TITLE = "Recipe card for 12 loaves"
SIGN_TITLE = "Wide price sign"
WIDE = "Over the stall, wide"
STEPS = ("What each thing costs", "What has to be bought", "One page to print")

_ANSWER = (
    "Very likely, yes! Doubling in four to six hours at room temperature is what you want to "
    "see.\n\nTo be sure, drop a teaspoon of it into water: when it floats, it can carry a loaf. "
    "Bake while it is at its highest, before it sinks back. A starter that rose fast today is at "
    "its best for about two hours."
)
_PROGRAMS = Path(__file__).with_name("programs")
# A person reads along.
_THINKING = 250
_WRITING = 110


def rules() -> list[Rule]:
    """The whole part. Setting the reminder is left to the stand-in's own rules: they know dates."""
    return [*_triage(), _answer(), _plan(), *_work()]


def _triage() -> list[Rule]:
    card = {
        "outcome": "quick_work",
        "title": CARD_TITLE,
        "kind": "writing",
        "prompt": "Write a recipe card: 12 sourdough loaves of 900 g, 75 % water.",
    }
    question = {
        "outcome": "clarify",
        "question": "Where will the sign hang?",
        "options": ["On the table, small", WIDE],
    }
    sign = {
        "outcome": "quick_work",
        "title": SIGN_TITLE,
        "kind": "writing",
        "prompt": "Draw a wide price sign for a market stall: bread, 6 €.",
    }
    stall = {"outcome": "big_work", "title": "Saturday's market stall", "request": STALL}
    return [
        _decision(QUESTION, {"outcome": "respond"}, reason="a question about baking"),
        _decision(CARD, card, reason="one document, one worker"),
        _decision(f"{SIGN}\n(Asked: ", sign, reason="one picture, and its size is known"),
        _decision(f"{SIGN}\n</message>", question, reason="its size decides the work"),
        _decision(STALL, stall, reason="several things to make"),
    ]


def _decision(message: str, decision: dict[str, Any], *, reason: str) -> Rule:
    return Rule(
        name=f"triage {decision['outcome']}",
        when=When(
            schema_property="decision", prompt=re.compile("<message>\n" + re.escape(message))
        ),
        turn=[Reply(blocks=[Block(structured={"reason": reason, "decision": decision})])],
    )


def _answer() -> Rule:
    prompt = re.compile("<message>\n" + re.escape(QUESTION))
    said = Reply(blocks=[Block(text=_ANSWER)], delay_ms=_THINKING, chunk_delay_ms=_WRITING)
    return Rule(name="chat", when=When(prompt=prompt), turn=[said])


def _plan() -> Rule:
    prompts = (
        "Work out what each thing on the stall costs to bake, and a price. Leave prices.csv.",
        "List what has to be bought for Saturday, in shop sizes. Leave shopping.csv.",
        "Put prices.csv and shopping.csv of the steps before together into saturday.md: "
        "what is sold, what to buy, what is left when all is sold.",
    )
    kinds = ("research", "extraction", "writing")
    steps = [
        {
            "title": title,
            "kind": kind,
            "prompt": prompt,
            "after": after,
            "minutes": minutes,
            "cost_usd": 0.05,
        }
        for title, kind, prompt, after, minutes in zip(
            STEPS, kinds, prompts, ([], [], [0, 1]), (4, 3, 2), strict=True
        )
    ]
    drafted = {
        "goal": "A stall on Saturday that pays for itself, on one page.",
        "steps": steps,
        "risks": ["The flour price is last month's."],
        "asks": [],
    }
    reply = Reply(blocks=[Block(structured=drafted)], delay_ms=_THINKING)
    return Rule(name="plan", when=When(schema_property="steps"), turn=[reply])


def _work() -> list[Rule]:
    prices, shopping, page = STEPS
    from_others = r"File: (?P<prices>[^\n]*prices\.csv).*File: (?P<shopping>[^\n]*shopping\.csv)"
    return [
        _job(
            CARD_TITLE,
            program="recipe_card",
            arguments=["{{artefacts}}/recipe-card.md"],
            closing="Your card is ready: 5482 g of flour and 4112 g of water make 12 loaves.",
        ),
        _job(
            SIGN_TITLE,
            program="sign",
            arguments=["{{artefacts}}/price-sign.png"],
            closing="Here is your sign, wide enough to hang over the stall.",
        ),
        _job(
            prices,
            program="prices",
            arguments=["{{artefacts}}/prices.csv"],
            closing="Three things to sell, and each brings more than twice what it costs.",
        ),
        _job(
            shopping,
            program="shopping",
            arguments=["{{artefacts}}/shopping.csv"],
            closing="Five things to buy, 54.30 € together.",
        ),
        _job(
            page,
            program="stall_page",
            arguments=["{{match.prices}}", "{{match.shopping}}", "{{artefacts}}/saturday.md"],
            closing="The page is ready to print. When all is sold, 113.90 € are yours.",
            after=from_others + ".*",
        ),
    ]


def _job(
    title: str, *, program: str, arguments: Sequence[str], closing: str, after: str = ""
) -> Rule:
    """A worker that writes a program, runs it, and tells what came of it."""
    file = f"{program}.py"
    quoted = " ".join(f'"{argument}"' for argument in arguments)
    content = (_PROGRAMS / file).read_text(encoding="utf-8")
    write = Block(tool="Write", input={"file_path": f"{{{{cwd}}}}/{file}", "content": content})
    run = Block(tool="Bash", input={"command": f"python3 {file} {quoted}"})
    task = re.escape(f"<task>\n{title}\n")
    return Rule(
        name=f"job {title}",
        when=When(tool="Write", prompt=re.compile(f"(?s){after}{task}")),
        turn=[
            Reply(blocks=[Block(text="First the program."), write], delay_ms=_THINKING),
            Reply(blocks=[run], delay_ms=_THINKING),
            Reply(blocks=[Block(text=closing)], delay_ms=_THINKING),
        ],
    )
