"""The election in its thread: what other threads see of it, whatever happens in there."""

import logging
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest

from kopf_leader.elector.always import AlwaysLeader
from kopf_leader.elector.clock import SystemClock
from kopf_leader.elector.thread import ElectionThread
from kopf_leader.errors import NotLeader
from kopf_leader.protocol.settings import Settings
from tests.elector.memory import MemoryClient, MemoryLease, Recorder


def wait_for(condition: Callable[[], bool], seconds: float = 60.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "the condition did not come about"
        time.sleep(0.005)


class Stage:
    """One thread on a store of its own."""

    def __init__(self, **settings: Any) -> None:
        self.follower = Recorder()
        self.client: MemoryClient | None = None
        self.election = ElectionThread(
            settings=Settings(name="op", namespace="ns", identity="one", **settings),
            client=self._connect,
            follower=self.follower,
        )
        self.follower.drained = self.election.drained

    def _connect(self) -> MemoryClient:
        store = MemoryLease()
        store.make()
        self.client = MemoryClient(store)
        return self.client


def test_it_leads_and_gives_back() -> None:
    """The life of a candidate: it leads without help from its follower's thread, and leaves a released Lease."""
    stage = Stage()
    stage.election.start()
    wait_for(lambda: stage.follower.leading)
    assert stage.election.alive
    term = stage.follower.terms[0]
    term.check()
    assert 8 < term.remaining() <= 10
    stage.election.resign(leave=True)
    assert stage.election.join(60)
    assert not stage.election.alive
    assert stage.client is not None
    assert stage.client.store.lease["spec"]["holderIdentity"] == ""
    assert stage.client.closed
    with pytest.raises(NotLeader, match="is over"):
        term.check()


def test_when_its_thread_dies_the_claim_runs_out(caplog: Any) -> None:
    """L7: leadership is a computed value: if the renewing thread dies, the claim expires by itself."""
    caplog.set_level(logging.INFO, "kopf_leader")
    stage = Stage(lease_duration=3, renew_deadline=2, retry_period=0.5, request_timeout=1)
    stage.election.start()
    wait_for(lambda: stage.follower.leading)
    term = stage.follower.terms[0]

    def die(holder: str) -> None:
        raise RuntimeError("a defect in the follower")

    stage.follower.new_leader = die  # type: ignore[method-assign]
    assert stage.client is not None
    stage.election.call(lambda: stage.client.store.edit(holderIdentity="two"))
    assert stage.election.join(60)
    assert isinstance(stage.election.failure, RuntimeError)
    wait_for(lambda: not term.valid)
    assert any("has died" in record.getMessage() for record in caplog.records)


def test_what_is_said_before_it_starts_is_not_lost() -> None:
    """A candidate that is told to leave before its thread runs, leaves."""
    stage = Stage()
    stage.election.resign(leave=True)
    assert stage.election.join(0), "it never started: nothing to wait for"
    stage.election.start()
    assert stage.election.join(60)
    assert not stage.follower.terms


def test_it_can_be_told_anything_after_its_end() -> None:
    """Late words are ignored: a handler that ends after the election."""
    stage = Stage()
    stage.election.resign(leave=True)
    stage.election.start()
    assert stage.election.join(60)
    stage.election.drained(1)
    stage.election.resign(leave=False)


def test_a_client_that_cannot_be_made_is_a_dead_election(caplog: Any) -> None:
    """The thread takes nothing down with it: its death shows in `alive` and `failure`."""

    def broken() -> MemoryClient:
        raise OSError("no such file")

    settings = Settings(name="op", namespace="ns", identity="one")
    election = ElectionThread(settings=settings, client=broken, follower=Recorder())
    election.start()
    assert election.join(60)
    assert isinstance(election.failure, OSError)


def test_the_clock_has_an_origin_of_its_own() -> None:
    """L5: mixed clocks fail loudly: two clocks of one process differ, and none is the wall clock."""
    one, two = SystemClock(), SystemClock()
    assert abs(one.time() - two.time()) > 0.001
    assert one.time() <= one.time()
    assert abs(one.utc() - time.time() * 1e6) < 60e6


def test_the_election_of_one_takes_the_same_path() -> None:
    """L19: `enabled=False` runs the same path as "always leader"."""
    follower = Recorder()
    election = AlwaysLeader(identity="one", follower=follower)
    election.start()
    assert follower.leading
    assert follower.terms[0].remaining() == float("inf")
    election.resign(leave=True)
    election.resign(leave=True)
    assert [what for what, _ in follower.told] == ["start", "leader", "stop"]
    assert ("leader", election.identity) in follower.told
    assert election.join()
    assert election.alive


def test_many_threads_may_talk_at_once() -> None:
    """Every method may be called from any thread."""
    stage = Stage()
    stage.election.start()
    threads = [threading.Thread(target=stage.election.drained, args=(number,)) for number in range(50)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    wait_for(lambda: stage.follower.leading)
    stage.election.resign(leave=True)
    assert stage.election.join(60)
