"""A Lease whose metadata somebody goes on editing, and whose record stays as it is."""

import math

import pytest

from kopf_leader.protocol.record import HOLD, TRANSFER_TO
from tests.protocol.stage import lead, stage


def annotate(world, **annotations):
    """Some annotations more, or less (None)."""
    metadata = world.store.lease["metadata"]
    have = {**metadata.get("annotations", {}), **annotations}
    world.store.edit(metadata={"annotations": {key: text for key, text in have.items() if text is not None}})


@pytest.mark.parametrize("period", [0.3, 1.0, 4.0])
@pytest.mark.parametrize("called", [None, "nobody_1"])
def test_edits_keep_no_dead_leader_alive(period, called):
    """L6: a version is no renewal; nor is one that comes between the expiry and who lets somebody else go first."""
    world, _ = stage()
    a, b = lead(world, "a"), world.add("b")
    world.run_for(3)
    a.crash()
    annotate(world, **{TRANSFER_TO: called})
    for turn in range(math.ceil(18 / period)):
        world.run_for(period)
        if not b.open:
            annotate(world, note=str(turn))
    assert b.open


def test_a_dead_leader_was_waited_for_while_nobody_was_to_lead():
    """L6: its time runs on under `hold`; when that is lifted, a candidate that has watched takes the Lease at once."""
    world, _ = stage()
    a, b = lead(world, "a"), world.add("b")
    world.run_for(3)
    a.crash()
    annotate(world, **{HOLD: "an upgrade"})
    world.run_for(60)
    assert not b.open
    annotate(world, **{HOLD: None})
    world.wait_for(lambda: b.open, within=1)
