"""One client's requests over connections that it may share: who is on, and how to break them off."""

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Sequence
from typing import Any

import aiohttp

from kopf_leader.clients import pools
from kopf_leader.clients.credentials import Credentials

# A peer that has vanished is noticed on a silent watch after idle + interval × count = 35 s.
_PROBES = (("TCP_KEEPIDLE", 20), ("TCP_KEEPINTVL", 5), ("TCP_KEEPCNT", 3))


class Connections:
    """A client's part in a pool, which its last request leaves when the client goes on with other credentials."""

    def __init__(self, credentials: Credentials) -> None:
        """Open nothing yet. Raises what `pools.join` raises."""
        self._pool = pools.join(credentials)
        self._users = 0
        self._opening: set[asyncio.Timeout] = set()
        self._responses: set[aiohttp.ClientResponse] = set()
        self._doubtful = False
        self._retired = False
        self._left = False

    @property
    def used(self) -> bool:
        """Whether a request or a watch is on."""
        return self._users > 0

    @contextlib.asynccontextmanager
    async def request(self, method: str, url: str, **options: Any) -> AsyncIterator[aiohttp.ClientResponse]:
        """Send a request, and bring its response, open for as long as the block. Raises what aiohttp raises."""
        async with self._use():
            turn = contextlib.nullcontext(self._pool.single) if self._doubtful else self._pool.turn()
            try:
                async with turn as session, self._answer(session, method, url, **options) as response:
                    yield response
            except BaseException:
                self._doubtful = True
                raise
            self._doubtful = False

    @contextlib.asynccontextmanager
    async def watch(self, url: str, *, patience: float, **options: Any) -> AsyncIterator[aiohttp.ClientResponse]:
        """GET what lasts. `patience` is for the head of the response, in seconds. Raises TimeoutError as well."""
        async with self._use(), self._answer(self._pool.single, "GET", url, patience=patience, **options) as response:
            yield response

    async def retire(self) -> None:
        """Leave the pool as soon as no request of this client's is on."""
        self._retired = True
        if not self._users:
            await self._leave()

    async def close(self) -> None:
        """Leave it now, and break off this client's requests, but nobody else's."""
        for opening in self._opening:
            if not opening.expired():
                opening.reschedule(0.0)
        for response in tuple(self._responses):
            response.close()  # closing the session alone would leave their readers waiting for ever
        await self._leave()

    @contextlib.asynccontextmanager
    async def _use(self) -> AsyncIterator[None]:
        self._users += 1
        try:
            yield
        finally:
            self._users -= 1
            if self._retired and not self._users:
                await self._leave()

    @contextlib.asynccontextmanager
    async def _answer(
        self, session: aiohttp.ClientSession, method: str, url: str, *, patience: float | None = None, **options: Any
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        opening = asyncio.timeout(patience)
        self._opening.add(opening)
        try:
            async with opening:
                response = await session.request(method, url, allow_redirects=False, **options)
        except TimeoutError:
            if self._left:
                raise pools.BrokenOff("the client has been closed") from None
            raise
        finally:
            self._opening.discard(opening)
        self._responses.add(response)
        try:
            yield response
        finally:
            self._responses.discard(response)
            response.close()  # one that was read to its end has given its connection back before

    async def _leave(self) -> None:
        if not self._left:
            self._left = True
            await self._pool.leave()


async def close_all(connections: Sequence[Connections]) -> None:
    """Close each of them, also when cancelled."""
    if connections:
        try:
            await connections[0].close()
        finally:
            await close_all(connections[1:])


def probe(response: aiohttp.ClientResponse) -> None:
    """Have the kernel ask whether the peer of a long silent response is still there."""
    transport = response.connection.transport if response.connection is not None else None
    sock = transport.get_extra_info("socket") if transport is not None else None
    if sock is None or sock.family not in (socket.AF_INET, socket.AF_INET6):
        return
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for option, value in _PROBES:
        if hasattr(socket, option):  # macOS lacks one of them; the time-out on reading is there as well
            sock.setsockopt(socket.IPPROTO_TCP, getattr(socket, option), value)
