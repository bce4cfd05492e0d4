"""Plays scenarios, several at a time, for they mostly wait; says what was observed."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from tests.controlplane.server import RealControlPlane
from tests.mixed.fleet import Fleet
from tests.mixed.judge import Fault, Judgement
from tests.mixed.scenarios import Scenario

AT_ONCE = 5


@dataclass(frozen=True)
class Outcome:
    """What came of a scenario."""

    scenario: Scenario
    judgements: tuple[Judgement, ...]
    notes: tuple[str, ...]
    tracebacks: tuple[str, ...]
    seconds: float
    logs: str

    def faults(self, *, ours: bool) -> list[Fault]:
        """Of ours, or of others."""
        return [fault for judgement in self.judgements for fault in judgement.of(ours=ours)]

    def broken(self) -> list[str]:
        """What must not be, each a sentence."""
        found = [f"ours is at fault: {fault.culprit}: {fault.overlap}" for fault in self.faults(ours=True)]
        if not self.scenario.theirs:
            found += [f"not known of {fault.kind}: {fault.overlap}" for fault in self.faults(ours=False)]
        for judgement in self.judgements:
            found += judgement.verdict.problems
            found += [f"doubled: {overlap}" for overlap in judgement.verdict.doubled]
            if not judgement.verdict.executions:
                found.append(f"nobody ever led {judgement.lease}")
        return [*found, *(f"a traceback in the log of {name}" for name in self.tracebacks)]

    def report(self) -> str:
        """All of it, for a failure."""
        return "\n".join([*self.broken(), *(one.explain() for one in self.judgements), self.logs])


def play(scenario: Scenario, control_plane: RealControlPlane, folder: Path) -> Outcome:
    """Play it to its end; raises what the scenario raises."""
    begin = time.monotonic()
    folder.mkdir(parents=True)
    with Fleet(control_plane, folder, scenario.leases) as fleet:
        scenario.play(fleet)
        fleet.replicas.stop()
        names = [name for name, kind in fleet.kinds.items() if kind == "ours"]
        return Outcome(
            scenario=scenario,
            judgements=tuple(fleet.judge()),
            notes=tuple(fleet.notes),
            tracebacks=tuple(name for name in names if "Traceback" in fleet.replicas[name].text()),
            seconds=time.monotonic() - begin,
            logs=fleet.replicas.tails(),
        )


class Stages:
    """Starts the scenarios: those that need the API server for themselves after all others."""

    def __init__(self, control_plane: RealControlPlane, folder: Path) -> None:
        self._control_plane = control_plane
        self._folder = folder
        self._pool = ThreadPoolExecutor(AT_ONCE, thread_name_prefix="scenario")
        self._futures: dict[str, Future[Outcome]] = {}
        self._lock = threading.Lock()

    def begin(self, scenarios: Sequence[Scenario]) -> None:
        """Begin them, unless they have begun."""
        with self._lock:
            new = [one for one in scenarios if one.name not in self._futures]
            for scenario in sorted(new, key=lambda one: one.alone):
                others = list(self._futures.values()) if scenario.alone else []
                self._futures[scenario.name] = self._pool.submit(self._run, scenario, others)

    def outcome(self, scenario: Scenario) -> Outcome:
        """What came of it; waits for its end, raises what it raised."""
        return self._futures[scenario.name].result()

    def close(self) -> None:
        """Wait for those that run, forget the others."""
        self._pool.shutdown(cancel_futures=True)

    def _run(self, scenario: Scenario, others: Sequence[Future[Outcome]]) -> Outcome:
        for other in others:
            other.exception()
        return play(scenario, self._control_plane, self._folder / scenario.name)
