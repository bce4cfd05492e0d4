"""What only the embedded API server can do: disturbances on demand, restarts, rules of its own, threads, a process."""

from __future__ import annotations

import asyncio
import json
import signal
import sys
import urllib.request

import aiohttp
import pytest
from aiohttp import web

from kopf_leader.testing import EmbeddedAPIServer, Rule
from kopf_leader.testing.apiserver import target_of
from tests.contract.api import Api, eventually
from tests.contract.bodies import DEFINITIONS, custom, definition, held, lease

LEASES = "/apis/coordination.k8s.io/v1/namespaces/default/leases"


@pytest.fixture
async def server():
    """A server without TLS, with a bookmark every now and then."""
    async with EmbeddedAPIServer(bookmark_interval=0.05, history=50) as server:
        yield server


@pytest.fixture
async def api(server):
    """The API as its administrator sees it."""
    async with aiohttp.ClientSession() as session:
        yield Api(session, server.url, None, server.admin_token)


async def test_a_hook_may_answer(server, api):
    """What on_request returns is the answer; None lets the request pass; it may wait, too."""
    seen = []

    async def hook(request):
        target = target_of(request)
        seen.append((target.verb, target.plural, target.name))
        if target.verb == "update":
            return web.json_response({"kind": "Status", "code": 429}, status=429, headers={"Retry-After": "1"})
        return None

    server.on_request = hook
    made = (await api.post(LEASES, lease("one"))).ok(201)
    assert (await api.put(f"{LEASES}/one", made)).status == 429
    server.on_request = None
    (await api.put(f"{LEASES}/one", made)).ok()
    assert seen == [("create", "leases", ""), ("update", "leases", "one")]


async def test_a_request_takes_effect_without_its_client(server, api):
    """A client that gives up while the server is slow leaves a write that lands later (L4)."""
    entered, go_on = asyncio.Event(), asyncio.Event()

    async def slow(request):
        if request.method == "POST":
            entered.set()
            await go_on.wait()

    server.on_request = slow
    abandoned = asyncio.create_task(api.post(LEASES, lease("late")))
    await entered.wait()
    abandoned.cancel()
    await asyncio.gather(abandoned, return_exceptions=True)
    assert (await api.get(f"{LEASES}/late")).status == 404
    go_on.set()

    async def landed():
        return (await api.get(f"{LEASES}/late")).status == 200

    await eventually(landed, "the abandoned write to land")


async def test_closing_watches(server, api):
    """close_watches() ends all watches cleanly; they may be opened again at once."""
    version = (await api.get(LEASES)).version
    async with api.watch(LEASES, resourceVersion=version) as one, api.watch(LEASES, resourceVersion=version) as two:
        assert server.watches == 2
        server.close_watches()
        assert await one.rest() == []
        assert await two.rest() == []
    async with api.watch(LEASES, resourceVersion=version) as watch:
        (await api.post(LEASES, lease("one"))).ok(201)
        assert (await watch.next())["type"] == "ADDED"


async def test_watches_of_clients_that_are_gone(server, api):
    """A watch ends with its client: nothing is left behind."""
    async with api.watch(LEASES):
        assert server.watches == 1

    async def none():
        return server.watches == 0

    await eventually(none, "the watch to be gone")


async def test_periodic_bookmarks(api):
    """Bookmarks come every bookmark_interval, and name the newest version."""
    async with api.watch(LEASES, allowWatchBookmarks="true") as watch:
        first = await watch.next()
        newest = (await api.post(f"{LEASES.replace('default', 'kube-system')}", lease("one"))).version
        while first["object"]["metadata"]["resourceVersion"] != newest:
            first = await watch.next()
    assert first["type"] in {"BOOKMARK", "ADDED"}


async def test_gone_as_a_status(server, api):
    """Older API servers refuse a version too old by HTTP 410: gone_as_status does that."""
    version = (await api.post(LEASES, lease("one"))).version
    (await api.merge(f"{LEASES}/one", {"spec": {"holderIdentity": "a"}})).ok()
    server.compact()
    async with api.watch(LEASES, resourceVersion=version) as watch:
        assert [event["object"]["code"] for event in await watch.rest()] == [410]
    server.gone_as_status = True
    answer = await api.get(LEASES, watch="true", resourceVersion=version)
    assert (answer.status, answer.reason) == (410, "Expired")


async def test_history_is_bounded(api):
    """More changes than are kept make old versions too old, without a word from anybody."""
    version = (await api.post(LEASES, lease("one"))).version
    for number in range(60):
        (await api.merge(f"{LEASES}/one", {"spec": {"leaseTransitions": number}})).ok()
    async with api.watch(LEASES, resourceVersion=version) as watch:
        assert (await watch.next())["object"]["code"] == 410


async def test_a_restart_keeps_everything(server, api):
    """Stopped and started again it has the same port and objects; watches end, and resume from their version."""
    url = server.url
    made = (await api.post(LEASES, lease("one", held("a")))).ok(201)
    async with api.watch(LEASES, resourceVersion=made["metadata"]["resourceVersion"]) as watch:
        await server.stop()
        assert await watch.rest() == []
    with pytest.raises(aiohttp.ClientConnectionError):
        await api.get(LEASES)
    await server.start()
    assert server.url == url
    assert (await api.get(f"{LEASES}/one")).ok() == made
    async with api.watch(LEASES, resourceVersion=made["metadata"]["resourceVersion"]) as watch:
        (await api.delete(f"{LEASES}/one")).ok()
        assert (await watch.next())["type"] == "DELETED"


async def test_rules_of_its_own(server, api):
    """Rules may be given without RBAC objects, and changed while it runs; they read like RBAC's."""
    token = server.add_user("me", rules=[Rule(verbs=("get",), resources=("leases",), names=("one",))])
    me = api.as_user(token)
    assert (await me.get(f"{LEASES}/one")).status == 404
    assert (await me.get(f"{LEASES}/two")).status == 403
    assert (await me.post(LEASES, lease("one"))).status == 403
    server.set_rules("me", [Rule(verbs=("*",), groups=("coordination.k8s.io",), namespaces=("default",))])
    (await me.post(LEASES, lease("one"))).ok(201)
    assert (await me.get("/apis/coordination.k8s.io/v1/leases")).status == 403
    server.set_rules("me", [])
    assert (await me.get(f"{LEASES}/one")).status == 403


async def test_tokens_come_and_go(server, api):
    """A user may have several tokens; a revoked one is a 401."""
    first, second = server.add_user("me"), server.add_user("me")
    server.revoke_token(first)
    assert (await api.as_user(first).get(LEASES)).status == 401
    (await api.as_user(second).get(LEASES)).ok()


async def test_anonymous_administrators():
    """A server may let everybody in: kubectl sends no token over plain HTTP."""
    async with EmbeddedAPIServer(anonymous_admin=True) as server, aiohttp.ClientSession() as session:
        (await Api(session, server.url, None, None).post(LEASES, lease("one"))).ok(201)


async def test_requests_are_counted(server, api):
    """By user, verb and resource, for tests that bound them."""
    me = api.as_user(server.add_user("me"))
    await me.get(LEASES)
    await me.get(f"{LEASES}/one")
    await me.get(f"{LEASES}/one")
    assert server.requests["me", "get", "leases"] == 2
    assert server.requests["me", "list", "leases"] == 1


async def test_objects_without_requests(server, api):
    """Tests may look and create directly; what is not served yet is named."""
    server.create("leases", {"metadata": {"name": "one"}}, namespace="default")
    assert [found["metadata"]["name"] for found in server.objects("leases", namespace="default")] == ["one"]
    with pytest.raises(LookupError, match="create its CustomResourceDefinition first"):
        server.objects("widgets")
    server.create("customresourcedefinitions", definition(plural="widgets", kind="Widget"))
    server.create("widgets", {"metadata": {"name": "one"}}, namespace="default")
    assert (await api.get("/apis/contract.kopf-leader.dev/v1/widgets")).ok()["items"][0]["kind"] == "Widget"


async def test_a_namespace_empties_itself(api):
    """As in a cluster with its controller manager: a deleted namespace goes once its last object is gone."""
    (await api.post("/api/v1/namespaces", {"metadata": {"name": "mine"}})).ok(201)
    leases = LEASES.replace("default", "mine")
    (await api.post(leases, lease("plain"))).ok(201)
    (await api.post(leases, lease("kept", finalizers=["x.y/z"]))).ok(201)
    (await api.delete("/api/v1/namespaces/mine")).ok()
    assert (await api.get(f"{leases}/plain")).status == 404
    refused = await api.post(leases, lease("more"))
    assert refused.status == 403
    assert "because it is being terminated" in refused.message
    (await api.merge(f"{leases}/kept", {"metadata": {"finalizers": None}})).ok()
    assert (await api.get("/api/v1/namespaces/mine")).status == 404


async def test_a_definition_waits_for_finalizers(api):
    """A deleted definition goes once its last object is gone; watches of it end."""
    (await api.post(DEFINITIONS, definition(plural="widgets", kind="Widget"))).ok(201)
    widgets = "/apis/contract.kopf-leader.dev/v1/namespaces/default/widgets"
    made = (await api.post(widgets, custom("Widget", "one", metadata={"finalizers": ["x.y/z"]}))).ok(201)
    async with api.watch(widgets, resourceVersion=made["metadata"]["resourceVersion"]) as watch:
        (await api.delete(f"{DEFINITIONS}/widgets.contract.kopf-leader.dev")).ok()
        assert (await api.get(widgets)).status == 200
        (await api.merge(f"{widgets}/one", {"metadata": {"finalizers": None}})).ok()
        assert [event["type"] for event in await watch.rest()] == ["MODIFIED", "DELETED"]
    assert (await api.get(widgets)).status == 404


async def test_ten_thousand_objects(api):
    """Lists, pages and watches of many objects stay in proportion to what they return."""
    (await api.post(DEFINITIONS, definition(plural="widgets", kind="Widget"))).ok(201)
    widgets = "/apis/contract.kopf-leader.dev/v1/namespaces/default/widgets"
    version = (await api.get(widgets)).version
    for start in range(0, 10_000, 100):
        names = [f"w-{number:05}" for number in range(start, start + 100)]
        await asyncio.gather(*(api.post(widgets, custom("Widget", name, spec={"a": 1})) for name in names))
    assert len((await api.get(widgets)).ok()["items"]) == 10_000
    seen, token = [], ""
    while token is not None:
        page = (await api.get(widgets, **{"limit": 500, "continue": token})).ok()
        seen += [item["metadata"]["name"] for item in page["items"]]
        token = page["metadata"].get("continue")
    assert seen == [f"w-{number:05}" for number in range(10_000)]
    async with api.watch(widgets) as watch:
        first = [(await watch.next())["type"] for _ in range(10_000)]
        assert set(first) == {"ADDED"}
        (await api.merge(f"{widgets}/w-00000", {"spec": {"a": 2}})).ok()
        assert (await watch.next())["type"] == "MODIFIED"
    assert int((await api.get(widgets, limit=1)).version) >= int(version) + 10_001


def test_in_a_thread():
    """For tests that are not asynchronous: served by a thread, gone after the block."""
    with EmbeddedAPIServer().in_thread() as server:
        request = urllib.request.Request(server.url + LEASES, headers={"Authorization": f"Bearer {server.admin_token}"})
        with urllib.request.urlopen(request, timeout=30) as answer:
            assert json.load(answer)["kind"] == "LeaseList"
        watching = urllib.request.Request(f"{server.url}{LEASES}?watch=1", headers=dict(request.header_items()))
        with urllib.request.urlopen(watching, timeout=30) as answer:
            server.create("leases", {"metadata": {"name": "one"}}, namespace="default")
            assert json.loads(answer.readline())["object"]["metadata"]["name"] == "one"
        assert [found["metadata"]["name"] for found in server.objects("leases")] == ["one"]
        url = server.url
    with pytest.raises(OSError, match="refused"):
        urllib.request.urlopen(url, timeout=30)


async def test_as_a_process(tmp_path):
    """`python -m kopf_leader.testing.apiserver` prints its URL, writes a kubeconfig, and ends by SIGTERM."""
    kubeconfig = tmp_path / "kubeconfig"
    command = [sys.executable, "-m", "kopf_leader.testing.apiserver", "--kubeconfig", str(kubeconfig)]
    tokens = ["--token", "abc:me", "--token", "def:you", "--namespace", "kube-system"]
    process = await asyncio.create_subprocess_exec(*command, *tokens, stdout=asyncio.subprocess.PIPE)
    try:
        async with asyncio.timeout(60):
            url = (await process.stdout.readline()).decode().strip()
        content = json.loads(kubeconfig.read_text())
        assert content["clusters"][0]["cluster"] == {"server": url}
        assert content["users"][0]["user"] == {"token": "abc"}
        assert content["contexts"][0]["context"]["namespace"] == "kube-system"
        async with aiohttp.ClientSession() as session:
            (await Api(session, url, None, "def").post(LEASES, lease("one"))).ok(201)
        process.send_signal(signal.SIGTERM)
        async with asyncio.timeout(60):
            assert await process.wait() == 0
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


async def test_a_port_that_is_taken(server):
    """OSError, and nothing is left half-started."""
    other = EmbeddedAPIServer(port=server.port)
    with pytest.raises(OSError, match="in use"):
        await other.start()
    with pytest.raises(RuntimeError, match="runs already"):
        await server.start()
