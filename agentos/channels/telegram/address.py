"""Addresses: a conversation as Telegram knows it, a chat and perhaps a topic in it. Pure.

"telegram:<chat>" is a chat, or the General topic of a forum: Telegram takes no thread id for that.
"telegram:<chat>/<topic>" is a topic of a forum or of a private chat with topics, and
"telegram:<chat>/d<topic>" a topic of a channel's direct messages.
"""

from dataclasses import dataclass, replace
from typing import Any, Self

import telegram

_CHANNEL = "telegram"
_DIRECT = "d"


@dataclass(frozen=True)
class Address:
    """Where something is said."""

    chat_id: int
    topic: int | None = None
    # The topic is one of a channel's direct messages, which are numbered apart.
    direct: bool = False

    @classmethod
    def parse(cls, conversation: str) -> Self:
        """The address of a conversation."""
        chat, _, topic = conversation.partition(":")[2].partition("/")
        direct = topic.startswith(_DIRECT)
        number = topic.removeprefix(_DIRECT)
        return cls(int(chat), int(number) if number else None, direct)

    @classmethod
    def of(cls, message: telegram.Message) -> Self:
        """Where a message stands.

        A thread id alone says nothing: in a group without topics it is that of a chain of replies.
        """
        if (topic := message.direct_messages_topic) is not None:
            return cls(message.chat.id, topic.topic_id, direct=True)
        if message.is_topic_message and message.message_thread_id is not None:
            return cls(message.chat.id, message.message_thread_id)
        return cls(message.chat.id)

    @property
    def conversation(self) -> str:
        """The conversation at this address."""
        if self.topic is None:
            return f"{_CHANNEL}:{self.chat_id}"
        return f"{_CHANNEL}:{self.chat_id}/{_DIRECT if self.direct else ''}{self.topic}"

    @property
    def chat(self) -> Self:
        """The same chat, without the topic."""
        return replace(self, topic=None, direct=False)

    @property
    def fields(self) -> dict[str, Any]:
        """What a call that sends has to say beside the chat's id."""
        if self.topic is None:
            return {}
        return {"direct_messages_topic_id" if self.direct else "message_thread_id": self.topic}

    @property
    def thread(self) -> int | None:
        """The thread, for calls that know no other topics: drafts and "typing…"."""
        return None if self.direct else self.topic


def conversation_of(chat_id: int) -> str:
    """The conversation of a chat."""
    return Address(chat_id).conversation
