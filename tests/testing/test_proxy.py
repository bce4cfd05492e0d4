"""The faulty network does what each fault's name says, and nothing when it is healthy."""

from __future__ import annotations

import socket
import socketserver
import threading
import time
from collections.abc import Iterator
from contextlib import closing, suppress

import pytest

from kopf_leader.testing.proxy import Proxy

PATIENCE = 30.0  # until something that must happen
SILENCE = 0.2  # how long we listen to make sure that nothing comes


class Echo(socketserver.ThreadingTCPServer):
    """Answers every line with the same line, and remembers it."""

    allow_reuse_address = True
    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.heard: list[bytes] = []
        self.ended = threading.Semaphore(0)

    @property
    def port(self) -> int:
        return self.server_address[1]


class _Handler(socketserver.StreamRequestHandler):
    def handle(self) -> None:
        with suppress(ConnectionError):
            for line in self.rfile:
                self.server.heard.append(line)
                self.wfile.write(line)
        self.server.ended.release()


@pytest.fixture
def echo() -> Iterator[Echo]:
    with Echo() as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.fixture
def proxy(echo: Echo) -> Iterator[Proxy]:
    with Proxy("127.0.0.1", echo.port) as running:
        yield running


def connect(proxy: Proxy) -> socket.socket:
    return socket.create_connection(("127.0.0.1", proxy.port), timeout=PATIENCE)


def receive(client: socket.socket, size: int) -> bytes:
    data = b""
    while len(data) < size:
        piece = client.recv(65536)
        if not piece:
            break
        data += piece
    return data


def assert_silent(client: socket.socket) -> None:
    client.settimeout(SILENCE)
    with pytest.raises(TimeoutError):
        client.recv(1)
    client.settimeout(PATIENCE)


def until(condition) -> None:
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.005)


def test_a_healthy_network_changes_no_byte_in_either_direction(proxy: Proxy) -> None:
    """pass: a megabyte goes there and back unchanged."""
    payload = bytes(range(9)) * 120_000 + b"\n"
    payload = payload[:-1].replace(b"\n", b"_") + b"\n"
    with closing(connect(proxy)) as client:
        threading.Thread(target=client.sendall, args=(payload,)).start()
        assert receive(client, len(payload)) == payload


def test_an_ended_stream_is_passed_on_and_nothing_is_left_open(proxy: Proxy, echo: Echo) -> None:
    """The client's end of stream reaches the server, the rest of the reply the client, and the link is gone."""
    with closing(connect(proxy)) as client:
        client.sendall(b"last\n")
        client.shutdown(socket.SHUT_WR)
        assert receive(client, 100) == b"last\n"
    assert echo.ended.acquire(timeout=PATIENCE)
    until(lambda: proxy.open == 0)


def test_a_client_that_goes_away_leaves_nothing_open(proxy: Proxy, echo: Echo) -> None:
    """A closed client closes the connection to the server."""
    client = connect(proxy)
    client.sendall(b"x\n")
    receive(client, 2)
    client.close()
    assert echo.ended.acquire(timeout=PATIENCE)
    until(lambda: proxy.open == 0)


def test_cut_is_silence_and_heal_delivers_what_was_held(proxy: Proxy, echo: Echo) -> None:
    """cut: half-open. heal: a request of long ago lands now."""
    with closing(connect(proxy)) as client:
        client.sendall(b"before\n")
        assert receive(client, 7) == b"before\n"
        proxy.cut()
        client.sendall(b"during\n")
        assert_silent(client)
        assert echo.heard == [b"before\n"]
        proxy.heal()
        assert receive(client, 7) == b"during\n"


def test_cut_accepts_new_connections_and_leaves_them_silent(proxy: Proxy, echo: Echo) -> None:
    """cut: a new connection opens, and nothing reaches the server until the network heals."""
    proxy.cut()
    with closing(connect(proxy)) as client:
        client.sendall(b"new\n")
        assert_silent(client)
        assert echo.heard == []
        proxy.heal()
        assert receive(client, 4) == b"new\n"


def test_a_request_lands_late_though_its_sender_has_given_up(proxy: Proxy, echo: Echo) -> None:
    """L4: a timed-out write can land seconds later."""
    proxy.cut()
    client = connect(proxy)
    client.sendall(b"write\n")
    assert_silent(client)
    client.close()
    proxy.heal()
    until(lambda: echo.heard == [b"write\n"])
    until(lambda: proxy.open == 0)


def test_what_is_sent_into_a_losing_cut_never_arrives(proxy: Proxy, echo: Echo) -> None:
    """cut(lose=True): gone for good; the connection dies when the cut ends."""
    with closing(connect(proxy)) as client:
        client.sendall(b"before\n")
        assert receive(client, 7) == b"before\n"
        proxy.cut(lose=True)
        client.sendall(b"lost\n")
        assert_silent(client)
        proxy.heal()
        with pytest.raises(ConnectionError):
            assert client.recv(1)
    assert echo.heard == [b"before\n"]
    with closing(connect(proxy)) as client:
        client.sendall(b"after\n")
        assert receive(client, 6) == b"after\n"


def test_slow_reply_lets_requests_through(proxy: Proxy, echo: Echo) -> None:
    """slow_reply: the write lands, and its writer does not know."""
    proxy.slow_reply()
    with closing(connect(proxy)) as client:
        client.sendall(b"write\n")
        until(lambda: echo.heard == [b"write\n"])
        assert_silent(client)
        proxy.heal()
        assert receive(client, 6) == b"write\n"


def test_reply_then_cut_delivers_the_held_reply_and_nothing_more(proxy: Proxy, echo: Echo) -> None:
    """reply_then_cut: the reply arrives late, the next request goes nowhere."""
    proxy.slow_reply()
    with closing(connect(proxy)) as client:
        client.sendall(b"one\n")
        until(lambda: echo.heard == [b"one\n"])
        proxy.reply_then_cut()
        assert receive(client, 4) == b"one\n"
        client.sendall(b"two\n")
        assert_silent(client)
        assert echo.heard == [b"one\n"]


def test_slow_reply_then_cut_keeps_the_reply_back(proxy: Proxy, echo: Echo) -> None:
    """slow_reply, then cut: what was held stays held."""
    proxy.slow_reply()
    with closing(connect(proxy)) as client:
        client.sendall(b"one\n")
        until(lambda: echo.heard == [b"one\n"])
        proxy.cut()
        assert_silent(client)


def test_refuse_resets_what_is_open_and_refuses_what_is_new(proxy: Proxy) -> None:
    """refuse: the server is gone; heal: it is back at the same port."""
    with closing(connect(proxy)) as client:
        client.sendall(b"x\n")
        assert receive(client, 2) == b"x\n"
        proxy.refuse()
        with pytest.raises(ConnectionError):
            assert client.recv(1)
    with pytest.raises(ConnectionRefusedError):
        connect(proxy)
    proxy.heal()
    with closing(connect(proxy)) as client:
        client.sendall(b"y\n")
        assert receive(client, 2) == b"y\n"


def test_reset_accepts_and_resets(proxy: Proxy) -> None:
    """reset: connections old and new end with a reset."""
    with closing(connect(proxy)) as client:
        client.sendall(b"x\n")
        assert receive(client, 2) == b"x\n"
        proxy.reset()
        with pytest.raises(ConnectionError):
            assert client.recv(1)
    with pytest.raises(ConnectionError), closing(connect(proxy)) as client:
        client.sendall(b"x\n")
        assert client.recv(1)


def test_delay_keeps_the_order_and_the_time(proxy: Proxy) -> None:
    """delay(s): both directions later by s; a lower bound only, for machines may be slow but never fast."""
    proxy.delay(0.1)
    with closing(connect(proxy)) as client:
        began = time.monotonic()
        for number in range(5):
            client.sendall(f"{number}\n".encode())
        assert receive(client, 10) == b"0\n1\n2\n3\n4\n"
        assert time.monotonic() - began >= 0.2


def test_a_server_that_is_not_there_resets_the_client() -> None:
    """The proxy invents no server: nobody behind it is a reset."""
    with closing(socket.socket()) as unused:
        unused.bind(("127.0.0.1", 0))
        # The reset can come before connect() has returned.
        with (
            Proxy("127.0.0.1", unused.getsockname()[1]) as proxy,
            pytest.raises(ConnectionError),
            closing(connect(proxy)) as client,
        ):
            assert client.recv(1)


def test_stopping_ends_every_connection_and_frees_the_port(echo: Echo) -> None:
    """stop(): no thread, no connection, no port is left; stopping twice is fine."""
    proxy = Proxy("127.0.0.1", echo.port).start()
    client = connect(proxy)
    client.sendall(b"x\n")
    receive(client, 2)
    proxy.stop()
    proxy.stop()
    with pytest.raises(ConnectionError):
        assert client.recv(1)
    client.close()
    with pytest.raises(ConnectionRefusedError):
        connect(proxy)
    assert not any(thread.name == f"proxy-{proxy.port}" for thread in threading.enumerate())


def test_it_costs_little(proxy: Proxy) -> None:
    """A healthy network is no bottleneck: a thousand round trips within the time-out of a test."""
    with closing(connect(proxy)) as client:
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for _ in range(1000):
            client.sendall(b"ping\n")
            assert receive(client, 5) == b"ping\n"
