"""`python -m tests.matrix`: play every row, one after the other, and write docs/fault-matrix.md.

With names of rows only these are played, and the page is printed instead.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

from tests.controlplane.binaries import build, locate
from tests.controlplane.server import RealControlPlane
from tests.matrix.engine import Observation, play
from tests.matrix.rows import GROUPS, ROWS
from tests.matrix.table import PAGE, page, write


def main() -> int:
    """Play, say what came of each, write."""
    parser = argparse.ArgumentParser(prog="python -m tests.matrix", description=__doc__)
    parser.add_argument("rows", nargs="*", metavar="ROW", help=f"one of: {', '.join(row.name for row in ROWS)}")
    parser.add_argument("--keep", type=Path, metavar="FOLDER", help="keep logs and histories there")
    arguments = parser.parse_args()
    if unknown := set(arguments.rows) - {row.name for row in ROWS}:
        parser.error(f"there is no row {', '.join(sorted(unknown))}")
    results: dict[str, list[Observation]] = {title: [] for title in GROUPS}
    with tempfile.TemporaryDirectory(prefix="kopf-leader-matrix-") as temporary:
        folder = arguments.keep or Path(temporary)
        with RealControlPlane(locate() or build()) as control_plane:
            for title, rows in GROUPS.items():
                for row in rows:
                    if arguments.rows and row.name not in arguments.rows:
                        continue
                    control_plane.revive()
                    (folder / row.name).mkdir(parents=True, exist_ok=True)
                    one = play(row, control_plane, folder / row.name)
                    results[title].append(one)
                    print(f"{row.name} ({one.seconds:.0f} s): {'; '.join(one.broken()) or 'kept'}", flush=True)
                    print(f"  {one.verdict.explain(0).splitlines()[0]}; log {one.noise}; {one.note}", flush=True)
    results = {title: ones for title, ones in results.items() if ones}
    if arguments.rows:
        print(page(results))
    else:
        write(results)
        print(f"Written: {PAGE}")
    return 1 if any(one.broken() for ones in results.values() for one in ones) else 0


if __name__ == "__main__":
    sys.exit(main())
