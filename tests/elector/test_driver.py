"""The driver in virtual time: what it does for the machine, and what it makes of a hostile world."""

import asyncio
import logging
from typing import Any

import pytest

from kopf_leader.errors import LeaseAPIError
from kopf_leader.protocol.state import Reason


def test_a_lease_that_was_made_beforehand_is_taken_at_once(virtually: Any) -> None:
    """L11: a Lease that exists and was never held is taken at once."""

    async def scene(world: Any) -> None:
        world.store.make()
        one = world.join("one")
        assert await world.until(lambda: one.follower.leading) < 0.1
        assert world.store.lease["spec"]["holderIdentity"] == "one"
        assert one.follower.terms[0].token == int(world.store.lease["metadata"]["resourceVersion"])

    virtually(scene)


def test_creating_starts_nothing(virtually: Any) -> None:
    """L11: whoever creates the Lease starts its first term one lease_duration after the accepted POST."""

    async def scene(world: Any) -> None:
        one = world.join("one")
        took = await world.until(lambda: one.follower.leading)
        assert 15 <= took < 15.5
        assert one.client.requests["update"] >= 7, "it renews while it waits"

    virtually(scene)


def test_requests_in_steady_state(virtually: Any) -> None:
    """L16: a standby does not poll; the leader writes once a retry_period, and does not read."""

    async def scene(world: Any) -> None:
        world.store.make()
        one = world.join("one")
        await world.until(lambda: one.follower.leading)
        two = world.join("two")
        await asyncio.sleep(10)
        for candidate in (one, two):
            candidate.client.requests.clear()
        await asyncio.sleep(600)
        assert one.client.requests == {"update": 300}
        assert not two.client.requests

    virtually(scene)


def test_a_release_is_taken_when_its_event_arrives(virtually: Any) -> None:
    """L16: a release is acted on when its event arrives; L14: a released Lease is free at once."""

    async def scene(world: Any) -> None:
        world.store.make()
        one = world.join("one")
        await world.until(lambda: one.follower.leading)
        two = world.join("two")
        await asyncio.sleep(30)
        one.resign()
        took = await world.until(lambda: two.follower.leading)
        assert took < 0.1
        assert one.task.done()
        assert world.store.lease["spec"]["leaseTransitions"] == 2
        assert two.follower.terms[0].token > one.follower.terms[0].token

    virtually(scene)


def test_a_silent_holder_is_waited_for(virtually: Any) -> None:
    """L6: a rival waits a whole lease_duration after the last renewal that it saw."""

    async def scene(world: Any) -> None:
        world.store.make()
        one = world.join("one")
        await world.until(lambda: one.follower.leading)
        two = world.join("two")
        await asyncio.sleep(31)
        one.task.cancel()
        last = world.loop.time()
        await world.until(lambda: two.follower.leading)
        assert 13 <= world.loop.time() - last <= 15.1

    virtually(scene)


def test_a_leader_cut_off_closes_before_anyone_else_begins(virtually: Any) -> None:
    """The safety claim, by the timeline of section 3: closed at T0 + 10 s, a successor after T0 + 15 s."""

    async def scene(world: Any) -> None:
        world.store.make()
        one = world.join("one")
        await world.until(lambda: one.follower.leading)
        two = world.join("two")
        await asyncio.sleep(31)
        t0 = one.driver.state.reign.t0
        one.client.fault = lambda verb: asyncio.sleep(3600)
        one.follower.busy = True
        await world.until(lambda: not one.follower.leading)
        stop = one.follower.told[-1][1]
        assert stop.reason is Reason.RENEW_DEADLINE
        assert (stop.cancel_at, stop.exit_at) == (pytest.approx(t0 + 12.5), pytest.approx(t0 + 14))
        assert not two.follower.leading
        await world.until(lambda: one.follower.told[-1][0] == "exit")
        assert not two.follower.leading
        await world.until(lambda: two.follower.leading)

    virtually(scene)


def test_an_outage_shorter_than_the_deadline_costs_nothing(virtually: Any) -> None:
    """L4, L17: refused connections are tried again; leadership is kept."""

    async def scene(world: Any) -> None:
        world.store.make()
        one = world.join("one")
        await world.until(lambda: one.follower.leading)

        async def refuse(verb: str) -> None:
            raise LeaseAPIError("connection refused")

        one.client.fault = refuse
        await asyncio.sleep(6)
        one.client.fault = None
        await asyncio.sleep(60)
        assert one.follower.leading
        assert [what for what, _ in one.follower.told if what != "leader"] == ["start"]

    virtually(scene)


def test_a_write_whose_reply_is_lost_is_found_by_a_sight(virtually: Any) -> None:
    """L4: any sight of one's own write confirms it, from its own sent_at: lost replies do not end a term."""

    async def scene(world: Any) -> None:
        world.store.make()
        one = world.join("one")
        await world.until(lambda: one.follower.leading)

        async def lose(verb: str, result: Any) -> Any:
            if verb == "update":
                await asyncio.sleep(3600)
            return result

        one.client.answer = lose
        await asyncio.sleep(300)
        assert one.follower.leading
        assert len(one.follower.terms) == 1

    virtually(scene)


def test_a_deletion_ends_the_term_and_the_heir_leads_again_soon(virtually: Any) -> None:
    """L8: a deletion ends the term at once; L11: its valid holder starts again as soon as it is drained."""

    async def scene(world: Any) -> None:
        world.store.make()
        one = world.join("one")
        await world.until(lambda: one.follower.leading)
        two = world.join("two")
        await asyncio.sleep(20.5)
        world.store.delete()
        took = await world.until(lambda: len(one.follower.terms) + len(two.follower.terms) == 2, within=40)
        told = [what for what, _ in one.follower.told if what in ("start", "stop")]
        assert told[:2] == ["start", "stop"]
        assert took < 0.1 if len(one.follower.terms) == 2 else took > 14

    virtually(scene)


def test_a_ghost_is_waited_for_with_a_remedy(virtually: Any, caplog: Any) -> None:
    """L6: a ghost with a huge duration is waited for, with one warning a minute that names the remedy."""
    caplog.set_level(logging.INFO, "kopf_leader")

    async def scene(world: Any) -> None:
        world.store.make({"holderIdentity": "ghost", "leaseDurationSeconds": 2_147_483_647})
        one = world.join("one")
        await asyncio.sleep(600)
        assert not one.follower.terms
        warnings = [r.getMessage() for r in caplog.records if r.levelno == logging.WARNING]
        assert 8 <= len(warnings) <= 11
        assert all("kubectl patch lease -n ns op" in line for line in warnings)
        world.store.edit(holderIdentity="", leaseDurationSeconds=1)
        assert await world.until(lambda: one.follower.leading) < 0.1, "the remedy works"

    virtually(scene)


def test_leaving_waits_for_what_is_in_flight(virtually: Any) -> None:
    """L15: an acquire that is in flight when the candidate leaves is resolved: nothing of it stays in the Lease."""

    async def scene(world: Any) -> None:
        world.store.make()
        one = world.join("one")

        async def slow(verb: str) -> None:
            if verb == "update":
                await asyncio.sleep(2)

        one.client.fault = slow
        await world.until(lambda: one.client.requests["update"] == 1)
        one.resign()
        await world.until(one.task.done)
        assert world.store.lease["spec"]["holderIdentity"] == ""
        assert not one.follower.terms

    virtually(scene)


@pytest.mark.parametrize("steps", range(1, 60))
def test_cancelled_at_any_await_it_leaves_nothing_behind(virtually: Any, steps: int) -> None:
    """L15: cancellation at any await leaves no task and no connection behind (`virtually` looks for them)."""

    async def scene(world: Any) -> None:
        world.store.make()
        one = world.join("one")
        for _ in range(steps):
            await asyncio.sleep(0)
            if steps % 2:
                await asyncio.sleep(0.0007)
        one.task.cancel()
        one.task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await one.task

    virtually(scene)


def test_a_mistake_in_a_client_is_an_unknown_outcome(virtually: Any) -> None:
    """The driver never takes the process down by an exception, whoever's it is."""

    async def scene(world: Any) -> None:
        world.store.make()
        one = world.join("one")
        await world.until(lambda: one.follower.leading)
        calls = 0

        async def broken(verb: str) -> None:
            nonlocal calls
            calls += 1
            if calls % 3 == 0:
                raise ZeroDivisionError

        one.client.fault = broken
        await asyncio.sleep(60)
        assert one.follower.leading

    virtually(scene)


def test_labels_are_put_on_and_strangers_left_alone(virtually: Any) -> None:
    """L1: labels, annotations and unknown fields survive."""

    async def scene(world: Any) -> None:
        world.store.make({"strategy": "x"}, labels={"theirs": "1", "both": "old"}, annotations={"note": "keep"})
        one = world.join("one", labels={"mine": "2", "both": "new"})
        await world.until(lambda: one.follower.leading)
        await asyncio.sleep(10)
        metadata = world.store.lease["metadata"]
        assert metadata["labels"] == {"theirs": "1", "mine": "2", "both": "new"}
        assert metadata["annotations"] == {"note": "keep"}
        assert world.store.lease["spec"]["strategy"] == "x"

    virtually(scene)


def test_a_gate_that_closed_by_itself_gets_a_new_term(virtually: Any) -> None:
    """L7, L9: who has drained without being told is not left with a term that nobody works in."""

    async def scene(world: Any) -> None:
        world.store.make()
        one = world.join("one")
        await world.until(lambda: one.follower.leading)
        term = one.follower.terms[0]
        one.follower.drained(term.token)
        await world.until(lambda: len(one.follower.terms) == 2, within=5)
        assert not term.valid
        assert one.follower.terms[1].token > term.token

    virtually(scene)


def test_a_claim_that_somebody_has_found_over_ends_the_term(virtually: Any) -> None:
    """L9: the machine hears of it while it still counts on a late reply, and begins a new term; nobody stands idle."""

    async def scene(world: Any) -> None:
        world.store.make()
        one = world.join("one")
        await world.until(lambda: one.follower.leading)
        term = one.follower.terms[0]
        deadline, term.claim.deadline = term.claim.deadline, 0.0
        assert not term.valid
        term.claim.deadline = deadline
        await world.until(lambda: len(one.follower.terms) == 2, within=5)
        assert not term.valid
        assert one.follower.terms[1].token > term.token
        assert [stop.reason for what, stop in one.follower.told if what == "stop"] == [Reason.RENEW_DEADLINE]
        await asyncio.sleep(60)
        assert one.follower.leading
        assert len(one.follower.terms) == 2

    virtually(scene)


def test_a_standby_with_a_deaf_watch_notices_the_end_of_a_hold(virtually: Any) -> None:
    """L16: while nobody writes, it reads once in a lease_duration: four times a minute, and never beside a leader."""

    async def scene(world: Any) -> None:
        world.store.make()
        one, two = world.join("one"), world.join("two")
        await asyncio.sleep(5)
        before = [each.client.requests["get"] for each in (one, two)]
        await asyncio.sleep(600)
        assert [each.client.requests["get"] for each in (one, two)] == before
        world.store.annotate(hold="an upgrade")
        await asyncio.sleep(600)
        spent = [each.client.requests["get"] - had for each, had in zip((one, two), before, strict=True)]
        assert all(39 <= each <= 41 for each in spent)
        for each in (one, two):
            each.client.fault = deaf
        world.store.annotate(hold=None)
        await world.until(lambda: one.follower.leading or two.follower.leading, within=15.5)

    async def deaf(verb: str) -> None:
        if verb == "event":
            await asyncio.Event().wait()

    virtually(scene)
