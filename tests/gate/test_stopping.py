"""Stopping: draining at SIGTERM, the release, on_lost, the log-in."""

import asyncio
import threading
import time

import kopf
import pytest

from kopf_leader.elector.always import AlwaysLeader
from kopf_leader.errors import LeaseAPIError, NotLeader, SettingsError
from kopf_leader.protocol.state import Reason
from tests.gate.operators import PLURAL, Operator, wait_for


def test_stopping_drains_before_the_release_and_cleans_up_after(operator, cluster):
    """At SIGTERM: resign, let handlers and daemons finish, release, clean up; and their patches arrive."""
    op = operator()
    running, go_on = threading.Event(), asyncio.Event()

    @kopf.on.create(PLURAL, **op.on)
    async def created(patch, **_):
        running.set()
        await go_on.wait()
        patch.status["created"] = True
        op.count("created")

    @kopf.daemon(PLURAL, **op.on)
    async def daemon(stopped, patch, **_):
        await stopped.wait()
        await asyncio.sleep(0.3)
        patch.status["daemon"] = True
        op.count("daemon")

    @kopf.on.cleanup(**op.on)
    async def cleanup(**_):
        op.count("cleanup")

    op.start()
    op.lead()
    cluster.create("a")
    assert running.wait(60)
    op.ask_to_stop()
    wait_for(lambda: "leave" in op.election.said, "the resignation")
    assert not op.election.released.is_set()
    op.loop.call_soon_threadsafe(go_on.set)
    op.join()
    assert op.failure is None
    assert op.counted == {"created": 1, "daemon": 1, "cleanup": 1}
    assert cluster.get("a")["status"] == {"created": True, "daemon": True}
    released_at = dict(op.election.log)["drained"]
    moments = dict(op.moments)
    assert moments["created"] <= released_at
    assert moments["daemon"] <= released_at
    assert op.election.said == ["start", "leave", "drained", "join"]


def test_what_ignores_its_stopper_is_cancelled_at_the_exit(operator, cluster):
    """L12: a daemon that does not stop is cancelled when the drain budget is used up, and the release waits for it."""
    op = operator(drain_timeout=1.0, election={"drain": 1.0})
    running = threading.Event()

    @kopf.daemon(PLURAL, **op.on)
    async def deaf(**_):
        running.set()
        try:
            await asyncio.Event().wait()
        finally:
            op.count("cut off")

    op.start()
    op.lead()
    cluster.create("a")
    assert running.wait(60)
    op.stop()
    assert op.failure is None
    assert op.counted["cut off"] == 1
    assert op.gate.counters.handlers_cancelled >= 1
    assert op.election.said[-2:] == ["drained", "join"]


def test_an_operator_that_never_led_leaves_quickly(operator):
    """A standby that is stopped leaves the election and holds up nobody."""
    op = operator().start()
    op.ask_to_stop()  # while kopf explores the cluster
    op.join()
    assert op.election.said == ["start", "leave", "join"]
    assert op.failure is None


# kopf does not close the coroutines of its core tasks when it fails that early
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.filterwarnings("ignore:coroutine .* was never awaited:RuntimeWarning")
def test_a_failing_start_up_ends_without_an_election(cluster):
    """A start-up handler that fails ends the operator before there was an election."""
    op = Operator(cluster)

    @kopf.on.startup(**op.on)
    async def startup(**_):
        raise kopf.PermanentError("no")

    op.start()
    op.join()
    assert "no" in str(op.failure.__cause__)
    assert op._election is None


@pytest.mark.parametrize("reason", [Reason.RENEW_DEADLINE, Reason.RIVAL])
def test_on_lost_exit_stops_the_operator(operator, cluster, reason, caplog):
    """on_lost="exit": a term that is lost stops the operator after draining, with `NotLeader` for the exit status."""
    op = operator(on_lost="exit")
    handled = threading.Event()

    @kopf.on.create(PLURAL, **op.on)
    async def created(**_):
        handled.set()

    cluster.create("a")
    op.start()
    op.lead()
    assert handled.wait(60)
    op.election.stop(reason, cancel_in=0)
    op.join()
    assert isinstance(op.failure, NotLeader)
    assert op.election.said == ["start", "drained", "leave", "join"]
    assert not [record for record in caplog.records if record.levelname in ("ERROR", "CRITICAL")]


def test_on_lost_exit_does_not_mind_a_resignation(operator, cluster):
    """on_lost="exit": a resigned term is not a lost one: the replica stands by."""
    op = operator(on_lost="exit").start()
    op.lead()
    op.election.stop(Reason.RESIGNED)
    assert op.election.released.wait(60)
    op.lead()
    op.stop()
    assert op.failure is None


def test_peering_and_election_are_refused_together(operator):
    """Peering that was asked for is refused, also when a start-up handler asks: the operator does not run."""
    op = operator()

    @kopf.on.startup(**op.on)
    async def startup(settings, **_):
        settings.peering.standalone = False
        settings.peering.mandatory = True

    op.start()
    op.join()
    assert isinstance(op.failure, SettingsError)
    assert op.election.said == []


def test_the_log_in_needs_neither_kopfs_loop_nor_its_threads(operator, cluster):
    """L17: the election logs in by the operator's handlers, whatever blocks kopf; the highest priority counts."""
    op = operator()

    @kopf.on.login(id="better", **op.on)
    async def better(**_):
        return kopf.ConnectionInfo(server="https://better", priority=10)

    op.start()
    blocked, go_on = threading.Event(), threading.Event()
    executor = op.settings.execution.executor
    for _ in range(64):
        executor.submit(go_on.wait, 60)
    op.loop.call_soon_threadsafe(lambda: (blocked.set(), go_on.wait(60)))
    assert blocked.wait(60)
    try:
        info = asyncio.run(asyncio.wait_for(op.election.login(), 30))
    finally:
        go_on.set()
    assert info.server == "https://better"
    op.stop()


def test_a_failing_log_in_is_the_worlds_fault(operator):
    """A log-in that fails reaches the election as `LeaseAPIError`, with the reason."""
    op = operator()
    fails = threading.Event()

    @kopf.on.login(id="moody", **op.on)
    def moody(**_):
        if fails.is_set():
            raise kopf.PermanentError("no luck today")

    op.start()
    op.wait_until_explored()
    fails.set()
    with pytest.raises(LeaseAPIError, match="login handlers failed"):
        asyncio.run(op.election.login())
    op.stop()


def lead_for_ever(op):
    """Let it run as with `enabled=False`."""

    class Always(AlwaysLeader):
        started = threading.Event()

        def start(self):
            super().start()
            self.started.set()

    def make(follower, login):
        op._election = Always(identity="me", follower=follower)
        op._made.set()
        return op._election

    op.make_election = make


def test_without_an_election_peering_is_the_users_affair(operator):
    """L19: with `enabled=False`, peering that was asked for is neither refused nor switched off."""
    op = operator()
    op.settings.peering.mandatory = True
    lead_for_ever(op)
    op.start()
    wait_for(lambda: op.gate.counters.opened, "the gate to open")
    op.stop()
    assert op.failure is None
    assert not op.settings.peering.standalone


def test_without_an_election_kopf_decides_how_to_end(operator, cluster):
    """L19: `enabled=False` takes the same path with a leader for ever; at exit plain kopf decides, nothing is cut."""
    op = operator()

    lead_for_ever(op)
    done = threading.Event()

    @kopf.on.create(PLURAL, **op.on)
    async def created(**_):
        done.set()

    @kopf.daemon(PLURAL, **op.on)
    async def slow(stopped, **_):
        await stopped.wait()
        await asyncio.sleep(3)
        op.count("slow")

    cluster.create("a")
    op.start()
    assert done.wait(60)
    wait_for(lambda: op.conductor.parts.memories and op.conductor.tenure.tasks, "the daemon")
    begin = time.monotonic()
    op.stop()
    queueing = "queueing" if hasattr(op.settings, "queueing") else "batching"
    assert getattr(op.settings, queueing).exit_timeout == getattr(kopf.OperatorSettings(), queueing).exit_timeout
    assert op.failure is None
    assert op.counted["slow"] == 1, f"kopf waits five seconds for a daemon; it took {time.monotonic() - begin:.1f} s"
