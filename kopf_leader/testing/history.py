"""The checker: reads what handlers wrote (``facts``) and decides whether the promises were kept.

How it judges, always in doubt against the replicas:

- An *execution* lasts from its ``start`` to its ``end``, ``cancelled`` or ``failed``. Without one of these it lasts to
  the ``death`` of its process; without a death it goes on for ever (to the last fact of the history and beyond).
  So a test that kills a process must write its death, or later leaders overlap with it.
- *Overlap*: two executions of different processes share a moment, of whatever handler on whatever object. Never
  allowed. Touching (one ends in the nanosecond in which the other starts) is no overlap.
- *Doubled*: one process runs the same handler of the same object twice at once (a daemon that survived a demotion).
  Never allowed.
- *Lost*: what the test expects of an object was never handled to the end. Never allowed.
- *Cut and repeated*: an execution without ``end``, done again later. Allowed; counted.
- *Handled twice*: one change of an object ran to its ``end`` more than once. Counted, and left to the test: the claim
  does not exclude it (a process can die between the end of a handler and the write that records it).
- *Frozen*: from ``frozen`` to ``woken`` a process runs nothing, so these moments are no part of its executions. After
  ``woken`` the claim leaves what was running some milliseconds until the process has looked at the clock.
  ``wake_allowance`` (seconds, 0 unless told) bounds them: an overlap inside is reported as *exempted*; one nanosecond
  beyond is an overlap, and so is a handler that *starts* after the waking.
- What cannot be true (an end without a start, a fact of a dead process, a torn line) is a *problem*: a history that is
  not whole proves nothing, and is rejected.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

from kopf_leader.testing.facts import FINISHES, History

__all__ = ["Execution", "Expected", "Handover", "History", "Overlap", "Process", "Verdict", "check"]

FOREVER = 1 << 62
_SECOND = 1_000_000_000


@dataclass(frozen=True, order=True)
class Process:
    """One life of one replica: a restart is another process, whatever its name."""

    replica: str
    pid: int

    def __str__(self) -> str:
        return f"{self.replica or 'replica'} (pid {self.pid})"


@dataclass(frozen=True)
class Execution:
    """One run of one handler; ``outcome`` is end, cancelled, failed, death or open."""

    process: Process
    run: str
    handler: str
    uid: str
    name: str
    change: str | None
    start: int
    finish: int
    outcome: str

    def __str__(self) -> str:
        what = f"{self.handler} of {self.name or self.uid}"
        return (
            f"{what} by {self.process}" if self.change is None else f"{what} (change {self.change}) by {self.process}"
        )


@dataclass(frozen=True)
class Expected:
    """One of ``handlers`` (any, when empty) must have run to its end for this object and change (any, when None)."""

    uid: str
    name: str = ""
    change: str | None = None
    handlers: tuple[str, ...] = ()

    def __str__(self) -> str:
        which = " or ".join(self.handlers) or "any handler"
        change = "" if self.change is None else f" for change {self.change}"
        return f"{self.name or self.uid}: {which}{change}"


@dataclass(frozen=True)
class Overlap:
    """Two executions at once, from ``begin`` for ``seconds``."""

    first: Execution
    second: Execution
    begin: int
    seconds: float

    def __str__(self) -> str:
        return f"{self.first} and {self.second} ran at the same time for {self.seconds:.6f} s"


@dataclass(frozen=True)
class Handover:
    """Work went from one process to another; ``seconds`` without any execution (negative when they overlapped)."""

    before: Process
    after: Process
    at: int
    seconds: float


@dataclass(frozen=True)
class Verdict:
    """What the history shows. ``ok`` is the promise; ``explain()`` says in words what broke it."""

    executions: tuple[Execution, ...] = ()
    overlaps: tuple[Overlap, ...] = ()
    exempted: tuple[Overlap, ...] = ()
    doubled: tuple[Overlap, ...] = ()
    lost: tuple[Expected, ...] = ()
    twice: tuple[tuple[Execution, ...], ...] = ()
    repeats: int = 0
    handovers: tuple[Handover, ...] = ()
    problems: tuple[str, ...] = ()

    @property
    def ok(self) -> bool:
        """No overlap, nothing doubled, nothing lost, and a history that can be believed."""
        return not (self.overlaps or self.doubled or self.lost or self.problems)

    @property
    def exempted_seconds(self) -> float:
        """The longest exemption: how long a process that woke ran on beside its successor."""
        return max((overlap.seconds for overlap in self.exempted), default=0.0)

    def explain(self, limit: int = 10) -> str:
        """Counts, then every broken promise as a sentence, ``limit`` of each kind."""
        count = len(self.executions)
        counts = (
            f"{count} executions, {len(self.overlaps)} overlaps, {len(self.doubled)} doubled, {len(self.lost)} lost, "
            f"{len(self.twice)} handled twice, {self.repeats} cut and repeated, {len(self.exempted)} exempted after "
            f"waking (at most {self.exempted_seconds:.3f} s), {len(self.handovers)} handovers"
        )
        lines = [counts]
        lines += _some("not a history", self.problems, limit)
        lines += _some("overlap", self.overlaps, limit)
        lines += _some("doubled", self.doubled, limit)
        lines += _some("lost", self.lost, limit)
        lines += _some("handled twice", [f"{runs[0]}, then {runs[-1].process}" for runs in self.twice], limit)
        lines += _some("exempted", self.exempted, limit)
        return "\n".join(lines)


def _some(label: str, things: Sequence[object], limit: int) -> list[str]:
    lines = [f"{label}: {thing}" for thing in things[:limit]]
    return lines + ([f"{label}: ... and {len(things) - limit} more"] if len(things) > limit else [])


@dataclass
class _Life:
    """What is known of one process."""

    death: int | None = None
    frozen: list[tuple[int, int]] = field(default_factory=list)


def check(history: History, objects: Iterable[Expected] = (), *, wake_allowance: float = 0.0) -> Verdict:
    """Judge ``history`` against the promises and against what is expected of ``objects``."""
    problems = list(history.problems)
    lives = _lives(history.facts, problems)
    executions = sorted(_executions(history.facts, lives, problems), key=lambda run: (run.start, run.run))
    overlaps, exempted, doubled = _clashes(executions, lives, int(wake_allowance * _SECOND))
    twice, repeats = _repetitions(executions)
    return Verdict(
        executions=tuple(executions),
        overlaps=tuple(overlaps),
        exempted=tuple(exempted),
        doubled=tuple(doubled),
        lost=tuple(_lost(executions, objects)),
        twice=tuple(twice),
        repeats=repeats,
        handovers=tuple(_handovers(executions)),
        problems=tuple(problems),
    )


def _owner(fact: dict[str, Any]) -> Process:
    return Process(fact["replica"], fact["pid"])


def _lives(facts: Sequence[dict[str, Any]], problems: list[str]) -> dict[Process, _Life]:
    lives: dict[Process, _Life] = defaultdict(_Life)
    asleep: dict[Process, int] = {}
    for fact in facts:
        kind = fact["kind"]
        if kind not in ("death", "frozen", "woken"):
            continue
        process, moment = _owner(fact), fact["t"]
        if kind == "death":
            if lives[process].death is not None:
                problems.append(f"{process} died twice")
            lives[process].death = moment
        elif kind == "frozen":
            if process in asleep:
                problems.append(f"{process} was frozen twice without waking")
            asleep[process] = moment
        elif process not in asleep or moment < asleep[process]:
            problems.append(f"{process} woke without having been frozen before")
        else:
            lives[process].frozen.append((asleep.pop(process), moment))
    for process, moment in asleep.items():
        lives[process].frozen.append((moment, FOREVER))
    for process, life in lives.items():
        problems.extend(f"{process} {what}" for what in _after_death(life))
    return lives


def _after_death(life: _Life) -> Iterator[str]:
    if life.death is None:
        return
    for begin, end in life.frozen:
        if begin > life.death:
            yield "was frozen after its death"
        elif life.death < end < FOREVER:
            yield "woke after its death"


def _executions(
    facts: Sequence[dict[str, Any]], lives: dict[Process, _Life], problems: list[str]
) -> Iterator[Execution]:
    starts: dict[tuple[Process, str], dict[str, Any]] = {}
    finishes: dict[tuple[Process, str], dict[str, Any]] = {}
    for fact in facts:
        kind = fact["kind"]
        if kind not in ("start", *FINISHES):
            continue
        process = _owner(fact)
        key, life = (process, fact["run"]), lives[process]
        if life.death is not None and fact["t"] > life.death:
            problems.append(f"{process} wrote {kind} after its death")
        if any(begin < fact["t"] < end for begin, end in life.frozen):
            problems.append(f"{process} wrote {kind} while it was frozen")
        known = starts if kind == "start" else finishes
        if key in known:
            problems.append(f"run {fact['run']} of {process} {'started' if kind == 'start' else 'finished'} twice")
        known.setdefault(key, fact)
    problems.extend(f"run {run} of {process} finished and never started" for process, run in finishes.keys() - starts)
    for (process, run), fact in starts.items():
        last, death = finishes.get((process, run)), lives[process].death
        finish, outcome = (FOREVER, "open") if death is None else (max(death, fact["t"]), "death")
        if last is not None:
            finish, outcome = last["t"], last["kind"]
        if finish < fact["t"]:
            problems.append(f"run {run} of {process} finished before it started")
            finish = fact["t"]
        name, change = str(fact.get("name") or ""), fact.get("change")
        change = None if change is None else str(change)
        yield Execution(process, run, fact["handler"], fact["uid"], name, change, fact["t"], finish, outcome)


@dataclass(frozen=True)
class _Piece:
    """An uninterrupted stretch of an execution; ``resumed`` when it begins with the waking of its process."""

    run: Execution
    begin: int
    end: int
    resumed: bool


def _pieces(run: Execution, life: _Life) -> Iterator[_Piece]:
    """The moments in which it really ran: its time without the frozen stretches."""
    begin, resumed = run.start, False
    for asleep, awake in sorted(life.frozen):
        if asleep >= run.finish or awake <= begin:
            continue
        if asleep > begin:
            yield _Piece(run, begin, asleep, resumed)
        begin, resumed = awake, True
    if begin < run.finish:
        yield _Piece(run, begin, run.finish, resumed)
    elif run.start == run.finish:
        yield _Piece(run, begin, begin + 1, resumed)  # an instant is a moment too


def _clashes(
    executions: Sequence[Execution], lives: dict[Process, _Life], allowance: int
) -> tuple[list[Overlap], list[Overlap], list[Overlap]]:
    overlaps: list[Overlap] = []
    exempted: list[Overlap] = []
    doubled: list[Overlap] = []
    pieces = [piece for run in executions for piece in _pieces(run, lives[run.process])]
    running: list[_Piece] = []
    for piece in sorted(pieces, key=lambda piece: piece.begin):
        running = [other for other in running if other.end > piece.begin]
        for other in running:
            if other.run.process != piece.run.process:
                pardoned, broken = _judge(other, piece, allowance)
                exempted += pardoned
                overlaps += broken
            elif other.run.run != piece.run.run and _same_work(other.run, piece.run):
                doubled.append(_overlap(other, piece, piece.begin, min(other.end, piece.end)))
        running.append(piece)
    return overlaps, exempted, doubled


def _same_work(one: Execution, other: Execution) -> bool:
    return (one.uid, one.handler) == (other.uid, other.handler)


def _judge(first: _Piece, second: _Piece, allowance: int) -> tuple[list[Overlap], list[Overlap]]:
    """Split what the two share: exempt until the allowance after a waking is used up, an overlap beyond."""
    begin, end = second.begin, min(first.end, second.end)
    pardon = max((piece.begin + allowance for piece in (first, second) if piece.resumed), default=begin)
    border = min(max(begin, pardon), end)
    pardoned = [_overlap(first, second, begin, border)] if border > begin else []
    broken = [_overlap(first, second, border, end)] if end > border else []
    return pardoned, broken


def _overlap(first: _Piece, second: _Piece, begin: int, end: int) -> Overlap:
    return Overlap(first.run, second.run, begin, _seconds(begin, end))


def _seconds(begin: int, end: int) -> float:
    return float("inf") if end >= FOREVER else (end - begin) / _SECOND


def _repetitions(executions: Sequence[Execution]) -> tuple[list[tuple[Execution, ...]], int]:
    by_change: dict[tuple[str, str, str], list[Execution]] = defaultdict(list)
    for run in executions:
        if run.change is not None:
            by_change[run.uid, run.handler, run.change].append(run)
    ended = [tuple(run for run in runs if run.outcome == "end") for runs in by_change.values()]
    # A run that did not come to its end, with another one after it.
    repeats = sum(1 for runs in by_change.values() for run in runs[:-1] if run.outcome != "end")
    return [runs for runs in ended if len(runs) > 1], repeats


def _lost(executions: Sequence[Execution], objects: Iterable[Expected]) -> Iterator[Expected]:
    done: dict[str, list[Execution]] = defaultdict(list)
    for run in executions:
        if run.outcome == "end":
            done[run.uid].append(run)
    for wanted in objects:
        served = any(
            (not wanted.handlers or run.handler in wanted.handlers) and wanted.change in (None, run.change)
            for run in done[wanted.uid]
        )
        if not served:
            yield wanted


def _handovers(executions: Sequence[Execution]) -> Iterator[Handover]:
    latest = 0
    for before, after in pairwise(executions):
        latest = max(latest, before.finish)
        if before.process != after.process:
            yield Handover(before.process, after.process, after.start, (after.start - latest) / _SECOND)
