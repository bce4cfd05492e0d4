"""The faults, each with its purpose, and how they are mended. Those of a single message stand in `network`."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from math import inf

from kopf_leader.protocol import state as words
from kopf_leader.protocol.record import RELEASED_DURATION, Asks, LeaseRecord, Sight
from tests.protocol.walk.ground import Ground, gone
from tests.protocol.walk.network import Moves, answered, drained, fault, hears, land, put, store, told, watch_anew
from tests.protocol.walk.passing import advance, expire
from tests.protocol.walk.values import STRANGER, Ask, Process, World


def happenings(ground: Ground, world: World) -> Moves:
    """What may happen while the network has nothing to do: something is mended, or time goes on."""
    for who in range(len(world.procs)):
        yield from mended(ground, world, who)
    if world.lease is not None and ground.book[world.lease].asks.hold is not None:
        lease = ground.book[world.lease]
        yield "hold taken away", store(ground, world, replace(lease, asks=replace(lease.asks, hold=None)))
    yield "time", advance(ground, world)


def late(ground: Ground, world: World) -> Moves:
    """Requests given up long ago arrive, slow answers and news come, handlers end."""
    for each in world.late:
        who, life, parcel = each
        landed, answer = land(ground, world._replace(late=tuple(x for x in world.late if x != each)), parcel)
        one = landed.procs[who]
        if one.life == life and one.waiting == parcel and one.due < inf:
            landed = answered(landed, who, answer)
        yield f"a late {ground.book[parcel].write.kind.value} of {'abc'[who]} lands", landed
    for who, one in enumerate(world.procs):
        name = "abc"[who]
        if not one.alive or one.frozen:
            continue
        if not one.cut:
            for slow in one.slow:
                yield f"{name} <- late {type(ground.book[slow.event]).__name__}", _comes(ground, world, who, one, slow)
        if one.news and one.watch == "slow":
            yield f"{name} <- old news", hears(ground, world, who)
        if one.token is not None and not one.open and not one.stuck:
            yield f"{name} has finished", drained(ground, world, who)
            if world.faults and "stuck" in ground.plan.kinds:
                yield f"{name}'s HANDLERS ARE STUCK", put(fault(world), who, one._replace(stuck=True))
        if ground.plan.evidence:
            yield from proofs(ground, world, who)


def proofs(ground: Ground, world: World, who: int) -> Moves:
    """A process learns that the holder it sees is dead: in its mail, to be read now or later, after other news."""
    one, state = world.procs[who], ground.book[world.procs[who].state]
    if state.sight is None or not is_dead(ground, world, state.sight.record.holder):
        return
    tenure = words.tenure_of(state.sight)
    proof = ground.book.put(words.Dead(tenure))
    if state.dead != tenure and proof not in one.mail:
        yield (
            f"{'abc'[who]} is told of the death of {tenure.holder}",
            put(world, who, one._replace(mail=(*one.mail, proof))),
        )


def is_dead(ground: Ground, world: World, holder: str) -> bool:
    """Whether the process of this identity is no more; where the source is wrong: whether it is out of sight."""
    for who, one in enumerate(world.procs):
        if holder == ground.rules(who, one.life).identity:
            return not one.alive or (ground.plan.evidence == "gone" and (one.cut or one.frozen))
        if any(holder == ground.rules(who, life).identity for life in range(one.life)):
            return True
    return False


def _comes(ground: Ground, world: World, who: int, one: Process, slow: object) -> World:
    watch = "open" if one.watch == "pending" and slow.then == -2 else one.watch
    one = one._replace(
        slow=tuple(each for each in one.slow if each is not slow), watch=watch, mail=(*one.mail, slow.event)
    )
    return told(ground, put(world, who, one), who, slow.event)


def mended(ground: Ground, world: World, who: int) -> Moves:
    """A process comes back from what befell it."""
    one, name = world.procs[who], "abc"[who]
    at = ground.local(who, world.now)
    if not one.alive:
        if ground.plan.restarts and one.sending is None:
            new = ground.newborn(who)._replace(life=one.life + 1)
            yield f"{name} starts again", ground.feed(put(world, who, new), who, ground.book.put(words.Tick()))
        return
    if one.frozen:
        thawed = one._replace(frozen=False, waking=one.token is not None)
        thawed = thawed._replace(asked=tuple(Ask(at, ask.watch) for ask in thawed.asked))
        thawing = expire(ground, put(world, who, thawed), who)
        yield f"{name} THAWS", awake(ground.feed(thawing, who, ground.book.put(words.Tick())), who)
        now = thawing.procs[who]
        for mail in dict.fromkeys(now.mail):
            yield f"{name} thaws, mail first", awake(told(ground, thawing, who, mail), who)
        if now.news and now.watch == "open":
            yield f"{name} thaws, news first", awake(hears(ground, thawing, who), who)
        return
    if one.cut:
        yield f"{name} is back", put(world, who, back(one, at))
    if one.denied:
        yield f"{name} may write again", put(world, who, one._replace(denied=False))
    if one.broken:
        yield f"{name}'s watch can be had", put(world, who, one._replace(broken=False))
    if one.watch == "slow":
        yield f"{name}'s watch is quick again", put(world, who, one._replace(watch="open"))


def awake(world: World, who: int) -> World:
    """It has looked: what runs is exempt only while the gate is closed, for the blink that it has to show it."""
    one = world.procs[who]
    return put(world, who, one._replace(waking=False)) if one.open else world


def back(one: Process, at: float) -> Process:
    """The network works again for it: reads are sent anew, and the watch as well."""
    again = tuple(Ask(at, ask.watch) for ask in one.asked)
    one = one._replace(cut=False, asked=again)
    return one if one.watch in ("opening", "polling", "shut") else watch_anew(one, at)


# The faults. Each yields the worlds that it can lead to; a fault less is counted by `strike`.


def cut(ground: Ground, world: World, who: int) -> Moves:
    """Half-open: who holds must stop by its clock alone."""
    one = world.procs[who]
    if not one.cut:
        yield "IS CUT OFF", put(world, who, one._replace(cut=True, news=()))


def freeze(ground: Ground, world: World, who: int) -> Moves:
    """SIGSTOP or a paused virtual machine: it wakes with an old view, and may read its mail before the clock."""
    one = world.procs[who]
    if not one.frozen:
        yield "FREEZES", put(world, who, one._replace(frozen=True))


def crash(ground: Ground, world: World, who: int) -> Moves:
    """Kill -9: what it had sent arrives all the same, or has never left."""
    one = world.procs[who]
    yield "CRASHES", put(world, who, gone(one))
    if one.sending is not None:
        yield "CRASHES, its request never left", put(world, who, gone(one)._replace(sending=None))


def deny(ground: Ground, world: World, who: int) -> Moves:
    """401 or 403 to every write: it must step down although it sees its hold."""
    one = world.procs[who]
    if not one.denied:
        yield "MAY NOT WRITE", put(world, who, one._replace(denied=True))


def slow_watch(ground: Ground, world: World, who: int) -> Moves:
    """Old news: what is decided on them must be refused by version."""
    one = world.procs[who]
    if one.watch == "open":
        yield "HAS A SLOW WATCH", put(world, who, one._replace(watch="slow"))


def deaf_watch(ground: Ground, world: World, who: int) -> Moves:
    """No news and no error: a silent watch proves nothing (L16)."""
    one = world.procs[who]
    if one.watch in ("open", "slow"):
        yield "HAS A DEAF WATCH", put(world, who, one._replace(watch="deaf", news=()))


def broken_watch(ground: Ground, world: World, who: int) -> Moves:
    """Only polling is left (L17)."""
    one = world.procs[who]
    if one.watch in ("open", "slow", "deaf") and not one.broken:
        poll_at = ground.local(who, world.now) + ground.settings[who].retry_period
        yield "HAS TO POLL", put(world, who, one._replace(watch="polling", broken=True, news=(), poll_at=poll_at))


def resign(ground: Ground, world: World, who: int) -> Moves:
    """Asked to step down: it stands back, and stands again."""
    if not world.procs[who].frozen:
        yield "RESIGNS", ground.feed(world, who, ground.book.put(words.Resign()))


def leave(ground: Ground, world: World, who: int) -> Moves:
    """SIGTERM at any moment: nothing stays behind (L15)."""
    if not world.procs[who].frozen:
        yield "LEAVES", ground.feed(world, who, ground.book.put(words.Resign(leave=True)))


# Faults of the Lease.


def delete(ground: Ground, world: World, lease: Sight) -> Moves:
    """Kubectl delete: the versions that refuse old views are gone with it."""
    yield "DELETED", store(ground, world, None)


def label(ground: Ground, world: World, lease: Sight) -> Moves:
    """Kubectl label: the version moves, the record does not."""
    yield "LABELLED", store(ground, world, lease)


def name(ground: Ground, world: World, lease: Sight) -> Moves:
    """Its holder is edited: to a stranger, to a candidate (a clash), to nobody; the duration stays."""
    if not lease.record.holder:
        return
    living = [ground.rules(who, one.life).identity for who, one in enumerate(world.procs)]
    for holder in dict.fromkeys([STRANGER, "", *living]):
        if holder != lease.record.holder:
            yield f"EDITED to {holder!r}", _edited(ground, world, lease, replace(lease.record, holder=holder))


def shorten(ground: Ground, world: World, lease: Sight) -> Moves:
    """Its duration is edited, down to a second or away: whoever works under it does not know."""
    for duration in (RELEASED_DURATION, None):
        if lease.record.holder and lease.record.duration != duration:
            record = replace(lease.record, duration=duration)
            yield f"EDITED to {duration} s", _edited(ground, world, lease, record)


def transfer(ground: Ground, world: World, lease: Sight) -> Moves:
    """An annotation asks for another leader."""
    for target in ("*", *(ground.rules(who, one.life).identity for who, one in enumerate(world.procs))):
        if lease.asks.transfer_to != target:
            yield (
                f"ASKED FOR {target}",
                store(ground, world, replace(lease, asks=replace(lease.asks, transfer_to=target))),
            )


def hold(ground: Ground, world: World, lease: Sight) -> Moves:
    """An annotation asks for no leader at all."""
    if lease.asks.hold is None:
        yield "ASKED FOR NOBODY", store(ground, world, replace(lease, asks=replace(lease.asks, hold="maintenance")))


def put_back(ground: Ground, world: World, lease: Sight | None) -> Moves:
    """An earlier content comes back, from a saved manifest: who wrote it may take it for its own hold."""
    for number in world.past:
        old: Sight = ground.book[number]
        if lease is None or (old.uid, old.record) != (lease.uid, lease.record):
            uid = f"u{world.version + 1}" if lease is None else lease.uid
            yield (
                f"PUT BACK to version {old.version}",
                store(ground, nobody_leads(ground, world, old), replace(old, uid=uid)),
            )


def forge(ground: Ground, world: World, lease: Sight | None) -> Moves:
    """Emptied, made to look released, or created empty while a leader works: the claim leaves this out."""
    uid = f"u{world.version + 1}" if lease is None else lease.uid
    for record in (LeaseRecord(), LeaseRecord(duration=RELEASED_DURATION)):
        if lease is None or lease.record != record:
            sight = Sight(version=0, uid=uid, record=record, asks=Asks())
            yield "EMPTIED" if record.empty else "FORGED", store(ground, nobody_leads(ground, world, sight), sight)


def _edited(ground: Ground, world: World, lease: Sight, record: LeaseRecord) -> World:
    edited = replace(lease, record=record)
    return store(ground, nobody_leads(ground, world, edited), edited)


def nobody_leads(ground: Ground, world: World, says: Sight) -> World:
    """The exception to the claim: a record that says so excuses who is at work then, or about to be."""
    if not (says.record.released or says.record.empty):
        return world
    holder = None if world.lease is None else ground.book[world.lease].record.holder
    procs = list(world.procs)
    for who, one in enumerate(procs):
        if one.token is not None or (one.alive and ground.rules(who, one.life).identity == holder):
            procs[who] = one._replace(excused=True)
    return world._replace(procs=tuple(procs))


PROCESS: Mapping[str, Callable[[Ground, World, int], Moves]] = {
    "cut": cut, "freeze": freeze, "crash": crash, "deny": deny, "slow watch": slow_watch, "deaf watch": deaf_watch,
    "broken watch": broken_watch, "resign": resign, "leave": leave,
}  # fmt: skip
RIVALS = frozenset({"cut", "crash"})
"""What befalls client-go's candidates, too: its freezes and its release are not modelled."""
LEASE: Mapping[str, Callable[[Ground, World, Sight], Moves]] = {
    "delete": delete, "label": label, "name": name, "shorten": shorten, "transfer": transfer, "hold": hold,
}  # fmt: skip
ANY_LEASE: Mapping[str, Callable[[Ground, World, Sight | None], Moves]] = {"put back": put_back, "forge": forge}
MESSAGE: Mapping[str, str] = {
    "slow reply": "A write is done, and its answer comes later than news of it, or never.",
    "late": "A write arrives at any later time, however long ago it was given up, or never.",
    "reset": "A connection breaks before or after the write was done.",
    "twice": "A refusal hides that a first copy has landed.",
    "429": "A refusal that asks to wait, for as long as a whole lease.",
    "slow read": "An answer to a read shows the past, or never comes.",
    "stuck": "A handler neither ends nor obeys: the exit point is all that is left.",
}
FAULTS = frozenset({*PROCESS, *LEASE, *ANY_LEASE, *MESSAGE})


def strike(ground: Ground, world: World) -> Moves:
    """Every fault that may happen now."""
    if not world.faults:
        return
    kinds = ground.plan.kinds
    for kind, befalls in PROCESS.items():
        if kind in kinds:
            for who, one in enumerate(world.procs):
                if one.alive and (kind in RIVALS or who not in ground.plan.clientgo):
                    for why, struck in befalls(ground, world, who):
                        yield f"{'abc'[who]} {why}", fault(struck)
    lease = None if world.lease is None else ground.book[world.lease]
    for kind, changes in LEASE.items():
        if kind in kinds and lease is not None:
            for why, struck in changes(ground, world, lease):
                yield why, fault(struck)
    for kind, remakes in ANY_LEASE.items():
        if kind in kinds:
            for why, struck in remakes(ground, world, lease):
                yield why, fault(struck)
