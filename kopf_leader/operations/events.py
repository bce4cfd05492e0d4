"""Kubernetes Events on the Lease: "<identity> became leader", "<identity> stopped leading", as client-go writes them.

They are a courtesy. They go out beside the election, one after the other, with the election's own connection and
credentials; the Lease is never waited for because of them, and where RBAC does not allow them nobody hears of it.
"""

import asyncio
import contextlib
import logging
import secrets
from datetime import UTC, datetime
from typing import Any, Protocol, runtime_checkable

from kopf_leader.clients.base import JSON, LeaseClient
from kopf_leader.elector.clock import Clock
from kopf_leader.elector.observer import Observer
from kopf_leader.elector.reports import ORDERLY
from kopf_leader.errors import LeaseAPIError
from kopf_leader.protocol.record import stamp
from kopf_leader.protocol.settings import Settings
from kopf_leader.protocol.state import Instant, State, StopLeading
from kopf_leader.protocol.term import Term

logger = logging.getLogger("kopf_leader")

COMPONENT = "kopf-leader"
REASON = "LeaderElection"
ACTION = "LeaderElection"
MAX_INSTANCE = 128  # characters of reportingInstance, by the API server's validation
MAX_WAITING = 8
RETRY_PAUSE = 1.0  # seconds before the one repetition


@runtime_checkable
class EventClient(Protocol):
    """A `LeaseClient` that can send Events as well."""

    async def post_event(self, body: JSON) -> None:
        """POST an Event, of the group that its apiVersion names. Raises `LeaseAPIError`."""
        ...


class EventRecorder(Observer):
    """Posts what happened to the leadership of this process. Lives on the election's loop."""

    def __init__(self, settings: Settings, clock: Clock) -> None:
        self._settings = settings
        self._clock = clock
        self._client: EventClient | None = None
        self._waiting: asyncio.Queue[tuple[str, str, int]] = asyncio.Queue(MAX_WAITING)
        self._sender: asyncio.Task[None] | None = None
        self._lease_uid = ""
        self._stopped: int | None = None

    def begin(self, client: LeaseClient) -> None:
        """Send by this client, if it can."""
        self._client = client if isinstance(client, EventClient) else None

    def stepped(self, before: State, after: State, now: Instant) -> None:  # noqa: ARG002 (the observer's shape)
        if after.sight is not None:
            self._lease_uid = after.sight.uid

    def started(self, term: Term) -> None:
        self._put(f"{term.identity} became leader", "Normal")

    def stopped(self, stop: StopLeading, state: State, now: Instant) -> None:  # noqa: ARG002 (likewise)
        if stop.token != self._stopped:
            self._stopped = stop.token
            kind = "Normal" if stop.reason in ORDERLY else "Warning"
            self._put(f"{self._settings.identity} stopped leading: {stop.reason.value}", kind)

    async def end(self) -> None:
        """Let what is under way arrive, for as long as the caller has patience."""
        try:
            await self._waiting.join()
        finally:
            if self._sender is not None:
                self._sender.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    await self._sender

    def _put(self, message: str, kind: str) -> None:
        if self._client is None or self._waiting.full():
            return
        self._waiting.put_nowait((message, kind, self._clock.utc()))
        if self._sender is None:
            self._sender = asyncio.create_task(self._send_all(self._client), name="events on the Lease")

    async def _send_all(self, client: EventClient) -> None:
        while True:
            message, kind, utc = await self._waiting.get()
            try:
                await self._send(client, message, kind, utc)
            except Exception:
                logger.debug("An Event was lost: %s", message, exc_info=True)
            finally:
                self._waiting.task_done()

    async def _send(self, client: EventClient, message: str, kind: str, utc: int) -> None:
        for make in (self._core, self._new):
            body = make(message, kind, utc)
            try:
                await self._post(client, body)
            except LeaseAPIError as error:
                logger.debug("No Event by %s: %s", body["apiVersion"], error)
                if not error.denied:
                    return
            else:
                return

    async def _post(self, client: EventClient, body: JSON) -> None:
        try:
            async with asyncio.timeout(self._settings.attempt_timeout):
                await client.post_event(body)
        except (LeaseAPIError, TimeoutError) as error:
            if isinstance(error, LeaseAPIError) and error.refused:
                raise
        else:
            return
        await asyncio.sleep(RETRY_PAUSE)
        async with asyncio.timeout(self._settings.attempt_timeout):
            await client.post_event(body)

    def _common(self) -> dict[str, Any]:
        suffix = f".{secrets.token_hex(8)}"
        name = self._settings.name[: 253 - len(suffix)] + suffix
        return {
            "kind": "Event",
            "metadata": {"name": name, "namespace": self._settings.namespace},
            "reason": REASON,
            "reportingInstance": self._settings.identity[:MAX_INSTANCE],
        }

    def _core(self, message: str, kind: str, utc: int) -> JSON:
        """core/v1, as client-go's recorder writes it."""
        moment = datetime.fromtimestamp(utc / 1e6, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        return self._common() | {
            "apiVersion": "v1",
            "type": kind,
            "message": message,
            "involvedObject": self._lease(),
            "source": {"component": COMPONENT, "host": self._settings.identity[:MAX_INSTANCE]},
            "reportingComponent": COMPONENT,
            "firstTimestamp": moment,
            "lastTimestamp": moment,
            "count": 1,
        }

    def _new(self, message: str, kind: str, utc: int) -> JSON:
        return self._common() | {
            "apiVersion": "events.k8s.io/v1",
            "type": kind,
            "note": message,
            "regarding": self._lease(),
            "reportingController": COMPONENT,
            "action": ACTION,
            "eventTime": stamp(utc),
        }

    def _lease(self) -> dict[str, str]:
        return {
            "apiVersion": "coordination.k8s.io/v1",
            "kind": "Lease",
            "namespace": self._settings.namespace,
            "name": self._settings.name,
            "uid": self._lease_uid,
        }
