"""The record on the wire: what is written comes back, and no Lease whatsoever makes the reader fall over (L2)."""

import json
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as some

from kopf_leader.protocol.machine import step
from kopf_leader.protocol.record import (
    MAX_TRANSITIONS,
    LeaseRecord,
    creation,
    decode,
    encode,
    replacement,
    sight_of,
    stamp,
    whole_seconds,
)
from kopf_leader.protocol.settings import MAX_DURATION, Settings
from kopf_leader.protocol.state import Instant, Seen, State, Tick
from kopf_leader.testing.leasestore import invalid

LAST = 253_402_300_799_999_999  # microseconds at the end of the year 9999
FIRST = -62_135_596_800_000_000
stamps = some.integers(FIRST, LAST).map(stamp)
records = some.builds(
    LeaseRecord,
    holder=some.text(max_size=20),
    duration=some.none() | some.integers(1, MAX_DURATION),
    acquire_time=some.none() | stamps,
    renew_time=some.none() | stamps,
    transitions=some.integers(0, MAX_TRANSITIONS),
)
numbers = some.integers() | some.floats(allow_nan=False, allow_infinity=False)
junk = some.recursive(
    some.none() | some.booleans() | numbers | some.text(max_size=8) | stamps,
    lambda inner: some.lists(inner, max_size=3) | some.dictionaries(some.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)
names = ["holderIdentity", "leaseDurationSeconds", "acquireTime", "renewTime", "leaseTransitions", "strategy"]
specs = some.dictionaries(some.sampled_from(names), junk) | junk
metadatas = some.fixed_dictionaries(
    {"uid": some.just("u") | junk, "resourceVersion": some.integers(0, 10**9).map(str) | junk},
    optional={"labels": junk, "annotations": junk},
)
leases = some.fixed_dictionaries({}, optional={"metadata": metadatas | junk, "spec": specs, "kind": junk}) | junk


@given(records)
def test_what_is_written_is_read(record):
    """L2: a record survives the way through JSON, with full precision."""
    assert decode(json.loads(json.dumps(encode(record)))) == record


@given(specs)
def test_reading_a_spec_never_fails(spec):
    """L2: reading tolerates an empty spec, null fields, a null holder, and nonsense; what comes out can be written."""
    record = decode(spec)
    assert isinstance(record.holder, str)
    assert record.duration is None or record.duration > 0
    assert 0 <= record.transitions <= MAX_TRANSITIONS
    assert decode(encode(record)) == record


@given(leases)
def test_only_what_is_no_lease_is_refused(lease):
    """A sight can be had of any Lease; anything else is a ValueError in one sentence."""
    try:
        sight = sight_of(lease)
    except ValueError as error:
        assert str(error).endswith((".", "limit"))
    else:
        assert replacement(sight, sight.record, labels={}, asks={})["metadata"]["uid"] == sight.uid


@given(specs)
def test_no_spec_stops_the_machine(spec):
    """L2: a step on a Lease with any spec raises nothing."""
    settings = Settings(name="x", namespace="y", identity="z")
    lease = {"metadata": {"uid": "u", "resourceVersion": "7"}, "spec": spec}
    state, _ = step(settings, State(), Instant(at=5.0, utc=0), Tick())
    state, actions = step(settings, state, Instant(at=5.1, utc=0), Seen(sight_of(lease), sent_at=5.0))
    assert state.known
    assert actions


def test_a_duration_beyond_all_bounds_stops_nothing():
    """L2: reading tolerates what no API server would store."""
    settings = Settings(name="x", namespace="y", identity="z")
    lease = {
        "metadata": {"uid": "u", "resourceVersion": "7"},
        "spec": {"holderIdentity": "x", "leaseDurationSeconds": 10**400},
    }
    state, _ = step(settings, State(), Instant(at=5.0, utc=0), Seen(sight_of(lease), sent_at=5.0))
    assert state.known


@given(some.integers(FIRST, LAST), some.integers(FIRST, LAST))
def test_stamps_have_one_shape_and_their_order(one, other):
    """L2: exactly six fractional digits and a Z, at zero, too; later is greater, also as text."""
    for micros in (one, other):
        assert invalid({"spec": {"renewTime": stamp(micros), "acquireTime": stamp(micros)}}) is None
        assert len(stamp(micros)) == 27
    assert (stamp(one) < stamp(other)) == (one < other)


def test_a_stamp_is_the_moment():
    """L2: microseconds since 1970, in UTC."""
    moment = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
    assert stamp(int(moment.timestamp()) * 1_000_000) == "2026-01-02T03:04:05.000000Z"


@pytest.mark.parametrize(
    "text", ["2026-01-02T03:04:05Z", "2026-01-02T03:04:05.000000Z", "2026-01-02T04:04:05.000+01:00"]
)
def test_one_instant_has_one_spelling(text):
    """Records compare by meaning: another spelling of the same instant is no change."""
    assert decode({"renewTime": text}).renew_time == "2026-01-02T03:04:05.000000Z"


@given(some.floats(1, MAX_DURATION))
def test_durations_are_rounded_up(duration):
    """L2: `leaseDurationSeconds` is ceil(lease_duration), never 0, and never shorter than what is meant."""
    assert whole_seconds(duration) - 1 < duration <= whole_seconds(duration)


@given(records, some.dictionaries(some.text(max_size=5), some.text(max_size=5), max_size=3))
def test_only_our_fields_change(record, labels):
    """L1: a PUT is the object as last seen; only our spec fields and our labels differ, and it is left alone itself."""
    lease = {
        "apiVersion": "coordination.k8s.io/v1",
        "kind": "Lease",
        "metadata": {"name": "n", "uid": "u", "resourceVersion": "7", "labels": {"theirs": "x"}, "finalizers": ["f"]},
        "spec": {"strategy": "s", "holderIdentity": "old"},
        "extra": [1],
    }
    before = json.dumps(lease)
    body = replacement(sight_of(lease), record, labels=labels, asks={})
    assert json.dumps(lease) == before
    assert body["spec"] == {"strategy": "s", **encode(record)}
    assert body["metadata"] == {**lease["metadata"], "labels": {"theirs": "x", **labels}}
    assert body["extra"] == [1]
    assert creation(name="n", namespace="s", record=record, labels=labels)["spec"] == encode(record)
