"""One contract for all clients (kopf's, the local one, those of the libraries), on both API servers and on bad ones."""

import asyncio
import contextlib
import json

import pytest

from kopf_leader.clients.direct import DirectLeaseClient
from kopf_leader.errors import LeaseAPIError
from kopf_leader.protocol.record import creation, replacement, sight_of
from kopf_leader.testing.apiserver import EmbeddedAPIServer
from tests.clients import test_api_servers
from tests.clients.libraries import EVERY, by_address, by_kubeconfig, until_no_threads
from tests.clients.servers import LEASE, NAMESPACE, PATH, always, reply, silent, status
from tests.clients.test_api_servers import LABELS, record
from tests.clients.test_watch import BOOKMARK, line, stream
from tests.controlplane.fixtures import control_plane, shared_control_plane  # noqa: F401 (fixtures)

place = test_api_servers.place
CALLS = {
    "read": lambda client: client.read(),
    "create": lambda client: client.create(LEASE),
    "replace": lambda client: client.replace(LEASE),
    "watch": lambda client: drink(client),  # noqa: PLW0108 (it stands below)
}


async def drink(client, version="7"):
    async with contextlib.aclosing(client.watch(version)) as events:
        return [event async for event in events]


@pytest.fixture(params=EVERY)
def kind(request):
    return request.param


@pytest.fixture
async def connect(kind):
    """Make a client of this kind; closed in the end, and then no thread of it is left."""
    made = []

    def make(url, **options):
        made.append(by_address(kind, url, **options))
        return made[-1]

    yield make
    for client in made:
        await client.close()
    until_no_threads()


@pytest.fixture
async def become(kind, place):
    """A client of this kind with a kubeconfig."""
    made = []

    def make(who):
        made.append(by_kubeconfig(kind, getattr(place, who), namespace=place.namespace))
        return made[-1]

    yield make
    for client in made:
        await client.close()
    until_no_threads()


async def test_life_of_a_lease(place, become):
    """Absent, created, created twice, watched, replaced, replaced from an old version; nothing is lost on the way."""
    client = become("candidate")
    with pytest.raises(LeaseAPIError) as absent:
        await client.read()
    assert absent.value.status == 404
    body = creation(name="op", namespace=place.namespace, record=record("a", 0), labels=LABELS)
    body["metadata"]["annotations"] = {"somebody/else": "ä\n"}
    stored = await client.create(body)
    created = sight_of(stored)
    assert stored["metadata"]["annotations"] == {"somebody/else": "ä\n"}
    assert stored["spec"]["renewTime"].endswith(".000000Z"), "six digits, also when they are zeros (L2)"
    with pytest.raises(LeaseAPIError) as twice:
        await client.create(body)
    assert (twice.value.status, twice.value.refused) == (409, True)
    assert await client.read() == stored

    async with contextlib.aclosing(client.watch(str(created.version))) as events:
        coming = asyncio.ensure_future(anext(events))
        replaced = sight_of(await client.replace(replacement(created, record("b", 2), labels=LABELS, asks={})))
        event = await coming
        assert (event.kind, sight_of(event.object)) == ("MODIFIED", replaced)
    with pytest.raises(LeaseAPIError) as stale:
        await client.replace(replacement(created, record("c", 3), labels=LABELS, asks={}))
    assert (stale.value.status, stale.value.refused) == (409, True)
    assert sight_of(await client.read()) == replaced
    assert [event.kind for event in [await first(client, None)]] == ["ADDED"]


async def first(client, version):
    async with contextlib.aclosing(client.watch(version)) as events:
        return await anext(events)


@pytest.mark.parametrize(("who", "code"), [("nobody", 403), ("unknown", 401)])
async def test_refused_by_the_server(who, code, place, become):
    """Missing rights and unknown tokens are told as what they are, by every call (L17)."""
    client = become(who)
    body = creation(name="op", namespace=place.namespace, record=record("a", 1), labels={})
    calls = [client.read, lambda: client.create(body), lambda: client.replace(body), lambda: first(client, "1")]
    for verb, call in zip(("get", "create", "update", "watch"), calls, strict=True):
        with pytest.raises(LeaseAPIError) as caught:
            await call()
        assert (caught.value.status, caught.value.denied) == (code, True)
        assert (f'allow the verb "{verb}"' if code == 403 else "log in again") in str(caught.value)
    await client.login()  # changes nothing here, and is no error


async def test_expired_version(connect, pki, tmp_path):
    """A watch from a version that the server has forgotten is a 410 (L17)."""
    async with EmbeddedAPIServer(anonymous_admin=True) as server:
        server.create("namespaces", {"metadata": {"name": NAMESPACE}})
        client = connect(server.url)
        created = await client.create(creation(name="op", namespace=NAMESPACE, record=record("a", 1), labels={}))
        version = created["metadata"]["resourceVersion"]
        replaced = await client.replace(replacement(sight_of(created), record("a", 2), labels={}, asks={}))
        server.compact(int(replaced["metadata"]["resourceVersion"]))
        with pytest.raises(LeaseAPIError) as caught:
            await drink(client, version)
        assert caught.value.status == 410


async def test_bookmarks(serve, connect):
    """Every event is told as it was sent, bookmarks too; the watch ends when the server ends it."""
    server = await serve(always(stream(line("ADDED", LEASE), line("BOOKMARK", BOOKMARK), line("DELETED", LEASE))))
    events = await drink(connect(server.url))
    assert [event.kind for event in events] == ["ADDED", "BOOKMARK", "DELETED"]
    assert events[1].object == BOOKMARK
    query = server.requests[0].path.partition("?")[2].split("&")
    assert {"watch=1", "fieldSelector=metadata.name%3Dop", "allowWatchBookmarks=true", "resourceVersion=7"} < set(query)


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize(
    ("answer", "told", "pause"),
    [
        (reply(401, status(401, "Unauthorized")), 401, None),
        (reply(409, status(409, "conflict")), 409, None),
        (reply(409, b"<html>"), None, None),
        (reply(410, status(410, "too old")), 410, None),
        (reply(429, status(429, "busy"), Retry_After="3"), 429, 3.0),
        (reply(429, status(429, "busy", details={"retryAfterSeconds": 2})), 429, 2.0),
        (reply(500, b"oops", Retry_After="1"), 500, 1.0),
        (reply(503, status(503, "starting"), Retry_After="1"), 503, 1.0),
        (reply(307, b"", Location="/elsewhere"), 307, None),
    ],
    ids=["401", "409", "no-409", "410", "429", "429-body", "500", "503", "307"],
)
async def test_bad_answers(call, answer, told, pause, serve, connect):
    """Every failure has the server's status and the pause it asked for; nothing is repeated or redirected (L4, L17)."""
    server = await serve(always(answer))
    with pytest.raises(LeaseAPIError) as caught:
        await CALLS[call](connect(server.url))
    assert (caught.value.status, caught.value.retry_after) == (told, pause)
    assert len(server.requests) == 1


@pytest.mark.parametrize("call", CALLS)
async def test_time_out(call, serve, connect):
    """A server that says nothing: the caller is told in time, without a status, and the connection is closed."""
    server = await serve(silent)
    with pytest.raises(LeaseAPIError, match=r"was not answered within 0\.3 s") as caught:
        await CALLS[call](connect(server.url, request=0.3))
    assert caught.value.status is None
    await server.until(lambda: not server.tasks)
    assert len(server.requests) == 1


@pytest.mark.parametrize("call", CALLS)
async def test_cancelled(call, serve, connect):
    """L15: cancelled while it waits, it raises at once and leaves neither thread nor connection behind."""
    server = await serve(silent)
    client = connect(server.url, request=3600.0, silence=3600.0)
    task = asyncio.create_task(CALLS[call](client))
    await server.until(lambda: bool(server.requests))
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await asyncio.to_thread(until_no_threads)
    await server.until(lambda: not server.tasks)


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize(
    "tail", [b"", b"HTTP/1.1 200", b"HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\n{"], ids=range(3)
)
async def test_one_copy(call, tail, serve, connect):
    """L4: a kept connection that breaks under a request; the server has got one copy, and the outcome is unknown."""

    async def answer(_, writer):
        writer.write(reply(200, LEASE) if len(server.requests) == 1 else tail)
        await writer.drain()
        if len(server.requests) > 1:
            writer.close()

    server = await serve(answer)
    client = connect(server.url)
    await client.read()
    with pytest.raises(LeaseAPIError, match=r"broke off|does not say") as caught:
        await CALLS[call](client)
    assert (caught.value.status, caught.value.refused) == (None, False)
    own = call == "watch" and isinstance(client, DirectLeaseClient)  # whose watch has a connection of its own
    assert (len(server.requests), server.connections) == (2, 1 + own), "it was sent on the kept connection, once"
    await client.close()
    await server.until(lambda: not server.tasks)


async def test_raw_bodies(serve, connect):
    """What is sent is what was given, unknown fields included; what comes is what was stored."""
    body = LEASE | {"spec": {"renewTime": "2026-01-02T03:04:05.000000Z", "strange": [1, None, "ä"]}, "new": {"x": 1}}
    server = await serve(always(reply(200, body)))
    client = connect(server.url)
    assert await client.replace(body) == body
    assert await client.create(body) == body
    put, post = server.requests
    assert (put.method, put.path, json.loads(put.body)) == ("PUT", f"{PATH}/op", body)
    assert (post.method, post.path, json.loads(post.body)) == ("POST", PATH, body)
    assert put.headers["content-type"] == "application/json"
    assert server.connections == 1, "a connection is kept for the next request"


async def test_close_under_a_watch(serve, connect):
    """Closing ends a watch that is on, and everything after it is refused."""

    async def answer(_, writer):
        writer.write(stream(line("ADDED", LEASE), end=False))
        await writer.drain()
        await asyncio.Event().wait()

    server = await serve(answer)
    client = connect(server.url, silence=3600.0)
    events = client.watch("7")
    assert (await anext(events)).kind == "ADDED"
    waiting = asyncio.create_task(anext(events))
    await asyncio.sleep(0)
    await client.close()
    await client.close()
    with pytest.raises(LeaseAPIError):
        await waiting
    with pytest.raises(LeaseAPIError, match="has been closed"):
        await client.read()
    await server.until(lambda: not server.tasks)
    assert len(server.requests) == 1


async def test_tls(serve, connect, pki):
    """Over TLS with the CA given, the token travels; leaving a watch closes its connection."""

    async def answer(_, writer):
        writer.write(stream(line("ADDED", LEASE), end=False))
        await writer.drain()
        await asyncio.Event().wait()

    server = await serve(answer, pki.server())
    client = connect(server.url, token="t0ken", ca=pki.ca_path)
    assert (await first(client, "7")).kind == "ADDED"
    await server.until(lambda: not server.tasks)
    assert server.requests[0].headers["authorization"] == "Bearer t0ken"
    strangers = await serve(answer, pki.server())
    with pytest.raises(LeaseAPIError, match="broke off"):
        await first(connect(strangers.url, token="t0ken"), "7")
    assert not strangers.requests
