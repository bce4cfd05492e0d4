"""Candidates in virtual time: hours of an election in milliseconds."""

import asyncio
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import pytest

from kopf_leader.elector.driver import Driver
from kopf_leader.elector.observer import Observer
from kopf_leader.protocol.settings import Settings
from kopf_leader.protocol.state import Drained, Resign
from kopf_leader.testing.virtualtime import LoopClock, run_in_virtual_time
from tests.elector.memory import MemoryClient, MemoryLease, Recorder


@dataclass
class Candidate:
    """One driver with its client and what its follower was told."""

    driver: Driver
    client: MemoryClient
    follower: Recorder
    task: asyncio.Task[None]

    def resign(self, *, leave: bool = True, away: float = 0.0) -> None:
        self.driver.post(Resign(leave=leave, away=away))


class World:
    """A store and its candidates, on the running loop."""

    def __init__(self) -> None:
        self.store = MemoryLease()
        self.loop = asyncio.get_running_loop()
        self.candidates: list[Candidate] = []
        self.observe: Callable[[Settings, LoopClock], Iterable[Observer]] = lambda settings, clock: ()

    def join(self, identity: str, **settings: Any) -> Candidate:
        follower, client = Recorder(), MemoryClient(self.store)
        rules = Settings(name="op", namespace="ns", identity=identity, **settings)
        clock = LoopClock(self.loop, origin=1000.0 * len(identity))
        driver = Driver(
            settings=rules, client=client, follower=follower, clock=clock, observers=self.observe(rules, clock)
        )
        follower.drained = lambda token: driver.post(Drained(token))
        candidate = Candidate(driver, client, follower, asyncio.create_task(driver.run()))
        self.candidates.append(candidate)
        return candidate

    async def until(self, condition: Callable[[], bool], *, within: float = 120.0) -> float:
        """Wait for a condition, in virtual seconds; how long it took."""
        start = self.loop.time()
        while not condition():
            if self.loop.time() > start + within:
                pytest.fail(f"not within {within} virtual seconds: {[c.follower.told for c in self.candidates]}")
            await asyncio.sleep(0.001)
        return self.loop.time() - start


@pytest.fixture
def virtually() -> Callable[[Callable[[World], Any]], Any]:
    """Run `async def scene(world)` in virtual time, and hold it to leaving nothing behind."""

    def run(scene: Callable[[World], Any]) -> Any:
        async def main() -> Any:
            world = World()
            try:
                return await scene(world)
            finally:
                for candidate in world.candidates:
                    candidate.task.cancel()
                await asyncio.gather(*(c.task for c in world.candidates), return_exceptions=True)
                left = asyncio.all_tasks() - {asyncio.current_task()}
                assert not left, f"tasks left behind: {left}"
                assert all(c.client.closed and not c.client.watching for c in world.candidates)

        return run_in_virtual_time(main())

    return run
