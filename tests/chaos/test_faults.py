"""Whatever is pulled, nothing is lost: fifty seeded faults in five homes under mixed load, counted.

kill -9 and SIGSTOP of daemon, fork server, children and CLI, a full disk, a clock that jumps, a
model that cannot be reached, pipes that are cut. `benchmarks/chaos.py` runs more of it and measures
how soon what was interrupted runs again.
"""

import pytest

from benchmarks.trials import try_homes

_RUNS = 10


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize("seed", [1, 2, 3, 4, 5])
async def test_ten_faults_under_load_break_no_promise(seed: int) -> None:
    findings = await try_homes([seed], runs=_RUNS)
    told = "\n".join(findings.problems)
    assert not findings.breaches, f"{dict(findings.breaches)}\n{told}"
    assert findings.runs == _RUNS
    # It was tried in earnest: there was work, and it was interrupted.
    assert findings.amounts["jobs done"] >= _RUNS and findings.amounts["interruptions"]
