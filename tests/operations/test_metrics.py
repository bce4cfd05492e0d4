"""The metrics, in virtual time."""

import asyncio
import math
from typing import Any

import pytest
from prometheus_client import CollectorRegistry
from prometheus_client.exposition import generate_latest

from kopf_leader.errors import LeaseAPIError
from kopf_leader.gate.counters import Counters
from kopf_leader.operations.metrics import Metrics


def test_who_leads_and_for_how_long(virtually: Any, watched: Any) -> None:
    """`leader_election_master_status{name}` is 1 on the leader, 0 elsewhere; a claim has seconds left, and an age."""

    async def scene(world: Any) -> None:
        looks = watched(world)
        world.store.make()
        one = world.join("one")
        await world.until(lambda: one.follower.leading)
        world.join("two")
        await asyncio.sleep(31)
        leader, standby = looks["one"], looks["two"]
        assert leader.value("leader_election_master_status") == 1
        assert standby.value("leader_election_master_status") == 0
        assert 7.9 < leader.value("kopf_leader_claim_remaining_seconds") <= 10
        assert standby.value("kopf_leader_claim_remaining_seconds") == 0
        assert 0 <= leader.value("kopf_leader_last_renewal_age_seconds") < 2.1
        assert standby.value("kopf_leader_last_renewal_age_seconds") is None
        assert leader.value("kopf_leader_transitions_total", to="leader", reason="acquired") == 1
        assert leader.value("kopf_leader_renew_duration_seconds_count", outcome="accepted") >= 14
        assert leader.value("leader_election_slowpath_total") == 0
        assert standby.value("kopf_leader_api_errors_total", verb="update", code="409") is None

    virtually(scene)


def test_the_end_of_a_term_has_its_reason(virtually: Any, watched: Any) -> None:
    """Transitions by reason: an orderly one, and one for want of renewals; each end is counted once."""

    async def scene(world: Any) -> None:
        looks = watched(world)
        world.store.make()
        one = world.join("one")
        await world.until(lambda: one.follower.leading)
        one.client.fault = lambda verb: asyncio.sleep(3600)
        await world.until(lambda: not one.follower.leading)
        assert looks["one"].value("leader_election_master_status") == 0
        two = world.join("two")
        await world.until(lambda: two.follower.leading)
        two.resign()
        await world.until(two.task.done)
        ends = {
            name: [
                reason
                for reason in ("renew_deadline", "rival", "leaving")
                if look.value("kopf_leader_transitions_total", to="standby", reason=reason)
            ]
            for name, look in looks.items()
        }
        assert ends == {"one": ["renew_deadline"], "two": ["leaving"]}
        assert looks["one"].value("kopf_leader_unknown_outcomes_total", verb="update") >= 1
        assert looks["one"].value("kopf_leader_api_errors_total", verb="update", code="timeout") >= 1

    virtually(scene)


def test_the_slow_path_is_gos(virtually: Any, watched: Any) -> None:
    """client-go counts renewals of a leader that had to read first, because its write before had no success."""

    async def scene(world: Any) -> None:
        looks = watched(world)
        world.store.make()
        one = world.join("one")
        await world.until(lambda: one.follower.leading)
        await asyncio.sleep(11)
        failures = iter([503, 409])

        async def refuse(verb: str) -> None:
            if verb == "update" and (status := next(failures, None)):
                raise LeaseAPIError("not now", status=status)

        one.client.fault = refuse
        await asyncio.sleep(30)
        assert looks["one"].value("leader_election_slowpath_total") == 2
        assert looks["one"].value("kopf_leader_api_errors_total", verb="update", code="503") == 1
        assert looks["one"].value("kopf_leader_api_errors_total", verb="update", code="409") == 1
        assert looks["one"].value("kopf_leader_renew_duration_seconds_count", outcome="unknown") == 1
        assert looks["one"].value("kopf_leader_renew_duration_seconds_count", outcome="refused") == 1
        assert one.follower.leading

    virtually(scene)


def test_handover_time(virtually: Any, watched: Any) -> None:
    """From the sight of the release to open handlers, for the one that takes over; not after an expiry."""

    async def scene(world: Any) -> None:
        looks = watched(world)
        world.store.make()
        one = world.join("one")
        await world.until(lambda: one.follower.leading)
        looks["one"].metrics.opened()
        assert looks["one"].value("kopf_leader_handover_seconds_count") == 0, "the first one takes over from nobody"
        two, three = world.join("two"), world.join("three")
        await asyncio.sleep(5)
        one.resign()
        await world.until(lambda: two.follower.leading or three.follower.leading)
        await asyncio.sleep(5)
        first, second = ("two", "three") if two.follower.leading else ("three", "two")
        looks[first].metrics.opened()
        assert looks[first].value("kopf_leader_handover_seconds_count") == 1
        looks[second].metrics.opened()
        assert looks[second].value("kopf_leader_handover_seconds_count") == 0

    virtually(scene)


def test_watches_that_are_opened_anew(virtually: Any, watched: Any) -> None:
    """Watch restarts by reason."""

    async def scene(world: Any) -> None:
        looks = watched(world)
        world.store.make()
        one = world.join("one")
        await world.until(lambda: one.follower.leading)

        async def break_events(verb: str) -> None:
            if verb == "event":
                one.client.fault = None
                raise LeaseAPIError("the watch broke")

        one.client.fault = break_events
        await world.until(lambda: looks["one"].value("kopf_leader_watch_restarts_total", reason="broken") == 1)
        assert looks["one"].value("kopf_leader_api_errors_total", verb="watch", code="none") == 1

    virtually(scene)


def test_what_the_gate_counts() -> None:
    """Events dropped, handlers cancelled, starts and writes refused: the gate's own numbers."""
    metrics, registry = Metrics(), CollectorRegistry()
    counters = Counters()
    metrics.figures = counters
    registry.register(metrics)
    counters.events_dropped, counters.handlers_cancelled = 3, 4
    counters.starts_refused, counters.writes_refused = 5, 6
    for number, what in enumerate(["events_dropped", "handlers_cancelled", "starts_refused", "writes_refused"], 3):
        assert registry.get_sample_value(f"kopf_leader_{what}_total", {"name": ""}) == number


def test_an_opening_is_told_once() -> None:
    """The gate's opening is what ends a handover; copies of the counters, made for a difference, tell nothing."""
    told: list[int] = []
    counters = Counters()
    counters.when_opened = lambda: told.append(counters.opened)
    counters.count_opening()
    counters.closed += 1
    Counters(opened=counters.opened)
    assert told == [1]


def test_each_metric_says_what_to_do(virtually: Any, watched: Any) -> None:
    """Each metric has a HELP text of some length, and each name is announced: no other metric may take it."""

    async def scene(world: Any) -> None:
        looks = watched(world)
        world.store.make()
        one = world.join("one")
        await world.until(lambda: one.follower.leading)
        families = [*looks["one"].metrics.collect()]
        assert {family.name for family in families} == {family.name for family in looks["one"].metrics.describe()}
        for family in families:
            assert len(family.documentation) > 80, family.name
            assert family.name.startswith(("kopf_leader_", "leader_election_"))
            assert not any(math.isnan(sample.value) for sample in family.samples)
        text = generate_latest(looks["one"].registry).decode()
        assert "kopf_leader_build_info{" in text
        with pytest.raises(ValueError, match="Duplicated"):
            looks["one"].registry.register(Metrics())

    virtually(scene)
