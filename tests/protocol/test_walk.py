"""The walk over every interleaving of the shipped `step()`; by hand: `python -m tests.protocol.walk --help`."""

from dataclasses import replace
from pathlib import Path

import pytest

from tests.protocol.walk import proof
from tests.protocol.walk.flaws import flaws
from tests.protocol.walk.fold import Fold
from tests.protocol.walk.ground import Ground
from tests.protocol.walk.plans import BY_NAME, PLANS
from tests.protocol.walk.search import Walk, beginning, moves
from tests.protocol.walk.values import Plan


@pytest.mark.parametrize("plan", [*PLANS, BY_NAME["evidence-fresh"]], ids=lambda plan: plan.name)
def test_no_interleaving_breaks_a_law(plan: Plan) -> None:
    """Whatever happens in whatever order: the laws of `walk.laws` hold in every world, and a leader is never far."""
    outcome = Walk(plan).run(states=plan.share)
    print(outcome.sentence())
    assert outcome.broken is None, "\n".join([str(outcome.broken), *outcome.trace])
    assert outcome.exhausted or outcome.states >= plan.share


@pytest.mark.parametrize("flaw", proof.CAUGHT)
def test_a_flaw_is_caught(flaw: str) -> None:
    """A machine with a flaw does not survive the walk that the table names."""
    outcome = proof.caught(flaw)
    assert outcome.broken is not None
    assert outcome.trace


def test_the_table_has_every_flaw() -> None:
    """No flaw is left out of the proof: it is caught by a walk, or it says where else."""
    assert set(flaws()) == {*proof.CAUGHT, *proof.ELSEWHERE}
    assert not {*proof.CAUGHT} & {*proof.ELSEWHERE}
    written = Path(proof.PAGE).read_text(encoding="utf-8")
    assert [flaw for flaw in flaws() if f"| {flaw} |" not in written] == []
    assert "NOT CAUGHT" not in written


def test_the_claim_ends_where_it_says() -> None:
    """With clocks that differ by more than 1.5, starts overlap: the walk of the rates can fail."""
    outcome = Walk(replace(BY_NAME["rates-starts"], rates=(0.6, 1.0))).run()
    assert outcome.broken is not None
    assert outcome.broken.law == "I1"


def test_client_go_beside_a_deletion_is_not_safe() -> None:
    """Why that walk leaves deletions out: client-go's candidate creates the Lease and leads at once (R7)."""
    outcome = Walk(replace(BY_NAME["client-go"], kinds=frozenset({"delete"}))).run()
    assert outcome.broken is not None
    assert outcome.broken.law == "I1"


@pytest.mark.parametrize(
    "kinds",
    [("cut", "slow watch"), ("late", "slow read"), ("freeze", "delete"), ("crash", "429"), ("name", "put back")],
    ids=" and ".join,
)
def test_worlds_with_one_key_have_one_future(kinds: tuple[str, ...]) -> None:
    """Folding hides nothing: of two worlds with one key, whatever follows one follows the other, names aside."""
    ground = Ground(replace(BY_NAME["everything"], kinds=frozenset(kinds), faults=2))
    key = Fold(ground).key
    front = [beginning(ground)]
    futures: dict[object, frozenset[object]] = {}
    known, twice = set(front), 0
    while front and len(known) < 6000:
        following = []
        for world in front:
            reached = [after for _, after in moves(ground, world)]
            future = frozenset(map(key, reached))
            twice += key(world) in futures
            assert futures.setdefault(key(world), future) == future
            fresh = [after for after in dict.fromkeys(reached) if after not in known]
            known.update(fresh)
            following += fresh
        front = following
    assert twice > 100
