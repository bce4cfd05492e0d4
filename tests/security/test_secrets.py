"""No token, password, key, header, word of a plugin or line of a kubeconfig comes out, whatever fails."""

import asyncio
import json
import logging
from pathlib import Path

import pytest
from click.testing import CliRunner
from prometheus_client import CollectorRegistry

from kopf_leader.cli.main import main
from kopf_leader.clients.kubeconfig import KubeconfigError, read
from kopf_leader.errors import LeaseAPIError
from kopf_leader.operations.address import Address
from kopf_leader.operations.site import Operations
from kopf_leader.protocol.settings import Settings
from tests.clients.conftest import connect, pki, serve
from tests.clients.servers import LEASE, reply, silent, status
from tests.elector.memory import Recorder
from tests.elector.test_thread import wait_for
from tests.operations.looks import get
from tests.security.secrets import (
    GRANTS,
    HEADER,
    PASSWORD,
    PLUGIN,
    PROXY,
    TOKEN,
    chain,
    client,
    kubeconfig,
    leaks,
    logged,
    users,
    with_header,
)
from tests.security.secrets import plugin as make_plugin

__all__ = ["connect", "pki", "serve"]

CLIENTS = ["kopf", "local", "kubernetes", "kubernetes.aio", "pykube"]
USERS = ["token", "basic", "key", "exec", "torn", "not ASCII"]
LOGIN = f"//ann:{PROXY}@"


def heard(request) -> str:
    """What a server knows of who asks, as it would quote it."""
    return json.dumps({name: value for name, value in request.headers.items() if name != "host"})[1:-1]


def answering(make):
    async def say(request, writer):
        writer.write(make(heard(request)))
        await writer.drain()
        writer.close()

    return say


ANSWERS = {
    "401": answering(lambda told: reply(401, status(401, f"I do not know {told}"))),
    "403": answering(lambda told: reply(403, status(403, f"{told} may not"))),
    "500": answering(lambda told: reply(500, told.encode())),
    "garbage": answering(lambda told: reply(200, told.encode())),
    "no HTTP": answering(lambda told: f"HTTP/9 {told}\r\n\r\n".encode()),
    "cut": answering(lambda told: b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n" + told.encode()[:40]),
}


async def failures(client) -> list[str]:
    """All that a client says of itself and of its failures."""
    said = [repr(client), *map(repr, vars(client).values())]
    for call in (client.read, lambda: client.replace(LEASE), client.login, lambda: anext(client.watch("7"))):
        try:
            async with asyncio.timeout(30):
                await call()
        except LeaseAPIError as error:
            said += chain(error)
    await client.close()
    return said


@pytest.fixture
def way(tmp_path, pki, monkeypatch, caplog):
    """A kubeconfig to a server by a kind of credentials, the one that every library finds."""
    caplog.set_level(logging.DEBUG)

    def way(url, user, *, code=GRANTS, **how):
        user = users(tmp_path, pki, make_plugin(tmp_path, code))[user] if isinstance(user, str) else user
        path = kubeconfig(tmp_path, url, user, **how)
        monkeypatch.setenv("KUBECONFIG", path)
        return Path(path)

    return way


@pytest.mark.parametrize("user", USERS)
@pytest.mark.parametrize("kind", CLIENTS)
async def test_whatever_a_server_answers(kind, user, serve, way, caplog):
    """A server that quotes what it was shown, in every kind of failure."""
    for name, answer in ANSWERS.items():
        server = await serve(answer)
        said = await failures(client(kind, way(server.url, user)))
        assert any("Lease ns/op" in text for text in said), name
        assert leaks(*said, *logged(caplog.records)) == set(), name


@pytest.mark.parametrize("kind", CLIENTS)
async def test_whatever_happens_on_the_way(kind, serve, way, pki, caplog):
    """Nobody listens, nobody answers, TLS does not match, the proxy refuses, is absent, or is no URL."""
    stranger = await serve(silent, pki.server("example.org"))
    mute = await serve(silent)
    proxy = await serve(ANSWERS["403"])
    cases = [
        ("http://127.0.0.1:1", {}), (mute.url, {}), (stranger.url, {}),
        (stranger.url.replace("//", LOGIN), {}), ("http://127.0.0.1:1".replace("//", LOGIN), {}),
        ("https://api.invalid", {"proxy": proxy.url.replace("//", LOGIN)}),
        ("http://api.invalid", {"proxy": proxy.url.replace("//", LOGIN)}),
        ("https://api.invalid", {"proxy": "http://127.0.0.1:1".replace("//", LOGIN)}),
        ("https://api.invalid", {"proxy": f"http://ann:{PROXY}/x@127.0.0.1:1"}),
        (f"http://ann:{PROXY}/x@127.0.0.1:1", {}), (f"http://ann:{PROXY}#@127.0.0.1:1", {}),
        (f"http://ann:{PROXY}\u2100@127.0.0.1:1", {}),
    ]  # fmt: skip
    for url, how in cases:
        said = await failures(client(kind, way(url, "token", **how), timeout=0.5 if url == mute.url else 30.0))
        assert leaks(*said, *logged(caplog.records)) == set(), (url, how)


@pytest.mark.parametrize("kind", ["kubernetes", "kubernetes.aio", "pykube"])
async def test_headers_of_a_library(kind, serve, caplog):
    """A header, a cookie, a token without a scheme that the user's own object of a library sends."""
    caplog.set_level(logging.DEBUG)
    for answer in ANSWERS.values():
        server = await serve(answer)
        said = await failures(with_header(kind, server.url))
        assert any(HEADER in heard(request) for request in server.requests)
        assert leaks(*said, *logged(caplog.records)) == set()


PLUGINS = {
    "fails": f"print('{PLUGIN}'); sys.exit(3)",
    "prints no JSON": f"print('{PLUGIN}')",
    "prints a list": f"print(json.dumps(['{PLUGIN}']))",
    "prints a text as status": f"print(json.dumps({{'apiVersion': 'client.authentication.k8s.io/v1beta1', "
    f"'kind': 'ExecCredential', 'status': '{PLUGIN}'}}))",
    "prints bytes": f"sys.stdout.buffer.write(b'{PLUGIN}\\xff')",
}


@pytest.mark.parametrize("code", PLUGINS.values(), ids=PLUGINS)
@pytest.mark.parametrize("kind", CLIENTS)
async def test_a_plugin_that_fails(kind, code, way, caplog):
    """What a credential plugin was given and what it printed stay out of the sentence about its failure."""
    said = await failures(client(kind, way("http://127.0.0.1:1", "exec", code=code)))
    assert leaks(*said, *logged(caplog.records)) == set()


BROKEN = {
    "a quote": f'users: [{{name: u, user: {{token: "{TOKEN}}}}}]',
    "an alias": f"password: *{PASSWORD}",
    "a tag": f"password: !{PASSWORD} x",
    "a tab": f"a:\n\t- {TOKEN}",
    "two values": f"token: {TOKEN}: {TOKEN}",
    "bytes": f"token: {TOKEN}\0",
    "a text": TOKEN,
}


@pytest.mark.parametrize("text", BROKEN.values(), ids=BROKEN)
def test_a_broken_kubeconfig(text, tmp_path, monkeypatch):
    """A kubeconfig that cannot be read is told by its line's number: a parser quotes the line."""
    path = tmp_path / "kubeconfig"
    path.write_text(text)
    with pytest.raises(KubeconfigError) as caught:
        read(path, None)
    assert leaks(*chain(caught.value)) == set()
    assert leaks(str(caught.value.__context__ or "")) <= {"s3cr3t"}  # suppressed: no traceback shows it
    assert caught.value.__suppress_context__ or caught.value.__context__ is None
    done = CliRunner().invoke(main, ["status", "op", "--kubeconfig", str(path)])
    assert (done.exit_code, leaks(done.output)) == (2, set())


@pytest.mark.parametrize(
    "command", [["status", "op", "--observe=0"], ["doctor", "op", "--observe=0.1s"], ["hold", "op", "--reason=x"]]
)
async def test_commands(command, serve, way, caplog):
    """What people see of a failure: status, doctor and the requests, with each kind of answer."""
    for user in ("token", "basic", "exec", "torn"):
        for name, answer in ANSWERS.items():
            server = await serve(answer)
            path = way(server.url.replace("//", LOGIN) if user == "exec" else server.url, user)
            done = await asyncio.to_thread(CliRunner().invoke, main, [*command, "--kubeconfig", str(path)])
            assert done.output.strip(), (user, name)
            assert done.exception is None or isinstance(done.exception, SystemExit), (user, name)
            assert leaks(done.output, *logged(caplog.records)) == set(), (user, name)


async def test_credentials_have_no_repr(way):
    """What holds credentials shows none of them when somebody prints it."""
    access = read(way("http://127.0.0.1:1", "token"), None)
    assert leaks(repr(access), str(access)) == set()


@pytest.mark.parametrize("kind", ["local", "kubernetes", "pykube"])
async def test_a_candidate_that_fails(kind, serve, way, caplog):
    """Logs of all levels, metrics, health and Events of a candidate whose server refuses, quotes and breaks off."""
    bodies: list[bytes] = []
    every = [*ANSWERS.values()]

    async def answer(request, writer):
        bodies.append(request.body)
        if request.method == "POST" or "events" in request.path:
            writer.write(reply(500, heard(request).encode()))
        else:
            await every[len(bodies) % len(every)](request, writer)

    server = await serve(answer)
    path = way(server.url, "token")
    at = Address("127.0.0.1", 0)
    operations = Operations(health_at=at, metrics_at=at, registry=CollectorRegistry())
    settings = Settings(
        name="op", namespace="ns", identity="me", lease_duration=1.5, renew_deadline=1.2, retry_period=0.1,
        request_timeout=1,
    )  # fmt: skip
    follower = Recorder()
    election = operations.stand(settings=settings, client=lambda: client(kind, path), follower=follower)
    follower.drained = election.drained
    operations.start()
    operations.endpoints.server.start()
    try:
        election.start()
        await server.until(lambda: len(server.requests) > 12)
        port = operations.endpoints.server.ports["health"]
        paths = ("/healthz?verbose", "/readyz?verbose", "/metrics")
        pages = [(await asyncio.to_thread(get, port, each))[1] for each in paths]
    finally:
        election.resign(leave=True)
        await asyncio.to_thread(wait_for, lambda: not election.alive)
        operations.close()
    assert "leader_election_master_status" in pages[2]
    assert leaks(*pages, *logged(caplog.records), *(body.decode("latin-1") for body in bodies)) == set()
