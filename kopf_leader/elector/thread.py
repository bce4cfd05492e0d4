"""An election in a thread of its own, with an event loop of its own.

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
from kopf_leader.elector.observer import Observer
from kopf_leader.protocol.settings import Settings
from kopf_leader.protocol.state import Drained, Event, Resign

logger = logging.getLogger("kopf_leader")


class ElectionThread:
    """An `Election` for one Lease. `client` is called in the thread, where the client's event loop runs.

    `observers` are told what happens, in that thread.
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
        self._early: list[Event] | None = []  # events from before the driver exists; None once it does, or is gone
        self._loop: asyncio.AbstractEventLoop | None = None
        self._driver: Driver | None = None
        self._thread = threading.Thread(target=self._run, name=f"election-{settings.name}", daemon=True)

    @property
    def identity(self) -> str:
        return self.settings.identity

    @property
    def alive(self) -> bool:
        return self._thread.is_alive()

    def start(self) -> None:
        self._thread.start()

    def resign(self, *, leave: bool, away: float = 0.0) -> None:
        self._post(Resign(leave=leave, away=away))

    def drained(self, token: int) -> None:
        self._post(Drained(token))

    def call(self, function: Callable[[], None]) -> bool:
        """Have the election's loop call this soon, to see that it turns; False where there is no loop (any more)."""
        with self._lock:
            if self._loop is None:
                return False
            self._loop.call_soon_threadsafe(function)
            return True

    def join(self, timeout: float | None = None) -> bool:
        if self._thread.ident is None:
            return True  # never started: nothing to wait for
        self._thread.join(timeout)
        return not self._thread.is_alive()

    def _post(self, event: Event) -> None:
        with self._lock:
            if self._early is not None:
                self._early.append(event)
            elif self._loop is not None and self._driver is not None:
                self._loop.call_soon_threadsafe(self._driver.post, event)

    def _run(self) -> None:
        try:
            asyncio.run(self._drive())
        except BaseException as error:
            self.failure = error
            logger.critical(
                "The election for the Lease %s/%s has died and leadership runs out: restart this process, and report "
                "this as a defect of kopf_leader.",
                self.settings.namespace,
                self.settings.name,
                exc_info=error,
            )

    async def _drive(self) -> None:
        driver = Driver(
            settings=self.settings,
            client=self._make_client(),
            follower=self._follower,
            clock=self.clock,
            observers=self._observers,
        )
        with self._lock:
            self._loop, self._driver = asyncio.get_running_loop(), driver
            for event in self._early or ():
                driver.post(event)
            self._early = None
        try:
            await driver.run()
        finally:
            with self._lock:
                self._loop = self._driver = None
