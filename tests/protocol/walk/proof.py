"""The machine with one flaw each, and by what each is caught: `python -m tests.protocol.walk.proof` writes the table.

Each flaw has the smallest plan that catches it. What no walk catches is caught elsewhere, or cannot be told from the
machine as it is; then it says so.
"""

import sys
from collections.abc import Mapping
from pathlib import Path

from tests.protocol.walk.flaws import flaws
from tests.protocol.walk.laws import SAYS
from tests.protocol.walk.plans import BY_NAME
from tests.protocol.walk.search import Outcome, Walk

PAGE = Path(__file__).parents[3] / "docs" / "proof-mutants.md"
LIMIT = 100_000
"""Worlds; a flaw that survives them is not caught."""

CAUGHT: Mapping[str, str] = {
    "deadline from the reply": "everything",
    "release checks the stale record": "everything",
    "deletion ignored by the leader": "everything",
    "own name is own term": "everything",
    "standby uses its own duration": "unequal",
    "standby believes short durations": "everything",
    "standby waits for the renew deadline": "everything",
    "any empty holder is free": "everything",
    "creating starts": "everything",
    "wait from the last record": "beginning",
    "no wait without a live holder seen": "beginning",
    "any former holder": "deleted-twice",
    "PUT without uid": "late-deleted",
    "stopped term resumed": "network",
    "next term before the drain": "everything",
    "release before the drain": "everything",
    "no drain budget": "stuck-leaving",
    "older DELETED believed": "deletions",
    "whole seconds compared": "second",
    "own old write believed": "put-back-cut",
    "no new wait for an old record": "put-back-cut",
    "write in flight believed for ever": "put-back-forged",
    "waiting hold released": "deleted-leaving",
    "writes again without a look": "everything",
    "seen rival not acted upon": "everything",
    "closes late": "rates",
    "exits late": "stuck-cut",
    "flight forgotten": "everything",
    "proof of death bound to nobody": "crashes",
    "proof of death bound to the pod": "crashes",
    "proof of death beside a creator": "crash-deleted",
    "proof of death of what was put back": "evidence-three",
    "proof of death across a gap": "evidence-three",
    "copy taken for a write": "evidence-three",
    "read taken for what came next": "evidence-three",
    "another hold followed": "evidence-three",
    "gone from sight taken for dead": "gone",
}
"""Which plan catches which flaw."""

ELSEWHERE: Mapping[str, str] = {
    "wait from the first absence": "three faults and thirty ticks: `test_d4_a_wait_does_not_survive_a_second_deletion`",
    "heir by the law's letter": "four faults: `test_l11_an_heir_is_not_late`",
    "heir until T0 + lease_duration": "four faults: `test_l11_an_heir_is_not_late`",
    "PUT drops what it does not know": "the walk has no unknown fields: `test_laws.py`, L1",
    "a field left out": "the walk reads records, not bodies: `test_l2_all_five_fields_and_six_digits`",
    "no fractional digits": "likewise: `test_l2_all_five_fields_and_six_digits`",
    "renewTime stands still": "likewise: `test_l2_renew_time_grows_also_when_the_wall_clock_goes_back`",
    "transitions beyond an int32": "the walk leaves transitions out: `test_d19_transitions_saturate`",
    "patient with rivals": "a seen rival has waited: `test_d11_a_seen_rival_leaves_one_second`",
    "old versions restart timers": "a leader comes later: `test_d14_a_version_seen_before_restarts_no_timer`",
    "doubtful writes forgotten": "costs a lease_duration, no safety: `test_d9_not_there_yet_is_not_never`",
    "deaf watch kept": "costs time only: `test_d15_a_refusal_at_expiry_proves_the_watch_deaf`",
    "only replies confirm": "costs a term only: `test_d16_any_sight_confirms`",
    "no standing back": "takes its own release back: `test_d18_who_has_resigned_stands_back`",
    "nobody gives way": "costs time only: `test_l16_few_of_many_write_in_vain`",
    "locked out and back at once": "costs time only: `test_l20_a_leader_that_was_locked_out_stays_away`",
    "proof of death bound to the process": "equivalent: an identity is never given again (L10), and the dead stay dead",
    "proof of death that was not asked for": "a setting: `test_l6_without_evidence_nobody_believes_it`",
    "hold followed across others": "needs a leader without evidence: `test_l6_a_hold_of_another_kind_came_between`",
    "who asks vouches for the holder": "has no priorities: `test_l6_who_asks_for_the_place_vouches_for_nobody`",
    "trace kept across a restored backup": "restores no backup: `test_l6_a_restored_backup_breaks_the_trace`",
    "denial ignored": "the renew deadline ends the term all the same, later: L8 in `test_laws.py`",
    "old read answers": "equivalent for safety: a doubtful write stays known until the version has moved (L4)",
    "old absence believed": "equivalent for safety: a POST beside a Lease is refused, and starts nothing (L11)",
    "< for <= of versions": "equivalent: the same version says the same, and restarts no timer",
}
"""What no walk catches: which test does, or why there is nothing to catch."""


def caught(flaw: str) -> Outcome:
    """Walk with a flaw, in the plan that catches it."""
    return Walk(BY_NAME[CAUGHT[flaw]], flaws()[flaw]).run(states=LIMIT)


def page() -> str:
    """The table, by a run of it."""
    lines = [
        "# Which mutant is caught by what",
        "",
        "Written by `python -m tests.protocol.walk.proof`. Each mutant is the shipped `step()` with one flaw; each is",
        "walked in the smallest plan that catches it (`python -m tests.protocol.walk --list` tells of the plans), and",
        "the walk ends at the first world in which a law is broken. `tests/protocol/test_walk.py` checks all rows.",
        "",
        "| law | says |",
        "|---|---|",
        *(f"| {law} | never: {says} |" for law, says in SAYS.items()),
        "",
        "| mutant | caught by | in plan | faults | worlds | moves to it |",
        "|---|---|---|---|---|---|",
    ]
    for flaw in CAUGHT:
        outcome = caught(flaw)
        law = outcome.broken.law if outcome.broken else "NOT CAUGHT"
        plan = outcome.plan
        lines.append(f"| {flaw} | {law} | {plan.name} | {plan.faults} | {outcome.states} | {len(outcome.trace)} |")
        print(lines[-1], flush=True)
    lines += ["", "What no walk catches:", "", "| mutant | where, or why not |", "|---|---|"]
    lines += [f"| {flaw} | {why} |" for flaw, why in ELSEWHERE.items()]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    text = page()
    PAGE.write_text(text, encoding="utf-8")
    sys.exit("NOT CAUGHT" in text)
