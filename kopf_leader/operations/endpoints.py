"""What is served at the addresses, and the health that is shown there: for a process that has an address only."""

import asyncio
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager

from kopf_leader.elector.election import Election
from kopf_leader.elector.thread import ElectionThread
from kopf_leader.operations.address import Address
from kopf_leader.operations.health import Health
from kopf_leader.operations.pulse import Pulse
from kopf_leader.operations.server import Exposition, OperationsServer
from kopf_leader.operations.view import View


class Endpoints:
    """The health of one process, and the server that shows it; see `Operations` for the arguments."""

    def __init__(
        self,
        *,
        health_at: Address | None,
        metrics_at: Address | None,
        stuck_timeout: float,
        exposition: Exposition | None,
    ) -> None:
        self.health = Health(stuck_timeout=stuck_timeout)
        self.server = OperationsServer(
            health_at=health_at, metrics_at=metrics_at, health=self.health, exposition=exposition
        )

    def look_at(self, election: Election, view: View | None = None) -> None:
        """Show this election; one with a Lease comes with what it looked like last."""
        self.health.view = view
        if isinstance(election, ElectionThread):
            self.health.election_pulse = Pulse(election.call)
        self.health.election = election  # last: with it, the start is over

    def look_at_streams(self, unwatched: Callable[[], Iterable[str]]) -> None:
        """Not be ready while the operator tries to watch a resource in vain."""
        self.health.unwatched = unwatched

    @contextmanager
    def serving(self, loop: asyncio.AbstractEventLoop) -> Iterator[None]:
        """Serve while the operator lives on this loop, to the end of its drain. Raises `SettingsError`."""

        def call(function: Callable[[], None]) -> bool:
            try:
                loop.call_soon_threadsafe(function)
            except RuntimeError:  # closed
                return False
            return True

        self.health.leaving = False
        self.health.operator_pulse = Pulse(call)
        self.server.start()
        try:
            yield
        finally:
            self.health.leaving = True
