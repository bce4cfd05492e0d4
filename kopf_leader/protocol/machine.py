"""The election as a pure function: `step(settings, state, now, event) -> (state, actions)`.

The idea. A Lease names a holder. A holder renews it; each write is accepted only on the version that it was decided
on, so at most one hold exists at any moment, and it is known by its content: only a write of this very process makes
it the holder (L10). What a process *acts* on is a term: it begins with an accepted acquiring PUT, lives as long as
renewals are accepted, and once stopped never comes back (L9).

Two clocks make it safe without any clock being compared with another one. The holder counts from the moment it
decided to send the last renewal that was accepted (T0); it starts nothing after T0 + renew_deadline, and runs nothing
after T0 + lease_duration. A rival counts from the moment it first saw that renewal, which is later, and waits a whole
lease_duration. So their terms are apart by what one clock may run ahead of the other (L5, L6). Only a proof that the
holder's process is dead stands in for that wait, where it is asked for (`evidence`, `plan.proved_dead`).

There are two ways to be the holder. A PUT on a version proves that nobody held in between, and may start a term. A
POST proves only that the Lease was absent: somebody may still be at work who held the Lease that was deleted. So
creating starts nothing: the creator holds, renews, waits for one lease_duration, and then takes its own hold up by a
PUT (L11).

Losing is not one moment but an order (L12): close the gate, let running handlers finish, cancel those that do not,
release. The points are fixed when the gate closes. What cannot be stopped is not released: the process exits.

A step has two halves. `learn` brings the facts up to date, whatever the order in which they arrive. `decide` looks at
the facts and the clock only, and says what is due now and when to look again. There is no third place.
"""

from dataclasses import replace
from math import inf

from kopf_leader.protocol.learn import learn
from kopf_leader.protocol.plan import next_write, write_for
from kopf_leader.protocol.settings import Settings
from kopf_leader.protocol.state import (
    Action,
    Closing,
    Event,
    Exit,
    Finish,
    Instant,
    Kind,
    Phase,
    Read,
    Reason,
    Reign,
    StartLeading,
    State,
    StopLeading,
    WakeAt,
    Watch,
    Wish,
)


def step(settings: Settings, state: State, now: Instant, event: Event) -> tuple[State, tuple[Action, ...]]:
    """Take one event in at one moment; the new state, and what is to be done, in order."""
    if state.over:
        return state, ()
    return decide(settings, learn(settings, state, now, event), now)


def decide(settings: Settings, state: State, now: Instant) -> tuple[State, tuple[Action, ...]]:
    """What is due by the facts and the clock: stop first, start next, then write, then look."""
    actions: list[Action] = []
    for rule in (_close, _exit, _start, _write, _look, _finish):
        state, due = rule(settings, state, now)
        actions += due
    if not state.over:
        actions.append(WakeAt(wake_at(settings, state, now)))
    return state, tuple(actions)


def claim_until(settings: Settings, state: State) -> float:
    """Until when the running term may act (L7), in local seconds; -inf without one, or when it is over for sure."""
    if state.reign is None or state.reign.revoked or state.reign.lapsed:
        return -inf
    return state.reign.t0 + settings.renew_deadline


def phase(state: State) -> Phase:
    """Where the candidate is, in one word."""
    if state.over:
        return Phase.OVER
    if state.reign is not None:
        return Phase.LEADING if state.closing is None else Phase.CLOSING
    if state.wish is not Wish.STAND:
        return Phase.RELEASING
    if state.hold is not None:
        return Phase.HOLDING
    if state.flight is not None and state.flight.kind is not Kind.ASK:
        return Phase.ACQUIRING
    return Phase.STANDBY if state.known else Phase.UNKNOWN


def look_at(settings: Settings, state: State, now: Instant) -> float:
    """When to read, in local seconds, because nothing was heard and nothing will be written; inf: no need.

    At expiry a write finds out whether the watch is deaf (L16). While nobody shall lead, or a holder has recorded a
    huge duration, there is none for long, and so one read in a lease_duration stands in for it.
    """
    waits = state.known and state.reign is None and state.wish is Wish.STAND and state.flight is None
    if not waits or state.sight is None or state.older_since is not None or state.read_after is not None:
        return inf
    planned = next_write(settings, state, now)
    if planned is not None and planned[1] <= now.at + settings.lease_duration:
        return inf
    return state.seen_at + settings.lease_duration


def wake_at(settings: Settings, state: State, now: Instant) -> float:
    """When time alone changes something, in local seconds; inf if only an event can."""
    times = [state.stand_back]
    if state.older_since is not None and not state.reading:
        times.append(state.older_since + settings.lease_duration)
    if not state.reading:
        times.append(look_at(settings, state, now))
    if state.reign is not None and state.closing is None:
        times.append(state.reign.t0 + settings.renew_deadline)
        if state.denied_since is not None:
            times.append(state.denied_since + settings.retry_period)
    if state.closing is not None and not state.closing.exited:
        times.append(state.closing.exit_at)
    if state.hold is not None:
        times.append(state.hold.start_at)
    if state.wish is not Wish.STAND and state.reign is None:
        times.append(state.leave_by)
    if (planned := next_write(settings, state, now)) is not None:
        times.append(planned[1])
    return min((time for time in times if time > now.at), default=inf)


def _close(settings: Settings, state: State, now: Instant) -> tuple[State, list[Action]]:
    reign, reason = state.reign, _why_close(settings, state, now)
    if reign is None or reason is None:
        return state, []
    closing = state.closing
    if closing is None:
        closing = _fix_points(settings, reign, now, reason)
    elif reason is Reason.RIVAL and closing.reason is not Reason.RIVAL:
        nearer = _fix_points(settings, reign, now, reason)
        closing = replace(
            closing,
            reason=reason,
            cancel_at=min(closing.cancel_at, nearer.cancel_at),
            exit_at=min(closing.exit_at, nearer.exit_at),
        )
    elif reason is Reason.ASKED:
        return replace(state, wish=Wish.RESIGN), []  # closes already, for a failure: it will not take its hold up again
    else:
        return state, []
    stop = StopLeading(reign.token, closing.reason, closing.cancel_at, closing.exit_at)
    wish = Wish.RESIGN if reason is Reason.ASKED else state.wish
    return replace(state, closing=closing, wish=wish), [stop]


def _why_close(settings: Settings, state: State, now: Instant) -> Reason | None:
    reign = state.reign
    if reign is None:
        return None
    if reign.revoked:
        return Reason.RIVAL
    if state.hold is None or state.hold.token != reign.token:
        return Reason.DELETED
    if state.denied_since is not None and now.at >= state.denied_since + settings.retry_period:
        return Reason.DENIED
    if state.wish is not Wish.STAND:
        if state.wish is Wish.LEAVE:
            return Reason.LEAVING
        return Reason.LOCKED_OUT if now.at < state.away_until else Reason.RESIGNED
    if state.sight is not None and state.sight.asks.sends_away(settings.identity):
        return Reason.ASKED
    return Reason.RENEW_DEADLINE if reign.lapsed or now.at >= reign.t0 + settings.renew_deadline else None


def _fix_points(settings: Settings, reign: Reign, now: Instant, reason: Reason) -> Closing:
    """The timeline of a closing gate (L12): the table of T0, or closing + drain budget, whichever comes first.

    Once a rival was seen there is nothing to wait for (L8). A process that wakes from a freeze beyond its exit point
    gets a blink to show that nothing of it runs.
    """
    blink = settings.last_grace / 4
    if reason is Reason.RIVAL:
        cancel_at, exit_at = now.at, now.at + settings.last_grace
    else:
        cancel_at = now.at + settings.drain_timeout
        exit_at = cancel_at + settings.exit_after - settings.cancel_after
    return Closing(
        reason=reason,
        cancel_at=max(min(cancel_at, reign.t0 + settings.cancel_after), now.at),
        exit_at=max(min(exit_at, reign.t0 + settings.exit_after), now.at + blink),
    )


def _exit(settings: Settings, state: State, now: Instant) -> tuple[State, list[Action]]:  # noqa: ARG001 (one shape)
    closing, reign = state.closing, state.reign
    if closing is None or reign is None or closing.exited or now.at < closing.exit_at:
        return state, []
    return replace(state, closing=replace(closing, exited=True)), [Exit(reign.token, closing.reason)]


def _start(settings: Settings, state: State, now: Instant) -> tuple[State, list[Action]]:
    """A term begins with an acquiring PUT of its own, confirmed while it is fresh (L9)."""
    hold, sight = state.hold, state.sight
    if state.reign is not None or state.wish is not Wish.STAND or hold is None or sight is None:
        return state, []
    if hold.write.kind is not Kind.ACQUIRE or hold.token is not None or now.at < hold.start_at:
        return state, []
    if now.at >= hold.write.sent_at + settings.renew_deadline:
        return state, []  # landed late: taken up by a new write
    token = sight.version
    started = replace(state, hold=replace(hold, token=token), reign=Reign(token=token, t0=hold.write.sent_at))
    return started, [StartLeading(token)]


def _write(settings: Settings, state: State, now: Instant) -> tuple[State, list[Action]]:
    planned = next_write(settings, state, now)
    if planned is None or planned[1] > now.at:
        return state, []
    kind, _ = planned
    send, stamped = write_for(settings, state, now, kind)
    stand_back = now.at + settings.lease_duration if kind is Kind.RELEASE else state.stand_back  # L20
    state = replace(state, flight=send.write, last_write=send.write, stamped=stamped, stand_back=stand_back)
    return state, [send]


def _look(settings: Settings, state: State, now: Instant) -> tuple[State, list[Action]]:
    if not state.watching:
        return replace(state, watching=True, reading=True), [Watch()]  # it begins with a read
    believed = state.older_since is not None and now.at >= state.older_since + settings.lease_duration
    unheard = now.at >= look_at(settings, state, now)
    if (state.read_after is not None or believed or unheard) and not state.reading:
        return replace(state, reading=True), [Read()]
    return state, []


def _finish(settings: Settings, state: State, now: Instant) -> tuple[State, list[Action]]:
    """Nothing is left to give back, or nobody waits for it any more (L15)."""
    if state.wish is Wish.STAND or state.reign is not None:
        return state, []
    asked = state.flight is not None or state.read_after is not None
    settled = not _at_stake(state) or (not asked and next_write(settings, state, now) is None)
    if not settled and now.at < state.leave_by:
        return state, []
    if state.wish is Wish.LEAVE:
        return replace(state, over=True), [Finish()]
    stand_back = max(state.stand_back, now.at + settings.lease_duration)  # L20
    return replace(state, wish=Wish.STAND, leave_by=inf, stand_back=stand_back), []


def _at_stake(state: State) -> bool:
    """Whether anything of this process stands in the Lease, or may come to stand there, that it could take back."""
    lost = any(write.base is not None for write in state.doubtful)
    return lost or any(mark is not None for mark in (state.hold, state.flight, state.refused))
