"""Servers and clients that are closed after each test."""

import contextlib
import ssl
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from pathlib import Path

import kopf
import pytest
import trustme

from kopf_leader.clients.kopf import KopfLeaseClient, Patience
from tests.clients.servers import NAME, NAMESPACE, Answer, Server


@dataclass(frozen=True, kw_only=True)
class Pki:
    """A CA, what it signed, and a CA that nobody trusts."""

    ca: trustme.CA
    stranger: trustme.CA
    ca_pem: str
    ca_path: Path
    client_certificate: Path
    client_key: Path

    def server(self, *names: str, clients: bool = False) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.ca.issue_cert(*(names or ("127.0.0.1",))).configure_cert(context)
        if clients:
            self.ca.configure_trust(context)
            context.verify_mode = ssl.CERT_REQUIRED
        return context


@pytest.fixture(scope="session")
def pki(tmp_path_factory: pytest.TempPathFactory) -> Pki:
    folder = tmp_path_factory.mktemp("pki")
    ca = trustme.CA()
    client = ca.issue_cert("replica-a@example.org")
    paths = folder / "ca.pem", folder / "client.pem", folder / "client.key"
    ca.cert_pem.write_to_path(str(paths[0]))
    paths[1].write_bytes(b"".join(blob.bytes() for blob in client.cert_chain_pems))
    client.private_key_pem.write_to_path(str(paths[2]))
    return Pki(
        ca=ca,
        stranger=trustme.CA(),
        ca_pem=ca.cert_pem.bytes().decode(),
        ca_path=paths[0],
        client_certificate=paths[1],
        client_key=paths[2],
    )


@pytest.fixture
async def serve() -> AsyncIterator[Callable]:
    """Start a server that answers so."""
    async with contextlib.AsyncExitStack() as stack:

        async def start(answer: Answer, tls: ssl.SSLContext | None = None) -> Server:
            return await stack.enter_async_context(Server(answer, tls))

        yield start


@pytest.fixture
async def connect() -> AsyncIterator[Callable]:
    """Make a client: with a server's address, or with credentials, or with a login handler."""
    made: list[KopfLeaseClient] = []

    def make(target, *, request=30.0, login=30.0, silence=30.0, **options) -> KopfLeaseClient:
        if isinstance(target, str):
            target = kopf.ConnectionInfo(server=target)

        async def bring() -> object:
            return target

        client = KopfLeaseClient(
            namespace=NAMESPACE,
            name=NAME,
            login=target if callable(target) else bring,
            patience=Patience(request=request, login=login, silence=silence),
            **options,
        )
        made.append(client)
        return client

    yield make
    for client in made:
        await client.close()
