"""`pm job graph`: what needs what, as a tree for a terminal, or as Mermaid or DOT for a picture."""

from collections import defaultdict
from collections.abc import Iterator
from typing import Any

from agentos.control.plain import one_line
from pm.output import cells_of, coloured, faint, fit, paint

_MARKS = {
    "done": ("✓", "32"),
    "running": ("●", "36"),
    "queued": ("○", ""),
    "parked": ("‖", "33"),
    "failed": ("✗", "31"),
    "cancelled": ("–", "90"),
}
_POLICIES = {"block": "waits if that fails", "go_on": "goes on if that fails"}
_FILLS = {"done": "#c8e6c9", "running": "#b3e5fc", "failed": "#ffcdd2", "parked": "#fff9c4"}
_WIDEST = 100
_LEAST_TITLE = 20
Graph = dict[str, Any]


def tree(graph: Graph, *, width: int | None) -> list[str]:
    """Each job once, below the last of those that it needs; the others are named beside it."""
    drawing = _Drawing(graph, width=min(width or _WIDEST, _WIDEST))
    return list(drawing.lines())


def mermaid(graph: Graph) -> list[str]:
    """A flowchart as Mermaid writes it."""
    lines = ["flowchart TD"]
    for job in graph["jobs"]:
        title = _entities(f"#{job['id']} {one_line(job['title'])}")
        lines.append(f'  j{job["id"]}["{title}"]:::{job["state"]}')
    lines += [f"  j{edge['from']} --> j{edge['to']}" for edge in graph["edges"]]
    states = sorted({job["state"] for job in graph["jobs"]} & set(_FILLS))
    lines += [f"  classDef {state} fill:{_FILLS[state]}" for state in states]
    return lines


def dot(graph: Graph) -> list[str]:
    """A graph as Graphviz reads it."""
    lines = ["digraph jobs {", "  rankdir=TB;", "  node [shape=box, style=filled];"]
    for job in graph["jobs"]:
        title = one_line(f"#{job['id']} {job['title']}").replace("\\", "\\\\").replace('"', '\\"')
        fill = _FILLS.get(job["state"], "#ffffff")
        lines.append(f'  j{job["id"]} [label="{title}\\n{job["state"]}", fillcolor="{fill}"];')
    lines += [f"  j{edge['from']} -> j{edge['to']};" for edge in graph["edges"]]
    return [*lines, "}"]


class _Drawing:
    """The tree of one graph."""

    def __init__(self, graph: Graph, *, width: int) -> None:
        self._jobs = {job["id"]: job for job in graph["jobs"]}
        self._needs: dict[int, list[int]] = defaultdict(list)
        for edge in graph["edges"]:
            self._needs[edge["to"]].append(edge["from"])
        self._width = width
        self._below: dict[int, list[int]] = defaultdict(list)
        depths = self._depths()
        self._roots = []
        for job_id in sorted(self._jobs):
            needed = self._needs[job_id]
            if needed:
                self._below[max(needed, key=lambda each: (depths[each], each))].append(job_id)
            else:
                self._roots.append(job_id)

    def lines(self) -> Iterator[str]:
        """From the top."""
        waiting = [(job_id, "", "") for job_id in reversed(self._roots)]
        while waiting:
            job_id, before, indent = waiting.pop()
            yield self._line(job_id, before)
            below = self._below[job_id]
            for place, each in reversed(list(enumerate(below))):
                is_last = place == len(below) - 1
                branch, further = ("└─ ", "   ") if is_last else ("├─ ", "│  ")
                waiting.append((each, indent + branch, indent + further))

    def _line(self, job_id: int, before: str) -> str:
        job = self._jobs[job_id]
        mark, colour = _MARKS.get(job["state"], ("?", ""))
        name = f"#{job_id} {one_line(job['title'])}"
        notes = self._notes(job_id)
        state = f"  {job['state']}" if self._width >= 60 else ""
        room = self._width - cells_of(before) - 2 - cells_of(state) - cells_of(notes)
        if room < min(_LEAST_TITLE, cells_of(name)) and notes:
            notes, room = "", room + cells_of(notes)
        if cells_of(name) > room:
            name = fit(name, max(room, _LEAST_TITLE)).rstrip()
        shown = f"  {paint(state.strip())}" if state else ""
        dot = coloured(mark, colour) if colour else mark
        return f"{faint(before)}{dot} {name}{shown}{faint(notes)}"

    def _notes(self, job_id: int) -> str:
        job = self._jobs[job_id]
        above = next((one for one, below in self._below.items() if job_id in below), None)
        others = [f"#{each}" for each in sorted(self._needs[job_id]) if each != above]
        notes = [f"also needs {', '.join(others)}"] if others else []
        if self._needs[job_id] and job["state"] == "queued" and job["if_needs_fail"] in _POLICIES:
            notes.append(_POLICIES[job["if_needs_fail"]])
        return f"  ({'; '.join(notes)})" if notes else ""

    def _depths(self) -> dict[int, int]:
        """How many jobs are above each, at most."""
        left = {job_id: len(self._needs[job_id]) for job_id in self._jobs}
        dependents: dict[int, list[int]] = defaultdict(list)
        for job_id, needed in list(self._needs.items()):
            for each in needed:
                dependents[each].append(job_id)
        depths = dict.fromkeys(self._jobs, 0)
        free = [job_id for job_id, count in left.items() if count == 0]
        while free:
            job_id = free.pop()
            for each in dependents[job_id]:
                depths[each] = max(depths[each], depths[job_id] + 1)
                left[each] -= 1
                if left[each] == 0:
                    free.append(each)
        return depths


def _entities(text: str) -> str:
    """A text for a quoted label of Mermaid's."""
    for letter, code in (("&", "amp"), ('"', "quot"), ("<", "lt"), (">", "gt")):
        text = text.replace(letter, f"#{code};")
    return text
