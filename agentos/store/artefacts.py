"""Artefacts: the files a run left to be opened."""

from sqlalchemy import Connection, select

from agentos.domain.work import Artefact
from agentos.store import rows

ARTEFACT = rows.table_of(Artefact)


def add(connection: Connection, artefact: Artefact) -> Artefact:
    """Remember a file."""
    return rows.add(connection, artefact)


def list_for_job(connection: Connection, job_id: int) -> list[Artefact]:
    """The files of a job, in the order they were found."""
    statement = select(ARTEFACT).where(ARTEFACT.c.job_id == job_id).order_by(ARTEFACT.c.id)
    return rows.fetch(connection, Artefact, statement)
