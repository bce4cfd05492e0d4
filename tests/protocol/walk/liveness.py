"""From a world, with all faults over: how long until somebody leads."""

from collections.abc import Callable
from math import inf
from typing import Any

from tests.protocol.walk import faults, network, passing
from tests.protocol.walk.ground import Ground
from tests.protocol.walk.values import Broken, World


class Liveness:
    """Heals a world and lets it go on in one order; what was learnt about worlds on the way is remembered."""

    def __init__(self, ground: Ground, key: Callable[[World], Any]) -> None:
        self.ground, self.key = ground, key
        self.known: dict[int, float] = {}
        self.asked = 0
        self.slowest = 0.0

    def ask(self, world: World) -> float:
        """The way to a leader, in lease_durations. Raises Broken if there is none within the plan's bound."""
        self.asked += 1
        healed = self.healed(world)
        path: list[tuple[int, float]] = []
        now, left = healed, 0.0
        limit = 4 * self.ground.longest
        while not self.led(now):
            key = hash(self.key(now))
            if key in self.known:
                left = self.known[key]
                break
            path.append((key, now.now))
            if now.now - healed.now > limit:
                raise Broken("I5", "nobody leads, and nobody ever will")
            now = self.onward(now)
        for key, moment in path:
            self.known[key] = now.now + left - moment
        took = (now.now + left - healed.now) / self.ground.longest
        self.slowest = max(self.slowest, took)
        if took > self.ground.plan.bound + 1e-6:
            raise Broken("I5", f"a leader comes only after {took:.2f} lease_durations")
        return took

    def onward(self, world: World) -> World:
        """The next move where nothing goes wrong."""
        busy = next(network.deliveries(self.ground, world._replace(faults=0)), None)
        if busy is not None:
            return busy[1]
        for who, one in enumerate(world.procs):
            if not one.alive:
                return next(faults.mended(self.ground, world, who))[1]
            if one.token is not None and not one.open and not one.stuck:
                return network.drained(self.ground, world, who)
        return passing.advance(self.ground, world)

    def led(self, world: World) -> bool:
        """Whether somebody may start handlers."""
        return any(
            one.alive and one.open and self.ground.local(who, world.now) < self.ground.claim(who, one.state)
            for who, one in enumerate(world.procs)
        )

    def healed(self, world: World) -> World:
        """Nothing goes wrong any more: what is on the wire is lost, and what was given up on it is over."""
        ground = self.ground
        world = world._replace(faults=0, late=())
        for who in range(len(world.procs)):
            for _ in range(6):  # as many things as may be wrong with one process
                mend = next(faults.mended(ground, world, who), None)
                if mend is None:
                    break
                world = mend[1]
            one = world.procs[who]
            slow = tuple(each._replace(until=ground.local(who, world.now)) for each in one.slow)
            due = (
                ground.local(who, world.now)
                if one.waiting is not None and one.sending is None and one.due < inf
                else one.due
            )
            deaf = network.watch_anew(one, ground.local(who, world.now)) if one.watch == "deaf" else one
            world = network.put(world, who, deaf._replace(slow=slow if deaf is one else deaf.slow, due=due))
            if world.procs[who].alive:
                world = passing.look(ground, world, who)
        if world.lease is not None and ground.book[world.lease].asks.hold is not None:
            world = next(after for why, after in faults.happenings(ground, world) if why == "hold taken away")
        return world
