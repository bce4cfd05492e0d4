"""One look after the other at the peering, in virtual time: what the holder of the Lease does between two of them."""

import asyncio
from dataclasses import dataclass, field
from datetime import UTC, datetime
from types import SimpleNamespace

import pytest

from kopf_leader.clients.peerings import PeeringObject
from kopf_leader.errors import LeaseAPIError
from kopf_leader.gate.peering import REFRESH, Peering, PeeringRules, _Stay
from kopf_leader.gate.peers import record

OWN = "kopf-leader/ns/op"
GRACE = 30.0


def place(namespace):
    return PeeringObject(
        group="kopf.dev", version="v1", plural="kopfpeerings", namespace=namespace, name="p", has_status=False
    )


A, B = place("a"), place("b")


@dataclass
class Server:
    """The objects as the API server keeps them: each write is on the version that was read, or refused."""

    status: dict = field(default_factory=lambda: {A: {}})
    versions: dict = field(default_factory=dict)
    between: object = None
    """Called between a look and the writes that follow from it."""

    def write(self, one, identity, content):
        self.versions[one] = self.versions.get(one, 0) + 1
        if content is None:
            self.status[one].pop(identity, None)
        else:
            self.status[one][identity] = content

    def peer(self, one, identity="old", **content):
        seen = datetime.now(UTC).isoformat()
        self.write(one, identity, {"priority": 0, "lifetime": 60, "lastseen": seen, **content})

    async def read_peering(self, one):
        return {"metadata": {"resourceVersion": str(self.versions.get(one, 0))}, "status": dict(self.status[one])}

    async def patch_status(self, one, version, status):
        if self.between is not None:
            self.between(one)
        if version != str(self.versions.get(one, 0)):
            raise LeaseAPIError("There is a newer version.", status=409)
        for identity, content in status.items():
            self.write(one, identity, content)


class Holder:
    """A holder of the Lease at its peering, look by look."""

    def __init__(self, server, identity="me", grace=GRACE):
        self.server = server
        self.objects = [A]
        self.now = 1000.0
        self.gave_way = 0
        term = SimpleNamespace(lease="ns/op", identity=identity)
        self.tenure = SimpleNamespace(term=term, shut=False, over=False, may_start=True)
        self.peering = Peering(
            rules=PeeringRules(grace=grace, priority=5, lifetime=60),
            objects=lambda: self.objects,
            login=None,
            changed=lambda: None,
            give_way=self._give_way,
        )
        self.peering._now = lambda: self.now
        self.stay = self.peering._stay = _Stay(self.tenure)

    def _give_way(self):
        self.gave_way += 1

    def look(self, after=0.0):
        self.now += after
        return asyncio.run(self.peering._round(self.server, self.stay))

    def open(self):
        """Go all the way, with nobody there."""
        self.look()
        for _ in range(5):
            self.look(after=GRACE / 5)
        assert self.admitted

    @property
    def admitted(self):
        return self.peering.admits(self.tenure)


@pytest.fixture
def server():
    return Server()


@pytest.fixture
def holder(server):
    return Holder(server)


def state(server, one=A):
    return server.status[one].get(OWN, {}).get("state")


def test_the_grace_is_kept_to_the_end(holder, server):
    """Not a moment before the grace is over, and no later than that when nothing else happens."""
    pause = holder.look()
    while not holder.admitted:
        assert state(server) == "waiting"
        holder.now += pause
        pause = holder.look()
    assert GRACE <= holder.now - 1000.0 < GRACE + 0.2
    assert state(server) == "working"


def test_somebody_who_writes_between_look_and_admission_is_not_overlooked(holder, server):
    """The record of work is written on a version in which nobody else is: a peer in between makes it begin anew."""
    holder.look()
    holder.look(after=GRACE / 2)
    server.between = server.peer
    holder.look(after=GRACE / 2)
    assert not holder.admitted
    server.between = None
    holder.look()
    assert not holder.admitted
    assert OWN not in server.status[A]


def test_a_namespace_that_comes_begins_the_grace_anew(holder, server):
    """Whoever is in the new one has not been held off yet."""
    holder.look()
    server.status[B] = {}
    holder.objects = [A, B]
    holder.look(after=GRACE - 1)
    assert state(server, B) == "waiting"
    holder.look(after=2)
    assert not holder.admitted
    holder.look(after=GRACE - 2)
    assert holder.admitted
    assert (state(server, A), state(server, B)) == ("working", "working")


@pytest.mark.parametrize("somebody", [True, False])
def test_a_namespace_that_comes_later(holder, server, somebody):
    """A leader goes on with it, unless somebody is at work there, of whatever priority."""
    holder.open()
    server.status[B] = {}
    if somebody:
        server.peer(B, priority=-1)
    holder.objects = [A, B]
    holder.look(after=1)
    assert holder.gave_way == somebody
    assert state(server, B) == "working"  # held off as long as anything runs


def test_a_namespace_that_goes_is_no_loss(holder, server):
    """Its record goes with it, and this is no reason to step down."""
    server.status[B] = {}
    holder.objects = [A, B]
    holder.open()
    holder.objects = [A]
    holder.look(after=REFRESH + 1)
    assert holder.gave_way == 0


def test_a_record_that_may_have_died_meanwhile_counts_for_nothing(holder, server):
    """Out of reach for half of the lifetime while it waited: others may have begun, so the grace begins anew."""
    holder.look()
    holder.look(after=31)
    assert not holder.admitted
    assert state(server) == "waiting"
    assert holder.stay.since == holder.now


def test_a_holder_whose_claim_has_run_out_touches_nothing(server):
    """Somebody else may hold the Lease by now, and be at work: its record is not to be withdrawn."""
    server.peer(A)
    server.write(A, OWN, record(holder="successor", state="working", lifetime=60))
    late = Holder(server)
    late.tenure.may_start = False
    late.look()
    assert server.status[A][OWN]["holder"] == "successor"


def test_a_late_withdrawal_does_not_hit_the_next_holder(server):
    """A look from before the next holder's first write leads to nothing: the version has moved on."""
    server.peer(A)
    server.write(A, OWN, record(holder="me", state="waiting", lifetime=60))
    late = Holder(server)
    server.between = lambda one: server.write(one, OWN, record(holder="successor", state="working", lifetime=60))
    late.look()
    assert server.status[A][OWN]["holder"] == "successor"


def test_refused_for_ever_is_not_refreshed(holder, server):
    """Where every write meets a newer version, the record gets old: the leader steps down in time."""
    holder.open()
    server.between = lambda one: server.write(one, "somebody", {"priority": -1})
    for _ in range(4):
        holder.look(after=10)
    assert holder.gave_way == 1


def test_one_proof_of_two_is_none(server):
    """The record has to be fresh and working in every object to be taken over."""
    server.status[B] = {}
    server.write(A, OWN, record(holder="before", state="working", lifetime=60))
    one = Holder(server)
    one.objects = [A, B]
    one.look()
    assert not one.admitted
    server.write(A, OWN, record(holder="before", state="working", lifetime=60))
    server.write(B, OWN, record(holder="before", state="working", lifetime=60))
    other = Holder(server, identity="next")
    other.objects = [A, B]
    other.look()
    assert other.admitted


def test_it_gives_way_once(holder, server):
    """A peer of higher priority: one step down, and the record goes on being refreshed while the term drains."""
    holder.open()
    server.peer(A, priority=6)
    before = server.status[A][OWN]["lastseen"]
    for _ in range(3):
        holder.look(after=REFRESH)
    assert holder.gave_way == 1
    assert server.status[A][OWN]["lastseen"] > before


def test_nothing_to_look_at_keeps_it_paused(holder):
    """Before kopf has explored the cluster, or without the definition of the peering, there is no admission."""
    holder.objects = []
    holder.look()
    holder.look(after=1000)
    assert not holder.admitted
