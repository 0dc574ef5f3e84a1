"""What a worker is told: its system prompt, its folders, and the prompt of its job."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from sqlalchemy import Connection

from agentos.config import Config
from agentos.domain.cards import told as shown_to_worker
from agentos.domain.frames import Access, Assignment, Tool, Turn
from agentos.domain.work import Job, Run, Worker
from agentos.engine.attempts import Deeds, deeds
from agentos.engine.consulting import Told
from agentos.engine.handover import Past, past_of
from agentos.errors import NotFound
from agentos.home import Home
from agentos.memory.recollection import Recollection
from agentos.prompts import render
from agentos.skills import load
from agentos.store import artefacts, jobs


@dataclass(frozen=True)
class Needed:
    """What a job that this one needed has left; when it was not done, how it ended and why."""

    job_id: int
    title: str
    result: str
    files: list[str]
    state: str = "done"
    error: str = ""


@dataclass(frozen=True)
class Briefing:
    """An assignment for the session and the turn for the job."""

    assignment: Assignment
    turn: Turn
    artefacts: Path
    past: Past


def look_back(connection: Connection, run: Run, worker: Worker) -> tuple[list[Needed], Past]:
    """What the jobs that this one needed have left, and what is known of its worker."""
    needs = [
        Needed(
            job_id=needed.id or 0,
            title=needed.title,
            result=(needed.result or "")[:4000],
            files=[file.path for file in artefacts.list_for_job(connection, needed.id or 0)],
            state=needed.state.value,
            error=(needed.error or "")[:1000],
        )
        for needed in jobs.needs_of(connection, run.job_id)
    ]
    return needs, past_of(connection, worker)


def brief(
    *,
    job: Job,
    run: Run,
    worker: Worker,
    needs: list[Needed],
    past: Past,
    config: Config,
    home: Home,
    now: datetime,
    told: Told,
    recalled: Sequence[Recollection] = (),
    tools: Sequence[Tool] = (),
) -> Briefing:
    """Put together all that a run needs. Reads files: not for the daemon's loop.

    Raises NotFound for a skill that is not there, Misconfigured for one that is broken.
    """
    folder = home.job_folder(run.job_id)
    outbox, transcript = folder / "artefacts", folder / "transcript.jsonl"
    working = home.root / "workers" / worker.name if worker.persistent else folder / "work"
    for each in (outbox, working):
        each.mkdir(parents=True, exist_ok=True)
    assignment = Assignment(
        backend=worker.backend,
        model=run.model or worker.model,
        system_prompt=_system_prompt(job, worker, working, config=config, home=home, now=now),
        access=Access.work,
        working_folder=str(working),
        session_id=run.session_id,
        heartbeat_seconds=config.engine.heartbeat_seconds,
        tools=list(tools),
    )
    prompt = _task_prompt(
        job, run, needs, outbox=outbox, transcript=transcript, told=told, recalled=recalled
    )
    if run.session_id is None and past.summary:
        prompt = f"{past.told(lost=False)}\n\n{prompt}"
    if_lost = past.told(lost=True) if run.session_id is not None else ""
    if told.answers:
        answers = render("answers.md.j2", answers=shown_to_worker(told.answers), artefacts=outbox)
        if run.session_id is not None and told.was_in_order:
            # It knows its task; only a new session has to be told that first.
            prompt, if_lost = answers, f"{if_lost}\n\n{prompt}".strip()
        else:
            prompt = f"{prompt}\n\n{answers}"
    turn = Turn(
        turn_id=run.token,
        prompt=prompt,
        if_lost=if_lost,
        run_id=run.id,
        transcript=str(transcript),
        folders=[str(working), str(outbox)],
        rules=told.rules,
        granted=list(told.granted),
    )
    return Briefing(assignment=assignment, turn=turn, artefacts=outbox, past=past)


def _task_prompt(
    job: Job,
    run: Run,
    needs: Sequence[Needed],
    *,
    outbox: Path,
    transcript: Path,
    told: Told,
    recalled: Sequence[Recollection],
) -> str:
    """The task, with what it builds on and what was tried before."""
    return render(
        "job.md.j2",
        title=job.title,
        prompt=job.prompt,
        needs=[
            {
                "id": need.job_id,
                "title": need.title,
                "result": need.result,
                "files": need.files,
                "missing": "" if need.state == "done" else need.state,
                "error": need.error,
            }
            for need in needs
        ],
        recalled=list(recalled),
        artefacts=str(outbox),
        attempt=run.number,
        # What was parked in order was not interrupted.
        resumed=run.number > 1 and not told.was_in_order,
        earlier=deeds(transcript, before_run=run.id) if run.number > 1 else Deeds(last=[]),
    )


def _system_prompt(
    job: Job, worker: Worker, working: Path, *, config: Config, home: Home, now: datetime
) -> str:
    names = dict.fromkeys([*worker.skills, *job.skills])
    skills = [(name, load(home, name).text) for name in names]
    # A persistent worker's session outlives the job, so its folder comes with each task.
    artefacts = "named in each task" if worker.persistent else str(working.parent / "artefacts")
    return render(
        "worker.md.j2",
        soul=_read(home, "SOUL.md"),
        manual=_read(home, "CLAUDE.md"),
        core_memory=_read(home, "memory/core-memory.md"),
        persona=worker.persona or job.persona or "",
        skills=skills,
        working_folder=str(working),
        artefacts=artefacts,
        owner_name=config.owner.name,
        today=now.astimezone(config.owner.zone).date().isoformat(),
    )


def _read(home: Home, name: str) -> str:
    try:
        return home.find(name).read_text(encoding="utf-8", errors="replace")
    except NotFound:
        return ""
