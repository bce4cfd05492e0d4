"""Every interleaving of two candidates of the shipped `step()`, breadth first, states hashed, whole ticks of time.

The network is instant but comes in any order; a fault loses a request or a reply, delays a request for as long as it
likes, cuts a candidate off, freezes it, deletes the Lease or edits its holder. What is mended is mended at any tick.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import pytest

from kopf_leader.protocol import state as words
from kopf_leader.protocol.machine import claim_until, step
from kopf_leader.protocol.record import LeaseRecord, Sight
from kopf_leader.protocol.settings import Settings
from kopf_leader.protocol.state import Event, Instant, Kind, State, Write
from tests.protocol.mutants import mutants

RULES = [
    Settings(
        name="op", namespace="ns", identity=name, lease_duration=6, renew_deadline=4, retry_period=1,
        request_timeout=2, drain_timeout=2,
    )
    for name in ("a_1", "b_1")
]  # fmt: skip
START = State()
UNTOUCHED = Sight(version=10, uid="u10", record=LeaseRecord(), lease={"metadata": {}})
FAULTS = frozenset({"mute", "late", "cut", "freeze", "delete", "edit"})
"""A reply lost, a request lost or landing at any later time, cut off, frozen, the Lease deleted, its holder edited."""


@dataclass(frozen=True, kw_only=True)
class Process:
    """One candidate, and what is under way to it."""

    state: State = START
    wake_at: float = 0
    token: int | None = None
    open: bool = False
    cancel_at: float = float("inf")
    alive: bool = True
    frozen: bool = False
    excused: bool = False
    """Thawed: what ran when it was frozen is exempt until it has ended."""
    cut: bool = False
    reading: bool = False
    sending: Write | None = None
    mail: tuple[Event, ...] = ()
    """What was answered, in any order."""
    news: tuple[Event, ...] = ()
    """What the watch has to tell, in order."""


@dataclass(frozen=True, kw_only=True)
class Town:
    """The Lease, the processes, and what may still go wrong."""

    now: int = 0
    lease: Sight | None = UNTOUCHED
    version: int = 10
    both: tuple[Process, Process] = (Process(), Process())
    late: tuple[tuple[int, Write], ...] = ()
    tokens: int = 0
    faults: int = 0
    kinds: frozenset[str] = FAULTS


class Broken(AssertionError):  # noqa: N818 (as `Violation` in the checker)
    """An invariant does not hold."""


def put(town: Town, who: int, **changes: Any) -> Town:
    both = list(town.both)
    both[who] = replace(both[who], **changes)
    return replace(town, both=(both[0], both[1]))


def feed(town: Town, who: int, event: Event, machine: Any) -> Town:
    """One step of one candidate, and what it asks for."""
    one = town.both[who]
    one_state, actions = machine(RULES[who], one.state, Instant(town.now, town.now * 1_000_000 + 1 + who), event)
    town = put(town, who, state=one_state)
    for action in actions:
        one = town.both[who]
        match action:
            case words.WakeAt(at=at):
                town = put(town, who, wake_at=at)
            case words.Read() | words.Watch():
                town = put(town, who, reading=True)
            case words.Send(write=write):
                if one.sending is not None:
                    raise Broken("two writes in flight")
                if write.kind is Kind.RELEASE and one.token is not None:
                    raise Broken("a release while handlers run")
                town = put(town, who, sending=write)
            case words.StartLeading(token=token):
                if token <= town.tokens:
                    raise Broken(f"token {token} after {town.tokens}")
                town = replace(put(town, who, token=token, open=True, excused=False), tokens=token)
            case words.StopLeading(cancel_at=cancel_at):
                town = put(town, who, open=False, cancel_at=cancel_at)
            case words.Exit():
                town = put(town, who, alive=False, token=None, open=False, mail=(), news=(), reading=False)
    return town


def store(town: Town, lease: Sight | None) -> Town:
    """The Lease changes, and who watches is told; with one it is a new version of it."""
    version = town.version + 1
    lease = None if lease is None else replace(lease, version=version)
    event: Event = words.Absent(version=version) if lease is None else words.Seen(lease)
    town = replace(town, lease=lease, version=version)
    for who, one in enumerate(town.both):
        if one.alive and not one.cut:
            town = put(town, who, news=(*one.news, event))
    return town


def land(town: Town, who: int, write: Write) -> tuple[Town, Event]:
    """The API server takes a write: it answers for this very version of this very object, or refuses."""
    have, base = town.lease, write.base
    if (base is None) != (have is None) or (base and have and (base.uid, base.version) != (have.uid, have.version)):
        return town, words.Rejected(write)
    uid = f"u{town.version + 1}" if base is None else base.uid
    if write.kind is Kind.RELEASE and any(one.token is not None and not exempt(one) for one in town.both):
        raise Broken("the Lease is released under work")
    town = store(town, Sight(version=0, uid=uid, record=write.record, lease={"metadata": {}}))
    assert town.lease is not None
    return town, words.Accepted(write, town.lease)


def exempt(one: Process) -> bool:
    return one.frozen or one.excused


def deliveries(town: Town, machine: Any) -> Iterator[tuple[str, Town]]:
    """What the network does now, one thing at a time; time stands still until all of it is done."""
    for who, one in enumerate(town.both):
        name = "ab"[who]
        if one.sending is not None and not one.cut and one.sending not in [write for _, write in town.late]:
            yield from sent(town, who, one.sending)
        if one.frozen or not one.alive:
            continue
        for mail in dict.fromkeys(one.mail):
            rest = list(one.mail)
            rest.remove(mail)
            answered = put(town, who, mail=tuple(rest))
            yield f"{name} <- {type(mail).__name__}", feed(answered, who, mail, machine)
        if one.news:
            told = put(town, who, news=one.news[1:])
            yield f"{name} <- watch {type(one.news[0]).__name__}", feed(told, who, one.news[0], machine)
        if one.reading and not one.cut:
            seen = words.Absent(sent_at=town.now) if town.lease is None else words.Seen(town.lease, town.now)
            yield f"{name} reads", feed(put(town, who, reading=False), who, seen, machine)
        if one.token is not None and not one.open and one.cancel_at <= town.now:
            yield f"{name} cancelled", drained(town, who, machine)


def sent(town: Town, who: int, write: Write) -> Iterator[tuple[str, Town]]:
    """A request arrives and is answered, or one of the two is lost."""
    one, name = town.both[who], f"{'ab'[who]} {write.kind.value}"
    landed, answer = land(town, who, write)
    after = landed.both[who]
    if one.alive:
        yield f"{name} lands", put(landed, who, sending=None, mail=(*after.mail, answer))
    else:
        yield f"{name} lands", put(landed, who, sending=None)
        return
    if town.faults:
        fewer, lost = town.faults - 1, replace(landed, faults=town.faults - 1)
        if "mute" in town.kinds:
            yield f"{name} lands, REPLY LOST", replace(lost, late=(*town.late, (-1, write)))
        if "late" in town.kinds:
            yield f"{name} IS LATE OR LOST", replace(town, faults=fewer, late=(*town.late, (who, write)))


def drained(town: Town, who: int, machine: Any) -> Town:
    token = town.both[who].token
    assert token is not None
    ended = put(town, who, token=None, cancel_at=float("inf"), excused=False)
    return feed(ended, who, words.Drained(token), machine)


def happenings(town: Town, machine: Any) -> Iterator[tuple[str, Town]]:
    """What may happen between two ticks: faults, what is mended, late arrivals, work that ends; or the next tick."""
    for who, write in town.late:
        if who >= 0:
            left = tuple(pair for pair in town.late if pair != (who, write))
            kept = ((-1, write),) if town.both[who].sending == write else ()
            yield f"a late {write.kind.value} lands", replace(land(town, who, write)[0], late=(*left, *kept))
    for who, one in enumerate(town.both):
        name = "ab"[who]
        if not one.alive:
            continue
        if one.frozen:
            thawed = put(town, who, frozen=False, excused=one.token is not None)
            yield f"{name} thaws", feed(thawed, who, words.Tick(), machine)
            if one.mail:
                yield f"{name} thaws, mail first", feed(put(thawed, who, mail=one.mail[1:]), who, one.mail[0], machine)
        elif one.token is not None and not one.open:
            yield f"{name} has finished", drained(town, who, machine)
        if one.cut:
            yield f"{name} is back", put(town, who, cut=False, reading=True)
    if town.faults:
        yield from troubles(replace(town, faults=town.faults - 1))
    yield "tick", tick(town, machine)


def troubles(town: Town) -> Iterator[tuple[str, Town]]:
    for who, one in enumerate(town.both):
        if "freeze" in town.kinds and one.alive and not one.frozen:
            yield f"{'ab'[who]} FREEZES", put(town, who, frozen=True)
        if "cut" in town.kinds and one.alive and not one.cut:
            yield f"{'ab'[who]} IS CUT OFF", put(town, who, cut=True, news=(), mail=())
    if town.lease is not None:
        if "delete" in town.kinds:
            yield "DELETED", store(town, None)
        if "edit" in town.kinds and town.lease.record.holder:
            for holder in ("x", RULES[0].identity, RULES[1].identity):
                record = replace(town.lease.record, holder=holder)
                if record != town.lease.record:
                    yield f"EDITED to {holder}", store(town, replace(town.lease, record=record))


def tick(town: Town, machine: Any) -> Town:
    """Time passes: processes look at their clocks before they read their mail."""
    town = replace(town, now=town.now + 1)
    for who in (0, 1):
        one = town.both[who]
        write = one.sending
        if write is not None and town.now >= write.sent_at + RULES[who].attempt_timeout:
            late = tuple(pair for pair in town.late if pair != (-1, write))
            town = put(replace(town, late=late), who, sending=None)
            if one.alive:
                town = put(town, who, mail=(*town.both[who].mail, words.Unknown(write)))
        if one.alive and not one.frozen and town.both[who].wake_at <= town.now:
            town = feed(town, who, words.Tick(), machine)
    return town


def check(town: Town) -> None:
    claims = [claim_until(RULES[who], one.state) for who, one in enumerate(town.both)]
    starting = [one.open and not one.frozen and town.now < until for one, until in zip(town.both, claims, strict=True)]
    if all(starting):
        raise Broken("both start handlers")
    if all(one.token is not None and not exempt(one) for one in town.both):
        raise Broken("both run handlers")
    if any(len(one.state.doubtful) > 4 for one in town.both):
        raise Broken("doubts pile up")


def beginning(machine: Any, *, calm: int) -> Town:
    """Two candidates that have just been started; or, after some calm ticks, one of them leads."""
    town = Town()
    for who in (0, 1):
        town = feed(town, who, words.Tick(), machine)
    while calm and (due := [*deliveries(town, machine)] or town.now < calm):
        town = tick(town, machine) if due is True else due[0][1]
    return town


def walk(
    *, faults: int, until: int, kinds: frozenset[str] = FAULTS, calm: int = 0, machine: Any = step
) -> tuple[int, int]:
    """Explore; the states seen and the longest path. Raises `Broken` with a shortest trace to a violation."""
    first = replace(beginning(machine, calm=calm), faults=faults, kinds=kinds)
    came: dict[Town, tuple[Town, str] | None] = {first: None}
    front, depth = [first], 0
    while front:
        depth, following = depth + 1, []
        for town in front:
            try:
                for why, reached in list(deliveries(town, machine)) or list(happenings(town, machine)):
                    if reached.now <= until and reached not in came:
                        came[reached] = (town, why)
                        following.append(reached)
            except Broken as error:
                raise Broken("\n".join([str(error), *story(came, town)])) from None
        for town in following:
            try:
                check(town)
            except Broken as error:
                raise Broken("\n".join([str(error), *story(came, town)])) from None
        front = following
    return len(came), depth


def story(came: dict[Town, tuple[Town, str] | None], town: Town) -> list[str]:
    lines: list[str] = []
    while (origin := came[town]) is not None:
        lines.append(f"{origin[0].now:3} {origin[1]}")
        town = origin[0]
    return lines[::-1]


PLANS = [
    ("start", 1, 9, FAULTS, 0),
    ("cut off and deleted", 2, 9, frozenset({"cut", "delete"}), 1),
    ("frozen and edited", 2, 9, frozenset({"freeze", "edit"}), 1),
    ("late and cut off", 2, 9, frozenset({"late", "cut"}), 1),
    ("late and deleted", 2, 9, frozenset({"late", "delete"}), 1),
]


@pytest.mark.parametrize(("faults", "until", "kinds", "calm"), [plan[1:] for plan in PLANS], ids=[p[0] for p in PLANS])
def test_no_interleaving_breaks_the_claim(faults: int, until: int, kinds: frozenset[str], calm: int) -> None:
    """No two gates are open, no two run, nothing is released under work, tokens grow, one write is in flight."""
    states, depth = walk(faults=faults, until=until, kinds=kinds, calm=calm)
    print(f"{faults} faults of {sorted(kinds)}, {until} ticks: {states} states, depth {depth}")
    assert states > 1000


@pytest.mark.parametrize(("flaw", "plan"), [("own name is own term", 2), ("creating starts", 1)])
def test_the_walk_finds_flaws(flaw: str, plan: int) -> None:
    """A machine with a flaw does not survive it."""
    _, faults, until, kinds, calm = PLANS[plan]
    with pytest.raises(Broken, match="both"):
        walk(faults=faults, until=until, kinds=kinds, calm=calm, machine=mutants()[flaw])
