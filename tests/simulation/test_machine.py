"""The machine alone: 5 000 lease-hours of faults; `python -m tests.simulation --machine` for more."""

import pytest

from tests.simulation.machine import PROFILES, play_machine

HOURS = 312.5


@pytest.mark.parametrize("batch", range(8))
@pytest.mark.parametrize("profile", PROFILES)
def test_no_schedule_breaks_the_claim(profile, batch):
    """Never two at once, tokens grow, nothing is released under work, and a leader is back after the faults."""
    hours, seed = 0.0, batch * 100_000
    while hours < HOURS:
        hours += play_machine(seed, profile) / 3600
        seed += 1
    assert seed > batch * 100_000 + 50
