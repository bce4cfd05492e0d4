"""What happens at once: requests arrive and are answered, answers and news are read. Time stands still meanwhile."""

from collections.abc import Iterator
from dataclasses import replace
from math import inf

from kopf_leader.protocol import state as words
from kopf_leader.protocol.record import HOLD, OVER, PRIORITY, TRANSFER_TO, Asks, Sight
from kopf_leader.protocol.state import Kind
from tests.protocol.walk.ground import Ground
from tests.protocol.walk.values import Ask, Broken, Parcel, Process, Slow, World

MOST_NEWS = 4
ASK_AGAIN, WATCH_AGAIN = -1, -2  # what follows when the answer to a read does not come

Moves = Iterator[tuple[str, World]]


def deliveries(ground: Ground, world: World) -> Moves:
    """Everything that is due now, each as a move of its own; time goes on when there is nothing left."""
    for who, one in enumerate(world.procs):
        name = "abc"[who]
        if one.sending is not None and not one.cut:
            yield from sent(ground, world, who, one.sending)
        if one.frozen or not one.alive:
            continue
        for mail in dict.fromkeys(one.mail):
            yield f"{name} <- {ground.book[mail].__class__.__name__}", told(ground, world, who, mail)
        if one.news and one.watch == "open":
            yield f"{name} <- watch", hears(ground, world, who)
        if not one.cut:
            for ask in one.asked:
                yield f"{name} reads", served(ground, world, who, ask.watch)
                if world.faults and "slow read" in ground.plan.kinds:
                    yield f"{name} reads, ANSWER SLOW OR LOST", read_slowly(ground, world, who, ask.watch)
        if one.token is not None and not one.open and one.cancel_at <= ground.local(who, world.now) and not one.stuck:
            yield f"{name} cancelled", drained(ground, world, who)
            if world.faults and "stuck" in ground.plan.kinds:
                yield f"{name} cancelled, STUCK", put(fault(world), who, one._replace(stuck=True))


def sent(ground: Ground, world: World, who: int, parcel: int) -> Moves:
    """A request arrives and is answered, or one of the two goes wrong."""
    name, kinds = f"{'abc'[who]} {ground.book[parcel].write.kind.value}", ground.plan.kinds
    one = world.procs[who]
    write = ground.book[parcel].write
    landed, answer = land(ground, put(world, who, one._replace(sending=None)), parcel)
    after = landed.procs[who]
    if one.waiting != parcel or not one.alive:
        yield f"{name} lands", landed
        return
    yield f"{name} lands", answered(landed, who, answer)
    if not world.faults:
        return
    lost = put(fault(world), who, one._replace(sending=None))
    struck = fault(landed)
    if "slow reply" in kinds:
        slow = Slow(answer, one.due, ground.book.put(words.Unknown(write)))
        yield f"{name} lands, REPLY SLOW OR LOST", put(struck, who, after._replace(slow=(*after.slow, slow), due=inf))
    if "late" in kinds:
        yield f"{name} IS LATE OR LOST", lost._replace(late=(*world.late, (who, one.life, parcel)))
    if "reset" in kinds:
        unknown = ground.book.put(words.Unknown(write))
        yield f"{name} lands, CONNECTION RESET", answered(struck, who, unknown)
        yield f"{name} CONNECTION RESET", answered(lost, who, unknown)
    if "twice" in kinds and isinstance(ground.book[answer], words.Accepted):
        yield f"{name} lands, ITS SECOND COPY IS REFUSED", answered(struck, who, ground.book.put(words.Rejected(write)))
    if "429" in kinds:
        until = ground.local(who, world.now) + ground.settings[who].lease_duration
        rejected = ground.book.put(words.Rejected(write))
        slow = Slow(rejected, until, rejected)
        refused = lost.procs[who]
        yield f"{name} 429, RETRY LATER", put(lost, who, refused._replace(slow=(*refused.slow, slow), due=inf))


def fault(world: World) -> World:
    """One fault less may still happen."""
    return world._replace(faults=world.faults - 1)


def put(world: World, who: int, one: Process) -> World:
    """The world with another process in this place."""
    procs = list(world.procs)
    procs[who] = one
    return world._replace(procs=tuple(procs))


def answered(world: World, who: int, answer: int) -> World:
    """An answer has arrived, and is not read yet."""
    one = world.procs[who]
    return put(world, who, one._replace(mail=(*one.mail, answer), due=inf))


def told(ground: Ground, world: World, who: int, mail: int) -> World:
    """A process reads an answer."""
    one = world.procs[who]
    rest = list(one.mail)
    rest.remove(mail)
    event = ground.book[mail]
    outcome = isinstance(event, words.Accepted | words.Rejected | words.Unknown | words.Denied)
    waiting = None if outcome else one.waiting
    return ground.feed(put(world, who, one._replace(mail=tuple(rest), waiting=waiting)), who, mail)


def hears(ground: Ground, world: World, who: int) -> World:
    """A process reads the next event of its watch."""
    one = world.procs[who]
    return ground.feed(put(world, who, one._replace(news=one.news[1:])), who, one.news[0])


def seen(ground: Ground, world: World, sent_at: float) -> int:
    """What a read says now."""
    if world.lease is None:
        return ground.book.put(words.Absent(sent_at=sent_at))
    return ground.book.put(words.Seen(ground.book[world.lease], sent_at))


def served(ground: Ground, world: World, who: int, watch: bool) -> World:
    """A read is answered at once; a watch goes on from there."""
    one = world.procs[who]
    ask = next(ask for ask in one.asked if ask.watch == watch)
    return ground.feed(put(world, who, _begun(ground, world, who, watch)), who, seen(ground, world, ask.sent_at))


def read_slowly(ground: Ground, world: World, who: int, watch: bool) -> World:
    """A read is served now, and its answer comes later, or never: then it is sent again."""
    one = world.procs[who]
    ask = next(ask for ask in one.asked if ask.watch == watch)
    until = ask.sent_at + ground.settings[who].attempt_timeout
    begun, then = _begun(ground, world, who, watch), ASK_AGAIN
    if watch:
        begun, then = (begun, None) if begun.watch == "polling" else (begun._replace(watch="pending"), WATCH_AGAIN)
    slow = Slow(seen(ground, world, ask.sent_at), until, then)
    return put(fault(world), who, begun._replace(slow=(*begun.slow, slow)))


def _begun(ground: Ground, world: World, who: int, watch: bool) -> Process:
    one = world.procs[who]
    one = one._replace(asked=tuple(ask for ask in one.asked if ask.watch != watch))
    if not watch:
        return one
    if one.broken:
        retry = ground.settings[who].retry_period
        return one._replace(watch="polling", poll_at=ground.local(who, world.now) + retry)
    return one._replace(watch="open", news=_replayed(ground, world), poll_at=inf)


def _replayed(ground: Ground, world: World) -> tuple[int, ...]:
    """For proofs of death a watch begins before the holder's write: that one change is remembered, no earlier ones."""
    lease: Sight | None = None if world.lease is None else ground.book[world.lease]
    if lease is None or lease.over is None or lease.over != world.before:
        return ()
    return (ground.book.put(words.Seen(lease, after=world.before)),)


def drained(ground: Ground, world: World, who: int) -> World:
    """Nothing of its term runs any more."""
    one = world.procs[who]
    assert one.token is not None
    ended = one._replace(token=None, cancel_at=inf, excused=False, waking=False, stuck=False, open=False)
    return ground.feed(put(world, who, ended), who, ground.book.put(words.Drained(one.token)))


def store(ground: Ground, world: World, lease: Sight | None) -> World:
    """The Lease changes, and whoever watches will be told; it gets a new version."""
    version = world.version + 1
    number = before = None
    if ground.plan.evidence and world.lease is not None:
        before = ground.book[world.lease].version
    if lease is None:
        event = ground.book.put(words.Absent(version=version))
    else:
        lease = replace(lease, version=version, lease=raw(lease.asks, lease.over))
        number = ground.book.put(lease)
        event = ground.book.put(words.Seen(lease, after=before))
    past = world.past
    if "put back" in ground.plan.kinds and world.lease is not None:
        past = (*(each for each in past if each != world.lease), world.lease)[-3:]
    procs = tuple(_will_hear(one, event, ground.local(who, world.now)) for who, one in enumerate(world.procs))
    return world._replace(lease=number, version=version, procs=procs, past=past, before=before)


def raw(asks: Asks, over: int | None) -> dict[str, dict[str, dict[str, str]]]:
    """The annotations of an object, for the next PUT to keep."""
    annotations = {}
    if asks.transfer_to:
        annotations[TRANSFER_TO] = asks.transfer_to
    if asks.hold is not None:
        annotations[HOLD] = asks.hold
    if asks.priority:
        annotations[PRIORITY] = str(asks.priority)
    if over is not None:
        annotations[OVER] = str(over)
    return {"metadata": {"annotations": annotations}}


def _will_hear(one: Process, event: int, at: float) -> Process:
    if not one.alive or one.cut or one.watch not in ("open", "slow", "pending"):
        return one
    if len(one.news) == MOST_NEWS:
        return watch_anew(one, at)  # the API server closes the watch of whoever does not read
    return one._replace(news=(*one.news, event))


def watch_anew(one: Process, at: float) -> Process:
    """Its watch has ended: the driver reads, and watches from there."""
    slow = tuple(each for each in one.slow if each.then != WATCH_AGAIN)
    asked = (*(ask for ask in one.asked if not ask.watch), Ask(at, watch=True))
    return one._replace(watch="opening", news=(), poll_at=inf, slow=slow, asked=asked)


def land(ground: Ground, world: World, parcel: int) -> tuple[World, int]:
    """The API server takes a write: for this very version of this very object, or it refuses."""
    sent_: Parcel = ground.book[parcel]
    write = sent_.write
    have: Sight | None = None if world.lease is None else ground.book[world.lease]
    if have is None:
        good = write.base is None or sent_.uid is None  # without a uid it creates (D6)
    else:
        good = write.base is not None and sent_.uid in (None, have.uid) and sent_.version == str(have.version)
    if not good:
        return world, ground.book.put(words.Rejected(write))
    if write.kind is Kind.RELEASE and any(at_work(one) for one in world.procs):
        raise Broken("L13", "the Lease is released under work")
    if have is None and write.base is not None:
        raise Broken("L1", "a PUT creates the deleted Lease anew")
    uid = have.uid if have is not None else f"u{world.version + 1}"
    stored = Sight(version=0, uid=uid, record=sent_.record, asks=sent_.asks, over=sent_.over)
    world = store(ground, world, stored)
    assert world.lease is not None
    return world, ground.book.put(words.Accepted(write, ground.book[world.lease]))


def at_work(one: Process) -> bool:
    """Whether handlers run in it, and nothing excuses that."""
    return one.token is not None and not (one.frozen or one.waking or one.excused)
