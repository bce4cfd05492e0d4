"""Deaths in the small world, and who tells of them: the truth, late, and of the holds of the dead only."""

from collections.abc import Callable
from random import Random
from typing import TYPE_CHECKING, Any

from kopf_leader.protocol.state import Dead, Kind, Tenure, tenure_of
from kopf_leader.testing.candidate import Candidate
from kopf_leader.testing.world import World

if TYPE_CHECKING:
    from tests.protocol.nemesis import Play


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


# The faults that go with it; those that need others stand in `nemesis`.


def ends(play: "Play", one: Candidate) -> Callable[[], None]:
    """The end of this very process, and another one in its place; not in the quiet."""
    life, struck_at = one.lives, play.struck_at
    return lambda: one.restart() if one.lives == life and play.struck_at == struck_at and not play.calm else None


def die(play: "Play", one: Candidate) -> None:
    """Kill -9, and nothing comes in its place before the quiet."""
    one.crash()


def evict(play: "Play", one: Candidate) -> None:
    """SIGTERM, and SIGKILL before it is done, or after."""
    one.resign(leave=True)
    play.later(ends(play, one), within=play.lease_duration / 2)


def whole_manifest(play: "Play", one: Candidate) -> None:
    """The same with its annotations, and twice in a row, from the newest ones: what a dead holder has said last."""
    store = play.world.store
    led = [
        change.lease for change in store.changes if "_" in str((change.lease.get("spec") or {}).get("holderIdentity"))
    ]
    if led and (store.lease is None or store.holder):
        first = play.rng.choice([len(led) - 1, play.rng.randrange(len(led))])
        for lease in led[first : first + play.rng.choice([1, 1, 2])]:
            store.restore(lease["spec"], annotations=lease["metadata"].get("annotations") or {})


def compacted(play: "Play", one: Candidate) -> None:
    """No watch can begin at an earlier version any more."""
    play.world.store.compacted = play.world.store.version
