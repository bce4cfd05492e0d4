"""Everything that the people who run a process see of its election, put together: health, metrics, Events.

It is made once per process, bound before the operator starts, told of the operator's loop and of its election as they
come to be, and closed when the last thing of the operator has ended.
"""

import asyncio
import logging
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING

from kopf_leader.clients.base import LeaseClient
from kopf_leader.elector.clock import Clock, SystemClock
from kopf_leader.elector.election import Election, Follower
from kopf_leader.elector.observer import Observer
from kopf_leader.elector.thread import ElectionThread
from kopf_leader.errors import SettingsError
from kopf_leader.operations.address import Address
from kopf_leader.operations.events import EventRecorder
from kopf_leader.operations.view import View
from kopf_leader.protocol.settings import Settings

if TYPE_CHECKING:
    from prometheus_client import CollectorRegistry

    from kopf_leader.operations.endpoints import Endpoints
    from kopf_leader.operations.metrics import Figures, Metrics

logger = logging.getLogger("kopf_leader")


class Operations:
    """The health, the metrics and the Events of one process.

    - `health_at`, `metrics_at`: where to serve them; None for nowhere. One address may serve both.
    - `registry`: where the metrics go: None for prometheus-client's default one, with the process's own metrics and
      the operator's. With a registry, there are metrics even where no address serves them.
    - `stuck_timeout`: seconds after which kopf's event loop counts as stuck.
    - `early`: take the ports when it is opened, and not only when an operator starts.

    Raises `SettingsError` where metrics are asked for and prometheus-client is not installed.
    """

    def __init__(
        self,
        *,
        health_at: Address | None = None,
        metrics_at: Address | None = None,
        registry: "CollectorRegistry | None" = None,
        stuck_timeout: float = 300.0,
        early: bool = False,
    ) -> None:
        self.metrics: Metrics | None = None
        self.endpoints: Endpoints | None = None
        self._registry: CollectorRegistry | None = None
        self._registered = False
        self._early = early
        if metrics_at is not None or registry is not None:
            self.metrics, self._registry = _make_metrics(registry)
        if health_at is not None or metrics_at is not None:
            from kopf_leader.operations import endpoints  # noqa: PLC0415 (who serves nothing starts the sooner)

            self.endpoints = endpoints.Endpoints(
                health_at=health_at,
                metrics_at=metrics_at,
                stuck_timeout=stuck_timeout,
                exposition=None if self._registry is None else self._expose,
            )

    def open(self) -> None:
        """Take names and (if early) ports; idempotent. Raises `SettingsError` when somebody else has them."""
        if self._early and self.endpoints is not None:
            self.endpoints.server.bind()
        if self.metrics is not None and self._registry is not None and not self._registered:
            try:
                self._registry.register(self.metrics)
            except ValueError:
                sentence = "The registry of prometheus-client has metrics of a leader election already: "
                raise SettingsError([sentence + "give each election of a process a registry of its own."]) from None
            self._registered = True

    def count(self, figures: "Figures") -> None:
        """Show what the gate counts."""
        if self.metrics is not None:
            self.metrics.figures = figures

    def watch_streams(self, unwatched: Callable[[], Iterable[str]]) -> None:
        """Show the resources that the operator tries to watch in vain."""
        if self.endpoints is not None:
            self.endpoints.look_at_streams(unwatched)

    def start(self) -> None:
        """An operator is about to be made: have the ports, or do not let it start. Raises `SettingsError`."""
        self.open()
        if self.endpoints is not None:
            self.endpoints.server.bind()

    def stand(
        self,
        *,
        settings: Settings,
        client: Callable[[], LeaseClient],
        follower: Follower,
        clock: Clock | None = None,
    ) -> ElectionThread:
        """An election that is looked on at, not yet started."""
        clock = clock or SystemClock()
        view = View(settings, clock)
        observers: list[Observer] = [view, EventRecorder(settings, clock)]
        if self.metrics is not None:
            self.metrics.attend(settings, view)
            observers.append(self.metrics)

        election = ElectionThread(settings=settings, client=client, follower=follower, clock=clock, observers=observers)
        if self.endpoints is not None:
            self.endpoints.look_at(election, view)
        return election

    def attend(self, election: Election) -> None:
        """Look at an election without a Lease."""
        if self.endpoints is not None:
            self.endpoints.look_at(election)

    def opened(self) -> None:
        """The gate has opened. In any thread."""
        if self.metrics is not None:
            self.metrics.opened()

    @contextmanager
    def serving(self, loop: asyncio.AbstractEventLoop) -> Iterator[None]:
        """Serve while the operator lives on this loop, to the end of its drain. Raises `SettingsError`."""
        try:
            with ExitStack() as served:
                if self.endpoints is not None:
                    served.enter_context(self.endpoints.serving(loop))
                yield
        finally:
            self.close()

    def close(self) -> None:
        """Give ports and names back; idempotent."""
        if self.endpoints is not None:
            self.endpoints.server.stop()
        if self._registered and self._registry is not None and self.metrics is not None:
            self._registered = False
            self._registry.unregister(self.metrics)

    def _expose(self, accept: str) -> tuple[bytes, str]:
        from prometheus_client.exposition import choose_encoder  # noqa: PLC0415 (the extra `metrics`)

        encode, content_type = choose_encoder(accept)
        return encode(self._registry) if self._registry is not None else b"", content_type


def _make_metrics(registry: "CollectorRegistry | None") -> "tuple[Metrics, CollectorRegistry]":
    try:
        from prometheus_client import REGISTRY  # noqa: PLC0415 (the extra `metrics`, imported where it is asked for)

        from kopf_leader.operations.metrics import Metrics  # noqa: PLC0415 (likewise)
    except ModuleNotFoundError as error:
        if (error.name or "").startswith("kopf_leader"):
            raise
        sentence = "Metrics need prometheus-client, which is not installed: run pip install 'kopf-leader[metrics]', or "
        raise SettingsError([sentence + "set the metrics bind address to '0'."]) from None
    return Metrics(), registry if registry is not None else REGISTRY
