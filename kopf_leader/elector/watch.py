"""The watch on the one Lease: every candidate has one, and a standby needs nothing else (L16)."""

from contextlib import aclosing

from kopf_leader.clients.base import LeaseClient, WatchEvent
from kopf_leader.elector.observer import WatchEnd
from kopf_leader.elector.requests import Requests, given_up_within
from kopf_leader.errors import LeaseAPIError
from kopf_leader.protocol.record import version_of


class Watcher:
    """Reads the Lease, watches it from there, and starts over whenever the watch breaks (L17)."""

    def __init__(self, client: LeaseClient, requests: Requests) -> None:
        self._client = client
        self._requests = requests
        self._version: str | None = None

    async def run(self) -> None:
        """Watch until cancelled. While the watch is down this polls: one read every retry_period (L17)."""
        while True:
            lease = await self._requests.read()
            hurry = self._requests.stopwatch()
            try:
                self._version = str(version_of(lease)) if lease is not None else None
                while True:
                    await self._listen()
                    self._requests.observer.watch_ended(WatchEnd.ORDERLY)
            except LeaseAPIError as error:
                if error.status == 410 and not hurry():
                    self._requests.observer.watch_ended(WatchEnd.EXPIRED, error)
                    continue  # too old a version: read again
                await self._broken(error)
            except Exception as error:  # noqa: BLE001 (nonsense in an event, a mistake in a client: the election goes on)
                await self._broken(error)

    async def _listen(self) -> None:
        """One watch to its end; one that ends in order is opened again where it ended."""
        hurry = self._requests.stopwatch()
        async with aclosing(self._client.watch(self._version)) as events:
            with given_up_within():
                async for event in events:
                    self._take(event)
        if hurry():  # a server or proxy that closes watches at once must not be hammered
            await self._requests.retry_pause()

    def _take(self, event: WatchEvent) -> None:
        match event.kind:
            case "ADDED" | "MODIFIED":
                self._version = self._requests.seen(event.object)
            case "DELETED":
                self._version = self._requests.gone(event.object)
            case "BOOKMARK":
                self._version = str(version_of(event.object))
            case kind:
                raise LeaseAPIError(f"The watch on the Lease brought an event of the unknown kind {kind!r}.")

    async def _broken(self, error: Exception) -> None:
        self._requests.observer.watch_ended(WatchEnd.BROKEN, error)
        await self._requests.retry_pause(error)
