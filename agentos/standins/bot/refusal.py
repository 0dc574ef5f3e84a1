"""Saying no as the Bot API says it."""

from typing import Any

Json = dict[str, Any]

_TITLES = {
    400: "Bad Request",
    401: "Unauthorized",
    403: "Forbidden",
    404: "Not Found",
    409: "Conflict",
    413: "Request Entity Too Large",
    429: "Too Many Requests",
    500: "Internal Server Error",
    502: "Bad Gateway",
}


class Refused(Exception):
    """A method that does not succeed; becomes {"ok": false, ...} with the same HTTP status."""

    def __init__(self, code: int, why: str = "", *, retry_after: int | None = None) -> None:
        self.code = code
        title = _TITLES.get(code, "Error")
        self.description = f"{title}: {why}" if why else title
        self.retry_after = retry_after
        super().__init__(self.description)

    def body(self) -> Json:
        """The JSON of the answer."""
        told: Json = {"ok": False, "error_code": self.code, "description": self.description}
        if self.retry_after is not None:
            told["parameters"] = {"retry_after": self.retry_after}
        return told


def bad(why: str) -> Refused:
    """400 Bad Request, by far the most common no."""
    return Refused(400, why)


def flood(seconds: int) -> Refused:
    """429 with the time to wait."""
    return Refused(429, f"retry after {seconds}", retry_after=seconds)
