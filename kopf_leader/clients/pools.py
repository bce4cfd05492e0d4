"""Sessions that are shared: the clients of one event loop that show the same credentials to the same server have one.

A watch keeps a connection to itself, for as long as it lasts. Of the others one is kept: requests are short, and who
finds it taken has one for this request alone, so that nobody waits for anybody. More kept ones would be more that can
have died unnoticed, each of which costs an attempt.
"""

import asyncio
import contextlib
import threading
import weakref
from collections.abc import Iterator

import aiohttp

from kopf_leader.clients import tls
from kopf_leader.clients.credentials import Credentials

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
    """A session, which is closed by the last who leaves it; see `join`."""

    def __init__(self, credentials: Credentials) -> None:
        self.loop = asyncio.get_running_loop()
        self.key = credentials.connection_key
        self.session = _adopt(credentials.session) if credentials.session is not None else _make(credentials)
        self.members = 0
        self._asking = 0

    @contextlib.contextmanager
    def asking(self) -> Iterator[dict[str, str]]:
        """A request is on that is no watch, to its last byte; the headers that it needs for that."""
        self._asking += 1
        try:
            yield {"Connection": "close"} if self._asking > 1 else {}
        finally:
            self._asking -= 1

    async def leave(self) -> None:
        """Once for each `join`. The last one closes the session, under whatever is on there."""
        self.members -= 1
        if not self.members:
            await self.session.close()


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


def _make(credentials: Credentials) -> aiohttp.ClientSession:
    secure = credentials.server.startswith("https:")
    return aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(
            limit=0,  # nobody waits for a connection
            ssl=tls.ssl_context(credentials.info) if secure else True,
            keepalive_timeout=KEEPALIVE,
            use_dns_cache=False,  # it looks up in a task that outlives a cancelled request
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
