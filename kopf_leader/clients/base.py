"""How the election reaches its one Lease: the protocol that each client library is fitted to."""

from collections.abc import AsyncGenerator, Mapping
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable
from urllib.parse import quote

from kopf_leader.protocol.record import API_VERSION

JSON = Mapping[str, Any]


def leases_path(namespace: str, name: str = "") -> str:
    """Where a namespace's Leases are in the API, or the one of this name."""
    path = f"/apis/{API_VERSION}/namespaces/{quote(namespace)}/leases"
    return f"{path}/{quote(name, safe='')}" if name else path


@dataclass(frozen=True, kw_only=True)
class WatchEvent:
    """One line of a watch: `kind` is ADDED, MODIFIED, DELETED, BOOKMARK or ERROR; `object` as it was sent."""

    kind: str
    object: JSON


class LeaseClient(Protocol):
    """One Lease in one namespace, for one event loop, on which nothing may block: all elections of a process share it.

    Every method raises `LeaseAPIError` and nothing else (but `asyncio.CancelledError`): with `status` when the server
    answered, without when no complete answer came (time-out, broken connection, garbage). No method retries anything
    by itself: a second copy of a write would hide what became of the first (L4). No request is sent twice.
    """

    async def read(self) -> JSON:
        """GET the Lease, without a resourceVersion: a quorum read (L16). 404 is a `LeaseAPIError` as well."""
        ...

    async def create(self, body: JSON) -> JSON:
        """POST the Lease; the object as stored."""
        ...

    async def replace(self, body: JSON) -> JSON:
        """PUT the Lease; the object as stored."""
        ...

    def watch(self, version: str | None) -> AsyncGenerator[WatchEvent, None]:
        """Watch the one Lease from `version`, or from now with what exists first; ends when the server ends it.

        It also ends, or raises, when nothing has been heard for some minutes: while a Lease is put on hold nobody
        writes, so nothing else would show that the watch is deaf.
        """
        ...

    async def login(self) -> None:
        """Get fresh credentials after a 401, through the operator's login handlers where there are any (L17)."""
        ...

    async def close(self) -> None:
        """Close the connections; idempotent."""
        ...


@runtime_checkable
class PodClient(Protocol):
    """A `LeaseClient` that can look at pods as well. Raises as its other methods do."""

    async def read_pod(self, namespace: str, name: str) -> JSON:
        """GET a pod. 404 is a `LeaseAPIError` as well."""
        ...

    def watch_pod(self, namespace: str, name: str, version: str) -> AsyncGenerator[WatchEvent, None]:
        """Watch this one pod from `version` on; ends when the server ends it."""
        ...
