"""Hooks of `started_leading`: before the first handler of a term, or instead of it."""

import asyncio
import threading
import time

import kopf
import pytest

from kopf_leader import current_term, on
from kopf_leader.protocol.state import Reason
from tests.gate.hooked import errors, opened
from tests.gate.operators import PLURAL, wait_for


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


class SelfCancelledError(Exception):
    """A hook that cancels its own task."""


@pytest.mark.parametrize(
    ("options", "error", "attempts"),
    [
        ({}, kopf.PermanentError("never"), 1),
        ({"retries": 3}, kopf.TemporaryError("not yet", delay=0.01), 3),
        ({"retries": 2, "backoff": 0.01}, ValueError("wrong"), 2),
        ({"timeout": 0.5}, kopf.TemporaryError("not yet", delay=10), 1),
        ({"errors": kopf.ErrorsMode.PERMANENT}, ValueError("wrong"), 1),
        ({}, asyncio.CancelledError("of its own"), 1),
        ({}, SelfCancelledError(), 1),
    ],
)
def test_a_failure_for_good_gives_the_lease_back(operator, cluster, caplog, options, error, attempts):
    """A hook that fails for good gives the Lease back (L20) instead of leading half-ready; one line says so."""
    cluster.create("a")
    op = operator()

    @on.started_leading(**options, **op.on)
    async def prepare(**_):
        op.count("tried")
        if isinstance(error, SelfCancelledError):
            asyncio.current_task().cancel()
            await asyncio.Event().wait()
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
    if isinstance(error, SelfCancelledError):
        assert "a hook has cancelled the task that it runs in" in lines[0]
    else:
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


def test_what_a_hook_starts_lasts_as_long_as_the_handlers(operator, cluster):
    """A task that `started_leading` leaves behind serves the handlers: it is cancelled behind the last of them."""
    op = operator()
    kept = []

    async def service():
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(asyncio.Event().wait())
        finally:
            op.count("service over")

    @on.started_leading(**op.on)
    async def prepare(**_):
        kept.append(asyncio.create_task(service()))

    @on.stopped_leading(**op.on)
    def conclude(**_):
        op.count("concluded")

    @kopf.daemon(PLURAL, **op.on)
    async def daemon(stopped, **_):
        op.count("daemon")
        await stopped.wait()
        await asyncio.sleep(0.2)
        op.count("daemon over")

    cluster.create("a")
    op.start()
    op.lead()
    wait_for(lambda: op.counted["daemon"], "the daemon")
    assert not kept[0].done()
    op.election.stop(cancel_in=1000, exit_in=2000)
    assert op.election.released.wait(60)
    assert [what for what, _ in op.moments] == ["daemon", "daemon over", "service over", "concluded"]
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
