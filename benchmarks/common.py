"""What all benchmarks share: the machine, the report, and how a figure is held against its goal."""

import argparse
import asyncio
import json
import math
import os
import platform
import signal
import sys
from collections.abc import Coroutine, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

import psutil
from rich.console import Console
from rich.table import Table

T = TypeVar("T")


@dataclass(frozen=True)
class Result:
    """One figure. `goal` is the most it may be, or the least; None where nothing was promised."""

    metric: str
    value: float
    unit: str
    goal: float | None = None
    least: bool = False

    @property
    def met(self) -> bool | None:
        """Whether the goal holds; None without a goal."""
        if self.goal is None:
            return None
        return self.value >= self.goal if self.least else self.value <= self.goal


@dataclass
class Report:
    """The figures of one benchmark, in the order they were measured."""

    benchmark: str
    results: list[Result] = field(default_factory=list)

    def add(
        self,
        metric: str,
        value: float,
        unit: str,
        *,
        at_most: float | None = None,
        at_least: float | None = None,
    ) -> None:
        """Note a figure, with one goal or none."""
        least = at_least is not None
        goal = at_least if least else at_most
        self.results.append(Result(metric, round(value, 4), unit, goal, least))

    def spread(
        self,
        name: str,
        values: Sequence[float],
        unit: str,
        *,
        quantiles: Sequence[int],
        goals: dict[int, float] | None = None,
    ) -> None:
        """Note quantiles of many values; `goals` are by quantile, and 100 is the largest value."""
        for quantile in quantiles:
            label = "max" if quantile == 100 else f"p{quantile}"
            goal = (goals or {}).get(quantile)
            self.add(f"{name}, {label}", percentile(values, quantile), unit, at_most=goal)

    def show(self, *, as_json: bool) -> None:
        """Print it: one JSON object, or a table."""
        if as_json:
            results = [
                {
                    "metric": one.metric,
                    "value": one.value,
                    "unit": one.unit,
                    "goal": one.goal,
                    "met": one.met,
                }
                for one in self.results
            ]
            told = {"benchmark": self.benchmark, "machine": machine(), "results": results}
            sys.stdout.write(json.dumps(told, indent=2) + "\n")
            return
        Console().print(_table(self))


def percentile(values: Sequence[float], quantile: int) -> float:
    """The nearest-rank percentile: a value that was measured, not one in between."""
    ordered = sorted(values)
    return ordered[max(0, math.ceil(quantile / 100 * len(ordered)) - 1)]


def machine() -> dict[str, str | int | float]:
    """What the figures depend on."""
    return {
        "cpus": os.cpu_count() or 0,
        "memory_gb": round(psutil.virtual_memory().total / 1e9, 1),
        "load_1m": round(os.getloadavg()[0], 2),
        "system": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
    }


def parser(description: str | None) -> argparse.ArgumentParser:
    """A command line with --json."""
    made = argparse.ArgumentParser(
        description=description, formatter_class=argparse.ArgumentDefaultsHelpFormatter
    )
    made.add_argument("--json", action="store_true", help="print one JSON object, not a table")
    return made


def run(measuring: Coroutine[Any, Any, T]) -> T:
    """Run it; ended by a signal it still puts away the processes that it started."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    return asyncio.run(measuring)


def say(words: str) -> None:
    """Tell how it goes, on stderr, so that stdout stays the report's."""
    sys.stderr.write(words + "\n")
    sys.stderr.flush()


def _table(report: Report) -> Table:
    here = machine()
    title = f"{report.benchmark} ({here['cpus']} CPUs, load {here['load_1m']})"
    table = Table(title=title, title_justify="left")
    table.add_column("what")
    table.add_column("measured", justify="right")
    table.add_column("goal", justify="right")
    table.add_column("met")
    for one in report.results:
        goal = "" if one.goal is None else f"{'≥' if one.least else '≤'} {one.goal:g} {one.unit}"
        met = {None: "", True: "yes", False: "NO"}[one.met]
        table.add_row(one.metric, f"{one.value:g} {one.unit}", goal, met)
    return table
