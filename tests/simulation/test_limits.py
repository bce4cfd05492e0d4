"""Where the claim ends: a database restored from a backup takes back what the API server had accepted.

Found by the simulation (seeds 118 and 337 of its first day, with an API server that came back sooner and used
versions twice), and cut down to what matters. The random schedules keep to what etcd's manual asks for: all API servers
stopped meanwhile, here for one lease_duration at least, and revisions that are not used twice (`--bump-revision`).
"""

from tests.simulation.play import DEFAULT
from tests.simulation.world import World


def leader_and_standby(*, spaced: bool):
    world = World(seed=1, lease={}, **DEFAULT)
    world.server.spaced = spaced
    one = world.join("a")
    assert world.wait_for(lambda: world.leaders, within=5)
    two = world.join("b")
    world.run_for(20.5)
    return world, one, two


def test_a_renewal_that_the_database_has_lost():
    """The standby has not seen the lost renewals and counts from an older one; the leader counts from the last."""
    world, _, two = leader_and_standby(spaced=True)
    backup = world.server.backup()
    two.life.client.deafen()
    try:
        world.run_for(9)
        world.server.restore(backup)
        world.checker.restored()
        world.run_for(30)
    finally:
        world.abandon()


def test_a_version_that_is_used_twice():
    """A PUT on a version of the lost history meets the same number in the new one, and overwrites a leader's Lease."""
    world, one, two = leader_and_standby(spaced=False)
    two.crash()
    try:
        backup = world.server.backup()
        world.run_for(2)  # one more write: its version comes again
        one.line.cut()
        world.run_for(16)
        world.server.restore(backup)
        world.checker.restored()
        two.start()
        world.run_for(3)
        one.heal()
        world.run_for(30)
    finally:
        world.abandon()


def test_restored_as_the_manual_asks_nothing_overlaps():
    """With the API server away for a lease_duration, and no version used twice, the claim holds."""
    world, _, _ = leader_and_standby(spaced=True)
    backup = world.server.backup()
    world.run_for(9)
    world.server.up = False
    world.run_for(16)
    world.server.restore(backup)
    world.checker.restored()
    world.server.up = True
    assert world.wait_for(lambda: world.leaders, within=2.5 * 15 + 5)
    world.run_for(30)
    world.end()
