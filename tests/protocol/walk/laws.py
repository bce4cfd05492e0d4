"""What must hold in every world. What can be seen from one step alone is looked at where steps are taken."""

from kopf_leader.protocol.state import State
from tests.protocol.walk.ground import Ground
from tests.protocol.walk.network import at_work
from tests.protocol.walk.values import Broken, World

SAYS = {
    "I1": "two processes may start handlers at once, or run them at once",
    "L1": "two writes are in flight, or a PUT creates a deleted Lease anew",
    "L2": "renewTime does not grow",
    "L4": "a write has not exactly one outcome, or doubts pile up",
    "L8": "the gate is open although its process has seen another holder, or no Lease",
    "L9": "tokens do not grow",
    "L12": "a release is sent while handlers run",
    "L13": "the Lease is released while handlers run anywhere",
    "I5": "nobody leads although all faults are over",
    "table": "a change of phase that the table does not know",
}


def check(ground: Ground, world: World) -> None:
    """Raise Broken if a law does not hold in this world."""
    opened = 0
    running = 0
    for who, one in enumerate(world.procs):
        if not one.alive:
            continue
        if one.token is not None:
            if one.open and at_work(one):
                opened += ground.local(who, world.now) < ground.claim(who, one.state)
            running += at_work(one)
        state = ground.book[one.state]
        if isinstance(state, State) and (state.flight is None) != (one.waiting is None):
            raise Broken("L4", f"{'abc'[who]} has forgotten its write, or waits for none")
        if one.open and isinstance(state, State) and not _sees_its_hold(state):
            raise Broken("L8", f"{'abc'[who]} goes on although it has seen that its hold is over")
    if opened > 1:
        raise Broken("I1", "two claims are valid at once")
    if running > 1 and not ground.plan.starts_only:
        raise Broken("I1", "two processes run handlers at once")


def _sees_its_hold(state: State) -> bool:
    return state.hold is not None and state.sight is not None and state.sight.record == state.hold.write.record
