"""What the demo found: counted from what the handlers wrote, from the API server, and from the watched Lease.

Nothing is known here of what *should* have happened: `count()` gets facts and gives numbers, and every broken promise
as a sentence. The judgement of a history is `kopf_leader.testing.history`'s.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from kopf_leader.cli.demonstration.story import CUT, SECOND, Fault
from kopf_leader.cli.demonstration.watching import Holding
from kopf_leader.cli.demonstration.widgets import Widget
from kopf_leader.testing.facts import History
from kopf_leader.testing.history import Execution, Expected, Verdict, check


@dataclass(frozen=True, kw_only=True)
class Handover:
    """What came of one fault. Times are in seconds; None: it cannot be said."""

    how: str
    before: str
    after: str
    """The replica that handled next; '' when none did."""
    wait: float | None = None
    """From the fault to the first handler of the next leader."""
    went_on: float | None = None
    """From the fault to the end of the old leader's last handler; negative when it had ended before."""
    idle: float | None = None
    """From the end of the old leader's last handler to the first one of the next leader; negative: an overlap."""
    again: int = 0
    """Handlers that the old leader had begun, or even ended, and that were run again later."""
    lease: float | None = None
    """From the release of the Lease to its next acquisition, by the times that were written into it."""


@dataclass(frozen=True, kw_only=True)
class Summary:
    """The numbers, and the promises that were broken."""

    created: int
    handled: int
    """Widgets with a handler that ran to its end, and a status that says so."""
    looks: int
    """Runs of the timer."""
    repeated: int
    """Handlers cut off by a takeover and run again by the next leader: allowed, and named."""
    twice: int
    """Widgets handled to the end more than once: allowed (the process died before kopf had written it down)."""
    overlaps: int
    lost: int
    handovers: tuple[Handover, ...]
    broken: tuple[str, ...]
    """A sentence for each broken promise."""
    finished: bool = True
    """Whether it came to its end, so that what was not handled is lost."""

    @property
    def status(self) -> int:
        """The exit status of the demo."""
        return 1 if self.broken else 0


def count(
    history: History,
    widgets: Iterable[Widget],
    *,
    faults: Sequence[Fault] = (),
    holdings: Sequence[Holding] = (),
    broken: Iterable[str] = (),
    finished: bool = True,
) -> Summary:
    """Count. `broken` are the promises whose breaking was seen while it happened.

    Unless it `finished`, objects that nobody handled are no broken promise: they may have been about to be.
    """
    widgets = [*widgets]
    names = {widget.uid: widget.name for widget in widgets}
    verdict = check(history, [Expected(uid, name, handlers=("make",)) for uid, name in names.items()])
    unwritten = {widget.uid for widget in widgets if not widget.made_by}
    lost = sorted({names[expected.uid] for expected in verdict.lost} | {names[uid] for uid in unwritten})
    handovers = tuple(_handover(fault, verdict.executions, holdings) for fault in faults)
    sentences = [*broken, *_broken(verdict, lost if finished else ()), *_missing(handovers)]
    return Summary(
        created=len(widgets),
        handled=len(widgets) - len(lost),
        looks=sum(1 for run in verdict.executions if run.change is None and run.outcome == "end"),
        repeated=verdict.repeats,
        twice=len(verdict.twice),
        overlaps=len(verdict.overlaps),
        lost=len(lost),
        handovers=handovers,
        broken=tuple(sentences),
        finished=finished,
    )


def _broken(verdict: Verdict, lost: Sequence[str]) -> Iterable[str]:
    if verdict.overlaps:
        yield f"{_times(len(verdict.overlaps))} two replicas were at work at once; first: {verdict.overlaps[0]}."
    if verdict.doubled:
        yield f"{_times(len(verdict.doubled))} a replica did the same work twice at once; first: {verdict.doubled[0]}."
    if lost:
        names = ", ".join(lost[:5]) + (", …" if len(lost) > 5 else "")
        yield f"Objects that nobody handled: {len(lost)} ({names})."
    for problem in verdict.problems[:3]:
        yield f"What the handlers wrote is not whole, and proves nothing: {problem}."


def _missing(handovers: Iterable[Handover]) -> Iterable[str]:
    for handover in handovers:
        if not handover.after:
            yield f"Nobody took over from {handover.before} ({handover.how})."


def _handover(fault: Fault, executions: Sequence[Execution], holdings: Sequence[Holding]) -> Handover:
    theirs = [run for run in executions if run.process.pid != fault.pid and run.start > fault.at]
    if not theirs:
        return Handover(how=fault.how, before=fault.replica, after="")
    first = theirs[0]
    own = [run.finish for run in executions if run.process.pid == fault.pid and run.start < first.start]
    last = max(own, default=fault.at)
    return Handover(
        how=fault.how,
        before=fault.replica,
        after=first.process.replica,
        wait=(first.start - fault.at) / SECOND,
        went_on=(last - fault.at) / SECOND,
        idle=(first.start - last) / SECOND,
        again=_again(fault, executions, first.start),
        lease=_between(fault, holdings) if fault.how != CUT else None,
    )


def _again(fault: Fault, executions: Sequence[Execution], begin: int) -> int:
    """How many handlings of the old leader, of those that touch the fault or come after it, were done again."""
    done = {
        (run.uid, run.handler)
        for run in executions
        if run.change is not None
        and run.process.pid == fault.pid
        and run.start < begin
        and run.finish > fault.at - SECOND
    }
    return len(done & {(run.uid, run.handler) for run in executions if run.start >= begin})


def _between(fault: Fault, holdings: Sequence[Holding]) -> float | None:
    """From the first release after a fault to the next acquisition; None when none was seen, or not at once."""
    later = [holding for holding in holdings if holding.at > fault.at]
    if len(later) < 2 or later[0].holder or not later[1].holder:
        return None
    released, acquired = later[0].written, later[1].written
    return (acquired - released).total_seconds() if released and acquired else None


def _times(number: int) -> str:
    return "Once" if number == 1 else f"{number} times"
