"""Which worlds are the same: those that differ only in names have one future.

Names are the time (all of it is relative, and what is longer ago than the longest duration is just long ago), the
resourceVersions (only their order counts), the uids, the renewTimes and the holders (only whether they are equal), and
which of several equal candidates is called a. `acquireTime` and `leaseTransitions` are left out: nothing but equality
is asked of them, and two records with one renewTime do not differ in them (but where deaths can be proved: there the
transitions are told as they are). So is what the machine keeps and can no
longer use: points that have passed, a pace that is over. Folding two worlds that do have different futures would hide
one of them; `test_folding` walks small plans with and without it.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import fields
from math import inf
from typing import Any, NamedTuple

from kopf_leader.protocol import state as words
from kopf_leader.protocol.record import LeaseRecord, Sight
from kopf_leader.protocol.state import Kind, State, Wish, Write
from tests.protocol.walk.clientgo import GoState
from tests.protocol.walk.ground import Ground
from tests.protocol.walk.values import Parcel, Process, World

MOST_LOCALS = 1_000_000
_COUNT = range(10_000)


class Local(NamedTuple):
    """One part of a world without names, and its names: each once, in the order in which they occur."""

    shape: int
    versions: tuple[int, ...]
    """In ascending order."""
    stamps: tuple[str | None, ...]
    uids: tuple[str, ...]
    holders: tuple[str, ...]


class Ink:
    """Writes values down: what they are on the one side, the names in them on the other."""

    def __init__(self, at: float, longest: float, *, terms: bool = False) -> None:
        self.at, self.oldest, self.terms = at, -longest - 1, terms
        self.marks: list[Any] = []
        self.versions: list[int] = []
        self.stamps: list[str | None] = []
        self.uids: list[str] = []
        self.holders: list[str] = []

    def time(self, at: float | None, *, oldest: float | None = None) -> None:
        if at is None or at in (inf, -inf):
            self.marks.append(at)
        else:
            self.marks.append(round(max(at - self.at, self.oldest if oldest is None else oldest), 4))

    def version(self, version: int | None) -> None:
        self.marks.append(version is None)
        if version is not None:
            self.versions.append(version)

    def record(self, record: LeaseRecord) -> None:
        self.marks.append((record.duration, not record.holder, record.renew_time is None))
        self.holders.append(record.holder)
        self.stamps.append(record.renew_time)
        if self.terms:
            self.marks.append(record.transitions)

    def sight(self, sight: Sight | None) -> None:
        if sight is None:
            self.marks.append("absent")
            return
        self.record(sight.record)
        self.versions.append(sight.version)
        self.version(sight.over)
        self.uids.append(sight.uid)
        asks = sight.asks
        self.marks.append((bool(asks.transfer_to), asks.transfer_to == "*", asks.hold is None, asks.priority))
        self.holders.append(asks.transfer_to)

    def write(self, write: Write | None) -> None:
        if write is None:
            self.marks.append("none")
            return
        self.record(write.record)
        self.marks.append((write.kind, write.base is not None and bool(write.base.record.holder)))
        self.versions.append(write.over)
        self.uids.append("" if write.base is None else write.base.uid)
        self.time(write.sent_at)

    def parcel(self, parcel: Parcel) -> None:
        self.write(parcel.write)
        self.marks.append((parcel.uid is None, parcel.asks.hold is None, parcel.asks.priority))
        self.holders.append(parcel.asks.transfer_to)
        self.version(parcel.over)

    def event(self, event: words.Event) -> None:
        self.marks.append(event.__class__.__name__)
        match event:
            case words.Seen(sight=sight, sent_at=sent_at, after=after):
                self.sight(sight)
                self.time(sent_at)
                self.version(after)
            case words.Absent(version=version, sent_at=sent_at):
                self.version(version)
                self.time(sent_at)
            case words.Accepted(write=write, sight=sight):
                self.write(write)
                self.sight(sight)
            case words.Rejected(write=write) | words.Unknown(write=write) | words.Denied(write=write):
                self.write(write)
            case words.Dead(tenure=tenure):
                self.tenure(tenure)

    def tenure(self, tenure: words.Tenure | None) -> None:
        if tenure is None:
            self.marks.append("nobody's")
            return
        self.marks.append(tenure.transitions)
        self.uids.append(tenure.uid)
        self.holders.append(tenure.holder)

    def state(self, state: State, *, reads: bool, patience: float, remember: bool) -> None:
        self.sight(state.sight)
        self.versions.append(state.version)
        self.marks += (
            state.known,
            state.seen_hold,
            state.longest,
            state.reading,
            state.watching,
            state.over,
            state.wish,
        )
        self.time(state.seen_at)
        self.time(state.changed_at)
        self.time(state.older_since)
        self.time(state.read_after, oldest=None if reads else -1.0)
        self.time(state.denied_since)
        self._passing(state.heir_until, state.stand_back, state.away_until)
        asked_to_go = state.wish is not Wish.STAND and state.reign is None
        self.time(state.leave_by if asked_to_go else None)
        self.write(state.flight)
        self.write(state.refused)
        self.marks.append(len(state.doubtful))
        for write in state.doubtful:
            self.write(write)
        self._pace(state, patience, remember=remember)
        self._term(state)
        if self.terms:
            self.version(None if state.traced is None else state.traced.version)
            self.tenure(None if state.traced is None else state.traced.tenure)
            self.tenure(state.dead)
            self._passing(state.dead_since + patience)

    def _passing(self, *times: float) -> None:
        for time in times:
            self.time(time if time >= self.at else -inf)

    def _pace(self, state: State, patience: float, *, remember: bool) -> None:
        last = state.last_write
        paced = last is not None and last.over == state.version and last.sent_at + patience > self.at
        let_go = last is not None and last.kind is Kind.RELEASE and remember
        if last is None or not (paced or let_go):
            self.marks.append(None)
            return
        self.marks.append((paced, let_go))
        self.time(last.sent_at)

    def _term(self, state: State) -> None:
        hold, reign, closing = state.hold, state.reign, state.closing
        self.marks.append((hold is None, reign is None, closing is None))
        if hold is not None:
            self.write(hold.write)
            self.uids.append(hold.uid)
            self._passing(hold.start_at)
            self.marks.append(hold.token is None)
            if hold.token is not None:
                self.versions.append(hold.token)
        if reign is not None:
            self.versions.append(reign.token)
            self.marks.append((reign.revoked, reign.lapsed))
            self.time(reign.t0)
        if closing is not None:
            self.marks += (closing.reason, closing.exited)
            self.time(closing.cancel_at)
            self.time(closing.exit_at)

    def other(self, state: GoState) -> None:
        for each in fields(state):
            value = getattr(state, each.name)
            if each.name.endswith("_at"):
                self.time(value)
            elif isinstance(value, Sight):
                self.sight(value)
            elif isinstance(value, Write):
                self.write(value)
            elif each.name == "raw":
                self.stamps.append(value)
            elif each.name == "token":
                self.marks.append(value is None)
                self.versions.append(value or 0)
            else:
                self.marks.append(value)


class Fold:
    """Gives each world a key: one for all that are the same."""

    def __init__(self, ground: Ground) -> None:
        self.ground = ground
        self.shapes: dict[Any, int] = {}
        self.locals: dict[tuple[int, Process, float], Local] = {}
        self.sights: dict[int | None, Local] = {}
        self.symmetric = ground.plan.symmetric
        self.remember = any(each.priority for each in ground.settings)
        self.terms = bool(ground.plan.evidence)

    def key(self, world: World) -> tuple[Any, ...]:
        """Without names."""
        ground, now = self.ground, world.now
        parts = [self._local(who, one, now) for who, one in enumerate(world.procs)]
        order: Iterable[int] = range(len(parts))
        if self.symmetric:
            order = sorted(order, key=lambda who: parts[who].shape)
        places = list(order)
        late = [self._late(world, places, each) for each in world.late]
        late.sort(key=lambda pair: pair[0])
        rest = [self._sight(world.lease), *(self._sight(each) for each in world.past), *(part for _, part in late)]
        everything = [parts[who] for who in places] + rest
        versions = {world.tokens, world.version, world.before or 0}
        for part in everything:
            versions.update(part.versions)
        ranks = dict(zip(sorted(versions), _COUNT, strict=False))
        holders = {} if ground.plan.clash else {
            ground.rules(who, world.procs[who].life).identity: -place
            for place, who in enumerate(places) if world.procs[who].alive
        }  # fmt: skip
        stamps: dict[str | None, int] = {}
        uids: dict[str, int] = {}
        key: list[Any] = [round(ground.grid(now), 4), world.faults, ranks[world.tokens], ranks[world.version]]
        key.append(ranks[world.before or 0])
        key += [whose for whose, _ in late]
        for part in everything:
            key.append(part.shape)
            key += map(ranks.__getitem__, part.versions)
            key += [stamps.setdefault(stamp, len(stamps)) for stamp in part.stamps]
            key += [uids.setdefault(uid, len(uids)) for uid in part.uids]
            key += [holders.setdefault(holder, len(holders)) for holder in part.holders]
        return tuple(key)

    def _number(self, shape: Any) -> int:
        return self.shapes.setdefault(shape, len(self.shapes))

    def _made(self, ink: Ink, *more: Any) -> Local:
        versions = tuple(sorted(set(ink.versions)))
        names = [tuple(dict.fromkeys(each)) for each in (ink.stamps, ink.uids, ink.holders)]
        pattern = [tuple(map(versions.index, ink.versions))]
        pattern += [
            tuple(map(once.index, each)) for once, each in zip(names, (ink.stamps, ink.uids, ink.holders), strict=True)
        ]
        shape = self._number((tuple(ink.marks), more, tuple(pattern)))
        return Local(shape, versions, *names)

    def _local(self, who: int, one: Process, now: float) -> Local:
        key = (who, one, now)
        local = self.locals.get(key)
        if local is None:
            if len(self.locals) > MOST_LOCALS:
                self.locals.clear()
            local = self.locals[key] = self._spell(who, one, now)
        return local

    def _spell(self, who: int, one: Process, now: float) -> Local:
        ground, book = self.ground, self.ground.book
        ink = Ink(ground.local(who, now), ground.longest, terms=self.terms)
        place = None if self.symmetric else who
        if not one.alive:
            if one.sending is not None:
                ink.parcel(book[one.sending])
            return self._made(ink, place, "gone", one.sending is None)
        events = [book[number] for number in (*one.mail, *(slow.event for slow in one.slow))]
        reads = bool(one.asked) or any(getattr(event, "sent_at", None) is not None for event in events)
        state = book[one.state]
        settings = ground.settings[who]
        if isinstance(state, State):
            ink.state(state, reads=reads, patience=settings.retry_period, remember=self.remember)
        else:
            ink.other(state)
        ink.time(one.wake_at, oldest=0)
        ink.time(one.due)
        ink.time(one.poll_at)
        ink.time(one.cancel_at if one.token is not None and not one.open else None)
        for ask in one.asked:
            ink.time(ask.sent_at)
        if one.sending is not None:
            ink.parcel(book[one.sending])
        for number in (*one.mail, *one.news):
            ink.event(book[number])
        for slow in one.slow:
            ink.event(book[slow.event])
            ink.time(slow.until)
            if slow.then is not None:
                ink.marks.append(book[slow.then].__class__.__name__ if slow.then >= 0 else slow.then)
        flags = (one.open, one.stuck, one.frozen, one.waking, one.excused, one.cut, one.denied, one.broken, one.watch)
        lengths = (len(one.mail), len(one.news), len(one.slow), tuple(ask.watch for ask in one.asked))
        under_way = (one.token is None, one.sending is None, one.waiting is None, one.sending == one.waiting)
        if one.token is not None:
            ink.versions.append(one.token)
        return self._made(ink, place, flags, lengths, under_way)

    def _sight(self, number: int | None) -> Local:
        local = self.sights.get(number)
        if local is None:
            ink = Ink(0.0, 0.0, terms=self.terms)
            ink.sight(None if number is None else self.ground.book[number])
            local = self.sights[number] = self._made(ink, "sight")
        return local

    def _late(self, world: World, places: list[int], late: tuple[int, int, int]) -> tuple[tuple[int, bool], Local]:
        who, life, parcel = late
        one = world.procs[who]
        waits = one.life == life and one.waiting == parcel and one.due < inf
        ink = Ink(self.ground.local(who, world.now), self.ground.longest, terms=self.terms)
        ink.parcel(self.ground.book[parcel])
        return (places.index(who) if waits else -1, waits), self._made(ink, "late")
