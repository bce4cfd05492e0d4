"""Hooks of `stopped_leading`: behind the last handler of a term, before the release."""

import asyncio
import threading
import time

import kopf
import pytest

from kopf_leader import NotLeader, current_term, on
from kopf_leader.protocol.state import Reason
from tests.gate.hooked import errors
from tests.gate.operators import PLURAL, wait_for
from tests.gate.test_fence import make_tenure


@pytest.mark.parametrize("reason", [*Reason])
@pytest.mark.parametrize("way", ["sync", "async"])
def test_the_end_is_told_however_it_comes(operator, reason, way):
    """`stopped_leading` is called exactly once for every end, and the Lease is not released while it runs."""
    op = operator()
    begun, go_on = threading.Event(), threading.Event()
    tokens = []

    if way == "sync":

        @on.stopped_leading(**op.on)
        def conclude(reason, term, **_):
            op.count(reason)
            tokens.append((term.token, current_term().token))
            begun.set()
            go_on.wait(60)
    else:

        @on.stopped_leading(**op.on)
        async def conclude(reason, term, **_):
            op.count(reason)
            tokens.append((term.token, current_term().token))
            begun.set()
            while not go_on.is_set():  # noqa: ASYNC110 (set from another thread)
                await asyncio.sleep(0.01)

    op.start()
    op.lead()
    op.election.stop(reason, cancel_in=1000, exit_in=2000)
    assert begun.wait(60)
    time.sleep(0.1)
    op.conductor.tenure.finish()
    assert not op.election.released.is_set()
    go_on.set()
    assert op.election.released.wait(60)
    op.stop()
    assert op.counted == {reason.name.lower(): 1}
    assert tokens == [(1, 1)]
    assert op.failure is None


def test_a_stopped_hook_without_a_valid_claim_writes_nothing(operator, cluster, caplog):
    """A hook calling kopf's API after the claim is over is refused; before, its requests go out. The next one runs."""
    from kopf._cogs.clients import api  # noqa: PLC0415 (what kopf's own writes go through)

    op = operator()

    @on.stopped_leading(**op.on)
    async def write(logger, settings, reason, **_):
        op.count(f"trying {reason}")
        payload = {"spec": {"reason": reason}}
        path = f"{cluster.path}/a"
        headers = {"Content-Type": "application/merge-patch+json"}
        await api.patch(path, payload=payload, headers=headers, settings=settings, logger=logger)
        op.count(f"written {reason}")

    @on.stopped_leading(**op.on)
    async def check(term, reason, **_):
        op.count(f"checking {reason}")
        term.check()
        op.count(f"valid {reason}")

    @on.stopped_leading(**op.on)
    def last(reason, **_):
        op.count(f"last {reason}")

    cluster.create("a")
    op.start()
    for reason in (Reason.RESIGNED, Reason.RIVAL):
        op.lead()
        op.election.stop(reason, cancel_in=1000, exit_in=2000)
        assert op.election.released.wait(60)
    op.stop()
    assert [what for what, _ in op.moments] == [
        *("trying resigned", "written resigned", "checking resigned", "valid resigned", "last resigned"),
        *("trying rival", "checking rival", "last rival"),
    ]
    assert cluster.get("a")["spec"]["reason"] == "resigned"
    assert op.gate.counters.writes_refused == 1
    assert errors(caplog) == []


@pytest.mark.parametrize(
    "error", [ValueError("broken"), kopf.PermanentError("broken"), asyncio.CancelledError(), NotLeader("broken")]
)
def test_a_failing_stopped_hook_keeps_nothing(operator, caplog, error):
    """A hook of `stopped_leading` that raises is logged, not tried again, and keeps neither Lease nor next hook."""
    op = operator()

    @on.stopped_leading(**op.on)
    def broken(**_):
        op.count("broken")
        raise error

    @on.stopped_leading(**op.on)
    async def second(**_):
        op.count("second")

    op.start()
    op.lead()
    op.election.stop(cancel_in=1000, exit_in=2000)
    assert op.election.released.wait(60)
    assert op.counted == {"broken": 1, "second": 1}
    if not isinstance(error, asyncio.CancelledError):
        assert any("'broken' failed" in line and "broken" in line for line in errors(caplog))
    op.stop()
    assert op.failure is None


def test_a_stopped_hook_is_cancelled_when_it_is_time(operator, caplog):
    """L12: a hook of `stopped_leading` is cancelled at the point of cancelling, and what did not run is named."""
    op = operator()
    begun = threading.Event()

    @on.stopped_leading(**op.on)
    async def endless(**_):
        begun.set()
        await asyncio.Event().wait()

    @on.stopped_leading(**op.on)
    async def never(**_):
        op.count("never")

    op.start()
    op.lead()
    op.election.stop(cancel_in=1000, exit_in=2000)
    assert begun.wait(60)
    op.election.stop(cancel_in=0.0, exit_in=2.0)  # it comes again, with nearer points
    assert op.election.released.wait(60)
    op.stop()
    assert op.counted == {}
    assert "cut off, or not called: 'endless', 'never'" in caplog.text


@pytest.mark.parametrize("way", ["swallows", "ends"])
def test_a_cancelled_stopped_hook_ends_them_all(operator, caplog, way):
    """A hook of `stopped_leading` that swallows its cancellation gives no other one the time that is up."""
    op = operator()
    begun = threading.Event()

    @on.stopped_leading(**op.on)
    async def endless(**_):
        begun.set()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            if way == "swallows":
                raise kopf.TemporaryError("and once more", delay=0) from None

    @on.stopped_leading(**op.on)
    async def never(**_):
        op.count("never")

    op.start()
    op.lead()
    op.election.stop(cancel_in=1000, exit_in=2000)
    assert begun.wait(60)
    op.election.stop(cancel_in=0.0, exit_in=5.0)
    assert op.election.released.wait(60)
    op.stop()
    assert op.counted == {}
    assert "'never'" in caplog.text


@pytest.mark.parametrize("handler", ["none", "cut off"])
def test_a_stopped_hook_has_half_of_what_is_left(operator, cluster, handler):
    """A hook that comes behind the point of cancelling (L8: at once) has half of the time to the exit point."""
    op = operator()

    @kopf.daemon(PLURAL, **op.on)
    async def deaf(**_):
        op.count("daemon")
        await asyncio.Event().wait()

    @on.stopped_leading(**op.on)
    async def endless(**_):
        try:
            await asyncio.sleep(0.1)
            op.count("not at once")
            await asyncio.Event().wait()
        finally:
            op.count("cut off")

    op.start()
    op.lead()
    if handler != "none":
        cluster.create("a")
        wait_for(lambda: op.counted["daemon"], "the daemon")
    op.election.stop(Reason.RIVAL, cancel_in=0.0, exit_in=6.0)
    assert op.election.released.wait(60)
    assert [what for what, _ in op.moments if what != "daemon"] == ["not at once", "cut off"]
    op.stop()


def test_what_a_stopped_hook_starts_is_waited_for(operator):
    """Tasks that a hook of `stopped_leading` leaves behind are the term's: the Lease is released after them."""
    op = operator()
    go_on = threading.Event()
    kept = []

    async def forgotten():
        op.count("begun")
        while not go_on.is_set():  # noqa: ASYNC110 (set from another thread)
            await asyncio.sleep(0.01)
        op.count("ended")

    @on.stopped_leading(**op.on)
    async def conclude(**_):
        kept.append(asyncio.create_task(forgotten()))

    op.start()
    op.lead()
    op.election.stop(cancel_in=1000, exit_in=2000)
    wait_for(lambda: op.counted["begun"], "the task")
    time.sleep(0.1)
    assert not op.election.released.is_set()
    go_on.set()
    assert op.election.released.wait(60)
    assert op.counted["ended"] == 1
    op.stop()


def test_no_hook_for_a_term_that_never_began(operator):
    """A term that is over before the loop has heard of it begins nothing, so no end of it is told."""
    op = operator()
    for kind in (on.started_leading, on.stopped_leading):

        @kind(**op.on)
        def hook(activity, **_):
            op.count(activity.value)

    op.start()
    blocked, go_on = threading.Event(), threading.Event()
    op.loop.call_soon_threadsafe(lambda: (blocked.set(), go_on.wait(60)))
    assert blocked.wait(60)
    op.election.lead()
    op.election.stop(Reason.RIVAL, cancel_in=0, exit_in=1000)
    assert op.election.released.wait(60), "nothing has begun, so nothing waits for the loop"
    go_on.set()
    op.stop()
    assert op.counted == {}


def test_a_term_that_has_ended_owes_nothing():
    """What has ended before it began begins no more, so that it can be over."""
    tenure = make_tenure()
    tenure.shut = True
    assert not tenure.begin(owes=True)
    assert tenure.finish()
    other = make_tenure()
    assert other.begin(owes=True)
    other.shut = True
    assert not other.finish()


def test_an_idle_leader_waits_for_its_hooks(operator):
    """The election's thread does not declare an idle term over while hooks of `stopped_leading` are owed."""
    op = operator()

    @on.stopped_leading(**op.on)
    def conclude(**_):
        op.count("concluded")

    op.start()
    op.lead()
    blocked, go_on = threading.Event(), threading.Event()
    op.loop.call_soon_threadsafe(lambda: (blocked.set(), go_on.wait(60)))
    assert blocked.wait(60)
    op.election.stop(cancel_in=1000, exit_in=2000)
    wait_for(lambda: op.conductor.tenure.shut, "the gate to close")
    assert not op.conductor.tenure.finish()
    assert not op.election.released.is_set()
    go_on.set()
    assert op.election.released.wait(60)
    assert op.counted == {"concluded": 1}
    op.stop()


@pytest.mark.timeout(600)
def test_fifty_flaps_leave_no_task(operator, cluster, caplog):
    """Fifty terms of all lengths: each begun one is concluded once, in turn, and no task or thread is left behind."""
    op = operator()
    log = []

    @on.started_leading(**op.on)
    async def prepare(term, retry, **_):
        if retry == 0:
            log.append(("started", term.token))
        await asyncio.sleep(0.01 * (term.token % 3))
        if term.token % 5 == 0 and retry == 0:
            raise kopf.TemporaryError("once more", delay=0.02)

    @on.started_leading(**op.on)
    def prepare_in_thread(**_):
        time.sleep(0.002)

    @on.stopped_leading(**op.on)
    async def conclude(term, **_):
        log.append(("stopped", term.token))
        await asyncio.sleep(0.005)

    @on.stopped_leading(**op.on)
    def conclude_in_thread(**_):
        time.sleep(0.002)

    @kopf.daemon(PLURAL, **op.on)
    async def daemon(stopped, **_):
        op.count("daemon")
        await stopped.wait()

    cluster.create("a")
    op.start()
    op.lead()
    wait_for(lambda: "daemon" in op.counted, "kopf to be up with all its tasks")
    op.election.stop()
    assert op.election.released.wait(60)
    before, threads = len(asyncio.all_tasks(op.loop)), threading.active_count()
    for number in range(50):
        op.election.lead()
        time.sleep(0.004 * (number % 15))
        reason = (Reason.RESIGNED, Reason.RIVAL, Reason.RENEW_DEADLINE)[number % 3]
        op.election.stop(reason, cancel_in=0.0 if reason is Reason.RIVAL else 30.0, exit_in=60.0)
        assert op.election.released.wait(60)
    started = [token for what, token in log if what == "started"]
    stopped = [token for what, token in log if what == "stopped"]
    assert stopped == sorted(set(stopped)), "once each, in turn"
    assert set(started) <= set(stopped), "for each term that had begun"
    assert len(started) > 25, "most of them had begun"
    wait_for(lambda: len(asyncio.all_tasks(op.loop)) <= before + 1, "the tasks to be gone")  # one may be a worker's
    assert threading.active_count() <= threads + 2  # kopf's executor may have grown
    op.stop()
    assert op.failure is None
    assert not [line for line in errors(caplog) if "failed temporarily" not in line and "request_cancel" not in line]
