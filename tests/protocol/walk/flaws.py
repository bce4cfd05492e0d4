"""More machines with one flaw each, for what the walk reaches; the others stand in `tests/protocol/mutants.py`."""

from dataclasses import replace
from math import inf
from typing import Any

from kopf_leader.protocol.learn import _see_older, _trace
from kopf_leader.protocol.machine import decide
from kopf_leader.protocol.machine import step as good
from kopf_leader.protocol.plan import _over, proved_dead
from kopf_leader.protocol.record import LeaseRecord
from kopf_leader.protocol.settings import Settings
from kopf_leader.protocol.state import (
    Absent,
    Accepted,
    Event,
    Hold,
    Instant,
    Kind,
    Reason,
    Rejected,
    Seen,
    State,
    StopLeading,
    Unknown,
    Wish,
)
from kopf_leader.testing.world import Step
from tests.protocol.edits import step_without
from tests.protocol.mutants import altered, mutants, reposted


def by_the_second(settings: Settings, before: State, after: State, now: Instant, event: Event) -> State:
    """A renewal within the same second of the wall clock is no change (client-go's defect R9)."""
    if before.sight is None or after.sight is None or after.hold is not None:
        return after
    same = _whole(before.sight.record) == _whole(after.sight.record)
    return replace(after, changed_at=before.changed_at) if same else after


def _whole(record: LeaseRecord) -> tuple[Any, ...]:
    return record.holder, (record.acquire_time or "")[:19], (record.renew_time or "")[:19], record.transitions


def old_write(settings: Settings, before: State, after: State, now: Instant, event: Event) -> State:
    """Takes its own write for its hold, however old it is, when it is seen again."""
    if not isinstance(event, Seen) or before.hold is None or after.hold is not None or after.sight is None:
        return after
    if before.hold.write.record != after.sight.record:
        return after
    return replace(after, hold=before.hold, changed_at=before.changed_at)


def old_record(settings: Settings, before: State, after: State, now: Instant, event: Event) -> State:
    """A record that has run out needs no new wait when it comes again with another version."""
    if before.sight is None or after.sight is None or before.sight.record != after.sight.record:
        return after
    return replace(after, changed_at=before.changed_at)


def old_flight(settings: Settings, before: State, after: State, now: Instant, event: Event) -> State:
    """Takes a write for its hold that can land no more, since the version has moved past it."""
    flight, sight = before.flight, after.sight
    if not isinstance(event, Seen) or flight is None or sight is None or after.hold is not None:
        return after
    if flight.record != sight.record or flight.kind is Kind.ASK or flight.kind is Kind.RELEASE:
        return after
    return replace(after, hold=Hold(write=flight, uid=sight.uid))


def release_waiting(settings: Settings, before: State, after: State, now: Instant, event: Event) -> State:
    """Releases a hold that still waits for L11."""
    if after.wish is Wish.STAND or after.hold is None:
        return after
    return replace(after, hold=replace(after.hold, start_at=-inf))


def any_answer(settings: Settings, before: State, after: State, now: Instant, event: Event) -> State:
    """Takes an answer to a read that was sent before the question for an answer to it."""
    if not isinstance(event, Seen | Absent) or event.sent_at is None:
        return after
    return replace(after, read_after=None, refused=None, reading=False)


def no_question(settings: Settings, before: State, after: State, now: Instant, event: Event) -> State:
    """After a write without a clear success it does not look, but writes again."""
    return replace(after, read_after=None) if isinstance(event, Rejected | Unknown) else after


def unmoved_by_rivals(settings: Settings, before: State, after: State, now: Instant, event: Event) -> State:
    """Goes on when it has seen somebody else, to the table of T0 (client-go's defect R3)."""
    reign = after.reign
    if reign is None or before.hold is None or not reign.revoked or after.closing is not None:
        return after
    return replace(after, reign=replace(reign, revoked=False), hold=before.hold)


def equal_is_new(settings: Settings, state: State, now: Instant, event: Event) -> tuple[State, Any]:
    """`<` for `<=`: a version that was seen already is news."""
    if isinstance(event, Seen) and event.sight.version == state.version:
        state = replace(state, version=state.version - 1)
    return good(settings, state, now, event)


def old_absence(settings: Settings, state: State, now: Instant, event: Event) -> tuple[State, Any]:
    """Believes an answer that says the Lease is absent, although it was seen after the read had been sent."""
    if isinstance(event, Absent) and event.sent_at is not None:
        event = Absent(sent_at=max(event.sent_at, state.seen_at))
    return good(settings, state, now, event)


def late_to_close(settings: Settings, state: State, now: Instant, event: Event) -> tuple[State, Any]:
    """Closes the gate, cancels and exits within the last half second before the Lease runs out."""
    return good(replace(settings, renew_deadline=settings.lease_duration - 0.5), state, now, event)


def impatient(settings: Settings, before: State, after: State, now: Instant, event: Event) -> State:
    """A standby that waits for the renew deadline instead of the lease_duration."""
    if after.changed_at != now.at or after.sight is None or after.hold is not None:
        return after
    return replace(after, changed_at=now.at - settings.slack)


def deaf_to_denial(settings: Settings, state: State, now: Instant, event: Event) -> tuple[State, Any]:
    """Goes on when the API server refuses its credentials, until the renew deadline."""
    after, actions = good(settings, replace(state, denied_since=None), now, event)
    return replace(after, denied_since=None), actions


def exit_late(settings: Settings, state: State, now: Instant, event: Event) -> tuple[State, Any]:
    """The exit point is put back by a second and a half."""
    after, actions = good(settings, state, now, event)
    closing = after.closing
    if closing is None or closing == state.closing or closing.reason is Reason.RIVAL:
        return after, actions
    exit_at = closing.exit_at + 1.5
    later = tuple(replace(a, exit_at=exit_at) if isinstance(a, StopLeading) else a for a in actions)
    return replace(after, closing=replace(closing, exit_at=exit_at)), later


def drained_before(settings: Settings, state: State, now: Instant, event: Event) -> tuple[State, Any]:
    """Starts the next term while handlers of the last one still run."""
    after, actions = good(settings, state, now, event)
    if after.closing is not None and after.closing.reason is Reason.RENEW_DEADLINE and after.wish is Wish.STAND:
        after, more = decide(settings, replace(after, reign=None, closing=None), now)
        return after, actions + more
    return after, actions


def answer_for_any(settings: Settings, state: State, now: Instant, event: Event) -> tuple[State, Any]:
    """Forgets the write in flight when anything of its own is seen, and sends the next beside it."""
    after, actions = good(settings, state, now, event)
    if (
        isinstance(event, Seen)
        and after.flight is not None
        and after.hold is not None
        and not isinstance(event, Accepted)
    ):
        after, more = decide(settings, replace(after, flight=None), now)
        return after, actions + more
    return after, actions


BELIEVES: dict[str, tuple[Any, str, str]] = {
    "proof of death bound to nobody": (proved_dead, "state.dead != tenure_of(sight)", "state.dead is None"),
    "proof of death bound to the pod": (
        proved_dead,
        "state.dead != tenure_of(sight)",
        "state.dead is None or state.dead.holder.split('_')[0] != sight.record.holder.split('_')[0]",
    ),
    "proof of death bound to the process": (
        proved_dead,
        "state.dead != tenure_of(sight)",
        "state.dead is None or state.dead.holder != sight.record.holder",
    ),
    "proof of death that was not asked for": (proved_dead, 'settings.takeover != "evidence" or ', ""),
    "proof of death beside a creator": (proved_dead, "begun_by_put and traced", "traced"),
    "proof of death of what was put back": (proved_dead, "begun_by_put and traced", "begun_by_put"),
    "proof of death across a gap": (
        proved_dead,
        "state.traced == Traced(tenure=tenure_of(sight), version=sight.version)",
        "state.traced is not None and state.traced.tenure == tenure_of(sight)",
    ),
    "copy taken for a write": (_trace, "sight.over == after", "sight.over is not None"),
    "read taken for what came next": (
        _trace,
        "if after is None:\n        return state",
        "if after is None:\n        after = state.version",
    ),
    "another hold followed": (
        _trace,
        "state.traced == Traced(tenure=tenure, version=after)",
        "(state.traced is not None and state.traced.version == after)",
    ),
    "hold followed across others": (
        _trace,
        "state.traced == Traced(tenure=tenure, version=after)",
        "(state.traced is not None and state.traced.tenure == tenure)",
    ),
    "who asks vouches for the holder": (_over, " or kind is Kind.ASK", ""),
    "trace kept across a restored backup": (_see_older, "traced=None", "traced=state.traced"),
}
"""A condition less for the proof of death: where, and what stands there instead."""


def flaws() -> dict[str, Step]:
    """All of them, those of the traces included; each is pure, as the walk remembers steps."""
    remembered = reposted(
        lambda settings, before, now: (
            (now.at if before.older_since is None else before.older_since) + settings.lease_duration
        )
    )

    def first_absence(settings: Settings, state: State, now: Instant, event: Event) -> tuple[State, Any]:
        since = state.older_since
        if isinstance(event, Absent) and since is None:
            since = now.at
        after, actions = remembered(settings, replace(state, older_since=since), now, event)
        return replace(after, older_since=since), actions  # a place to remember it that is free here

    more: dict[str, Step] = {
        "wait from the first absence": first_absence,
        "whole seconds compared": altered(by_the_second),
        "own old write believed": altered(old_write),
        "no new wait for an old record": altered(old_record),
        "write in flight believed for ever": altered(old_flight),
        "waiting hold released": altered(release_waiting),
        "old read answers": altered(any_answer),
        "writes again without a look": altered(no_question),
        "seen rival not acted upon": altered(unmoved_by_rivals),
        "< for <= of versions": equal_is_new,
        "old absence believed": old_absence,
        "closes late": late_to_close,
        "standby waits for the renew deadline": altered(impatient),
        "denial ignored": deaf_to_denial,
        "exits late": exit_late,
        "next term before the drain": drained_before,
        "flight forgotten": answer_for_any,
        **{flaw: step_without(*how) for flaw, how in BELIEVES.items()},
        "gone from sight taken for dead": good,  # the machine is right: what it is told is wrong
    }
    return {**mutants(), **more}
