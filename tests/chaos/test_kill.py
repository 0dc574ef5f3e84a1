"""kill -9 at any moment loses nothing: fifty seeded moments in five homes, counted.

The moments lie between "update fetched" and "answer sent", in a mixed talk: answers, small work,
reminders, questions with their taps, plans with their Go. `benchmarks/chaos.py` runs more of it.
"""

import pytest

from benchmarks.crashes import crash_homes

_KILLS = 10


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize("seed", [1, 2, 3, 4, 5])
async def test_ten_kills_lose_nothing_and_double_only_what_was_on_its_way(seed: int) -> None:
    tally = await crash_homes([seed], kills=_KILLS)
    told = "\n".join(tally.problems)
    assert tally.kills == _KILLS and tally.messages >= _KILLS, told
    wrong = {name: getattr(tally, name) for name in tally.must_be_nought}
    assert not any(wrong.values()), f"{wrong}\n{told}"
    # At most one send can be on its way in the one chat at a kill.
    assert tally.doubled_explained <= _KILLS
