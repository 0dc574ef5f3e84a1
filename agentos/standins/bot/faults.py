"""Faults that are planned for the next calls of a method."""

from enum import StrEnum

from pydantic import BaseModel, ConfigDict, Field


class CallFault(StrEnum):
    """How a call can go wrong."""

    flood = "429"
    server_error = "500"
    bad_gateway = "502"  # not JSON, as when Telegram itself is down
    conflict = "409"
    unauthorized = "401"
    forbidden = "403"  # the owner has blocked the bot
    drop_before = "drop_before"  # nothing happens, the connection is cut
    drop_after = "drop_after"  # the call takes effect, the reply is lost
    hang = "hang"  # nothing happens, and no reply for `seconds`


class PlannedFault(BaseModel):
    """A fault for the next `times` calls of `method` ("*": of any)."""

    model_config = ConfigDict(extra="forbid")

    method: str = "*"
    kind: CallFault
    times: int = Field(default=1, ge=1)
    retry_after: int = Field(default=1, ge=0)
    seconds: float = Field(default=3600, ge=0)

    def meets(self, method: str) -> bool:
        """Whether a call of this method is due to go wrong."""
        return self.times > 0 and self.method.lower() in ("*", method.lower())


class FaultPlan:
    """The planned faults; the first that meets a call is used up by it."""

    def __init__(self) -> None:
        self._planned: list[PlannedFault] = []

    def add(self, fault: PlannedFault) -> None:
        """Plan one more."""
        self._planned.append(fault)

    def clear(self) -> None:
        """Let everything work."""
        self._planned.clear()

    def take(self, method: str) -> PlannedFault | None:
        """The fault of this call, or None."""
        for fault in self._planned:
            if fault.meets(method):
                fault.times -= 1
                return fault
        return None
