"""A process that stands for some Leases, for tests and benchmarks of takeovers: a line of JSON for each change.

python -m tests.e2e.candidate --facts FILE --namespace NAMESPACE [--takeover evidence] [--lease-duration 6 …] LEASE …
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import signal
import sys
import threading
import time
from pathlib import Path
from typing import Any

from kopf_leader import BlockingElector, Leading, Stopping


def main() -> None:
    """Stand until killed; SIGTERM releases."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--facts", type=Path, required=True)
    for name in ("namespace", "takeover", "lease-duration", "renew-deadline", "retry-period"):
        parser.add_argument(f"--{name}")
    parser.add_argument("leases", nargs="+")
    asked = parser.parse_args()
    logging.basicConfig(level=logging.INFO, stream=sys.stderr)
    candidacy = {name: value for name, value in vars(asked).items() if name not in ("facts", "leases")}
    for lease in asked.leases:
        threading.Thread(target=stand, args=(lease, asked.facts, candidacy), daemon=True).start()
    signal.sigwait({signal.SIGTERM})


def stand(lease: str, facts: Path, candidacy: dict[str, Any]) -> None:
    """One Lease, in a thread of its own."""
    with BlockingElector(lease, **candidacy) as elector:
        for standing in elector.standings():
            what = "leading" if isinstance(standing, Leading) else "stopping" if isinstance(standing, Stopping) else ""
            fact = {"t": time.clock_gettime_ns(time.CLOCK_BOOTTIME), "lease": lease, "what": what or "standby"}
            fact |= {"by": elector.identity, "token": getattr(getattr(standing, "term", None), "token", 0)}
            line = json.dumps(fact).encode() + b"\n"
            out = os.open(facts, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
            os.write(out, line)  # in one piece, beside those of other processes
            os.close(out)


if __name__ == "__main__":
    main()
