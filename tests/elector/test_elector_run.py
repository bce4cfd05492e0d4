"""`Elector.run()`: a coroutine per term, cancelled at the points of L12; and cancellation of the user's, everywhere."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from kopf_leader.elector.standings import Leading
from kopf_leader.errors import NotLeader
from tests.elector.electors import Electors
from tests.elector.test_elector import scene

__all__ = ["scene"]


def test_it_runs_until_it_returns(scene: Any) -> None:
    """A function that returns is done: `run` returns what it returns, and the Lease is released with the block."""

    async def act(world: Any, electors: Electors) -> None:
        async def work(leading: Leading[asyncio.Event]) -> str:
            await asyncio.sleep(30)
            leading.term.check()
            return "done"

        async with electors.make("me") as elector:
            assert await elector.run(work) == "done"
            assert electors.holder == "me"
        assert electors.holder == ""

    scene(act)


async def obeys(leading: Leading[asyncio.Event]) -> None:
    await asyncio.sleep(3600)


async def returns(leading: Leading[asyncio.Event]) -> None:
    await leading.ended.wait()
    await asyncio.sleep(0)


async def checks(leading: Leading[asyncio.Event]) -> None:
    try:
        await asyncio.sleep(3600)
    except asyncio.CancelledError:
        await asyncio.sleep(1)
        leading.term.claim.deadline = 0.0
        leading.term.check()


@pytest.mark.parametrize("function", [obeys, returns, checks])
def test_it_is_started_anew_in_each_term(scene: Any, function: Any) -> None:
    """What is cancelled with its term, returns after it or raises its `NotLeader` runs again in the next one."""

    async def act(world: Any, electors: Electors) -> None:
        tokens: list[int] = []

        async def work(leading: Leading[asyncio.Event]) -> str:
            tokens.append(leading.term.token)
            if len(tokens) < 3:
                await function(leading)
            return "done"

        async with electors.make("me") as elector:
            running = asyncio.create_task(elector.run(work))
            for times in (1, 2):
                await world.until(lambda times=times: len(tokens) == times)
                await asyncio.sleep(1)
                world.store.annotate(transfer_to="*")
            assert await running == "done"
        assert tokens == sorted(set(tokens))

    scene(act)


@pytest.mark.parametrize("error", [ValueError("mine"), NotLeader("of something else")])
def test_its_failure_is_the_callers(scene: Any, error: Exception) -> None:
    """What it raises in a running term is raised by `run`; leaving the block releases."""

    async def act(world: Any, electors: Electors) -> None:
        async def work(leading: Leading[asyncio.Event]) -> None:
            raise error

        with pytest.raises(type(error), match=str(error)):
            async with electors.make("me") as elector:
                await elector.run(work)
        assert electors.holder == ""

    scene(act)


def test_it_is_cancelled_at_once_and_once_more(scene: Any) -> None:
    """The first cancellation asks; the second comes at the drain time-out; the Lease is held until it is over."""

    async def act(world: Any, electors: Electors) -> None:
        cancelled: list[float] = []

        async def work(leading: Leading[asyncio.Event]) -> None:
            while len(cancelled) < 2:
                try:
                    await asyncio.sleep(3600)
                except asyncio.CancelledError:
                    cancelled.append(world.loop.time())
                    assert electors.holder == "me"
            await asyncio.sleep(0.2)
            assert electors.holder == "me"

        async with electors.make("me", drain_timeout=4) as elector:
            running = asyncio.create_task(elector.run(work))
            await world.until(lambda: electors.holder == "me")
            await asyncio.sleep(5)
            world.store.annotate(transfer_to="*")
            asked = world.loop.time()
            await world.until(lambda: electors.holder == "")
            assert [round(at - asked, 1) for at in cancelled] == [0.0, 4.0]
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)

    scene(act)


def test_a_seen_rival_leaves_no_time(scene: Any) -> None:
    """L8: when somebody else was seen, the second cancellation comes a blink after the first."""

    async def act(world: Any, electors: Electors) -> None:
        cancelled: list[float] = []

        async def work(leading: Leading[asyncio.Event]) -> None:
            while len(cancelled) < 2:
                try:
                    await asyncio.sleep(3600)
                except asyncio.CancelledError:
                    cancelled.append(world.loop.time())

        async with electors.make("me") as elector:
            running = asyncio.create_task(elector.run(work))
            await world.until(lambda: electors.holder == "me")
            await asyncio.sleep(5)
            world.store.edit(holderIdentity="other")
            stolen = world.loop.time()
            await world.until(lambda: len(cancelled) == 2)
            assert cancelled[0] - stolen < 0.1
            assert cancelled[1] - stolen < 0.4
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)

    scene(act)


def test_cancelling_it_cancels_the_work_and_waits_for_it(scene: Any) -> None:
    """A cancelled `run` ends when its task has; then the block releases: never beside work that cleans up."""

    async def act(world: Any, electors: Electors) -> None:
        async def work(leading: Leading[asyncio.Event]) -> None:
            try:
                await asyncio.sleep(3600)
            finally:
                await asyncio.sleep(3)
                assert electors.holder == "me"

        async def main() -> None:
            async with electors.make("me") as elector:
                await elector.run(work)

        running = asyncio.create_task(main())
        await world.until(lambda: electors.holder == "me")
        await asyncio.sleep(1)
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running
        assert electors.holder == ""

    scene(act)


@pytest.mark.parametrize("error", [ValueError("mine"), NotLeader("over"), None])
def test_a_cancellation_is_never_lost(scene: Any, error: Exception | None) -> None:
    """Cancelled while the term ends and the work fails or returns: the failure or the cancellation, no other term."""

    async def act(world: Any, electors: Electors) -> None:
        started = 0

        async def work(leading: Leading[asyncio.Event]) -> str:
            nonlocal started
            started += 1
            try:
                await asyncio.sleep(3600)
            except asyncio.CancelledError:
                await asyncio.sleep(0.5)
                running.cancel()
                if error is not None:
                    raise error from None
            return "done"

        async with electors.make("me") as elector:
            running = asyncio.create_task(elector.run(work))
            await world.until(lambda: started == 1)
            world.store.annotate(transfer_to="*")
            expected = type(error) if isinstance(error, ValueError) else asyncio.CancelledError
            with pytest.raises(expected):
                await running
            await world.until(lambda: electors.holder == "", within=1)
        assert started == 1

    scene(act)


def test_what_has_returned_needs_nobody_to_come_back(scene: Any) -> None:
    """Once `run` has returned, nothing runs: the term is given back when it has to end, and may be taken once more."""

    async def act(world: Any, electors: Electors) -> None:
        tokens: list[int] = []

        async def work(leading: Leading[asyncio.Event]) -> None:
            tokens.append(leading.term.token)

        async with electors.make("me") as elector:
            await elector.run(work)
            await elector.run(work)
            assert tokens[0] == tokens[1], "the same term, as it still runs"
            world.store.annotate(transfer_to="*")
            await world.until(lambda: electors.holder == "", within=1)
            await elector.run(work)
            assert tokens[2] > tokens[1]

    scene(act)


def test_what_has_returned_when_its_term_ran_out_is_run_in_the_next(scene: Any) -> None:
    """The claim has run out and nobody has said so yet: a function that looks at the clock and returns is not done."""

    async def act(world: Any, electors: Electors) -> None:
        tokens: list[int] = []

        async def work(leading: Leading[asyncio.Event]) -> str:
            tokens.append(leading.term.token)
            if len(tokens) == 1:
                leading.term.claim.deadline = 0.0
            return "done"

        async with electors.make("me") as elector:
            async with asyncio.timeout(5):
                assert await elector.run(work) == "done"
        assert len(set(tokens)) == len(tokens) == 2

    scene(act)


async def by_standings(elector: Any) -> None:
    async for standing in elector.standings():
        if isinstance(standing, Leading):
            await standing.ended.wait()


async def by_run(elector: Any) -> None:
    await elector.run(obeys)


@pytest.mark.parametrize("use", [by_standings, by_run])
@pytest.mark.parametrize("times", [1, 2])
def test_cancelled_at_any_await_it_leaves_nothing_behind(scene: Any, use: Callable[[Any], Any], times: int) -> None:
    """L15: cancelled at each step of the loop, once or twice, from the first until after a change of terms.

    It leaves no task, no connection (`virtually` and `scene` look for them), and no Lease that is held.
    """

    async def until_cancelled(world: Any, electors: Electors, steps: int) -> bool:
        async def main() -> None:
            async with electors.make("me") as elector:
                await use(elector)

        task = asyncio.create_task(main())
        for step in range(steps):
            await asyncio.sleep(0 if step % 3 else 0.0007)
            if step == 60 and world.store.lease["spec"].get("holderIdentity"):
                world.store.annotate(transfer_to="*")
        for _ in range(times):
            task.cancel()
            await asyncio.sleep(0)
        with pytest.raises(asyncio.CancelledError):
            await task
        return not world.store.lease["spec"].get("holderIdentity")

    for steps in range(120):

        async def act(world: Any, electors: Electors, steps: int = steps) -> None:
            assert await until_cancelled(world, electors, steps), f"held after {steps} steps"

        scene(act)


def test_a_renewal_that_is_confirmed_late_does_not_bring_a_term_back(scene: Any) -> None:
    """L9: who has seen its term run out stops, and is started anew in the next one; the claim does not revive."""

    async def act(world: Any, electors: Electors) -> None:
        tokens: list[int] = []

        async def work(leading: Leading[asyncio.Event]) -> str:
            tokens.append(leading.term.token)
            if len(tokens) > 1:
                return "done"
            leading.term.claim.deadline = 0.0
            with pytest.raises(NotLeader):
                leading.term.check()
            world.store.annotate(note="the next step moves the deadline")
            await asyncio.sleep(0.1)
            leading.term.check()
            raise AssertionError("the term has come back")

        async with electors.make("me") as elector:
            assert await elector.run(work) == "done"
        assert len(tokens) == 2

    scene(act)


def test_leaving_the_block_beside_run_ends_its_work_first(scene: Any) -> None:
    """L12: a block that is left while `run()` goes on in a task of its own waits for the work before it releases."""

    async def act(world: Any, electors: Electors) -> None:
        ended: list[str] = []

        async def work(leading: Leading[asyncio.Event]) -> None:
            try:
                await asyncio.sleep(3600)
            finally:
                await asyncio.sleep(1)
                assert electors.holder == "me"
                ended.append("me")

        with pytest.raises(KeyError):
            async with electors.make("me") as elector:
                running = asyncio.create_task(elector.run(work))
                await world.until(lambda: electors.holder == "me")
                await asyncio.sleep(5)
                raise KeyError
        assert ended == ["me"]
        assert electors.holder == ""
        with pytest.raises(RuntimeError, match="left while its work was run"):
            await running
        assert electors.exits == []

    scene(act)
