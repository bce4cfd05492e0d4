"""The witness in virtual time: whom it follows, what it tells, what it costs, and that nothing of it can do harm."""

import asyncio
import contextlib
import logging
from collections import Counter
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest

from kopf_leader.clients.base import PodClient, WatchEvent
from kopf_leader.elector.place import leave_mark
from kopf_leader.elector.witness import Witness
from kopf_leader.errors import LeaseAPIError
from tests.elector.memory import MemoryClient
from tests.protocol.edits import edited
from tests.protocol.test_evidence import POD, WORDS, ended, identity, reported

FIRST = identity()
SECOND = identity(random="0123456789", run="11111111", start=5000)
OTHER = identity(pod="op-7d4b9-q9zzw", random="abcdef0123", uid="other")
RUNNING = {"state": {"running": {}}}


class Pods:
    """One pod, as the API server tells of it; `fault` is raised by each request."""

    def __init__(self) -> None:
        self.pod: Any = reported(**RUNNING)
        self.fault: BaseException | None = None
        self.news: asyncio.Queue[WatchEvent | Exception | None] = asyncio.Queue()
        self.requests: Counter[str] = Counter()
        self.watching = 0

    def ask(self, verb: str) -> None:
        self.requests[verb] += 1
        if self.fault is not None:
            raise self.fault


class PodMemoryClient(MemoryClient):
    """A client that can look at a pod as well."""

    pods: Pods

    async def read_pod(self, namespace: str, name: str) -> Any:
        assert (namespace, name) == ("ns", POD)
        await asyncio.sleep(self.latency)
        self.pods.ask("get pod")
        if self.pods.pod is None:
            raise LeaseAPIError("no such pod", status=404)
        return self.pods.pod

    async def watch_pod(self, namespace: str, name: str, version: str) -> AsyncIterator[WatchEvent]:
        self.pods.ask("watch pod")
        self.pods.watching += 1
        try:
            while (event := await self.pods.news.get()) is not None:
                if isinstance(event, Exception):
                    raise event
                yield event
        finally:
            self.pods.watching -= 1


@pytest.fixture
def scene(virtually: Any, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Any]:
    """Runs `play(world, pods)` where clients can look at pods, and the first candidate leads and then dies."""

    def run(play: Callable[[Any, Pods], Any]) -> Any:
        async def main(world: Any) -> Any:
            pods = Pods()
            monkeypatch.setattr(PodMemoryClient, "pods", pods, raising=False)
            monkeypatch.setattr("tests.elector.conftest.MemoryClient", PodMemoryClient)
            result = await play(world, pods)
            for candidate in world.candidates:
                candidate.task.cancel()
            await asyncio.gather(*(candidate.task for candidate in world.candidates), return_exceptions=True)
            assert pods.watching == 0
            return result

        return virtually(main)

    return run


async def leads(world: Any, name: str = FIRST) -> Any:
    """A candidate that leads."""
    world.store.make()
    one = world.join(name, takeover="evidence")
    await world.until(lambda: one.follower.leading)
    return one


async def dies(world: Any, one: Any) -> None:
    """Killed: it says nothing, and releases nothing."""
    one.task.cancel()
    await asyncio.gather(one.task, return_exceptions=True)


def event(pod: Any, kind: str = "MODIFIED") -> WatchEvent:
    return WatchEvent(kind=kind, object=pod)


def test_a_later_run_of_the_same_container_takes_over_at_once(scene: Any, caplog: pytest.LogCaptureFixture) -> None:
    """L6: it needs no right to look at pods, and asks for none."""

    async def play(world: Any, pods: Pods) -> None:
        await dies(world, await leads(world))
        caplog.set_level(logging.INFO)
        two = world.join(SECOND, takeover="evidence")
        assert await world.until(lambda: two.follower.leading) < 0.1
        assert not pods.requests
        assert "is dead: it was an earlier run of this container" in caplog.text

    scene(play)


def test_an_earlier_run_that_is_still_there_is_waited_for(scene: Any) -> None:
    """L6: kubelets may start a container twice (kubernetes#139670); then the earlier run is alive, and leads."""

    async def play(world: Any, pods: Pods) -> None:
        one = await leads(world)
        with leave_mark(FIRST):
            two = world.join(SECOND, takeover="evidence")
            await asyncio.sleep(60)
            assert one.follower.leading
            assert not two.follower.leading
            assert pods.requests == {"get pod": 1, "watch pod": 1}

    scene(play)


WITHOUT: dict[str, tuple[Any, str, str]] = {
    "whether the earlier run is there": (Witness.look, " and not is_marked(tenure.holder)", ""),
    "whose death it is": (Witness._judged, "told_dead(pod, tenure.holder)", 'bool(pod["status"])'),
    "whether it was an earlier run": (
        Witness.look,
        "lived_before(self._settings.identity, tenure.holder)",
        "life_in(tenure.holder)",
    ),
}


@pytest.mark.parametrize("looked_at", WITHOUT)
def test_each_look_of_the_witness_is_needed(scene: Any, monkeypatch: pytest.MonkeyPatch, looked_at: str) -> None:
    """L6: a witness that leaves it out tells of the death of a leader that is at work."""
    function, old, new = WITHOUT[looked_at]
    monkeypatch.setattr(Witness, function.__name__, edited(function, old, new))
    marked = looked_at == "whether the earlier run is there"

    async def play(world: Any, pods: Pods) -> None:
        await leads(world)
        with leave_mark(FIRST) if marked else contextlib.nullcontext():
            two = world.join(SECOND if marked else OTHER, takeover="evidence")
            assert await world.until(lambda: two.follower.leading) < 1

    scene(play)


def test_without_evidence_it_waits(scene: Any) -> None:
    """L6: by default the same container waits as anybody does, and looks at no pod."""

    async def play(world: Any, pods: Pods) -> None:
        await dies(world, await leads(world))
        two, other = world.join(SECOND), world.join(OTHER)
        await asyncio.sleep(5)
        assert not two.follower.leading
        assert not other.follower.leading
        assert not pods.requests

    scene(play)


@pytest.mark.parametrize("kind", ["MODIFIED", "DELETED"])
def test_the_kubelets_report_is_acted_on_when_it_comes(scene: Any, kind: str) -> None:
    """L6: the holder's container is told over: at once, also where the last word comes with the pod's deletion."""

    async def play(world: Any, pods: Pods) -> None:
        one, other = await leads(world), world.join(OTHER, takeover="evidence")
        await asyncio.sleep(5)
        assert pods.requests == {"get pod": 1, "watch pod": 1}
        await dies(world, one)
        await asyncio.sleep(1)
        pods.news.put_nowait(event(reported(state={"waiting": {}}, last=ended(WORDS)), kind))
        assert await world.until(lambda: other.follower.leading) < 0.1
        assert pods.requests == {"get pod": 1, "watch pod": 1}

    scene(play)


def test_who_comes_later_reads_the_report(scene: Any) -> None:
    """L6: a candidate that has seen nothing of it goes by the pod as it stands there."""

    async def play(world: Any, pods: Pods) -> None:
        await dies(world, await leads(world))
        pods.pod = reported(state=ended(WORDS))
        other = world.join(OTHER, takeover="evidence")
        assert await world.until(lambda: other.follower.leading) < 0.1

    scene(play)


def test_whose_last_write_is_forgotten_is_waited_for(scene: Any) -> None:
    """L6, L16: a watch cannot begin before it any more (410), so it begins at what was read, at once."""

    async def play(world: Any, pods: Pods) -> None:
        await dies(world, await leads(world))
        world.store.compacted = int(world.store.read()["metadata"]["resourceVersion"])
        two = world.join(SECOND, takeover="evidence")
        await asyncio.sleep(1)
        assert two.client.watching == 1
        assert two.client.requests["watch"] == 2
        assert two.client.requests["get"] == 1
        took = await world.until(lambda: two.follower.leading)
        assert 12 < took < 15.5

    scene(play)


def test_a_fresh_candidate_is_not_taken_in_by_a_copy(scene: Any) -> None:
    """L6: the Lease as the dead had it is put back while another one leads: who comes then waits."""

    async def play(world: Any, pods: Pods) -> None:
        await dies(world, await leads(world))
        copy = world.store.read()
        other = world.join(OTHER, takeover="evidence")
        await world.until(lambda: other.follower.leading)
        now = world.store.read()["metadata"]
        world.store.replace({**copy, "metadata": {**copy["metadata"], "resourceVersion": now["resourceVersion"]}})
        two = world.join(SECOND, takeover="evidence")
        await asyncio.sleep(5)
        assert not two.follower.leading

    scene(play)


@pytest.mark.parametrize(
    "told",
    [
        pytest.param([event(reported(**RUNNING), "DELETED")], id="the pod is gone"),
        pytest.param([event({**reported(**RUNNING), "status": {"phase": "Failed"}})], id="marked Failed"),
        pytest.param([event(reported(state=ended("?", reason="ContainerStatusUnknown")))], id="container unknown"),
        pytest.param([event(reported(state=ended("")))], id="ended without its last words"),
        pytest.param([event({"metadata": None})], id="nonsense"),
        pytest.param([LeaseAPIError("too old", status=410), None], id="the watch breaks"),
    ],
)
def test_what_is_no_proof_is_waited_for(scene: Any, told: list[Any]) -> None:
    """L6: gone, Failed, unknown, silent, nonsense: nobody takes over before the Lease has expired."""

    async def play(world: Any, pods: Pods) -> None:
        one, other = await leads(world), world.join(OTHER, takeover="evidence")
        await asyncio.sleep(5)
        await dies(world, one)
        for each in told:
            pods.news.put_nowait(each)
        took = await world.until(lambda: other.follower.leading)
        assert 12 < took < 15.5

    scene(play)


@pytest.mark.parametrize("status", [403, 404])
def test_without_the_right_it_says_so_once_and_waits(scene: Any, caplog: pytest.LogCaptureFixture, status: int) -> None:
    """L6, L17: a 403 names the rule that is missing, once, and is not asked again for this holder; nor is a 404."""

    async def play(world: Any, pods: Pods) -> None:
        pods.fault = LeaseAPIError("GET of the pod was refused: allow it by the rule …", status=status)
        one, other = await leads(world), world.join(OTHER, takeover="evidence")
        await asyncio.sleep(300)
        assert one.follower.leading
        assert pods.requests == {"get pod": 1}
        await dies(world, one)
        assert await world.until(lambda: other.follower.leading) > 12

    scene(play)
    said = [record for record in caplog.records if "has to wait for expiries" in record.getMessage()]
    assert len(said) == (status == 403)


def test_a_leader_follows_nobody_and_a_standby_only_the_holder(scene: Any) -> None:
    """L16: one read and one watch for each holder, by those who stand by; they end when the holder changes."""

    async def play(world: Any, pods: Pods) -> None:
        one, other = await leads(world), world.join(OTHER, takeover="evidence")
        await asyncio.sleep(60)
        assert pods.watching == 1
        one.resign(leave=True)
        await world.until(lambda: other.follower.leading)
        await asyncio.sleep(60)
        assert pods.watching == 0
        assert pods.requests == {"get pod": 1, "watch pod": 1}

    scene(play)


def test_a_broken_look_at_pods_costs_one_request_in_a_retry_period(scene: Any) -> None:
    """L17: whatever fails there is tried again at leisure, and the election goes on."""

    async def play(world: Any, pods: Pods) -> None:
        pods.fault = RuntimeError("a mistake in a client")
        one = await leads(world)
        world.join(OTHER, takeover="evidence")
        await asyncio.sleep(100)
        assert 30 < pods.requests["get pod"] < 70
        assert one.follower.leading

    scene(play)


def test_a_look_that_is_cancelled_from_within_its_client_is_tried_again(scene: Any) -> None:
    """L17: a client, or a log-in handler, may cancel what nobody has asked it to: that is a failure, and no end."""

    async def play(world: Any, pods: Pods) -> None:
        pods.fault = asyncio.CancelledError()
        await leads(world)
        world.join(OTHER, takeover="evidence")
        await asyncio.sleep(100)
        assert pods.requests["get pod"] > 30

    scene(play)


def test_a_client_that_cannot_look_at_pods_says_so(virtually: Any, caplog: pytest.LogCaptureFixture) -> None:
    """L6: then only the same container is told dead; the rest is waited for."""

    async def play(world: Any) -> None:
        one = await leads(world)
        assert not isinstance(one.client, PodClient)
        other = world.join(OTHER, takeover="evidence")
        await dies(world, one)
        assert await world.until(lambda: other.follower.leading) > 12

    virtually(play)
    assert "The client in use cannot read pods" in caplog.text
