"""Hostile Leases against the driver: whatever JSON comes as a Lease, it stays, and leads when the truth is back."""

import json
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as some

from kopf_leader.protocol.record import HOLD, PRIORITY, TRANSFER_TO
from kopf_leader.testing.link import Work
from tests.protocol.test_record import junk, specs
from tests.simulation.play import DEFAULT
from tests.simulation.server import NAME
from tests.simulation.world import World

LEASE = 15.0
untimed = settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.too_slow])
controls = some.text(some.characters(max_codepoint=31), max_size=5) | some.text(max_size=300)
annotations = some.dictionaries(some.sampled_from([TRANSFER_TO, HOLD, PRIORITY, "other"]), controls | junk) | junk
versions = some.integers(0, 10**30).map(str) | junk
metadatas = some.fixed_dictionaries(
    {"name": some.just(NAME)},
    optional={"uid": some.just("u") | junk, "resourceVersion": versions, "annotations": annotations, "labels": junk},
)
hostile = some.fixed_dictionaries(
    {"kind": some.just("Lease"), "metadata": metadatas},
    optional={"spec": specs | some.fixed_dictionaries({"holderIdentity": controls}), "more": junk},
)


@untimed
@given(
    some.lists(hostile | junk, min_size=1, max_size=6), some.sampled_from(["ADDED", "MODIFIED", "DELETED", "BOOKMARK"])
)
def test_no_lease_whatsoever_stops_the_driver(leases: list[Any], kind: str) -> None:
    """L2, L4: nonsense from the server is a sight or an unknown outcome; nobody dies of it, and nobody spins.

    What it says may be believed while it is said (the API server is trusted), so the promises are not asked for then.
    A version that lies far ahead is given up after a lease_duration of older ones (L16).
    """
    world = World(seed=1, lease={}, **DEFAULT)
    life: Any = world.join("a", work=Work(finish=0.1)).life
    life.mourned = True
    try:
        world.run_for(3)
        turn = iter(range(10**9))

        def twist(piece: bytes) -> bytes:
            lease = leases[next(turn) % len(leases)]
            watched = b'"type"' in piece[:8]
            return json.dumps({"type": kind, "object": lease} if watched else lease).encode() + b"\n"

        life.client.line.twist = twist
        world.loop.run_until(world.now + 12)
        world.server.label("news")
        world.loop.run_until(world.now + 12)
        life.client.line.twist = None
        assert not life.task.done()
        world.violations.clear()
        world.server.label("more")
        world.loop.run_until(world.now + 4.5 * LEASE)
        assert not world.loop.failures
        assert not life.task.done()
        if life.driver.state.sight is not None and life.driver.state.sight.asks.hold is not None:
            return  # a hold in a version that lies ahead: nothing is written, so nothing is read until the watch breaks
        assert life.open or world.server.spec.get("holderIdentity") not in ("a_1", "")
    finally:
        world.violations.clear()
        world.abandon()
