"""Clients that share a session: who does, who never does, and what the end or the trouble of one is to the others."""

import asyncio
import gc
import threading

import aiohttp
import kopf
import pytest

from kopf_leader.clients import pools
from kopf_leader.errors import LeaseAPIError
from tests.clients.servers import LEASE, always, reply, since, status
from tests.clients.test_tls import exchange
from tests.clients.test_watch import HEAD, chunk, line


class Api:
    """Answers as the API server does: a watch lasts, the rest is answered, once it may be."""

    def __init__(self) -> None:
        self.go = asyncio.Event()
        self.go.set()
        self.refused: set[str] = set()
        self.dead: set[int] = set()
        self.watches = 0

    async def __call__(self, request, writer):
        if "watch=1" in request.path:
            self.watches += 1
            writer.write(HEAD + chunk(line("ADDED", LEASE)))
            await asyncio.Event().wait()
        await self.go.wait()
        if request.connection in self.dead:
            await asyncio.Event().wait()
        denied = request.headers.get("authorization") in self.refused
        answer = (401, status(401, "Unauthorized")) if denied else (200, LEASE)
        writer.write(reply(*answer))


@pytest.fixture
async def api():
    return Api()


async def watching(client):
    """A watch that has brought its first event, and goes on."""
    events = client.watch("7")
    await anext(events)
    return events


async def test_a_watch_each_and_a_few_for_the_rest(api, serve, connect, monkeypatch):
    """Twenty Leases in one process: a connection for each watch, and four that the requests of all share, in turns."""
    monkeypatch.setattr(pools, "MOMENT", 60.0)
    server = await serve(api)
    clients = [connect(server.url) for _ in range(20)]
    await asyncio.gather(*(client.read() for client in clients))
    watches = [await watching(client) for client in clients]
    for _ in range(3):
        await asyncio.gather(*(client.replace(LEASE) for client in clients))
    assert server.connections == 20 + pools.FEW
    for events in watches:
        await events.aclose()


async def test_nobody_waits_for_long(api, serve, connect):
    """Requests that hang on every kept connection keep nobody waiting; the connections of the others are not kept."""
    server = await serve(api)
    clients = [connect(server.url) for _ in range(10)]
    api.go.clear()
    hanging = [asyncio.create_task(client.read()) for client in clients[: pools.FEW]]
    await server.until(lambda: len(server.requests) == pools.FEW)
    writing = [asyncio.create_task(client.replace(LEASE)) for client in clients[pools.FEW :]]
    await server.until(lambda: len(server.requests) == 10)
    api.go.set()
    assert await asyncio.gather(*hanging, *writing) == [LEASE] * 10
    assert server.connections == 10
    for client in clients:
        await client.read()
    assert server.connections == 10
    assert {request.connection for request in server.requests[10:]} <= {*range(1, pools.FEW + 1)}


async def test_kept_connections_that_died_cost_one_attempt(api, serve, connect):
    """L4: what is kept may be dead, all of it: who got no answer gets the next one over a connection of its own."""
    server = await serve(api)
    clients = [connect(server.url, request=1.0) for _ in range(pools.FEW)]
    api.go.clear()
    reading = [asyncio.create_task(client.read()) for client in clients]
    await server.until(lambda: len(server.requests) == pools.FEW)
    api.go.set()
    await asyncio.gather(*reading)
    api.dead = set(range(1, pools.FEW + 1))
    with pytest.raises(LeaseAPIError, match="not answered"):
        await clients[0].replace(LEASE)
    assert await clients[0].replace(LEASE) == LEASE
    assert server.requests[-1].connection == pools.FEW + 1


@pytest.mark.parametrize(
    "fields",
    [
        {"token": "other"},
        {"username": "ann", "password": "pass"},
        {"token": "t0ken", "scheme": "Custom"},
        {"token": "t0ken", "insecure": True},
        {"token": "t0ken", "certificate_path": "x"},
        {"token": "t0ken", "ca_data": b"x"},
    ],
)
async def test_other_credentials_never_share(fields, api, serve, connect):
    """Whoever shows something else, or gets there in another way, has a session of its own."""
    server = await serve(api)
    one = connect(kopf.ConnectionInfo(server=server.url, token="t0ken"))
    same = connect(kopf.ConnectionInfo(server=server.url, token="t0ken"))
    other = connect(kopf.ConnectionInfo(server=server.url, **fields))
    for client in (one, same, other):
        await client.read()
    assert one._connections._pool is same._connections._pool
    assert other._connections._pool is not one._connections._pool
    assert [request.connection for request in server.requests] == [1, 1, 2]


async def test_other_servers_never_share(api, serve, connect):
    """Another address is another session, whatever is shown there."""
    first, second = await serve(api), await serve(api)
    one, other = connect(first.url), connect(second.url)
    await one.read()
    await other.read()
    assert one._connections._pool is not other._connections._pool
    assert [len(first.requests), len(second.requests)] == [1, 1]


async def test_who_follows_one_file_shares(api, serve, connect, tmp_path, monkeypatch):
    """Clients with the token of one file have one session, whichever of its tokens they began with."""
    monkeypatch.setattr("kopf_leader.clients.direct.FILES_PERIOD", 0.0)
    file = tmp_path / "token"
    file.write_text("first")
    server = await serve(api)

    async def login():
        return kopf.ConnectionInfo(server=server.url, token=file.read_text())

    early = connect(login, token_file=str(file))
    await early.read()
    exchange(file, b"second")
    late = connect(login, token_file=str(file))
    await late.read()
    await early.read()
    assert [request.headers["authorization"] for request in server.requests] == [
        "Bearer first", "Bearer second", "Bearer second"
    ]  # fmt: skip
    assert server.connections == 1


async def test_the_end_of_one_leaves_the_others(api, serve, connect):
    """Closing breaks off what this client has on, and nothing else; the last one leaves no connection."""
    server = await serve(api)
    one, other = connect(server.url), connect(server.url)
    mine, theirs = await watching(one), await watching(other)
    api.go.clear()
    asked, kept = asyncio.create_task(one.read()), asyncio.create_task(other.read())
    listened = asyncio.create_task(anext(mine))
    await server.until(lambda: len(server.requests) == 4)
    await one.close()
    for broken in (asked, listened):
        with pytest.raises(LeaseAPIError):
            await broken
    await one.close()
    api.go.set()
    assert await kept == LEASE
    assert await other.replace(LEASE) == LEASE
    with pytest.raises(LeaseAPIError, match="has been closed"):
        await one.read()
    await theirs.aclose()
    await other.close()
    await server.until(lambda: not server.tasks)


async def test_a_login_is_each_ones_own(api, serve, connect):
    """L17: after a 401 each logs in for itself; one that fails to stays where it was, and stops nobody else."""
    server = await serve(api)
    can, cannot = iter(["old", "new"]), iter(["old"])

    def with_tokens(tokens):
        async def login():
            token = next(tokens, None)
            if token is None:
                raise kopf.LoginError("no more")
            return kopf.ConnectionInfo(server=server.url, token=token)

        return login

    one, other = connect(with_tokens(can)), connect(with_tokens(cannot))
    for client in (one, other):
        await client.read()
    assert one._connections._pool is other._connections._pool
    api.refused = {"Bearer old"}
    for client in (one, other):
        with pytest.raises(LeaseAPIError) as caught:
            await client.read()
        assert caught.value.status == 401
    with pytest.raises(LeaseAPIError, match="no more"):
        await other.login()
    await one.login()
    assert await one.read() == LEASE
    assert one._connections._pool is not other._connections._pool
    api.refused = set()
    assert await other.read() == LEASE
    assert server.requests[-1].headers["authorization"] == "Bearer old"


async def test_after_a_login_they_meet_again(api, serve, connect):
    """Clients that log in anew, with the same outcome, share again; the old session is closed by the last of them."""
    server = await serve(api)
    clients = []
    for _ in range(3):
        tokens = iter(["old", "new"])

        async def login(tokens=tokens):
            return kopf.ConnectionInfo(server=server.url, token=next(tokens))

        clients.append(connect(login))
    for client in clients:
        await client.read()
    (old,) = {client._connections._pool for client in clients}
    for client in clients:
        assert not old.single.closed
        await client.login()
        await client.read()
    assert old.single.closed
    (new,) = {client._connections._pool for client in clients}
    assert new.members == 3


@since("AiohttpSession")
async def test_a_ready_made_session_is_closed_by_the_last(api, serve, connect):
    """Clients whose log-in brings the same session share it."""
    server = await serve(api)
    info = kopf.AiohttpSession(server=server.url, aiohttp_session=aiohttp.ClientSession())
    one, other = connect(info), connect(info)
    for client in (one, other):
        await client.read()
    await one.close()
    assert await other.read() == LEASE
    await other.close()
    assert info.aiohttp_session.closed


async def test_other_loops_never_share(serve, connect):
    """A session belongs to one loop: the clients of another one have their own."""
    server = await serve(always(reply(200, LEASE)))
    client = connect(server.url)
    await client.read()
    known = []

    def elsewhere():
        async def look():
            pool = pools.join(client._credentials)
            known.append(pool)
            await pool.leave()

        asyncio.run(look())

    thread = threading.Thread(target=elsewhere)
    thread.start()
    await asyncio.to_thread(thread.join, 60)
    assert known[0] is not client._connections._pool
    assert client._connections._pool.members == 1


async def test_what_was_left_is_forgotten(api, serve, connect):
    """A pool that nobody is in any more is not kept, and not joined."""
    server = await serve(api)
    client = connect(server.url)
    await client.read()
    pool = client._connections._pool
    await client.close()
    again = connect(server.url)
    await again.read()
    assert again._connections._pool is not pool
    del pool
    gc.collect()
    assert len([each for each in pools._pools.known if each.loop is asyncio.get_running_loop()]) == 1
