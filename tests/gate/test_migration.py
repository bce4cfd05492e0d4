"""A migration from kopf's peering: the gate opens when nobody else is there, and says so to others."""

from datetime import UTC, datetime

import kopf
import pytest

from kopf_leader.errors import SettingsError
from kopf_leader.gate import peering
from kopf_leader.protocol.state import Reason
from tests.controlplane.api import APIError
from tests.gate.operators import GROUP, PLURAL, wait_for

PEERING_CRD = {
    "apiVersion": "apiextensions.k8s.io/v1",
    "kind": "CustomResourceDefinition",
    "metadata": {"name": "kopfpeerings.kopf.dev"},
    "spec": {
        "group": "kopf.dev",
        "scope": "Namespaced",
        "names": {"kind": "KopfPeering", "plural": "kopfpeerings", "singular": "kopfpeering"},
        "versions": [
            {
                "name": "v1",
                "served": True,
                "storage": True,
                "schema": {"openAPIV3Schema": {"type": "object", "x-kubernetes-preserve-unknown-fields": True}},
            }
        ],
    },
}
OWN = "kopf-leader/test/fake"  # the Lease of the election that the tests play
GRACE = 0.4


class Table:
    """The peering object of one test."""

    def __init__(self, cluster):
        self.api = cluster.api
        self.path = f"/apis/kopf.dev/v1/namespaces/{cluster.namespace}/kopfpeerings"

    def set_up(self):
        body = {"apiVersion": "kopf.dev/v1", "kind": "KopfPeering", "metadata": {"name": "p"}}
        self.api.create(self.path, body)

    def records(self):
        return self.api.get(f"{self.path}/p").get("status") or {}

    def write(self, identity, **record):
        """A record as kopf's operators write it."""
        full = {"priority": 0, "lifetime": 60, "lastseen": datetime.now(UTC).isoformat(), **record}
        self.api.patch(f"{self.path}/p", {"status": {identity: full}})

    def remove(self, identity):
        self.api.patch(f"{self.path}/p", {"status": {identity: None}})


@pytest.fixture
def table(cluster, admin):
    """The object, and its definition."""
    try:
        admin.create("/apis/apiextensions.k8s.io/v1/customresourcedefinitions", PEERING_CRD)
    except APIError as error:
        assert error.status == 409
    made = Table(cluster)
    wait_for(lambda: admin.attempt("GET", made.path)[0] == 200, "the peering to be served")
    made.set_up()
    return made


@pytest.fixture
def migrating(operator, monkeypatch):
    """Give an operator in a migration, with a handler that counts what it creates; not started."""
    monkeypatch.setattr(peering, "PERIOD", 0.1)

    def make(*, name="p", priority=5, grace=GRACE):
        op = operator(from_peering=grace)
        op.settings.peering.name = name
        op.settings.peering.priority = priority
        op.settings.peering.mandatory = True

        @kopf.on.create(GROUP, "v1", PLURAL, **op.on)
        async def create(name, **_):
            op.count(name)

        return op

    return make


def opened(op):
    return op.gate.counters.opened


def test_nothing_is_said_and_done_by_a_standby(migrating, table):
    """A standby announces nothing; kopf's own peering is off, so that it is paused by the gate alone."""
    with migrating() as op:
        wait_for(op.paused, "the pause")
        assert op.settings.peering.standalone
        assert not op.settings.peering.mandatory
        assert table.records() == {}
        op.stop()
    assert "kopf-leader" not in str(table.records())


def test_alone_it_announces_itself_and_begins(migrating, table, cluster):
    """Nobody else is there: the record is written, the grace passes, the gate opens."""
    with migrating() as op:
        cluster.create("a")
        op.lead()
        assert table.records()[OWN]["state"] == "working"
        assert table.records()[OWN]["holder"] == "me"
        wait_for(lambda: op.counted["a"], "the handler")


@pytest.mark.parametrize("priority", [-100, 5, 100])
def test_anybody_else_keeps_it_paused(migrating, table, cluster, priority, caplog):
    """Whatever the priority of a live peer, and though the Lease is held: no handler, no record of ours."""
    caplog.set_level("INFO", logger="kopf_leader")
    table.write("old", priority=priority)
    with migrating() as op:
        cluster.create("a")
        op.election.lead()
        wait_for(
            lambda: f"others are at work by the records in the peering: old (priority {priority})" in caplog.text, "it"
        )
        assert OWN not in table.records()
        assert (opened(op), op.paused(), op.counted["a"]) == (0, True, 0)
        table.remove("old")
        wait_for(lambda: op.counted["a"], "the handler")
        assert table.records()[OWN]["state"] == "working"


def test_a_dead_record_is_waited_out(migrating, table):
    """A peer that was killed leaves its record behind: it counts until its lifetime has passed without a change."""
    table.write("old", lifetime=1)
    with migrating() as op:
        op.lead()
        assert "old" in table.records()


def test_a_peer_that_comes_during_the_grace_goes_first(migrating, table):
    """Somebody who has started at the same moment: the record is withdrawn, and the gate stays closed."""
    with migrating(grace=3600) as op:
        op.election.lead()
        wait_for(lambda: table.records().get(OWN, {}).get("state") == "waiting", "the announcement")
        table.write("old")
        wait_for(lambda: OWN not in table.records(), "the withdrawal")
        assert opened(op) == 0


def test_the_next_holder_takes_a_fresh_record_over(migrating, table):
    """Within the fleet the grace is left out: the record proves that nobody else was at work."""
    table.write(OWN, priority=2147483647, state="working", holder="somebody")
    with migrating(grace=3600) as op:
        op.lead()
        assert table.records()[OWN]["holder"] == "me"


@pytest.mark.parametrize(
    "record",
    [
        {"state": "waiting"},
        {"state": "working", "lastseen": "2026-01-01T00:00:00+00:00"},
        {"state": "working", "lifetime": 0},
    ],
)
def test_any_other_record_of_ours_proves_nothing(migrating, table, record):
    """One that was waiting, or is old, or has ended: the grace is waited for."""
    table.write(OWN, **{"holder": "somebody", **record})
    with migrating(grace=3600) as op:
        op.election.lead()
        wait_for(lambda: table.records()[OWN]["holder"] == "me", "the announcement")
        assert table.records()[OWN]["state"] == "waiting"
        assert opened(op) == 0


def test_later_ones_of_no_higher_priority_do_not_disturb(migrating, table, cluster):
    """Going back: old replicas that start are held off by the record, and the leader works on."""
    with migrating(priority=5) as op:
        op.lead()
        table.write("old", priority=5)
        cluster.create("a")
        wait_for(lambda: op.counted["a"], "the handler")
        op.stop()
    assert op.election.said.count("resign") == 0
    assert OWN not in table.records()  # at the end it is theirs


def test_the_record_is_left_to_the_next_holder(migrating, table):
    """Nobody waits: the record stays for a few seconds, so that the next holder needs no grace."""
    with migrating() as op:
        op.lead()
        op.stop()
    assert table.records()[OWN]["lifetime"] == 10


def test_a_higher_priority_takes_over(migrating, table):
    """To `kopf freeze` or `--dev` the leader gives way: it steps down, and its record goes when nothing runs."""
    with migrating(priority=5) as op:
        op.lead()
        table.write("me@laptop", priority=666)
        wait_for(lambda: "resign" in op.election.said, "the leader to step down")
        wait_for(lambda: OWN not in table.records(), "the withdrawal")


def test_whoever_removes_the_record_ends_the_term(migrating, table):
    """An old replica with a clock that is ahead takes our record for dead and removes it: the leader steps down."""
    with migrating() as op:
        op.lead()
        table.remove(OWN)
        wait_for(lambda: "resign" in op.election.said, "the leader to step down")
        assert OWN not in table.records()


def test_a_record_that_cannot_be_refreshed_ends_the_term(migrating, table, monkeypatch):
    """Half of the lifetime without a refreshment: the other half is for the drain."""
    with migrating() as op:
        op.lead()

        async def fail(*args, **_):
            raise peering.LeaseAPIError("The peering is out of order.")

        monkeypatch.setattr(peering.PeeringClient, "read_peering", fail)
        monkeypatch.setattr(peering.PeeringClient, "patch_status", fail)
        clock = op.conductor._peering._now
        op.conductor._peering._now = lambda: clock() + 1000
        wait_for(lambda: "resign" in op.election.said, "the leader to step down")


def test_a_missing_object_keeps_it_paused(migrating, table, caplog):
    """No object of that name: paused, as kopf's `--peering` is; the log says what is missing."""
    with migrating(name="q") as op:
        op.election.lead()
        wait_for(lambda: "kopfpeerings.kopf.dev" in caplog.text and "404" in caplog.text, "words about it")
        assert opened(op) == 0


def test_a_term_that_ends_while_it_waits(migrating, table):
    """The Lease is lost before anybody has made way: the term ends as any other, and the next one waits again."""
    table.write("old")
    with migrating() as op:
        op.election.lead()
        wait_for(lambda: op.conductor._peering._stay is not None, "the first look")
        op.election.stop(Reason.RIVAL)
        assert op.election.released.wait(60)
        table.remove("old")
        op.lead()
        op.stop()
    assert op.failure is None


def test_a_migration_without_peering_is_refused(operator):
    """The mode without what it migrates from: a sentence that says what to add or drop."""
    op = operator(from_peering=GRACE)
    op.start()
    op.join()
    assert isinstance(op.failure, SettingsError)
    assert "keep the old version's --peering=NAME" in str(op.failure)
