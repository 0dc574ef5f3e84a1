"""What jobs need of each other, from outside: change it, and look at it as a graph."""

from typing import Annotated, Any

from pydantic import Field
from sqlalchemy import Connection

from agentos.control.operations.operation import Here, Operation, Params, RowId
from agentos.control.operations.shown import Names, job_line
from agentos.control.operations.tasks import NameOrId, project_id_of
from agentos.domain.work import Job, NeedPolicy
from agentos.errors import BadRequest
from agentos.store import jobs, needs, plans, rows

_MOST = 500
JobIds = Annotated[list[RowId], Field(default_factory=list, max_length=200)]


class JobNeeds(Params):
    """What a queued job is to need besides, and no longer; and what follows when one fails."""

    job: RowId
    add: JobIds
    remove: JobIds
    if_needs_fail: NeedPolicy | None = None


class JobGraph(Params):
    """Of which jobs: one and all it hangs together with, a plan's, a project's, or all unended."""

    job: RowId | None = None
    project: NameOrId | None = None
    plan: RowId | None = None


def change(connection: Connection, params: JobNeeds, here: Here) -> dict[str, Any]:
    """Change what a queued job needs: all of it or nothing."""
    if params.if_needs_fail is not None:
        rows.change(connection, Job, params.job, if_needs_fail=params.if_needs_fail)
    job = needs.change(connection, params.job, add=params.add, remove=params.remove, at=here.at)
    needed = jobs.needs_of(connection, params.job)
    return {
        "job": job_line(job, names=Names(connection)),
        "needs": [{"id": one.id, "title": one.title, "state": one.state.value} for one in needed],
    }


def graph(connection: Connection, params: JobGraph, here: Here) -> dict[str, Any]:
    """Jobs, and edges from what is needed to what needs it."""
    chosen = _chosen(connection, params)
    found = needs.connected(connection, chosen, limit=_MOST)
    known = {job.id for job in found}
    names = Names(connection)
    edges = needs.edges_from(connection, sorted(one for one in known if one is not None))
    return {
        "jobs": [
            {
                "id": job.id,
                "title": job.title,
                "state": job.state.value,
                "project": names.project(job.project_id),
                "plan": job.plan_id,
                "if_needs_fail": job.if_needs_fail.value,
                "error": job.error,
            }
            for job in found
        ],
        "edges": [{"from": needed, "to": job} for job, needed in edges if {job, needed} <= known],
        "cut": len(found) == _MOST,
    }


def _chosen(connection: Connection, params: JobGraph) -> list[int]:
    if sum(one is not None for one in (params.job, params.project, params.plan)) > 1:
        raise BadRequest(problem="a graph is of one job, one project or one plan")
    if params.job is not None:
        found = [jobs.get(connection, params.job)]
    elif params.plan is not None:
        plans.get(connection, params.plan)
        found = jobs.list_for_plan(connection, params.plan)
    elif params.project is not None:
        project_id = project_id_of(connection, params.project)
        found = jobs.list_all(connection, project_id=project_id, limit=_MOST)
    else:
        found = jobs.list_unfinished(connection, limit=_MOST)
    return [job.id or 0 for job in found]


NEED_OPERATIONS = (
    Operation(name="job.needs", writes=True, params=JobNeeds, run=change),
    Operation(name="job.graph", writes=False, params=JobGraph, run=graph),
)
