"""Pulling the plug at seeded moments, in every way we know: what is lost, what is doubled.

A run is one fault (at times two at once) in the middle of mixed load: kill -9 or SIGSTOP of daemon,
fork server, child or CLI, a full disk, a clock that jumps, a model that cannot be reached, a pipe
that is cut. Ten runs go by in one home before everything comes to rest and the accounts are closed.

With --kills there are, besides, kills at exact moments between "update fetched" and "answer sent":
as a request arrives at a stand-in, as it was carried out and its reply is not sent yet, or some
milliseconds after the reply. A double is explained when its outbox row was on its way at a kill:
the Bot API had accepted a send of which the daemon did not get to write down the reply.
"""

import logging

from benchmarks.accounts import Tally
from benchmarks.common import Report, parser, run, say
from benchmarks.crashes import crash_homes
from benchmarks.findings import BREACHES, Findings
from benchmarks.trials import try_homes

_A_HOME = 10
_BACK_WITHIN_SECONDS = 5.0


def main() -> None:
    """Strike, count and report."""
    options = parser(__doc__)
    options.add_argument("--runs", type=int, default=50, help="faults in all")
    options.add_argument("--kills", type=int, default=0, help="kills at exact moments, besides")
    options.add_argument("--seed", type=int, default=1, help="the seed of the first home")
    options.add_argument(
        "--small-disk", action="store_true", help="as root: fill a real disk of its own"
    )
    given = options.parse_args()
    # A stand-in that answers a CLI which was killed is no news.
    logging.getLogger("asyncio").setLevel(logging.ERROR)
    findings = _strike(given.runs, seed=given.seed, small_disk=given.small_disk)
    tally = _kill(given.kills, seed=given.seed)
    for problem in tally.problems:
        say(problem)
    report = Report("chaos")
    if given.runs:
        _tell_runs(report, findings)
    if given.kills:
        _tell_kills(report, tally)
    report.show(as_json=given.json)


def _strike(runs: int, *, seed: int, small_disk: bool) -> Findings:
    findings = Findings()
    while findings.runs < runs:
        times = min(_A_HOME, runs - findings.runs)
        found = run(try_homes([seed], runs=times, small_disk=small_disk, tell=say))
        findings.add(found)
        for problem in found.problems:
            say(problem)
        say(f"seed {seed}: {findings.runs} runs, {findings.breaches.total()} breaches")
        seed += 1
    return findings


def _kill(kills: int, *, seed: int) -> Tally:
    tally = Tally()
    while tally.kills < kills:
        times = min(_A_HOME, kills - tally.kills)
        tally.add(run(crash_homes([seed], kills=times)))
        say(f"{tally.kills} kills, {len(tally.problems)} problems")
        seed += 1
    return tally


def _tell_runs(report: Report, findings: Findings) -> None:
    report.add("runs", findings.runs, "")
    for name in BREACHES:
        report.add(name, findings.breaches[name], "", at_most=0)
    back = [seconds for each in findings.back.values() for seconds in each]
    if back:
        goals = {95: _BACK_WITHIN_SECONDS, 100: _BACK_WITHIN_SECONDS}
        report.spread("running again", back, "s", quantiles=(50, 95, 100), goals=goals)
    for label, seconds in sorted(findings.back.items()):
        report.spread(f"running again after {label}", seconds, "s", quantiles=(50, 100))
    for name, amount in sorted(findings.amounts.items()):
        report.add(name, amount, "")
    for label, count in sorted(findings.faults.items()):
        report.add(f"struck: {label}", count, "")


def _tell_kills(report: Report, tally: Tally) -> None:
    for name in ("kills", "messages", "jobs", "outgoing", "doubled_explained", "lingered"):
        report.add(f"killed: {name.replace('_', ' ')}", getattr(tally, name), "")
    for name in tally.must_be_nought:
        report.add(f"killed: {name.replace('_', ' ')}", getattr(tally, name), "", at_most=0)
    for moment, count in sorted(tally.moments.items()):
        report.add(f"killed at: {moment}", count, "")


if __name__ == "__main__":
    main()
