"""The walks, by name: what CI takes, and what takes longer."""

from dataclasses import replace

from tests.protocol.walk.faults import FAULTS, MESSAGE
from tests.protocol.walk.values import GHOST, Plan

SHARE = 30_000
"""What CI walks of the larger ones; the whole of them takes minutes, by hand."""
NETWORK = frozenset({*MESSAGE, "cut"})
WATCH = frozenset({"slow watch", "deaf watch", "broken watch", "slow read", "cut", "delete"})
STOPPING = frozenset({"freeze", "crash", "deny", "resign", "leave", "stuck", "cut"})
EDITS = frozenset({"delete", "label", "name", "shorten", "cut", "freeze"})
DEATHS = frozenset({"crash", "cut", "freeze", "late", "delete"})
ASKS = frozenset({"transfer", "hold", "resign", "leave", "late", "crash"})
SECOND = {"lease_duration": 1.5, "renew_deadline": 1.0, "request_timeout": 0.5}
SHORTER = {"lease_duration": 10.0, "renew_deadline": 7.5, "request_timeout": 2.5}

EVERYTHING = Plan(name="everything", why="each fault alone, beside a leader", kinds=FAULTS, calm=1, liveness=1)

PLANS = [
    EVERYTHING,
    replace(EVERYTHING, name="beginning", why="each fault alone, from the first step on", calm=0),
    replace(EVERYTHING, name="no-lease", why="the same, and the Lease has to be created", calm=0, lease=None),
    replace(EVERYTHING, name="ghost", why="the same, and somebody unknown holds the Lease", calm=0, lease=GHOST),
    replace(EVERYTHING, name="clash", why="both processes have one identity", clash=True),
    Plan(name="network", why="what can befall single messages, twice", kinds=NETWORK, faults=2, calm=1, liveness=7),
    Plan(name="watch", why="what can befall watches and reads, twice", kinds=WATCH, faults=2, calm=1, liveness=7),
    Plan(name="stopping", share=SHARE, why="every way to stop, twice", kinds=STOPPING, faults=2, calm=1, liveness=7),
    Plan(name="edits", share=SHARE, why="deleted and edited, frozen, cut", kinds=EDITS, faults=2, calm=1, liveness=7),
    Plan(
        name="put-back", share=SHARE, why="an earlier content comes back", faults=2, calm=1, liveness=7,
        kinds=frozenset({"put back", "cut", "slow watch", "late", "slow reply", "freeze"}),
    ),
    Plan(
        name="deletions", share=SHARE, why="deletions, from no Lease on", faults=2, lease=None, liveness=7,
        kinds=frozenset({"delete", "cut", "crash", "late"}),
    ),
    Plan(
        name="asks", share=SHARE, why="transfers, holds and priorities", faults=2, calm=1, liveness=7, kinds=ASKS,
        settings=({"priority": 1}, {"priority": 2}),
    ),
    Plan(
        name="unequal", share=SHARE, why="the second candidate's lease is shorter", faults=2, calm=1, liveness=7,
        kinds=frozenset({"cut", "freeze", "late", "slow watch", "resign"}), settings=({}, SHORTER),
    ),
    Plan(
        name="three", share=SHARE, why="three equal candidates", candidates=3, faults=2, calm=1, liveness=50,
        kinds=frozenset({"cut", "delete"}),
    ),
    Plan(
        name="second", why="leases of hardly more than a second", faults=1, calm=2, tick=0.25,
        kinds=frozenset({"cut", "late"}), settings=(SECOND, SECOND),
    ),
    Plan(
        name="rates", why="clocks that differ by 6 %, whatever runs", faults=1, calm=1, until=14, rates=(0.943, 1.0),
        kinds=frozenset({"cut", "freeze", "late", "stuck"}),
    ),
    Plan(
        name="rates-obeying", why="clocks that differ by 19 %: handlers that obey", faults=1, calm=1, until=14,
        rates=(0.84, 1.0), kinds=frozenset({"cut", "freeze", "late"}),
    ),
    Plan(
        name="rates-starts", why="clocks that differ by 49 %: starts", faults=1, calm=1, until=14, rates=(0.67, 1.0),
        kinds=frozenset({"cut", "freeze", "late", "stuck"}), starts_only=True,
    ),
    Plan(
        name="client-go", share=SHARE, why="the second candidate goes by client-go's rules", faults=2, calm=1,
        clientgo=frozenset({1}),
        kinds=frozenset({"cut", "late", "slow watch", "freeze", "crash"}),
    ),
    Plan(
        name="evidence", share=SHARE, why="takeover on proof of death", faults=2, calm=1, liveness=50, kinds=DEATHS,
        evidence="dead",
    ),
    Plan(
        name="evidence-three", share=SHARE, why="the same among three, and an earlier content comes back", candidates=3,
        faults=2, calm=1, kinds=frozenset({"crash", "put back"}), evidence="dead", restarts=False,
    ),
]  # fmt: skip

# Small ones, for the flaws that need just this (`proof`).
SMALL = [
    Plan(
        name="evidence-fresh", share=SHARE, why="deaths, and what is put back before who has seen nothing",
        faults=2, calm=1, kinds=frozenset({"crash", "put back"}), evidence="dead",
    ),
    Plan(
        name="late-deleted", why="a late request and a deletion, after a ghost", faults=2, lease=GHOST,
        kinds=frozenset({"late", "delete"}),
    ),
    Plan(name="put-back-cut", why="cut off, and put back", faults=2, calm=1, kinds=frozenset({"put back", "cut"})),
    Plan(
        name="put-back-forged", why="made to look released, and put back", faults=2, calm=1,
        kinds=frozenset({"put back", "forge"}),
    ),
    Plan(name="stuck-cut", why="stuck handlers of who is cut off", faults=2, calm=1, kinds=frozenset({"stuck", "cut"})),
    Plan(
        name="stuck-leaving", why="stuck handlers of who leaves", faults=2, calm=1, kinds=frozenset({"stuck", "leave"}),
        liveness=1,
    ),
    Plan(
        name="deleted-leaving", why="deleted, and its creator leaves", faults=3, calm=1,
        kinds=frozenset({"delete", "leave", "cut"}),
    ),
    Plan(name="crashes", why="deaths and their proofs", faults=2, calm=1, kinds=frozenset({"crash"}), evidence="dead"),
    Plan(
        name="crash-deleted", why="cut off, the Lease is deleted, and its creator dies", faults=3, calm=1,
        kinds=frozenset({"crash", "delete", "cut"}), evidence="dead", anywhere=False,
    ),
    Plan(
        name="gone", why="cut off or frozen, and the pod object is gone", faults=1, calm=1,
        kinds=frozenset({"cut", "freeze"}), evidence="gone",
    ),
    Plan(name="deleted-twice", why="deleted twice, and cut off", faults=3, calm=1, kinds=frozenset({"delete", "cut"})),
]  # fmt: skip
BY_NAME = {plan.name: plan for plan in (*PLANS, *SMALL)}
