"""The schedules find flaws of the driver: a simulation that accepts everything proves nothing."""

from typing import Any

import pytest

from tests.simulation import faults
from tests.simulation.checker import Violation
from tests.simulation.mutants import MUTANTS
from tests.simulation.play import DEFAULT, Play

MOST = 120
ASLEEP = (faults.quiet_watch, faults.suspend, faults.suspend, faults.stuck)
CAUGHT_BY = {
    "outcome swallowed as accepted": "L6",
    "sent_at from the reply": "L6",
    "sent_at after the log-in": "L6",
    "time-out reported as rejected": "L4",
    "409 taken as nothing landed": "L4",
    "second copy after a broken connection": "L4",
    "watch never reopened": "I6",
    "read tried once": "I",
    "no time-out": "I",
    "copy told as a write of the holder": "I1",
    "claim left alive": "L7",
    "time of the loop": "I1",
    "no nap": "I1",
    "client left open": "L15",
}


@pytest.mark.parametrize("flaw", sorted(MUTANTS))
def test_a_flaw_is_found(flaw):
    """A driver with this flaw breaks the law named beside it within some schedules."""
    options: dict[str, Any] = {"faults": ASLEEP} if flaw in ("no nap", "time of the loop") else {}
    if flaw == "copy told as a write of the holder":
        options = {"deaths": True, "faults": faults.COPIED}
    for seed in range(5000, 5000 + MOST):
        drama = Play(seed, profile="faults", settings=(DEFAULT,), make_driver=MUTANTS[flaw], **options)
        try:
            drama.run()
        except Violation as violation:
            print(f"{flaw}: seed {seed}: {str(violation).splitlines()[0]}")
            assert str(violation).startswith(CAUGHT_BY[flaw])
            return
        finally:
            drama.world.abandon()
    pytest.fail(f"nobody has noticed in {MOST} schedules")
