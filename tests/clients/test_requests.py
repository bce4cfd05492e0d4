"""Reading, creating and replacing the Lease: what is sent, and what each answer means."""

import asyncio
import json
import re

import kopf
import pytest

from kopf_leader.errors import LeaseAPIError
from tests.clients.servers import LEASE, PATH, always, reply, silent, status

CALLS = {
    "read": ("GET", f"{PATH}/op", lambda client: client.read()),
    "create": ("POST", PATH, lambda client: client.create(LEASE)),
    "replace": ("PUT", f"{PATH}/op", lambda client: client.replace(LEASE)),
}
call = pytest.mark.parametrize("call", CALLS)


@call
async def test_what_is_sent(call, serve, connect):
    """Each call is one request of one JSON body to the Lease's own address; the object as stored comes back."""
    stored = LEASE | {"spec": {"holderIdentity": "stored"}}
    server = await serve(always(reply(201 if call == "create" else 200, stored)))
    method, path, run = CALLS[call]
    assert await run(connect(f"{server.url}/")) == stored
    (request,) = server.requests
    assert (request.method, request.path) == (method, path)
    assert request.headers["accept"] == "application/json"
    assert request.headers["user-agent"] == "kopf-leader"
    assert "authorization" not in request.headers
    if call == "read":
        assert request.body == b""
    else:
        assert json.loads(request.body) == LEASE
        assert request.headers["content-type"] == "application/json"


async def test_server_below_a_path(serve, connect):
    """A cluster behind a gateway has a path of its own in front of /apis."""
    server = await serve(always(reply(200, LEASE)))
    await connect(f"{server.url}/k8s/clusters/c-1/").read()
    assert server.requests[0].path == f"/k8s/clusters/c-1{PATH}/op"


async def test_one_connection_is_kept_warm(serve, connect):
    """Requests one after the other share a connection: a renewal costs no handshake."""
    server = await serve(always(reply(200, LEASE)))
    client = connect(server.url)
    for _ in range(5):
        await client.replace(LEASE)
        await client.read()
    assert server.connections == 1


@call
@pytest.mark.parametrize("code", [400, 404, 405, 409, 410, 413, 422, 429, 500, 503, 504])
async def test_errors_of_the_server(call, code, serve, connect):
    """An error has the server's status and its own words, and says what was asked for."""
    server = await serve(always(reply(code, status(code, "the reason\nof the server."))))
    method, _, run = CALLS[call]
    with pytest.raises(LeaseAPIError) as caught:
        await run(connect(server.url))
    assert caught.value.status == code
    assert str(caught.value) == f"{method} of the Lease ns/op failed with HTTP {code}: the reason of the server."
    assert caught.value.refused == (400 <= code < 500)
    assert len(server.requests) == 1


@call
async def test_missing_rights(call, serve, connect):
    """L17: a 403 is one sentence that names the verb and the rule to add."""
    server = await serve(always(reply(403, status(403, 'leases "op" is forbidden'))))
    _, _, run = CALLS[call]
    with pytest.raises(LeaseAPIError) as caught:
        await run(connect(server.url))
    verb = {"read": "get", "create": "create", "replace": "update"}[call]
    rule = 'apiGroups: ["coordination.k8s.io"], resources: ["leases"]'
    named = '"create"' if call == "create" else '"get", "watch", "update"'
    rule += f", verbs: [{named}]" if call == "create" else f', resourceNames: ["op"], verbs: [{named}]'
    assert caught.value.status == 403
    assert caught.value.denied
    assert f'allow the verb "{verb}" by the rule {{{rule}}} in a Role in the namespace ns.' in str(caught.value)


@call
@pytest.mark.parametrize(
    "answer",
    [
        reply(200, b""),
        reply(200, b"<!doctype html><title>Sign in</title>"),
        reply(200, b'{"kind": "Lease", "metadata": {"name": "op"'),
        reply(200, b"[1, 2]"),
        reply(200, b"null"),
        reply(200, b"\xff\xfe\x00"),
        reply(200, b"[" * 100_000),
        reply(200, b'{"kind": "Lease", "metadata": {"name": "op", "generation": ' + b"9" * 5000 + b"}}"),
        reply(200, {"kind": "Lease"}),
        reply(200, {"kind": "Lease", "metadata": {"name": "another"}}),
        reply(200, {"kind": "Status", "status": "Success", "metadata": {}}),
        reply(204),
        reply(202, LEASE),
        reply(404, b"<html>default backend - 404</html>"),
        reply(404, b"404 page not found"),
        reply(409, b""),
        reply(410, {"error": "gone"}),
    ],
    ids=range(17),
)
async def test_nonsense(call, answer, serve, connect):
    """What the API server would not say, a load balancer's 404 among it, leaves the outcome unknown (L4)."""
    server = await serve(always(answer))
    _, _, run = CALLS[call]
    with pytest.raises(LeaseAPIError, match=re.escape(f"check that {server.url} is its address")) as caught:
        await run(connect(server.url))
    assert caught.value.status is None
    assert not caught.value.refused
    assert len(server.requests) == 1


@call
@pytest.mark.parametrize("code", [301, 302, 303, 307, 308])
async def test_redirects_are_not_followed(call, code, serve, connect):
    """A redirect is nonsense: a write is sent to one place only."""
    elsewhere = await serve(always(reply(200, LEASE)))
    server = await serve(always(reply(code, b"", Location=f"{elsewhere.url}{PATH}/op")))
    _, _, run = CALLS[call]
    with pytest.raises(LeaseAPIError) as caught:
        await run(connect(server.url))
    assert (caught.value.status, caught.value.refused) == (code, False)
    assert not elsewhere.requests


@pytest.mark.parametrize(
    ("headers", "details", "seconds"),
    [
        ({"Retry_After": "7"}, {}, 7.0),
        ({"Retry_After": "0.5"}, {}, 0.5),
        ({"Retry_After": "Tue, 24 Nov 2026 08:00:10 GMT", "Date": "Tue, 24 Nov 2026 08:00:00 GMT"}, {}, 10.0),
        ({"Retry_After": "Tue, 24 Nov 2026 07:00:00 GMT", "Date": "Tue, 24 Nov 2026 08:00:00 GMT"}, {}, 0.0),
        ({}, {"details": {"retryAfterSeconds": 3}}, 3.0),
        ({"Retry_After": "7"}, {"details": {"retryAfterSeconds": 3}}, 7.0),
        ({"Retry_After": "soon"}, {}, None),
        ({"Retry_After": "-1"}, {}, None),
        ({"Retry_After": "nan"}, {}, None),
        ({"Retry_After": "1e999"}, {}, None),
        ({}, {"details": {"retryAfterSeconds": 10**400}}, None),
        ({}, {"details": {"retryAfterSeconds": True}}, None),
        ({}, {"details": "none"}, None),
        ({}, {}, None),
    ],
)
@pytest.mark.parametrize("code", [429, 503])
async def test_retry_after(code, headers, details, seconds, serve, connect):
    """L17: the pause that the server asks for is told, in seconds, however it is written; nonsense is none."""
    server = await serve(always(reply(code, status(code, "busy", **details), **headers)))
    with pytest.raises(LeaseAPIError) as caught:
        await connect(server.url).read()
    assert caught.value.retry_after == seconds


async def test_html_of_an_error(serve, connect):
    """The page of a gateway is cut to 300 characters in one line."""
    server = await serve(always(reply(502, b"<html>\n" + b"<p>Bad gateway</p>\n" * 1000)))
    with pytest.raises(LeaseAPIError) as caught:
        await connect(server.url).read()
    assert caught.value.status == 502
    assert "<html> <p>Bad gateway</p>" in str(caught.value)
    assert len(str(caught.value)) < 400
    assert "\n" not in str(caught.value)


@call
async def test_silent_server(call, serve, connect):
    """A request ends by its time-out when the server accepts it and stays silent; the outcome is unknown."""
    server = await serve(silent)
    _, _, run = CALLS[call]
    with pytest.raises(LeaseAPIError, match=r"was not answered within 0\.2 s") as caught:
        await run(connect(server.url, request=0.2))
    assert caught.value.status is None
    assert isinstance(caught.value.__cause__, TimeoutError)
    await server.until(lambda: not server.tasks)


async def test_silent_tls_handshake(serve, connect, pki):
    """The time-out covers the TLS handshake."""

    async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()

    server = await asyncio.start_server(accept, "127.0.0.1", 0)
    url = f"https://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    with pytest.raises(LeaseAPIError, match=r"was not answered within 0\.2 s"):
        await connect(kopf.ConnectionInfo(server=url, ca_data=pki.ca_pem), request=0.2).read()
    server.close()
    await server.wait_closed()


@call
async def test_endless_body(call, serve, connect):
    """A body that comes drop by drop is bounded by the same time-out."""

    async def drip(_, writer):
        writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        while True:
            writer.write(b"1\r\n \r\n")
            await writer.drain()
            await asyncio.sleep(0.01)

    server = await serve(drip)
    _, _, run = CALLS[call]
    with pytest.raises(LeaseAPIError, match="was not answered within"):
        await run(connect(server.url, request=0.3))
    await server.until(lambda: not server.tasks)


async def test_flood(serve, connect):
    """A body without end is given up at 4 MiB."""

    async def pour(_, writer):
        writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        while True:
            writer.write(b"10000\r\n" + b" " * 0x10000 + b"\r\n")
            await writer.drain()

    server = await serve(pour)
    with pytest.raises(LeaseAPIError, match="longer than 4194304 bytes"):
        await connect(server.url).read()
    await server.until(lambda: not server.tasks)


@call
@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"HTTP/1.1 200 OK\r\nContent-Le",
        b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n{",
        b"HTTP/1.1 404 Not Found\r\nContent-Length: 1000\r\n\r\n{",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n{",
        b"SSH-2.0-OpenSSH_9.6\r\n",
        b"\x15\x03\x01\x00\x02\x02\x46",
    ],
    ids=range(7),
)
async def test_truncated(call, answer, serve, connect):
    """An answer that breaks off says nothing about the outcome (L4), whatever its first line was."""

    async def break_off(_, writer):
        writer.write(answer)
        await writer.drain()
        writer.close()

    server = await serve(break_off)
    _, _, run = CALLS[call]
    with pytest.raises(LeaseAPIError, match="broke off") as caught:
        await run(connect(server.url))
    assert caught.value.status is None
    assert caught.value.__cause__ is not None
    assert len(server.requests) == 1


async def test_nobody_there(serve, connect):
    """A connection that cannot be opened is an error without a status."""
    server = await serve(silent)
    url = server.url
    await server.__aexit__()
    with pytest.raises(LeaseAPIError, match=r"PUT of the Lease ns/op broke off, ClientConnectorError"):
        await connect(url).replace(LEASE)


@pytest.mark.parametrize("url", ["nonsense", "http://", "http://[::", "ftp://127.0.0.1/", "http://127.0.0.1:99999"])
async def test_bad_address(url, connect):
    """Whatever the address is, the error is of the one promised class."""
    with pytest.raises(LeaseAPIError):
        await connect(kopf.ConnectionInfo(server=url)).read()


async def test_closed(serve, connect):
    """A closed client sends nothing; closing again does nothing."""
    server = await serve(always(reply(200, LEASE)))
    client = connect(server.url)
    await client.read()
    await client.close()
    await client.close()
    with pytest.raises(LeaseAPIError, match="has been closed"):
        await client.read()
    assert len(server.requests) == 1
    await server.until(lambda: not server.tasks)


async def test_close_under_a_request(serve, connect):
    """Closing ends a request that is on."""
    server = await serve(silent)
    client = connect(server.url)
    reading = asyncio.create_task(client.read())
    await server.until(lambda: bool(server.requests))
    await client.close()
    with pytest.raises(LeaseAPIError, match="broke off"):
        await reading
    await server.until(lambda: not server.tasks)
