"""Cancellation at any await leaves nothing behind (L15): no task, no socket, no session."""

import asyncio
import contextlib
import gc

import kopf
import pytest

from tests.clients.servers import LEASE, reply, silent, since
from tests.clients.test_proxy import Proxy
from tests.clients.test_watch import line, stream


async def drink(client):
    async with contextlib.aclosing(client.watch("7")) as events:
        async for _ in events:
            pass


async def read_and_close(client):
    await client.read()
    await client.close()


CALLS = {
    "read": lambda client: client.read(),
    "create": lambda client: client.create(LEASE),
    "replace": lambda client: client.replace(LEASE),
    "login": lambda client: client.login(),
    "watch": drink,
    "close": read_and_close,
}


async def answer(request, writer):
    if "watch=1" in request.path:
        writer.write(stream(line("ADDED", LEASE)))
    else:
        writer.write(reply(200, LEASE))


async def cancel_after(steps: int, coroutine) -> bool:
    """Run it for so many turns of the loop, then cancel it. Whether it was done before."""
    task = asyncio.create_task(coroutine)
    for _ in range(steps):
        await asyncio.sleep(0)
    done = task.done()
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task
    return done


def strangers() -> set[asyncio.Task]:
    """The tasks that no test has started."""
    return {task for task in asyncio.all_tasks() if "/tests/" not in task.get_coro().cr_code.co_filename} - {
        asyncio.current_task()
    }


async def until_alone(known: set[asyncio.Task]) -> None:
    """Wait until no tasks of the client are left, and fail by naming them."""
    for _ in range(3000):
        if not strangers() - known:
            return
        await asyncio.sleep(0.01)
    assert strangers() - known == set()


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize("way", ["plain", "tls", pytest.param("proxy", marks=since("proxy_url"))])
async def test_cancelled_at_every_step(call, way, serve, connect, pki):
    """Whenever it is cancelled: no task of it runs on, and after `close()` the server sees every connection closed."""
    async with contextlib.AsyncExitStack() as stack:
        server = await serve(answer, None if way == "plain" else pki.server())
        fields = {} if way == "plain" else {"ca_path": pki.ca_path}
        if way == "proxy":
            proxy = await stack.enter_async_context(Proxy(server.port))
            fields["proxy_url"] = f"http://127.0.0.1:{proxy.port}"
        info = kopf.ConnectionInfo(server=server.url, token="t0ken", **fields)

        async def login():
            await asyncio.sleep(0)
            return info

        known = strangers()
        steps, done = 0, False
        while not done:
            client = connect(login)
            done = await cancel_after(steps, CALLS[call](client))
            steps += 1 + steps // 12  # finely at first, coarsely later
            await until_alone(known)
            await client.close()
            await server.until(lambda: not server.tasks)
        assert steps > 2
    gc.collect()


@pytest.mark.parametrize("call", ["read", "create", "replace", "watch"])
async def test_cancelled_while_waiting(call, serve, connect):
    """A request that is cancelled while the server is silent closes its connection at once, not at `close()`."""
    server = await serve(silent)
    client = connect(server.url)
    task = asyncio.create_task(CALLS[call](client))
    await server.until(lambda: bool(server.requests))
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await server.until(lambda: not server.tasks)


async def test_cancelled_waiter_for_a_login(serve, connect):
    """One of two that wait for the same log-in is cancelled: the other goes on."""
    go = asyncio.Event()
    server = await serve(answer)

    async def login():
        await go.wait()
        return kopf.ConnectionInfo(server=server.url)

    client = connect(login)
    first, second = asyncio.create_task(client.read()), asyncio.create_task(client.read())
    await asyncio.sleep(0)
    first.cancel()
    with pytest.raises(asyncio.CancelledError):
        await first
    go.set()
    assert await second == LEASE


async def test_closed_while_logging_in(serve, connect):
    """A client that is closed during a log-in opens nothing after it."""
    go = asyncio.Event()
    server = await serve(answer)

    async def login():
        await go.wait()
        return kopf.ConnectionInfo(server=server.url)

    client = connect(login)
    reading = asyncio.create_task(client.read())
    await asyncio.sleep(0)
    await client.close()
    go.set()
    (error,) = await asyncio.gather(reading, return_exceptions=True)
    assert "has been closed" in str(error)
    assert client._connections is None
    assert not server.connections


@pytest.mark.parametrize("again", [False, True], ids=["the first one", "after a 401"])
async def test_a_login_that_takes_longer_than_a_request(again, serve, connect):
    """L17: requests that wait for it run out of time one after the other; it goes on, and serves those that follow."""
    server, go, logins = await serve(answer), asyncio.Event(), []

    async def login():
        logins.append(1)
        if len(logins) > again:
            await go.wait()
        return kopf.ConnectionInfo(server=server.url)

    known = strangers()
    client = connect(login)
    if again:
        await client.read()
    for _ in range(3):
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.01):
                await (client.login() if again else client.read())
    go.set()
    await until_alone(known)
    assert await client.read() == LEASE
    assert len(logins) == 1 + again


async def test_a_login_that_nobody_waits_for_ends_with_the_client(connect):
    """Closing leaves no log-in behind, however long its handlers would take."""

    async def login():
        await asyncio.Event().wait()

    known = strangers()
    client = connect(login)
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.01):
            await client.read()
    await client.close()
    await until_alone(known)
