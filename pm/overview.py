"""How the engine stands, as lines that fit a width: for `pm engine status` and `watch`."""

import textwrap
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from agentos.control.plain import one_line
from pm.output import bold, cells_of, coloured, faint, fit, paint, spoken, when

NARROW = 60
_WIDEST = 100
# Stands for a space at which no line is broken.
_UNBROKEN = "\xa0"
_GREEN, _YELLOW, _RED = "32", "33", "31"
Status = dict[str, Any]


@dataclass
class Section:
    """A title and lines below it; when there is no room for all, the last ones are counted."""

    title: str
    lines: list[str] = field(default_factory=list)
    beyond: int = 0

    def shorten(self) -> None:
        """Show less: the line that counts the others takes the place of one."""
        less = 1 if self.beyond else 2
        self.beyond += min(less, len(self.lines))
        del self.lines[-less:]

    def shown(self, *, apart: bool = True) -> list[str]:
        """The title and the lines."""
        more = [faint(f"  … and {self.beyond} more")] if self.beyond else []
        return [*[""] * apart, bold(self.title), *self.lines, *more]


def lines_of(status: Status, *, width: int | None, height: int | None = None) -> list[str]:
    """The whole screen. Without a width nothing is cut; with a height it is never longer."""
    writer = _Writer(status, width=min(width or _WIDEST, _WIDEST), cut=height is not None)
    head = writer.head()
    sections = [each for each in writer.sections() if each.lines or each.beyond]
    if height is None:
        return [*head, *_shown(sections, apart=True)]
    room = height - len(head)
    if len(_shown(sections, apart=True)) <= room:
        return [*head, *_shown(sections, apart=True)]
    # Those that wait and those who work give way to what runs now.
    for least in (3, 2, 1):
        while len(_shown(sections, apart=False)) > room:
            long = [each for each in sections if len(each.lines) > least]
            if not long:
                break
            max(reversed(long), key=lambda each: len(each.lines)).shorten()
    return [*head, *_shown(sections, apart=False)][:height]


def bar(share: float, *, pause_at: float, cells: int) -> str:
    """A bar that is green, yellow from where work is held back, and red when all is used."""
    full = min(cells, round(share * cells))
    if share > 0 and full == 0:
        full = 1
    colour = _RED if share >= 1 else _YELLOW if share >= pause_at else _GREEN
    return coloured("█" * full, colour) + faint("░" * (cells - full))


def context(share: float) -> str:
    """How full a session is, in words."""
    return percent(share) if share else ""


def _shown(sections: list[Section], *, apart: bool) -> list[str]:
    return [line for section in sections for line in section.shown(apart=apart)]


class _Writer:
    """Writes the parts of one status."""

    def __init__(self, status: Status, *, width: int, cut: bool) -> None:
        self._status = status
        self._width = width
        self._cut = cut
        self._narrow = width < NARROW
        self._now = datetime.fromisoformat(status["now"])

    def head(self) -> list[str]:
        """Whether it runs, how many slots are busy, and how deep the lanes are."""
        status, slots = self._status, self._status["slots"]
        lines = [bold("agentos runs") if status["daemon"] else _not_running()]
        if status["draining"]:
            lines[0] = bold("agentos is ending") + ": nothing new starts"
        if status["daemon"]:
            lines += self._slots(slots)
        if status["paused"]:
            lines += self._wrapped(f"No new work starts: {status['paused']}", colour=_YELLOW)
        if status["machine"]:
            lines += self._wrapped(f"{status['machine']}: only urgent work starts", colour=_YELLOW)
        return [*lines, *self._lanes()]

    def sections(self) -> list[Section]:
        """What runs, what waits, what is left to be used, who works."""
        return [self._running(), self._waiting(), self._budgets(), self._workers()]

    def _slots(self, slots: Status) -> list[str]:
        busy = min(slots["running"], slots["all"])
        dots = coloured("●" * busy, "36") + faint("○" * (slots["all"] - busy))
        urgent = faint("○") if slots["urgent_free"] else coloured("●", _YELLOW)
        words = f"{busy} of {slots['all']} busy"
        free = "the urgent one is free" if slots["urgent_free"] else "the urgent one, too"
        if slots["all"] + len(words) + len(free) + 14 > self._width:
            free = "urgent free" if slots["urgent_free"] else "and urgent"
        if slots["all"] > self._width // 3:
            return [f"{bold('slots')}  {words}, {free}"]
        return [f"{bold('slots')}  {dots} {urgent}  {words}, {free}"]

    def _lanes(self) -> list[str]:
        lanes = self._status["lanes"]
        later = sum(lane["later"] for lane in lanes)
        parts = [_lane(lane) for lane in lanes if lane["running"] or lane["waiting"]]
        line = f"lanes  {' · '.join(parts) or 'all empty'}"
        more = []
        if later:
            more.append(f"{later} due later")
        if self._status["reminders"]["count"]:
            soonest = when(self._status["reminders"]["next"])
            more.append(f"{_counted(self._status['reminders']['count'], 'reminder')}, {soonest}")
        if self._status["parked"]:
            more.append(f"{self._status['parked']} waiting for your answer")
        told = self._wrapped(line, indent=7)
        told[0] = told[0].replace("lanes", bold("lanes"), 1)
        return told + (self._wrapped("       " + " · ".join(more), indent=7) if more else [])

    def _running(self) -> Section:
        section = Section("RUNNING")
        kept = {row["name"] for row in self._status["workers"] if row["persistent"]}
        for job in self._status["running"]:
            took = spoken(self._now - datetime.fromisoformat(job["since"]))
            by = job["worker"] if job["worker"] in kept else job["model"] or job["backend"]
            doing = one_line(job["doing"] or job["state"])
            name = f"#{job['id']} {one_line(job['title'])}"
            if self._narrow:
                section.lines.append(f"  {fit(name, self._width - 12)} {took:>9}")
                if not self._cut:
                    section.lines.append(faint(f"    {self._cutting(doing, self._width - 4)}"))
                continue
            left = f"  {fit(name, self._width * 3 // 8)}  {fit(by, 12)}  {took:>7}"
            section.lines.append(f"{left}  {faint(self._fitting(doing, left))}".rstrip())
        return section

    def _waiting(self) -> Section:
        beyond = self._status["waiting_beyond"]
        section = Section("WAITING", beyond=beyond)
        for job in self._status["waiting"]:
            name = f"#{job['id']} {one_line(job['title'])}"
            why = one_line(job["why"])
            if self._narrow and not self._cut:
                section.lines.append(f"  {self._cutting(name, self._width - 2)}")
                section.lines += map(faint, self._wrapped(f"    {why}", indent=4))
                continue
            left = f"  {fit(name, self._width * 3 // 8)}  "
            if self._cut:
                section.lines.append(left + faint(self._fitting(why, left, gap=0)))
            else:
                section.lines += self._beside(left, why)
        return section

    def _budgets(self) -> Section:
        section = Section("BUDGETS")
        window = self._status["window"]
        if window:
            used = window["used"] + window["reserved"]
            words = f"{_short(used)} of {_short(window['limit'])} tokens"
            section.lines.append(self._budget("5 minutes", window, words))
        for pool in self._status["pools"]:
            name = f"{pool['backend']} {pool['words']}"
            words = f"resets {when(pool['resets_at'])}"
            if pool["share"] is None:
                used = f"{_short(pool['tokens'])} tokens" if pool["tokens"] else ""
                used = used or _counted(pool["turns"], "turn")
                room = 17 if self._narrow else 18
                resets = "" if self._narrow else f" · {words}"
                section.lines.append(f"  {fit(name, room)} {used}{resets}")
            else:
                section.lines.append(self._budget(name, pool, words))
            if pool["rests_until"]:
                rests = f"{pool['backend']} has reached its limit: rests until"
                section.lines += self._wrapped(
                    f"  {rests} {when(pool['rests_until'])}", indent=4, colour=_YELLOW
                )
        for backend, problem in self._status["missing"].items():
            if backend not in self._status["in_use"]:
                continue
            section.lines += self._wrapped(f"  {backend}: {problem}", indent=4, colour=_YELLOW)
        return section

    def _budget(self, name: str, told: Status, words: str) -> str:
        share, cells = told["share"], 8 if self._narrow else 20
        room = 14 if self._narrow else 18
        drawn = bar(share, pause_at=told["pause_at"], cells=cells)
        line = f"  {fit(name, room)} {drawn} {percent(share):>5}"
        left = self._width - room - cells - 9
        return f"{line}  {faint(self._cutting(words, left - 2))}" if left > 12 else line

    def _workers(self) -> Section:
        section = Section("WORKERS")
        rows = self._status["workers"]
        # Who works on a single job is seen above, unless there is room for all.
        kept = [row for row in rows if row["persistent"]]
        for row in kept or rows:
            section.lines.append(self._worker(row))
        return section

    def _worker(self, row: Status) -> str:
        jobs = _counted(row["session_job_count"], "job")
        full = context(row["session_share"])
        state = row["state"]
        warm = " warm" if row.get("warm") and state == "idle" else ""
        if self._narrow:
            name = fit(row["name"], self._width - 28)
            return f"  {name} {paint(fit(state, 8))} {jobs:>8} {full:>5}"
        doing = row["working_on"]
        last = f"used {when(row['last_used_at'])}" if row["last_used_at"] else "new"
        now = f"#{doing['id']} {one_line(doing['title'])}" if doing else last + warm
        kind = f"{row['backend']} {row['model'] or '—'}"
        left = f"  {fit(row['name'], 14)} {fit(kind, 16)} "
        right = f" {jobs:>8} {full:>4}  "
        room = self._width - cells_of(left) - 8 - cells_of(right)
        return f"{left}{paint(fit(state, 8))}{right}{faint(self._cutting(now, room))}"

    def _fitting(self, text: str, left: str, *, gap: int = 2) -> str:
        return self._cutting(text, self._width - cells_of(left) - gap)

    def _cutting(self, text: str, room: int) -> str:
        return text if cells_of(text) <= room else fit(text, max(room, 1)).rstrip()

    def _beside(self, left: str, text: str) -> list[str]:
        """A text beside something, going on below itself."""
        first, *more = textwrap.wrap(text, max(20, self._width - cells_of(left))) or [""]
        indent = " " * cells_of(left)
        return [left + faint(first), *(indent + faint(line) for line in more)]

    def _wrapped(self, text: str, *, indent: int = 0, colour: str = "") -> list[str]:
        lines = textwrap.wrap(text, self._width, subsequent_indent=" " * indent)
        plain = [line.replace(_UNBROKEN, " ") for line in lines]
        return [coloured(line, colour) if colour else line for line in plain]


def _lane(lane: Status) -> str:
    counts = ((lane["running"], "running"), (lane["waiting"], "waiting"))
    words = ", ".join(f"{count} {word}" for count, word in counts if count)
    return f"{lane['lane']} {words}".replace(" ", _UNBROKEN)


def percent(share: float) -> str:
    """A share of a whole: "41 %"; the least there is, is 1 %."""
    return f"{max(share, 0.01):.0%}".replace("%", " %") if share else "0 %"


def _not_running() -> str:
    return bold("agentos is not running") + ": `agentos up` starts it"


def _counted(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def _short(number: int) -> str:
    """A number of tokens: 950, 48 k, 1.2 M."""
    if number < 1000:
        return str(number)
    return f"{number / 1000:.0f} k" if number < 999_500 else f"{number / 1_000_000:.1f} M"
