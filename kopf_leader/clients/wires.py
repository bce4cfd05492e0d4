"""urllib3 as the election needs it, under both blocking libraries: connections that can be broken off from another
thread, that notice a peer that vanished, and that are not used again after a long pause.
"""

import socket
import time
from collections.abc import Iterator
from typing import Any

import urllib3

from kopf_leader.clients import answers
from kopf_leader.clients.threads import current_exchange

# Below the idle time-out of kube-apiserver (90 s) and of the usual load balancers (60 s), so that it is not the server
# who closes a connection at the very moment when a write goes out on it.
KEEPALIVE = 50.0
PIECE = 0x10000  # bytes
# A peer that has vanished is noticed on a silent watch after idle + interval × count = 35 s.
_PROBES = (("TCP_KEEPIDLE", 20), ("TCP_KEEPINTVL", 5), ("TCP_KEEPCNT", 3))


class _Bound:
    """Mixed into a connection class of urllib3: tells the exchange that uses it which socket that is."""

    sock: Any
    _used = 0.0

    @property
    def is_connected(self) -> bool:
        """Whether it can be used again."""
        fresh: bool = super().is_connected  # type: ignore[misc] # the connection class has it
        return fresh and time.monotonic() - self._used < KEEPALIVE

    def _new_conn(self) -> Any:
        sock = super()._new_conn()  # type: ignore[misc] # as above; urllib3's own SOCKS support overrides it as well
        self._tell(sock)
        return sock

    def connect(self) -> None:
        super().connect()  # type: ignore[misc] # as above
        self._tell(self.sock)
        _probe(self.sock)

    def request(self, *args: Any, **options: Any) -> None:
        self._used = time.monotonic()
        if self.sock is not None:
            self._tell(self.sock)
        super().request(*args, **options)  # type: ignore[misc] # as above

    @staticmethod
    def _tell(sock: Any) -> None:
        exchange = current_exchange()
        if exchange is not None:
            try:
                exchange.use(sock)
            except BaseException:
                sock.close()
                raise


def bind(manager: urllib3.PoolManager) -> None:
    """Have this pool manager make such connections, whatever kind it makes otherwise (plain, TLS, SOCKS)."""
    manager.pool_classes_by_scheme = {scheme: _bound(pool) for scheme, pool in manager.pool_classes_by_scheme.items()}


def _bound(pool: Any) -> Any:
    if issubclass(pool.ConnectionCls, _Bound):
        return pool
    connection = type(f"Bound{pool.ConnectionCls.__name__}", (_Bound, pool.ConnectionCls), {})
    return type(f"Bound{pool.__name__}", (pool,), {"ConnectionCls": connection})


def pieces(response: Any) -> Iterator[bytes]:
    """The body as it arrives. A chunked one comes chunk by chunk, any other one as soon as a byte is there.

    Raises what urllib3 raises, and ConnectionError at the end of a stream that does not say that it ends.
    """
    if response.chunked and response.supports_chunked_reads():
        yield from response.read_chunked(PIECE, decode_content=False)
        return
    while piece := response.read(1, decode_content=False):
        yield piece
    if response.headers.get("Content-Length") is None:  # whether it was cut, nobody can tell
        raise ConnectionError("the stream ended without a mark of its end")


def whole(response: Any) -> bytes:
    """The whole body. Raises `answers.TooLong`."""
    body = bytearray()
    for piece in response.stream(PIECE, decode_content=False):
        body += piece
        if len(body) > answers.MAX_BODY:
            raise answers.TooLong(f"The answer is longer than {answers.MAX_BODY} bytes.")
    return bytes(body)


def _probe(sock: Any) -> None:
    """Have the kernel ask whether the peer of a long silent connection is still there."""
    sock = getattr(sock, "socket", sock)
    if not isinstance(sock, socket.socket) or sock.family not in (socket.AF_INET, socket.AF_INET6):
        return
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for option, value in _PROBES:
        if hasattr(socket, option):  # macOS lacks one of them; the time-out on reading is there as well
            sock.setsockopt(socket.IPPROTO_TCP, getattr(socket, option), value)
