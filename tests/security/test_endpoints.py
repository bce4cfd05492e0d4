"""The endpoints of health and metrics survive whoever talks to them, and answer a probe meanwhile."""

import asyncio
import contextlib
import logging
import socket
import threading
import time
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry

from kopf_leader.operations import door
from kopf_leader.operations.address import Address
from kopf_leader.operations.site import Operations
from tests.elector.test_thread import wait_for
from tests.operations.looks import get

OPEN = Path("/proc/self/fd")
FLOOD = b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n"
BAD = {
    "half a line": b"GET /healthz HT",
    "a head without an end": b"GET /healthz HTTP/1.1\r\nHost:",
    "a huge URL": b"GET /" + b"a" * 200_000 + b" HTTP/1.1\r\n\r\n",
    "a huge header": b"GET /healthz HTTP/1.1\r\nX: " + b"a" * 10_000_000,
    "headers without an end": b"GET /healthz HTTP/1.1\r\n" + b"".join(b"X-%d: y\r\n" % n for n in range(300_000)),
    "a huge body": b"POST /healthz HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999999\r\n\r\n" + b"a" * 10_000_000,
    "chunks without an end": b"GET /healthz HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n" + b"1\r\na\r\n" * 500_000,
    "a bad chunk": b"GET /healthz HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nZZ\r\n\x1b[2J\r\n",
    "a pipeline": FLOOD * 50_000,
    "binary": bytes(range(256)) * 1000,
    "TLS": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\x07" * 500,
    "no HTTP": b"\x1b[2JFORGED line\r\n\r\n",
    "a bad version": b"GET /healthz HTTP/9.9\r\n\r\n",
    "two lengths": b"GET / HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab",
    "an upgrade": b"GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n" + b"a" * 99_999,
    "a path outside": b"GET /../../etc/passwd HTTP/1.1\r\nHost: x\r\n\r\n",
    "zeros": b"\0" * 100_000,
}  # fmt: skip


@pytest.fixture
def port(caplog):
    """The endpoints of a process whose loop turns; both kinds at one port."""
    caplog.set_level(logging.DEBUG)
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    at = Address("127.0.0.1", 0)
    operations = Operations(health_at=at, metrics_at=at, registry=CollectorRegistry())
    try:
        with operations.serving(loop):
            yield operations.endpoints.server.ports["health"]
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


def talk(port, said, *, reads=True):
    """Say it, for as long as it is listened to; what came back, or the open connection where it is not read."""
    client = socket.create_connection(("127.0.0.1", port), timeout=30)
    client.settimeout(0.5)
    answer = b""
    with contextlib.suppress(OSError):
        client.sendall(said)
    if not reads:
        return client
    with contextlib.suppress(OSError):
        while piece := client.recv(65536):
            answer += piece
    client.close()
    return answer


@pytest.mark.parametrize("said", BAD.values(), ids=BAD)
def test_a_bad_client(port, said, caplog):
    """Whatever it says: no word of it in the log, at no level an error, a small answer, and others are served."""
    answer = talk(port, said)
    assert len(answer) < 200_000
    assert b"\x1b" not in answer
    assert get(port, "/healthz") == (200, "ok")
    assert get(port, "/metrics")[0] == 200
    assert not [record for record in caplog.records if record.levelno >= logging.WARNING]
    assert "FORGED" not in caplog.text


def test_one_request_for_each_connection(port):
    """What is sent after a request is not answered: a pipeline cannot make the process work."""
    answer = talk(port, FLOOD.replace(b"/metrics", b"/healthz") * 3)
    assert answer.count(b"HTTP/1.1 200") == 1
    assert b"Connection: close" in answer


def descriptors():
    """How many this process has open; 0 where that cannot be known."""
    return len([*OPEN.iterdir()]) if OPEN.is_dir() else 0


def test_many_slow_clients(port):
    """Many connections that say little or nothing, or do not read: their number is bounded, and a probe is answered."""
    before = descriptors()
    with contextlib.ExitStack() as stack:
        for number in range(4 * door.MAX_CONNECTIONS):
            said = (b"", b"GET /healthz HTTP/1.1\r\nHost:", FLOOD * 10)[number % 3]
            stack.enter_context(talk(port, said, reads=False))
            if number % door.MAX_CONNECTIONS == 0:
                assert get(port, "/healthz") == (200, "ok")
        assert get(port, "/readyz/ping") == (200, "ok")
        ours = 4 * door.MAX_CONNECTIONS  # this process has both ends
        wait_for(lambda: not before or descriptors() - before - ours <= door.MAX_CONNECTIONS + 5)
        assert get(port, "/healthz") == (200, "ok")


def test_a_slow_client_is_cut_off(port, monkeypatch):
    """A request that takes its time, byte by byte, is given up after `MAX_AGE`."""
    monkeypatch.setattr(door, "MAX_AGE", 1.0)
    with socket.create_connection(("127.0.0.1", port), timeout=60) as slow:
        cut = False
        for byte in b"GET /healthz HTTP/1.1\r\n" + b"X: y\r\n" * 10_000:
            try:
                slow.sendall(bytes([byte]))
            except OSError:
                cut = True
                break
            time.sleep(0.05)  # the client's slowness, which is what is tested
        assert cut


def test_without_descriptors(port):
    """When the process has no file descriptor left, the endpoints give theirs back, and answer again."""
    import resource  # noqa: PLC0415 (only here, and not on every platform)

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    clients = [talk(port, b"GET /", reads=False) for _ in range(20)]
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (descriptors() + 4, hard))
        waiting = []
        with contextlib.suppress(OSError):
            while True:
                waiting.append(talk(port, b"", reads=False))
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    wait_for(lambda: get(port, "/healthz") == (200, "ok"))
    for client in clients + waiting:
        client.close()
