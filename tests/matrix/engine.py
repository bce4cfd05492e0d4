"""Plays a row: replicas under load, the fault, a leader again, and what was observed."""

from __future__ import annotations

import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from kopf_leader.testing.history import Verdict
from tests.controlplane.server import RealControlPlane
from tests.e2e.stage import Workload
from tests.matrix.scene import Noise, Scene

NAMES = ("a", "b")


def nothing(scene: Scene) -> None:
    """No preparation."""


@dataclass(frozen=True, kw_only=True)
class Row:
    """One fault. What must hold in each row: no overlap, nothing lost, nothing doubled, no traceback, a leader again.

    ``inject`` does it and takes it back; it may return what else was seen, in a few words.
    """

    name: str
    fault: str
    shows: str
    inject: Callable[[Scene], str | None]
    replicas: tuple[str, ...] = NAMES
    arguments: tuple[str, ...] = ()
    prepare: Callable[[Scene], None] = nothing
    """Before any replica starts."""
    fronted: bool = False
    """Whether replicas are behind an HTTP server of ours (`front`)."""
    wake_allowance: float = 0.0
    """What a process may run on after it was frozen, in seconds (documented exemption)."""
    overlap: str = ""
    """Why two may be at work at once here: the README does not promise otherwise. Empty: they may not."""
    noise: str = ""
    """Why tracebacks may be logged here. Empty: they may not."""
    elsewhere: str = ""
    """The test that injects the same fault in CI already; empty: this row is part of CI."""
    slow: bool = False
    """Left out of CI for its length."""


@dataclass(frozen=True, kw_only=True)
class Observation:
    """What was seen."""

    row: Row
    verdict: Verdict = field(default_factory=Verdict)
    pause: float = 0.0
    noise: dict[str, Noise] = field(default_factory=dict)
    ended: dict[str, int] = field(default_factory=dict)
    note: str = ""
    failure: str = ""
    seconds: float = 0.0

    def broken(self) -> list[str]:
        """Each promise that was not kept, as a sentence."""
        row, verdict = self.row, self.verdict
        sentences = [self.failure] if self.failure else []
        if verdict.overlaps and not row.overlap:
            sentences.append(f"{len(verdict.overlaps)} overlaps: {verdict.overlaps[0]}")
        sentences += [f"doubled: {one}" for one in verdict.doubled[:1]]
        sentences += [f"{len(verdict.lost)} lost: {one}" for one in verdict.lost[:1]]
        sentences += [f"not a history: {one}" for one in verdict.problems[:1]]
        if any(noise.tracebacks for noise in self.noise.values()) and not row.noise:
            sentences.append(f"tracebacks were logged: {self.noise}")
        return sentences


def _sentence(error: AssertionError) -> str:
    """What was waited for, or what was asserted where."""
    frame = traceback.extract_tb(error.__traceback__)[-1]
    return str(error) or f"not so: {frame.line} ({Path(frame.filename).name}:{frame.lineno})"


def play(row: Row, control_plane: RealControlPlane, folder: Path) -> Observation:
    """The row once. A promise that is broken is part of the result; only mistakes of the test raise."""
    began = time.monotonic()
    with Scene(control_plane, folder, fronted=row.fronted) as scene:
        failure, note, since, ended = "", "", 0, dict[str, int]()
        try:
            scene.create_lease()
            row.prepare(scene)
            scene.start(*row.replicas, arguments=row.arguments)
            with Workload(scene, pause=0.25, seconds=0.2, daemon=True):
                scene.leader()
                since = scene.replicas.mark(f"fault: {row.name}")
                note = row.inject(scene) or ""
                scene.create(3)
            scene.wait_until_handled()
            ended = scene.ended()
            scene.replicas.stop()
        except AssertionError as error:  # a condition that was waited for in vain
            failure = _sentence(error)
            scene.replicas.close()
        return Observation(
            row=row,
            verdict=scene.verdict(wake_allowance=row.wake_allowance),
            pause=scene.longest_pause(since),
            noise=scene.noise(),
            ended=ended,
            note=note,
            failure=failure,
            seconds=time.monotonic() - began,
        )
