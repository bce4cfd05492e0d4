"""One step of one process, and what the machine asks for. Steps are remembered: worlds share most of them."""

from functools import cache
from math import inf
from typing import Any, NamedTuple

from kopf_leader.protocol import state as words
from kopf_leader.protocol.machine import claim_until, phase, step
from kopf_leader.protocol.record import asks_of, decode, over_of
from kopf_leader.protocol.state import Kind, State
from kopf_leader.protocol.table import TRANSITIONS
from kopf_leader.testing.world import Step
from tests.protocol.walk import clientgo
from tests.protocol.walk.values import Ask, Broken, Parcel, Plan, Process, World

WALL = 1_767_323_000_000_000
MOST_STEPS = 2_000_000  # remembered; then the memory starts anew


class Book:
    """Large values by number: what is equal has one number, and numbers are quick to compare."""

    def __init__(self) -> None:
        self.values: list[Any] = []
        self.numbers: dict[Any, int] = {}

    def put(self, value: Any) -> int:
        number = self.numbers.get(value)
        if number is None:
            number = self.numbers[value] = len(self.values)
            self.values.append(value)
        return number

    def __getitem__(self, number: int) -> Any:
        return self.values[number]


class Taken(NamedTuple):
    """One step: the state after it, and how the process changes by what is to be done."""

    state: int
    todo: tuple[tuple[Any, ...], ...]
    wake_at: float


class Ground:
    """What all worlds of one walk stand on: the plan, the machine, the book, and the steps taken so far."""

    def __init__(self, plan: Plan, machine: Step = step) -> None:
        self.plan, self.machine, self.book = plan, machine, Book()
        self.steps: dict[tuple[Any, ...], Taken] = {}
        self.claims: dict[tuple[int, int], float] = {}
        self.rules = cache(plan.rules)
        self.rates = [plan.rate(who) for who in range(plan.candidates)]
        self.settings = [self.rules(who, 0) for who in range(plan.candidates)]
        self.longest = max(each.lease_duration for each in self.settings)
        self.began: set[str] = set()
        """The kinds of faults that have struck."""

    def local(self, who: int, now: float) -> float:
        """The time on the clock of a process."""
        return now * self.rates[who] if self.rates[who] != 1.0 else now

    def grid(self, now: float) -> float:
        """How long ago the last moment was at which anything might happen, in seconds."""
        return now % self.plan.tick

    def tick_after(self, now: float) -> float:
        """The first moment after this one at which anything may happen."""
        return (now // self.plan.tick + 1) * self.plan.tick

    def true(self, who: int, at: float) -> float:
        """The true time at which a clock shows this."""
        return at / self.rates[who] if self.rates[who] != 1.0 else at

    def claim(self, who: int, state: int) -> float:
        """Until when its term may act, by its own clock."""
        have = self.claims.get((who, state))
        if have is None:
            value, settings = self.book[state], self.settings[who]
            have = claim_until(settings, value) if isinstance(value, State) else clientgo.claim_until(value)
            self.claims[who, state] = have
        return have

    def holds(self, state: int) -> bool:
        """Whether a process holds the Lease, or may have been told so."""
        value = self.book[state]
        return value.flight is not None or (isinstance(value, State) and value.hold is not None)

    def beginning(self) -> World:
        """All processes have just been started."""
        plan = self.plan
        lease = None if plan.lease is None else self.book.put(plan.lease)
        procs = tuple(self.newborn(who) for who in range(plan.candidates))
        world = World(now=0.0, lease=lease, version=10, procs=procs, faults=0)
        for who in range(plan.candidates):
            world = self.feed(world, who, self.book.put(words.Tick()))
        return world

    def newborn(self, who: int) -> Process:
        return Process(self.book.put(clientgo.GoState() if who in self.plan.clientgo else State()))

    def feed(self, world: World, who: int, event: int) -> World:
        """One process is told something, and does what its machine asks for."""
        one = world.procs[who]
        at = self.local(who, world.now)
        taken = self.step(who, one.life, one.state, at, event)
        changes: dict[str, Any] = {"state": taken.state, "wake_at": taken.wake_at}
        tokens = world.tokens
        for action in taken.todo:
            tokens = self._do(one, at, action, changes, tokens)
        if one.excused and changes.get("token", one.token) is None and not self.holds(taken.state):
            changes["excused"] = False
        one = one._replace(**changes)
        procs = list(world.procs)
        procs[who] = one
        return world._replace(procs=tuple(procs), tokens=tokens)

    def _do(self, one: Process, at: float, action: tuple[Any, ...], changes: dict[str, Any], tokens: int) -> int:
        match action:
            case ("send", parcel, kind):
                if changes.get("waiting", one.waiting) is not None:
                    raise Broken("L1", "two writes are in flight")
                if kind is Kind.RELEASE and changes.get("token", one.token) is not None and not one.excused:
                    raise Broken("L12", "a release is sent while handlers run")
                write = self.book[parcel].write
                changes["waiting"] = parcel
                if one.denied:
                    changes["mail"] = (*changes.get("mail", one.mail), self.book.put(words.Denied(write)))
                else:
                    changes["sending"] = parcel
                    changes["due"] = at + self.settings[0].attempt_timeout
            case ("read",):
                asked = changes.get("asked", one.asked)
                changes["asked"] = (*(ask for ask in asked if ask.watch), Ask(at, watch=False))
            case ("watch",):
                asked = changes.get("asked", one.asked)
                changes.update(watch="opening", news=(), poll_at=inf)
                changes["asked"] = (*(ask for ask in asked if not ask.watch), Ask(at, watch=True))
                changes["slow"] = tuple(
                    slow for slow in one.slow if slow.then != -2
                )  # the watch that it was for is gone
            case ("start", token):
                if token <= tokens and not one.excused:
                    raise Broken("L9", f"a term with the token {token} begins after one with {tokens}")
                if changes.get("token", one.token) is not None:
                    raise Broken("L9", "a term begins while another one runs in the process")
                changes.update(token=token, open=True, cancel_at=inf, stuck=False, waking=False)
                return max(token, tokens)
            case ("stop", cancel_at):
                changes.update(open=False, cancel_at=cancel_at)
            case ("gone",):
                changes.update(gone(one)._asdict() | {"state": changes["state"]})
        return tokens

    def step(self, who: int, life: int, state: int, at: float, event: int) -> Taken:
        """The machine's step, or the memory of it."""
        key = (who, life, state, at, event)
        taken = self.steps.get(key)
        if taken is None:
            if len(self.steps) > MOST_STEPS:
                self.steps.clear()
            taken = self.steps[key] = self._step(who, life, state, at, event)
        return taken

    def _step(self, who: int, life: int, state: int, at: float, event: int) -> Taken:
        before, rules = self.book[state], self.rules(who, life)
        now = words.Instant(at, WALL + round(at * 1_000_000) + who + 10 * life)
        if isinstance(before, State):
            after, actions = self.machine(rules, before, now, self.book[event])
            self._looks_right(before, after)
        else:
            after, actions = clientgo.step(rules, before, now, self.book[event])
        wake_at, todo = inf, []
        for action in actions:
            match action:
                case words.WakeAt(at=wake_at):
                    pass
                case words.Send(write=write, body=body):
                    todo.append(("send", self.book.put(_parcel(write, body)), write.kind))
                case words.Read():
                    todo.append(("read",))
                case words.Watch():
                    todo.append(("watch",))
                case words.StartLeading(token=token):
                    todo.append(("start", token))
                case words.StopLeading(cancel_at=cancel_at):
                    todo.append(("stop", cancel_at))
                case words.Exit() | words.Finish():
                    todo.append(("gone",))
        return Taken(self.book.put(after), tuple(todo), wake_at)

    def _looks_right(self, before: State, after: State) -> None:
        """What can be seen from one step alone: the table of phases (the mutants leave it, too), and renewTime."""
        if self.machine is step and (was := phase(before)) is not (now := phase(after)) and now not in TRANSITIONS[was]:
            raise Broken("table", f"the table of phases does not know {was.value} -> {now.value}")
        if after.stamped < before.stamped or (
            after.last_write != before.last_write and after.stamped == before.stamped
        ):
            raise Broken("L2", "renewTime does not grow")
        if len(after.doubtful) > 4 + len(before.doubtful) // 4:
            raise Broken("L4", "doubts pile up")


def gone(one: Process) -> Process:
    """A process that is no more; what is on the wire arrives all the same."""
    return Process(one.state, life=one.life, alive=False, sending=None if one.cut else one.sending)


def _parcel(write: words.Write, body: Any) -> Parcel:
    metadata = body["metadata"]
    return Parcel(
        write=write,
        uid=metadata.get("uid"),
        version=metadata.get("resourceVersion"),
        record=decode(body["spec"]),
        asks=asks_of(metadata.get("annotations")),
        over=over_of(metadata.get("annotations")),
    )
