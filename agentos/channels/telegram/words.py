"""What the channel itself says to people; everything else it says comes from the outbox."""

HINT_UNPAIRED = (
    "Hello! I'm a personal assistant and only talk with my owner. If that is you, send me the "
    "pairing code that agentos shows on your computer."
)
HINT_PAIRED = "Hello! I'm somebody's personal assistant, so I can't help you here. Sorry!"
SENT_AGAIN = "↻ (sent again after a hiccup; you may have seen this)\n\n"
TOPIC_GONE = "(from a topic that is not there any more)\n\n"
NOT_FOR_YOU = "Sorry, this is not for you."
ODD_BUTTON = "I don't know this button any more."
TRY_AGAIN = "That didn't work just now. Please tap again in a moment."


def paired(name: str) -> str:
    """The first words to a new owner."""
    greeting = f"Hi {name}! 👋" if name else "Hi! 👋"
    return (
        f"{greeting} We're paired: from now on I listen to you here.\n\n"
        "Tell me what you need, in your own words. /help shows what I can do."
    )


def file_missing(name: str) -> str:
    """Instead of a file that is gone."""
    return f"📄 I wanted to send you {name}, but the file is not there any more."


def file_empty(name: str) -> str:
    """Instead of a file without content, which Telegram does not take."""
    return f"📄 {name} is empty, so there is nothing to open."


def file_too_big(name: str, *, size: int, path: str) -> str:
    """Instead of a file that Telegram does not take."""
    return (
        f"📄 {name} is {megabytes(size)}; Telegram lets me send up to 50 MB. "
        f"You find it on your computer: {path}"
    )


def file_refused(name: str, *, path: str) -> str:
    """Instead of a file that Telegram did not take, for whatever reason."""
    return f"📄 Telegram did not take {name}. You find it on your computer: {path}"


def too_big_to_fetch(name: str, *, size: int | None) -> str:
    """Why a file of the owner's cannot be had."""
    much = f"is {megabytes(size)}, and that" if size else "is too big: it"
    return f"{name} {much} is more than the 20 MB I can take here. Send a link or a smaller one."


def no_longer_there(name: str) -> str:
    """Why a file of the owner's cannot be had, when Telegram lost it."""
    return f"Telegram does not have {name} any more. Please send it again."


def megabytes(size: int) -> str:
    """A size for people."""
    return f"{max(size / 1_000_000, 0.1):.1f}".removesuffix(".0") + " MB"
