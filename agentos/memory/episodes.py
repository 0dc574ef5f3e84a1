"""Episodes: what happened, a line each, one file a day. Raw, so that no judge loses a detail.

`episodes/YYYY-MM-DD.jsonl` in home, in the owner's time zone. A line is on the disk before `append`
returns; a kill may tear the last one, which is then no line. After a day has more than a hundred,
its older lines are shortened and folded together, but what a memory cites stays as it was.
"""

import fcntl
import json
import os
from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from datetime import UTC, date, datetime, timedelta
from itertools import groupby
from pathlib import Path
from zoneinfo import ZoneInfo

from agentos.home import Home
from agentos.memory.words import bm25

COMPACT_AFTER = 100
# The newest lines of a long day are left whole: they are what tonight's consolidation reads.
_WHOLE = 30
_SHORT = 240
_FOLDED_LINES = 6
_SEAM = " / "
# A shorter beginning of a text tells nothing of it.
_TELLING = 6


@dataclass(frozen=True)
class Episode:
    """One thing that happened. `ref` is what memories cite: "2026-11-21:7"."""

    ref: str
    at: datetime
    kind: str  # message, answer, job, card…
    text: str
    # Whose word it is: owner, self, outside.
    trust: str = "self"
    source: str | None = None  # "job:12", "message:40"
    # How many lines were folded into this one.
    folded: int = 0


class Episodes:
    """The files of one home. Several threads and processes may append."""

    def __init__(self, home: Home, *, zone: ZoneInfo) -> None:
        self._home = home
        self._folder = home.episodes
        self._zone = zone

    def append(
        self, kind: str, text: str, *, at: datetime, trust: str = "self", source: str | None = None
    ) -> Episode:
        """Write one line; it is on the disk when this returns. Raises HomeUnusable."""
        (made,) = self.append_all([Episode("", at, kind, text, trust, source)], anew=True)
        return made

    def append_all(self, lines: Sequence[Episode], *, anew: bool = False) -> list[Episode]:
        """Write lines under refs of their own, with one wait for the disk. Raises HomeUnusable.

        Returns those that were written: what the day has already is not told twice, unless `anew`.
        """
        made = []
        for day, some in groupby(lines, key=lambda one: one.at.astimezone(self._zone).date()):
            with self._held(day), self._home.written():
                made += _append(self._file(day), day, list(some), anew=anew)
        return made

    def days(self) -> list[date]:
        """The days that have a file, oldest first."""
        found = []
        for file in self._folder.glob("*.jsonl"):
            try:
                found.append(date.fromisoformat(file.stem))
            except ValueError:
                continue  # somebody's own file
        return sorted(found)

    def read(self, day: date) -> list[Episode]:
        """The lines of a day, in order; none when there was nothing."""
        return _read(self._file(day), day)

    def find(self, ref: str) -> Episode | None:
        """The episode that a memory cites, or None."""
        try:
            day = date.fromisoformat(ref.partition(":")[0])
        except ValueError:
            return None
        return next((one for one in self.read(day) if one.ref == ref), None)

    def search(self, query: str, *, limit: int = 20) -> list[tuple[Episode, float]]:
        """The lines that fit a question best, by their words; a thousand take some milliseconds."""
        every = [one for day in self.days() for one in self.read(day)]
        scores = bm25(query, [one.text for one in every])
        ranked = [pair for pair in zip(every, scores, strict=True) if pair[1] > 0]
        ranked.sort(key=lambda pair: (-pair[1], pair[0].at))
        return ranked[:limit]

    def compact(self, day: date, *, cited: Collection[str]) -> bool:
        """Shorten a day that has grown long; whether there was something to do.

        Doing it twice changes nothing more, and a kill leaves the old file or the new one.
        """
        with self._held(day):
            lines = _read(self._file(day), day)
            if len(lines) <= COMPACT_AFTER:
                return False
            shorter = [*_folded(lines[:-_WHOLE], cited=cited), *lines[-_WHOLE:]]
            if len(shorter) == len(lines):
                return False
            self._replace(day, shorter)
        return True

    def expire(self, *, today: date, window: timedelta, cited: Collection[str]) -> list[date]:
        """Drop days that are older than the window, but for the lines that memories cite."""
        gone = []
        for day in self.days():
            if today - day <= window:
                continue
            with self._held(day):
                lines = _read(self._file(day), day)
                kept = [one for one in lines if one.ref in cited]
                if len(kept) == len(lines):
                    continue
                if kept:
                    self._replace(day, kept)
                else:
                    self._file(day).unlink(missing_ok=True)
            gone.append(day)
        return gone

    def erase(self, texts: Iterable[str], *, refs: Collection[str] = ()) -> int:
        """Take out lines that hold one of the texts, or are named by ref or source; how many.

        Of lines that were folded into one, only those that hold it go.
        """
        wanted = [text for text in texts if text.strip()]
        erased = 0
        for day in self.days():
            with self._held(day):
                lines = _read(self._file(day), day)
                kept = [left for one in lines if (left := _without(one, wanted, refs)) is not None]
                if kept != lines:
                    erased += sum(one not in kept for one in lines)
                    self._replace(day, kept)
        return erased

    def _file(self, day: date) -> Path:
        return self._folder / f"{day.isoformat()}.jsonl"

    def _replace(self, day: date, lines: Sequence[Episode]) -> None:
        draft = self._folder / f".{day.isoformat()}.{os.getpid()}"
        with self._home.written():
            with draft.open("wb") as out:
                out.writelines(_line(one) for one in lines)
                out.flush()
                os.fsync(out.fileno())
            draft.replace(self._file(day))

    @contextmanager
    def _held(self, day: date) -> Iterator[None]:
        """One writer a day. The lock is beside the file, because the file itself is replaced."""
        with self._home.written():
            self._folder.mkdir(mode=0o700, exist_ok=True)
            lock = (self._home.run / "episodes.lock").open("ab")
        with lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield


def _append(file: Path, day: date, lines: list[Episode], *, anew: bool) -> list[Episode]:
    _mend(file)
    there = _read(file, day)
    known = set() if anew else {(one.kind, one.source, one.text) for one in there}
    number = max((number_of(one.ref) for one in there), default=0)
    made = []
    for one in lines:
        if (one.kind, one.source, one.text) not in known:
            number += 1
            made.append(replace(one, ref=f"{day}:{number}"))
    if made:
        with file.open("ab") as out:
            out.write(b"".join(map(_line, made)))
            out.flush()
            os.fsync(out.fileno())
    return made


def _folded(lines: Sequence[Episode], *, cited: Collection[str]) -> list[Episode]:
    """Lines of one kind and source that follow each other become one; what is cited stays whole."""
    made: list[Episode] = []
    for key, group in groupby(lines, key=lambda one: _fold_key(one, cited=cited)):
        some = list(group)
        if key is None:
            made += some
            continue
        for start in range(0, len(some), _FOLDED_LINES):
            made.append(_one_of(some[start : start + _FOLDED_LINES]))
    return made


def _fold_key(one: Episode, *, cited: Collection[str]) -> tuple[str, str] | None:
    return None if one.ref in cited or one.folded else (one.kind, one.trust)


def _one_of(lines: Sequence[Episode]) -> Episode:
    first = lines[0]
    texts = _SEAM.join(one.text if len(one.text) <= _SHORT else _cut(one.text) for one in lines)
    return Episode(
        first.ref, first.at, first.kind, texts, first.trust, first.source, folded=len(lines)
    )


def _without(one: Episode, texts: Sequence[str], refs: Collection[str]) -> Episode | None:
    """An episode without what is to be erased; None when nothing is left of it."""
    if one.ref in refs or one.source in refs:
        return None
    if not one.folded:
        return None if any(text in one.text for text in texts) else one
    parts = one.text.split(_SEAM)
    kept = [part for part in parts if not any(_holds(part, text) for text in texts)]
    if not kept or any(text in _SEAM.join(kept) for text in texts):
        return None
    return one if len(kept) == len(parts) else replace(one, text=_SEAM.join(kept))


def _holds(part: str, text: str) -> bool:
    """Whether a part of a folded line has a text in it, or the beginning of it at its cut end."""
    if text in part:
        return True
    if not part.endswith("…"):
        return False
    cut = part[:-1]
    longest = min(len(cut), len(text))
    return any(cut.endswith(text[:size].rstrip()) for size in range(longest, _TELLING - 1, -1))


def _cut(text: str) -> str:
    return text[: _SHORT - 1].rstrip() + "…"


def _line(one: Episode) -> bytes:
    told = {**asdict(one), "at": one.at.astimezone(UTC).isoformat()}
    plain = {name: value for name, value in told.items() if value not in (None, 0)}
    # What cannot be encoded cannot be kept.
    return json.dumps(plain, ensure_ascii=False).encode("utf-8", "replace") + b"\n"


def _mend(file: Path) -> None:
    """End a line that a kill has torn, so that the next one does not stick to it."""
    if not file.is_file() or file.stat().st_size == 0:
        return
    with file.open("rb+") as out:
        out.seek(-1, os.SEEK_END)
        if out.read(1) != b"\n":
            out.write(b"\n")


def _read(file: Path, day: date) -> list[Episode]:
    """The whole lines of a file; what is no episode is passed over."""
    try:
        content = file.read_bytes()
    except FileNotFoundError:
        return []
    found = []
    for line in content.split(b"\n"):
        try:
            told = json.loads(line)
            at = datetime.fromisoformat(told.pop("at"))
            found.append(Episode(at=at, **told))
        except (ValueError, TypeError, KeyError, AttributeError):
            continue
    return found


def number_of(ref: str) -> int:
    """The number of an episode within its day; 0 of what names none."""
    number = ref.partition(":")[2]
    return int(number) if number.isdecimal() else 0
