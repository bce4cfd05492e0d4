"""The intake alone: streams that end, and those that kopf would not let end. No operator, no server."""

import asyncio
from types import SimpleNamespace

import pytest

from kopf_leader.elector.clock import SystemClock
from kopf_leader.gate import events
from kopf_leader.gate.counters import Counters
from kopf_leader.gate.events import Intake
from kopf_leader.gate.seam import Stream
from kopf_leader.gate.tenure import Tenure, tracking
from kopf_leader.protocol.state import Reason, StopLeading
from kopf_leader.protocol.term import Claim, Term

STREAM = Stream("widgets", None)


def event(name):
    return {"type": "MODIFIED", "object": {"metadata": {"uid": name, "name": name}}}


@pytest.fixture
def tenure():
    clock = SystemClock()
    term = Term(lease="a/b", identity="me", token=7, claim=Claim(clock.time() + 1000), clock=clock.time)
    return Tenure(term, counters=Counters(), changed=lambda: None, ended=lambda: None)


@pytest.fixture
def intake(tenure):
    async def processor(raw_event, **_):
        await asyncio.sleep(0)
        return raw_event["object"]["metadata"]["name"]

    async def keeps_patch(_):
        return False

    parts = SimpleNamespace(processor=processor, keeps_patch=keeps_patch)
    intake = Intake(parts=parts, counters=tenure.counters)
    intake.tenure = tenure
    return intake


async def seen(intake, original):
    return [item["object"]["metadata"]["name"] async for item in intake.watch(STREAM, original)]


async def test_a_stream_ends_with_its_term(intake, tenure):
    """Once the gate has closed, no further event of the stream is passed on."""

    async def original():
        yield event("a")
        tenure.shut = True
        yield event("b")

    assert await seen(intake, original) == ["a"]
    assert await seen(intake, original) == [], "and a closed gate begins no stream"


async def test_a_stream_that_swallows_its_cancellation_is_cancelled(intake):
    """A watch that takes the operator's end for a pause, as kopf's does until it has headers, ends all the same."""
    waiting = asyncio.Event()

    async def original():
        yield event("a")
        try:
            waiting.set()
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            return

    task = asyncio.create_task(seen(intake, original))
    await waiting.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_a_stream_that_sleeps_is_interrupted_and_not_cancelled(intake, tenure):
    """A stream that sleeps through the pause ends at once; its watcher goes on to the next term."""
    waiting = asyncio.Event()

    async def original():
        yield event("a")
        waiting.set()
        await asyncio.sleep(1000)

    task = asyncio.create_task(seen(intake, original))
    await waiting.wait()
    tenure.shut = True
    intake.interrupt()
    assert await task == ["a"]


async def test_an_event_of_another_term_is_dropped(intake, tenure):
    """What was seen under an earlier term is not handled under this one; what this one has seen is."""
    clock = tenure.term.clock
    earlier = Tenure(
        Term(lease="a/b", identity="me", token=6, claim=Claim(clock() + 1000), clock=clock),
        counters=tenure.counters,
        changed=lambda: None,
        ended=lambda: None,
    )
    intake.tenure = earlier

    async def original():
        yield event("old")

    old = [item async for item in intake.watch(STREAM, original)]
    intake.tenure = tenure
    with tracking(asyncio.get_running_loop()):
        assert await intake.process(raw_event=old[0], resource=None) is None
        assert await intake.process(raw_event=event("new"), resource=None) == "new"
    assert tenure.counters.events_dropped == 1


async def test_the_gate_drops_when_the_claim_has_run_out(intake, tenure):
    """L7: with the claim run out nothing is taken in, whatever else was said or not."""
    tenure.term.claim.deadline = -1.0
    assert await intake.process(raw_event=event("a"), resource=None) is None
    assert tenure.counters.events_dropped == 1


def test_the_election_has_the_last_word(tenure):
    """What the gate works out by the clock never replaces what the election says, in whatever order they come."""
    own, told = (StopLeading(7, reason, 1.0, 2.0) for reason in (Reason.RENEW_DEADLINE, Reason.RIVAL))
    assert tenure.stop is None
    tenure.own = own
    assert tenure.stop is own
    tenure.told = told
    tenure.own = own
    assert tenure.stop is told


async def test_nothing_runs_in_a_tenure_that_is_over(tenure):
    """L12: "over" is said once, when nothing runs behind the closed gate; from then on no thread of it comes to run."""
    said = []
    tenure._ended = lambda: said.append("over")
    assert not tenure.finish(), "the gate is open"
    tenure.shut = True
    late = tenure.in_thread(lambda: said.append("ran"))
    go_on = asyncio.Event()
    task = asyncio.create_task(go_on.wait())
    tenure.add(task)
    assert not tenure.finish(), "a task runs"
    go_on.set()
    await task
    assert tenure.finish()
    assert tenure.finish()
    with pytest.raises(asyncio.CancelledError):
        late()
    assert said == ["over"]


async def test_a_stream_that_swallows_its_cancellation_is_cancelled_again(intake, monkeypatch):
    """A cancellation that comes while a stream pauses is taken for the pause's own: kopf would wait for ever."""
    monkeypatch.setattr(events, "PATIENCE", 0.001)
    swallowed = asyncio.Event()

    async def original():
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            swallowed.set()
        await asyncio.Event().wait()
        yield event("never")

    async def read():
        async for _ in intake.stream(STREAM, original):
            pass

    reader = asyncio.create_task(read())
    await asyncio.sleep(0)
    reader.cancel()
    await swallowed.wait()
    pressing = asyncio.create_task(intake.press())
    async with asyncio.timeout(30):
        await asyncio.wait({reader})
    pressing.cancel()
    assert reader.cancelled()
