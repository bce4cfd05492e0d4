"""A faulty network of one's own: a TCP proxy on loopback whose behaviour changes while it runs.

It forwards bytes and knows no protocol, so TLS passes through untouched. It lives in a thread with an event loop; its
methods may be called from any thread, and when one returns, the new behaviour is in force.

Each fault has a purpose:

=================  ==============================================================================================
``heal()``         everything passes; what was held is delivered (a request of long ago can land now: law L4)
``cut()``          half-open: connections stay open and fall silent, new ones are accepted and fall silent
``cut(lose=True)`` the same, but what is sent meanwhile is gone; the connections die when the cut ends
``slow_reply()``   requests reach the server, replies are held: the write lands and its writer does not know
``reply_then_cut`` the held replies arrive, late, and then nothing more: the trap of counting from the reply
``delay(s)``       both directions, each by ``s`` seconds
``refuse()``       connection refused, open ones are reset: the server is gone
``reset()``        connections are accepted and reset at once, open ones too
=================  ==============================================================================================
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
import threading
from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from typing import Self

_LINGER_ZERO = struct.pack("ii", 1, 0)  # close() sends RST instead of FIN


@dataclass(frozen=True)
class _Behaviour:
    hold_requests: bool = False
    hold_replies: bool = False
    lose: bool = False
    delay: float = 0.0
    listening: bool = True
    reset: bool = False


class Proxy:
    """Listens on a free port of 127.0.0.1 and forwards to ``target_host:target_port``.

    A context manager; ``start()`` and ``stop()`` do the same. ``port`` is known from the start and never changes.
    ``bind(port)`` makes a socket of 127.0.0.1 with SO_REUSEPORT, in another network namespace for example.
    """

    def __init__(
        self, target_host: str, target_port: int, *, bind: Callable[[int], socket.socket] | None = None
    ) -> None:
        self._target = (target_host, target_port)
        self._bind = bind or bound
        # Bound for as long as the proxy lives and never listening: while we refuse, nobody else gets the port.
        self._reserved = self._bind(0)
        self.port: int = self._reserved.getsockname()[1]
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name=f"proxy-{self.port}", daemon=True)
        self._behaviour = _Behaviour()
        self._links: set[_Link] = set()
        self._server: asyncio.Server | None = None
        self.accepted = 0

    def start(self) -> Self:
        """Listen, and pass everything."""
        self._thread.start()
        self._call(self._listen)
        return self

    def stop(self) -> None:
        """Reset what is open, close the port, end the thread."""
        if self._loop.is_closed():
            return
        if self._thread.is_alive():
            self._call(self._shut)
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join()
        self._loop.close()
        self._reserved.close()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()

    @property
    def open(self) -> int:
        """Connections that are open now."""
        return len(self._links)

    def heal(self) -> None:
        """Pass everything again, and deliver what was held."""
        self._become(_Behaviour())

    def cut(self, *, lose: bool = False) -> None:
        """Nothing passes in either direction, and nobody is told."""
        self._become(_Behaviour(hold_requests=True, hold_replies=True, lose=lose))

    def slow_reply(self) -> None:
        """Requests pass, replies are held until the next change."""
        self._become(_Behaviour(hold_replies=True))

    def reply_then_cut(self) -> None:
        """Deliver the replies held so far, and cut in the same step."""

        async def act() -> None:
            for link in list(self._links):
                link.replies.flush(hold=False)
            await self._change(_Behaviour(hold_requests=True, hold_replies=True))

        self._call(act)

    def delay(self, seconds: float) -> None:
        """Everything passes, ``seconds`` later, in order."""
        self._become(_Behaviour(delay=seconds))

    def refuse(self) -> None:
        """Nobody listens; open connections are reset."""
        self._become(_Behaviour(listening=False, reset=True))

    def reset(self) -> None:
        """Open connections are reset, new ones are accepted and reset."""
        self._become(_Behaviour(reset=True))

    # Inside, on the proxy's own loop

    def _become(self, behaviour: _Behaviour) -> None:
        self._call(lambda: self._change(behaviour))

    def _call(self, function: Callable[[], Awaitable[None]]) -> None:
        async def run() -> None:
            await function()

        asyncio.run_coroutine_threadsafe(run(), self._loop).result(30)

    async def _change(self, behaviour: _Behaviour) -> None:
        before, self._behaviour = self._behaviour, behaviour
        if behaviour.reset or (before.lose and not behaviour.lose):
            for link in list(self._links):
                link.abort()
        if behaviour.listening and self._server is None:
            await self._listen()
        if not behaviour.listening and self._server is not None:
            self._server.close()
            self._server = None
        for link in list(self._links):
            link.adapt()

    async def _listen(self) -> None:
        listener = self._bind(self.port)
        self._server = await self._loop.create_server(lambda: _Side(self), sock=listener, backlog=512)

    async def _shut(self) -> None:
        self._behaviour = replace(self._behaviour, reset=True)
        if self._server is not None:
            self._server.close()
        for link in list(self._links):
            link.abort()
        # Transports report their end in the next rounds of the loop.
        pending = [link.connecting for link in self._links if link.connecting is not None]
        await asyncio.gather(*pending, return_exceptions=True)
        await asyncio.sleep(0.01)

    def _accepted(self, client: _Side) -> _Link | None:
        self.accepted += 1
        if self._behaviour.reset:
            client.abort()
            return None
        link = _Link(self, client)
        self._links.add(link)
        link.adapt()
        return link


class _Side(asyncio.Protocol):
    """One end of a link: the client's or the server's."""

    def __init__(self, proxy: Proxy, link: _Link | None = None) -> None:
        self._proxy = proxy
        self._link = link
        self._transport: asyncio.Transport | None = None
        self.closed = False
        self._ended_reading = False
        self._ended_writing = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        sock = transport.get_extra_info("socket")
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if self._link is None:
            self._link = self._proxy._accepted(self)  # noqa: SLF001 - the two halves of one machine

    def data_received(self, data: bytes) -> None:
        if self._link is not None:
            self._link.outgoing(self).put(data)

    def eof_received(self) -> bool:
        self._ended_reading = True
        if self._link is not None:
            self._link.outgoing(self).put(None)
        # Half-closed: the other direction may still have something to say. False closes.
        return not self._ended_writing

    def connection_lost(self, exc: Exception | None) -> None:
        self.closed = True
        if self._link is not None:
            self._link.lost(self, broken=exc is not None)

    def send(self, data: bytes | None) -> None:
        """Write; None passes on the end of the stream."""
        if self._transport is None or self._transport.is_closing():
            return
        if data is not None:
            self._transport.write(data)
            return
        self._ended_writing = True
        if self._ended_reading:
            self._transport.close()
        else:
            with contextlib.suppress(OSError):
                self._transport.write_eof()

    def abort(self) -> None:
        """End it with a reset."""
        if self._transport is not None and not self._transport.is_closing():
            sock = self._transport.get_extra_info("socket")
            with contextlib.suppress(OSError):
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _LINGER_ZERO)
            self._transport.abort()


class _Link:
    """A client's connection and ours to the server, which is made when the network lets it through."""

    def __init__(self, proxy: Proxy, client: _Side) -> None:
        self.proxy = proxy
        self.client = client
        self.server: _Side | None = None
        self.connecting: asyncio.Task[None] | None = None
        self.requests = _Pipe(self, lambda: self.server)
        self.replies = _Pipe(self, lambda: self.client)

    def outgoing(self, side: _Side) -> _Pipe:
        """The pipe into which ``side`` writes."""
        return self.requests if side is self.client else self.replies

    def adapt(self) -> None:
        """Behave as the proxy behaves now."""
        behaviour = self.proxy._behaviour  # noqa: SLF001 - the two halves of one machine
        if self.server is None and self.connecting is None and not behaviour.hold_requests:
            self.connecting = asyncio.get_running_loop().create_task(self._connect())
        self.requests.adapt(hold=behaviour.hold_requests, lose=behaviour.lose, delay=behaviour.delay)
        self.replies.adapt(hold=behaviour.hold_replies, lose=behaviour.lose, delay=behaviour.delay)

    async def _connect(self) -> None:
        loop, target = asyncio.get_running_loop(), self.proxy._target  # noqa: SLF001 - the two halves of one machine
        try:
            _, self.server = await loop.create_connection(lambda: _Side(self.proxy, self), *target)
        except OSError:
            self.abort()
            return
        self.requests.flush()

    def lost(self, side: _Side, *, broken: bool) -> None:
        """One end is gone: tell the other, behind what is still on its way."""
        self.outgoing(side).put(None)
        if broken:
            other = self.server if side is self.client else self.client
            if other is not None and self.outgoing(side).empty:
                other.abort()
        if self.client.closed and (self.server is None or self.server.closed) and self.requests.empty:
            self.proxy._links.discard(self)  # noqa: SLF001 - the two halves of one machine

    def abort(self) -> None:
        """Reset both ends."""
        if self.connecting is not None:
            self.connecting.cancel()
        self.requests.clear()
        self.replies.clear()
        self.client.abort()
        if self.server is not None:
            self.server.abort()
        self.proxy._links.discard(self)  # noqa: SLF001 - the two halves of one machine


class _Pipe:
    """One direction of a link: a queue that is empty as long as everything passes."""

    def __init__(self, link: _Link, target: Callable[[], _Side | None]) -> None:
        self._link = link
        self._target = target
        self._queue: deque[tuple[float, bytes | None]] = deque()
        self._hold = False
        self._lose = False
        self._delay = 0.0
        self._timer: asyncio.TimerHandle | None = None

    @property
    def empty(self) -> bool:
        return not self._queue

    def adapt(self, *, hold: bool, lose: bool, delay: float) -> None:
        self._hold, self._lose, self._delay = hold, lose, delay
        self.flush()

    def put(self, data: bytes | None) -> None:
        if self._lose:
            return
        target = self._target()
        if not self._queue and not self._hold and not self._delay and target is not None:
            target.send(data)
            return
        self._queue.append((asyncio.get_running_loop().time() + self._delay, data))
        self.flush()

    def clear(self) -> None:
        self._queue.clear()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def flush(self, *, hold: bool | None = None) -> None:
        """Send what is due."""
        target, loop = self._target(), asyncio.get_running_loop()
        if target is None or (self._hold if hold is None else hold):
            return
        while self._queue:
            due, data = self._queue[0]
            if self._delay and due > loop.time():
                if self._timer is None:
                    self._timer = loop.call_at(due, self._wake)
                return
            self._queue.popleft()
            target.send(data)

    def _wake(self) -> None:
        self._timer = None
        self.flush()


def bound(port: int) -> socket.socket:
    sock = socket.socket()
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    sock.bind(("127.0.0.1", port))
    return sock
