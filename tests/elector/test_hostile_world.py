"""The driver and an API server that refuses, stalls, garbles and falls silent."""

import asyncio
import logging
from typing import Any

import pytest

from kopf_leader.errors import LeaseAPIError
from kopf_leader.protocol.state import Reason


def test_a_401_is_answered_by_a_log_in(virtually: Any) -> None:
    """L17: 401: log in again; leadership is kept."""

    async def scene(world: Any) -> None:
        world.store.make()
        one = world.join("one")
        await world.until(lambda: one.follower.leading)
        expired = True

        async def check(verb: str) -> None:
            nonlocal expired
            if verb == "login":
                expired = False
            elif expired:
                raise LeaseAPIError("expired", status=401)

        one.client.fault = check
        await asyncio.sleep(60)
        assert one.client.requests["login"] == 1
        assert one.follower.leading

    virtually(scene)


@pytest.mark.parametrize("status", [401, 403])
def test_a_lasting_refusal_ends_the_term_and_nothing_else(virtually: Any, caplog: Any, status: int) -> None:
    """L8: a lasting 401 or 403 ends the term at once; L17: one message a minute; it goes on once the rule is there."""
    caplog.set_level(logging.INFO, "kopf_leader")

    async def scene(world: Any) -> None:
        world.store.make()
        one = world.join("one")
        await world.until(lambda: one.follower.leading)

        async def forbid(verb: str) -> None:
            if verb == "update":
                raise LeaseAPIError("not yours: add the rule", status=status)

        one.client.fault = forbid
        took = await world.until(lambda: not one.follower.leading)
        assert took < 6, "not at the renew deadline"
        assert one.follower.told[-1][1].reason is Reason.DENIED
        await asyncio.sleep(120)
        lines = [record for record in caplog.records if "add the rule" in record.getMessage()]
        assert 1 <= len([line for line in lines if line.levelno == logging.ERROR]) <= 3
        one.client.fault = None
        await world.until(lambda: one.follower.leading, within=20)
        assert len({term.token for term in one.follower.terms}) == 2

    virtually(scene)


def test_retry_after_is_honoured(virtually: Any) -> None:
    """L17: 429: honour Retry-After."""

    async def scene(world: Any) -> None:
        world.store.make()
        one = world.join("one")
        await world.until(lambda: one.follower.leading)

        async def busy(verb: str) -> None:
            raise LeaseAPIError("too many requests", status=429, retry_after=4.0)

        one.client.fault = busy
        one.client.requests.clear()
        await asyncio.sleep(8)
        assert one.client.requests["update"] <= 2
        one.client.fault = None
        await asyncio.sleep(30)
        assert one.follower.leading

    virtually(scene)


@pytest.mark.parametrize(
    "nonsense", [None, [], "x", {"metadata": {}}, {"metadata": {"uid": "u", "resourceVersion": "z"}}]
)
def test_nonsense_is_an_unknown_outcome(virtually: Any, nonsense: Any) -> None:
    """L4: an answer that is no Lease leaves the outcome unknown; the next sight tells, and the term goes on."""

    async def scene(world: Any) -> None:
        world.store.make()
        one = world.join("one")
        await world.until(lambda: one.follower.leading)
        answers = 0

        async def garble(verb: str, result: Any) -> Any:
            nonlocal answers
            answers += 1
            return nonsense if answers % 2 else result

        one.client.answer = garble
        await asyncio.sleep(120)
        assert one.follower.leading

    virtually(scene)


def test_a_broken_watch_is_polled_over(virtually: Any) -> None:
    """L17: when the watch breaks it polls every retry_period with jitter until the watch is back."""

    async def scene(world: Any) -> None:
        world.store.make()
        one = world.join("one")
        await world.until(lambda: one.follower.leading)
        two = world.join("two")

        async def no_watch(verb: str) -> None:
            if verb in ("watch", "event"):
                raise LeaseAPIError("broken")

        two.client.fault = no_watch
        await asyncio.sleep(10)
        two.client.requests.clear()
        await asyncio.sleep(100)
        assert 35 <= two.client.requests["get"] <= 65
        one.resign()
        assert await world.until(lambda: two.follower.leading) < 3
        two.client.fault = None
        await world.until(lambda: two.client.watching == 1, within=5)
        two.client.requests.clear()
        await asyncio.sleep(60)
        assert not two.client.requests["get"]

    virtually(scene)


def test_a_deaf_watch_is_found_at_expiry(virtually: Any) -> None:
    """L16: at expiry the standby writes on the last-seen version; a 409 then proves the watch deaf."""

    async def scene(world: Any) -> None:
        world.store.make()
        one = world.join("one")
        await world.until(lambda: one.follower.leading)
        two = world.join("two")
        await asyncio.sleep(10)

        async def deaf(verb: str) -> None:
            if verb == "event":
                await asyncio.sleep(3600)

        two.client.fault = deaf
        watches = two.client.requests["watch"]
        await world.until(lambda: two.client.requests["watch"] > watches, within=20)
        two.client.fault = None
        assert two.client.requests["update"] == 1
        await asyncio.sleep(20)
        one.resign()
        assert await world.until(lambda: two.follower.leading) < 0.1

    virtually(scene)


def test_too_old_a_version_is_read_again(virtually: Any) -> None:
    """L17: 410: read again."""

    async def scene(world: Any) -> None:
        world.store.make()
        one = world.join("one")
        await world.until(lambda: one.follower.leading)
        await asyncio.sleep(10)
        fail = True

        async def gone(verb: str) -> None:
            nonlocal fail
            if verb == "event" and fail:
                fail = False
                raise LeaseAPIError("too old resource version", status=410)

        one.client.fault = gone
        reads = one.client.requests["get"]
        await world.until(lambda: not fail)
        await asyncio.sleep(1)
        assert one.client.requests["get"] == reads + 1
        assert one.client.watching == 1

    virtually(scene)
