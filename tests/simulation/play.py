"""One schedule of faults, drawn from a seed: the same seed plays the same story."""

from collections.abc import Callable, Sequence
from random import Random
from typing import Any

from kopf_leader.elector.driver import Driver
from kopf_leader.testing.link import Work
from tests.simulation.checker import Violation
from tests.simulation.faults import COPIED, DYING, FAULTS, Fault
from tests.simulation.process import Process
from tests.simulation.wire import Line
from tests.simulation.world import MakeDriver, World

DEFAULT = {"lease_duration": 15, "renew_deadline": 10, "retry_period": 2}
OPENSHIFT = {"lease_duration": 137, "renew_deadline": 107, "retry_period": 26, "drain_timeout": 60}
SETTINGS: Sequence[dict[str, Any]] = (
    DEFAULT,
    {"lease_duration": 6, "renew_deadline": 4, "retry_period": 1, "request_timeout": 2, "drain_timeout": 3},
    {"lease_duration": 60, "renew_deadline": 40, "retry_period": 8, "drain_timeout": 30},
    OPENSHIFT,
    OPENSHIFT,
    {"lease_duration": 270, "renew_deadline": 240, "retry_period": 60, "drain_timeout": 60},
)
GHOST = {"holderIdentity": "ghost", "leaseDurationSeconds": 5, "renewTime": "2020-01-01T00:00:00.000000Z"}
PROFILES = ("faults", "obedient", "rates")
"""What is promised at which ratio of clock rates: nothing overlaps; nor does what obeys; nothing *starts* beside."""


class Play:
    """One world and its faults. `faults` is what may happen; `make_driver` may give a driver with a flaw in it.

    With `deaths` more of them die, and the others are told of it.
    """

    def __init__(
        self,
        seed: int,
        *,
        profile: str | None = None,
        faults: Sequence[Fault] = FAULTS,
        settings: Sequence[dict[str, Any]] = SETTINGS,
        make_driver: MakeDriver = Driver,
        deaths: bool = False,
    ) -> None:
        self.seed = seed
        self.profile = profile or PROFILES[seed % len(PROFILES)]
        self.rng = rng = Random(f"simulation-{self.profile}-{seed}{'-deaths' if deaths else ''}")
        self.faults = faults
        if deaths and faults is FAULTS:
            self.faults = COPIED if seed % 2 else DYING
        self.calm = False
        self.struck: list[tuple[float, str, str]] = []
        self.struck_at = self.exited_at = 0.0
        self.outages = 0
        self.world = World(
            seed=rng.randrange(1 << 30),
            lease=rng.choice([{}, {}, None, GHOST]),
            make_driver=make_driver,
            starts_only=self.profile == "rates",
            **(rng.choice(settings) | ({"takeover": "evidence"} if deaths else {})),
        )
        self.world.gone = self._gone
        chosen = self.world.settings
        self.lease_duration = chosen.lease_duration
        bound = {"faults": chosen.exit_after, "obedient": chosen.cancel_after, "rates": chosen.renew_deadline}
        spread = 1 + 0.9 * (self.lease_duration / bound[self.profile] - 1)
        low, high = spread**-0.5, spread**0.5
        self.slowest = low
        self.rates = [rng.choice([low, 1.0, high, rng.uniform(low, high)]) for _ in range(rng.choice([2, 2, 2, 3, 4]))]

    def run(self, rounds: int = 3) -> float:
        """Some rounds of faults and quiet; the seconds of virtual time. Raises Violation."""
        for name, rate in zip("abcd", self.rates, strict=False):
            self.world.run_for(self.rng.choice([0.0, self.rng.random()]))
            self.world.join(name, rate=rate, work=self.work())
        for _ in range(rounds):
            self.struck_at, self.calm = self.world.now, False
            for _ in range(self.rng.randint(3, 12)):
                self.strike()
                self.world.run_for(self.pause())
            self.quiet()
        self.world.end()
        return self.world.now

    def strike(self) -> None:
        """One fault, on the leader more often than not."""
        fault = self.rng.choice(self.faults)
        alive = [process for process in self.world.processes.values() if process.alive]
        if not alive:
            return
        holders = [one for one in alive if one.life is not None and one.life.driver.state.hold is not None]
        target = self.rng.choice(holders if holders and self.rng.random() < 0.6 else alive)
        self.struck.append((self.world.now, fault.__name__, target.name))
        self.world.note(target.life, "FAULT", fault.__name__)
        fault(self, target)

    def pause(self) -> float:
        """Between two faults: often short, sometimes longer than a lease."""
        rng, lease = self.rng, self.lease_duration
        return rng.choice([0.0, 0.02, rng.random() * 0.2, rng.random() * lease / 3, rng.random() * lease * 1.5])

    def later(self, happen: Callable[[], None], *, within: float | None = None) -> None:
        """Undo a fault at some time, often after the lease has run out."""
        span = within if within is not None else self.lease_duration * 1.6
        self.world.loop.after(self.rng.random() * span, happen)

    def work(self) -> Work:
        """Handlers of some kind: quick, slow, endless; obedient, slow to obey, stuck."""
        rng = self.rng
        finish = rng.choice([0.0, rng.random(), rng.uniform(0, 1.4) * self.lease_duration, 1e6])
        obey = 0.0 if self.profile == "obedient" else rng.choice([0.0, rng.random(), float("inf")])
        return Work(finish=finish, obey=obey)

    # Quiet

    def quiet(self) -> None:
        """The faults end; in time there must be a leader, it stays, and everybody knows of it."""
        world, lease, self.calm = self.world, self.lease_duration, True
        while self.outages:
            world.run_for(lease / 10)
        self._undo()
        # What is still on the wire is a fault, so is a pause that a server has asked for, and an older database goes on
        # being one until it is believed, after one lease_duration.
        rest = 1.3 * world.settings.attempt_timeout + lease / 3 + (lease if self._round_had("older_database") else 0)
        world.run_for(rest / self.slowest)
        self._undo()
        healed = world.now
        bound = self._bound()
        while not world.leaders and world.now < max(healed, self.exited_at) + bound:
            world.run_for(lease / 300)
        if not world.leaders:
            self.fail("I5", f"no leader {bound:.2f} s after the last fault at {healed:.3f}")
        terms = len(world.checker.terms)
        world.run_for(3 * lease / self.slowest)
        if not world.leaders or len(world.checker.terms) != terms:
            self.fail("I5", "the leader did not stay")
        if self.rng.random() < 0.5:
            world.server.close_watches()  # as API servers do every few minutes
        else:
            for life in world.lives:
                life.client.break_watch()
        world.run_for(1.5 * world.settings.retry_period / self.slowest)
        if not world.wait_for(self._all_know, within=2 * world.settings.retry_period / self.slowest):
            self.fail("I6", f"not everybody knows the Lease as it is: {self._known()}")
        world.bury()

    def fail(self, law: str, why: str) -> None:
        """Raise a Violation with the end of the story."""
        raise Violation(f"{law}: {why}\n{self.world.story()}")

    def _undo(self) -> None:
        self.world.server.forbid()
        for process in self.world.processes.values():
            process.work = Work(finish=min(self.rng.random(), self.lease_duration / 20))
            process.thaw()
            process.heal(Line(jitter=0.002))
            process.start()

    def _bound(self) -> float:
        """1.5 × lease_duration; one more where a Lease was deleted and nobody saw it.

        Finding out, at expiry, and the wait of L11 come one after the other then.
        """
        return (2.5 if self._round_had("delete") else 1.5) * self.lease_duration / self.slowest + 0.1

    def _round_had(self, fault: str) -> bool:
        return any(name.startswith(fault) for at, name, _ in self.struck if at >= self.struck_at)

    def _known(self) -> dict[str, int]:
        return {life.owner.name: life.driver.state.version for life in self.world.lives}

    def _all_know(self) -> bool:
        lease = self.world.server.lease
        return lease is not None and set(self._known().values()) == {int(lease["metadata"]["resourceVersion"])}

    # What faults need

    def rename(self, holder: str) -> None:
        """Edit the holder of a Lease that has one; the form of a release (L14) is left out, as the claim does."""
        server = self.world.server
        if server.spec.get("holderIdentity"):
            server.edit(holderIdentity=holder, leaseDurationSeconds=max(int(self.lease_duration), 2))

    def stop_server(self) -> None:
        self.outages += 1
        self.world.server.up = False
        self.world.server.close_watches()
        for life in self.world.lives:
            life.client.break_watch()

    def start_server(self) -> None:
        self.outages -= 1
        self.world.server.up = self.outages == 0

    def backup(self) -> Any:
        """A backup of the database, if a Lease with a holder is in it: others say that nobody leads."""
        return self.world.server.backup() if self.world.server.spec.get("holderIdentity") else None

    def restore(self, taken: Any) -> None:
        """Start the server on that backup."""
        self.world.note(None, "RESTORED", f"v{self.world.server.version} -> v{taken[0]}")
        self.world.server.restore(taken)
        self.world.checker.restored()
        for life in self.world.lives:
            life.client.break_watch()
        self.start_server()

    def _gone(self, process: Process, why: str) -> None:
        if why in ("exit", "finished"):
            self.exited_at = self.world.now if why == "exit" else self.exited_at
            self.world.loop.after(self.rng.uniform(0.2, 3), process.start)


def play(seed: int, **options: Any) -> float:
    """One schedule; the seconds of virtual time. Raises Violation with the faults and how to replay it."""
    return played(Play(seed, **options))


def played(drama: Play) -> float:
    """The same of a schedule that was drawn already."""
    try:
        return drama.run()
    except AssertionError as error:
        faults = "\n".join(f"{at:10.3f} {fault} {name}" for at, fault, name in drama.struck)
        drama.world.abandon()
        more = " --deaths" if drama.world.coroner is not None else ""
        replay = f"replay: python -m tests.simulation --seed {drama.seed}{more}"
        raise Violation(f"{error}\nfaults of the seed {drama.seed}:\n{faults}\n{replay}") from error
