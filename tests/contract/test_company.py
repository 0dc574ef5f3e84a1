"""Guests and groups at the front desk: they are talked with, and told nothing of the owner's."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from agentos.domain.memory import Capture, CaptureKind, CaptureState
from agentos.domain.people import Audience, Role
from agentos.domain.talk import Message, Outgoing
from agentos.frontdesk import effects, rooms, taps
from agentos.home import Home
from agentos.memory import material
from agentos.memory.episodes import Episodes
from agentos.standins.clock import VirtualClock
from agentos.standins.process import StandinProcess
from agentos.store import bindings, cards, knocks, messages, people, rows
from agentos.store.database import Database
from tests.desk_room import DeskRoom

NOW = datetime(2026, 11, 21, 9, 30, tzinfo=UTC)
SECRET = "Hummingbird"
WORK = {
    "outcome": "quick_work",
    "title": "List of bike shops",
    "kind": "research",
    "prompt": "Find bike shops.",
}


class Company:
    """A front desk with an owner and a guest on Telegram, and things that concern the owner."""

    def __init__(self, room: DeskRoom, ids: dict[str, int]) -> None:
        self.room, self.ids = room, ids

    async def guest(self, text: str, **more: Any) -> Message:
        return await self.room.say(
            text,
            conversation="telegram:55",
            person_id=self.ids["guest"],
            audience=Audience.guest,
            **more,
        )

    async def owner_in_group(self, text: str) -> Message:
        return await self.room.say(
            text,
            conversation="telegram:-100",
            person_id=self.ids["owner"],
            audience=Audience.shared,
        )


@pytest.fixture
async def company(
    database: Database, home: Home, clock: VirtualClock, model: StandinProcess
) -> AsyncIterator[Company]:
    home.core_memory_file.write_text(f"# Core memory\n\nThe project is called {SECRET}.\n")
    (home.root / "CLAUDE.md").write_text(f"Never mention {SECRET} to others.")
    async with DeskRoom(database, clock=clock, home=home, url=model.url) as room:
        at = clock.now()
        ids = {}
        for role, number in ((Role.owner, "42"), (Role.guest, "55")):
            person = await database.write(
                lambda c, n=number: people.meet(
                    c, channel="telegram", external_id=n, name=f"P{n}", at=at
                )
            )
            await database.write(lambda c, p=person, r=role: people.admit(c, p.id or 0, r, at=at))
            ids[role.value] = person.id or 0
        yield Company(room, ids)


async def test_a_guest_is_talked_with_told_nothing_of_the_owners_and_gets_no_work(
    company: Company,
) -> None:
    room = company.room
    await room.decides("shed", {**WORK, "title": f"{SECRET} shed"})
    await room.talk("paint the shed")
    await room.talk("fix it")  # leaves a card
    before = len(await room.model.requests())
    (answer,) = await room.handled(await company.guest("hello there"))
    assert answer.conversation == "telegram:55"
    seen = (await room.model.requests())[before:]
    assert len(seen) == 2
    for request in seen:
        assert SECRET not in request.system + request.prompt
        assert "fix it" not in request.prompt
        assert "What exactly" not in request.prompt
    assert "agentos" in seen[-1].system
    assert SECRET in (await room.model.requests())[0].prompt  # the owner's prompts do have it
    await room.decides("bike", WORK)
    first = await company.guest("find me bike shops")
    (refusal,) = await room.handled(first)
    assert refusal.text.startswith("That would be work, and I only do that for my owner.")
    await room.handled(await company.guest("bike shops, now!"))
    notes = [row for row in await room.said() if row.key.startswith("guest-wish")]
    assert [row.text for row in notes] == [
        "Your guest wanted work from me, and I said no.\n`P55 asked for: List of bike shops`"
    ]
    assert len(await room.jobs()) == 1  # the owner's
    (said,) = await room.handled(await company.guest("/jobs"))
    assert said.text.startswith("Commands are for my owner.")
    room.channel.files["x.pdf"] = b"%PDF-1.4"
    file = {"kind": "document", "file_id": "f", "name": "x.pdf"}
    (said,) = await room.handled(await company.guest("", attachments=[file]))
    assert said.text.startswith("I can't take files from guests.")
    assert not list(room.home.inbox.rglob("*x.pdf"))


def test_what_guests_say_is_not_learned_from_and_nothing_is_sent_to_them_unasked(
    database: Database, home: Home
) -> None:
    days = Episodes(home, zone=ZoneInfo("UTC"))
    with database.begin() as connection:
        for number, audience in enumerate((Audience.owner, Audience.shared, Audience.guest)):
            said = Message(
                channel="telegram",
                conversation=f"telegram:{number}",
                external_id=str(number),
                text="remember that Ada owes me 500",
                audience=audience,
                received_at=NOW,
            )
            kept = messages.receive(connection, said)
            assert kept is not None
            effects.say(connection, kept, "I will not.", key="answer", at=NOW)
        assert messages.find_last_conversation(connection) == "telegram:0"

        def learned(conversation: str) -> list[str]:
            piece = Capture(
                key=conversation,
                kind=CaptureKind.talk,
                source=conversation,
                state=CaptureState.waiting,
                after=0,
                upto=100,
                after_said=0,
                upto_said=100,
                created_at=NOW,
            )
            parts = material.of_piece(connection, piece, home=home, episodes=days)
            return [line.who for part in parts for line in part.lines]

        assert learned("telegram:0") == ["owner", "agentos"]
        assert learned("telegram:2") == []


def test_a_tap_lets_a_stranger_in_once(database: Database, home: Home) -> None:
    ways = effects.Ways(model="m", timeout=timedelta(minutes=1), zone=ZoneInfo("UTC"))
    with database.begin() as connection:
        bea = people.meet(
            connection, channel="telegram", external_id="66", name="Bea", username="bea", at=NOW
        )
        for _ in range(2):
            knocks.tell(connection, bea, to="telegram:42", at=NOW)
        (card,) = cards.list_open(connection)
        assert card.question == "Somebody knocked: `Bea (@bea)`"

        def tap(key: str) -> str:
            return taps.tap(
                connection, card.id or 0, key, via="telegram", home=home, ways=ways, at=NOW
            ).toast

        assert tap(f"guest-{bea.id}") == "✓ Bea (@bea) is your guest now."
        assert people.get(connection, bea.id or 0).role is Role.guest
        assert tap(f"ignore-{bea.id}") == "Answered already: Let in as guest"
        said = rows.newest(connection, Outgoing, limit=9)
        edit = next(row for row in said if row.edits_id is not None)
        assert edit.text.splitlines()[-1] == "✓ `Bea (@bea)` is your guest now."
        assert edit.buttons == []
        assert [row.text for row in said if row.conversation == "telegram:66"] == [
            "You may talk with me now. Just write."
        ]


async def test_what_the_owner_asks_in_a_group_is_talked_about_there_and_done_in_private(
    company: Company,
) -> None:
    room = company.room
    (answer,) = await room.handled(await company.owner_in_group("hello there"))
    assert answer.conversation == "telegram:-100"
    assert all(SECRET not in one.system + one.prompt for one in await room.model.requests())
    await room.decides("bike", WORK)
    said = await room.handled(await company.owner_in_group("find me bike shops"))
    assert [(row.conversation, row.text.split(":")[0]) for row in said] == [
        ("telegram:-100", "I go on with that in our private chat."),
        ("telegram:42", "On it"),
    ]
    (job,) = await room.jobs()
    assert job.conversation == "telegram:42"
    said = await room.handled(await company.owner_in_group("/jobs"))
    assert [row.conversation for row in said] == ["telegram:-100", "telegram:42"]
    assert "List of bike shops" in said[-1].text
    (said,) = await room.talk("/project new Bike", conversation="telegram:42/9")
    assert "**Bike**" in said.text
    await room.talk("find me bike shops", conversation="telegram:42/9")
    assert (await room.jobs())[-1].project_id is not None
    assert job.project_id is None


def test_a_conversation_belongs_to_a_project(database: Database) -> None:
    here = Message(channel="telegram", conversation="telegram:42/9", external_id="1", text="")
    with database.begin() as connection:

        def told(wish: str) -> str:
            return rooms.project(connection, here, wish, NOW)

        assert told("").startswith("This chat belongs to no project.")
        assert told("bike") == "I know no project bike. `/project new bike` makes it."
        assert "**Bike**" in told("new Bike")
        assert told("new Bike") == "There is a project named 'Bike' already."
        assert "**Bike**" in told("bike")
        assert "**Bike**" in told("")
        assert bindings.find_id(connection, "telegram:42") is None
        assert bindings.find_id(connection, "telegram:42/9") is not None
        assert told("off") == "This chat belongs to no project now."
        assert bindings.find_id(connection, "telegram:42/9") is None
