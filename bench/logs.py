"""What an operator of `bench/handlers` has written down, a line each: its pid, a word, the time in ns."""

from __future__ import annotations

import time
from pathlib import Path

from kopf_leader.testing.processes import Replica

PATIENCE = 600.0  # seconds


def times(log: Path, replica: Replica, what: str) -> list[int]:
    """When this replica did that, time by time."""
    if not log.exists():
        return []
    lines = [line.split() for line in log.read_text().splitlines()]
    return [int(line[2]) for line in lines if line[:2] == [str(replica.pid), what]]


def wait(log: Path, replica: Replica, what: str, number: int = 1, *, patience: float = PATIENCE) -> int:
    """When it did that for the so-manieth time; raises TimeoutError."""
    deadline = time.monotonic() + patience
    while len(found := times(log, replica, what)) < number:
        if time.monotonic() > deadline or not replica.alive:
            raise TimeoutError(f"{replica.name} has {what} {len(found)} of {number}\n{replica.tail()}")
        time.sleep(0.1)
    return found[number - 1]
