"""Kubernetes Events on the Lease: what they say, and that nothing ever waits for them."""

import asyncio
import gc
from collections.abc import Awaitable, Callable
from typing import Any

import kopf
import pytest

from kopf_leader.clients.kopf import KopfLeaseClient, Patience
from kopf_leader.elector.observer import LAST_GRACE, Observer
from kopf_leader.errors import LeaseAPIError
from kopf_leader.operations.site import Operations
from kopf_leader.protocol.settings import Settings
from tests.elector import conftest
from tests.elector.memory import MemoryClient, Recorder
from tests.operations.looks import Place, wait_for

CORE = {"apiGroups": [""], "resources": ["events"], "verbs": ["create"]}
NEW = {"apiGroups": ["events.k8s.io"], "resources": ["events"], "verbs": ["create"]}


class EventfulClient(MemoryClient):
    """A client that can send Events, into a list."""

    def __init__(self, store: Any) -> None:
        super().__init__(store)
        self.attempts: list[Any] = []
        self.posted: list[Any] = []
        self.hindrance: Callable[[Any], Awaitable[None]] | None = None

    async def post_event(self, body: Any) -> None:
        self.attempts.append(body)
        if self.hindrance is not None:
            await self.hindrance(body)
        self.posted.append(body)

    @property
    def said(self) -> list[str]:
        return [body.get("message") or body["note"] for body in self.posted]


@pytest.fixture(autouse=True)
def clients(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every candidate of the world gets such a client."""
    monkeypatch.setattr(conftest, "MemoryClient", EventfulClient)


def test_a_term_is_two_events(virtually: Any, watched: Any) -> None:
    """Two Events on the Lease: became leader, stopped leading with the reason; their reason is LeaderElection."""

    async def scene(world: Any) -> None:
        watched(world)
        world.store.make()
        one = world.join("one")
        await world.until(lambda: one.follower.leading)
        await asyncio.sleep(20)
        assert one.client.said == ["one became leader"]
        one.resign()
        await world.until(one.task.done)
        assert one.client.said == ["one became leader", "one stopped leading: the process is shutting down"]
        for body in one.client.posted:
            assert (body["apiVersion"], body["type"], body["reason"]) == ("v1", "Normal", "LeaderElection")
            assert body["involvedObject"] == {
                "apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "namespace": "ns", "name": "op",
                "uid": world.store.lease["metadata"]["uid"],
            }  # fmt: skip

    virtually(scene)


def test_a_lost_term_is_a_warning(virtually: Any, watched: Any) -> None:
    """A term that ends because somebody else holds the Lease: one Event of the type Warning, with the reason."""

    async def scene(world: Any) -> None:
        watched(world)
        world.store.make()
        one = world.join("one")
        await world.until(lambda: one.follower.leading)
        world.store.edit(holderIdentity="else")
        await world.until(lambda: len(one.client.posted) == 2)
        assert one.client.posted[1]["type"] == "Warning"
        assert one.client.said[1] == "one stopped leading: somebody else holds the Lease"

    virtually(scene)


@pytest.mark.parametrize("allowed", ["events.k8s.io/v1", None])
def test_where_they_are_not_allowed_nobody_hears_of_it(
    virtually: Any, watched: Any, caplog: Any, allowed: str | None
) -> None:
    """core/v1 or events.k8s.io/v1, whichever RBAC allows; silent when neither is allowed."""
    caplog.set_level("INFO")

    async def scene(world: Any) -> None:
        watched(world)
        world.store.make()
        one = world.join("one")

        async def deny(body: Any) -> None:
            if body["apiVersion"] != allowed:
                raise LeaseAPIError("no rights", status=403)

        one.client.hindrance = deny
        await world.until(lambda: one.follower.leading)
        await asyncio.sleep(20)
        assert [body["apiVersion"] for body in one.client.attempts] == ["v1", "events.k8s.io/v1"]
        assert one.client.said == (["one became leader"] if allowed else [])

    virtually(scene)
    assert not [record for record in caplog.records if record.levelname in ("WARNING", "ERROR")]


def test_one_repetition_and_no_more(virtually: Any, watched: Any) -> None:
    """No retries beyond one: the API server has other worries then."""

    async def scene(world: Any) -> None:
        watched(world)
        world.store.make()
        one = world.join("one")

        async def fail(body: Any) -> None:
            raise LeaseAPIError("overloaded", status=500)

        one.client.hindrance = fail
        await world.until(lambda: one.follower.leading)
        await asyncio.sleep(60)
        assert len(one.client.attempts) == 2
        assert one.client.attempts[0] is one.client.attempts[1]

    virtually(scene)


def test_hanging_events_delay_nothing(virtually: Any, watched: Any) -> None:
    """They never delay the election: neither a takeover nor a renewal nor (but for a moment) the end."""

    async def scene(world: Any) -> None:
        watched(world)
        world.store.make()
        one = world.join("one")
        one.client.hindrance = lambda body: asyncio.sleep(3600)
        await world.until(lambda: one.follower.leading)
        two = world.join("two")
        await asyncio.sleep(100)
        assert one.follower.leading
        one.resign()
        assert await world.until(lambda: two.follower.leading) < 0.1
        assert await world.until(one.task.done) <= LAST_GRACE + 0.1

    virtually(scene)


def test_an_observer_that_fails_is_left_alone(virtually: Any, caplog: Any) -> None:
    """An observer decides nothing: its mistakes are logged once, and the election goes on to its orderly end."""

    class Broken(Observer):
        def stepped(self, before: Any, after: Any, now: Any) -> None:
            raise RuntimeError("a mistake")

        async def end(self) -> None:
            raise RuntimeError("another mistake")

    async def scene(world: Any) -> None:
        world.observe = lambda settings, clock: [Broken()]
        world.store.make()
        one = world.join("one")
        await world.until(lambda: one.follower.leading)
        one.resign()
        await world.until(one.task.done)
        assert world.store.lease["spec"]["holderIdentity"] == ""

    virtually(scene)
    assert len([record for record in caplog.records if record.levelname == "ERROR"]) == 1


@pytest.mark.filterwarnings("ignore:[Uu]nclosed:ResourceWarning")  # TLS connections say goodbye to a loop that is gone
@pytest.mark.parametrize("rules", [(CORE,), (NEW,), ()], ids=["core", "events.k8s.io", "none"])
def test_on_an_api_server(place: Place, rules: tuple[Any, ...], caplog: Any) -> None:
    """With the election's own credentials, on the embedded and on the real API server: whichever RBAC allows."""
    caplog.set_level("INFO")
    token = place.user(*rules)
    place.admin.create(
        f"/apis/coordination.k8s.io/v1/namespaces/{place.namespace}/leases", {"metadata": {"name": "op"}}
    )

    async def login() -> kopf.ConnectionInfo:
        return kopf.ConnectionInfo(server=place.url, ca_path=str(place.admin.ca_file), token=token)

    settings = Settings(name="op", namespace=place.namespace, identity="pod-1_abc")
    follower = Recorder()
    election = Operations().stand(
        settings=settings,
        client=lambda: KopfLeaseClient(
            namespace=place.namespace, name="op", login=login, patience=Patience(request=30.0)
        ),
        follower=follower,
    )
    follower.drained = election.drained
    election.start()
    wait_for(lambda: follower.leading, "a leader")
    if rules:
        wait_for(place.events, "the first Event")
    election.resign(leave=True)
    assert election.join(60)
    if rules:
        wait_for(lambda: len(place.events()) == 2, "the second Event")
    events = place.events()
    said = ["pod-1_abc became leader", "pod-1_abc stopped leading: the process is shutting down"]
    assert [event["message"] for event in events] == (said if rules else [])
    for event in events:
        assert (event["reason"], event["type"]) == ("LeaderElection", "Normal")
        assert event["involvedObject"]["uid"]
        assert event["reportingComponent"] == "kopf-leader"
    assert not [record for record in caplog.records if record.levelname in ("WARNING", "ERROR")]
    gc.collect()  # now, and not in a test that takes warnings for errors
