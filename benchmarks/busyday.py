"""A busy day: background work fills all slots, and urgent work keeps coming. Who waits, how long?

1,000 jobs of the echo backend, most of them background ones that take a moment each; more than the
slots can do wait all the time. Every so often an urgent one arrives. The wait is from the commit
that queued a job to the commit that claimed it. Meanwhile nothing may exceed its limit: not the
slots (and the urgent one), not those of a project, not those of a template.
"""

import asyncio
import random
from dataclasses import dataclass
from datetime import UTC, datetime

from agentos.domain.work import Job, Project
from agentos.engine.lanes import Under
from agentos.store import rows
from benchmarks.common import Report, parser, run, say
from benchmarks.rig import Rig, rig

_PROJECT_SLOTS = 3
_TEMPLATE_SLOTS = 1
_TEMPLATES = ("mail", "news", "backup")


@dataclass
class Most:
    """The most that ran at once."""

    slots: int = 0
    projects: int = 0
    templates: int = 0

    def begins(self, job: Job, under: Under) -> None:
        """Count a run that begins, with what is under way."""
        now = under.and_(job)
        self.slots = max(self.slots, now.running)
        self.projects = max([self.projects, *now.projects.values()])
        self.templates = max([self.templates, *now.templates.values()])


def main() -> None:
    """Measure and report."""
    options = parser(__doc__)
    options.add_argument("--jobs", type=int, default=1000, help="jobs of the day")
    options.add_argument("--slots", type=int, default=8, help="how many run at once")
    options.add_argument("--share", type=float, default=0.15, help="how many of them are urgent")
    options.add_argument("--nap", type=float, default=0.15, help="seconds that a job takes, about")
    options.add_argument("--seed", type=int, default=1, help="for the same day again")
    given = options.parse_args()
    report = Report("busyday")
    chance = random.Random(given.seed)
    day = _Day(given.jobs, given.slots, given.share, given.nap, chance)
    run(day.measure(report))
    report.show(as_json=given.json)


@dataclass
class _Day:
    jobs: int
    slots: int
    share: float
    nap: float
    chance: random.Random

    async def measure(self, report: Report) -> None:
        """Live through it."""
        limits = {"project_slots": _PROJECT_SLOTS, "template_slots": _TEMPLATE_SLOTS}
        async with rig(slots=self.slots, **limits) as engine:
            most = Most()
            present = engine.dispatcher.present
            engine.on_claim = lambda job: most.begins(job, present().under)
            await self._projects(engine)
            async with engine.running():
                await engine.forks.plain.start()
                await self._live(engine, report, most)

    async def _live(self, engine: Rig, report: Report, most: Most) -> None:
        urgent_count = round(self.jobs * self.share)
        say(f"{self.jobs - urgent_count} background jobs, {urgent_count} urgent ones on top")
        queued: dict[int, float] = {}
        for number in range(self.jobs - urgent_count):
            await engine.enqueue(self._background(engine, number))
        for number in range(urgent_count):
            job = engine.drill(f"sleep: {self._length():.3f}", number=number, priority=number % 2)
            at = await engine.enqueue(job)
            queued[job.id or 0] = at
            await asyncio.sleep(self.chance.expovariate(2 / self.nap))
        still_waiting = self.jobs - len(engine.claimed)
        await engine.finished(self.jobs)
        waits = [(engine.claimed[job_id] - at) * 1000 for job_id, at in queued.items()]
        report.spread("urgent, wait", waits, "ms", quantiles=(50, 95, 100), goals={95: 1000})
        report.add("waiting when the last urgent one came", still_waiting, "jobs")
        report.add("most at once", most.slots, "jobs", at_most=self.slots + 1)
        report.add("most of a project", most.projects, "jobs", at_most=_PROJECT_SLOTS)
        report.add("most of a template", most.templates, "jobs", at_most=_TEMPLATE_SLOTS)

    def _length(self) -> float:
        return self.chance.uniform(0.5, 1.5) * self.nap

    def _background(self, engine: Rig, number: int) -> Job:
        job = engine.drill(f"sleep: {self._length():.3f}", number=number, priority=5)
        job.project_id = self.chance.choice([None, None, 1, 2])
        if self.chance.random() < 0.03:
            job.template = self.chance.choice(_TEMPLATES)
        return job

    async def _projects(self, engine: Rig) -> None:
        now = datetime.now(UTC)
        for name in ("one", "two"):
            row = Project(name=name, created_at=now, updated_at=now)
            await engine.database.write(lambda connection, row=row: rows.add(connection, row))


if __name__ == "__main__":
    main()
