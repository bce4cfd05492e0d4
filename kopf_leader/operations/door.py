"""The way into the endpoints: so many connections, so many bytes, so long, and one request for each.

A probe or a scrape is one short request. Whoever wants more is somebody who means harm or is broken: without bounds it
could use up the process's file descriptors, which the election needs for its own connections, or its memory.
"""

import asyncio
import contextlib
import logging
import socket
from collections.abc import AsyncIterator, Callable, Sequence

from aiohttp import http_exceptions, web

MAX_CONNECTIONS = 64  # beyond these the oldest is cut off: a probe's own needs milliseconds
MAX_BYTES = 64 * 1024  # of a request
MAX_AGE = 10.0  # seconds for a request and its answer
_EXHAUSTED_PAUSE = 0.1  # seconds, when there are no file descriptors for one more

logger = logging.getLogger("kopf_leader.endpoints")


def _is_ours(record: logging.LogRecord) -> bool:
    """What a client did wrong is told to the client: a log that it could fill would hide what is in it."""
    error = record.exc_info[1] if record.exc_info else None
    return not isinstance(error, http_exceptions.HttpProcessingError)


logger.addFilter(_is_ours)


class _Visit(asyncio.Protocol):
    """A connection, which passes what it bears on to aiohttp's, as long as it keeps within the bounds."""

    def __init__(self, inner: asyncio.Protocol, gone: Callable[["_Visit"], None]) -> None:
        self._inner = inner
        self._gone = gone
        self._left = MAX_BYTES
        self._transport: asyncio.Transport | None = None
        self._end: asyncio.TimerHandle | None = None

    def cut(self) -> None:
        """Drop it now, with whatever was still to be sent."""
        if self._transport is not None:
            self._transport.abort()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)  # noqa: S101 (of a stream socket)
        self._transport = transport
        self._end = asyncio.get_running_loop().call_later(MAX_AGE, self.cut)
        self._inner.connection_made(transport)

    def data_received(self, data: bytes) -> None:
        self._left -= len(data)
        if self._left < 0:
            self.cut()
        else:
            self._inner.data_received(data)

    def eof_received(self) -> bool | None:
        return self._inner.eof_received()

    def pause_writing(self) -> None:
        self._inner.pause_writing()

    def resume_writing(self) -> None:
        self._inner.resume_writing()

    def connection_lost(self, exc: Exception | None) -> None:
        if self._end is not None:
            self._end.cancel()
        self._gone(self)
        self._inner.connection_lost(exc)


class Door:
    """Lets connections of one listening socket in."""

    def __init__(self, listener: socket.socket, make: Callable[[], asyncio.Protocol]) -> None:
        """`make`: aiohttp's side of a connection."""
        self._listener = listener
        self._make = make
        self._visits: dict[_Visit, None] = {}  # the oldest first

    async def serve(self) -> None:
        """Let in whoever comes, until cancelled."""
        loop = asyncio.get_running_loop()
        self._listener.setblocking(False)
        while True:
            try:
                connection, _ = await loop.sock_accept(self._listener)
            except OSError:  # out of descriptors, or the client has gone already
                self._make_room(MAX_CONNECTIONS // 2)
                await asyncio.sleep(_EXHAUSTED_PAUSE)
                continue
            self._make_room(MAX_CONNECTIONS - 1)
            try:
                await loop.connect_accepted_socket(self._visit, connection)
            except OSError:
                connection.close()

    def _visit(self) -> _Visit:
        visit = _Visit(self._make(), self._leave)
        self._visits[visit] = None
        return visit

    def _leave(self, visit: _Visit) -> None:
        self._visits.pop(visit, None)

    def _make_room(self, most: int) -> None:
        while len(self._visits) > most:
            oldest = next(iter(self._visits))
            self._leave(oldest)
            oldest.cut()


async def one_request(_: web.Request, response: web.StreamResponse) -> None:
    """The signal `on_response_prepare`: the connection ends with the answer."""
    response.force_close()
    response.headers["Connection"] = "close"


@contextlib.asynccontextmanager
async def open_doors(doors: Sequence[Door]) -> AsyncIterator[None]:
    """Let connections in while the block lasts."""
    tasks = [asyncio.create_task(door.serve(), name="endpoints") for door in doors]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
