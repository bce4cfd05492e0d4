"""The table of phases, held against random walks: nothing beyond it, and nothing in it that is not met."""

from collections import Counter

import pytest

from kopf_leader.protocol.machine import phase, step
from kopf_leader.protocol.state import Phase, Wish
from kopf_leader.protocol.table import TRANSITIONS
from kopf_leader.testing.link import Fate
from tests.protocol.nemesis import Play
from tests.protocol.stage import stage

IN_THE_TABLE = {(before, after) for before, row in TRANSITIONS.items() for after in row}


@pytest.fixture(scope="module")
def walked():
    """How often each pair of different phases followed each other in some hundred schedules of faults."""
    pairs = Counter()

    def recorded(settings, state, now, event):
        after, actions = step(settings, state, now, event)
        if phase(state) is not phase(after):
            pairs[phase(state), phase(after)] += 1
        return after, actions

    for seed in range(40):
        for profile in ("faults", "rates", "rivals"):
            Play(seed, profile, step=recorded).run(rounds=2)
    for walk in RARE:
        walk(recorded)
    return pairs


def landed_unseen(step):
    """A lost acquire is found by the read that its time-out asks for."""
    world, _ = stage(step)
    a = world.add("a", start=False)
    a.link.fates.append(Fate(reply=None))
    a.start()
    world.run_until(0.011)
    a.deafen()
    world.run_until(6)
    assert a.open


def resigned_in_doubt(step):
    """Asked to step down between a lost acquire and the read; the release is in flight when it is given up."""
    world, _ = stage(step)
    a = world.add("a", start=False)
    a.link.status = 500
    a.start()
    world.run_until(0.022)
    a.link.lose_requests = True
    a.resign()
    world.run_until(6)
    a.link.lose_requests = False
    a.link.fates.extend([Fate(request=None)] * 9)
    world.run_until(60)
    assert a.state.wish is Wish.STAND


RARE = (landed_unseen, resigned_in_doubt)


def test_every_phase_has_a_row():
    """A pair that is missing in the table is a mistake in the machine, so every phase has its row."""
    assert set(TRANSITIONS) == set(Phase)
    assert all(reason for row in TRANSITIONS.values() for reason in row.values())


def test_no_walk_leaves_the_table(walked):
    """Every pair of phases that is met stands in the table."""
    assert set(walked) - IN_THE_TABLE == set()


def test_every_entry_is_met(walked):
    """Every pair in the table is met by some walk."""
    assert IN_THE_TABLE - set(walked) == set()
