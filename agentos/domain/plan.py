"""A drafted plan: steps that know what they need, before anything of it is a task."""

from typing import Annotated, Self

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, model_validator

from agentos.domain.work import TaskKind

Line = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=200)]


class Step(BaseModel):
    """One step; it becomes one task and one job."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    title: Line
    kind: TaskKind
    prompt: Annotated[str, StringConstraints(min_length=1, max_length=8000)] = Field(
        description="The step for a worker that has seen nothing of this."
    )
    after: list[int] = Field(
        default_factory=list, description="Positions (from 0) of the steps it needs."
    )
    minutes: int = Field(default=5, ge=1, le=600, description="How long it should take.")
    cost_usd: float = Field(
        default=0, ge=0, le=1000, description="What its model calls should cost; 0 if unknown."
    )


class PlanDraft(BaseModel):
    """What the owner sees before saying Go."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    goal: Annotated[str, StringConstraints(min_length=1, max_length=600)]
    steps: list[Step] = Field(min_length=1, max_length=12)
    risks: list[Line] = Field(default_factory=list, max_length=5)
    asks: list[Line] = Field(
        default_factory=list, max_length=5, description="What the owner will be asked on the way."
    )

    @model_validator(mode="after")
    def _needs_point_back(self) -> Self:
        """A step may need only earlier ones, so a cycle cannot be written down."""
        for position, step in enumerate(self.steps):
            if any(not 0 <= needed < position for needed in step.after):
                raise ValueError(f"step {position} needs a step that does not come before it")
        return self
