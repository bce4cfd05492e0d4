"""The machine with one flaw each: what a law forbids. A trace is worth something only if its mutant fails in it."""

from collections.abc import Callable
from dataclasses import replace
from math import inf
from typing import Any

from kopf_leader.protocol.learn import learn
from kopf_leader.protocol.machine import decide
from kopf_leader.protocol.machine import step as good
from kopf_leader.protocol.settings import Settings
from kopf_leader.protocol.state import (
    Absent,
    Accepted,
    Event,
    Hold,
    Instant,
    Kind,
    Reason,
    Reign,
    Rejected,
    Seen,
    Send,
    StartLeading,
    State,
    StopLeading,
    Wish,
    Write,
)
from kopf_leader.testing.world import Step

Alter = Callable[[Settings, State, State, Instant, Event], State]


def altered(alter: Alter) -> Step:
    """A machine that draws other conclusions from an event: `alter(settings, before, after, now, event)`."""

    def step(settings: Settings, state: State, now: Instant, event: Event) -> tuple[State, tuple[Any, ...]]:
        if state.over:
            return state, ()
        return decide(settings, alter(settings, state, learn(settings, state, now, event), now, event), now)

    return step


def reposted(start_at: Callable[[Settings, State, Instant], float]) -> Step:
    """A machine whose newly seen POST may start a term at another time."""

    def alter(settings: Settings, before: State, after: State, now: Instant, event: Event) -> State:
        hold = after.hold
        if hold is None or hold.write.kind is not Kind.CREATE or hold == before.hold:
            return after
        return replace(after, hold=replace(hold, start_at=min(hold.start_at, start_at(settings, before, now))))

    return altered(alter)


def rewritten(change: Callable[[dict[str, Any], Send], None]) -> Step:
    """A machine whose writes look different."""

    def step(settings: Settings, state: State, now: Instant, event: Event) -> tuple[State, tuple[Any, ...]]:
        state, actions = good(settings, state, now, event)
        for action in actions:
            if isinstance(action, Send):
                change(action.body, action)
        return state, actions

    return step


def from_reply(settings, before, after, now, event):
    """Counts from the reply, as client-go does."""
    if not isinstance(event, Accepted) or after.hold is None or after.hold.write.record != event.write.record:
        return after
    hold = replace(after.hold, write=replace(after.hold.write, sent_at=now.at))
    reign = after.reign
    return replace(after, hold=hold, reign=None if reign is None else replace(reign, t0=now.at))


def stale_release(settings, before, after, now, event):
    """Takes the fresh version for the release, and checks the old record."""
    return replace(after, hold=before.hold) if before.wish is not Wish.STAND and isinstance(event, Seen) else after


def ignore_deletion(settings, before, after, now, event):
    """Goes on under the old term when the Lease was deleted."""
    return replace(after, hold=before.hold) if isinstance(event, Absent) and before.reign is not None else after


def my_name(settings, before, after, now, event):
    """Takes its own name in the record for its own write."""
    sight = after.sight
    if not isinstance(event, Seen) or sight is None or after.hold is not None:
        return after
    if sight.record.holder != settings.identity:
        return after
    write = Write(kind=Kind.ACQUIRE, record=sight.record, base=sight, over=sight.version, sent_at=now.at)
    return replace(after, hold=Hold(write=write, uid=sight.uid), reign=before.reign)


def own_duration(settings, before, after, now, event):
    """A standby that waits for its own lease_duration instead of the recorded one."""
    sight = after.sight
    if after.changed_at != now.at or sight is None or after.hold is not None:
        return after
    return replace(after, changed_at=now.at - max(0.0, (sight.record.duration or 0) - settings.lease_duration))


def recorded_duration(settings, before, after, now, event):
    """A standby that believes any recorded duration, however short."""
    sight = after.sight
    if after.changed_at != now.at or sight is None or after.hold is not None:
        return after
    return replace(after, changed_at=now.at - max(0.0, settings.lease_duration - (sight.record.duration or 0)))


def any_empty_is_free(settings, before, after, now, event):
    """Takes every empty holder for a release."""
    nameless = after.sight is not None and not after.sight.record.holder
    return replace(after, changed_at=-inf) if nameless else after


def any_former_holder(settings, before, after, now, event):
    """Whoever held last may start again at once, however long ago that was."""
    return replace(after, heir_until=inf) if isinstance(event, Absent) and before.hold is not None else after


def heir_by_the_law(settings, before, after, now, event):
    """L11 to the letter: an heir is who sees the absence before T0 + lease_duration, however late its POST lands."""
    hold = before.hold
    if not isinstance(event, Absent) or hold is None or after.hold is not None or hold.start_at > now.at:
        return after
    return replace(after, heir_until=inf if now.at < hold.write.sent_at + settings.lease_duration else -inf)


def heir_until_lease(settings, before, after, now, event):
    """The same, with the POST seen to have landed before T0 + lease_duration."""
    hold = before.hold
    if not isinstance(event, Absent) or hold is None or after.hold is not None or hold.start_at > now.at:
        return after
    return replace(after, heir_until=hold.write.sent_at + settings.lease_duration)


def forget_doubts(settings, before, after, now, event):
    """Takes a write that was not there for one that will never be there."""
    return replace(after, doubtful=(), refused=None)


def stay_deaf(settings, before, after, now, event):
    """Keeps a watch that a 409 has proved to be deaf."""
    return replace(after, watching=before.watching) if isinstance(event, Rejected) else after


def reply_only(settings, before, after, now, event):
    """Believes in replies only: its own write in a watch event confirms nothing."""
    mine = before.flight is not None and isinstance(event, Seen) and event.sight.record == before.flight.record
    return before if mine else after


def no_standing_back():
    """Stands again at once after it has resigned."""

    def step(settings, state, now, event):
        after, actions = good(settings, state, now, event)
        if after.wish is Wish.STAND and after.stand_back > now.at:
            after, more = decide(settings, replace(after, stand_back=-inf), now)
            return after, actions + more
        return after, actions

    return step


def back_at_once(settings, before, after, now, event):
    """Stands again although it was told to stay away."""
    return replace(after, away_until=-inf) if isinstance(event, Seen) else after


def believe_old_deletions():
    def step(settings, state, now, event):
        return good(settings, state, now, Absent() if isinstance(event, Absent) else event)

    return step


def restart_timers():
    """A version that was seen already restarts the rival's timer."""

    def alter(settings, before, after, now, event):
        return replace(after, changed_at=now.at) if isinstance(event, Seen) else after

    return altered(alter)


def resume():
    """A stopped term goes on when a late renewal lands."""

    def step(settings, state, now, event):
        after, actions = good(settings, state, now, event)
        hold = after.hold
        landed = hold is not None and hold != state.hold and hold.write.kind is Kind.RENEW and hold.token is not None
        if landed and after.reign is None and state.reign is None and state.wish is Wish.STAND:
            after = replace(after, reign=Reign(token=hold.token, t0=now.at), flight=None)
            return after, (StartLeading(hold.token),)
        return after, actions

    return step


def release_first():
    """Releases before it has drained."""

    def step(settings, state, now, event):
        after, actions = good(settings, state, now, event)
        if after.closing is not None and after.wish is not Wish.STAND:
            after, more = decide(settings, replace(after, reign=None, closing=None, leave_by=inf), now)
            return after, actions + more
        return after, actions

    return step


def no_budget():
    """Lets handlers finish for as long as it can renew; the points move on with every renewal."""

    def step(settings, state, now, event):
        after, actions = good(settings, state, now, event)
        if after.closing is None or after.closing.reason is Reason.RIVAL:
            return after, actions
        after = replace(after, closing=replace(after.closing, cancel_at=inf, exit_at=inf))
        endless = [replace(a, cancel_at=inf, exit_at=inf) if isinstance(a, StopLeading) else a for a in actions]
        return after, tuple(endless)

    return step


def patient_with_rivals():
    """Keeps to the table of T0 after a rival was seen."""

    def step(settings, state, now, event):
        after, actions = good(settings, state, now, event)
        reign, closing = after.reign, after.closing
        if reign is None or closing is None or closing.reason is not Reason.RIVAL:
            return after, actions
        cancel_at, exit_at = reign.t0 + settings.cancel_after, reign.t0 + settings.exit_after
        after = replace(after, closing=replace(closing, cancel_at=cancel_at, exit_at=exit_at))
        later = [replace(a, cancel_at=cancel_at, exit_at=exit_at) if isinstance(a, StopLeading) else a for a in actions]
        return after, tuple(later)

    return step


def first_absence():
    """The wait of L11 counts from the first absence ever seen."""
    first: dict[str, float] = {}

    def start_at(settings: Settings, before: State, now: Instant) -> float:
        return first.get(settings.identity, now.at) + settings.lease_duration

    inner = reposted(start_at)

    def step(settings, state, now, event):
        if isinstance(event, Absent):
            first.setdefault(settings.identity, now.at)
        return inner(settings, state, now, event)

    return step


def _without_uid(body: dict[str, Any], send: Send) -> None:
    if send.write.base is not None:
        del body["metadata"]["uid"]


def _one_more(body: dict[str, Any], send: Send) -> None:
    if send.write.kind is Kind.ACQUIRE:
        body["spec"]["leaseTransitions"] = (send.write.base.record.transitions if send.write.base else 0) + 1


def _only_ours(body: dict[str, Any], send: Send) -> None:
    body["spec"] = {key: value for key, value in body["spec"].items() if not key.startswith("x-")}
    body["metadata"] = {
        k: v for k, v in body["metadata"].items() if k in ("name", "namespace", "uid", "resourceVersion")
    }


def never_outrun(settings: Settings, before: State, after: State, now: Instant, event: Event) -> State:
    """A candidate that forgets how many races it has lost."""
    return replace(after, outrun=0)


def _without_transitions(body: dict[str, Any], send: Send) -> None:
    body["spec"].pop("leaseTransitions", None)


def _as_isoformat_does(body: dict[str, Any], send: Send) -> None:
    body["spec"].update({key: value[:19] + "Z" for key, value in body["spec"].items() if key.endswith("Time")})


def _same_time(body: dict[str, Any], send: Send) -> None:
    body["spec"]["renewTime"] = body["spec"].get("acquireTime")


def mutants() -> dict[str, Step]:
    """All of them, by what they do; fresh, as some remember."""
    return {
        "deadline from the reply": altered(from_reply),
        "release checks the stale record": altered(stale_release),
        "deletion ignored by the leader": altered(ignore_deletion),
        "own name is own term": altered(my_name),
        "standby uses its own duration": altered(own_duration),
        "standby believes short durations": altered(recorded_duration),
        "any empty holder is free": altered(any_empty_is_free),
        "creating starts": reposted(lambda settings, before, now: -inf),
        "wait from the last record": reposted(
            lambda settings, before, now: before.changed_at + settings.lease_duration
        ),
        "no wait without a live holder seen": reposted(lambda settings, before, now: inf if before.seen_hold else -inf),
        "wait from the first absence": first_absence(),
        "any former holder": altered(any_former_holder),
        "heir by the law's letter": altered(heir_by_the_law),
        "heir until T0 + lease_duration": altered(heir_until_lease),
        "PUT without uid": rewritten(_without_uid),
        "PUT drops what it does not know": rewritten(_only_ours),
        "transitions beyond an int32": rewritten(_one_more),
        "a field left out": rewritten(_without_transitions),
        "no fractional digits": rewritten(_as_isoformat_does),
        "renewTime stands still": rewritten(_same_time),
        "stopped term resumed": resume(),
        "release before the drain": release_first(),
        "no drain budget": no_budget(),
        "patient with rivals": patient_with_rivals(),
        "older DELETED believed": believe_old_deletions(),
        "old versions restart timers": restart_timers(),
        "doubtful writes forgotten": altered(forget_doubts),
        "deaf watch kept": altered(stay_deaf),
        "only replies confirm": altered(reply_only),
        "no standing back": no_standing_back(),
        "locked out and back at once": altered(back_at_once),
        "nobody gives way": altered(never_outrun),
    }
