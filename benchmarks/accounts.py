"""Keeping the accounts of crashes: what was said, what became of it, and what was said twice."""

import json
import re
import sqlite3
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field, fields
from typing import Any

from agentos.channels.telegram.words import SENT_AGAIN
from agentos.home import Home
from agentos.standins.telegram_user import Call
from benchmarks.tripwire import SENDS

# What has to be nought before everything is at rest.
_OPEN = {
    "open messages": "SELECT count(*) FROM message WHERE state IN"
    " ('received', 'answering', 'planning')",
    "unsaid": "SELECT count(*) FROM outbox WHERE state IN ('pending', 'sending')",
    "jobs": "SELECT count(*) FROM job WHERE kind = 'agent'"
    " AND state IN ('queued', 'running', 'parked')",
    "runs": "SELECT count(*) FROM run WHERE state IN ('starting', 'running')",
    "cards": "SELECT count(*) FROM card WHERE state = 'open'",
    "plans": "SELECT count(*) FROM plan p WHERE p.state = 'approved' AND NOT EXISTS"
    " (SELECT 1 FROM outbox o WHERE o.key = 'plan-done:' || p.id)",
}
_NOTE = re.sub(r"[^A-Za-z0-9]", "", SENT_AGAIN)


@dataclass(frozen=True)
class Said:
    """A message of the owner's."""

    kind: str
    number: int
    update_id: int | None


@dataclass
class Tally:
    """The figures: what there was, and what went wrong with it."""

    kills: int = 0
    messages: int = 0
    jobs: int = 0
    outgoing: int = 0
    messages_lost: int = 0
    answers_lost: int = 0
    jobs_lost: int = 0
    settled_twice: int = 0
    doubled_explained: int = 0
    doubled_unexplained: int = 0
    doubled_without_a_word: int = 0
    decided_by_rules: int = 0
    lingered: int = 0
    orphans: int = 0
    broken_files: int = 0
    errors_logged: int = 0
    moments: Counter[str] = field(default_factory=Counter)
    problems: list[str] = field(default_factory=list)

    @property
    def must_be_nought(self) -> tuple[str, ...]:
        """The names of the figures that tell of a broken promise."""
        return (
            "messages_lost",
            "answers_lost",
            "jobs_lost",
            "settled_twice",
            "doubled_unexplained",
            "doubled_without_a_word",
            "decided_by_rules",
            "orphans",
            "broken_files",
            "errors_logged",
        )

    def add(self, other: "Tally") -> None:
        """Add another home's."""
        for one in fields(self):
            if one.name == "moments":
                self.moments.update(other.moments)
            elif one.name == "problems":
                self.problems.extend(other.problems)
            else:
                setattr(self, one.name, getattr(self, one.name) + getattr(other, one.name))


class Books:
    """The accounts of one home."""

    def __init__(self, home: Home) -> None:
        self._home = home
        self.said: list[Said] = []
        self.calls_seen = 0
        self._sends: list[Call] = []
        # How often an outbox row was on its way when the daemon was killed.
        self._in_flight: Counter[int] = Counter()

    def note_calls(self, calls: Sequence[Call]) -> None:
        """Keep the sends that were accepted, before the stand-in forgets old calls."""
        if calls:
            self.calls_seen = calls[-1].index + 1
        sent = (call for call in calls if call.method.lower() in SENDS)
        self._sends += [call for call in sent if call.outcome == "ok"]

    def after_kill(self, tally: Tally, *, at: str) -> None:
        """What a kill has left: a whole database, and rows that were on their way."""
        if not self._has_rows():
            return
        with self._rows() as rows:
            verdict = rows("PRAGMA integrity_check")[0][0]
            strays = rows("PRAGMA foreign_key_check")
            if verdict != "ok" or strays:
                tally.broken_files += 1
                tally.problems.append(f"after {at}: {verdict}, {len(strays)} strays")
            sending = rows("SELECT id FROM outbox WHERE state = 'sending'")
            self._in_flight.update(row[0] for row in sending)

    def waiting(self) -> dict[str, int]:
        """What is not at rest yet; empty when everything is."""
        with self._rows() as rows:
            found = {name: rows(query)[0][0] for name, query in _OPEN.items()}
            stored = rows("SELECT count(*) FROM message WHERE external_id NOT LIKE 'card:%'")
        found["unfetched"] = len(self.said) - stored[0][0]
        return {name: count for name, count in found.items() if count}

    def most_interrupted(self) -> int:
        """How many crashes the unluckiest job that is not done has been through."""
        query = (
            "SELECT count(*) FROM run r JOIN job j ON j.id = r.job_id"
            " WHERE r.state IN ('interrupted', 'starting', 'running')"
            " AND j.state IN ('queued', 'running') GROUP BY j.id"
        )
        if not self._has_rows():
            return 0
        with self._rows() as rows:
            return max((row[0] for row in rows(query)), default=0)

    def close(self, tally: Tally) -> None:
        """Look at everything, at the end."""
        with self._rows() as rows:
            self._close_messages(rows, tally)
            self._close_jobs(rows, tally)
            self._close_sends(rows, tally)
        self._close_log(tally)

    def _close_messages(self, rows: "_Ask", tally: Tally) -> None:
        stored = {
            row[0]: row
            for row in rows("SELECT external_id, id, state, triage, triaged_by FROM message")
        }
        keys = {row[0] for row in rows("SELECT key FROM outbox WHERE state = 'sent'")}
        texts = [str(call.params.get("text", "")) for call in self._sends]
        for said in self.said:
            tally.messages += 1
            row = stored.get(str(said.update_id))
            if row is None or row[2] != "handled":
                tally.messages_lost += 1
                tally.problems.append(f"lost: {said}, {row}")
                continue
            tally.decided_by_rules += row[4] == "local rules"
            if missing := self._missing(said, row[1], rows, keys=keys, texts=texts):
                tally.answers_lost += 1
                tally.problems.append(f"{missing} is missing for {said}")

    def _missing(
        self, said: Said, message_id: int, rows: "_Ask", *, keys: set[str], texts: list[str]
    ) -> str | None:
        """What should have followed from a message and did not."""
        wanted: list[str]
        match said.kind:
            case "respond":
                wanted = [f"answer:{message_id}"]
                if not any(str(1000 + said.number) in text for text in texts):
                    return "the right answer"
            case "work":
                wanted = [f"ack:{message_id}"]
                found = rows(f"SELECT id, state FROM job WHERE key = 'message:{message_id}'")
                wanted += [f"result:{job_id}" for job_id, _ in found]
                if [state for _, state in found] != ["done"]:
                    return f"a job that is done ({found})"
            case "remind":
                wanted = [f"ack:{message_id}"]
                if not rows(f"SELECT 1 FROM job WHERE key = 'message:{message_id}'"):
                    return "the reminder"
            case "clarify":
                wanted = [f"clarify:{message_id}"]
                card = rows(f"SELECT id FROM card WHERE message_id = {message_id}")
                if not card or f"card:{card[0][0]}" not in _external_ids(rows):
                    return "the tap"
            case _:
                wanted = []
                plan = rows(f"SELECT id, state FROM plan WHERE message_id = {message_id}")
                wanted += [f"plan-done:{plan_id}" for plan_id, _ in plan]
                if [state for _, state in plan] != ["approved"]:
                    return f"the plan ({plan})"
        return next((key for key in wanted if key not in keys), None)

    def _close_jobs(self, rows: "_Ask", tally: Tally) -> None:
        done = Counter(row[0] for row in rows("SELECT job_id FROM run WHERE state = 'done'"))
        results = Counter(
            row[0] for row in rows("SELECT job_id FROM outbox WHERE key LIKE 'result:%'")
        )
        files = Counter(row[0] for row in rows("SELECT job_id FROM artefact"))
        for job_id, state, error in rows("SELECT id, state, error FROM job WHERE kind = 'agent'"):
            tally.jobs += 1
            if state != "done" or done[job_id] == 0 or files[job_id] == 0:
                tally.jobs_lost += 1
                tally.problems.append(f"job {job_id} is {state} ({error}), {files[job_id]} files")
            if done[job_id] > 1 or results[job_id] > 1 or files[job_id] > 1:
                tally.settled_twice += 1
                tally.problems.append(f"job {job_id} was done {done[job_id]} times")

    def _close_sends(self, rows: "_Ask", tally: Tally) -> None:
        """Each accepted send is a row's last one, or a double that a kill explains."""
        outgoing = rows("SELECT id, external_id, text, state, key FROM outbox")
        tally.outgoing += len(outgoing)
        for row in outgoing:
            if row[3] != "sent":
                tally.answers_lost += 1
                tally.problems.append(f"{row[4]} is {row[3]}")
        shown = {row[1]: row for row in outgoing}
        texts = {row[0]: _plain(row[2]) for row in outgoing}
        last = {str(call.result["message_id"]): call for call in self._sends}
        for message_id, call in last.items():
            if message_id in shown:
                continue
            row_id = self._explained(_plain(_words(call)), texts)
            if row_id is None:
                tally.doubled_unexplained += 1
                tally.problems.append(f"unexplained: {call.method} {_words(call)[:80]!r}")
                continue
            tally.doubled_explained += 1
            again = next((row[1] for row in outgoing if row[0] == row_id), None)
            repeated = last.get(str(again))
            if repeated is not None and not _says_so(repeated):
                tally.doubled_without_a_word += 1
                tally.problems.append(f"said again without a word: {_words(repeated)[:80]!r}")

    def _explained(self, text: str, texts: dict[int, str]) -> int | None:
        """The row that was on its way with these words when the daemon was killed, used up."""
        text = text.removeprefix(_NOTE)
        for row_id, count in self._in_flight.items():
            if count > 0 and texts.get(row_id) == text:
                self._in_flight[row_id] -= 1
                return row_id
        return None

    def _close_log(self, tally: Tally) -> None:
        for line in self._home.log_file.read_text(encoding="utf-8").splitlines():
            try:
                told = json.loads(line)
            except ValueError:
                continue  # a line that a kill has cut
            if told.get("level") in ("error", "critical"):
                tally.errors_logged += 1
                tally.problems.append(f"logged: {line[-1500:]}")

    def _has_rows(self) -> bool:
        """Whether a first start has come as far as the tables."""
        if not self._home.database_file.exists():
            return False
        with self._rows() as rows:
            return bool(rows("SELECT 1 FROM sqlite_master WHERE name = 'outbox'"))

    @contextmanager
    def _rows(self) -> Iterator["_Ask"]:
        with closing(sqlite3.connect(self._home.database_file, timeout=15)) as connection:
            yield _Ask(connection)


class _Ask:
    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    def __call__(self, query: str) -> list[Any]:
        return self._connection.execute(query).fetchall()


def _external_ids(rows: _Ask) -> set[str]:
    return {row[0] for row in rows("SELECT external_id FROM message WHERE state = 'handled'")}


def _words(call: Call) -> str:
    return str(call.params.get("text") or call.params.get("caption") or "")


def _says_so(call: Call) -> bool:
    return _words(call).startswith(SENT_AGAIN.strip()[:12])


def _plain(text: str) -> str:
    """Only letters and digits: what is left when Markdown has become entities."""
    return re.sub(r"[^A-Za-z0-9]", "", text)
