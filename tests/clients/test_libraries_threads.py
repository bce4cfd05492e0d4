"""Blocking libraries keep the laws of time: nothing that hangs in a thread holds an election, or the interpreter."""

import asyncio
import contextlib
import socket
import subprocess
import sys
import threading
import time

import pytest

from kopf_leader.clients import blocking, wires
from kopf_leader.clients.blocking import BlockingLeaseClient
from kopf_leader.clients.threads import MAX_THREADS, Exchange, GivenUpError, Threads
from kopf_leader.errors import LeaseAPIError
from tests.clients.libraries import BLOCKING, by_address, threads, until_no_threads
from tests.clients.servers import LEASE, always, reply, silent
from tests.clients.test_watch import HEAD, chunk, line, stream


@pytest.fixture(params=BLOCKING)
def kind(request):
    return request.param


@pytest.fixture
async def connect(kind):
    made = []

    def make(url, **options):
        made.append(by_address(kind, url, **options))
        return made[-1]

    yield make
    for client in made:
        await client.close()
    until_no_threads()


async def test_trickle(serve, connect):
    """A server that sends a byte now and then, which no socket's time-out ends, is given up in time as a whole."""

    async def trickle(_, writer):
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n")
        while True:
            writer.write(b" ")
            await writer.drain()
            await asyncio.sleep(0.02)

    server = await serve(trickle)
    with pytest.raises(LeaseAPIError, match=r"was not answered within 0\.4 s") as caught:
        await connect(server.url, request=0.4).replace(LEASE)
    assert caught.value.status is None
    await asyncio.to_thread(until_no_threads)
    await server.until(lambda: not server.tasks)


async def test_server_that_does_not_accept(connect):
    """A full backlog: the connection never comes about, the caller is told in time, and the write is not sent later."""
    with contextlib.ExitStack() as stack:
        full = stack.enter_context(socket.socket())
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        for _ in range(4):
            filler = stack.enter_context(socket.socket())
            filler.setblocking(False)
            filler.connect_ex(full.getsockname())
        client = connect(f"http://127.0.0.1:{full.getsockname()[1]}", request=0.5)
        with pytest.raises(LeaseAPIError) as caught:
            await client.replace(LEASE)
        assert caught.value.status is None
    await asyncio.to_thread(until_no_threads)


async def test_the_loop_goes_on(serve, connect):
    """While a request hangs in its thread, the loop turns and other requests are answered."""

    async def answer(request, writer):
        if request.method == "PUT":
            await asyncio.Event().wait()
        writer.write(reply(200, LEASE))

    server = await serve(answer)
    client = connect(server.url, request=3600.0)
    hanging = asyncio.create_task(client.replace(LEASE))
    await server.until(lambda: bool(server.requests))
    assert await client.read() == LEASE
    assert not hanging.done()
    hanging.cancel()
    await asyncio.gather(hanging, return_exceptions=True)


class Stuck:
    """A library that no shut socket wakes up (a name server that hangs, an exec plugin)."""

    server, login, secrets = "the server", "nothing", ()

    def __init__(self):
        self.go = threading.Event()
        self.called = 0

    def send(self, _):
        self.called += 1
        self.go.wait(60)
        raise ConnectionError("too late")

    log_in = close = lambda _: None


async def test_bounded_number_of_threads():
    """When as many calls hang as there may be threads, the next is refused at once, as one whose outcome is known."""
    library = Stuck()
    client = BlockingLeaseClient(library, namespace="ns", name="stuck", timeout=0.05)
    for _ in range(MAX_THREADS):
        with pytest.raises(LeaseAPIError, match="was not answered within"):
            await client.replace(LEASE)
    with pytest.raises(LeaseAPIError, match=f"was not sent: {MAX_THREADS} earlier calls still hang"):
        await client.replace(LEASE)
    assert (library.called, len(threads("stuck"))) == (MAX_THREADS, MAX_THREADS)
    await client.close()  # does not wait for them longer than a request may take
    library.go.set()
    await asyncio.to_thread(until_no_threads, "stuck")


def test_hanging_thread_holds_no_interpreter():
    """A call that hangs for good keeps neither `asyncio.run` nor the process from ending."""
    program = """
import asyncio, threading
from kopf_leader.clients.threads import Exchange, Threads
async def main():
    try:
        async with asyncio.timeout(0.1):
            await Threads("x").call(Exchange(), threading.Event().wait)
    except TimeoutError:
        print("in time")
asyncio.run(main())
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=120, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "in time\n", "")


async def test_given_up_before_it_was_sent(serve, connect, monkeypatch):
    """A write that its caller has given up while the connection came about is not sent any more."""
    server = await serve(always(reply(200, LEASE)))
    ready, go = threading.Event(), threading.Event()
    tell = wires._Bound._tell

    def slow(sock):
        ready.set()
        go.wait(60)
        tell(sock)

    monkeypatch.setattr(wires._Bound, "_tell", staticmethod(slow))
    writing = asyncio.create_task(connect(server.url).replace(LEASE))
    await asyncio.to_thread(ready.wait, 60)
    writing.cancel()
    await asyncio.gather(writing, return_exceptions=True)
    go.set()
    await asyncio.to_thread(until_no_threads)
    await server.until(lambda: not server.tasks)
    assert server.requests == []


async def test_leaving_a_watch_ends_its_reader_at_once(serve, connect):
    """L16: a watch that is cancelled within a read does not keep its thread for the silence that it may bear."""

    async def answer(_, writer):
        writer.write(stream(line("ADDED", LEASE), end=False))
        await writer.drain()
        await asyncio.Event().wait()

    server = await serve(answer)
    client = connect(server.url, silence=3600.0)

    async def drink():
        async with contextlib.aclosing(client.watch("7")) as events:
            async for _ in events:
                seen.set()

    seen = asyncio.Event()
    task = asyncio.create_task(drink())
    await seen.wait()
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    await asyncio.to_thread(until_no_threads)
    await server.until(lambda: not server.tasks)


async def test_silent_watch(serve, connect):
    """A watch without a byte for longer than bookmarks take is broken off by the socket's time-out."""

    async def answer(_, writer):
        writer.write(stream(line("ADDED", LEASE), end=False))
        await writer.drain()
        await asyncio.Event().wait()

    server = await serve(answer)
    events = connect(server.url, silence=0.3).watch("7")
    assert (await anext(events)).kind == "ADDED"
    with pytest.raises(LeaseAPIError, match=r"was silent for 0\.3 s"):
        await anext(events)
    await server.until(lambda: not server.tasks)


@pytest.mark.parametrize("tail", [b"", b'5\r\n{"t'], ids=["between", "within"])
async def test_cut_watch(tail, serve, connect):
    """A stream that breaks off without its end is an error, not an end."""

    async def cut(_, writer):
        writer.write(stream(line("ADDED", LEASE), end=False) + tail)
        await writer.drain()
        writer.close()

    server = await serve(cut)
    events = connect(server.url).watch("7")
    assert (await anext(events)).kind == "ADDED"
    with pytest.raises(LeaseAPIError, match="broke off"):
        await anext(events)


async def test_unframed_watch(serve, connect):
    """Without chunks (an old proxy) events come at once as well; an end that nothing marks is an error."""

    async def plain(_, writer):
        writer.write(b"HTTP/1.1 200 OK\r\n\r\n" + line("ADDED", LEASE))
        await writer.drain()
        await go.wait()
        writer.close()

    go = asyncio.Event()
    server = await serve(plain)
    events = connect(server.url).watch("7")
    assert (await anext(events)).kind == "ADDED"
    go.set()
    with pytest.raises(LeaseAPIError, match="without a mark of its end"):
        await anext(events)


async def test_events_cut_anywhere_and_long_lines(serve, connect):
    """Where the network cuts a line makes no difference; a Lease may be as long as the API server allows."""
    long = LEASE | {"metadata": LEASE["metadata"] | {"annotations": {"long": "x" * 1_500_000}}}
    cut = line("ADDED", LEASE) + line("MODIFIED", LEASE)
    parts = [cut[at : at + 7] for at in range(0, len(cut), 7)]
    server = await serve(always(stream(*parts, line("MODIFIED", long))))
    async with contextlib.aclosing(connect(server.url).watch("7")) as events:
        found = [event async for event in events]
    assert [event.kind for event in found] == ["ADDED", "MODIFIED", "MODIFIED"]
    assert found[-1].object == long


@pytest.mark.parametrize("endless", ["body", "line"])
async def test_endless_answers(endless, serve, connect):
    """An answer or a line without end is given up at 4 MiB."""

    async def pour(_, writer):
        writer.write(HEAD)
        while True:
            writer.write(chunk(b" " * 0x10000))
            await writer.drain()

    server = await serve(pour)
    client = connect(server.url)
    with pytest.raises(LeaseAPIError, match="is longer than"):
        await (client.read() if endless == "body" else anext(client.watch("7")))
    await server.until(lambda: not server.tasks)


async def test_old_connections_are_not_used_again(serve, connect, monkeypatch):
    """A connection that was idle for as long as a load balancer's patience is left alone."""
    server = await serve(always(reply(200, LEASE)))
    client = connect(server.url)
    await client.read()
    await client.read()
    assert server.connections == 1
    monkeypatch.setattr(wires, "KEEPALIVE", 0.0)
    await client.read()
    assert server.connections == 2


async def test_kernel_asks_for_the_peer(serve, connect, monkeypatch):
    """TCP keepalive is on: a peer that vanished under a watch is noticed without any traffic."""
    found = []
    probe = wires._probe

    def look(sock):
        probe(sock)
        found.append(sock.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE))
        found.append(sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY))

    monkeypatch.setattr(wires, "_probe", look)
    server = await serve(always(reply(200, LEASE)))
    await connect(server.url).read()
    assert len(found) == 2
    assert all(found)


async def test_log_in_that_hangs():
    """A log-in that hangs is given up in time; one that fails says why, without the secrets."""
    library = Stuck()
    library.secrets = ("s3cret",)
    client = BlockingLeaseClient(library, namespace="ns", name="login", timeout=1, login=0.05)
    library.log_in = lambda: library.go.wait(60)
    with pytest.raises(LeaseAPIError, match=r"log-in for the Lease ns/login was not done within 0\.05 s"):
        await client.login()
    library.go.set()

    def fail():
        raise ValueError("no such token: s3cret")

    library.log_in = fail
    with pytest.raises(LeaseAPIError, match=r"failed with ValueError: no such token: \*\*\*"):
        await client.login()
    await client.close()
    await asyncio.to_thread(until_no_threads, "login")


async def test_results_nobody_waits_for():
    """A call whose waiter is gone ends quietly, and a given-up exchange starts nothing."""
    pool, go, exchange = Threads("quiet"), threading.Event(), Exchange()
    task = asyncio.create_task(pool.call(exchange, lambda: go.wait(60)))
    await asyncio.sleep(0)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    go.set()
    assert await pool.ended(within=60)
    with pytest.raises(GivenUpError):
        await pool.call(exchange, time.monotonic)
    with pytest.raises(RuntimeError, match="StopIteration"):
        await pool.call(Exchange(), lambda: next(iter(())))
    assert await pool.ended(within=60)
    until_no_threads("quiet")


async def test_every_time_out_is_the_callers(serve, connect):
    """The sockets' own time-outs are those of the request, so that a thread that nobody can wake ends by itself."""
    server = await serve(silent)
    client = connect(server.url, request=0.3)
    client._threads.give_up = lambda: None
    exchange_give_up, Exchange.give_up = Exchange.give_up, lambda _: None
    try:
        with pytest.raises(LeaseAPIError):
            await client.read()
        await asyncio.to_thread(until_no_threads)
    finally:
        Exchange.give_up = exchange_give_up
    assert blocking.SILENCE > 60
