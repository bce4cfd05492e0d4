"""The endpoints over HTTP: up to two addresses, in a thread that nobody blocks."""

import asyncio
import threading
from collections.abc import Iterator
from typing import Any

import pytest
from prometheus_client import REGISTRY, CollectorRegistry, Counter

from kopf_leader.elector.always import AlwaysLeader
from kopf_leader.errors import SettingsError
from kopf_leader.operations.address import Address
from kopf_leader.operations.site import Operations
from tests.operations.looks import get, wait_for

ANY = Address("127.0.0.1", 0)


@pytest.fixture
def loop() -> Iterator[asyncio.AbstractEventLoop]:
    """A loop that turns, as kopf's."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    yield loop
    loop.call_soon_threadsafe(loop.stop)
    thread.join()
    loop.close()


def test_one_port_for_both(loop: asyncio.AbstractEventLoop) -> None:
    """Health and metrics may share a port; the texts are plain; unknown paths are 404."""
    operations = Operations(health_at=ANY, metrics_at=ANY, registry=CollectorRegistry())
    operations.open()
    operations.attend(AlwaysLeader(identity="me", follower=None))  # type: ignore[arg-type] # it is not started
    with operations.serving(loop):
        port = operations.endpoints.server.ports["health"]
        assert operations.endpoints.server.ports["metrics"] == port
        for path in ("/healthz", "/livez", "/readyz", "/readyz/", "/healthz?exclude=ping"):
            assert get(port, path) == (200, "ok")
        assert get(port, "/livez?verbose=1") == (
            200, "[+]ping ok\n[+]election ok\n[+]operator ok\nlivez check passed\n",
        )  # fmt: skip
        assert get(port, "/readyz/lease") == (200, "ok")
        assert get(port, "/readyz/nonsense")[0] == get(port, "/nonsense")[0] == 404
        status, text = get(port, "/metrics")
        assert status == 200
        assert "# HELP kopf_leader_build_info " in text
        assert "# EOF" in get(port, "/metrics", Accept="application/openmetrics-text; version=1.0.0")[1]
    assert get(port, "/healthz")[0] == 0


def test_two_ports(loop: asyncio.AbstractEventLoop) -> None:
    """Each port has its own endpoints, and what is off is nowhere."""
    operations = Operations(health_at=ANY, metrics_at=Address("localhost", 0), registry=CollectorRegistry())
    operations.open()
    with operations.serving(loop):
        ports = operations.endpoints.server.ports
        assert get(ports["health"], "/healthz")[0] == 200
        assert get(ports["health"], "/metrics")[0] == 404
        assert get(ports["metrics"], "/metrics")[0] == 200
        assert get(ports["metrics"], "/healthz")[0] == 404
    assert not operations.endpoints.server.ports


def test_a_failing_check_is_a_500(loop: asyncio.AbstractEventLoop) -> None:
    """A failed check: HTTP 500, and every check is listed, as in Kubernetes."""
    operations = Operations(health_at=ANY)
    with operations.serving(loop):
        status, text = get(operations.endpoints.server.ports["health"], "/readyz")
        assert status == 500
        assert "[-]startup failed: the operator is starting\n" in text
        assert text.endswith("readyz check failed\n")
        assert get(operations.endpoints.server.ports["health"], "/readyz?exclude=startup") == (200, "ok")


def test_the_users_own_metrics_are_there_too(loop: asyncio.AbstractEventLoop) -> None:
    """The registry may be prometheus-client's own: the operator's metrics and the election's at one address."""
    mine = Counter("tests_operations_mine", "The operator's own.")
    try:
        operations = Operations(metrics_at=ANY)
        operations.open()
        with pytest.raises(SettingsError, match="has metrics of a leader election already"):
            Operations(metrics_at=ANY).open()
        with operations.serving(loop):
            text = get(operations.endpoints.server.ports["metrics"], "/metrics")[1]
            assert "tests_operations_mine_total 0.0" in text
            assert "kopf_leader_build_info{" in text
        again = Operations(metrics_at=ANY)
        again.open()
        again.close()
    finally:
        REGISTRY.unregister(mine)


def test_a_registry_without_an_address() -> None:
    """With a registry of one's own the metrics are there to be served by others; nothing listens."""
    registry = CollectorRegistry()
    operations = Operations(registry=registry)
    operations.open()
    assert "kopf_leader_build" in [family.name for family in registry.collect()]
    assert operations.endpoints is None
    operations.close()
    assert not [*registry.collect()]


def test_a_blocked_loop_blocks_no_answer(loop: asyncio.AbstractEventLoop) -> None:
    """No loop can block the endpoints; when kopf's is stuck for too long, /healthz says so, and recovers."""
    operations = Operations(health_at=ANY, stuck_timeout=2.0)
    with operations.serving(loop):
        port = operations.endpoints.server.ports["health"]
        free = threading.Event()
        loop.call_soon_threadsafe(free.wait)
        try:
            wait_for(lambda: "the operator's event loop is stuck" in get(port, "/healthz")[1], "a failed check")
        finally:
            free.set()
        wait_for(lambda: get(port, "/healthz") == (200, "ok"), "a recovery")


def test_half_a_request_holds_nobody_up(loop: asyncio.AbstractEventLoop) -> None:
    """A client that never finishes its request: others are answered, and the end comes all the same."""
    import socket  # noqa: PLC0415 (only here)

    operations = Operations(health_at=ANY)
    with operations.serving(loop):
        port = operations.endpoints.server.ports["health"]
        with socket.create_connection(("127.0.0.1", port), timeout=30) as half:
            half.sendall(b"GET /healthz HTTP/1.1\r\nHost:")
            assert get(port, "/healthz")[0] == 200
            operations.endpoints.server.stop()
            assert get(port, "/healthz")[0] == 0


def test_a_port_in_use_releases_the_other_one() -> None:
    """Nothing half-done: when one of two ports is in use, the other one is given back."""
    holder = Operations(health_at=ANY)
    holder.endpoints.server.bind()
    taken = holder.endpoints.server.ports["health"]
    try:
        operations = Operations(
            health_at=ANY, metrics_at=Address("127.0.0.1", taken), registry=CollectorRegistry(), early=True
        )
        with pytest.raises(SettingsError, match=r"metrics bind address .* cannot be listened at"):
            operations.open()
        assert not operations.endpoints.server.ports
    finally:
        holder.close()


def test_without_prometheus_client(monkeypatch: Any) -> None:
    """prometheus-client is an extra, imported when it is asked for: one sentence that names the extra otherwise."""
    import sys  # noqa: PLC0415 (only here)

    monkeypatch.setitem(sys.modules, "prometheus_client", None)
    Operations(health_at=ANY)
    with pytest.raises(SettingsError, match=r"pip install 'kopf-leader\[metrics\]'"):
        Operations(metrics_at=ANY)
