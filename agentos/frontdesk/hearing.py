"""Hearing: what was spoken is put into words before anybody decides, and shown to who spoke.

The words become the message's text in the rows, so that a restart does not transcribe again.
"""

import asyncio
from functools import partial
from pathlib import Path
from typing import Any

from sqlalchemy import Connection

from agentos import log as logs
from agentos.domain.people import Audience
from agentos.domain.ports import Clock
from agentos.domain.states import MessageState
from agentos.domain.talk import Message
from agentos.errors import NotTranscribed
from agentos.frontdesk import contents, effects, words
from agentos.frontdesk.intake import Intake
from agentos.store import messages
from agentos.store.database import Database
from agentos.transcriber import Transcriber

log = logs.get(__name__)
_SPOKEN = ("voice", "video_note")
_MARK = "(voice)"
# So much of a text is what was understood; more is a speech.
_MOST_CHARACTERS = 20_000


class Hearing:
    """Listens to the voice messages of the owner."""

    def __init__(self, database: Database, *, clock: Clock, transcriber: Transcriber) -> None:
        self._database = database
        self._clock = clock
        self._transcriber = transcriber

    async def listen(self, message: Message, taken: Intake) -> bool:
        """Put what was spoken into words; whether the message has changed by it."""
        if message.audience is Audience.guest or message.state is not MessageState.received:
            return False
        heard = [
            await self._heard(attachment, taken, number=number)
            for number, attachment in enumerate(message.attachments, start=1)
        ]
        if heard == message.attachments:
            return False
        await self._database.write(partial(self._keep, message=message, heard=heard))
        return True

    async def _heard(
        self, attachment: dict[str, Any], taken: Intake, *, number: int
    ) -> dict[str, Any]:
        """An attachment with its words, or with why there are none; as it was when it has them."""
        if attachment.get("kind") not in _SPOKEN or "heard" in attachment:
            return attachment
        audio = next((one.path for one in taken.files if one.name.startswith(f"{number}-")), None)
        if audio is None:
            return attachment  # it could not be fetched, which is told
        if not self._transcriber.is_there:
            return {**attachment, "heard": "", "why": words.NO_TRANSCRIBER}
        try:
            return {**attachment, "heard": await self._words_of(audio)}
        except NotTranscribed as error:
            log.warning("voice_not_heard", problem=str(error))
            return {**attachment, "heard": "", "why": words.not_heard(error.fields["problem"])}

    async def _words_of(self, audio: Path) -> str:
        # A program gets nothing else to read than sounds.
        if not await asyncio.to_thread(contents.is_sound, audio):
            raise NotTranscribed(problem="that is no recording")
        return (await self._transcriber.transcribe(audio))[:_MOST_CHARACTERS]

    def _keep(
        self, connection: Connection, *, message: Message, heard: list[dict[str, Any]]
    ) -> None:
        assert message.id is not None
        at = self._clock.now()
        now = messages.get(connection, message.id)
        if now.text != message.text or now.attachments != message.attachments:
            return  # it was changed meanwhile, and is heard anew
        fresh = [new for new, old in zip(heard, message.attachments, strict=True) if new != old]
        said = [f"{_MARK} {one['heard']}" for one in fresh if one["heard"]]
        text = "\n".join(filter(None, [message.text, *said]))
        messages.hear(connection, message.id, text=text, attachments=heard)
        told = [words.understood(one["heard"]) if one["heard"] else one["why"] for one in fresh]
        for number, line in enumerate(dict.fromkeys(told)):
            effects.say(connection, message, line, key=f"heard-{number}", at=at)


def has_only_unheard(message: Message) -> bool:
    """Whether there is nothing but sounds that nobody could put into words."""
    spoken = [one for one in message.attachments if one.get("kind") in _SPOKEN]
    return bool(
        spoken
        and not message.text.strip()
        and all(one.get("heard") == "" for one in spoken)
        and len(spoken) == len([one for one in message.attachments if "file_id" in one])
    )
