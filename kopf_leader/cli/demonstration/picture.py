"""The picture in the terminal: who leads, who does what, who was at work when, and how long each handover took."""

import asyncio

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.rule import Rule
from rich.table import Table
from rich.text import Text

from kopf_leader.cli.demonstration import timeline
from kopf_leader.cli.demonstration.replicas import Member
from kopf_leader.cli.demonstration.scenario import Scenario, connected
from kopf_leader.cli.demonstration.story import SECOND, Act, Fault
from kopf_leader.cli.demonstration.timeline import COLOURS, Span
from kopf_leader.cli.demonstration.watching import Watching
from kopf_leader.testing import facts

FRAME = 0.12  # seconds between two pictures
NAMES = {"make": "makes", "look after": "looks after"}


async def show(console: Console, scenario: Scenario) -> None:
    """Draw, again and again, on a screen of its own: nothing is erased before it is drawn over, so nothing flickers."""
    with Live(console=console, screen=True, auto_refresh=False, redirect_stdout=False, redirect_stderr=False) as live:
        while True:
            live.update(draw(scenario, console.width, console.height), refresh=True)
            await asyncio.sleep(FRAME)


def draw(scenario: Scenario, width: int, height: int | None = None) -> RenderableType:
    """The picture, for a terminal of this size; without a height it takes what it needs."""
    story = scenario.story
    blocks: list[list[RenderableType]] = [
        _head(scenario, width),
        _act(story.act, width),
        [_members(scenario)],
        _lanes(scenario, width),
        [_numbers(scenario)],
        [_handovers(scenario)] if story.faults else [],
    ]
    # Blank lines between the blocks, as far as there is room: what a block needs is known after it is wrapped.
    console = Console(width=width, height=1000, color_system=None)
    needed = sum(len(console.render_lines(Group(*block), console.options)) for block in blocks)
    spare = (height or 1000) - needed
    parts: list[RenderableType] = []
    for index, block in enumerate(blocks):
        if index > 1 and block and spare > 0:
            parts.append(Text())
            spare -= 1
        parts += block
    return Group(*parts)


def last(scenario: Scenario, width: int) -> RenderableType:
    """What stays of the picture when it is over; the summary tells the rest."""
    return Group(_members(scenario), Text(), *_lanes(scenario, width))


def _head(scenario: Scenario, width: int) -> list[RenderableType]:
    story = scenario.story
    left = f"kopf-leader demo  {story.seconds:4.0f} s"
    right = f"{story.number} of {story.acts}   Ctrl-C ends it and leaves nothing behind"
    return [
        Text(left + right.rjust(max(width - len(left), len(right) + 2)), style="dim", no_wrap=True),
        Rule(style="dim"),
    ]


def _act(act: Act, width: int) -> list[RenderableType]:
    """What is going on. Always three lines, so that the rest keeps its place."""
    lines = Text(act.text).wrap(Console(width=width), width)
    return [Text(act.title, style="bold"), *[*lines, Text(), Text()][: max(2, len(lines))]]


def _members(scenario: Scenario) -> Table:
    table = Table.grid(padding=(0, 2))
    table.add_column(no_wrap=True)
    table.add_column(no_wrap=True, width=9)
    table.add_column(no_wrap=True, width=22)
    table.add_column(no_wrap=True, width=12, justify="right")
    table.add_column(no_wrap=True, ratio=1)
    for member in scenario.team:
        role, style, doing = _state(member, scenario.watching)
        made = scenario.watching.notes.made[member.name]
        name = Text(f"{'▶' if role.startswith('leads') else ' '} {member.name}", style=f"bold {COLOURS[member.name]}")
        table.add_row(
            name,
            Text(f"pid {member.pid}", style="dim"),
            Text(role, style=style),
            f"{made} handled",
            Text(doing, style="dim"),
        )
    return table


def _state(member: Member, watching: Watching) -> tuple[str, str, str]:
    """Its part, in which style, and what it is doing."""
    runs = sorted(watching.notes.running(member.name), key=lambda run: run.start)
    doing = f"{NAMES[runs[0].handler]} {runs[0].name}" if runs else ""
    leads = watching.holder == member.identity
    if not member.alive:
        return ("killed" if member.asked == "SIGKILL" else "has left"), "red", ""
    if member.asked == "SIGTERM":
        return "leaves", "yellow", doing or "finishes and releases"
    if member.cut:
        recent = [run for run in watching.notes.runs[-50:] if run.pid == member.pid]
        ended = max((run.finish or facts.now() for run in recent), default=0)
        idle = (facts.now() - ended) / SECOND
        return ("cut off, still leading", "red", doing) if idle < 1 and leads else ("cut off, has stopped", "red", "")
    if leads:
        return "leads", "bold green", doing
    if not connected(member):
        return "starts", "dim", ""
    return "stands by", "", ""


def _lanes(scenario: Scenario, width: int) -> list[RenderableType]:
    """The time line, from the beginning to now."""
    story, notes, now = scenario.story, scenario.watching.notes, facts.now()
    expected = 14 + 2.1 * story.plan.lease_duration
    scale = timeline.Scale(began=story.began, now=now, width=max(width - 2, 10), expected=expected)
    column = f"one column is {2 * scale.half / SECOND:.1f} s"
    rows: list[RenderableType] = [Text(f"  {timeline.LEGEND}   {column}", style="dim", no_wrap=True)]
    for member in scenario.team:
        work = [(run.start, run.finish or now) for run in notes.runs if run.replica == member.name]
        lives: list[Span] = [(born, notes.deaths.get(pid, now)) for born, pid in member.born]
        cuts: list[Span] = [(begin, end or now) for begin, end in member.cuts]
        row = Text(f"{member.name} ", style=f"bold {COLOURS[member.name]}")
        row.append_text(timeline.lane(scale, name=member.name, work=work, lives=lives, cuts=cuts))
        rows.append(row)
    rows.append(Text("  ").append_text(timeline.labels(scale, story.marks)))
    return rows


def _numbers(scenario: Scenario) -> Text:
    watching = scenario.watching
    created, made = len(watching.widgets), watching.made
    text = Text("Lease    ", style="dim")
    member = scenario.team.named(watching.holder)
    text.append(f"held by {member.name}" if member else "held by nobody", style="bold")
    if watching.renewed_at:
        text.append(f", last written {(facts.now() - watching.renewed_at) / SECOND:.1f} s ago")
    if watching.holdings:
        text.append(f", leaseTransitions {watching.holdings[-1].transitions}")
    text.append("\nObjects  ", style="dim")
    text.append(f"{created} created, {made} handled", style="bold")
    text.append(f", {created - made} waiting or at work")
    return text


def _handovers(scenario: Scenario) -> Table:
    table = Table.grid(padding=(0, 2))
    for _ in range(3):
        table.add_column(no_wrap=True)
    for fault in scenario.story.faults:
        table.add_row(Text(fault.how, style="bold"), *_handover(fault, scenario.watching))
    return table


def _handover(fault: Fault, watching: Watching) -> tuple[str, str]:
    first = watching.notes.first_after(fault.at, but=fault.pid)
    if first is None:
        return f"{fault.replica} → ?", f"{(facts.now() - fault.at) / SECOND:5.1f} s …"
    return (
        f"{fault.replica} → {first.replica}",
        f"{(first.start - fault.at) / SECOND:5.2f} s to the next one's first handler",
    )
