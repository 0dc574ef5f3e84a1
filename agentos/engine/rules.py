"""The rules of a job: what ships, what the settings say of its kind, and of its persona."""

from collections.abc import Sequence

from agentos.domain.rules import MAY, May, Rules
from agentos.settings import Allowance, PolicySettings


def rules_for(settings: PolicySettings, *, kind: str, persona: str | None) -> Rules:
    """What a worker may do unasked; a kind that is not known is as `ops`."""
    kind = kind if kind in MAY else "ops"
    of_kind = next((each for name, each in settings.kinds.items() if name == kind), Allowance())
    of_persona = settings.personas.get(persona or "", Allowance())
    named: Sequence[str] | None = of_persona.may if of_persona.may is not None else of_kind.may
    return Rules(
        may=MAY[kind] if named is None else frozenset(May(name) for name in named),
        tools=(*of_kind.tools, *of_persona.tools),
        commands=(*of_kind.commands, *of_persona.commands),
        folders=(*of_kind.folders, *of_persona.folders),
    )
