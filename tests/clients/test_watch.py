"""The watch on the one Lease (L16, L17)."""

import asyncio
import contextlib
import json
import socket
import urllib.parse

import pytest

from kopf_leader.clients.answers import MAX_BODY
from kopf_leader.clients.base import WatchEvent
from kopf_leader.clients.sessions import probe
from kopf_leader.errors import LeaseAPIError
from tests.clients.servers import LEASE, PATH, always, reply, silent, status

HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n"
BOOKMARK = {"kind": "Lease", "metadata": {"resourceVersion": "9"}}


def chunk(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data)


def line(kind: str, thing: object) -> bytes:
    return json.dumps({"type": kind, "object": thing}).encode() + b"\n"


def stream(*lines: bytes, end: bool = True) -> bytes:
    return HEAD + b"".join(chunk(one) for one in lines) + (b"0\r\n\r\n" if end else b"")


async def collect(client, version: str | None = "7") -> list[WatchEvent]:
    return [event async for event in client.watch(version)]


@pytest.mark.parametrize("version", [None, "7"])
async def test_what_is_sent(version, serve, connect):
    """L16: one watch, on the one Lease, from that version, with bookmarks, for five minutes."""
    server = await serve(always(stream()))
    assert await collect(connect(server.url), version) == []
    (request,) = server.requests
    path, _, query = request.path.partition("?")
    assert (request.method, path) == ("GET", PATH)
    expected = {
        "watch": "1",
        "fieldSelector": "metadata.name=op",
        "allowWatchBookmarks": "true",
        "timeoutSeconds": "300",
    } | ({"resourceVersion": version} if version else {})
    assert dict(urllib.parse.parse_qsl(query, strict_parsing=True)) == expected


async def test_events(serve, connect):
    """Events come as they were sent, bookmarks too, and the watch ends when the server ends it."""
    deleted = LEASE | {"spec": None}
    lines = [line("ADDED", LEASE), b"\n", line("MODIFIED", LEASE), line("BOOKMARK", BOOKMARK), line("DELETED", deleted)]
    server = await serve(always(stream(*lines)))
    assert await collect(connect(server.url)) == [
        WatchEvent(kind="ADDED", object=LEASE),
        WatchEvent(kind="MODIFIED", object=LEASE),
        WatchEvent(kind="BOOKMARK", object=BOOKMARK),
        WatchEvent(kind="DELETED", object=deleted),
    ]


async def test_lines_cut_anywhere(serve, connect):
    """Where the network cuts a line, and how many lines come at once, makes no difference."""
    whole = line("ADDED", LEASE) + line("MODIFIED", LEASE | {"spec": {"holderIdentity": "ä"}}) + line("DELETED", LEASE)
    server = await serve(always(stream(*(whole[at : at + 7] for at in range(0, len(whole), 7)), whole)))
    assert [event.kind for event in await collect(connect(server.url))] == ["ADDED", "MODIFIED", "DELETED"] * 2


async def test_long_line(serve, connect):
    """A Lease may be as long as the API server allows."""
    long = LEASE | {"metadata": LEASE["metadata"] | {"annotations": {"long": "x" * 1_500_000}}}
    server = await serve(always(stream(line("ADDED", long), line("MODIFIED", LEASE))))
    assert [event.object for event in await collect(connect(server.url))] == [long, LEASE]


async def test_endless_line(serve, connect):
    """A line without end is given up at 4 MiB."""

    async def pour(_, writer):
        writer.write(HEAD)
        for _ in range(MAX_BODY // 0x10000 + 2):
            writer.write(chunk(b" " * 0x10000))
            await writer.drain()
        await asyncio.Event().wait()

    server = await serve(pour)
    with pytest.raises(LeaseAPIError, match="line of the watch is longer"):
        await collect(connect(server.url))
    await server.until(lambda: not server.tasks)


async def test_event_comes_at_once(serve, connect):
    """L16: an event is told when it arrives, not when the stream ends; leaving early closes the connection."""
    go = asyncio.Event()

    async def feed(_, writer):
        writer.write(HEAD)
        await go.wait()
        writer.write(chunk(line("MODIFIED", LEASE)))
        await writer.drain()
        await asyncio.Event().wait()

    server = await serve(feed)
    async with contextlib.aclosing(connect(server.url).watch("7")) as events:
        waiting = asyncio.create_task(anext(events))
        await server.until(lambda: bool(server.requests))
        go.set()
        async with asyncio.timeout(60):
            assert (await waiting).kind == "MODIFIED"
    await server.until(lambda: not server.tasks)


async def test_other_leases_are_not_told(serve, connect):
    """A server that ignores the field selector shows other Leases: they are not ours."""
    other = LEASE | {"metadata": LEASE["metadata"] | {"name": "other"}}
    server = await serve(always(stream(line("ADDED", other), line("ADDED", LEASE), line("DELETED", {}))))
    assert await collect(connect(server.url)) == [WatchEvent(kind="ADDED", object=LEASE)]


@pytest.mark.parametrize("code", [410, 500, 504])
async def test_error_event(code, serve, connect):
    """L17: a 410 comes inside a 200; it is raised with its own status."""
    server = await serve(always(stream(line("ADDED", LEASE), line("ERROR", status(code, "too old resource version")))))
    events = connect(server.url).watch("1")
    assert (await anext(events)).kind == "ADDED"
    with pytest.raises(LeaseAPIError, match=rf"ended by the server with the error {code}: too old") as caught:
        await anext(events)
    assert caught.value.status == code


@pytest.mark.parametrize("thing", [{}, {"code": "410"}, {"code": True}, {"code": None, "message": 5}])
async def test_error_event_without_a_code(thing, serve, connect):
    """An ERROR event that is no Status ends the watch, without a status."""
    server = await serve(always(stream(line("ERROR", thing))))
    with pytest.raises(LeaseAPIError, match="ended by the server") as caught:
        await collect(connect(server.url))
    assert caught.value.status is None


@pytest.mark.parametrize(
    "bad",
    [
        b"<html>\n",
        b'{"type": "ADDED", "object": {"kind"\n',
        b"[]\n",
        b"17\n",
        b"[" * 100_000 + b"\n",
        b"\xff\xfe\n",
        line("ADDED", None),
        line("ADDED", []),
        line("ERROR", "gone"),
        line("INVENTED", LEASE),
        b'{"type": ["ADDED"], "object": {}}\n',
        b'{"object": {}}\n',
    ],
    ids=range(12),
)
async def test_garbage_in_the_stream(bad, serve, connect):
    """Garbage ends the watch with an error; what came before it counts."""
    server = await serve(always(stream(line("ADDED", LEASE), bad, line("DELETED", LEASE))))
    events = connect(server.url).watch("7")
    assert (await anext(events)).kind == "ADDED"
    with pytest.raises(LeaseAPIError, match="which the API server does not say") as caught:
        await anext(events)
    assert caught.value.status is None


@pytest.mark.parametrize(
    ("answer", "told", "retry_after"),
    [
        (reply(401, status(401, "Unauthorized")), 401, None),
        (reply(403, status(403, "no")), 403, None),
        (reply(404, status(404, "no")), 404, None),
        (reply(404, b"no"), None, None),
        (reply(410, status(410, "too old")), 410, None),
        (reply(429, status(429, "busy"), Retry_After="3"), 429, 3.0),
        (reply(500, b"<html>"), 500, None),
        (reply(302, b"", Location="/"), 302, None),
        (reply(204), None, None),
        (reply(200, b""), None, None),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n<h1>no\r\n\r", None, None),
    ],
)
async def test_refused(answer, told, retry_after, serve, connect):
    """A watch that is not granted is an error with the server's status, as for every other request."""
    server = await serve(always(answer))
    client = connect(server.url)
    if answer == reply(200, b""):
        assert await collect(client) == []  # the server ended it at once
        return
    with pytest.raises(LeaseAPIError, match=r"^GET of the Lease ns/op \(watch\)") as caught:
        await collect(client)
    assert (caught.value.status, caught.value.retry_after) == (told, retry_after)
    if told == 403:
        assert 'allow the verb "watch"' in str(caught.value)
    assert len(server.requests) == 1


async def test_half_open(serve, connect):
    """A watch without a byte for longer than bookmarks take is broken off."""
    server = await serve(lambda _, writer: _say_and_wait(writer, stream(line("ADDED", LEASE), end=False)))
    events = connect(server.url, silence=0.3).watch("7")
    assert (await anext(events)).kind == "ADDED"
    with pytest.raises(LeaseAPIError, match=r"was silent for 0\.3 s") as caught:
        await anext(events)
    assert caught.value.status is None
    await server.until(lambda: not server.tasks)


async def test_bookmarks_keep_it_open(serve, connect):
    """Every byte starts the time of silence anew, and the time-out of requests does not apply to the stream."""

    async def feed(_, writer):
        writer.write(HEAD)
        for _ in range(8):
            writer.write(chunk(line("BOOKMARK", BOOKMARK)))
            await writer.drain()
            await asyncio.sleep(0.25)
        writer.write(b"0\r\n\r\n")

    server = await serve(feed)
    assert len(await collect(connect(server.url, request=1.0, silence=60.0))) == 8


async def test_kernel_asks_for_the_peer(serve, connect, monkeypatch):
    """TCP keepalive is on for the watch's socket: a peer that vanished is noticed without any traffic."""
    found = []

    def look(response):
        probe(response)
        sock = response.connection.transport.get_extra_info("socket")
        found.append(sock.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE))
        found.append(sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPCNT))
        found.append(sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY))

    monkeypatch.setattr("kopf_leader.clients.direct.probe", look)
    server = await serve(lambda _, writer: _say_and_wait(writer, stream(line("ADDED", LEASE), end=False)))
    async with contextlib.aclosing(connect(server.url).watch("7")) as events:
        await anext(events)
    keepalive, count, nodelay = found
    assert keepalive
    assert count == 3
    assert nodelay


async def test_silent_server(serve, connect):
    """The head of the answer must come within the time-out of a request."""
    server = await serve(silent)
    with pytest.raises(LeaseAPIError, match=r"was not answered within 0\.2 s"):
        await collect(connect(server.url, request=0.2))
    await server.until(lambda: not server.tasks)


@pytest.mark.parametrize("rest", [b"", b'5\r\n{"t'], ids=["between", "within"])
async def test_cut(rest, serve, connect):
    """A stream that breaks off without its end is an error, not an end."""

    async def cut(_, writer):
        writer.write(stream(line("ADDED", LEASE), end=False) + rest)
        await writer.drain()
        writer.close()

    server = await serve(cut)
    events = connect(server.url).watch("7")
    assert (await anext(events)).kind == "ADDED"
    with pytest.raises(LeaseAPIError, match="broke off") as caught:
        await anext(events)
    assert caught.value.status is None


async def test_writes_pass_the_watch(serve, connect):
    """A write never waits for the watch: it has a connection of its own, and keeps it."""

    async def answer(request, writer):
        if "watch=1" in request.path:
            await _say_and_wait(writer, stream(line("ADDED", LEASE), end=False))
        writer.write(reply(200, LEASE))

    server = await serve(answer)
    client = connect(server.url)
    async with contextlib.aclosing(client.watch("7")) as events:
        await anext(events)
        for _ in range(3):
            await client.replace(LEASE)
        watching, *writing = [request.connection for request in server.requests]
        assert len(writing) == 3
        assert set(writing) == {2}
        assert watching == 1


async def test_close_under_the_watch(serve, connect):
    """Closing the client ends its watch."""
    server = await serve(lambda _, writer: _say_and_wait(writer, stream(line("ADDED", LEASE), end=False)))
    client = connect(server.url)
    events = client.watch("7")
    await anext(events)
    waiting = asyncio.create_task(anext(events))
    await asyncio.sleep(0)
    await client.close()
    with pytest.raises(LeaseAPIError, match="broke off"):
        await waiting
    await server.until(lambda: not server.tasks)


async def _say_and_wait(writer: asyncio.StreamWriter, answer: bytes) -> None:
    writer.write(answer)
    await writer.drain()
    await asyncio.Event().wait()
