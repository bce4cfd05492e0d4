"""The rules of health, in virtual time: what a restart would mend, and who can take over."""

import asyncio
from typing import Any

import pytest
from prometheus_client import CollectorRegistry

from kopf_leader.elector.always import AlwaysLeader
from kopf_leader.errors import LeaseAPIError
from kopf_leader.operations.address import Address
from kopf_leader.operations.health import BEAT, ELECTION_BEATS, Check, Health, answer
from kopf_leader.operations.pulse import Pulse
from kopf_leader.operations.site import Operations
from kopf_leader.protocol.settings import Settings
from tests.elector.memory import MemoryClient, MemoryLease, Recorder
from tests.operations.looks import wait_for

CHECKS = (
    Check(name="ping", failure=lambda: None),
    Check(name="lease", failure=lambda: "nobody knows it."),
)


def test_the_words_of_kubernetes():
    """`?verbose` has a line per check, `?exclude=` leaves checks out; the words are kube-apiserver's."""
    good = CHECKS[:1]
    assert answer(good, endpoint="readyz") == answer(good, endpoint="livez")
    assert answer(good, endpoint="readyz").text == "ok"
    assert answer(good, endpoint="readyz", verbose=True).text == "[+]ping ok\nreadyz check passed\n"
    bad = answer(CHECKS, endpoint="readyz")
    assert not bad.healthy
    assert bad.text == "[+]ping ok\n[-]lease failed: nobody knows it\nreadyz check failed\n"
    excluded = answer(CHECKS, endpoint="healthz", verbose=True, exclude=["lease", "nonsense"])
    assert excluded.healthy
    assert excluded.text == (
        "[+]ping ok\n[+]lease excluded: ok\n"
        'warn: some health checks cannot be excluded: no matches for "nonsense"\nhealthz check passed\n'
    )


def test_a_standby_is_healthy_and_ready(virtually: Any, watched: Any) -> None:
    """A standby is healthy and ready; readiness is never tied to leadership."""

    async def scene(world: Any) -> None:
        looks = watched(world)
        world.store.make()
        one = world.join("one")
        await world.until(lambda: one.follower.leading)
        two = world.join("two")
        await asyncio.sleep(60)
        assert not two.follower.leading
        for look in looks.values():
            assert look.live.healthy, look.live
            assert look.ready.healthy, look.ready

    virtually(scene)


def test_who_has_not_seen_the_lease_cannot_take_over(virtually: Any, watched: Any) -> None:
    """Readiness means "can take over": not before the Lease was seen; liveness has nothing to do with it."""

    async def scene(world: Any) -> None:
        looks = watched(world)
        one = world.join("one")

        async def refuse(verb: str) -> None:
            raise LeaseAPIError("connection refused")

        one.client.fault = refuse
        await asyncio.sleep(5)
        assert looks["one"].live.healthy
        assert "[-]lease failed: the Lease has not been seen yet" in looks["one"].ready.text
        one.client.fault = None
        await world.until(lambda: looks["one"].ready.healthy)

    virtually(scene)


def test_a_leader_that_is_cut_off_is_not_restarted(virtually: Any, watched: Any) -> None:
    """A leader that cannot renew stands by of its own accord: liveness holds all the while, readiness comes back."""

    async def scene(world: Any) -> None:
        looks = watched(world)
        world.store.make()
        one = world.join("one")
        await world.until(lambda: one.follower.leading)
        look = looks["one"]

        async def refuse(verb: str) -> None:
            raise LeaseAPIError("connection refused")

        one.client.fault = refuse
        for _ in range(60):
            await asyncio.sleep(1)
            assert look.live.healthy, look.live
        assert not one.follower.leading
        assert "every request for the Lease has failed for" in look.ready.text
        one.client.fault = None
        await world.until(lambda: look.ready.healthy)

    virtually(scene)


def test_who_was_locked_out_cannot_take_over(virtually: Any, watched: Any) -> None:
    """A leader that the API server's fence lets write nothing is healthy, and not ready until it stands again."""

    async def scene(world: Any) -> None:
        looks = watched(world)
        world.store.make()
        one = world.join("one")
        await world.until(lambda: one.follower.leading)
        one.resign(leave=False, away=40)
        await world.until(lambda: not one.follower.leading)
        look = looks["one"]
        assert look.live.healthy, look.live
        assert "[-]lease failed: locked out by the API server's fence while it led, it does" in look.ready.text
        assert look.value("kopf_leader_transitions_total", to="standby", reason="locked_out") == 1
        await asyncio.sleep(35)
        assert not one.follower.leading
        await world.until(lambda: one.follower.leading)
        assert look.ready.healthy, look.ready

    virtually(scene)


def test_a_term_that_outlives_its_lease_is_unhealthy(virtually: Any, watched: Any) -> None:
    """/healthz fails when the Lease is held and cannot be renewed, and the term has not ended in time."""

    async def scene(world: Any) -> None:
        looks = watched(world)
        world.store.make()
        one = world.join("one")
        await world.until(lambda: one.follower.leading)
        one.follower.busy = True  # it never says that it has drained, and outlives its exit point
        one.client.fault = lambda verb: asyncio.sleep(3600)
        assert await world.until(lambda: not looks["one"].live.healthy) >= 14
        assert "[-]election failed: the Lease is held and cannot be renewed" in looks["one"].live.text

    virtually(scene)


def test_a_hanging_election_shows(virtually: Any, watched: Any) -> None:
    """L7: leadership is computed by the clock: an election that stopped working in mid-term is found out."""

    async def scene(world: Any) -> None:
        looks = watched(world)
        world.store.make()
        one = world.join("one")
        await world.until(lambda: one.follower.leading)
        one.task.cancel()
        await asyncio.sleep(12)
        assert looks["one"].value("leader_election_master_status") == 0
        assert looks["one"].live.healthy
        await asyncio.sleep(4)
        assert not looks["one"].live.healthy

    virtually(scene)


def test_who_leaves_is_alive_and_not_ready(virtually: Any, watched: Any) -> None:
    """While it drains a process is healthy, so that it is not killed; and it cannot take over."""

    async def scene(world: Any) -> None:
        looks = watched(world)
        world.store.make()
        one = world.join("one")
        await world.until(lambda: one.follower.leading)
        one.follower.busy = True
        one.resign()
        await asyncio.sleep(1)
        assert looks["one"].live.healthy
        assert "[-]shutdown failed" in looks["one"].ready.text

    virtually(scene)


def test_missing_rights_are_unready(virtually: Any, watched: Any) -> None:
    """A candidate that may not write the Lease cannot take over."""

    async def scene(world: Any) -> None:
        looks = watched(world)
        world.store.make()
        one = world.join("one")

        async def refuse(verb: str) -> None:
            if verb == "update":
                raise LeaseAPIError("add the rule", status=403)

        one.client.fault = refuse
        await world.until(lambda: "refuses to have the Lease written" in looks["one"].ready.text)
        assert looks["one"].live.healthy

    virtually(scene)


def test_it_may_be_asked_at_any_moment() -> None:
    """client-go's TestCheckMethodRace: checks and metrics are read in one thread while renewals go on in another."""
    registry = CollectorRegistry()
    operations = Operations(registry=registry, health_at=Address("localhost", 0))
    operations.open()
    follower, clients = Recorder(), []

    def connect() -> MemoryClient:
        store = MemoryLease()
        store.make()
        clients.append(MemoryClient(store))
        return clients[0]

    rules = {"lease_duration": 60, "renew_deadline": 40, "retry_period": 0.002}
    settings = Settings(name="op", namespace="ns", identity="one", **rules)
    election = operations.stand(settings=settings, client=connect, follower=follower)
    follower.drained = election.drained
    election.start()
    try:
        wait_for(lambda: follower.leading, "a leader")
        renewed = clients[0].requests["update"]
        while clients[0].requests["update"] < renewed + 100:
            assert answer(operations.endpoints.health.ready, endpoint="readyz").healthy
            assert registry.get_sample_value("leader_election_master_status", {"name": "op"}) == 1
    finally:
        election.resign(leave=True)
        assert election.join(60)
        operations.close()


class Election:
    def __init__(self) -> None:
        self.alive = True


def test_a_dead_election_is_unhealthy() -> None:
    """/healthz fails when the election's thread is dead; not while the process is leaving."""
    health, election = Health(stuck_timeout=300), Election()
    health.election = election  # type: ignore[assignment] # as much as is looked at
    assert answer(health.live, endpoint="healthz").healthy
    election.alive = False
    assert "[-]election failed: the election has died" in answer(health.live, endpoint="healthz").text
    health.leaving = True
    assert answer(health.live, endpoint="healthz").healthy


def test_it_is_healthy_before_the_operator_has_started() -> None:
    """Slow start-up handlers: alive, and not ready."""
    health = Health(stuck_timeout=300)
    assert answer(health.live, endpoint="healthz").healthy
    assert "[-]startup failed: the operator is starting" in answer(health.ready, endpoint="readyz").text


def test_a_standby_that_may_not_watch_is_not_ready() -> None:
    """A standby could not take over what it may not watch, and would stop as the leader; a restart mends nothing."""
    health, refused = Health(stuck_timeout=300), ["things.v1.example.com"]
    health.election = Election()  # type: ignore[assignment] # as much as is looked at
    health.unwatched = lambda: refused
    said = answer(health.ready, endpoint="readyz").text
    assert "[-]streams failed: what the operator handles cannot be watched, see the log: things.v1.example.com" in said
    assert answer(health.live, endpoint="healthz").healthy
    refused.clear()
    assert answer(health.ready, endpoint="readyz").healthy


def test_without_election_it_works_as_well() -> None:
    """With election disabled: healthy and ready, from the start of the operator."""
    health = Health(stuck_timeout=300)
    health.election = AlwaysLeader(identity="me", follower=None)  # type: ignore[arg-type] # it is not started
    assert answer(health.ready, endpoint="readyz").healthy


@pytest.mark.parametrize(
    ("pulse", "beats", "word"), [("operator_pulse", 7, "operator"), ("election_pulse", ELECTION_BEATS, "election")]
)
def test_a_stuck_loop_is_unhealthy(pulse: str, beats: int, word: str) -> None:
    """/healthz fails when kopf's loop, or the election's, has been stuck for too long; it mends by itself."""
    health = Health(stuck_timeout=7 * BEAT)
    health.election = Election()  # type: ignore[assignment] # as above
    asked: list[Any] = []
    setattr(health, pulse, Pulse(lambda function: asked.append(function) is None))
    for _ in range(beats):
        health.beat()
        assert answer(health.live, endpoint="healthz").healthy
    health.beat()
    assert f"[-]{word} failed: the {word}'s event loop is stuck" in answer(health.live, endpoint="healthz").text
    asked[0]()
    assert answer(health.live, endpoint="healthz").healthy


def test_a_loop_that_is_gone_is_not_stuck() -> None:
    """A loop that has been closed has nothing to answer; whether that is right, others tell."""
    pulse = Pulse(lambda function: False)
    for _ in range(100):
        pulse.beat()
    assert pulse.missed == 0
