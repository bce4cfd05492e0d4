"""Who was at work when, whether two were, and whose fault that was.

The history checker decides what overlaps. Whose fault an overlap is, the Lease says, as the watchman saw it: whoever
holds it is in the right, if the other one has given it up, or has not renewed it for a lease duration when the work of
the holder began. Otherwise the holder took what was not free.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from kopf_leader.testing.history import History, Overlap, Verdict, check
from tests.mixed.programs import Kind
from tests.mixed.watchman import Sight

# After SIGCONT a process runs on until it has looked at the clock; the checker reports what it exempts.
WAKE_ALLOWANCE = 3.0
# Nanoseconds by which the watchman may be behind the candidates on a busy machine.
BEHIND = 500_000_000
SECOND = 1_000_000_000


@dataclass(frozen=True)
class Fault:
    """An overlap, and the one of the two who should not have been at work."""

    overlap: Overlap
    culprit: str
    kind: Kind


@dataclass(frozen=True)
class Judgement:
    """What the history of one Lease shows; ``exempt`` is how long, in seconds, ours ran on after waking, at most."""

    lease: str
    verdict: Verdict
    faults: tuple[Fault, ...]
    exempt: float
    leaders: tuple[str, ...]
    kinds: Mapping[str, Kind]

    def of(self, *, ours: bool) -> list[Fault]:
        """Our faults, or those of others."""
        return [fault for fault in self.faults if (fault.kind == "ours") is ours]

    def explain(self) -> str:
        """The verdict in words."""
        lines = [f"{self.lease}: led by {', then '.join(self.leaders)}", self.verdict.explain()]
        return "\n".join([*lines, *(f"the fault of {fault.culprit}: {fault.overlap}" for fault in self.faults)])


def only(history: History, lease: str) -> History:
    """What concerns this Lease: its runs, and the fate of the processes."""
    runs = {(fact["pid"], fact["run"]) for fact in history.facts if fact["kind"] == "start" and fact["uid"] == lease}
    facts = [fact for fact in history.facts if "run" not in fact or (fact["pid"], fact["run"]) in runs]
    return History(tuple(facts), history.problems)


def judge(
    history: History, lease: str, sights: Sequence[Sight], *, lease_duration: float, kinds: Mapping[str, Kind]
) -> Judgement:
    """Judge what was done under one Lease. Only ours is given time after waking: of others, all is shown."""

    def faults(overlaps: Sequence[Overlap], *, ours: bool) -> list[Fault]:
        culprits = [blame(overlap, sights, lease_duration=lease_duration) for overlap in overlaps]
        found = [Fault(overlap, name, kinds[name]) for overlap, name in zip(overlaps, culprits, strict=True)]
        return [fault for fault in found if (fault.kind == "ours") is ours]

    strict = check(only(history, lease))
    lenient = check(only(history, lease), wake_allowance=WAKE_ALLOWANCE)
    exempted = faults(lenient.exempted, ours=True)
    return Judgement(
        lease,
        strict,
        faults=(*faults(lenient.overlaps, ours=True), *faults(strict.overlaps, ours=False)),
        exempt=max((fault.overlap.seconds for fault in exempted), default=0.0),
        leaders=tuple(run.process.replica for run in strict.executions),
        kinds=dict(kinds),
    )


def blame(overlap: Overlap, sights: Sequence[Sight], *, lease_duration: float) -> str:
    """The name of the one who should not have been at work."""
    first, second = overlap.first.process.replica, overlap.second.process.replica
    moment = overlap.begin + BEHIND // 2
    held = [sight for sight in sights if sight.t <= moment and sight.holder in (first, second)]
    if not held:
        return second  # nobody holds it, and this one began
    holder = held[-1].holder
    other = second if holder == first else first
    before = [number for number, sight in enumerate(sights) if sight.holder == other and sight.t <= moment]
    if not before:
        return other  # it has never held
    last = sights[before[-1]]
    after = sights[before[-1] + 1] if before[-1] + 1 < len(sights) else None
    if after is not None and not after.deleted and not after.holder:
        return other  # it has given it up, and was at work all the same
    silent = overlap.begin - last.t >= lease_duration * SECOND - BEHIND
    return other if silent else holder
