"""Who tells the simulated candidates of deaths (`takeover="evidence"`): the truth, late, and of nobody else.

It stands where the driver has its witness, and is asked by the driver as that one is. What proves a death in a cluster
is not its question (`tests/protocol/test_evidence.py`, `tests/e2e/test_evidence.py`): here who is dead is dead.
"""

from functools import partial
from typing import TYPE_CHECKING, Any

from kopf_leader.protocol.state import Dead, State, Tenure, tenure_of

if TYPE_CHECKING:
    from tests.simulation.process import Life
    from tests.simulation.world import World


class Coroner:
    """Knows who has died."""

    def __init__(self, world: "World") -> None:
        self.world = world
        self.dead: set[str] = set()
        self.told = 0

    def witness(self, life: "Life") -> Any:
        """What this life's driver gets for a witness."""
        return SimWitness(self, life)

    def dies(self, life: "Life") -> None:
        """A process has ended: those who wait for it will learn of it."""
        self.dead.add(life.settings.identity)
        for other in self.world.lives:
            other.driver._witness.look(other.driver.state)

    def is_dead(self, identity: str) -> bool:
        """Whether nobody of this identity lives: it may have been given twice (L10)."""
        living = {life.settings.identity for life in self.world.lives}
        return identity in self.dead and identity not in living


class SimWitness:
    """Tells one driver at once, soon, or much later, also when it does not wait for the holder any more."""

    def __init__(self, coroner: Coroner, life: "Life") -> None:
        self._coroner, self._life = coroner, life
        self._under_way: set[Tenure] = set()

    def begin(self) -> None:
        """Its death is known without any word of its own."""

    async def close(self, *, over: bool) -> None:
        """Nothing is left behind."""

    def look(self, state: State) -> None:
        """After each step: whether the holder that is seen is dead."""
        if state.sight is None or state.over or not self._coroner.is_dead(state.sight.record.holder):
            return
        tenure = tenure_of(state.sight)
        if tenure == state.dead or tenure in self._under_way:
            return
        self._under_way.add(tenure)
        world = self._coroner.world
        random = world.random
        lease = world.settings.lease_duration
        late = random.choice([0.0, random.random() * 0.05, random.random() * 1.2, random.random() * lease])
        world.loop.after(late, partial(self._tell, tenure))

    def _tell(self, tenure: Tenure) -> None:
        self._under_way.discard(tenure)
        if not self._life.dead and self._coroner.is_dead(tenure.holder):
            self._coroner.told += 1
            self._coroner.world.note(self._life, "told", f"{tenure.holder} is dead")
            self._life.driver.post(Dead(tenure))
