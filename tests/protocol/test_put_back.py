"""An earlier content of the Lease comes back, from a saved manifest: it is waited out like a stranger's hold."""

from tests.protocol.stage import isolate, lead, stage


def test_a_write_of_mine_that_has_run_out_is_no_hold_when_it_comes_back():
    """L9: after a lease_duration others may have held, so my own write seen anew is somebody else's hold."""
    world, _ = stage()
    a, b = lead(world, "a"), world.add("b")
    world.run_for(1)
    isolate(a)
    saved = dict(world.store.lease["spec"])
    world.wait_for(lambda: b.open, within=16)
    isolate(b)
    world.store.restore(saved)
    a.deafen()  # it learns what stands there by reading, and nothing of what stood there meanwhile
    a.heal()
    world.run_for(9)
    assert b.open
    assert not a.running
    world.wait_for(lambda: a.open, within=8)


def test_a_record_that_has_run_out_is_waited_for_anew_when_it_comes_back():
    """L6: a record seen again with another version after its time has run out may hide somebody's hold."""
    world, _ = stage()
    a, b, c = lead(world, "a"), world.add("b"), world.add("c")
    world.run_for(1)
    isolate(a)
    world.run_for(1)
    isolate(c)
    saved = dict(world.store.lease["spec"])
    world.wait_for(lambda: b.open, within=16)
    isolate(b)
    world.store.restore(saved)
    world.run_for(1)
    c.deafen()
    c.heal()
    world.run_for(8)
    assert b.open
    assert not c.running
    world.wait_for(lambda: c.open, within=16)


def test_who_comes_back_to_its_own_hold_takes_it_up_at_once():
    """L9: where nothing was written meanwhile, an old hold of mine is still proven by its version."""
    world, checker = stage()
    a = lead(world, "a")
    world.run_for(1)
    isolate(a)
    world.run_for(40)
    assert not a.running
    a.heal()
    world.wait_for(lambda: a.open, within=3)
    assert len(checker.terms) == 2


def test_a_creation_that_has_run_out_is_no_hold_when_it_comes_back():
    """L9, L11: nor is my POST, once confirmed, when others may have held since: its wait was for an earlier hold."""
    world, _ = stage(lease=None)
    a = world.add("a")
    world.wait_for(lambda: a.state.hold is not None, within=1)
    saved = dict(world.store.lease["spec"])
    isolate(a)
    b = world.add("b")
    world.wait_for(lambda: b.open, within=16)
    isolate(b)
    world.store.restore(saved)
    a.deafen()
    a.heal()
    world.run_for(9)
    assert b.open
    assert not a.running
    world.wait_for(lambda: a.open, within=8)


def test_a_version_that_is_used_twice_shows_the_past():
    """D19: a read of the version last seen with another content tells of a lost history as an older version does."""
    world, _ = stage()
    a = lead(world, "a")
    world.add("b")
    world.run_for(1)
    store = world.store
    version, other = store.version, {**store.lease["spec"], "holderIdentity": "c_0"}
    store.version -= 1  # restored, and written by somebody who has not seen what was lost
    for each in world.candidates.values():
        each.deafen()
    store.restore(other)
    assert store.version == version
    before = a.state.last_write
    a.break_watch()
    world.run_for(0.5)
    assert a.state.older_since is not None
    assert not a.open
    world.run_for(5)
    assert a.state.last_write == before
