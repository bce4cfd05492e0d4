"""A candidate that goes by client-go's rules (`tools/leaderelection/leaderelection.go`), as another `step()`.

It polls: one attempt every retry period, each with a GET, except that a leader writes at once on what it last wrote.
It counts from its own observation of a change, compares records with whole seconds, and stops its work one retry period
and one renew deadline after the answer to its last renewal. Its release reads the Lease afresh and checks what it knew
before (`release`, since v0.34): so it can wipe a successor. It creates a Lease and leads at once.
"""

from dataclasses import dataclass, replace
from math import inf

from kopf_leader.protocol import state as words
from kopf_leader.protocol.record import RELEASED_DURATION, LeaseRecord, Sight, creation, replacement, stamp
from kopf_leader.protocol.settings import Settings
from kopf_leader.protocol.state import Action, Event, Instant, Kind, Reason, Send, Write


@dataclass(frozen=True, kw_only=True)
class GoState:
    """What client-go's elector remembers."""

    raw: str | None = None
    """The record last observed, to the second."""
    observed_at: float = -inf
    mine: Sight | None = None
    """What it last wrote, while it leads."""
    token: int | None = None
    deadline_at: float = -inf
    again_at: float = -inf
    leaving: str = ""
    """Resigned: `reading` and then `writing` the release."""
    flight: Write | None = None


def claim_until(state: GoState) -> float:
    """Until when its work goes on."""
    return -inf if state.token is None else state.deadline_at


def step(settings: Settings, state: GoState, now: Instant, event: Event) -> tuple[GoState, list[Action]]:
    """One event."""
    actions: list[Action] = []
    if isinstance(event, words.Accepted | words.Rejected | words.Unknown | words.Denied):
        state = replace(state, flight=None)
    if state.token is not None and now.at >= state.deadline_at and not state.leaving:
        return _lost(settings, state, now)
    match event:
        case words.Seen(sight=sight):
            state = _got(settings, state, now, sight, actions)
        case words.Absent():
            state = _got(settings, state, now, None, actions)
        case words.Accepted(sight=sight) if not state.leaving:
            first = state.token is None
            deadline = now.at + settings.retry_period + settings.renew_deadline
            state = replace(state, mine=sight, deadline_at=deadline, again_at=now.at + settings.retry_period)
            state = replace(state, raw=_raw(sight.record), observed_at=now.at)
            if first:
                state = replace(state, token=sight.version)
                actions.append(words.StartLeading(sight.version))
        case words.Accepted():
            state = replace(GoState(), again_at=now.at + settings.retry_period)
        case words.Rejected() | words.Unknown() | words.Denied():
            if state.leaving:
                state = replace(GoState(), again_at=now.at + settings.retry_period)
            elif state.token is not None and state.mine is not None:
                state = replace(state, mine=None, again_at=inf)  # the fast path has failed: read
                actions.append(words.Read())
            else:
                state = replace(state, again_at=now.at + settings.retry_period)
        case words.Tick() if state.again_at <= now.at and state.flight is None:
            if state.token is not None and state.mine is not None:
                state = _write(settings, replace(state, again_at=inf), now, state.mine, actions)
            else:
                state = replace(state, again_at=inf)
                actions.append(words.Read())
        case words.Resign() if state.token is not None and state.flight is None:
            token, state = state.token, replace(state, token=None, leaving="reading", again_at=inf)
            actions += [words.StopLeading(token, Reason.RESIGNED, now.at, now.at), words.Read()]
    wake = min(
        (at for at in (state.again_at, state.deadline_at if state.token is not None else inf) if at > now.at),
        default=inf,
    )
    return state, [*actions, words.WakeAt(wake)]


def _lost(settings: Settings, state: GoState, now: Instant) -> tuple[GoState, list[Action]]:
    token = state.token or 0
    again = now.at + settings.retry_period
    fresh = replace(GoState(), again_at=again, flight=state.flight)
    return fresh, [words.StopLeading(token, Reason.RENEW_DEADLINE, now.at, now.at), words.WakeAt(again)]


def _raw(record: LeaseRecord) -> str:
    return f"{record.holder} {(record.acquire_time or '')[:19]} {(record.renew_time or '')[:19]} {record.transitions}"


def _got(settings: Settings, state: GoState, now: Instant, sight: Sight | None, actions: list[Action]) -> GoState:
    if state.leaving == "reading":
        if sight is None:
            return replace(GoState(), again_at=now.at + settings.retry_period)
        return _write(settings, replace(state, leaving="writing"), now, sight, actions)  # whoever holds it (R1)
    if sight is None:
        return _write(settings, state, now, None, actions)
    if (raw := _raw(sight.record)) != state.raw:
        state = replace(state, raw=raw, observed_at=now.at)
    holder = sight.record.holder
    if holder and holder != settings.identity and state.observed_at + (sight.record.duration or 0) > now.at:
        return replace(state, again_at=now.at + settings.retry_period)
    return _write(settings, state, now, sight, actions)


def _write(settings: Settings, state: GoState, now: Instant, base: Sight | None, actions: list[Action]) -> GoState:
    moment = stamp(now.utc)
    mine = base is not None and base.record.holder == settings.identity
    seen = base.record if base is not None else LeaseRecord()
    record = LeaseRecord(
        holder="" if state.leaving else settings.identity,
        duration=RELEASED_DURATION if state.leaving else int(settings.lease_duration),
        acquire_time=seen.acquire_time if mine else moment,
        renew_time=moment,
        transitions=seen.transitions + (base is not None and not mine and not state.leaving),
    )
    kind = Kind.RELEASE if state.leaving else Kind.CREATE if base is None else Kind.RENEW if mine else Kind.ACQUIRE
    write = Write(kind=kind, record=record, base=base, over=0 if base is None else base.version, sent_at=now.at)
    body = (
        creation(name=settings.name, namespace=settings.namespace, record=record, labels={})
        if base is None
        else replacement(base, record, labels={}, asks={})
    )
    actions.append(Send(write, body))
    return replace(state, flight=write)
