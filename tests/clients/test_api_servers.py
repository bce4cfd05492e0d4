"""The client on the embedded and the real API server, with kubeconfigs as kopf reads them and the documented rights."""

import asyncio
import contextlib
import ssl
from dataclasses import dataclass

import kopf
import pytest
import trustme

from kopf_leader.clients.kopf import KopfLeaseClient, Patience
from kopf_leader.errors import LeaseAPIError
from kopf_leader.protocol.record import LeaseRecord, creation, replacement, sight_of, stamp
from kopf_leader.testing.apiserver import EmbeddedAPIServer, Rule
from tests.controlplane.fixtures import control_plane, shared_control_plane  # noqa: F401 (fixtures)
from tests.controlplane.rbac import lease_rules

LABELS = {"app": "op"}


@dataclass(frozen=True, kw_only=True)
class Place:
    """A namespace on one of the servers, and whom one can be there, as kubeconfigs."""

    namespace: str
    candidate: str
    """May do what the documentation says."""
    nobody: str
    """May do nothing."""
    unknown: str
    """Has a token that the server does not know."""


@pytest.fixture(params=["embedded", "real"])
async def place(request, tmp_path):
    if request.param == "real":
        plane = request.getfixturevalue("control_plane")
        namespace = plane.namespace()
        plane.grant_lease_rights("candidate", namespace, "op")
        tokens = {"candidate": plane.user("candidate"), "nobody": plane.user("nobody"), "unknown": "unknown"}
        paths = {name: str(plane.kubeconfig(tmp_path / name, token=token)) for name, token in tokens.items()}
        yield Place(namespace=namespace, **paths)
        return
    ca = trustme.CA()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    ca.issue_cert("127.0.0.1").configure_cert(context)
    ca.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    async with EmbeddedAPIServer(ssl_context=context, ca_file=tmp_path / "ca.pem") as server:
        server.create("namespaces", {"metadata": {"name": "ours"}})
        rules = [
            Rule(
                verbs=tuple(rule["verbs"]),
                resources=tuple(rule["resources"]),
                groups=tuple(rule["apiGroups"]),
                names=tuple(rule.get("resourceNames", ())),
            )
            for rule in lease_rules("op")
        ]
        tokens = {
            "candidate": server.add_user("candidate", rules=rules),
            "nobody": server.add_user("nobody", rules=[]),
            "unknown": "unknown",
        }
        paths = {name: str(server.write_kubeconfig(tmp_path / name, token=token)) for name, token in tokens.items()}
        yield Place(namespace="ours", **paths)


@pytest.fixture
async def become(place, monkeypatch):
    """A client with the credentials that kopf reads from a kubeconfig."""
    async with contextlib.AsyncExitStack() as stack:

        def make(who: str) -> KopfLeaseClient:
            async def login():
                monkeypatch.setenv("KUBECONFIG", getattr(place, who))
                return kopf.login_with_kubeconfig(settings=kopf.OperatorSettings())

            client = KopfLeaseClient(namespace=place.namespace, name="op", login=login, patience=Patience(request=30))
            stack.push_async_callback(client.close)
            return client

        yield make


def record(holder: str, micros: int) -> LeaseRecord:
    return LeaseRecord(holder=holder, duration=15, acquire_time=stamp(0), renew_time=stamp(micros), transitions=1)


async def test_life_of_a_lease(place, become):
    """Absent, created, created twice, watched, replaced, replaced from an old version."""
    client = become("candidate")
    with pytest.raises(LeaseAPIError) as absent:
        await client.read()
    assert absent.value.status == 404
    body = creation(name="op", namespace=place.namespace, record=record("a", 1), labels=LABELS)
    created = sight_of(await client.create(body))
    with pytest.raises(LeaseAPIError) as twice:
        await client.create(body)
    assert (twice.value.status, twice.value.refused) == (409, True)
    assert sight_of(await client.read()) == created

    async with contextlib.aclosing(client.watch(str(created.version))) as events:
        coming = asyncio.ensure_future(anext(events))
        replaced = sight_of(await client.replace(replacement(created, record("b", 2), labels=LABELS, asks={})))
        assert replaced.version > created.version
        event = await coming
        assert (event.kind, sight_of(event.object)) == ("MODIFIED", replaced)
        assert sight_of(event.object).record == record("b", 2)
    with pytest.raises(LeaseAPIError) as stale:
        await client.replace(replacement(created, record("c", 3), labels=LABELS, asks={}))
    assert (stale.value.status, stale.value.refused) == (409, True)
    assert sight_of(await client.read()) == replaced


async def test_watch_from_now(place, become):
    """A watch without a version begins with what there is."""
    client = become("candidate")
    body = creation(name="op", namespace=place.namespace, record=record("a", 1), labels={})
    created = sight_of(await client.create(body))
    async with contextlib.aclosing(client.watch(None)) as events:
        event = await anext(events)
    assert (event.kind, sight_of(event.object)) == ("ADDED", created)


@pytest.mark.parametrize(("who", "status"), [("nobody", 403), ("unknown", 401)])
async def test_refused(who, status, place, become):
    """Missing rights and unknown tokens are told as what they are, by every call."""
    client = become(who)
    body = creation(name="op", namespace=place.namespace, record=record("a", 1), labels={})
    calls = {
        "get": client.read,
        "create": lambda: client.create(body),
        "update": lambda: client.replace(body),
        "watch": lambda: anext(client.watch("1")),
    }
    for verb, call in calls.items():
        with pytest.raises(LeaseAPIError) as caught:
            await call()
        assert caught.value.status == status
        assert caught.value.denied
        says = f'allow the verb "{verb}"' if status == 403 else "does not accept the token of the login handlers"
        assert says in str(caught.value)
