"""Calls of a blocking library beside an event loop: each in a thread of its own, none of them waited for longer than
the caller likes (L4, L15).

The threads are daemons of our own and not the loop's executor: neither `asyncio.run` nor the end of the interpreter
waits for one that hangs. Their number is bounded: when that many hang, the next call is refused at once.
"""

import asyncio
import contextlib
import socket
import threading
from collections.abc import Callable
from typing import Any, Protocol, TypeVar

T = TypeVar("T")

MAX_THREADS = 8  # one request, one read, one watch, one log-in; the rest is for those that were given up


class Closable(Protocol):
    """A response that can be closed under its reader."""

    def close(self) -> None:
        """Give the connection up."""
        ...


class GivenUpError(ConnectionError):
    """The caller waits no more: nothing further is to be sent or read."""


class TooManyThreadsError(RuntimeError):
    """As many calls hang as there may be threads."""


class Exchange:
    """One request and its answer, across the threads that work on it; can be broken off from any other."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._sock: Any = None
        self._response: Closable | None = None
        self._busy = False
        self.given_up = False

    def use(self, sock: Any) -> None:
        """Tell the socket that this goes over. Raises `GivenUpError` when nobody waits for it any more."""
        with self._lock:
            if self.given_up:
                raise GivenUpError("nobody waits for this request any more")
            # Below TLS, as TLS has no half-closing that is safe beside a reader.
            self._sock = getattr(sock, "socket", sock)

    def hold(self, response: Closable) -> None:
        """Tell the response, for it to be closed when this is given up."""
        with self._lock:
            self._response = response

    def finish(self) -> None:
        """The answer is complete, and the connection is somebody else's from now on."""
        with self._lock:
            self._sock = self._response = None

    def give_up(self) -> None:
        """Wake up whoever blocks on the socket, and close everything; blocks for nothing. Idempotent."""
        with self._lock:
            self.given_up = True
            sock, response, busy = self._sock, self._response, self._busy
        if isinstance(sock, socket.socket):
            with contextlib.suppress(OSError):
                socket.socket.shutdown(sock, socket.SHUT_RDWR)
        if not busy and response is not None:
            _close(response)

    def begin(self) -> None:
        """A thread works on it. Raises `GivenUpError`."""
        with self._lock:
            if self.given_up:
                raise GivenUpError("nobody waits for this request any more")
            self._busy = True

    def end(self) -> None:
        """The thread is done with it, and closes what the others could not close under it."""
        with self._lock:
            self._busy = False
            response = self._response if self.given_up else None
        if response is not None:
            _close(response)


_current = threading.local()


def current_exchange() -> Exchange | None:
    """What this thread works on."""
    exchange: Exchange | None = getattr(_current, "exchange", None)
    return exchange


class Threads:
    """The threads of one client."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._lock = threading.Lock()
        self._running: dict[threading.Thread, Exchange] = {}

    @property
    def alive(self) -> int:
        """How many calls have not ended."""
        with self._lock:
            return len(self._running)

    async def call(self, exchange: Exchange, work: Callable[[], T]) -> T:
        """Do it in a thread, and wait for it. If this is cancelled, the exchange is given up, and the thread with it.

        Raises what `work` raises, `TooManyThreadsError`, and RuntimeError where no thread can be started.
        """
        loop = asyncio.get_running_loop()
        future: asyncio.Future[T] = loop.create_future()

        def run() -> None:
            try:
                done = self._work(exchange, work)
            finally:
                with self._lock:
                    del self._running[thread]
            with contextlib.suppress(RuntimeError):  # the loop has ended meanwhile
                loop.call_soon_threadsafe(_settle, future, *done)

        thread = threading.Thread(target=run, name=f"lease-{self._name}", daemon=True)
        with self._lock:
            if len(self._running) >= MAX_THREADS:
                raise TooManyThreadsError(f"{MAX_THREADS} earlier calls still hang")
            self._running[thread] = exchange
        try:
            thread.start()
        except BaseException:
            with self._lock:
                self._running.pop(thread, None)
            raise
        try:
            return await future
        except asyncio.CancelledError:
            exchange.give_up()
            raise

    def give_up(self) -> None:
        """Break off every call that is on."""
        with self._lock:
            exchanges = list(self._running.values())
        for exchange in exchanges:
            exchange.give_up()

    async def ended(self, *, within: float) -> bool:
        """Wait until no thread is left, for `within` seconds at most; whether that is so."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(within):
                while self.alive:  # noqa: ASYNC110 (a few milliseconds; threads have no event of the loop's)
                    await asyncio.sleep(0.005)
        return not self.alive

    @staticmethod
    def _work(exchange: Exchange, work: Callable[[], T]) -> tuple[T | None, BaseException | None]:
        _current.exchange = exchange
        try:
            exchange.begin()
            try:
                return work(), None
            finally:
                exchange.end()
        except BaseException as error:  # noqa: BLE001 (told to who waits)
            return None, error


def _settle(future: "asyncio.Future[Any]", result: Any, error: BaseException | None) -> None:
    if future.done():
        return
    if isinstance(error, StopIteration | asyncio.CancelledError):  # no future takes these
        error = RuntimeError(f"a thread ended with {type(error).__name__}")
    if error is not None:
        future.set_exception(error)
    else:
        future.set_result(result)


def _close(response: Closable) -> None:
    with contextlib.suppress(Exception):  # whatever it is, it is given up
        response.close()
