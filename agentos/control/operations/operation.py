"""What an operation is: a name, the shape of its words, and a function on the rows."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Any, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from sqlalchemy import Connection

from agentos.config import Config
from agentos.errors import BadRequest
from agentos.home import Home

P = TypeVar("P", bound=BaseModel)
Run = Callable[..., dict[str, Any]]

# Ids are 64-bit in every database; more would only fail later, and less kindly.
RowId = Annotated[int, Field(ge=1, le=2**63 - 1)]
Limit = Annotated[int, Field(ge=1, le=10_000)]


class Params(BaseModel):
    """The words of one operation; one that it does not know is refused."""

    model_config = ConfigDict(extra="forbid", str_strip_whitespace=False)


@dataclass(frozen=True)
class Here:
    """When and where something is asked."""

    at: datetime
    home: Home
    config: Config


@dataclass(frozen=True)
class Operation:
    """One thing that can be asked of the rows, with the daemon up or down."""

    name: str
    writes: bool
    params: type[Params]
    # Called with the transaction, the params and `here`.
    run: Run
    # What can be checked without the rows; called with the params and `here`.
    check: Callable[..., None] | None = None

    def prepare(
        self, params: dict[str, Any], *, here: Here
    ) -> Callable[[Connection], dict[str, Any]]:
        """Check the words, before any transaction is opened; what is returned does the work."""
        words = validated(self.params, params, op=self.name)
        if any("\x00" in text for value in params.values() for text in _texts(value)):
            raise BadRequest(problem=f"{self.name}: a text may not have zero characters in it")
        if self.check is not None:
            self.check(words, here)
        return lambda connection: self.run(connection, words, here)


def _texts(value: object) -> list[str]:
    """The texts in a param: itself, or what is in its list."""
    several = value if isinstance(value, list) else [value]
    return [each for each in several if isinstance(each, str)]


def validated(kind: type[P], params: dict[str, Any], *, op: str) -> P:
    """The params as their model. Raises BadRequest with one line about the first mistake."""
    try:
        return kind.model_validate(params)
    except ValidationError as error:
        raise BadRequest(problem=_explain(error, kind, op=op)) from error


def _explain(error: ValidationError, kind: type[BaseModel], *, op: str) -> str:
    first = error.errors(include_url=False, include_context=False)[0]
    name = ".".join(str(part) for part in first["loc"])
    match first["type"]:
        case "extra_forbidden":
            known = ", ".join(kind.model_fields) or "none"
            return f"{op} does not know {name}; it knows {known}"
        case "missing":
            return f"{op} needs {name}"
        case _:
            message = first["msg"].removeprefix("Value error, ")
            return f"{op}: {name} is wrong: {message[:1].lower()}{message[1:]}"
