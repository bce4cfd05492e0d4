"""Deaths in the small world, and who tells of them: the truth, late, and of the holds of the dead only."""

from random import Random
from typing import TYPE_CHECKING, Any

from kopf_leader.protocol.state import Dead, Kind, Tenure, tenure_of
from kopf_leader.testing.candidate import Candidate
from kopf_leader.testing.world import World

if TYPE_CHECKING:
    pass


class Coroner:
    """Tells candidates that go by evidence of the death of the holder that they see: at once, soon, or much later.

    A death is told however little it is worth by then: the holder may have changed, the candidate may hold the Lease.
    """

    def __init__(self, world: World, rng: Random, *, latest: float) -> None:
        self.world, self.rng, self.latest = world, rng, latest
        self.dead: set[str] = set()
        self.told = self.believed = 0
        self._under_way: set[tuple[str, int, Tenure]] = set()
        world.observers.append(self)

    def __call__(self, candidate: Candidate, what: str, detail: Any) -> None:
        if what == "gone":
            self.dead.add(candidate.settings.identity)
            for one in self.world.candidates.values():
                self._look(one)
        elif what == "stepped":
            self._look(candidate)

    def _look(self, one: Candidate) -> None:
        sight = one.state.sight
        if not one.alive or sight is None or sight.record.holder not in self.dead:
            return
        tenure = tenure_of(sight)
        key = (one.name, one.lives, tenure)
        if one.state.dead == tenure or key in self._under_way:
            return
        self._under_way.add(key)
        rng = self.rng
        late = rng.choice([0.0, rng.random() * 0.05, rng.random() * 1.2, rng.random() * self.latest])
        self.world.clock.after(late, one._guarded(lambda: self._tell(one, key)), rank=1)

    def _tell(self, one: Candidate, key: tuple[str, int, Tenure]) -> None:
        self._under_way.discard(key)
        self.told += 1
        one.feed(Dead(key[2]))
        last = one.state.last_write
        self.believed += last is not None and last is one.state.flight and last.kind is Kind.ACQUIRE
