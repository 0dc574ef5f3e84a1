"""The ids of rows. All are database integers; the types keep them apart."""

from typing import NewType

ProjectId = NewType("ProjectId", int)
TaskId = NewType("TaskId", int)
PlanId = NewType("PlanId", int)
JobId = NewType("JobId", int)
RunId = NewType("RunId", int)
WorkerId = NewType("WorkerId", int)
MessageId = NewType("MessageId", int)
OutboxId = NewType("OutboxId", int)
CardId = NewType("CardId", int)
ReviewId = NewType("ReviewId", int)
