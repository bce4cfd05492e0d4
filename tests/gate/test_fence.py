"""The fence: no term, no write; and what the users' code can ask."""

import asyncio
import contextvars
import logging
import threading
import time

import kopf
import pytest

from kopf_leader import NotLeader, current_term
from kopf_leader.elector.clock import SystemClock
from kopf_leader.gate.counters import Counters
from kopf_leader.gate.fence import SOON, TENURE, YOUTH, Fence, TermOver
from kopf_leader.gate.noise import REFUSED, quiet_at_first
from kopf_leader.gate.tenure import Tenure
from kopf_leader.protocol.state import Reason
from kopf_leader.protocol.term import Claim, Term
from tests.gate.operators import PLURAL, wait_for


def make_tenure(seconds=1000.0, age=YOUTH):
    clock = SystemClock()
    claim = Claim(clock.time() + seconds)
    term = Term(lease="a/b", identity="me", token=7, claim=claim, clock=clock.time)
    tenure = Tenure(term, counters=Counters(), changed=lambda: None, ended=lambda: None)
    tenure.began -= age
    return tenure


@pytest.mark.parametrize("backoffs", [(1.0, 2.0), [1.0, 2.0]])
def test_the_fence_gives_the_users_pauses(backoffs):
    """What the user has set stays in force: outside of any term, and inside of a valid one."""
    assert [*Fence(backoffs)] == [1.0, 2.0]
    context = contextvars.copy_context()
    context.run(TENURE.set, make_tenure())
    assert context.run(list, Fence(backoffs)) == [1.0, 2.0]
    assert [*Fence(3.0)] == [3.0]


def test_retries_come_at_once_while_a_term_is_young():
    """The API server's own fence may not know the new holder yet: kopf retries soon, and then as the user wants it."""

    def pauses(age):
        tenure = make_tenure(age=age)
        TENURE.set(tenure)
        given = iter(Fence((7.0,)))
        first = next(given)
        tenure.began -= YOUTH
        return [first, *given]

    assert contextvars.copy_context().run(pauses, 0.0) == [SOON[0], 7.0]
    assert contextvars.copy_context().run(pauses, YOUTH) == [7.0]
    assert sum(SOON) < YOUTH


YOUNG_REFUSAL = "Request attempt #1 failed; will retry: PATCH -> APIForbiddenError('… %s a/b may write')"


@pytest.mark.parametrize(("age", "text", "shown"), [
    (0.0, REFUSED, 0), (YOUTH, REFUSED, 1), (0.0, "a role is missing for", 1),
])  # fmt: skip
def test_a_young_term_s_refusals_make_no_noise(caplog, age, text, shown):
    """One that lasts, and one for another reason, are told as kopf tells them."""

    def told():
        TENURE.set(make_tenure(age=age))
        with quiet_at_first():
            logging.getLogger("kopf.objects").error(YOUNG_REFUSAL, text)

    with caplog.at_level("INFO"):
        contextvars.copy_context().run(told)
    assert len([record for record in caplog.records if record.levelname == "ERROR"]) == shown


@pytest.mark.parametrize("attempts", [0, 1, 2])
def test_the_fence_refuses_each_attempt_of_a_term_that_is_over(attempts):
    """Kopf asks for the next pause before each attempt: the first one is refused, each retry, and the last one."""
    tenure = make_tenure()

    def request():
        TENURE.set(tenure)
        pauses = iter(Fence((0.1, 0.1)))
        for _ in range(attempts):
            next(pauses)
        tenure.term.claim.deadline = -1.0
        with pytest.raises(TermOver):
            next(pauses)

    contextvars.copy_context().run(request)
    assert tenure.counters.writes_refused == 1


def test_there_is_no_term_where_every_replica_runs():
    """`current_term()` raises `NotLeader` outside of a term, and says what to do."""
    with pytest.raises(NotLeader, match="every replica"):
        current_term()


def test_the_term_travels(operator, cluster):
    """Handlers, their threads and tasks, daemons and timers have the term of the job that started them."""
    cluster.create("a")
    op = operator()
    seen: dict[str, list[int]] = {}

    def note(what):
        seen.setdefault(what, []).append(current_term().token)

    @kopf.on.create(PLURAL, **op.on)
    async def asynchronous(**_):
        note("handler")
        await asyncio.to_thread(note, "its thread")
        await asyncio.create_task(as_task())

    async def as_task():
        note("its task")

    @kopf.on.resume(PLURAL, **op.on)
    @kopf.on.create(PLURAL, **op.on)
    def synchronous(**_):
        note("synchronous handler")

    @kopf.timer(PLURAL, interval=0.1, **op.on)
    def timer(**_):
        note("timer")

    @kopf.daemon(PLURAL, **op.on)
    async def daemon(stopped, **_):
        note("daemon")
        await stopped.wait()

    @kopf.on.startup(**op.on)
    async def startup(**_):
        with pytest.raises(NotLeader):
            current_term()

    op.start()
    op.lead()
    wait_for(lambda: len(seen) == 6, "all to be seen")
    op.election.stop()
    assert op.election.released.wait(60)
    assert {token for tokens in seen.values() for token in tokens} == {1}
    seen.clear()
    op.lead()
    wait_for(lambda: {"synchronous handler", "timer", "daemon"} <= seen.keys(), "all to be seen again")
    op.stop()
    assert {token for tokens in seen.values() for token in tokens} == {2}
    assert op.failure is None


def test_kopfs_own_write_is_refused_when_the_term_is_over(operator, cluster, caplog):
    """A handler that ends after its term was lost has its result stored by nobody: the next leader runs it again."""
    op = operator()
    running, go_on = threading.Event(), threading.Event()

    @kopf.on.create(PLURAL, **op.on)
    def created(patch, **_):
        op.count("run")
        patch.status["token"] = current_term().token
        running.set()
        go_on.wait(60)

    op.start()
    op.lead()
    cluster.create("a")
    assert running.wait(60)
    op.election.stop(Reason.RIVAL, cancel_in=10)
    wait_for(op.paused, "the pause")
    go_on.set()
    assert op.election.released.wait(60)
    assert "status" not in cluster.get("a")
    assert op.gate.counters.writes_refused >= 1
    op.lead()
    wait_for(lambda: cluster.get("a").get("status", {}).get("token") == 2, "the next term to handle it")
    op.stop()
    assert op.counted["run"] == 2
    assert not [record for record in caplog.records if record.levelname in ("ERROR", "CRITICAL")]


def test_not_leader_from_users_code_is_no_failure_of_the_handler(operator, cluster, caplog):
    """`Term.check()` in a handler whose term is over ends it without a word, instead of kopf planning a retry."""
    op = operator()
    running = threading.Event()

    @kopf.on.create(PLURAL, **op.on)
    def created(**_):
        running.set()
        while True:
            time.sleep(0.01)
            current_term().check()

    op.start()
    op.lead()
    cluster.create("a")
    assert running.wait(60)
    op.election.stop(Reason.RIVAL, cancel_in=30)
    assert op.election.released.wait(60)
    op.stop()
    assert not [record for record in caplog.records if record.levelname in ("ERROR", "CRITICAL")]
