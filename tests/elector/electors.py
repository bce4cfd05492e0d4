"""Electors in virtual time: the driver is a task of the test's own loop, and time jumps."""

import asyncio
import threading
from collections.abc import Callable
from typing import Any

from kopf_leader.elector import elector as elector_module
from kopf_leader.elector import seat as seat_module
from kopf_leader.elector.driver import Driver
from kopf_leader.elector.elector import Elector
from kopf_leader.protocol.state import Drained, Resign
from kopf_leader.testing.virtualtime import LoopClock
from tests.elector.memory import MemoryClient


class LoopElection:
    """An `Election` on the running loop."""

    def __init__(self, settings: Any, client: Callable[[], Any], follower: Any) -> None:
        self.loop = asyncio.get_running_loop()
        self.clock = LoopClock(self.loop, origin=1000.0 * len(settings.identity))
        self.client = client()
        self.driver = Driver(settings=settings, client=self.client, follower=follower, clock=self.clock)
        self.ended = threading.Event()

    def start(self) -> None:
        self.task = asyncio.create_task(self.driver.run())
        self.task.add_done_callback(lambda _: self.ended.set())

    @property
    def alive(self) -> bool:
        return not self.ended.is_set()

    def resign(self, *, leave: bool, away: float = 0.0) -> None:
        self.driver.post(Resign(leave=leave, away=away))

    def drained(self, token: int) -> None:
        self.driver.post(Drained(token))

    def join(self, timeout: float | None = None) -> bool:
        return self.ended.wait(60)  # real seconds: the loop has virtual ones


class Electors:
    """Electors on a world's store, their exits, and their elections."""

    def __init__(self, world: Any, monkeypatch: Any) -> None:
        self.world = world
        self.exits: list[str] = []
        self.elections: list[LoopElection] = []
        monkeypatch.setattr(elector_module, "stand", self._stand)
        monkeypatch.setattr(elector_module, "guard", lambda seat: None)  # a seat is looked at when a test does it
        monkeypatch.setattr(seat_module, "leave", lambda why, tasks: self.exits.append(why))

    def _stand(self, settings: Any, client: Callable[[], Any], follower: Any) -> LoopElection:
        self.elections.append(LoopElection(settings, client, follower))
        return self.elections[-1]

    def make(self, identity: str, **candidacy: Any) -> Elector:
        return Elector(
            "op",
            namespace="ns",
            identity=identity,
            client=lambda: MemoryClient(self.world.store),
            **candidacy,
        )

    @property
    def holder(self) -> str:
        return str(self.world.store.lease["spec"].get("holderIdentity", ""))

    def closed(self) -> bool:
        """Whether each election is over, with its connections closed."""
        return all(e.ended.is_set() and e.client.closed and not e.client.watching for e in self.elections)
