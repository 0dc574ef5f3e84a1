"""Whether curl, wget and their like only read from the network, or send. Pure."""

import re
from collections.abc import Sequence

_CURL_VALUES = "AbcCDeEhHKmoPQrtuUwxXyYz"
_CURL_SENDS = ("data", "form", "upload-file", "json", "mail-", "quote", "config")
_WGET_SENDS = ("post-", "method", "body-", "execute", "config")
_SENDING_SCHEMES = re.compile(r"(smtps?|telnet|gopher|tftp|imaps?|pop3s?|ldap)://", re.I)


def sends(name: str, rest: Sequence[str]) -> bool:
    """Whether a program that fetches is told to send."""
    if any(_SENDING_SCHEMES.match(word) for word in rest):
        return True
    if name == "wget":
        return any(_is_option(word, _WGET_SENDS) or word.startswith("-e") for word in rest)
    if name in ("http", "https", "xh"):
        return len([word for word in rest if not word.startswith("-")]) > 1
    if name != "curl":
        return False
    for place, word in enumerate(rest):
        following = rest[place + 1] if place + 1 < len(rest) else ""
        if word.startswith("--"):
            if _is_option(word, _CURL_SENDS):
                return True
            if len(word) > 5 and "--request".startswith(word.partition("=")[0]):
                value = word.partition("=")[2] or following
                if value.upper() not in ("GET", "HEAD"):
                    return True
        elif word.startswith("-") and _short_sends(word[1:], following):
            return True
    return False


def _short_sends(letters: str, following: str) -> bool:
    """Of several short options of curl in one word; what follows one that takes a value is it."""
    for place, letter in enumerate(letters):
        if letter in "dFTKQ":
            return True
        if letter == "X":
            return (letters[place + 1 :] or following).lstrip("=").upper() not in ("GET", "HEAD")
        if letter in _CURL_VALUES:
            return False
    return False


def _is_option(word: str, names: Sequence[str]) -> bool:
    """Whether a long option is one of these, or short for one."""
    if not word.startswith("--"):
        return False
    told = word[2:].partition("=")[0]
    return any(told.startswith(name) or (len(told) > 2 and name.startswith(told)) for name in names)
