"""An election in the thread of this process's elections, on their event loop (`loop.py`).

kopf's loop may be blocked by a handler for as long as it likes: renewals go on. Whatever happens in here is told by
the claim, which runs out by the clock (L7), and by `alive`.
"""

import asyncio
import logging
import threading
from collections.abc import Callable, Iterable

from kopf_leader.clients.base import LeaseClient
from kopf_leader.elector.clock import Clock, SystemClock
from kopf_leader.elector.driver import Driver
from kopf_leader.elector.election import Follower
from kopf_leader.elector.loop import ElectionLoop, take_in
from kopf_leader.elector.observer import Observer
from kopf_leader.protocol.settings import Settings
from kopf_leader.protocol.state import Drained, Event, Resign

logger = logging.getLogger("kopf_leader")


class ElectionThread:
    """An `Election` for one Lease. `client` is called in a thread of its own, so that it may block.

    What it returns is used on the elections' event loop, where `observers` are told what happens.
    """

    def __init__(
        self,
        *,
        settings: Settings,
        client: Callable[[], LeaseClient],
        follower: Follower,
        observers: Iterable[Observer] = (),
        clock: Clock | None = None,
    ) -> None:
        self.clock: Clock = clock or SystemClock()
        self.settings = settings
        self.failure: BaseException | None = None
        self._make_client = client
        self._follower = follower
        self._observers = tuple(observers)
        self._lock = threading.Lock()
        self._early: list[Event] = []  # events from before the driver exists
        self._loop: ElectionLoop | None = None
        self._driver: Driver | None = None
        self._ended = threading.Event()

    @property
    def identity(self) -> str:
        return self.settings.identity

    @property
    def alive(self) -> bool:
        return self._loop is not None and self._loop.alive and not self._ended.is_set()

    def start(self) -> None:
        with self._lock:
            if self._loop is not None:
                raise RuntimeError("An election stands once: make a new one.")
            self._loop = take_in(self._drive, self._over)

    def resign(self, *, leave: bool, away: float = 0.0) -> None:
        self._post(Resign(leave=leave, away=away))

    def drained(self, token: int) -> None:
        self._post(Drained(token))

    def call(self, function: Callable[[], None]) -> bool:
        """Have the election's loop call this soon, to see that it turns; False where there is none (any more)."""
        return self._loop is not None and not self._ended.is_set() and self._loop.call(function)

    def join(self, timeout: float | None = None) -> bool:
        if self._loop is None or not self._loop.alive:
            return True  # never started, or nothing is left of it
        ended = self._ended.wait(timeout)
        if ended:
            self._loop.settle()
        return ended

    def _post(self, event: Event) -> None:
        with self._lock:
            if self._loop is None:
                self._early.append(event)
            else:
                self._loop.call(self._take, event)

    def _take(self, event: Event) -> None:
        if self._driver is not None:
            self._driver.post(event)
        elif not self._ended.is_set():
            self._early.append(event)

    async def _drive(self) -> None:
        driver = Driver(
            settings=self.settings,
            client=await asyncio.to_thread(self._make_client),
            follower=self._follower,
            clock=self.clock,
            observers=self._observers,
        )
        for event in self._early:
            driver.post(event)
        self._driver = driver
        await driver.run()

    def _over(self, failure: BaseException | None) -> None:
        if failure is not None:
            self.failure = failure
            logger.critical(
                "The election for the Lease %s/%s has died and leadership runs out: restart this process, and report "
                "this as a defect of kopf_leader.",
                self.settings.namespace,
                self.settings.name,
                exc_info=failure,
            )
        self._driver = None
        self._ended.set()
