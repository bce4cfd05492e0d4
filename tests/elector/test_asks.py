"""What people and candidates ask by annotations on the Lease: who shall lead, and that nobody shall."""

import asyncio
from typing import Any

import pytest

from kopf_leader.protocol.state import Reason


async def several(world: Any, *names: str, **settings: Any) -> list[Any]:
    """Candidates of which the first leads."""
    world.store.make()
    first = world.join(names[0], **settings)
    await world.until(lambda: first.follower.leading)
    others = [world.join(name, **settings) for name in names[1:]]
    await asyncio.sleep(5)
    return [first, *others]


def annotations(world: Any) -> dict[str, str]:
    return dict(world.store.lease["metadata"].get("annotations", {}))


def test_a_leader_asked_to_step_down_comes_back_last(virtually: Any) -> None:
    """The leader drains and releases; another one takes over, and the request is gone."""

    async def scene(world: Any) -> None:
        one, two = await several(world, "one", "two")
        world.store.annotate(transfer_to="*")
        assert await world.until(lambda: two.follower.leading) < 0.1
        assert [stop.reason for what, stop in one.follower.told if what == "stop"] == [Reason.ASKED]
        assert "kopf-leader/transfer-to" not in annotations(world)
        await asyncio.sleep(100)
        assert two.follower.leading
        assert len(one.follower.terms) == 1

    virtually(scene)


def test_alone_it_comes_back_after_a_lease_duration(virtually: Any) -> None:
    """L20: it stands back until another holder was seen or one lease_duration has passed."""

    async def scene(world: Any) -> None:
        (one,) = await several(world, "one")
        world.store.annotate(transfer_to="*")
        await world.until(lambda: not one.follower.leading)
        assert 14 < await world.until(lambda: one.follower.leading) < 16
        assert "kopf-leader/transfer-to" not in annotations(world)

    virtually(scene)


@pytest.mark.parametrize("target", ["pod-b_2", "pod-b"])
def test_the_one_who_is_called_takes_over(virtually: Any, target: str) -> None:
    """A transfer names an identity or a pod: of several standbys, this one gets the Lease."""

    async def scene(world: Any) -> None:
        one, two, three = await several(world, "pod-a_1", "pod-c_3", "pod-b_2")
        world.store.annotate(transfer_to=target)
        assert await world.until(lambda: three.follower.leading) < 0.1
        await asyncio.sleep(60)
        assert three.follower.leading
        assert len(one.follower.terms) == 1
        assert not two.follower.terms

    virtually(scene)


def test_who_leads_already_need_not_move(virtually: Any) -> None:
    """A transfer to the leader itself changes nothing."""

    async def scene(world: Any) -> None:
        one, _ = await several(world, "pod-a_1", "pod-b_2")
        world.store.annotate(transfer_to="pod-a")
        await asyncio.sleep(60)
        assert one.follower.leading
        assert len(one.follower.terms) == 1

    virtually(scene)


def test_a_call_for_the_leader_is_taken_away(virtually: Any) -> None:
    """It is answered: left to stand, it would keep a candidate of higher priority from asking."""

    async def scene(world: Any) -> None:
        one, _ = await several(world, "pod-a_1", "pod-b_2")
        world.store.annotate(transfer_to="pod-a")
        await world.until(lambda: "kopf-leader/transfer-to" not in annotations(world))
        assert len(one.follower.terms) == 1
        dev = world.join("dev", priority=1)
        assert await world.until(lambda: dev.follower.leading) < 1

    virtually(scene)


def test_a_call_in_vain_costs_a_moment(virtually: Any) -> None:
    """Nobody by that name: another standby takes over after one retry_period, and the call is gone."""

    async def scene(world: Any) -> None:
        _, two = await several(world, "one", "two")
        world.store.annotate(transfer_to="nobody")
        assert 1.9 < await world.until(lambda: two.follower.leading) < 2.5
        assert "kopf-leader/transfer-to" not in annotations(world)

    virtually(scene)


def test_held_nobody_leads(virtually: Any) -> None:
    """While a hold stands on the Lease nobody leads, however long; resumed, somebody leads at once."""

    async def scene(world: Any) -> None:
        one, two = await several(world, "one", "two")
        world.store.annotate(hold="maintenance")
        await world.until(lambda: world.store.lease["spec"]["holderIdentity"] == "")
        three = world.join("three")
        await asyncio.sleep(300)
        everyone = (one, two, three)
        assert not any(candidate.follower.leading for candidate in everyone)
        world.store.annotate(hold=None)
        assert await world.until(lambda: any(candidate.follower.leading for candidate in everyone)) < 0.1

    virtually(scene)


def test_a_held_lease_of_a_dead_leader_is_left_alone(virtually: Any) -> None:
    """A hold counts at expiry, too."""

    async def scene(world: Any) -> None:
        one, two = await several(world, "one", "two")
        one.task.cancel()
        world.store.annotate(hold="do not touch")
        await asyncio.sleep(60)
        assert not two.follower.terms

    virtually(scene)


def test_higher_priority_gets_the_lead_in_order(virtually: Any) -> None:
    """A candidate with a higher priority asks for the lead and gets it by an orderly transfer."""

    async def scene(world: Any) -> None:
        one, two = await several(world, "one", "two")
        dev = world.join("dev", priority=666)
        assert await world.until(lambda: dev.follower.leading) < 0.2
        assert annotations(world) == {"kopf-leader/priority": "666"}
        await asyncio.sleep(60)
        assert dev.follower.leading
        dev.resign()
        assert await world.until(lambda: one.follower.leading or two.follower.leading) < 0.1
        assert annotations(world) == {}

    virtually(scene)


def test_equal_priorities_leave_each_other_alone(virtually: Any) -> None:
    """Equal priorities never freeze anyone, and take nothing from each other."""

    async def scene(world: Any) -> None:
        one, two = await several(world, "one", "two", priority=7)
        await asyncio.sleep(120)
        assert one.follower.leading
        assert len(one.follower.terms) == 1
        assert not two.client.requests["update"]

    virtually(scene)


def test_who_creates_the_lease_says_its_priority_at_once(virtually: Any) -> None:
    """The creator's priority is on the Lease from the beginning: an equal one takes nothing from it."""

    async def scene(world: Any) -> None:
        one = world.join("one", priority=7)
        await asyncio.sleep(5)
        assert annotations(world) == {"kopf-leader/priority": "7"}
        two = world.join("two", priority=7)
        await world.until(lambda: one.follower.leading)
        await asyncio.sleep(60)
        assert one.follower.leading
        assert len(one.follower.terms) == 1
        assert not two.follower.terms

    virtually(scene)


def test_a_dead_leader_of_lower_priority_is_waited_for(virtually: Any) -> None:
    """L6: asking keeps nobody alive and hurries nobody: the record is as old as before."""

    async def scene(world: Any) -> None:
        one, _ = await several(world, "one", "two")
        one.task.cancel()
        died = world.loop.time()
        dev = world.join("dev", priority=1)
        await world.until(lambda: dev.follower.leading or world.candidates[1].follower.leading)
        assert 12.9 < world.loop.time() - died < 20.2
        await world.until(lambda: dev.follower.leading)

    virtually(scene)


def test_nonsense_in_the_annotations_is_ignored(virtually: Any) -> None:
    """What cannot be read is not obeyed."""

    async def scene(world: Any) -> None:
        one, _ = await several(world, "one", "two")
        world.store.annotate(priority="very high", transfer_to="")
        await asyncio.sleep(30)
        assert one.follower.leading
        assert len(one.follower.terms) == 1

    virtually(scene)


def test_who_is_asked_while_it_waits_obeys_afterwards(virtually: Any) -> None:
    """L11: a hold in its wait is not released; a request that comes meanwhile is obeyed when the term has begun."""

    async def scene(world: Any) -> None:
        one = world.join("one")
        await world.until(lambda: world.store.lease is not None)
        two = world.join("two")
        await asyncio.sleep(5)
        world.store.annotate(transfer_to="*")
        await world.until(lambda: two.follower.leading)
        assert [stop.reason for what, stop in one.follower.told if what == "stop"] == [Reason.ASKED]
        assert "kopf-leader/transfer-to" not in annotations(world)

    virtually(scene)


def test_a_transfer_is_not_undone_by_priority_at_once(virtually: Any) -> None:
    """Who has let go on request asks for the lead again after one lease_duration at the earliest."""

    async def scene(world: Any) -> None:
        world.store.make()
        high = world.join("high", priority=2)
        await world.until(lambda: high.follower.leading)
        low = world.join("low")
        await asyncio.sleep(5)
        world.store.annotate(transfer_to="low")
        await world.until(lambda: low.follower.leading)
        assert 14 < await world.until(lambda: high.follower.leading) < 16

    virtually(scene)
