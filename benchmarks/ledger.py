"""Closing the accounts of a trial: every job, run, session, pool and process, from the rows."""

import json
import sqlite3
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from datetime import datetime
from itertools import groupby, pairwise
from typing import Any

from agentos.domain.capacity import Span
from agentos.home import Home
from benchmarks.accounts import Said
from benchmarks.findings import Findings
from benchmarks.load import LOG, Asked

_OPEN = {
    "messages": "SELECT count(*) FROM message WHERE state IN ('received', 'answering', 'planning')",
    "unsaid": "SELECT count(*) FROM outbox WHERE state IN ('pending', 'sending')"
    " AND channel != 'terminal'",  # nobody sits at the terminal
    "jobs": "SELECT count(*) FROM job WHERE kind = 'agent'"
    " AND state IN ('queued', 'running', 'parked')",
    "runs": "SELECT count(*) FROM run WHERE state IN ('starting', 'running')",
    "cards": "SELECT count(*) FROM card WHERE state = 'open'",
}
_OVER = ("done", "failed", "cancelled")
# Faults that are told as errors, because somebody should look at the machine.
_TOLD = frozenset(
    {
        "server_gone",
        "server_not_back",
        "settle_postponed",
        "dispatch_postponed",
        "message_postponed",
        "fork_server_frozen",
    }
)
Ask = Any


class Ledger:
    """The books of one home."""

    def __init__(self, home: Home) -> None:
        self._home = home

    def is_whole(self) -> bool:
        """Whether the database is what it should be."""
        with self._rows() as ask:
            return ask("PRAGMA integrity_check") == [("ok",)] and not ask(
                "PRAGMA foreign_key_check"
            )

    def waiting(self, said: Sequence[Said]) -> dict[str, int]:
        """What is not at rest yet; empty when everything is."""
        with self._rows() as ask:
            found = {name: ask(query)[0][0] for name, query in _OPEN.items()}
            stored = ask("SELECT count(*) FROM message WHERE external_id NOT LIKE 'card:%'")
        found["unfetched"] = len(said) - stored[0][0]
        return {name: count for name, count in found.items() if count}

    def most_interrupted(self) -> int:
        """How many deaths of the daemon the unluckiest job that goes on has been through."""
        query = (
            "SELECT count(*) FROM run r JOIN job j ON j.id = r.job_id"
            " WHERE r.state IN ('interrupted', 'starting', 'running')"
            " AND j.state IN ('queued', 'running') GROUP BY j.id"
        )
        with self._rows() as ask:
            return max((row[0] for row in ask(query)), default=0)

    def unfinished(self) -> list[Any]:
        """The jobs that do not come to rest, and why, for who has to find out."""
        query = (
            "SELECT j.id, j.state, j.run_at, j.attempts, r.state, r.detail FROM job j"
            " LEFT JOIN run r ON r.id = (SELECT max(id) FROM run WHERE job_id = j.id)"
            " WHERE j.kind = 'agent' AND j.state NOT IN ('done', 'failed', 'cancelled')"
        )
        with self._rows() as ask:
            return list(ask(query))

    def close(
        self,
        findings: Findings,
        *,
        asked: Sequence[Asked],
        by_pm: dict[str, bool],
        said: Sequence[Said],
    ) -> None:
        """Look at everything, at the end."""
        with self._rows() as ask:
            _close_messages(ask, findings, said=said)
            _close_jobs(ask, findings, asked=asked, by_pm=by_pm)
            _close_settling(ask, findings)
            _close_events(ask, findings)
            _close_reservations(ask, findings)
            _close_sessions(ask, findings, lost=self._lost_sessions())
        self._close_effects(findings)
        self._close_log(findings)

    def _lost_sessions(self) -> set[str]:
        """Sessions that took the place of one that was gone, and said so."""
        lost = set()
        for file in self._home.jobs.glob("*/transcript.jsonl"):
            for told in _json_lines(file.read_text(encoding="utf-8", errors="replace")):
                if told.get("kind") == "session" and told.get("lost"):
                    lost.add(str(told["session_id"]))
        return lost

    def _close_effects(self, findings: Findings) -> None:
        """What the jobs themselves have written: where two were at one, their lines are mixed."""
        with self._rows() as ask:
            job_of = dict(ask("SELECT id, job_id FROM run"))
        written = defaultdict(list)
        folders = [*self._home.jobs.glob("*/work"), *self._home.root.glob("workers/*")]
        files = [folder / LOG for folder in folders if (folder / LOG).is_file()]
        for file in files:
            for line in file.read_text(encoding="ascii").splitlines():
                run_id, moment = line.split()
                written[job_of[int(run_id)]].append((float(moment), int(run_id)))
        for job_id, lines in written.items():
            turns = [run_id for run_id, _ in groupby(run_id for _, run_id in sorted(lines))]
            if turns != sorted(set(turns)):
                findings.breach("two processes of a job", f"job {job_id} was done by {turns}")
        findings.amounts["effects"] += sum(map(len, written.values()))

    def _close_log(self, findings: Findings) -> None:
        if not self._home.log_file.exists():
            return
        for told in _json_lines(self._home.log_file.read_text(encoding="utf-8", errors="replace")):
            if told.get("level") in ("error", "critical") and told.get("event") not in _TOLD:
                findings.breach("errors logged", json.dumps(told)[-2500:])

    @contextmanager
    def _rows(self) -> Iterator[Ask]:
        with closing(sqlite3.connect(self._home.database_file, timeout=15)) as connection:
            yield lambda query: connection.execute(query).fetchall()


def _close_messages(ask: Ask, findings: Findings, *, said: Sequence[Said]) -> None:
    """Each was handled, and something was said to it."""
    stored = {row[0]: row for row in ask("SELECT external_id, id, state FROM message")}
    answered = {row[0] for row in ask("SELECT message_id FROM outbox WHERE state = 'sent'")}
    for one in said:
        findings.amounts["messages"] += 1
        row = stored.get(str(one.update_id))
        if row is None or row[2] != "handled" or row[1] not in answered:
            findings.breach("messages lost", f"{one}: {row}")


def _close_jobs(
    ask: Ask, findings: Findings, *, asked: Sequence[Asked], by_pm: dict[str, bool]
) -> None:
    """Each job that was asked for is there once, and came to what it was to come to."""
    found = {
        row[0]: row
        for row in ask("SELECT id, key, title, state, error FROM job WHERE kind = 'agent'")
    }
    by_key = {row[1]: row for row in found.values()}
    titles = Counter(row[2] for row in found.values())
    unmet = {
        row[0]
        for row in ask(
            "SELECT n.job_id FROM job_need n JOIN job j ON j.id = n.needs_id"
            " WHERE j.state != 'done'"
        )
    }
    for title, is_sure in by_pm.items():
        if titles[title] > 1 or titles[title] < is_sure:
            findings.breach("jobs lost", f"{title} is there {titles[title]} times")
    meant = {one.key: one for one in asked}
    for one in asked:
        if one.key not in by_key:
            findings.breach("jobs lost", f"{one.key} is not there")
    for job_id, key, title, state, error in found.values():
        findings.amounts["jobs"] += 1
        findings.amounts[f"jobs {state}"] += 1
        plan = meant.get(key, Asked(key or title))
        is_right = state == plan.ends
        if plan.cancelled or job_id in unmet:
            is_right = state == "cancelled"
        if not is_right:
            findings.breach("jobs lost", f"job {job_id} ({title}) is {state}: {error}")


def _close_settling(ask: Ask, findings: Findings) -> None:
    """What follows from the end of a job is there once."""
    twice = {
        "runs that are done": "SELECT job_id, count(*) FROM run WHERE state = 'done'"
        " GROUP BY job_id HAVING count(*) > 1",
        "results": "SELECT job_id, count(*) FROM outbox WHERE key LIKE 'result:%'"
        " GROUP BY job_id HAVING count(*) > 1",
        "files": "SELECT job_id, count(*) FROM artefact GROUP BY job_id, path HAVING count(*) > 1",
        "bills": "SELECT run_id, count(*) FROM usage WHERE purpose = 'work'"
        " GROUP BY run_id HAVING count(*) > 1",
        "ends": "SELECT job_id, count(*) FROM event WHERE key IN ('job_done', 'job_failed',"
        " 'job_cancelled') GROUP BY job_id HAVING count(*) > 1",
    }
    for name, query in twice.items():
        for number, count in ask(query):
            findings.breach("jobs settled twice", f"{count} {name} of {number}")
    silent = (
        "SELECT id FROM job WHERE kind = 'agent' AND state = 'done' AND conversation IS NOT NULL"
        " AND NOT EXISTS (SELECT 1 FROM outbox o WHERE o.key = 'result:' || job.id)"
    )
    for (job_id,) in ask(silent):
        findings.breach("jobs lost", f"job {job_id} is done, and nobody was told")


def _close_events(ask: Ask, findings: Findings) -> None:
    """A job's runs follow one another: each is settled, once, before the next begins."""
    query = (
        "SELECT job_id, key, run_id FROM event WHERE key IN ('run_started', 'run_settled')"
        " ORDER BY job_id, id"
    )
    for job_id, events in groupby(ask(query), key=lambda row: row[0]):
        story = [(key, run_id) for _, key, run_id in events]
        findings.amounts["runs"] += len(story) // 2
        for first, second in zip(story[::2], [*story[1::2], ("nothing", 0)], strict=False):
            ends = second == ("run_settled", first[1])
            if first[0] != "run_started" or not ends:
                findings.breach("two live runs of a job", f"job {job_id}: {story}")
                break


def _close_reservations(ask: Ask, findings: Findings) -> None:
    """Nothing is held for what has ended, and the pools say what was used."""
    for name, query in {
        "live runs": "SELECT id, job_id FROM run WHERE state IN ('starting', 'running')",
        "busy workers": "SELECT id, name FROM worker WHERE state = 'working'",
    }.items():
        if left := ask(query):
            findings.breach("leaked reservations", f"{name}: {left}")
    counted = _replayed(ask)
    for backend, span, tokens, turns in ask("SELECT backend, span, tokens, turns FROM pool"):
        if (tokens, turns) != counted.get((backend, span), (0, 0)):
            used = counted.get((backend, span))
            findings.breach("leaked reservations", f"{backend} {span}: {tokens, turns} for {used}")


def _replayed(ask: Ask) -> dict[tuple[str, str], tuple[int, int]]:
    """What the pools should hold, counted again from the bills in the order they were written."""
    began: dict[tuple[str, str], datetime] = {}
    counted: dict[tuple[str, str], tuple[int, int]] = {}
    query = (
        "SELECT backend, at, input_tokens + output_tokens + cache_write_tokens FROM usage"
        " ORDER BY id"
    )
    for backend, moment, tokens in ask(query):
        at = datetime.fromisoformat(moment)
        for span in Span:
            pool = (backend, span.value)
            since = began.get(pool)
            if since is None or not since <= at < since + span.length:
                began[pool], counted[pool] = at, (0, 0)
            counted[pool] = (counted[pool][0] + tokens, counted[pool][1] + 1)
    return counted


def _close_sessions(ask: Ask, findings: Findings, *, lost: set[str]) -> None:
    """The next run of an interrupted job goes on in its session, or says that it was gone."""
    query = (
        "SELECT r.job_id, r.state, r.session_id, w.backend, r.id FROM run r"
        " JOIN worker w ON w.id = r.worker_id ORDER BY r.job_id, r.id"
    )
    for job_id, rows in groupby(ask(query), key=lambda row: row[0]):
        for before, after in pairwise(rows):
            findings.amounts["interruptions"] += 1
            if before[2] is None or before[3] != after[3]:
                continue
            if after[2] == before[2]:
                findings.amounts["sessions resumed"] += 1
            elif after[2] in lost:
                findings.amounts["sessions lost and told"] += 1
            else:
                words = f"job {job_id}: {before[2]} of run {before[4]}, then {after[2]}"
                findings.breach("sessions not resumed", words)


def _json_lines(text: str) -> Iterator[dict[str, Any]]:
    for line in text.splitlines():
        try:
            told = json.loads(line)
        except ValueError:
            continue  # a line that a kill has cut
        if isinstance(told, dict):
            yield told
