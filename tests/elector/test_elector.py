"""The elector without kopf, in virtual time: who is told what, and when the Lease is released."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from kopf_leader.elector.elector import Elector
from kopf_leader.elector.standings import Leading, Standby, Stopping
from kopf_leader.errors import ElectionDied, NotLeader, SettingsError
from tests.elector.electors import Electors

RELEASED = {"holderIdentity": "", "leaseDurationSeconds": 1}


@pytest.fixture
def scene(virtually: Any, monkeypatch: Any) -> Callable[[Callable[[Any, Electors], Any]], Any]:
    """Run `async def act(world, electors)` in virtual time, on a Lease that was never held."""

    def run(act: Callable[[Any, Electors], Any]) -> Any:
        async def main(world: Any) -> Any:
            world.store.make()
            electors = Electors(world, monkeypatch)
            result = await act(world, electors)
            assert electors.closed(), "leaving waits for the end of the election"
            assert not electors.exits
            return result

        return virtually(main)

    return run


async def first(standings: Any, kind: type) -> Any:
    """The next standing of this kind."""
    async for standing in standings:
        if isinstance(standing, kind):
            return standing
    raise AssertionError("the standings ended")


def test_it_leads_and_leaves_a_released_lease(scene: Any) -> None:
    """Leaving `async with` releases the Lease, and waits for the confirmation (L14)."""

    async def act(world: Any, electors: Electors) -> None:
        async with electors.make("me") as elector:
            leading = await first(elector.standings(), Leading)
            leading.term.check()
            assert leading.term.token == int(world.store.lease["metadata"]["resourceVersion"])
            assert electors.holder == elector.identity == "me"
        assert world.store.lease["spec"].items() >= RELEASED.items()
        with pytest.raises(NotLeader):
            leading.term.check()

    scene(act)


def test_the_lease_is_released_when_the_user_has_come_back(scene: Any) -> None:
    """L12: close the gate, let the work finish (renewing all the while), release: never before the user came back."""

    async def act(world: Any, electors: Electors) -> None:
        async with electors.make("me") as elector:
            standings = elector.standings()
            leading = await first(standings, Leading)
            world.store.annotate(transfer_to="*")
            await leading.ended.wait()
            await asyncio.sleep(8)
            assert electors.holder == "me"
            assert leading.term.valid, "it is renewed all the while"
            stopping = await anext(standings)
            assert isinstance(stopping, Stopping)
            assert stopping.term is leading.term
            assert "asked" in stopping.reason
            assert 3 < stopping.remaining() < 5
            await asyncio.sleep(1)
            assert electors.holder == "me", "this may be where the work is stopped"
            assert await anext(standings) == Standby(holder="")
            assert electors.holder == ""

    scene(act)


def test_a_term_is_followed_by_its_stopping_whatever_the_body_does(scene: Any) -> None:
    """A body that only begins the work and comes back at once is told to stop it, and comes back from that."""

    async def act(world: Any, electors: Electors) -> None:
        running = 0
        seen: list[str] = []

        async def work() -> None:
            nonlocal running
            running += 1
            try:
                await asyncio.sleep(3600)
            finally:
                running -= 1

        async def observe() -> None:
            task: asyncio.Task[None] | None = None
            async for standing in elector.standings():
                seen.append(type(standing).__name__)
                if isinstance(standing, Leading):
                    await asyncio.sleep(0.5)  # the term may end while this body prepares
                    task = asyncio.create_task(work())
                elif isinstance(standing, Stopping):
                    assert task is not None
                    await asyncio.sleep(0.1)
                    assert (running, electors.holder) == (1, "me")
                    task.cancel()
                    await asyncio.gather(task, return_exceptions=True)
                if seen.count("Stopping") == 2:
                    return

        async with electors.make("me") as elector:
            observing = asyncio.create_task(observe())
            for times in (1, 2):
                await world.until(lambda times=times: seen.count("Leading") == times)
                world.store.annotate(transfer_to="*")
                await world.until(lambda times=times: seen.count("Stopping") == times)
                await world.until(lambda: running == 0)
            await observing
        assert seen == ["Standby", "Leading", "Stopping", "Standby", "Leading", "Stopping"]

    scene(act)


def test_standby_brings_the_newest_only(scene: Any) -> None:
    """Each standing is the newest, without a backlog; the same one is not brought twice."""

    async def act(world: Any, electors: Electors) -> None:
        world.store.edit(holderIdentity="one", leaseDurationSeconds=15)
        async with electors.make("two") as two:
            standings = two.standings()
            assert await anext(standings) == Standby(holder="one")
            for holder in ("three", "four", "five"):
                world.store.edit(holderIdentity=holder)
                await asyncio.sleep(0.1)
            assert await anext(standings) == Standby(holder="five")
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(5):
                    await anext(standings)

    scene(act)


def test_the_next_one_takes_over(scene: Any) -> None:
    """Two candidates: the second one leads a moment after the first one has left."""

    async def act(world: Any, electors: Electors) -> None:
        async with electors.make("one") as one:
            await first(one.standings(), Leading)
            two = electors.make("two")
            await two.__aenter__()
            standings = two.standings()
            assert await anext(standings) == Standby(holder="one")
        before = world.loop.time()
        await first(standings, Leading)
        assert world.loop.time() - before < 1
        await two.__aexit__(None, None, None)

    scene(act)


def test_a_loop_that_breaks_off_and_begins_anew_gets_the_term_again(scene: Any) -> None:
    """A new loop begins with where the candidate stands; breaking off is no word that the work is over."""

    async def act(world: Any, electors: Electors) -> None:
        async with electors.make("me") as elector:
            async for standing in elector.standings():
                if isinstance(standing, Leading):
                    break
            again = await first(elector.standings(), Leading)
            assert again is standing
            world.store.annotate(transfer_to="*")
            await again.ended.wait()
            await asyncio.sleep(3)
            assert electors.holder == "me"
            stopping = await first(elector.standings(), Stopping)
            await asyncio.sleep(3)
            assert electors.holder == "me", "broken off in the body of the Stopping: told again"
            assert (await first(elector.standings(), Stopping)).term is stopping.term

    scene(act)


def test_one_loop_at_a_time(scene: Any) -> None:
    """Two loops at once could not tell when the work is over: the second is refused, in words."""

    async def act(world: Any, electors: Electors) -> None:
        elector = electors.make("me")
        with pytest.raises(RuntimeError, match="Enter the Elector first"):
            elector.standings()
        async with elector:
            standings = elector.standings()
            await first(standings, Leading)
            with pytest.raises(RuntimeError, match="one loop at a time"):
                elector.standings()
        with pytest.raises(StopAsyncIteration):
            await anext(standings)
        with pytest.raises(RuntimeError, match="stands once"):
            await elector.__aenter__()

    scene(act)


def test_who_does_not_come_back_ends_the_process_without_a_release(virtually: Any, monkeypatch: Any) -> None:
    """L12: what is not over at the exit point ends the process; the Lease is not released."""

    async def act(world: Any) -> None:
        world.store.make()
        electors = Electors(world, monkeypatch)
        async with electors.make("me", drain_timeout=3) as elector:
            standings = elector.standings()
            leading = await first(standings, Leading)
            world.store.annotate(transfer_to="*")
            await leading.ended.wait()
            took = await world.until(lambda: electors.exits)
            assert 4.4 < took < 4.6, "the drain time-out, and what lies between the points of L12"
            assert "has not come back" in electors.exits[0]
            assert electors.holder == "me"

    virtually(act)


def test_a_term_that_nobody_took_ends_by_itself(scene: Any) -> None:
    """What was never handed out needs nobody to come back: the Lease is passed on although nobody iterates."""

    async def act(world: Any, electors: Electors) -> None:
        async with electors.make("me"):
            await world.until(lambda: electors.holder == "me")
            await asyncio.sleep(5)
            world.store.annotate(transfer_to="*")
            await world.until(lambda: electors.holder == "", within=2)

    scene(act)


def test_cut_off_it_ends_by_the_clock_and_leads_again(scene: Any) -> None:
    """L7, L9: when no renewal is accepted the term ends at the renew deadline; the next one is another term."""

    async def act(world: Any, electors: Electors) -> None:
        async with electors.make("me") as elector:
            standings = elector.standings()
            leading = await first(standings, Leading)
            electors.elections[0].client.fault = lambda verb: asyncio.sleep(3600)
            await leading.ended.wait()
            assert not leading.term.valid
            stopping = await anext(standings)
            assert "renewed in time" in stopping.reason
            electors.elections[0].client.fault = None
            again = await first(standings, Leading)
            assert again.term.token > leading.term.token
            assert not leading.term.valid

    scene(act)


def test_the_guardian_ends_what_a_dead_election_does_not(scene: Any, caplog: Any) -> None:
    """L7: the election's thread dies: its user is told by the clock, and then that it is dead."""

    async def act(world: Any, electors: Electors) -> None:
        async with electors.make("me") as elector:
            standings = elector.standings()
            leading = await first(standings, Leading)
            election = electors.elections[0]
            election.task.cancel()
            await world.until(lambda: not election.alive)
            elector._seat.look()
            await leading.ended.wait()
            assert isinstance(await anext(standings), Stopping)
            with pytest.raises(ElectionDied, match="restart this process"):
                await anext(standings)

    scene(act)


def test_the_guardian_ends_the_process_when_the_election_cannot(virtually: Any, monkeypatch: Any) -> None:
    """L12 holds without the election: it hangs, the claim has run out, and the work does not end."""

    async def act(world: Any) -> None:
        world.store.make()
        electors = Electors(world, monkeypatch)
        async with electors.make("me") as elector:
            leading = await first(elector.standings(), Leading)
            look = elector._seat.look
            election = electors.elections[0]
            election.task.cancel()
            await world.until(lambda: not election.alive)
            look()
            assert leading.ended.is_set() or not electors.exits
            await asyncio.sleep(13)
            look()
            assert not electors.exits
            await asyncio.sleep(1.5)
            look()
            assert electors.exits

    virtually(act)


def test_bad_settings_are_refused_at_once() -> None:
    """L18: a sentence for each violated rule, when the elector is made; an unknown client, an unknown keyword too."""
    with pytest.raises(SettingsError, match="renew deadline"):
        Elector("op", namespace="ns", client=object, renew_deadline=20)
    with pytest.raises(SettingsError, match="is no duration"):
        Elector("op", namespace="ns", client=object, lease_duration="soon")
    with pytest.raises(SettingsError, match="which the election cannot use"):
        Elector("op", namespace="ns", client=5)
    with pytest.raises(TypeError, match="unexpected keyword argument 'lease_time'"):
        Elector("op", namespace="ns", client=object, lease_time=3)  # type: ignore[call-arg]


def test_without_a_namespace_it_says_what_to_pass(monkeypatch: Any, tmp_path: Any) -> None:
    """No service account and no kubeconfig: an error that says what to pass."""
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "absent"))
    with pytest.raises(SettingsError, match=r"pass namespace=…\.$"):
        Elector("op", client=object)
