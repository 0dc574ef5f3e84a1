"""Whether a tool may be used now: by the policy, by what was granted, or the owner is asked."""

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from agentos.domain.frames import APPROVE, USE_GRANT, Answered
from agentos.worker.policy import Policy

Ask = Callable[[str, Mapping[str, Any]], Awaitable[Answered]]


class Permission:
    """The policy of a session, with somebody to ask."""

    def __init__(self, policy: Policy, *, ask: Ask) -> None:
        self._policy = policy
        self._ask = ask

    async def may_use(self, tool: str, arguments: Mapping[str, Any]) -> str | None:
        """None when the tool may be used so; else the reason, as the agent should read it.

        What was allowed once is used up before it is done: a crash in between costs the one use.
        """
        verdict = self._policy.decide(tool, arguments)
        if verdict.grant is not None:
            self._policy.spend(verdict.grant)
            answered = await self._ask(USE_GRANT, {"grant": verdict.grant.id})
            return answered.text if answered.failed else None
        if verdict.request is not None:
            answered = await self._ask(APPROVE, verdict.request.model_dump(mode="json"))
            if answered.failed:
                return f"Not allowed: {verdict.request.why}. {answered.text}"
            return answered.text
        return verdict.reason
