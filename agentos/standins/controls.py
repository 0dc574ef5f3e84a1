"""What the /_standin/ endpoints of both servers share: reading a body, saying no."""

from typing import TypeVar

from pydantic import BaseModel, ValidationError
from starlette.requests import Request
from starlette.responses import JSONResponse

Body = TypeVar("Body", bound=BaseModel)


class ControlRefused(Exception):
    """A control request that makes no sense; `status` is the HTTP status of the answer."""

    def __init__(self, problem: str, *, status: int = 400) -> None:
        self.problem = problem
        self.status = status
        super().__init__(problem)


async def read_body(request: Request, *, model: type[Body]) -> Body:
    """The JSON body as a `model`. Only application/json is read: a web page cannot send that
    to another origin without asking first."""
    if not request.headers.get("content-type", "").startswith("application/json"):
        raise ControlRefused("send application/json", status=415)
    try:
        return model.model_validate_json(await request.body() or b"{}")
    except ValidationError as wrong:
        raise ControlRefused(first_problem(wrong)) from wrong


def first_problem(wrong: ValidationError) -> str:
    """One line for the first of a model's complaints: where, then what."""
    error = wrong.errors(include_url=False, include_context=False)[0]
    where = ""
    for part in error["loc"]:
        where += f"[{part}]" if isinstance(part, int) else f".{part}" if where else part
    return f"{where or 'the document'}: {error['msg'].removeprefix('Value error, ')}"


async def refuse(request: Request, refused: Exception) -> JSONResponse:
    """The exception handler for `ControlRefused`."""
    assert isinstance(refused, ControlRefused)
    return JSONResponse({"error": refused.problem}, status_code=refused.status)
