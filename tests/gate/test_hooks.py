"""Hooks at the turns of a term: before the first handler, behind the last, and at each new leader."""

import asyncio
import threading
import time

import kopf
import pytest

from kopf_leader import NotLeader, current_term, on
from kopf_leader.protocol.state import Reason
from tests.gate.operators import PLURAL, wait_for
from tests.gate.test_stopping import lead_for_ever


def opened(op):
    return op.gate.counters.opened


def errors(caplog):
    """What hooks, the gate and asyncio complain of; kopf's discovery complains when it is stopped that early."""
    records = [record for record in caplog.records if not record.name.startswith("kopf._core.reactor.observation")]
    return [record.getMessage() for record in records if record.levelname in ("ERROR", "CRITICAL")]


@pytest.mark.parametrize("way", ["sync", "async"])
def test_the_gate_opens_behind_the_last_hook(operator, cluster, way):
    """`started_leading` comes before the first handler, `stopped_leading` behind the last; both under the term."""
    cluster.create("a")
    op = operator()
    begun, go_on = threading.Event(), threading.Event()
    seen = {}

    def note(what, kwargs):
        op.count(what)
        seen[what] = {**kwargs, "current": current_term(), "thread": threading.current_thread()}

    if way == "sync":

        @on.started_leading(param="p", **op.on)
        def prepare(**kwargs):
            note("started", kwargs)
            begun.set()
            go_on.wait(60)

        @on.stopped_leading(**op.on)
        def conclude(**kwargs):
            note("stopped", kwargs)
    else:

        @on.started_leading(param="p", **op.on)
        async def prepare(**kwargs):
            note("started", kwargs)
            begun.set()
            await asyncio.to_thread(go_on.wait, 60)

        @on.stopped_leading(**op.on)
        async def conclude(**kwargs):
            note("stopped", kwargs)

    @kopf.daemon(PLURAL, **op.on)
    async def daemon(stopped, **_):
        op.count("handler")
        await stopped.wait()
        await asyncio.sleep(0.1)
        op.count("handler over")

    op.start()
    term = op.election.lead()
    assert begun.wait(60)
    assert opened(op) == 0
    assert op.paused()
    go_on.set()
    wait_for(lambda: op.counted["handler"], "the handler")
    op.election.stop()
    assert op.election.released.wait(60)
    assert [what for what, _ in op.moments] == ["started", "handler", "handler over", "stopped"]
    assert dict(op.moments)["stopped"] < dict(op.election.log)["drained"]
    for what, reason in {"started": None, "stopped": "resigned"}.items():
        kwargs = seen[what]
        assert kwargs["term"] is kwargs["current"] is term
        assert kwargs["reason"] == reason
        assert kwargs["settings"] is op.settings
        assert kwargs["memo"] is op.conductor.parts.memobase
        assert kwargs["logger"].name == f"kopf.activities.{what}_leading"
        assert kwargs["retry"] == 0
        assert (kwargs["thread"] is op._thread) == (way == "async")
    assert seen["started"]["param"] == "p"
    op.stop()
    assert op.failure is None


def test_hooks_of_one_kind_run_in_the_order_of_registration(operator):
    """Two hooks of one kind run in the order of registration, each to its end, retries included."""
    op = operator()
    for kind in (on.started_leading, on.stopped_leading):
        for number in (1, 2, 3):

            @kind(id=f"hook-{number}", **op.on)
            async def hook(retry, activity, number=number, **_):
                op.count((activity.value, number))
                if number == 1 and retry == 0:
                    raise kopf.TemporaryError("once more", delay=0.05)

    op.start()
    op.lead()
    op.stop()
    started, stopped = "started_leading", "stopped_leading"
    order = [what for what, _ in op.moments]
    assert order == [(kind, number) for kind in (started, stopped) for number in (1, 1, 2, 3)]


def test_errors_are_kopfs_errors(operator, caplog):
    """Retries by kopf's rules: TemporaryError after its delay, others after `backoff`; `errors=IGNORED` goes on."""
    op = operator()

    @on.started_leading(backoff=0.05, **op.on)
    def moody(retry, **_):
        op.count("moody")
        if retry == 0:
            raise kopf.TemporaryError("later", delay=0.05)
        if retry == 1:
            raise ValueError("a mistake")

    @on.started_leading(errors=kopf.ErrorsMode.IGNORED, **op.on)
    async def wrong(**_):
        op.count("wrong")
        raise ValueError("never mind")

    op.start()
    op.lead()
    assert op.counted == {"moody": 3, "wrong": 1}
    op.stop()
    assert any("'moody' failed temporarily: later" in line for line in errors(caplog))
    assert any("'wrong' failed with an exception and will ignore it: never mind" in line for line in errors(caplog))


@pytest.mark.parametrize(
    ("options", "error", "attempts"),
    [
        ({}, kopf.PermanentError("never"), 1),
        ({"retries": 3}, kopf.TemporaryError("not yet", delay=0.01), 3),
        ({"retries": 2, "backoff": 0.01}, ValueError("wrong"), 2),
        ({"timeout": 0.5}, kopf.TemporaryError("not yet", delay=10), 1),
        ({"errors": kopf.ErrorsMode.PERMANENT}, ValueError("wrong"), 1),
        ({}, asyncio.CancelledError("of its own"), 1),
    ],
)
def test_a_failure_for_good_gives_the_lease_back(operator, cluster, caplog, options, error, attempts):
    """A hook that fails for good gives the Lease back (L20) instead of leading half-ready; one line says so."""
    cluster.create("a")
    op = operator()

    @on.started_leading(**options, **op.on)
    async def prepare(**_):
        op.count("tried")
        raise error

    @on.started_leading(**op.on)
    async def second(**_):
        op.count("second")

    @on.stopped_leading(**op.on)
    async def conclude(reason, **_):
        op.count(reason)

    @kopf.on.create(PLURAL, **op.on)
    async def created(**_):
        op.count("handled")

    op.start()
    op.election.lead()
    assert op.election.released.wait(60)
    assert op.counted == {"tried": attempts, "resigned": 1}
    assert op.election.said == ["start", "resign", "drained"]
    assert opened(op) == 0
    lines = [line for line in errors(caplog) if "giving the Lease back" in line]
    assert len(lines) == 1
    assert "hook 'prepare' (@kopf_leader.on.started_leading) has failed for good" in lines[0]
    op.election.lead()
    assert op.election.released.wait(60)
    assert op.counted == {"tried": 2 * attempts, "resigned": 2}, "a new term begins at the first attempt"
    op.stop()
    assert op.failure is None


@pytest.mark.parametrize("reason", [Reason.RIVAL, Reason.RESIGNED, Reason.RENEW_DEADLINE, Reason.DELETED])
def test_a_hook_at_work_is_cancelled_when_the_term_ends(operator, cluster, caplog, reason):
    """A term that ends while the hook runs: it is cancelled at once, the gate never opens, and the end is told."""
    cluster.create("a")
    op = operator()
    begun = threading.Event()

    @on.started_leading(**op.on)
    async def prepare(**_):
        begun.set()
        try:
            await asyncio.Event().wait()
        finally:
            op.count("cut off")

    @on.stopped_leading(**op.on)
    async def conclude(reason, **_):
        op.count(reason)

    @kopf.on.create(PLURAL, **op.on)
    async def created(**_):
        op.count("handled")

    op.start()
    op.election.lead()
    assert begun.wait(60)
    op.election.stop(reason, cancel_in=1000, exit_in=2000)
    assert op.election.released.wait(60)
    assert op.counted == {"cut off": 1, reason.name.lower(): 1}
    assert opened(op) == 0
    op.stop()
    assert op.failure is None
    assert errors(caplog) == []
    assert "Will escalate" not in caplog.text


def test_a_claim_that_runs_out_ends_the_hook(operator):
    """L7: the election dies while the hook runs: the claim runs out by the clock, and the hook is cancelled."""
    op = operator(slack=2.0)
    begun = threading.Event()

    @on.started_leading(**op.on)
    async def prepare(**_):
        begun.set()
        await asyncio.Event().wait()

    @on.stopped_leading(**op.on)
    async def conclude(reason, **_):
        op.count(reason)

    op.start()
    op.election.lead(seconds=2)
    assert begun.wait(60)
    op.election.alive = op.election.answers = False
    assert op.election.released.wait(60)
    assert opened(op) == 0
    assert op.counted == {"renew_deadline": 1}
    op.election.alive = op.election.answers = True
    op.stop()


def test_waiting_for_the_next_attempt_ends_with_the_term(operator, cluster):
    """Lost and regained while a hook waits for its next attempt: a new term runs it again, from retry 0."""
    op = operator()
    retries = []
    ready = False

    @on.started_leading(**op.on)
    async def prepare(term, retry, **_):
        retries.append((term.token, retry))
        if not ready:
            raise kopf.TemporaryError("not yet", delay=0.01 if retry < 2 else 1000)

    op.start()
    op.election.lead()
    wait_for(lambda: retries == [(1, 0), (1, 1), (1, 2)], "three attempts")
    op.election.stop(Reason.RIVAL, cancel_in=1000, exit_in=2000)
    assert op.election.released.wait(60)
    ready = True
    op.lead()
    assert retries[3:] == [(2, 0)]
    assert opened(op) == 1
    op.stop()


@pytest.mark.parametrize("way", ["async", "sync", "swallows"])
def test_sigterm_while_hooks_run(operator, way):
    """SIGTERM during `started_leading`: cancelled, concluded, released; a synchronous one is waited for first."""
    op = operator()
    begun, go_on = threading.Event(), threading.Event()

    if way == "sync":

        @on.started_leading(**op.on)
        def prepare(**_):
            begun.set()
            go_on.wait(60)
            op.count("begun")
    else:

        @on.started_leading(**op.on)
        async def prepare(**_):
            begun.set()
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                op.count("begun")
                if way == "swallows":
                    raise ValueError("and kopf would try once more") from None
                raise

    @on.stopped_leading(**op.on)
    def conclude(reason, **_):
        op.count(reason)

    op.start()
    op.election.lead()
    assert begun.wait(60)
    op.ask_to_stop()
    wait_for(lambda: op.election.stops, "the resignation")
    if way == "sync":
        time.sleep(0.2)
        assert not op.election.released.is_set()
    go_on.set()
    op.join()
    assert op.failure is None
    assert [what for what, _ in op.moments] == ["begun", "leaving"]
    assert op.election.said == ["start", "leave", "drained", "join"]
    assert opened(op) == 0


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


def test_a_late_start_hook_writes_nothing(operator, cluster):
    """A hook of `started_leading` that goes on after its term was lost has its requests refused."""
    from kopf._cogs.clients import api  # noqa: PLC0415 (what kopf's own writes go through)

    op = operator()
    begun = threading.Event()

    @on.started_leading(**op.on)
    async def prepare(logger, settings, **_):
        begun.set()
        try:
            await asyncio.Event().wait()
        finally:
            op.count("trying")
            await api.post(cluster.path, payload={}, settings=settings, logger=logger)
            op.count("written")

    op.start()
    op.election.lead()
    assert begun.wait(60)
    op.election.stop(Reason.RIVAL, cancel_in=1000, exit_in=2000)
    assert op.election.released.wait(60)
    op.stop()
    assert op.counted == {"trying": 1}
    assert op.gate.counters.writes_refused == 1


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


def test_a_stopped_hook_has_half_of_what_is_left(operator):
    """A hook that comes behind the point of cancelling (L8: at once) has half of the time to the exit point."""
    op = operator()

    @on.stopped_leading(**op.on)
    async def endless(**_):
        op.count("begun")
        try:
            await asyncio.Event().wait()
        finally:
            op.count("cut off")

    op.start()
    op.lead()
    op.election.stop(Reason.RIVAL, cancel_in=0.0, exit_in=2.0)
    assert op.election.released.wait(60)
    begun, cut_off = (at for _, at in op.moments)
    assert cut_off - begun > 0.5
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
        await stopped.wait()

    cluster.create("a")
    op.start()
    op.lead()
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
    assert [token for what, token in log if what == "stopped"] == sorted(set(started)), "once each, in turn"
    assert len(started) > 25, "most of them had begun"
    wait_for(lambda: len(asyncio.all_tasks(op.loop)) <= before + 1, "the tasks to be gone")  # one may be a worker's
    assert threading.active_count() <= threads + 2  # kopf's executor may have grown
    op.stop()
    assert op.failure is None
    assert not [line for line in errors(caplog) if "failed temporarily" not in line and "request_cancel" not in line]


def test_new_leaders_are_announced_on_every_replica(operator):
    """`new_leader` is called for each change of the holder that is seen, in order, on a standby too; '' is not told."""
    op = operator()
    told = []

    @on.new_leader(**op.on)
    def sync(holder, is_me, **kwargs):
        with pytest.raises(NotLeader):
            current_term()
        told.append(("sync", holder, is_me, kwargs["term"], kwargs["reason"]))

    @on.new_leader(**op.on)
    async def asynchronous(holder, is_me, **kwargs):
        told.append(("async", holder, is_me, kwargs["term"], kwargs["reason"]))

    op.start()
    for holder in ("other", "", "other", "third"):
        op.election.tell_holder(holder)
    term = op.lead()
    op.election.tell_holder("me")
    wait_for(lambda: len(told) == 8, "all to be told")
    op.stop()
    holders = [("other", False, None), ("other", False, None), ("third", False, None), ("me", True, term)]
    assert told == [(way, *holder, None) for holder in holders for way in ("sync", "async")]
    assert op.gate.counters.holder == "me"


def test_new_leader_delays_nobody_and_its_failures_are_logged(operator, caplog):
    """A hook of `new_leader` that hangs delays neither the gate nor the end; one that fails is logged, once."""
    op = operator()

    @on.new_leader(**op.on)
    async def fails(**_):
        op.count("failed")
        raise ValueError("broken")

    @on.new_leader(**op.on)
    async def cancels(**_):
        raise asyncio.CancelledError

    @on.new_leader(**op.on)
    async def hangs(**_):
        op.count("hangs")
        await asyncio.Event().wait()

    op.start()
    op.election.tell_holder("other")
    op.election.tell_holder("another")
    wait_for(lambda: op.counted["hangs"], "the hook to hang")
    op.lead()
    op.election.stop()
    assert op.election.released.wait(60)
    op.lead()
    op.stop()
    assert op.failure is None
    assert op.counted == {"failed": 1, "hangs": 1}
    assert any("'fails' failed with an exception and will stop now: broken" in line for line in errors(caplog))
    assert op.election.said[-3:] == ["leave", "drained", "join"]


def test_without_an_election_hooks_run_as_well(operator, cluster):
    """L19: with `enabled=False` hooks run on the same path: before the gate opens, at the end before kopf cleans up."""
    op = operator()
    lead_for_ever(op)

    @on.new_leader(**op.on)
    def new(is_me, **_):
        op.count(is_me)

    @on.started_leading(**op.on)
    def prepare(term, **_):
        assert opened(op) == 0
        assert term.remaining() == float("inf")
        op.count("started")

    @on.stopped_leading(**op.on)
    async def conclude(reason, **_):
        op.count(reason)

    @kopf.on.create(PLURAL, **op.on)
    async def created(**_):
        op.count("handled")

    @kopf.daemon(PLURAL, **op.on)
    async def daemon(stopped, **_):
        op.count("daemon")
        await stopped.wait()
        await asyncio.sleep(0.2)
        op.count("daemon over")

    @kopf.on.cleanup(**op.on)
    def cleanup(**_):
        op.count("cleanup")

    cluster.create("a")
    op.start()
    wait_for(lambda: op.counted["handled"] and op.counted["daemon"] and op.counted[True], "all to be handled")
    op.stop()
    assert op.failure is None
    assert op.counted[True] == 1
    order = [what for what, _ in op.moments if what is not True]
    assert order[0] == "started"
    assert order[-3:] == ["daemon over", "leaving", "cleanup"]


def test_without_an_election_a_failure_stops_the_operator(operator):
    """L19: with nobody to hand over to, a hook that fails for good stops the operator, as a start-up handler does."""
    op = operator()
    lead_for_ever(op)

    @on.started_leading(**op.on)
    def prepare(**_):
        raise kopf.PermanentError("no database")

    @on.stopped_leading(**op.on)
    def conclude(**_):
        op.count("concluded")

    op.start()
    op.join()
    assert isinstance(op.failure, kopf.PermanentError)
    assert "the hook 'prepare' (@kopf_leader.on.started_leading) has failed for good: no database" in str(op.failure)
    assert op.counted == {"concluded": 1}
    assert opened(op) == 0
