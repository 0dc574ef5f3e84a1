"""The parameters of a call, however they were sent: query, JSON, form or multipart."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from starlette.datastructures import UploadFile
from starlette.requests import Request

from agentos.standins.bot.refusal import Refused, bad

_UPLOAD_LIMIT = 50 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Upload:
    """A file that came in a multipart body."""

    name: str
    content: bytes


class Params:
    """Typed reading. A form sends everything as text, JSON sends values; both are understood."""

    def __init__(self, values: Mapping[str, Any], *, uploads: Mapping[str, Upload]) -> None:
        self._values = values
        self._uploads = uploads

    def text(self, name: str) -> str:
        """A string, "" when it was not sent."""
        value = self._values.get(name)
        if value is None:
            return ""
        return value if isinstance(value, str) else json.dumps(value)

    def integer(self, name: str, *, default: int | None = None) -> int | None:
        """A whole number, or the default when none was sent."""
        value = self._values.get(name)
        if value is None or value == "":
            return default
        try:
            return int(value)
        except (TypeError, ValueError):
            raise bad(f"{name} must be an integer") from None

    def flag(self, name: str) -> bool:
        """True for true, "true" and "1"."""
        return str(self._values.get(name, "")).lower() in ("true", "1")

    def decoded(self, name: str) -> Any:
        """A JSON-serialized parameter, None when it was not sent."""
        value = self._values.get(name)
        if not isinstance(value, str):
            return value
        try:
            return json.loads(value) if value else None
        except json.JSONDecodeError:
            raise bad(f"can't parse {name} JSON object") from None

    def upload(self, name: str) -> Upload | None:
        """The file sent as part `name`, or the part that `attach://...` points to."""
        return self.attached(self.text(name)) or self._uploads.get(name)

    def attached(self, reference: str) -> Upload | None:
        """The part behind an attach:// reference."""
        return self._uploads.get(reference.removeprefix("attach://"))

    def told(self) -> dict[str, Any]:
        """What is written down about the call: values decoded, files as name and size."""
        values = {name: _readable(value) for name, value in self._values.items()}
        files = {
            name: {"name": upload.name, "size": len(upload.content)}
            for name, upload in self._uploads.items()
        }
        return {**values, **({"files": files} if files else {})}


async def read_params(request: Request) -> Params:
    """Read query and body of any of the three kinds."""
    values: dict[str, Any] = dict(request.query_params)
    uploads: dict[str, Upload] = {}
    kind = request.headers.get("content-type", "")
    if int(request.headers.get("content-length") or 0) > _UPLOAD_LIMIT + 65536:
        raise Refused(413)
    if kind.startswith("application/json"):
        try:
            values.update(json.loads(await request.body() or b"{}"))
        except ValueError:
            raise bad("can't parse JSON object") from None
    elif kind.startswith(("multipart/form-data", "application/x-www-form-urlencoded")):
        async with request.form(max_part_size=_UPLOAD_LIMIT) as form:
            for name, value in form.multi_items():
                if isinstance(value, UploadFile):
                    uploads[name] = Upload(value.filename or name, await value.read())
                else:
                    values[name] = value
    return Params(values, uploads=uploads)


def _readable(value: Any) -> Any:
    if isinstance(value, str) and value[:1] in ("{", "["):
        try:
            return json.loads(value)
        except json.JSONDecodeError:
            return value
    return value
