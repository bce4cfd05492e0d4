"""Faults of a client or a server that must neither stop a candidate for good nor make it hammer the API server."""

import asyncio
from typing import Any

import pytest

from kopf_leader.clients.base import WatchEvent
from kopf_leader.errors import LeaseAPIError


async def leader(world: Any, name: str = "one", **settings: Any) -> Any:
    """One candidate that leads."""
    world.store.make()
    one = world.join(name, **settings)
    await world.until(lambda: one.follower.leading)
    return one


@pytest.mark.parametrize("verb", ["update", "get"])
def test_a_cancellation_from_within_a_client_is_an_outcome_like_any_other(virtually: Any, verb: str) -> None:
    """Each write ends in one outcome, each read in an answer (L4): also if a library below raises CancelledError.

    kopf's own errors behind a closed gate derive from it, and so do those of some HTTP libraries.
    """

    async def scene(world: Any) -> None:
        one = await leader(world)
        struck = 0

        async def fault(asked: str) -> None:
            nonlocal struck
            if verb == "get" and asked == "update" and struck == 0:
                raise LeaseAPIError("broken connection")  # makes it read
            if asked == verb and struck < 2:
                struck += 1
                raise asyncio.CancelledError

        one.client.fault = fault
        await world.until(lambda: struck > 0)
        await asyncio.sleep(60)
        assert one.follower.leading

    virtually(scene)


def test_a_cancellation_from_within_a_watch_does_not_end_the_watching(virtually: Any) -> None:
    """The watch is opened again whatever ended it (L17): a release is acted on when its event arrives."""

    async def scene(world: Any) -> None:
        one = await leader(world)
        two = world.join("three")
        await asyncio.sleep(3)

        async def fault(asked: str) -> None:
            if asked == "event":
                two.client.fault = None
                raise asyncio.CancelledError

        two.client.fault = fault
        await world.until(lambda: two.client.fault is None)
        await asyncio.sleep(10)
        one.resign()
        assert await world.until(lambda: two.follower.leading) < 1

    virtually(scene)


@pytest.mark.parametrize("end", [LeaseAPIError("too old", status=410), None], ids=["410", "in order"])
def test_a_watch_that_says_something_and_ends_at_once_is_not_hammered(virtually: Any, end: Exception | None) -> None:
    """A bookmark, then the end, over and over: about one request in a retry_period, not one in a round trip."""

    async def scene(world: Any) -> None:
        one = await leader(world)

        async def watch(version: str | None) -> Any:
            await one.client._ask("watch", lambda: None)
            yield WatchEvent(kind="BOOKMARK", object=world.store.read())
            if end is not None:
                raise end

        one.client.watch = watch
        world.store.compacted = 1_000_000
        one.driver._watch()
        before = one.client.requests.total()
        await asyncio.sleep(60)
        assert one.client.requests.total() - before < 60 * 3

    virtually(scene)
