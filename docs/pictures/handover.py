"""Who was at work around each handover, from what the handlers of one run of the demo wrote down."""

from collections.abc import Iterator
from dataclasses import dataclass
from html import escape
from pathlib import Path

from kopf_leader.testing.facts import FINISHES, History

SECOND = 1_000_000_000
WIDTH, LANE, LEFT, TOP = 760, 26, 54, 46
PANEL = TOP + 3 * LANE + 48
COLOURS = {"A": "#2b8a9e", "B": "#8f4fb3", "C": "#b8860b"}
TITLES = {
    "SIGTERM": "SIGTERM to the leader: it finishes, releases, and the next one goes on",
    "SIGKILL": "SIGKILL: the next one waits until the lease duration has passed",
    "cut off": "Cut off from the API server: it stops before the next one may begin",
}
_STYLE = (
    "text{font:13px system-ui,sans-serif;fill:#1c2430}.t{font-weight:600}.s{font-size:11px;fill:#5b6b80}"
    ".l{stroke:#d3dae3}.f{stroke:#c0392b;stroke-width:1.5;stroke-dasharray:4 3}.n{fill:#f6e7c8}"
)


@dataclass(frozen=True)
class Run:
    """One run of a handler, in nanoseconds."""

    replica: str
    pid: int
    start: int
    end: int


@dataclass(frozen=True)
class Handover:
    """What was done to which process, and what the handlers did around it."""

    how: str
    replica: str
    pid: int
    at: int
    runs: tuple[Run, ...]

    @property
    def last(self) -> int:
        """When the last handler of the one that was at work ended."""
        return max(run.end for run in self.runs if run.pid == self.pid and run.start < self.next.start)

    @property
    def next(self) -> Run:
        """The first handler of another one."""
        return min((run for run in self.runs if run.pid != self.pid and run.start > self.at), key=lambda run: run.start)


def handovers(path: Path) -> Iterator[Handover]:
    """The handovers in a history, the first of each kind that has a title."""
    facts = History.read(path).facts
    runs = tuple(_runs(facts))
    for fact in facts:
        if fact["kind"] == "mark":
            how, replica, pid = str(fact["note"]).rsplit(" ", 2)
            if how in TITLES:
                yield Handover(how, replica, int(pid), fact["t"], runs)


def _runs(facts: tuple[dict[str, object], ...]) -> Iterator[Run]:
    open_: dict[object, dict[str, object]] = {}
    for fact in facts:
        if fact["kind"] == "start":
            open_[fact["run"]] = fact
        elif fact["kind"] in FINISHES and (start := open_.pop(fact["run"], None)):
            yield Run(str(start["replica"]), int(str(start["pid"])), int(str(start["t"])), int(str(fact["t"])))
        elif fact["kind"] == "death":
            for key in [key for key, start in open_.items() if start["pid"] == fact["pid"]]:
                start = open_.pop(key)
                yield Run(str(start["replica"]), int(str(start["pid"])), int(str(start["t"])), int(str(fact["t"])))


def _panel(one: Handover, top: int) -> Iterator[str]:
    gap = one.next.start - one.at
    begin, end = one.at - gap * 0.35, one.next.start + gap * 0.35
    scale = (WIDTH - LEFT - 14) / (end - begin)

    def x(moment: float) -> float:
        return LEFT + (min(max(moment, begin), end) - begin) * scale

    yield f'<text class="t" x="14" y="{top + 18}">{escape(TITLES[one.how])}</text>'
    floor = top + TOP + 3 * LANE
    idle = (one.next.start - one.last) / SECOND
    if idle > 0:
        yield (
            f'<rect class="n" x="{x(one.last):.1f}" y="{top + TOP - 14}" width="{x(one.next.start) - x(one.last):.1f}" '
            f'height="{3 * LANE + 14}"/>'
        )
        yield (
            f'<text class="s" x="{(x(one.last) + x(one.next.start)) / 2:.0f}" y="{top + TOP - 2}" '
            f'text-anchor="middle">nobody at work for {_time(idle)}</text>'
        )
    for number, name in enumerate("ABC"):
        y = top + TOP + number * LANE
        yield f'<text x="22" y="{y + 17}" style="fill:{COLOURS[name]};font-weight:600">{name}</text>'
        yield f'<path class="l" d="M{LEFT} {y + 13}H{WIDTH - 14}"/>'
        for begun, ended in _merged([(run.start, run.end) for run in one.runs if run.replica == name], scale):
            if ended > begin and begun < end:
                width = max(x(ended) - x(begun), 1.0)
                yield f'<rect x="{x(begun):.1f}" y="{y + 4}" width="{width:.1f}" height="18" fill="{COLOURS[name]}"/>'
    yield f'<path class="f" d="M{x(one.at):.1f} {top + TOP - 16}V{floor + 4}"/>'
    yield f'<text class="s" x="{x(one.at):.1f}" y="{floor + 18}" text-anchor="middle">{one.how}: {one.replica}</text>'
    after = _time(gap / SECOND)
    yield (
        f'<text class="s" x="{x(one.next.start):.1f}" y="{floor + 18}" text-anchor="middle">'
        f"{one.next.replica} begins, {after} later</text>"
    )


def _merged(spans: list[tuple[int, int]], scale: float) -> Iterator[tuple[int, int]]:
    """Spans that touch, or that are less than half a dot apart, as one."""
    begun = ended = None
    for start, end in sorted(spans):
        if begun is None or ended is None:
            begun, ended = start, end
        elif (start - ended) * scale < 0.5:
            ended = max(ended, end)
        else:
            yield begun, ended
            begun, ended = start, end
    if begun is not None and ended is not None:
        yield begun, ended


def _time(seconds: float) -> str:
    return f"{seconds * 1000:.0f} ms" if seconds < 1 else f"{seconds:.2f} s"


def draw(path: Path) -> str:
    """The picture of a history."""
    panels = [*handovers(path)]
    height = PANEL * len(panels)
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}">',
        f"<title>Who was at work around three handovers, as the handlers wrote it down</title><style>{_STYLE}</style>",
        f'<rect width="{WIDTH}" height="{height}" rx="8" fill="#fff"/>',
    ]
    for number, one in enumerate(panels):
        lines += _panel(one, number * PANEL)
    return "\n".join([*lines, "</svg>\n"])
