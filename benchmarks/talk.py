"""What a person says in a trial: messages of all kinds, and a tap on each card that comes."""

from random import Random

from agentos.standins.telegram_user import StandinRefused, TelegramUser
from benchmarks.accounts import Books, Said

# What is said in twenty messages; the numbers make each of them one of its kind.
_TALK = {
    "respond": ("what is {n} + 1000?", 10),
    "work": ("write note number {n}", 4),
    "remind": ("remind me in {n} days to water the plants", 3),
    "clarify": ("fix it", 2),
    "plan": ("plan a weekend in town {n}", 1),
}


class Talk:
    """The owner at the phone."""

    def __init__(self, owner: TelegramUser, *, books: Books, rng: Random) -> None:
        self._owner = owner
        self._books = books
        self._rng = rng
        self._number = 0
        self._tapped: set[str] = set()

    async def say(self, kind: str = "") -> None:
        """The next thing a person says; of this kind, or of any."""
        kinds = [kind for kind, (_, times) in _TALK.items() for _ in range(times)]
        self._number += 1
        kind = kind or self._rng.choice(kinds)
        sent = await self._owner.say(_TALK[kind][0].format(n=self._number))
        self._books.said.append(Said(kind=kind, number=self._number, update_id=sent.update_id))

    async def tap_open_cards(self) -> None:
        """Tap each card that is on the screen and was not tapped: Go, or the first option."""
        for message in (await self._owner.chat()).messages:
            shown = [button.data or "" for button in message.buttons]
            # Work under way has a button, too: Stop.
            cards = [data for data in shown if data.startswith("card:")]
            if not cards or (card := cards[0].split(":")[1]) in self._tapped:
                continue
            self._tapped.add(card)
            with_luck_twice = 2 if self._rng.random() < 0.2 else 1
            for _ in range(with_luck_twice):
                try:
                    await self._owner.tap(message_id=message.message_id, data=cards[0])
                except StandinRefused:
                    self._tapped.discard(card)  # it has just been edited away
