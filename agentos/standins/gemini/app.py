"""The Gemini API stand-in: the form of its requests and answers, as the Gemini CLI has them."""

from collections.abc import Iterable, Mapping
from typing import Any

from starlette.datastructures import Headers
from starlette.responses import JSONResponse, Response

from agentos.standins.gemini.answer import build_answer, events_of
from agentos.standins.gemini.turn import problem_with, read_turn
from agentos.standins.messages.turn import Turn
from agentos.standins.model_api import Json, ModelStandin
from agentos.standins.script import Block, Reply, Script

# A model whose name begins so is there; any other is not.
_KNOWN = "gemini-"
_STREAMED = "streamGenerateContent"
_VERBS = ("generateContent", _STREAMED)
_RETRY_INFO = "type.googleapis.com/google.rpc.RetryInfo"
_ERRORS = {
    400: ("INVALID_ARGUMENT", "Request contains an invalid argument."),
    401: ("UNAUTHENTICATED", "Request had invalid authentication credentials."),
    404: ("NOT_FOUND", "Requested entity was not found."),
    429: ("RESOURCE_EXHAUSTED", "You exceeded your current quota."),
    500: ("INTERNAL", "An internal error has occurred."),
    503: ("UNAVAILABLE", "The model is overloaded. Please try again later."),
}
# The word of other APIs for what this one calls unavailable.
_OVERLOADED = 529


class GeminiWire:
    """Requests to models/NAME:generateContent, answers with candidates."""

    kind = "gemini"
    paths: tuple[str, ...] = ("/{version}/models/{model}:{verb}",)

    def problem_with(self, body: Any, *, path: Mapping[str, str]) -> tuple[int, str] | None:
        """Status and words when the API would refuse a body, or has no such model or verb."""
        model, verb, version = path["model"], path["verb"], path["version"]
        if verb not in _VERBS:
            return 404, f"No such method: {verb}"
        if not model.startswith(_KNOWN):
            return 404, f"models/{model} is not found for API version {version}."
        problem = problem_with(body)
        return (400, problem) if problem else None

    def read_turn(self, body: Json, *, path: Mapping[str, str], headers: Headers) -> Turn:
        """What a request asks."""
        return read_turn(body, model=path["model"], streamed=path["verb"] == _STREAMED)

    def message(self, turn: Turn, *, blocks: list[Block], reply: Reply | None) -> Json:
        """The whole GenerateContentResponse."""
        usage, reason = (reply.usage, reply.stop_reason) if reply else ({}, None)
        return build_answer(turn, blocks=blocks, usage=usage, finish_reason=reason)

    def pieces(self, message: Json) -> Iterable[bytes]:
        """The same as server-sent events."""
        return events_of(message)

    def error(self, status: int, message: str, *, headers: Mapping[str, str]) -> Response:
        """A refusal; this API tells in its words, not in a header, when to come again."""
        status = 503 if status == _OVERLOADED else status
        name, usual = _ERRORS.get(status, _ERRORS[500])
        told: Json = {"code": status, "message": message or usual, "status": name}
        if seconds := headers.get("retry-after"):
            told["message"] += f" Please retry in {seconds}s."
            told["details"] = [{"@type": _RETRY_INFO, "retryDelay": f"{seconds}s"}]
        return JSONResponse({"error": told}, status_code=status)


class GeminiStandin(ModelStandin):
    """The rules that are played and the requests that came."""

    def __init__(self, script: Script) -> None:
        super().__init__(script, wire=GeminiWire())
