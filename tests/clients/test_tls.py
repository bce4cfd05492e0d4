"""TLS is verified, by what the credentials say, in the shapes of every supported kopf."""

import base64
import dataclasses
import shutil
from datetime import datetime

import kopf
import pytest
import trustme

from kopf_leader.clients import pools
from kopf_leader.errors import LeaseAPIError
from tests.clients.servers import LEASE, always, reply


@dataclasses.dataclass(frozen=True)
class OldConnectionInfo:
    """`kopf.ConnectionInfo` as in kopf 1.40: fields only, no TLS of its own, no proxy."""

    server: str
    ca_path: str | None = None
    ca_data: bytes | None = None
    insecure: bool | None = None
    username: str | None = None
    password: str | None = None
    scheme: str | None = None
    token: str | None = None
    certificate_path: str | None = None
    certificate_data: bytes | None = None
    private_key_path: str | None = None
    private_key_data: bytes | None = None
    default_namespace: str | None = None
    priority: int = 0
    expiration: datetime | None = None


releases = pytest.mark.parametrize("kind", [kopf.ConnectionInfo, OldConnectionInfo], ids=["installed", "1.40"])


def coded(data: str) -> bytes:
    """As in a kubeconfig, `certificate-authority-data`."""
    return base64.b64encode(data.encode())


@releases
@pytest.mark.parametrize("shape", ["path", "base64", "text"])
async def test_custom_ca(kind, shape, serve, connect, pki):
    """The server is known by the CA of the credentials, as a file or as data."""
    server = await serve(always(reply(200, LEASE)), pki.server())
    ca = {
        "path": {"ca_path": str(pki.ca_path)},
        "base64": {"ca_data": coded(pki.ca_pem)},
        "text": {"ca_data": pki.ca_pem},
    }
    assert await connect(kind(server=server.url, **ca[shape])).read() == LEASE


@releases
@pytest.mark.parametrize("trusted", ["system", "stranger"])
async def test_unknown_ca(kind, trusted, serve, connect, pki):
    """A server that another CA vouches for is refused, before anything is sent to it."""
    server = await serve(always(reply(200, LEASE)), pki.server())
    stranger = coded(pki.stranger.cert_pem.bytes().decode())
    info = kind(server=server.url, token="t0ken", **({"ca_data": stranger} if trusted == "stranger" else {}))
    with pytest.raises(LeaseAPIError, match="certificate verify failed") as caught:
        await connect(info).replace(LEASE)
    assert caught.value.status is None
    assert not server.requests


@releases
async def test_wrong_name(kind, serve, connect, pki):
    """A server with a certificate of our CA for another name is refused."""
    server = await serve(always(reply(200, LEASE)), pki.server("kubernetes.default.svc"))
    with pytest.raises(LeaseAPIError, match=r"not valid for '127\.0\.0\.1'"):
        await connect(kind(server=server.url, ca_path=str(pki.ca_path))).read()
    assert not server.requests


@releases
async def test_insecure(kind, serve, connect, pki):
    """Verification can be switched off by the credentials, and by nothing else."""
    server = await serve(always(reply(200, LEASE)), pki.server("wrong.example"))
    assert await connect(kind(server=server.url, insecure=True)).read() == LEASE


@releases
@pytest.mark.parametrize("shape", ["path", "data", "mixed"])
async def test_client_certificate(kind, shape, serve, connect, pki):
    """A server that asks for a client certificate gets the one of the credentials."""
    server = await serve(always(reply(200, LEASE)), pki.server(clients=True))
    certificate, key = pki.client_certificate, pki.client_key
    fields = {
        "path": {"certificate_path": str(certificate), "private_key_path": str(key)},
        "data": {"certificate_data": coded(certificate.read_text()), "private_key_data": coded(key.read_text())},
        "mixed": {"certificate_path": str(certificate), "private_key_data": coded(key.read_text())},
    }[shape]
    client = connect(kind(server=server.url, ca_path=str(pki.ca_path), **fields))
    assert await client.replace(LEASE) == LEASE
    assert await client.read() == LEASE
    assert server.connections == 1


@releases
async def test_client_certificate_missing(kind, serve, connect, pki):
    """Without it, the server ends the connection, and this is an error without a status."""
    server = await serve(always(reply(200, LEASE)), pki.server(clients=True))
    with pytest.raises(LeaseAPIError, match="broke off") as caught:
        await connect(kind(server=server.url, ca_path=str(pki.ca_path))).read()
    assert caught.value.status is None
    assert not server.requests


@releases
@pytest.mark.parametrize(
    "fields",
    [
        {"ca_path": "no/such/file"},
        {"ca_data": coded("no certificate")},
        {"certificate_path": "no/such/file", "private_key_path": "no/such/file"},
        {"certificate_data": coded("no certificate"), "private_key_data": coded("no key")},
    ],
    ids=range(4),
)
async def test_unusable(kind, fields, connect):
    """Credentials whose files or data cannot be used are an error of the log-in."""
    with pytest.raises(LeaseAPIError, match="brought credentials that cannot be used") as caught:
        await connect(kind(server="https://127.0.0.1:1", **fields)).read()
    assert caught.value.status is None
    assert caught.value.__cause__ is not None


async def test_context_is_made_once(serve, connect, pki, monkeypatch):
    """A request loads no certificates: that takes tens of milliseconds."""
    made = []
    real = pools.tls.ssl_context
    monkeypatch.setattr(pools.tls, "ssl_context", lambda info: made.append(info) or real(info))
    server = await serve(always(reply(200, LEASE)), pki.server())
    client = connect(kopf.ConnectionInfo(server=server.url, ca_path=pki.ca_path))
    for _ in range(3):
        await client.read()
        await client.login()
    assert len(made) == 1
    assert server.connections == 1


@releases
async def test_exchanged_files(kind, serve, connect, pki, tmp_path, monkeypatch):
    """CA and client certificate that are exchanged in their files are used from then on, without a log-in."""
    monkeypatch.setattr("kopf_leader.clients.direct.FILES_PERIOD", 0.0)
    logins = []
    ca, certificate, key = tmp_path / "ca", tmp_path / "certificate", tmp_path / "key"
    for path, source in ((ca, pki.ca_path), (certificate, pki.client_certificate), (key, pki.client_key)):
        shutil.copy(source, path)
    context = pki.server(clients=True)
    server = await serve(always(reply(200, LEASE, Connection="close")), context)

    async def login():
        logins.append(1)
        return kind(
            server=server.url, ca_path=str(ca), certificate_path=str(certificate), private_key_path=str(key)
        )  # fmt: skip

    client = connect(login)
    await client.read()

    second = trustme.CA()
    second.issue_cert("127.0.0.1").configure_cert(context)
    second.configure_trust(context)
    with pytest.raises(LeaseAPIError, match="certificate verify failed"):
        await client.read()
    exchange(ca, second.cert_pem.bytes())
    assert await client.read() == LEASE

    fresh = second.issue_cert("replica-a@example.org")
    exchange(certificate, fresh.cert_chain_pems[0].bytes())
    assert await client.read() == LEASE  # with the old one: the new one is of no use without its key
    exchange(key, fresh.private_key_pem.bytes())
    assert await client.read() == LEASE

    first, same, half, last = (request.peer for request in server.requests)
    assert first == same == half
    assert last not in (None, first)
    assert logins == [1]


def exchange(path, content: bytes) -> None:
    """Put new content in the place of a file, as a mounted secret does: it is never half there."""
    beside = path.with_suffix(".new")
    beside.write_bytes(content)
    beside.replace(path)
