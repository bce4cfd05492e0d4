"""A list of faults with a purpose each, and schedules of them drawn from a seed."""

import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from random import Random
from typing import Any

from kopf_leader.protocol.machine import step as good
from kopf_leader.testing.candidate import Candidate
from kopf_leader.testing.link import Fate, Link, Work
from kopf_leader.testing.world import EMPTY, Step, World
from tests.protocol.checker import Checker
from tests.protocol.deaths import Coroner, compacted, die, ends, evict, whole_manifest
from tests.protocol.rival import Rival

SETTINGS: list[dict[str, float]] = [
    {},
    {"lease_duration": 6, "renew_deadline": 4, "retry_period": 1, "request_timeout": 2, "drain_timeout": 3},
    {"lease_duration": 3, "renew_deadline": 2, "retry_period": 0.5, "drain_timeout": 1},
    {"lease_duration": 20, "renew_deadline": 8, "retry_period": 2, "drain_timeout": 5},
]


@dataclass
class Play:
    """One world and its faults: the same for the same seed and the same profile."""

    seed: int
    profile: str = "faults"
    step: Step = good
    settings: Sequence[dict[str, float]] = tuple(SETTINGS)
    faults: list[tuple[float, str, str]] = field(default_factory=list)
    exited_at: float = 0.0
    struck_at: float = 0.0
    calm: bool = False

    def __post_init__(self) -> None:
        self.rng = rng = Random(f"{self.profile}-{self.seed}")
        settings = dict(rng.choice(self.settings)) if self.profile != "rivals" else {}
        ghost = {
            "holderIdentity": "ghost",
            "leaseDurationSeconds": 5,
            "renewTime": "2020-01-01T00:00:00.000000Z",
            "acquireTime": None,
            "leaseTransitions": None,
        }
        lease: Any = rng.choice([EMPTY, EMPTY, None, {**ghost}])
        if self.profile == "rivals":
            lease = rng.choice([EMPTY, ghost])
        if self.profile in DEADLY:
            settings["takeover"] = "evidence"
        self.world = World(seed=rng.randrange(1 << 30), lease=lease, step=self.step, **settings)
        self.checker = Checker(self.world, starts_only=self.profile == "rates")
        self.world.observers.append(self._noticed)
        spread = {"rivals": 1.03, "rates": 1.4}.get(self.profile, 1.05)
        if self.profile != "rivals" and settings.get("lease_duration", 0) > 60:  # their ratios are smaller ones
            lease, renew = settings["lease_duration"], settings["renew_deadline"]
            last = renew if self.profile == "rates" else renew + (lease - renew) * 4 / 5
            spread = 1 + 0.9 * (lease / last - 1)
        for name in "abcd"[: rng.choice([2, 2, 3, 4])]:
            low, high = spread**-0.5, spread**0.5
            rate = rng.choice([low, 1.0, high, rng.uniform(low, high)])
            self.world.run_for(rng.choice([0.0, rng.random()]))
            who: dict[str, Any] = {"takeover": "expiry"} if self.profile in DEADLY and rng.random() < 0.1 else {}
            self.world.add(name, rate=rate, work=self._work(), **who)
        self.lease_duration = self.world.candidates["a"].settings.lease_duration
        self.slowest = spread**-0.5
        self.coroner = Coroner(self.world, rng, latest=self.lease_duration) if self.profile in DEADLY else None
        if self.profile == "rivals":
            self.checker.rivals = [Rival(self.world, name) for name in ("go1", "go2")[: rng.choice([1, 2])]]

    def run(self, rounds: int = 3) -> float:
        """Some rounds of faults and quiet; the seconds of virtual time. Raises AssertionError if a law is broken."""
        for _ in range(rounds):
            self.struck_at, self.calm = self.world.now, False
            for _ in range(self.rng.randint(3, 12)):
                self.strike()
                self.world.run_for(self.pause())
            self.quiet()
        return self.world.now

    def strike(self) -> None:
        """One fault, on the leader more often than not."""
        fault = self.rng.choice(PROFILES[self.profile])
        alive = [one for one in self.world.candidates.values() if one.alive]
        if not alive:
            return
        leaders = [one for one in alive if one.state.hold is not None]
        target = self.rng.choice(leaders if leaders and self.rng.random() < 0.6 else alive)
        self.faults.append((self.world.now, fault.__name__, target.name))
        self.world.note(target, "FAULT", fault.__name__)
        fault(self, target)

    def pause(self) -> float:
        """Between two faults: often short, sometimes longer than a lease."""
        rng, lease = self.rng, self.lease_duration
        return rng.choice([0.0, 0.02, rng.random() * 0.2, rng.random() * lease / 3, rng.random() * lease * 1.5])

    def quiet(self) -> None:
        """The faults end; within 1.5 × lease_duration there must be a leader, and it stays."""
        world, self.calm = self.world, True
        for one in world.candidates.values():
            one.thaw()
            one.heal(link=Link(jitter=0.002))
            one.work = Work(finish=self.rng.random())
            if not one.alive:
                one.restart()
        for rival in self.checker.rivals:
            rival.cut = False
        world.run_for(1.3 * world.candidates["a"].settings.attempt_timeout)  # what is still on the wire is a fault
        healed = world.now
        # A deletion that nobody at work has seen costs a whole duration to find out, and one more for L11.
        deleted = any(name.startswith("delete") for moment, name, _ in self.faults if moment >= self.struck_at)
        bound = (2.5 if deleted else 1.5) * self.lease_duration / self.slowest + 0.1
        if self.checker.rivals:
            bound += 2 * 4.4 + 1  # it polls
        while not self.led() and world.now < max(healed, self.exited_at) + bound:
            world.run_for(max(0.05, self.lease_duration / 300))
        if not self.led():
            self.checker.fail("I5", f"no leader {bound:.2f} s after the last fault at {healed:.3f}")
        terms = len(self.checker.terms)
        world.run_for(3 * self.lease_duration)
        if not self.led() or (len(self.checker.terms) != terms and not self.checker.rivals):
            self.checker.fail("I5", "the leader did not stay")

    def led(self) -> bool:
        """Whether anybody leads."""
        return bool(self.world.leaders) or any(rival.running for rival in self.checker.rivals)

    def later(self, happen: Callable[[], None], *, within: float | None = None) -> None:
        """Undo a fault at some time, often after the lease has run out."""
        span = within if within is not None else self.lease_duration * 1.6
        self.world.clock.after(self.rng.random() * span, happen, rank=2)

    def _work(self) -> Work:
        rng = self.rng
        finish = rng.choice([0.0, rng.random(), rng.uniform(0, 20), 3600.0])
        return Work(finish=finish, obey=rng.choice([0.0, rng.random(), float("inf")]))

    def _noticed(self, candidate: Candidate, what: str, detail: Any) -> None:
        if what == "gone" and detail in ("exit", "finished"):
            self.exited_at = self.world.now if detail == "exit" else self.exited_at
            self.world.clock.after(self.rng.uniform(0.2, 3), lambda: _revive(self, candidate), rank=2)


def _revive(play: Play, one: Candidate) -> None:
    if not one.alive:
        one.work = play._work()
        one.restart()


Fault = Callable[[Play, Candidate], None]


def cut_off(play: Play, one: Candidate) -> None:
    """Half-open: who holds must stop by its clock alone."""
    one.link.cut()
    play.later(one.heal)


def cut_all(play: Play, one: Candidate) -> None:
    """The API server is away for everybody."""
    for each in play.world.candidates.values():
        each.link.cut()
        play.later(each.heal, within=play.lease_duration / 2)


def slow_reply_then_cut(play: Play, one: Candidate) -> None:
    """Counting from the reply would count too long."""
    slow = one.settings.attempt_timeout * play.rng.uniform(0.3, 0.99)
    one.link.fates.append(Fate(reply=slow))
    link = one.link
    play.world.clock.after(one.settings.retry_period + slow, link.cut, rank=2)
    play.later(one.heal)


def late_delivery(play: Play, one: Candidate) -> None:
    """Writes that were given up land much later."""
    one.link.hold = True

    def release() -> None:
        one.link.hold = False
        play.rng.shuffle(one.held)
        one.deliver()

    play.later(release, within=play.lease_duration * 2.5)


def lose_replies(play: Play, one: Candidate) -> None:
    """What was done is not told."""
    one.link.lose_replies = True
    play.later(one.heal)


def lose_some(play: Play, one: Candidate) -> None:
    """Single writes get lost on the way there or back, or arrive after their time-out."""
    slow = one.settings.attempt_timeout * 1.2
    for _ in range(play.rng.randint(1, 3)):
        fate = play.rng.choice([Fate(request=None), Fate(reply=None), Fate(request=slow), Fate(reply=slow)])
        one.link.fates.append(fate)


def slow_writes(play: Play, one: Candidate) -> None:
    """Everything takes nearly as long as the time-out allows, or longer."""
    one.link.request = one.settings.attempt_timeout * play.rng.uniform(0.05, 1.2)
    play.later(one.heal)


def slow_watch(play: Play, one: Candidate) -> None:
    """Old news."""
    one.link.event = play.rng.random() * play.lease_duration * 1.3
    play.later(one.heal)


def quiet_watch(play: Play, one: Candidate) -> None:
    """No news, then all of it at once."""
    one.link.quiet = True
    play.later(one.heal)


def deaf_watch(play: Play, one: Candidate) -> None:
    """No news for good, and no error."""
    one.deafen()


def broken_watch(play: Play, one: Candidate) -> None:
    """Only polling."""
    one.break_watch()
    play.later(one.heal)


def crash(play: Play, one: Candidate) -> None:
    """Kill -9."""
    one.crash()
    play.later(lambda: _revive(play, one))


def restart(play: Play, one: Candidate) -> None:
    """Kill -9, and a new process at once."""
    one.restart()


def die_all(play: Play, one: Candidate) -> None:
    """All pods die; somebody who has seen nothing comes back, at once or later."""
    for each in play.world.candidates.values():
        if each.alive:
            each.crash()
            play.later(functools.partial(_revive, play, each), within=play.lease_duration / 2)
    _revive(play, one)


def die_cut_off(play: Play, one: Candidate) -> None:
    """It dies while its last writes are on the wire: they land, or their news comes, when its death is known."""
    late_delivery(play, one)
    play.later(ends(play, one), within=one.settings.attempt_timeout)


def freeze(play: Play, one: Candidate) -> None:
    """SIGSTOP, and SIGCONT after anything between a blink and two leases."""
    one.freeze()
    after, mail_first = play.rng.random() * 0.02, play.rng.random() < 0.5
    play.later(lambda: one.thaw(after=after, mail_first=mail_first), within=play.lease_duration * 2)


def resign(play: Play, one: Candidate) -> None:
    """Asked to step down."""
    one.resign()


def leave(play: Play, one: Candidate) -> None:
    """SIGTERM."""
    one.resign(leave=True)


def stuck(play: Play, one: Candidate) -> None:
    """A handler that neither ends nor obeys."""
    one.work = Work(finish=3600, obey=float("inf"))


def other_work(play: Play, one: Candidate) -> None:
    """Other handlers."""
    one.work = play._work()


def delete(play: Play, one: Candidate) -> None:
    """Kubectl delete."""
    play.world.store.delete()


def delete_unseen(play: Play, one: Candidate) -> None:
    """Deleted while its holder sees nothing."""
    cut_off(play, one)
    play.world.store.delete()


def delete_deaf(play: Play, one: Candidate) -> None:
    """Deleted; its holder learns of it by its next renewal only, and its POST is slow."""
    one.deafen()
    play.world.store.delete()
    one.link.fates.append(Fate())
    one.link.fates.append(Fate(request=one.settings.attempt_timeout * play.rng.random() * 2))


def foreign_name(play: Play, one: Candidate) -> None:
    """Edited to somebody's name: of a stranger, of a candidate (a clash), of nobody."""
    names = ["stranger", ""] + [each.settings.identity for each in play.world.candidates.values()]
    name = play.rng.choice(names)
    spec = (play.world.store.lease or {}).get("spec") or {}
    if spec.get("holderIdentity"):  # with duration 1 an empty holder says "released", which the claim leaves out
        play.world.store.edit(holderIdentity=name, leaseDurationSeconds=_whole(play))


def foreign_duration(play: Play, one: Candidate) -> None:
    """Edited to a shorter duration, or none."""
    spec = (play.world.store.lease or {}).get("spec") or {}
    if spec.get("holderIdentity"):
        play.world.store.edit(leaseDurationSeconds=play.rng.choice([None, 1, 2, _whole(play)]))


def labelled(play: Play, one: Candidate) -> None:
    """Kubectl label: the version moves, the record does not."""
    play.world.store.edit(metadata={"labels": {"by": str(play.rng.random())}})


def from_backup(play: Play, one: Candidate) -> None:
    """Some earlier content comes back, as a new Lease where there is none."""
    specs = [change.lease.get("spec") or {} for change in play.world.store.changes]
    named = [spec for spec in specs if spec.get("holderIdentity")]
    if named and (play.world.store.lease is None or play.world.store.holder):
        play.world.store.restore(play.rng.choice(named))


def wall_jump(play: Play, one: Candidate) -> None:
    """The wall clock is set; nothing may depend on it."""
    one.clock.set_wall(play.rng.uniform(-3600, 3600))


def refusals(play: Play, one: Candidate) -> None:
    """401, 403, 429, 500 to every write."""
    one.link.status = play.rng.choice([401, 403, 429, 500])
    play.later(one.heal)


def rival_fault(play: Play, one: Candidate) -> None:
    """The client-go candidate is cut off, killed, restarted, or asked to go."""
    rival = play.rng.choice(play.checker.rivals)
    what = play.rng.choice(["cut", "crash", "resign"])
    if what == "resign":
        rival.resign()
    elif what == "crash":
        rival.crash()
        play.later(rival.restart)
    else:
        rival.cut = True
        play.later(lambda: setattr(rival, "cut", False))


def _whole(play: Play) -> int:
    return int(play.lease_duration)


SHARED: list[Fault] = [
    cut_off, cut_off, cut_all, slow_reply_then_cut, slow_reply_then_cut, late_delivery, late_delivery, lose_replies,
    lose_some, lose_some, slow_writes, slow_watch, quiet_watch, deaf_watch, broken_watch, crash, restart, freeze,
    resign, leave, stuck, other_work, labelled, refusals,
]  # fmt: skip
DELETIONS: list[Fault] = [delete, delete, delete_unseen, delete_unseen, delete_deaf]
EDITS: list[Fault] = [foreign_name, foreign_name, foreign_duration, from_backup, wall_jump]
DEATHS: list[Fault] = [die, die_all, restart, restart, evict, die_cut_off]
COPIES: list[Fault] = [from_backup, whole_manifest, whole_manifest, compacted]
DEADLY = ("deaths", "copies")
"""Profiles where deaths are told of."""
PROFILES: dict[str, list[Fault]] = {
    "faults": [*SHARED, *DELETIONS, *EDITS],
    "rates": [*SHARED, *DELETIONS, *EDITS],
    "rivals": [*SHARED, rival_fault, rival_fault, rival_fault],
    "deaths": [*SHARED, *DELETIONS, *EDITS, *COPIES, *DEATHS, *DEATHS],
    "copies": [
        *COPIES, *COPIES, *DEATHS, *DEATHS, cut_off, cut_off, cut_off, quiet_watch, deaf_watch, broken_watch,
        late_delivery, lose_some, delete, labelled,
    ],
}  # fmt: skip
