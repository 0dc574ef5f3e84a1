"""kill -9 of the daemon at seeded moments while somebody talks to it: what is lost or doubled.

Each home is killed ten times at moments between "update fetched" and "answer sent": when a request
arrives at a stand-in, when it was carried out and its reply is not sent yet, or some milliseconds
after the reply. A double is explained when its outbox row was on its way at a kill: the Bot API
had accepted a send of which the daemon did not get to write down the reply.
"""

from benchmarks.accounts import Tally
from benchmarks.common import Report, parser, run, say
from benchmarks.crashes import crash_homes

_KILLS_A_HOME = 10


def main() -> None:
    """Kill, count and report."""
    options = parser(__doc__)
    options.add_argument("--kills", type=int, default=50, help="kills in all")
    options.add_argument("--seed", type=int, default=1, help="the seed of the first home")
    given = options.parse_args()
    tally = Tally()
    seed = given.seed
    while tally.kills < given.kills:
        kills = min(_KILLS_A_HOME, given.kills - tally.kills)
        tally.add(run(crash_homes([seed], kills=kills)))
        say(f"{tally.kills} kills, {len(tally.problems)} problems")
        seed += 1
    for problem in tally.problems:
        say(problem)
    _reported(tally).show(as_json=given.json)


def _reported(tally: Tally) -> Report:
    report = Report("chaos")
    for name in ("kills", "messages", "jobs", "outgoing", "doubled_explained", "lingered"):
        report.add(name.replace("_", " "), getattr(tally, name), "")
    for name in tally.must_be_nought:
        report.add(name.replace("_", " "), getattr(tally, name), "", at_most=0)
    for moment, count in sorted(tally.moments.items()):
        report.add(f"killed: {moment}", count, "")
    return report


if __name__ == "__main__":
    main()
