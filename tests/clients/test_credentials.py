"""Who the client says it is: tokens, files that rotate, user names; and that none of it is ever told."""

import asyncio
import base64
import traceback
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from types import SimpleNamespace

import aiohttp
import kopf
import pytest

from kopf_leader.errors import LeaseAPIError
from tests.clients.servers import LEASE, always, reply, since, status
from tests.clients.test_tls import OldConnectionInfo, exchange

releases = pytest.mark.parametrize("kind", [kopf.ConnectionInfo, OldConnectionInfo], ids=["installed", "1.40"])
BASIC = "Basic " + base64.b64encode(b"ann:pass").decode()


@pytest.fixture(autouse=True)
def look_each_time(monkeypatch):
    """Files are looked at before each request."""
    monkeypatch.setattr("kopf_leader.clients.direct.FILES_PERIOD", 0.0)


def shown(server) -> list[str | None]:
    """The credentials that arrived, in order."""
    return [request.headers.get("authorization") for request in server.requests]


@releases
@pytest.mark.parametrize(
    ("fields", "header"),
    [
        ({}, None),
        ({"token": "t0ken"}, "Bearer t0ken"),
        ({"token": "t0ken", "scheme": "Custom"}, "Custom t0ken"),
        ({"scheme": "Alone"}, "Alone"),
        ({"username": "ann", "password": "pass"}, BASIC),
        ({"username": "ann", "password": "pass", "token": "t0ken"}, BASIC),
        ({"username": "ann", "token": "t0ken"}, "Bearer t0ken"),
    ],
)
async def test_header(kind, fields, header, serve, connect):
    """The header is the one that kopf would send."""
    server = await serve(always(reply(200, LEASE)))
    client = connect(kind(server=server.url, **fields))
    await client.read()
    await client.replace(LEASE)
    assert shown(server) == [header, header]


async def test_login_in_the_address(serve, connect):
    """A user name and a password in the server's address are a header, too."""
    server = await serve(always(reply(200, LEASE)))
    await connect(server.url.replace("//", "//ann:pass@")).read()
    assert shown(server) == [BASIC]


@releases
async def test_rotated_token(kind, serve, connect, tmp_path):
    """A token that is exchanged in its file is used from then on, without a 401, a log-in or a new connection."""
    file = tmp_path / "token"
    file.write_text("first\n")
    logins = []
    server = await serve(always(reply(200, LEASE)))

    async def login():
        logins.append(1)
        return kind(server=server.url, token=file.read_text().strip())

    client = connect(login, token_file=str(file))
    await client.read()
    exchange(file, b"second\n")
    await client.replace(LEASE)
    exchange(file, b"")  # a broken write is no token
    await client.read()
    file.unlink()
    await client.read()
    exchange(file, b"third")
    await client.read()
    assert shown(server) == [f"Bearer {token}" for token in ("first", "second", "second", "second", "third")]
    assert logins == [1]
    assert server.connections == 1


async def test_token_and_ca_at_once(serve, connect, pki, tmp_path):
    """Another CA means new connections; the token's file is followed on them as well, even if it is away just then."""
    file, ca = tmp_path / "token", tmp_path / "ca"
    file.write_text("first")
    ca.write_bytes(pki.ca_path.read_bytes())
    server = await serve(always(reply(200, LEASE)), pki.server())
    client = connect(kopf.ConnectionInfo(server=server.url, token="first", ca_path=str(ca)), token_file=str(file))
    await client.read()
    file.unlink()
    exchange(ca, pki.ca_path.read_bytes() + pki.stranger.cert_pem.bytes())
    await client.read()
    exchange(file, b"second")
    await client.read()
    assert shown(server) == ["Bearer first", "Bearer first", "Bearer second"]
    assert server.connections == 2


async def test_file_of_another_token(serve, connect, tmp_path):
    """A token that did not come from the file is not replaced by what stands there."""
    file = tmp_path / "token"
    file.write_text("the service account's")
    server = await serve(always(reply(200, LEASE)))
    client = connect(kopf.ConnectionInfo(server=server.url, token="the user's"), token_file=str(file))
    await client.read()
    exchange(file, b"the service account's next")
    await client.read()
    assert shown(server) == ["Bearer the user's"] * 2


async def test_rotated_token_after_a_refusal(serve, connect, tmp_path, monkeypatch):
    """After a 401 the file is looked at again, however long ago the last look was."""
    monkeypatch.setattr("kopf_leader.clients.direct.FILES_PERIOD", 3600.0)
    file = tmp_path / "token"
    file.write_text("first")

    async def answer(request, writer):
        good = request.headers["authorization"] == "Bearer second"
        writer.write(reply(200, LEASE) if good else reply(401, status(401, "Unauthorized")))

    server = await serve(answer)
    client = connect(kopf.ConnectionInfo(server=server.url, token="first"), token_file=str(file))
    with pytest.raises(LeaseAPIError) as caught:
        await client.read()
    assert caught.value.status == 401
    exchange(file, b"second")
    assert await client.read() == LEASE


async def test_login_again(serve, connect):
    """L17: after a 401, `login()` brings new credentials; a 401 by itself brings no second request."""
    tokens = iter(["old", "new"])

    async def answer(request, writer):
        good = request.headers["authorization"] == "Bearer new"
        writer.write(reply(200, LEASE) if good else reply(401, status(401, "Unauthorized")))

    server = await serve(answer)

    async def login():
        return kopf.ConnectionInfo(server=server.url, token=next(tokens))

    client = connect(login)
    with pytest.raises(LeaseAPIError) as caught:
        await client.replace(LEASE)
    assert caught.value.status == 401
    assert caught.value.denied
    assert str(caught.value) == (
        "PUT of the Lease ns/op was refused (HTTP 401: Unauthorized): the server does not accept the token of the "
        "login handlers, log in again."
    )
    await client.login()
    assert await client.replace(LEASE) == LEASE
    assert shown(server) == ["Bearer old", "Bearer new"]
    assert server.connections == 2, "other credentials have connections of their own"


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({}, "a request without credentials"),
        ({"username": "ann", "password": "pass"}, "the user name and password"),
        ({"certificate_path": "x"}, "the client certificate"),
        ({"certificate_data": "x"}, "the client certificate"),
    ],
)
async def test_what_was_tried(fields, words, serve, connect):
    """A 401 says what was tried."""
    server = await serve(always(reply(401, status(401, "Unauthorized"))))
    with pytest.raises(LeaseAPIError, match=f"does not accept {words}"):
        await connect(kopf.ConnectionInfo(server=server.url, **fields)).read()


async def test_other_server(serve, connect):
    """A log-in that leads elsewhere is followed, and nothing is left of the connections to the old server."""
    first, second = await serve(always(reply(200, LEASE))), await serve(always(reply(200, LEASE)))
    servers = iter([first, second])

    async def login():
        return kopf.ConnectionInfo(server=next(servers).url)

    client = connect(login)
    await client.read()
    await client.login()
    await client.read()
    assert [len(first.requests), len(second.requests)] == [1, 1]
    await first.until(lambda: not first.tasks)


async def test_a_request_survives_the_change(serve, connect):
    """A request that is on when the credentials change goes on; its connection is closed after it."""
    go = asyncio.Event()

    async def answer(_, writer):
        await go.wait()
        writer.write(reply(200, LEASE))

    first, second = await serve(answer), await serve(always(reply(200, LEASE)))
    servers = iter([first, second])

    async def login():
        return kopf.ConnectionInfo(server=next(servers).url)

    client = connect(login)
    writing = asyncio.create_task(client.replace(LEASE))
    await first.until(lambda: bool(first.requests))
    await client.login()
    await client.read()
    go.set()
    assert await writing == LEASE
    await first.until(lambda: not first.tasks)


async def test_one_login_for_all(serve, connect):
    """Requests that begin together wait for one log-in."""
    logins = []
    server = await serve(always(reply(200, LEASE)))

    async def login():
        logins.append(1)
        await asyncio.sleep(0)
        return kopf.ConnectionInfo(server=server.url)

    client = connect(login)
    await asyncio.gather(*(client.read() for _ in range(5)))
    assert logins == [1]


@pytest.mark.parametrize("zone", [UTC, None, timezone(timedelta(hours=5))], ids=["UTC", "naive", "+05:00"])
@releases
async def test_expiration(kind, zone, serve, connect):
    """Credentials that have expired are not used: there is a log-in before (a time without a zone is UTC)."""
    server = await serve(always(reply(200, LEASE)))
    now = datetime.now(UTC)
    ends = iter([now - timedelta(minutes=1), now + timedelta(hours=1)])
    tokens = iter(["first", "second", "third"])

    async def login():
        end = next(ends)
        end = end.astimezone(zone) if zone else end.replace(tzinfo=None)
        return kind(server=server.url, token=next(tokens), expiration=end)

    client = connect(login)
    await client.login()
    await client.read()
    await client.read()
    assert shown(server) == ["Bearer second"] * 2


@pytest.mark.parametrize(
    ("error", "says"),
    [
        (kopf.LoginError("No cluster\nis configured."), "failed with LoginError: No cluster is configured"),
        (ValueError("token=s3cret"), "failed with ValueError."),
        (OSError("s3cret"), "failed with OSError."),
    ],
)
async def test_login_fails(error, says, connect):
    """A failed log-in is an error without a status, for `login()` and for the request that needed it."""

    async def login():
        raise error

    client = connect(login)
    for call in (client.login, client.read, lambda: anext(client.watch("7"))):
        with pytest.raises(LeaseAPIError) as caught:
            await call()
        assert says in str(caught.value)
        assert "s3cret" not in str(caught.value)
        assert caught.value.status is None
        cause = caught.value.__cause__
        assert cause is not None
        assert "s3cret" not in repr(cause)
        assert cause.__traceback__ is not None, "where it came from is known all the same"


async def test_login_fails_in_a_sentence(connect):
    """A login handler's caller that has put the failure into a sentence is not interrupted."""

    async def login():
        raise LeaseAPIError("No login handler could log in.", status=401)

    with pytest.raises(LeaseAPIError, match=r"^No login handler could log in\.$") as caught:
        await connect(login).read()
    assert caught.value.status == 401


async def test_login_brings_a_stranger(serve, connect):
    """Something with a server, but none of kopf's credentials, ends in the promised error."""
    server = await serve(always(reply(200, LEASE)))
    brought = iter([kopf.ConnectionInfo(server=server.url), SimpleNamespace(server=server.url)])

    async def login():
        return next(brought)

    client = connect(login)
    await client.login()
    with pytest.raises(LeaseAPIError, match="cannot be used"):
        await client.login()
    assert await client.read() == LEASE


@pytest.mark.parametrize("brought", [None, "credentials", {}])
async def test_login_brings_nothing(brought, connect):
    """Login handlers that return something else are named as the reason."""

    async def login():
        return brought

    with pytest.raises(LeaseAPIError, match=r"no login handler returned a kopf\.ConnectionInfo"):
        await connect(login).read()


async def test_login_hangs(connect):
    """A log-in has a time-out of its own."""

    async def login():
        await asyncio.Event().wait()

    client = connect(login, login=0.1)
    for call in (client.login, client.read):
        with pytest.raises(LeaseAPIError, match=r"was not done within 0\.1 s"):
            await call()


async def test_slow_first_login(serve, connect):
    """The first log-in may take longer than a request: it does not count against the request's time-out."""
    server = await serve(always(reply(200, LEASE)))

    async def login():
        await asyncio.sleep(0.1)
        client._patience = replace(client._patience, request=60.0)  # for the request that follows
        return kopf.ConnectionInfo(server=server.url)

    client = connect(login, request=0.01)
    assert await client.read() == LEASE


async def test_failed_login_keeps_the_old(serve, connect):
    """A log-in that fails leaves what there was."""
    server = await serve(always(reply(200, LEASE)))
    answers = iter([kopf.ConnectionInfo(server=server.url, token="t0ken")])

    async def login():
        return next(answers)

    client = connect(login)
    await client.read()
    with pytest.raises(LeaseAPIError):
        await client.login()
    await client.read()
    assert shown(server) == ["Bearer t0ken"] * 2


@since("AiohttpSession")
async def test_ready_made_session(serve, connect):
    """A `kopf.AiohttpSession` is used as it is, its headers too, and closed with the client."""
    server = await serve(always(reply(200, LEASE)))
    session = aiohttp.ClientSession(headers={"Authorization": "Bearer mine"})
    client = connect(kopf.AiohttpSession(server=server.url, aiohttp_session=session))
    await client.read()
    await client.login()
    await client.replace(LEASE)
    assert shown(server) == ["Bearer mine"] * 2
    assert server.connections == 1
    await client.close()
    assert session.closed


@since("AiohttpSession")
async def test_ready_made_session_of_another_loop(connect):
    """A session of another event loop is refused with a sentence that says what to do."""

    async def make():
        return aiohttp.ClientSession()

    def elsewhere():
        return asyncio.run(make())

    session = await asyncio.to_thread(elsewhere)
    with pytest.raises(LeaseAPIError, match="create it inside an async login handler"):
        await connect(kopf.AiohttpSession(server="http://127.0.0.1:1", aiohttp_session=session)).read()
    await session.close()


CODED = tuple(base64.b64encode(f"ann:{word}-of-mine".encode()).decode() for word in ("pa55", "pr0xy"))
SECRETS = ("t0ken-of-mine", "pa55-of-mine", "pr0xy-of-mine", *CODED)


PROXIES = [None, *(pytest.param(kind, marks=since("proxy_url")) for kind in ("refuses", "absent", "plain"))]


@pytest.mark.parametrize("fields", [{"token": "t0ken-of-mine"}, {"username": "ann", "password": "pa55-of-mine"}])
@pytest.mark.parametrize("proxy", PROXIES)
@pytest.mark.parametrize(
    "answer",
    [
        lambda told: reply(401, status(401, f"I do not know {told}")),
        lambda told: reply(403, status(403, f"{told} may not")),
        lambda told: reply(500, told.encode()),
        lambda told: reply(200, told.encode()),
        lambda told: reply(200, {"type": "ERROR", "object": status(410, told)}),
        lambda told: f"HTTP/9 {told}\r\n\r\n".encode(),
    ],
    ids=["401", "403", "500", "garbage", "event", "no HTTP"],
)
async def test_no_secret_is_told(fields, proxy, answer, serve, connect):
    """No credential occurs in a message, in a repr, or in the chain of causes, even if the server quotes it."""

    async def quote(request, writer):
        told = request.headers.get("proxy-authorization") or request.headers.get("authorization", "")
        writer.write(answer(told))
        await writer.drain()
        writer.close()

    server = await serve(quote)
    url = server.url
    if proxy is not None:
        url = "http://api.invalid" if proxy == "plain" else "https://api.invalid"
        at = "http://127.0.0.1:1" if proxy == "absent" else server.url
        fields = fields | {"proxy_url": at.replace("//", "//ann:pr0xy-of-mine@")}
    client = connect(kopf.ConnectionInfo(server=url, **fields))
    for call in (client.read, lambda: client.replace(LEASE), lambda: anext(client.watch("7"))):
        with pytest.raises(LeaseAPIError) as caught:
            await call()
        told = [str(caught.value), repr(caught.value), *traceback.format_exception(caught.value)]
        error = caught.value
        while error is not None:
            told += [str(error), repr(error)]
            error = error.__cause__
        for secret in SECRETS:
            assert secret not in "\n".join(told)
    for thing in (client, client._credentials, client._connections, client._credentials.proxy):
        assert not any(secret in repr(thing) for secret in SECRETS)
