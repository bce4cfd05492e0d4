"""A state machine over the driver: hypothesis chooses faults and pauses, and cuts what fails down to the shortest."""

from hypothesis import HealthCheck, settings
from hypothesis import strategies as some
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from tests.simulation.faults import FAULTS
from tests.simulation.play import DEFAULT, Play

NAMES = "abc"


class AnyOrder(RuleBasedStateMachine):
    """Three replicas with the real driver; every fault of the nemesis is a move, and so is time."""

    def __init__(self) -> None:
        super().__init__()
        self.play: Play | None = None

    @initialize(seed=some.integers(0, 1000), count=some.integers(2, 3))
    def begin(self, seed: int, count: int) -> None:
        self.play = Play(seed, profile="faults", settings=(DEFAULT,))
        for name in NAMES[:count]:
            self.play.world.join(name, work=self.play.work())
        self.play.world.run_for(1)

    @rule(fault=some.sampled_from(FAULTS), whom=some.sampled_from(NAMES))
    def strike(self, fault, whom) -> None:
        assert self.play is not None
        target = self.play.world.processes.get(whom)
        if target is not None and target.alive:
            self.play.struck.append((self.play.world.now, fault.__name__, whom))
            fault(self.play, target)

    @rule(seconds=some.sampled_from([0.01, 0.5, 2.0, 5.0, 10.0, 16.0, 31.0]))
    def wait(self, seconds: float) -> None:
        assert self.play is not None
        self.play.world.run_for(seconds)

    @invariant()
    def the_claim_holds(self) -> None:
        """Never two at once, and nothing that the checker has to complain of (`run_for(0)` raises it)."""
        if self.play is not None:
            self.play.world.run_for(0)

    def teardown(self) -> None:
        """Faults over: a leader in time, and nothing left behind."""
        if self.play is not None:
            try:
                self.play.quiet()
                self.play.world.end()
            finally:
                self.play.world.abandon()


TestAnyOrder = AnyOrder.TestCase
TestAnyOrder.settings = settings(
    deadline=None, max_examples=30, stateful_step_count=15, suppress_health_check=[HealthCheck.too_slow]
)
