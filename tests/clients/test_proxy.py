"""The proxy on the way to the API server: kopf's own, or the environment's."""

import asyncio
import base64
import contextlib

import kopf
import pytest

from kopf_leader.errors import LeaseAPIError
from tests.clients.servers import LEASE, always, read_request, reply, since

BASIC = "Basic " + base64.b64encode(b"ann:p@ss").decode()


class Proxy:
    """A tiny proxy that tunnels every CONNECT to the given server, and counts."""

    def __init__(self, port: int) -> None:
        self.target = port
        self.requests = []
        self.tasks = set()

    async def __aenter__(self):
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        for task in self.tasks:
            task.cancel()
        await asyncio.gather(*self.tasks, return_exceptions=True)

    async def _serve(self, reader, writer):
        self.tasks.add(asyncio.current_task())
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            request = await read_request(reader, writer)
            self.requests.append(request)
            if request.method == "CONNECT":
                writer.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
                far_reader, far_writer = await asyncio.open_connection("127.0.0.1", self.target)
                pumps = [pump(reader, far_writer), pump(far_reader, writer)]
                try:
                    await asyncio.gather(*pumps)
                finally:
                    far_writer.transport.abort()
            else:  # plain HTTP: the proxy is asked for the whole address
                writer.write(reply(200, LEASE))
                await writer.drain()
        writer.transport.abort()


async def pump(reader, writer):
    try:
        with contextlib.suppress(ConnectionError):
            while data := await reader.read(65536):
                writer.write(data)
                await writer.drain()
    finally:
        writer.close()


@pytest.fixture
async def proxied(serve, pki):
    """A TLS server for a name that only the proxy can resolve, and the proxy."""
    server = await serve(always(reply(200, LEASE)), pki.server("api.invalid"))
    async with Proxy(server.port) as proxy:
        yield server, proxy


@since("proxy_url")
async def test_proxy_of_the_credentials(proxied, connect, pki):
    """`proxy_url` is used, for all requests; the proxy's password goes to the proxy and nowhere else."""
    server, proxy = proxied
    info = kopf.ConnectionInfo(
        server="https://api.invalid",
        ca_path=pki.ca_path,
        token="t0ken",
        proxy_url=f"http://ann:p%40ss@127.0.0.1:{proxy.port}",
    )
    client = connect(info)
    assert await client.read() == LEASE
    assert await client.replace(LEASE) == LEASE
    (tunnel,) = proxy.requests
    assert (tunnel.method, tunnel.path) == ("CONNECT", "api.invalid:443")
    assert tunnel.headers["proxy-authorization"] == BASIC
    assert "authorization" not in tunnel.headers
    assert [request.headers["authorization"] for request in server.requests] == ["Bearer t0ken"] * 2
    assert not any("proxy-authorization" in request.headers for request in server.requests)
    await client.close()


@since("proxy_url")
async def test_plain_http(serve, connect):
    """Without TLS the proxy gets the request itself, with its own password."""
    async with Proxy(1) as proxy:
        url = f"http://ann:p%40ss@127.0.0.1:{proxy.port}"
        client = connect(kopf.ConnectionInfo(server="http://api.invalid", token="t0ken", proxy_url=url))
        assert await client.read() == LEASE
        (request,) = proxy.requests
        assert request.path.startswith("http://api.invalid/apis/")
        assert request.headers["proxy-authorization"] == BASIC
        assert request.headers["authorization"] == "Bearer t0ken"
        await client.close()


@pytest.mark.parametrize("variable", ["HTTPS_PROXY", "https_proxy"])
@since("trust_env")
async def test_proxy_of_the_environment(variable, proxied, connect, pki, monkeypatch):
    """The environment's proxy is used where kopf goes by the environment (`settings.networking.trust_env`)."""
    _, proxy = proxied
    monkeypatch.setenv(variable, f"http://127.0.0.1:{proxy.port}")
    client = connect(kopf.ConnectionInfo(server="https://api.invalid", ca_path=pki.ca_path, trust_env=True))
    assert await client.read() == LEASE
    assert len(proxy.requests) == 1
    await client.close()


async def test_environment_not_asked_for(serve, connect, pki, monkeypatch):
    """Where kopf goes straight to the server, the election does as well."""
    server = await serve(always(reply(200, LEASE)), pki.server())
    monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:1")
    assert await connect(kopf.ConnectionInfo(server=server.url, ca_path=pki.ca_path)).read() == LEASE


@since("trust_env")
async def test_no_proxy(serve, connect, pki, monkeypatch):
    """NO_PROXY is respected."""
    server = await serve(always(reply(200, LEASE)), pki.server())
    monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:1")
    monkeypatch.setenv("NO_PROXY", "localhost,127.0.0.1")
    assert await connect(kopf.ConnectionInfo(server=server.url, ca_path=pki.ca_path, trust_env=True)).read() == LEASE


@since("proxy_url")
async def test_tls_through_the_proxy(proxied, connect, pki):
    """The server's certificate is verified behind the proxy, too."""
    server, proxy = proxied
    url = f"http://127.0.0.1:{proxy.port}"
    client = connect(kopf.ConnectionInfo(server="https://other.invalid", ca_path=pki.ca_path, proxy_url=url))
    with pytest.raises(LeaseAPIError, match="certificate"):
        await client.read()
    assert len(proxy.requests) == 1
    assert not server.requests


@since("proxy_url")
async def test_refused_by_the_proxy(serve, connect):
    """A proxy that refuses has answered nothing about the Lease: no status."""
    proxy = await serve(always(reply(403, b"<html>blocked</html>")))
    with pytest.raises(LeaseAPIError, match="broke off, the proxy answered HTTP 403") as caught:
        await connect(kopf.ConnectionInfo(server="https://api.invalid", proxy_url=proxy.url)).replace(LEASE)
    assert caught.value.status is None
    assert len(proxy.requests) == 1


@since("proxy_url")
async def test_silent_proxy(serve, connect):
    """The time-out covers the way through the proxy."""

    async def nothing(_, __):
        await asyncio.Event().wait()

    proxy = await serve(nothing)
    info = kopf.ConnectionInfo(server="https://api.invalid", proxy_url=proxy.url)
    with pytest.raises(LeaseAPIError, match="was not answered within"):
        await connect(info, request=0.2).read()
    await proxy.until(lambda: not proxy.tasks)
