"""Connections that are shared: the clients of one event loop that show the same credentials to the same server.

A watch has a connection of its own, for as long as it lasts. Requests are short, and a few kept connections serve those
of all clients, in turns. Two rules see to it that nobody suffers by that: who has waited for a moment has a connection
made for this one request; and so has who got no answer to the request before, as what is kept may have died unnoticed.
"""

import asyncio
import contextlib
import threading
import weakref
from collections.abc import AsyncIterator
from typing import Any

import aiohttp

from kopf_leader.clients import tls
from kopf_leader.clients.credentials import Credentials

FEW = 4
MOMENT = 0.05  # seconds
# Below the idle time-out of kube-apiserver (90 s) and of the usual load balancers (60 s), so that it is not the server
# who closes a connection at the very moment when a write goes out on it.
KEEPALIVE = 50.0


class BrokenOff(aiohttp.ClientError):
    """The connection ended before the head of the answer had come."""


class OnceResponse(aiohttp.ClientResponse):
    """A response whose request is not sent again.

    aiohttp repeats GET and PUT when a kept connection turns out to be closed, and has no public switch for it; it does
    so for two classes of errors, which do not leave this method.
    """

    async def start(self, connection: aiohttp.connector.Connection) -> aiohttp.ClientResponse:
        try:
            return await super().start(connection)
        except (aiohttp.ClientOSError, aiohttp.ServerDisconnectedError) as exc:
            raise BrokenOff(f"the connection broke before the answer: {str(exc) or type(exc).__name__}") from exc


class Pool:
    """The connections of all who have joined; see `join`."""

    def __init__(self, credentials: Credentials) -> None:
        self.loop = asyncio.get_running_loop()
        self.key = credentials.connection_key
        self.members = 0
        self._places = asyncio.Semaphore(FEW)
        if credentials.session is not None:
            self.single = self._kept = _adopt(credentials.session)
            return
        secure = credentials.server.startswith("https:")
        context = tls.ssl_context(credentials.info) if secure else True
        self._kept = _make(ssl=context, keepalive_timeout=KEEPALIVE)
        self.single = _make(ssl=context, force_close=True)
        """Makes a connection for each request or watch, and closes it after that."""

    @contextlib.asynccontextmanager
    async def turn(self) -> AsyncIterator[aiohttp.ClientSession]:
        """What to send a request over, which ends within the block."""
        try:
            async with asyncio.timeout(MOMENT):
                await self._places.acquire()
        except TimeoutError:
            yield self.single
            return
        try:
            yield self._kept
        finally:
            self._places.release()

    async def leave(self) -> None:
        """Once for each `join`. The last one closes every connection, whatever is on there."""
        self.members -= 1
        if not self.members:
            try:
                await self._kept.close()
            finally:
                await self.single.close()


class _Pools(threading.local):
    """The pools of this thread: a loop does not change its thread. One that is not left is forgotten all the same."""

    def __init__(self) -> None:
        self.known: weakref.WeakSet[Pool] = weakref.WeakSet()


_pools = _Pools()


def join(credentials: Credentials) -> Pool:
    """The pool for these credentials on the running loop; opens nothing yet.

    Raises what `tls.ssl_context` raises, and ValueError for a session of another loop.
    """
    loop, key = asyncio.get_running_loop(), credentials.connection_key
    fit = (pool for pool in _pools.known if pool.members and pool.loop is loop and pool.key == key)
    pool = next(fit, None) or Pool(credentials)
    _pools.known.add(pool)
    pool.members += 1
    return pool


def _make(**options: Any) -> aiohttp.ClientSession:
    return aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(
            limit=0,  # who may open one, and when, is said above
            use_dns_cache=False,  # it looks up in a task that outlives a cancelled request
            **options,
        ),
        response_class=OnceResponse,
        auto_decompress=False,
        cookie_jar=aiohttp.DummyCookieJar(),
    )


def _adopt(session: aiohttp.ClientSession) -> aiohttp.ClientSession:
    """Take over a ready-made session, as kopf does: it is closed with the last of its clients."""
    if getattr(session, "_loop", None) is not asyncio.get_running_loop():
        raise ValueError(
            "The login handlers returned a kopf.AiohttpSession of another event loop, which the election cannot use: "
            "create it inside an async login handler, anew for each call."
        )
    session._retry_connection = False  # noqa: SLF001 (no public switch; see OnceResponse)
    return session
