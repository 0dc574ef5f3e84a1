"""Staleness: facts that change are captured from talk, then asked for. Is the current one first?

    python -m benchmarks.staleness [--facts 200] [--lexical] [--json]

200 facts about 20 people change one to five times each, sometimes back to what they were before.
The owner says each change; capture reads the talk after a lull, with a judge whose judgements are
scripted: it knows which fact a line is about, but may only replace what it was shown. So what is
measured is ours: finding the old memory, closing it, and recalling the one that is current.
"""

import argparse
import asyncio
import random
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from zoneinfo import ZoneInfo

from agentos.domain.frames import TurnEnded
from agentos.domain.states import MessageState
from agentos.domain.talk import Message
from agentos.home import Home
from agentos.memory.capture import Capturing
from agentos.memory.episodes import Episodes
from agentos.memory.judge import Question, Verdict, read_verdict
from agentos.memory.remembering import Remembering
from agentos.settings import Memory as Settings
from agentos.standins.clock import VirtualClock
from agentos.store import memories, messages
from agentos.store.database import Database
from benchmarks.common import Report
from benchmarks.memory_room import room

_PEOPLE = [
    "Ana",
    "Ben",
    "Carla",
    "David",
    "Eva",
    "Farid",
    "Greta",
    "Hugo",
    "Ines",
    "Jonas",
    "Karim",
    "Lena",
    "Marco",
    "Nadia",
    "Oskar",
    "Petra",
    "Quentin",
    "Rosa",
    "Sven",
    "Tilda",
]
_CITIES = ["Berlin", "Hamburg", "Porto", "Rome", "Oslo", "Vienna", "Lyon", "Ghent"]
_FIRMS = ["Acme", "Bluebird", "Cobalt", "Dynamo", "Everest", "Foxglove"]
_COLOURS = ["blue", "green", "red", "yellow", "purple", "orange", "black"]
_DAYS = ["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday"]
_DOGS = ["Bella", "Rex", "Luna", "Max", "Coco", "Rocky"]
_DRINKS = ["coffee", "tea", "juice", "water", "cocoa", "lemonade"]
_SPORTS = ["tennis", "rowing", "climbing", "yoga", "cycling", "chess"]
_NUMBERS = ["12", "27", "34", "48", "51", "66", "73", "89"]
# What is said, what is remembered of it, and how it is asked for.
_SUBJECTS = (
    ("{who} moved, {who} lives in {value} now", "{who} lives in {value}", "Where does {who} live?"),
    ("{who} works for {value} these days", "{who} works for {value}", "Who does {who} work for?"),
    (
        "you know, {who}'s favourite colour is {value}",
        "{who}'s favourite colour is {value}",
        "What is {who}'s favourite colour?",
    ),
    (
        "the call with {who} is on {value} from now on",
        "The weekly call with {who} is on {value}",
        "On which day is the call with {who}?",
    ),
    ("{who}'s dog is named {value}", "{who}'s dog is named {value}", "What is {who}'s dog?"),
    ("{who} only drinks {value}", "{who} drinks {value}", "What does {who} drink?"),
    (
        "{who} has taken up {value}, no other sport",
        "{who}'s sport is {value}",
        "Which sport does {who} do?",
    ),
    (
        "{who} sits in room {value} in the office",
        "{who}'s office room is {value}",
        "In which room is {who}'s office?",
    ),
    (
        "{who} parks a {value} car outside",
        "{who}'s car is {value}",
        "What colour is {who}'s car?",
    ),
    (
        "{who}'s sister has settled in {value}",
        "{who}'s sister lives in {value}",
        "Where does {who}'s sister live?",
    ),
)
_VALUES = (
    _CITIES,
    _FIRMS,
    _COLOURS,
    _DAYS,
    _DOGS,
    _DRINKS,
    _SPORTS,
    _NUMBERS,
    _COLOURS,
    _CITIES,
)
_TALK = "terminal:main"


@dataclass(frozen=True)
class Fact:
    """What was said of one thing over time, and what is asked in the end."""

    said: list[str]
    texts: list[str]
    query: str


@dataclass(frozen=True)
class Outcome:
    """Of so many facts, how often the current one came first, and how often an old one counted."""

    facts: int
    first: int
    # Superseded ones that a recall gave, or that the rows still hold as current.
    stale: int
    captured: int
    superseded: int


def generate(count: int, *, seed: int = 1) -> list[Fact]:
    """Facts with two to six values each, each other than the one before it."""
    chance = random.Random(seed)
    pairs = [(who, subject) for subject in range(len(_SUBJECTS)) for who in _PEOPLE]
    made = []
    for who, subject in chance.sample(pairs, count):
        values = [chance.choice(_VALUES[subject])]
        for _ in range(chance.randint(1, 5)):
            values.append(chance.choice([v for v in _VALUES[subject] if v != values[-1]]))
        said, text, query = _SUBJECTS[subject]
        made.append(
            Fact(
                [said.format(who=who, value=value) for value in values],
                [text.format(who=who, value=value) for value in values],
                query.format(who=who),
            )
        )
    return made


class KnowingJudge:
    """Knows what each line says, and of which fact; replaces what it is shown of that fact."""

    def __init__(self, facts: Sequence[Fact]) -> None:
        self._facts = {line: (fact, n) for fact in facts for n, line in enumerate(fact.said)}

    async def judge(self, question: Question) -> Verdict:
        """One memory a line."""
        proposals = []
        for number, line in enumerate(question.lines, start=1):
            fact, place = self._facts[line.text]
            text = fact.texts[place]
            old = [one.id for one in question.near if one.text in fact.texts and one.text != text]
            proposals.append(
                {
                    "action": "supersede" if old else "add",
                    "text": text,
                    "category": "fact",
                    "importance": 0.5,
                    "lines": [number],
                    "instead_of": old,
                }
            )
        found: list[Verdict] = []
        # A judge names at most so many at once; ours is asked about more than that.
        for start in range(0, len(proposals), 20):
            some = {"memories": proposals[start : start + 20]}
            found.append(read_verdict(TurnEnded(turn_id="t", structured=some)))
        return Verdict(proposals=[one for verdict in found for one in verdict.proposals])

    async def rest(self) -> None:
        """Nothing to end."""


async def measure(
    remembering: Remembering, database: Database, home: Home, clock: VirtualClock, facts: list[Fact]
) -> Outcome:
    """Say all changes in rounds a day apart, have them captured, then ask. The clock moves on."""
    capturing = Capturing(
        database,
        clock=clock,
        home=home,
        settings=Settings(embedder="", capture_tokens=0),
        remembering=remembering,
        episodes=Episodes(home, zone=ZoneInfo("UTC")),
        judge=KnowingJudge(facts),
        zone=ZoneInfo("UTC"),
    )
    await capturing.look()
    for turn in range(max(len(fact.said) for fact in facts)):
        for number, fact in enumerate(facts):
            if turn < len(fact.said):
                await _say(database, fact.said[turn], key=f"{turn}-{number}", clock=clock)
        clock.advance(timedelta(days=1))
        await capturing.look()
    first = stale = 0
    for fact in facts:
        answer = await remembering.recall(remembering.wish(fact.query), count=False)
        told = [one.memory.text for one in answer.found]
        first += told[:1] == [fact.texts[-1]]
        stale += sum(text in fact.texts and text != fact.texts[-1] for text in told)
    with database.read() as connection:
        rows = memories.list_all(connection, everything=True, limit=100_000)
    by_text = {text: fact for fact in facts for text in fact.texts}
    stale += sum(row.current and by_text[row.text].texts[-1] != row.text for row in rows)
    superseded = sum(row.superseded_by is not None for row in rows)
    return Outcome(len(facts), first, stale, len(rows), superseded)


async def _say(database: Database, text: str, *, key: str, clock: VirtualClock) -> None:
    row = Message(
        channel="terminal",
        conversation=_TALK,
        external_id=key,
        text=text,
        state=MessageState.handled,
        received_at=clock.now(),
    )
    await database.write(lambda connection: messages.receive(connection, row))


async def run(count: int, *, lexical: bool) -> Report:
    """Measure so many facts in a home of their own."""
    report = Report("staleness")
    facts = generate(count)
    clock = VirtualClock()
    clock.advance(-timedelta(days=10))  # so that it all has been by now
    async with room(lexical=lexical) as here:
        if not lexical:
            await here.remembering.settled()
        outcome = await measure(here.remembering, here.database, here.home, clock, facts)
    changes = sum(len(fact.said) - 1 for fact in facts)
    report.add("facts", outcome.facts, "")
    report.add("changes", changes, "")
    report.add("current one first", outcome.first / outcome.facts, "", at_least=0.95)
    report.add("superseded ones given or held as current", outcome.stale, "", at_most=0)
    report.add("superseded", outcome.superseded, "", at_least=changes)
    return report


def main() -> None:
    """Parse, run, print."""
    parser = argparse.ArgumentParser(description=re.sub(r"\s+", " ", __doc__ or ""))
    parser.add_argument("--facts", type=int, default=200, metavar="N")
    parser.add_argument("--lexical", action="store_true", help="by words, without an embedder")
    parser.add_argument("--json", action="store_true", help="one JSON object instead of a table")
    options = parser.parse_args()
    asyncio.run(run(options.facts, lexical=options.lexical)).show(as_json=options.json)


if __name__ == "__main__":
    main()
