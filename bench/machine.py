"""What the kernel says of a process: /proc. Linux only, as the benchmarks are."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Collection
from contextlib import suppress
from pathlib import Path

IDLE = 0.02  # of a core; a leader that has nothing to do takes a tenth of that
PATIENCE = 600.0  # seconds
_TICKS = os.sysconf("SC_CLK_TCK")


def processor(pid: int) -> float:
    """Seconds on a processor so far, of all its threads, those that have ended as well; good to 10 ms."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / _TICKS


def processor_exact(pid: int) -> float:
    """The same without the threads that have ended, good to microseconds."""
    total = 0
    for task in Path(f"/proc/{pid}/task").iterdir():
        with suppress(OSError):  # it has just ended
            total += int((task / "schedstat").read_text().split()[0])
    return total / 1e9


def rest(pids: Collection[int], *, seconds: float) -> None:
    """Wait until all of them have rested for so long: nothing but what a process that waits does now and then."""
    deadline = time.monotonic() + PATIENCE
    while True:
        before = {pid: processor(pid) for pid in pids}
        time.sleep(seconds)
        if all(processor(pid) - used <= IDLE * seconds for pid, used in before.items()):
            return
        if time.monotonic() > deadline:
            raise TimeoutError(f"one of the processes {sorted(pids)} has not come to rest within {PATIENCE:g} s")


def resident(pid: int) -> float:
    """Memory in MB."""
    return int(_status(pid, "VmRSS").split()[0]) / 1024


def threads(pid: int) -> int:
    """How many there are."""
    return int(_status(pid, "Threads"))


def connections(pid: int, port: int) -> int:
    """Established TCP connections of the process to this port."""
    ours = set()
    for entry in Path(f"/proc/{pid}/fd").iterdir():
        with suppress(OSError):
            ours.add(str(entry.readlink()))
    count = 0
    for table in ("tcp", "tcp6"):
        for line in Path(f"/proc/{pid}/net/{table}").read_text().splitlines()[1:]:
            fields = line.split()
            to_port = int(fields[2].rpartition(":")[2], 16) == port
            count += to_port and fields[3] == "01" and f"socket:[{fields[9]}]" in ours
    return count


def _status(pid: int, name: str) -> str:
    match = re.search(rf"^{name}:\s+(.+)$", Path(f"/proc/{pid}/status").read_text(), re.MULTILINE)
    assert match is not None, f"/proc/{pid}/status has no {name}"
    return match[1]
