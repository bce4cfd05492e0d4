"""The watch on the one Lease: every candidate has one, and a standby needs nothing else (L16)."""

from contextlib import aclosing

from kopf_leader.clients.base import JSON, LeaseClient, WatchEvent
from kopf_leader.elector.observer import WatchEnd
from kopf_leader.elector.requests import Requests, given_up_within
from kopf_leader.errors import LeaseAPIError
from kopf_leader.protocol.record import version_of


class Watcher:
    """Reads the Lease, watches it from there, and starts over whenever the watch breaks (L17)."""

    def __init__(self, client: LeaseClient, requests: Requests) -> None:
        self._client = client
        self._requests = requests
        self._version: int | None = None
        """Where the watch goes on."""
        self._after: int | None = None
        """Which version of the Lease was the last before that, if it was there."""
        self._read: int | None = None
        self._origin: int | None = None
        """Where the watch began, if that was before what was read."""

    async def run(self) -> None:
        """Watch until cancelled. While the watch is down this polls: one read every retry_period (L17)."""
        while True:
            lease = await self._requests.read()
            hurry = self._requests.stopwatch()
            try:
                self._begin(lease)
                while True:
                    try:
                        await self._listen()
                        self._requests.observer.watch_ended(WatchEnd.ORDERLY)
                    except LeaseAPIError as error:
                        if not self._forgotten(error):
                            raise
            except LeaseAPIError as error:
                if error.status == 410 and not hurry():
                    self._requests.observer.watch_ended(WatchEnd.EXPIRED, error)
                    continue  # too old a version: read again
                await self._broken(error)
            except Exception as error:  # noqa: BLE001 (nonsense in an event, a mistake in a client: the election goes on)
                await self._broken(error)

    def _begin(self, lease: JSON | None) -> None:
        """Go on from what was read; for a proof of death (L6) from before the holder's last write, if that is told."""
        self._read = None if lease is None else version_of(lease)
        self._origin = None if lease is None else self._requests.traced_from(lease)
        self._version = self._after = self._read if self._origin is None else self._origin

    def _forgotten(self, error: LeaseAPIError) -> bool:
        """Whether nobody remembers what came before that which was read: then nothing is proved, and it goes on."""
        if error.status != 410 or self._origin is None or self._version != self._origin:
            return False
        self._origin, self._version, self._after = None, self._read, self._read
        return True

    async def _listen(self) -> None:
        """One watch to its end; one that ends in order is opened again where it ended."""
        hurry = self._requests.stopwatch()
        version = None if self._version is None else str(self._version)
        async with aclosing(self._client.watch(version)) as events:
            with given_up_within():
                async for event in events:
                    self._take(event)
        if hurry():  # a server or proxy that closes watches at once must not be hammered
            await self._requests.retry_pause()

    def _take(self, event: WatchEvent) -> None:
        match event.kind:
            case "ADDED" | "MODIFIED":
                self._version = self._after = self._requests.seen(event.object, after=self._after)
            case "DELETED":
                self._version, self._after = self._requests.gone(event.object), None
            case "BOOKMARK":
                self._version = version_of(event.object)
            case kind:
                raise LeaseAPIError(f"The watch on the Lease brought an event of the unknown kind {kind!r}.")

    async def _broken(self, error: Exception) -> None:
        self._requests.observer.watch_ended(WatchEnd.BROKEN, error)
        await self._requests.retry_pause(error)
