"""How much is checked, from the constants of the tests and from recorded runs."""

import re
from math import prod
from typing import Any

from tests.protocol import test_simulation as schedules
from tests.protocol.walk import proof, recorded
from tests.protocol.walk.faults import FAULTS as KINDS
from tests.protocol.walk.plans import PLANS, SHARE
from tests.simulation import test_driver as driver
from tests.simulation import test_machine as machine
from tests.simulation.faults import FAULTS
from tests.simulation.mutants import MUTANTS


def cases(test: Any) -> int:
    """How many cases a parametrised test has."""
    return prod(len(mark.args[1]) for mark in test.pytestmark if mark.name == "parametrize")


def numbers() -> str:
    """A list, one kind of check a line."""
    page = recorded.PAGE.read_text(encoding="utf-8")
    written = re.search(r"on (\d{4}-\d\d-\d\d), with .*?: (\d+) worlds of (\d+) plans", page, re.DOTALL)
    assert written is not None, "docs/proof-walks.md does not say when it was recorded"
    date, worlds, plans = written.groups()
    exhausted = page.count("| exhausted |")
    seeds = cases(schedules.test_no_schedule_breaks_the_claim) * schedules.EACH
    alone = cases(machine.test_no_schedule_breaks_the_claim) * machine.HOURS
    real = cases(driver.test_no_schedule_breaks_the_claim) * driver.HOURS
    return f"""\
| what | how much in every run | where |
|---|---|---|
| **Walk**: every interleaving of two or three candidates of the shipped `step()`, with {len(KINDS)} kinds of faults | \
{len(PLANS)} plans, the larger ones as far as {SHARE} worlds | `tests/protocol/test_walk.py` |
| **Mutants** of the machine that a walk must catch; others name the test that catches them, or why none can | \
{len(proof.CAUGHT)}, and {len(proof.ELSEWHERE)} | [proof-mutants.md](proof-mutants.md) |
| **Schedules** of the machine alone, from seeds | {seeds} schedules; {alone:.0f} lease-hours on long \
leases | `tests/protocol/test_simulation.py`, \
`tests/simulation/test_machine.py` |
| **Simulation**: the real driver and client on the embedded API server, with {len(set(FAULTS))} kinds of faults | \
{real:.0f} lease-hours | `tests/simulation/test_driver.py` |
| **Mutants** of the driver that a schedule must find | {len(MUTANTS)} | `tests/simulation/test_mutants.py` |
| **Cancelled, struck by an error, asked to leave** at every suspension of the driver; of the gate likewise | every \
suspension | `tests/simulation/test_cancelled_driver.py`, `test_cancelled_gate.py` |
| **Processes**: real operators, kube-apiserver and etcd; killed, frozen, cut off; handlers write their own history | \
most tests end with the history checker | `tests/e2e`; [fault-matrix.md](fault-matrix.md), recorded |
| **Mixed fleets**: beside client-go and two Python libraries on one Lease; a judge of whose fault an overlap is | \
every scenario ends with the judge | `tests/mixed`; [mixed-fleets.md](mixed-fleets.md), recorded |
| **The history checker** itself: bad histories that it must refuse, and say why | each is refused for its reason | \
`tests/testing/test_history.py` |

Recorded on {date} by `python -m tests.protocol.walk.recorded`: {worlds} worlds of {plans} plans, {exhausted} of them \
walked until nothing was new: [proof-walks.md](proof-walks.md)."""
