"""`python -m tests.mixed`: play every scenario, and write docs/mixed-fleets.md.

With names of scenarios only these are played, and the page is printed instead.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

from tests.controlplane.binaries import build, locate
from tests.controlplane.server import RealControlPlane
from tests.mixed import programs
from tests.mixed.engine import Outcome, Stages
from tests.mixed.scenarios import SCENARIOS, Scenario
from tests.mixed.table import PAGE, page


def main() -> int:
    """Play, say what came of each, write if all could be played."""
    parser = argparse.ArgumentParser(prog="python -m tests.mixed", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="SCENARIO", help=", ".join(one.name for one in SCENARIOS))
    parser.add_argument("--keep", type=Path, metavar="FOLDER", help="keep logs and histories there")
    arguments = parser.parse_args()
    chosen = [one for one in SCENARIOS if not arguments.names or one.name in arguments.names]
    if unknown := set(arguments.names) - {one.name for one in SCENARIOS}:
        parser.error(f"there is no scenario {', '.join(sorted(unknown))}")
    programs.main()
    with tempfile.TemporaryDirectory(prefix="mixed-") as temporary, RealControlPlane(locate() or build()) as server:
        stages = Stages(server, arguments.keep or Path(temporary))
        try:
            stages.begin(chosen)
            outcomes = [one for scenario in chosen if (one := _tell(stages, scenario)) is not None]
        finally:
            stages.close()
    text = page(outcomes)
    if arguments.names or len(outcomes) < len(chosen):
        print(text)
    else:
        PAGE.write_text(text)
        print(f"Written: {PAGE}")
    return 1 if len(outcomes) < len(chosen) or any(one.broken() for one in outcomes) else 0


def _tell(stages: Stages, scenario: Scenario) -> Outcome | None:
    try:
        outcome = stages.outcome(scenario)
    except Exception as error:
        print(f"{scenario.name}: {type(error).__name__}: {error}", flush=True)
        return None
    print(f"{scenario.name} ({outcome.seconds:.0f} s): {'; '.join(outcome.broken()) or 'kept'}", flush=True)
    if outcome.broken():
        print(outcome.report(), flush=True)
    return outcome


if __name__ == "__main__":
    sys.exit(main())
