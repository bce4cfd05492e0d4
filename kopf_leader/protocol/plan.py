"""Which write comes next, when it may be sent, and what it says: the only place where a write is made."""

from dataclasses import replace
from math import inf
from zlib import crc32

from kopf_leader.protocol.record import (
    MAX_TRANSITIONS,
    OVER,
    PRIORITY,
    RELEASED_DURATION,
    TRANSFER_TO,
    Asks,
    LeaseRecord,
    Sight,
    creation,
    replacement,
    stamp,
    whole_seconds,
)
from kopf_leader.protocol.settings import Settings
from kopf_leader.protocol.state import Instant, Kind, Send, State, Traced, Wish, Write, tenure_of

# How long a candidate lets others go first at a release, in seconds, by how many of such races it has lost (L16).
COURTESY = (0.0, 0.025, 0.05, 0.1)


def next_write(settings: Settings, state: State, now: Instant) -> tuple[Kind, float] | None:
    """The next write, and the earliest moment for it in local seconds; None if there is none until something happens.

    One write is in flight at a time (L1); after one without a clear success the Lease is looked at first (L4); and a
    version gets one write per retry_period (L16).
    """
    if state.flight is not None or state.read_after is not None or not state.known:
        return None
    if state.older_since is not None:
        return None
    intent = _to_release(state, now) if _giving_back(state) else _to_hold(settings, state, now)
    if intent is None:
        return None
    kind, at = intent
    last = state.last_write
    if last is not None and last.over == state.version:
        at = max(at, last.sent_at + settings.retry_period)
    return kind, at


def free_at(settings: Settings, state: State) -> float:
    """When a candidate may take the Lease that it sees, in local seconds (L6, L11, L14)."""
    record, asks = (state.sight.record, state.sight.asks) if state.sight is not None else (LeaseRecord(), Asks())
    if asks.hold is not None:
        return inf
    if state.hold is not None:
        return state.hold.start_at
    if record.released or (record.empty and not state.seen_hold):
        if not asks.invites(settings.identity):
            return state.changed_at + settings.retry_period
        return -inf if asks.calls(settings.identity) else state.changed_at + _courtesy(settings, state)
    expiry = state.changed_at + max(record.duration or 0, settings.lease_duration)
    if proved_dead(settings, state):
        expiry = min(expiry, state.dead_since)
    # Whoever was called gets a moment before the others; then its turn is over, and it was called in vain.
    return expiry if asks.invites(settings.identity) else expiry + settings.retry_period


def _courtesy(settings: Settings, state: State) -> float:
    """For how long others go first at this release, in seconds: 0 for who has lost no race since it last led (L16).

    Twenty that write at once are refused nineteen times, and keep the API server from answering the one. So who was
    outrun waits, longer each time, for at least half of it: until then it has heard of whoever was quicker. Each draws
    its own wait for each release, from its name and the version.
    """
    most = COURTESY[state.outrun]
    drawn = crc32(f"{settings.identity} {state.version}".encode()) / 2**32
    return most * (1 + drawn) / 2


def proved_dead(settings: Settings, state: State) -> bool:
    """Whether the hold that is seen needs no wait, because its holder is dead and nobody else can be at work (L6).

    The proof is of this very hold: of this holder, on this Lease, in this term. The hold must have begun by a PUT, as
    its transitions tell: who has created the Lease (L11) may have waited for somebody who is still at work. And it must
    be traced: from a write of the dead holder's own on, every version was seen, and showed this hold. So nobody can
    have held the Lease since. A record that was put back says nothing of who came after it, and cannot be traced.
    """
    sight = state.sight
    if settings.takeover != "evidence" or sight is None or state.dead != tenure_of(sight):
        return False
    begun_by_put = sight.record.transitions > 0
    traced = state.traced == Traced(tenure=tenure_of(sight), version=sight.version)
    return begun_by_put and traced


def write_for(settings: Settings, state: State, now: Instant, kind: Kind) -> tuple[Send, int]:
    """The write of this kind on what was last seen, and the microseconds used for its renewTime (L1, L2)."""
    # Where the wall clock went back: whole seconds, for client-go compares records by the second and would take
    # smaller steps for silence.
    stamped = now.utc if now.utc > state.stamped else state.stamped + 1_000_000
    base = None if kind is Kind.CREATE else state.sight
    record = _record(settings, state, kind, stamp(stamped))
    if base is None:
        body = creation(
            name=settings.name,
            namespace=settings.namespace,
            record=record,
            labels=settings.labels,
            priority=settings.priority,
        )
    else:
        changed = {**_asks(settings, state, kind), **_over(settings, base, kind)}
        body = replacement(base, record, labels=settings.labels, asks=changed)
    write = Write(kind=kind, record=record, base=base, over=state.version, sent_at=now.at)
    return Send(write, body), stamped


def _record(settings: Settings, state: State, kind: Kind, moment: str) -> LeaseRecord:
    seen = state.sight.record if state.sight is not None else LeaseRecord()
    taken = LeaseRecord(
        holder=settings.identity,
        duration=whole_seconds(settings.lease_duration),
        acquire_time=moment,
        renew_time=moment,
        transitions=seen.transitions,
    )
    if kind is Kind.ASK:
        return seen
    if kind is Kind.RENEW:
        return replace(taken, acquire_time=seen.acquire_time)
    if kind is Kind.RELEASE:
        return replace(taken, holder="", duration=RELEASED_DURATION)
    if kind is Kind.ACQUIRE and state.hold is None:
        return replace(taken, transitions=min(seen.transitions + 1, MAX_TRANSITIONS))  # L3
    return taken


def _asks(settings: Settings, state: State, kind: Kind) -> dict[str, str | None]:
    """The annotations that go with a write: who takes the Lease puts its priority there, and calls nobody any more.

    But whoever takes up its own hold, and has been asked to let go meanwhile, obeys when its term has begun. And who
    holds already takes a call for itself away: left to stand, it would keep others from asking.
    """
    if kind is Kind.ACQUIRE:
        priority = {PRIORITY: str(settings.priority) if settings.priority else None}
        return priority if state.hold is not None else {TRANSFER_TO: None, **priority}
    if kind is Kind.RELEASE:
        return {PRIORITY: None}
    if kind is Kind.ASK:
        return {TRANSFER_TO: settings.identity}
    answered = state.sight is not None and state.sight.asks.calls(settings.identity)
    return {TRANSFER_TO: None} if answered else {}


def _over(settings: Settings, base: Sight, kind: Kind) -> dict[str, str | None]:
    """A holder that can be proved dead says which version it writes on: so its writes differ from copies of them (L6).

    A copy comes on a later version than the one that it names, for the write itself has come in between.
    """
    if settings.takeover != "evidence" or kind is Kind.ASK:  # who asks leaves the holder's own words as they are
        return {}
    return {OVER: None if kind is Kind.RELEASE else str(base.version)}


def _giving_back(state: State) -> bool:
    return state.wish is not Wish.STAND and state.reign is None


def _to_release(state: State, now: Instant) -> tuple[Kind, float] | None:
    """What is mine is released (L13); a lost acquire as well, on its own version: one of the two lands (L15).

    A hold that still waits (L11) is left to run out: a release would invite others to start at once, beside whoever
    held the Lease that was deleted.
    """
    if state.sight is None or now.at >= state.leave_by:
        return None
    held = state.hold is not None and state.hold.start_at <= now.at
    orphan = any(write.kind is Kind.ACQUIRE and write.over == state.version for write in state.doubtful)
    return (Kind.RELEASE, -inf) if held or orphan else None


def _to_hold(settings: Settings, state: State, now: Instant) -> tuple[Kind, float] | None:
    hold = state.hold
    waiting = hold is not None and hold.start_at > now.at
    if hold is not None and (state.reign is not None or waiting):
        if state.closing is not None and now.at >= state.closing.exit_at:
            return None  # after the budget it renews no more (L12)
        return Kind.RENEW, max(hold.write.sent_at + settings.retry_period, state.stand_back)
    if state.wish is not Wish.STAND:
        return None
    stand_at = max(state.stand_back, state.away_until)  # L20
    if state.sight is None:
        return Kind.CREATE, stand_at
    if state.reign is not None:
        return None  # something of the last term may still run
    at = max(free_at(settings, state), stand_at)
    if now.at < at and _outranks(settings, state):
        last = state.last_write  # who has just let go on request does not ask for it back at once
        let_go = last.sent_at + settings.lease_duration if last is not None and last.kind is Kind.RELEASE else -inf
        return Kind.ASK, max(let_go, stand_at)
    return Kind.ACQUIRE, at


def _outranks(settings: Settings, state: State) -> bool:
    """Whether the holder is to be asked for its place: it is of lower priority, and nobody has asked yet.

    Asking leaves the record as it is, so it keeps no silent holder alive.
    """
    sight = state.sight
    if state.hold is not None or sight is None or not sight.record.holder:
        return False
    return not sight.asks.transfer_to and sight.asks.hold is None and settings.priority > sight.asks.priority
