"""Walk by hand, for as long as one likes: `python -m tests.protocol.walk --help`."""

import argparse
import sys
from dataclasses import replace
from math import inf

from tests.protocol.walk.faults import FAULTS
from tests.protocol.walk.plans import BY_NAME, PLANS
from tests.protocol.walk.search import Walk
from tests.protocol.walk.values import Plan


def main() -> int:
    """Walk the plans asked for; 1 if a law is broken, and then the trace is printed."""
    parser = argparse.ArgumentParser(prog="python -m tests.protocol.walk", description=__doc__)
    parser.add_argument("--list", action="store_true", help="name the plans and the kinds of faults")
    parser.add_argument("--plan", action="append", choices=sorted(BY_NAME), help="a plan; again for more of them")
    parser.add_argument("--candidates", type=int, help="how many candidates, at most three")
    parser.add_argument("--faults", type=int, help="how many faults may strike")
    parser.add_argument("--kinds", help="which kinds, separated by commas; all: every kind")
    parser.add_argument("--depth", type=float, default=inf, help="how many moves deep")
    parser.add_argument("--states", type=float, default=inf, help="how many worlds at most")
    parser.add_argument("--seconds", type=float, default=inf, help="how many seconds of the processor for each plan")
    parser.add_argument("--liveness", type=int, help="ask one in how many worlds for its way to a leader; 0: none")
    asked = parser.parse_args()
    if asked.list:
        for plan in PLANS:
            print(
                f"{plan.name:14} {plan.faults} of {len(plan.kinds):2} kinds, {plan.candidates} candidates: {plan.why}"
            )
        print("kinds:", ", ".join(sorted(FAULTS)))
        return 0
    kinds = None if asked.kinds is None else frozenset(asked.kinds.split(",")) if asked.kinds != "all" else FAULTS
    if kinds is not None and not kinds <= FAULTS:
        parser.error(f"there is no fault {', '.join(sorted(kinds - FAULTS))}: see --list")
    changes = {"candidates": asked.candidates, "faults": asked.faults, "kinds": kinds, "liveness": asked.liveness}
    changes = {name: value for name, value in changes.items() if value is not None}
    plans = [BY_NAME[name] for name in asked.plan] if asked.plan else [BY_NAME["everything"]]
    return max(walk(replace(plan, **changes), asked) for plan in plans)


def walk(plan: Plan, asked: argparse.Namespace) -> int:
    outcome = Walk(plan).run(states=asked.states, seconds=asked.seconds, depth=asked.depth)
    print(outcome.sentence(), flush=True)
    print("\n".join(outcome.trace), flush=True)
    return 1 if outcome.broken else 0


if __name__ == "__main__":
    sys.exit(main())
