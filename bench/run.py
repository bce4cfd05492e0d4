"""The rows of one run, each handed over as soon as it is measured.

Those that mostly wait go on at the same time, and first. When they are through, the others are measured one by one,
with nothing beside them.
"""

from __future__ import annotations

import traceback
from collections.abc import Callable, Collection
from concurrent.futures import ThreadPoolExecutor
from threading import Event

from bench.conditions import Watch, version
from bench.ground import Ground
from bench.rows import (
    ROWS,
    blocked,
    events,
    evidence,
    fencing,
    gate,
    handover,
    herd,
    leases,
    load,
    memory,
    peering,
    pending,
    sigkill,
    sigterm,
    standing,
    startup,
    traffic,
    usable,
    warm,
)
from bench.table import Line, Row

# Each sets its event when it has started what it needs, and only then the next one is begun.
TOGETHER: dict[str, Callable[[Ground, Event], list[Line]]] = {
    "requests": traffic.measure,  # first, as it starts forty processes
    "standing": standing.measure,
    "leases": leases.measure,
    "blocked": blocked.measure,
    "sigkill": sigkill.measure,
}
ONE_BY_ONE: dict[str, Callable[[Ground], list[Line]]] = {
    "gate": gate.measure,
    "handover": handover.measure,
    "herd": herd.measure,
    "sigterm": sigterm.measure,
    "peering": peering.measure,
    "startup": startup.measure,
    "events": events.measure,
    "pending": pending.measure,
    "warm": warm.measure,
    "fencing": fencing.measure,
    "memory": memory.measure,
    "evidence": evidence.measure,
    "usable": usable.measure,  # the longest ones last
    "load": load.measure,
}
START = 300.0  # seconds that the next one waits for one of those that go on together to be started


class Run:
    """Measures the rows that are wanted. `take` gets each of them; it is called by several threads."""

    def __init__(self, ground: Ground, wanted: Collection[str], take: Callable[[str, Row], None]) -> None:
        self.failed: list[str] = []
        self.left = [name for name in ROWS if name in wanted]
        self._ground = ground
        self._take = take
        self._version = version()

    def measure(self) -> None:
        """All of them."""
        together = [name for name in TOGETHER if name in self.left]
        with ThreadPoolExecutor(max(1, len(together))) as pool:
            futures = []
            for name in together:
                settled = Event()
                futures.append(pool.submit(self._measure, name, self._waiting(name, settled), together))
                # Also where it could not be started.
                futures[-1].add_done_callback(lambda _, settled=settled: settled.set())
                settled.wait(START)
            for future in futures:
                future.result()
        for name, function in ONE_BY_ONE.items():
            if name in self.left:
                self._measure(name, lambda function=function: function(self._ground), ())

    def _waiting(self, name: str, settled: Event) -> Callable[[], list[Line]]:
        return lambda: TOGETHER[name](self._ground, settled)

    def _measure(self, name: str, function: Callable[[], list[Line]], together: Collection[str]) -> None:
        """A row that cannot be measured says so in the table, and costs no other row."""
        self._ground.say(f"{name}: begun")
        beside = [other for other in together if other != name]
        watch = Watch(full=self._ground.full, version=self._version, beside=beside)
        try:
            lines = function()
        except Exception as error:  # noqa: BLE001 (told in the table)
            traceback.print_exc()
            lines = [Line(what=name, notes=f"could not be measured: {type(error).__name__}")]
            self.failed.append(name)
        self._take(name, Row(watch.stop(), lines))
        self.left.remove(name)
        how = "failed" if name in self.failed else "measured"
        self._ground.say(f"{name}: {how}, took {watch.passed}; left: {', '.join(self.left) or 'none'}")
