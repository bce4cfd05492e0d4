"""L16: a silent watch proves nothing. Where no write will find out soon, a candidate reads once in a lease_duration."""

import pytest

from kopf_leader.protocol.record import HOLD
from kopf_leader.protocol.state import Read
from tests.protocol.stage import held_by, lead, stage
from tests.protocol.test_metadata_edits import annotate


def reads(world, name):
    """How many reads it has asked for; those of its watch are not among them."""
    return sum(1 for _, who, what, detail in world.log if (who, what) == (name, "action") and isinstance(detail, Read))


def test_the_end_of_a_hold_is_noticed_by_a_deaf_candidate():
    """Nobody leads and nobody writes: its own read tells within one lease_duration."""
    world, _ = stage()
    a = lead(world, "a")
    annotate(world, **{HOLD: "an upgrade"})
    world.run_for(40)
    assert not a.open
    a.deafen()
    annotate(world, **{HOLD: None})
    world.wait_for(lambda: a.open, within=15.1)


def test_the_release_of_a_ghost_is_noticed_by_a_deaf_candidate():
    """L6: a holder that is gone and has recorded decades is released by hand."""
    world, _ = stage(lease=held_by("ghost", duration=2_147_483_647))
    a = world.add("a")
    world.run_for(40)
    a.deafen()
    world.store.edit(holderIdentity="", leaseDurationSeconds=1)
    world.wait_for(lambda: a.open, within=15.1)


def test_what_it_costs():
    """Four reads a minute with the defaults, and only then: none beside a leader, none while the holder is silent."""
    world, _ = stage()
    a, b = lead(world, "a"), world.add("b")
    world.run_for(600)
    assert reads(world, "b") == 0
    annotate(world, **{HOLD: "an upgrade"})
    world.run_for(600)
    assert [39 <= reads(world, name) <= 41 for name in "ab"] == [True, True]
    annotate(world, **{HOLD: None})
    world.wait_for(lambda: a.open or b.open, within=1)
    before = reads(world, "a"), reads(world, "b")
    (a if a.open else b).crash()
    world.wait_for(lambda: a.open or b.open, within=16)
    assert (reads(world, "a"), reads(world, "b")) == before


@pytest.mark.parametrize("down", [3.0, 100.0])
def test_a_read_that_is_not_answered_is_asked_for_once(down):
    """No second read beside one that waits for its answer; when the API server is back, things are as before."""
    world, _ = stage()
    a = lead(world, "a")
    annotate(world, **{HOLD: "an upgrade"})
    world.run_for(14)
    before = reads(world, "a")
    a.link.cut()
    world.run_for(down)
    assert reads(world, "a") <= before + 1
    a.heal()
    world.run_for(60)
    annotate(world, **{HOLD: None})
    world.wait_for(lambda: a.open, within=1)
