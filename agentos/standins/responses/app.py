"""The Responses API stand-in: the form of its requests and answers, as the Codex CLI has them."""

from collections.abc import Iterable, Mapping
from typing import Any

from starlette.datastructures import Headers
from starlette.responses import JSONResponse, Response

from agentos.standins.messages.turn import Turn
from agentos.standins.model_api import Json, ModelStandin
from agentos.standins.responses.answer import build_response, events_of
from agentos.standins.responses.turn import problem_with, read_turn
from agentos.standins.script import Block, Reply, Script

_ERRORS = {
    400: ("invalid_request_error", None, "The request is not valid."),
    401: ("invalid_request_error", "invalid_api_key", "Incorrect API key provided."),
    404: ("invalid_request_error", "model_not_found", "The model does not exist."),
    429: ("requests", "rate_limit_exceeded", "Rate limit reached for requests."),
    500: ("server_error", None, "The server had an error while processing your request."),
}


class ResponsesWire:
    """Requests to /responses, answers with output items."""

    kind = "responses"
    paths: tuple[str, ...] = ("/responses", "/v1/responses")

    def problem_with(self, body: Any, *, path: Mapping[str, str]) -> tuple[int, str] | None:
        """Status and words when the API would refuse a body."""
        return problem_with(body)

    def read_turn(self, body: Json, *, path: Mapping[str, str], headers: Headers) -> Turn:
        """What a request asks."""
        return read_turn(body)

    def message(self, turn: Turn, *, blocks: list[Block], reply: Reply | None) -> Json:
        """The whole Response object."""
        return build_response(turn, blocks=blocks, usage=reply.usage if reply else {})

    def pieces(self, message: Json) -> Iterable[bytes]:
        """The same as server-sent events."""
        return events_of(message)

    def error(self, status: int, message: str, *, headers: Mapping[str, str]) -> Response:
        """A refusal, as this API words it."""
        kind, code, usual = _ERRORS.get(status, _ERRORS[500])
        told = {"message": message or usual, "type": kind, "param": None, "code": code}
        return JSONResponse({"error": told}, status_code=status, headers=dict(headers))


class ResponsesStandin(ModelStandin):
    """The rules that are played and the requests that came."""

    def __init__(self, script: Script) -> None:
        super().__init__(script, wire=ResponsesWire())
