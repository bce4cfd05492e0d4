"""What time does: it goes on to the next moment at which a timer goes off, or anything may happen."""

from collections.abc import Iterator

from kopf_leader.protocol import state as words
from tests.protocol.walk.ground import Ground
from tests.protocol.walk.network import ASK_AGAIN, WATCH_AGAIN, answered, put, watch_anew
from tests.protocol.walk.values import Ask, Process, World

EPSILON = 1e-6


def advance(ground: Ground, world: World) -> World:
    """The next moment; processes look at their clocks before they read their mail."""
    moment = min(_moments(ground, world), default=ground.tick_after(world.now))
    world = world._replace(now=moment)
    for who, one in enumerate(world.procs):
        if one.alive and not one.frozen:
            world = look(ground, world, who)
    return world


def _moments(ground: Ground, world: World) -> Iterator[float]:
    yield ground.tick_after(world.now + EPSILON)
    for who, one in enumerate(world.procs):
        if not one.alive or one.frozen:
            continue
        at = ground.local(who, world.now)
        times = [one.wake_at, one.due, one.poll_at, *(slow.until for slow in one.slow)]
        if one.token is not None and not one.open and not one.stuck:
            times.append(one.cancel_at)
        yield from (ground.true(who, time) for time in times if time > at + EPSILON)


def look(ground: Ground, world: World, who: int) -> World:
    """A process looks at its clock: what it has waited for too long is given up, what is due is done."""
    world = expire(ground, world, who)
    at = ground.local(who, world.now)
    if world.procs[who].wake_at <= at + EPSILON:
        world = ground.feed(world, who, ground.book.put(words.Tick()))
    return world


def expire(ground: Ground, world: World, who: int) -> World:
    """Time-outs of requests, and polls."""
    one = world.procs[who]
    at = ground.local(who, world.now) + EPSILON
    if one.waiting is not None and one.due <= at:
        unknown = ground.book.put(words.Unknown(ground.book[one.waiting].write))
        world = answered(put(world, who, one._replace(sending=None)), who, unknown)
        one = world.procs[who]
    for slow in one.slow:
        if slow.until <= at:
            one = _given_up(one, slow.then, at - EPSILON, slow)
    if one.poll_at <= at:
        one = watch_anew(one, at - EPSILON)
    return put(world, who, one)


def _given_up(one: Process, then: int | None, at: float, slow: object) -> Process:
    one = one._replace(slow=tuple(each for each in one.slow if each is not slow))
    if then == WATCH_AGAIN:
        return watch_anew(one, at)
    if then == ASK_AGAIN:
        return one._replace(asked=(*one.asked, Ask(at, watch=False)))
    return one if then is None else one._replace(mail=(*one.mail, then))
