"""The summary in words and columns, the same for terminals and for plain output."""

from collections.abc import Iterator

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from kopf_leader.cli.demonstration.story import CUT
from kopf_leader.cli.demonstration.summary import Handover, Summary


def report(summary: Summary, seconds: float) -> RenderableType:
    """What was counted, and whether a promise was broken."""
    parts: list[RenderableType] = [
        Text("Counted from what the handlers wrote down, and from the API server:", style="bold"),
        *_numbers(summary),
    ]
    if summary.handovers:
        parts += [Text(), _handovers(summary)]
    parts += [Text(sentence) for handover in summary.handovers for sentence in _cut(handover)]
    parts.append(Text())
    parts += [Text(f"BROKEN: {sentence}", style="bold red") for sentence in summary.broken]
    if not summary.broken:
        parts.append(Text(f"Every promise was kept ({seconds:.0f} s).", style="bold green"))
    return Group(*parts)


def _numbers(summary: Summary) -> Iterator[Text]:
    for number, text in (
        (summary.created, "objects created"),
        (summary.handled, "handled"),
        (summary.lost, "lost" if summary.finished else "not handled when it broke off"),
        (summary.overlaps, "times two replicas were at work at once"),
        (summary.repeated, "handlers cut off by a takeover, and run again by the next leader"),
        (summary.twice, "objects handled to the end twice, one time after the other"),
        (summary.looks, "rounds of the timer"),
    ):
        yield Text(f"{number:6}  {text}")


def _handovers(summary: Summary) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim")
    table.add_column("")
    table.add_column("leader")
    table.add_column("first handler after", justify="right")
    table.add_column("nobody at work", justify="right")
    table.add_column("Lease free", justify="right")
    table.add_column("run again", justify="right")
    for one in summary.handovers:
        times = map(_time, (one.wait, one.idle, one.lease))
        table.add_row(one.how, f"{one.before} → {one.after or '?'}", *times, str(one.again))
    return table


def _cut(handover: Handover) -> Iterator[str]:
    if handover.how == CUT and handover.went_on is not None and handover.idle is not None and handover.idle >= 0:
        yield ""
        yield (
            f"Cut off from the API server, {handover.before} went on for {_time(handover.went_on)}. "
            f"{handover.after}'s first handler began {_time(handover.idle)} after {handover.before}'s last one ended."
        )


def _time(seconds: float | None) -> str:
    if seconds is None:
        return "–"
    return f"{seconds * 1000:.0f} ms" if abs(seconds) < 0.1 else f"{seconds:.2f} s"
