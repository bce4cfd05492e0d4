"""What an event teaches: the first half of a step. Nothing is decided here; see `machine` for the theory."""

from collections.abc import Iterator
from dataclasses import replace
from math import inf

from kopf_leader.protocol.plan import COURTESY
from kopf_leader.protocol.record import Sight
from kopf_leader.protocol.settings import Settings
from kopf_leader.protocol.state import (
    Absent,
    Accepted,
    Dead,
    Denied,
    Drained,
    Event,
    Hold,
    Instant,
    Kind,
    Lapsed,
    Rejected,
    Resign,
    Seen,
    State,
    Tick,
    Traced,
    Unknown,
    Wish,
    Write,
    tenure_of,
)

# Enough for minutes of lost POSTs. One forgotten earlier is taken for a stranger's hold: waited out, never trusted.
MOST_DOUBTS = 64


def learn(settings: Settings, state: State, now: Instant, event: Event) -> State:
    """Bring the state up to date with one event."""
    match event:
        case Seen(sight=sight, sent_at=sent_at, after=after):
            # Compared before the question counts as answered: a refused write may turn out to have landed.
            return _answered(_see(settings, _trace(state, sight, after), now, sight, sent_at), sent_at)
        case Absent():
            return _answered(_miss(settings, state, now, event), event.sent_at)
        case Accepted(write=write, sight=sight):
            # Seen first, while it still counts as in flight: this is how it is known as mine.
            return _landed(_see(settings, replace(state, denied_since=None), now, sight, reply=True), write)
        case Rejected(write=write) | Unknown(write=write):
            settle = _rejected if isinstance(event, Rejected) else _doubted
            return settle(_landed(state, write), now, write)
        case Denied(write=write):
            since = now.at if state.denied_since is None else state.denied_since
            return replace(_landed(state, write), denied_since=since)
        case Resign(leave=leave, away=away):
            away_until = max(state.away_until, now.at + away) if away else state.away_until
            wish = Wish.LEAVE if leave or state.wish is Wish.LEAVE else Wish.RESIGN
            leave_by = now.at + settings.lease_duration if state.reign is None else state.leave_by
            return replace(state, wish=wish, leave_by=leave_by, away_until=away_until)
        case Drained() | Lapsed():
            return _over(settings, state, now, event)
        case Dead(tenure=tenure):
            return state if state.dead == tenure else replace(state, dead=tenure, dead_since=now.at)
        case Tick():
            return state


def _landed(state: State, write: Write) -> State:
    return replace(state, flight=None) if state.flight == write else state


def _answered(state: State, sent_at: float | None) -> State:
    """A read came back; it settles what was asked for only if it was sent after the question arose."""
    if sent_at is None:
        return state
    settled = state.read_after is not None and sent_at >= state.read_after
    return replace(
        state,
        reading=False,
        read_after=None if settled else state.read_after,
        refused=None if settled else state.refused,
    )


def _see(
    settings: Settings, state: State, now: Instant, sight: Sight, sent_at: float | None = None, *, reply: bool = False
) -> State:
    if sight.version <= state.version:
        # Replays, caches, events that lag: neither news nor a reason to restart a timer (L16).
        return _see_older(settings, state, now, sight, sent_at)
    own = next(
        (write for write, uid in _mine(state) if write.record == sight.record and uid in (None, sight.uid)), None
    )
    before = state.sight
    changed = before is None or (before.uid, before.record) != (sight.uid, sight.record)
    # A watch tells of every version, a read skips some: was there time enough for somebody to have held unseen, whose
    # record was then overwritten with this one? (Edits of the metadata alone must not keep a dead leader alive.)
    expiry = state.changed_at + max(sight.record.duration or 0, settings.lease_duration)
    changed = changed or (sent_at is not None and now.at >= expiry)
    if own is not None and not reply and _run_out(settings, state, own, now):
        own, changed = None, True
    # On one object, a new holder proves that the former one is over: it has released, or was waited for.
    superseded = before is not None and before.uid == sight.uid and before.record.holder != sight.record.holder
    state = replace(
        state,
        sight=sight,
        known=True,
        version=sight.version,
        seen_at=now.at,
        changed_at=now.at if changed else state.changed_at,
        seen_hold=state.seen_hold or not sight.record.empty,
        older_since=None,
        longest=max(0 if superseded else state.longest, sight.record.duration or 0),
        read_after=None,
        refused=None,
        # A PUT on an older version can no longer land; a POST can, after the next deletion (L4).
        doubtful=tuple(write for write in state.doubtful if write.base is None and write is not own),
    )
    return _foreign(state) if own is None else _own(settings, state, now, own)


def _trace(state: State, sight: Sight, after: int | None) -> State:
    """Follow a hold from a write of its holder's own on, through every version (L6).

    Such a write is known by the version that it says it was made on: that one has to have come right before it. What
    was put back names an older one, since the write itself, of which it is a copy, has come between. Where versions may
    have been skipped (a read, a deletion) nothing is concluded, and nothing is forgotten.
    """
    if after is None:
        return state
    tenure = tenure_of(sight)
    if sight.over == after or state.traced == Traced(tenure=tenure, version=after):
        return replace(state, traced=Traced(tenure=tenure, version=sight.version))
    return state


def _see_older(settings: Settings, state: State, now: Instant, sight: Sight, sent_at: float | None) -> State:
    """A quorum read shows the past: a database restored from a backup does so for good, nothing else does.

    Another content under the version last seen is the past, too: there that version has been given a second time.

    A renewal that others can no longer see protects nobody: the running term is over. When it has lasted for a
    lease_duration, all that was known counts for nothing, and what stands there now is taken for a stranger's hold that
    was first seen just now. Until then nothing is written, for a version that is used twice would defeat
    compare-and-swap.
    """
    if sent_at is None or sent_at <= state.seen_at:
        return state
    if sight.version == state.version and state.sight in (None, sight):
        return replace(state, older_since=None, seen_at=sent_at)  # a read that showed less was wrong
    since = now.at if state.older_since is None else state.older_since
    reign = None if state.reign is None else replace(state.reign, revoked=True)
    state = replace(state, older_since=since, reign=reign)
    if now.at < since + settings.lease_duration:
        return state
    forgotten = replace(state, version=0, sight=None, hold=None, doubtful=(), refused=None, traced=None)
    return _see(settings, forgotten, now, sight, sent_at)


def _mine(state: State) -> Iterator[tuple[Write, str | None]]:
    """My writes that a sight may show, each with the uid it must have; None: any (a POST does not know)."""
    if state.hold is not None:
        yield state.hold.write, state.hold.uid
    for write in (state.flight, state.refused, *state.doubtful):
        if write is None or write.kind is Kind.ASK:  # its record is the holder's
            continue
        if write.base is None:
            yield write, None
        elif write.over == state.version:  # else it can land no more (L4): what looks like it was put back
            yield write, write.base.uid


def _run_out(settings: Settings, state: State, own: Write, now: Instant) -> bool:
    """Whether others may have held since: then to see it proves nothing, somebody may have put it back (L9).

    A reply proves it all the same, for it tells of the write itself; and a POST that is news starts nothing (L11).
    """
    news = own.kind is Kind.CREATE and (state.hold is None or state.hold.write != own)
    return not news and now.at >= own.sent_at + settings.lease_duration


def _own(settings: Settings, state: State, now: Instant, own: Write) -> State:
    """My own write was seen: it confirms the hold, from its own `sent_at` (L4)."""
    before, sight = state.hold, state.sight
    assert sight is not None  # noqa: S101 (for the type checker: just seen)
    state = replace(state, denied_since=None)
    if own.kind is Kind.RELEASE:
        return replace(state, hold=None)
    if before is not None and before.write == own:
        return state  # the same record under a newer version: somebody edited labels or annotations
    if own.kind is Kind.CREATE:
        wait = max(settings.lease_duration, state.longest)
        start_at = -inf if now.at <= state.heir_until else now.at + wait  # L11
        return replace(state, hold=Hold(write=own, uid=sight.uid, start_at=start_at), heir_until=-inf)
    start_at, token = (before.start_at, before.token) if before is not None else (-inf, None)
    if own.kind is Kind.ACQUIRE:
        token = None
        state = replace(state, outrun=0)  # nobody was quicker
    reign = state.reign
    running = reign is not None and not reign.lapsed and now.at < reign.t0 + settings.renew_deadline
    if reign is not None and running and token == reign.token:
        reign = replace(reign, t0=own.sent_at)  # a claim that has run out stays so, whatever lands later (L9)
    return replace(state, reign=reign, hold=Hold(write=own, uid=sight.uid, start_at=start_at, token=token))


def _foreign(state: State) -> State:
    """A record that is none of my writes, whatever name it bears (L10): whatever I held is over."""
    sight, reign = state.sight, state.reign
    named = sight is not None and bool(sight.record.holder)
    return replace(
        state,
        hold=None,
        heir_until=-inf,
        stand_back=-inf if named else state.stand_back,  # L20
        reign=None if reign is None else replace(reign, revoked=True),  # L8
    )


def _miss(settings: Settings, state: State, now: Instant, event: Absent) -> State:
    if event.version is not None and event.version <= state.version:
        return state  # the deletion of an earlier Lease, told late (L16)
    if event.sent_at is not None and event.sent_at < state.seen_at:
        return state  # the Lease was seen after this read had been sent
    hold = state.hold
    # A former holder may skip the wait of L11 only if nobody who created the Lease meanwhile, unseen by me, can have
    # started yet: such a rival waits a whole lease_duration after T0, and its last renewal is older than my POST. So
    # it is out of time at T0 + lease_duration as long as my POST comes within lease_duration - renew_deadline of T0;
    # the factor leaves room for clocks of different rates. (`test_laws.py`, `test_l11_an_heir_is_not_late`.)
    heir_until = state.heir_until
    if hold is not None and hold.start_at <= now.at:
        heir_until = hold.write.sent_at + settings.slack * settings.renew_deadline / settings.lease_duration
    return replace(
        state,
        sight=None,
        known=True,
        version=max(state.version, event.version or 0),
        seen_at=now.at,
        read_after=None if event.version is not None else state.read_after,
        older_since=None,
        doubtful=tuple(write for write in state.doubtful if write.base is None),
        hold=None,
        heir_until=heir_until,
    )


def _doubted(state: State, now: Instant, write: Write) -> State:
    """Read and compare, and keep it in mind: it may land until the version has moved past it (L4)."""
    if write.base is not None and _compared(state, write):
        return state
    doubtful = (*state.doubtful, write)[-MOST_DOUBTS:]
    return replace(state, doubtful=doubtful, read_after=now.at)


def _rejected(state: State, now: Instant, write: Write) -> State:
    """Read and compare: a rejection can hide that a first copy landed (L4)."""
    if write.kind is Kind.ACQUIRE and write.base is not None and write.base.record.released:
        state = replace(state, outrun=min(state.outrun + 1, len(COURTESY) - 1))
    if _compared(state, write):
        return state
    # At expiry it proves that the watch has missed something (L16).
    deaf = write.kind is Kind.ACQUIRE and write.base is not None and bool(write.base.record.holder)
    return replace(state, refused=write, read_after=now.at, watching=state.watching and not deaf)


def _compared(state: State, write: Write) -> bool:
    """Whether something newer than what it was written on has been seen since, and so compared with it."""
    return state.sight is not None and state.version > write.over


def _over(settings: Settings, state: State, now: Instant, event: Drained | Lapsed) -> State:
    reign = state.reign
    if reign is None or reign.token != event.token:
        return state
    if isinstance(event, Lapsed):
        return replace(state, reign=replace(reign, lapsed=True))
    # Also where the gate has closed by its own look at the clock: then this term is over, too (L9).
    leave_by = max(reign.t0 + settings.lease_duration, now.at + settings.attempt_timeout)
    return replace(state, reign=None, closing=None, leave_by=leave_by)
