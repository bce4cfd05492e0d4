"""aiohttp as the election needs it: each request sent once, and connections that outlive nobody's request."""

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Sequence
from typing import Any

import aiohttp

from kopf_leader.clients import tls
from kopf_leader.clients.credentials import Credentials

# Below the idle time-out of kube-apiserver (90 s) and of the usual load balancers (60 s), so that it is not the server
# who closes a connection at the very moment when a write goes out on it.
KEEPALIVE = 50.0
# A peer that has vanished is noticed on a silent watch after idle + interval × count = 35 s.
_PROBES = (("TCP_KEEPIDLE", 20), ("TCP_KEEPINTVL", 5), ("TCP_KEEPCNT", 3))


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


class Connections:
    """A session and who uses it: a session that was replaced is closed by the last of them."""

    def __init__(self, credentials: Credentials) -> None:
        """Open nothing yet. Raises what `tls.ssl_context` raises, and ValueError for a session of another loop."""
        self._session = _adopt(credentials.session) if credentials.session is not None else _make(credentials)
        self._users = 0
        self._responses: set[aiohttp.ClientResponse] = set()
        self._retired = False

    @property
    def used(self) -> bool:
        """Whether a request or a watch is on."""
        return self._users > 0

    @contextlib.asynccontextmanager
    async def request(
        self, method: str, url: str, *, patience: float | None = None, **options: Any
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        """Send a request, and bring its response, open for as long as the block.

        `patience` is for the head of the response, in seconds. Raises TimeoutError and what aiohttp raises.
        """
        self._users += 1
        response = None
        try:
            async with asyncio.timeout(patience):
                response = await self._session.request(method, url, allow_redirects=False, **options)
            self._responses.add(response)
            yield response
        finally:
            if response is not None:
                self._responses.discard(response)
                response.close()  # one that was read to its end has given its connection back before
            self._users -= 1
            if self._retired and not self._users:
                await self._session.close()

    async def retire(self) -> None:
        """Close it as soon as nobody uses it."""
        self._retired = True
        if not self._users:
            await self._session.close()

    async def close(self) -> None:
        """Close it now, under those who use it."""
        self._retired = True
        for response in tuple(self._responses):
            response.close()  # closing the session alone would leave their readers waiting for ever
        await self._session.close()


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


def _make(credentials: Credentials) -> aiohttp.ClientSession:
    secure = credentials.server.startswith("https:")
    return aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(
            limit=0,  # a watch never keeps a write waiting
            ssl=tls.ssl_context(credentials.info) if secure else True,
            keepalive_timeout=KEEPALIVE,
            use_dns_cache=False,  # it looks up in a task that outlives a cancelled request
        ),
        response_class=OnceResponse,
        auto_decompress=False,
        cookie_jar=aiohttp.DummyCookieJar(),
    )


def _adopt(session: aiohttp.ClientSession) -> aiohttp.ClientSession:
    """Take over a ready-made session, as kopf does: it is closed with the client."""
    if getattr(session, "_loop", None) is not asyncio.get_running_loop():
        raise ValueError(
            "The login handlers returned a kopf.AiohttpSession of another event loop, which the election cannot use: "
            "create it inside an async login handler, anew for each call."
        )
    session._retry_connection = False  # noqa: SLF001 (no public switch; see OnceResponse)
    return session
