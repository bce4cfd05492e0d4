"""Opening and closing, on kopf and an API server."""

import asyncio

import kopf

from tests.gate.operators import PLURAL, wait_for


def test_a_standby_is_silent_until_it_leads(operator, cluster):
    """The gate starts closed: a standby handles nothing, and does not even list; a leader handles what is there."""
    cluster.create("a")
    op = operator()

    @kopf.on.create(PLURAL, **op.on)
    def created(name, **_):
        op.count(("created", name))

    op.start()
    wait_for(op.paused, "the pause")
    assert op.settings.peering.standalone
    cluster.create("b")
    assert not op.counted
    op.lead()
    wait_for(lambda: op.counted["created", "a"] and op.counted["created", "b"], "both to be handled")
    op.stop()
    assert op.failure is None
    assert op.election.said == ["start", "leave", "drained", "join"]
    assert op.counted == {("created", "a"): 1, ("created", "b"): 1}


def test_it_leads_again_and_resumes_again(operator, cluster):
    """After a term the replica stands by in the same process and can lead again; resume handlers run in each term."""
    cluster.create("a")
    op = operator()

    @kopf.on.resume(PLURAL, **op.on)
    @kopf.on.create(PLURAL, **op.on)
    async def seen(reason, **_):
        op.count("seen")

    @kopf.daemon(PLURAL, **op.on)
    async def daemon(stopped, **_):
        op.count("daemon")
        await stopped.wait()
        op.count("daemon over")

    op.start()
    for term in range(1, 4):
        op.lead()
        wait_for(lambda term=term: op.counted["seen"] == term, "the object to be seen again")
        wait_for(lambda term=term: op.counted["daemon"] == term, "the daemon to start again")
        op.election.stop()
        assert op.election.released.wait(60)
        assert op.counted["daemon over"] == term
    op.stop()
    assert op.failure is None


def test_running_handlers_finish_and_are_not_repeated(operator, cluster):
    """L12: running handlers may finish while the term is valid; what they did is stored, so nobody repeats it."""
    op = operator()
    running, go_on = asyncio.Event(), asyncio.Event()

    @kopf.on.create(PLURAL, **op.on)
    async def created(patch, **_):
        op.count("begun")
        running.set()
        await go_on.wait()
        patch.status["done"] = True
        op.count("done")

    op.start()
    op.lead()
    cluster.create("a")
    wait_for(running.is_set, "the handler to run")
    op.election.stop()
    wait_for(lambda: op.conductor.tenure.shut, "the gate to close")
    assert not op.election.released.is_set()
    op.loop.call_soon_threadsafe(go_on.set)
    assert op.election.released.wait(60)
    assert cluster.get("a")["status"]["done"]
    op.lead()
    cluster.create("b")
    wait_for(lambda: op.counted["done"] == 2, "the other one to be handled")
    op.stop()
    assert op.counted == {"begun": 2, "done": 2}
