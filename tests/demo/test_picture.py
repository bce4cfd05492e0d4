"""The picture, drawn of a scene that is made up: it fits the terminal, and shows what it is there to show."""

from types import SimpleNamespace

import pytest
from rich.console import Console

from kopf_leader.cli.demonstration.picture import draw
from kopf_leader.cli.demonstration.plan import Plan
from kopf_leader.cli.demonstration.replicas import Member
from kopf_leader.cli.demonstration.story import CUT, KILL, SECOND, TERM, Act, Fault, Story
from kopf_leader.cli.demonstration.timeline import Scale, labels, lane
from kopf_leader.cli.demonstration.watching import Holding, Notes, Run, Watching
from kopf_leader.cli.demonstration.widgets import Widget
from kopf_leader.testing import facts

TERMS = (("A", 11, 2.0, 8.0), ("B", 12, 8.2, 13.0), ("C", 13, 18.7, 27.0), ("A", 14, 29.0, None))


def scene(tmp_path, *, replicas=3):
    """31 seconds of a demo: A asked to leave, B killed, and now C is cut off and has stopped."""
    plan = Plan(replicas=replicas)
    began = facts.now() - 31 * SECOND
    act = "Its connections fall silent. 4 s after its last renewal it stops handling, 6 s after it the next one begins."
    story = Story(plan=plan, began=began, act=Act(title="The leader is cut off from the API server", text=act))
    story.number, story.acts = 4, 6
    watching = Watching(None, namespace="demo", lease="widgets", notebook=tmp_path / "none")
    notes: Notes = watching.notes
    for replica, pid, begin, end in TERMS:
        moment = begin
        while moment < (end or 31):
            at = began + int(moment * SECOND)
            notes.runs.append(
                Run(replica=replica, pid=pid, handler="make", name="w", start=at, finish=at + SECOND // 5)
            )
            moment += 0.3
    open_ = Run(replica="A", pid=14, handler="make", name="widget-0137", start=facts.now())
    notes._open["x"] = open_
    notes.made.update({"A": 51, "B": 29, "C": 44})
    faults = ((TERM, "TERM", "A", 11, 8.0), (KILL, "KILL", "B", 12, 13.0), (CUT, "CUT", "C", 13, 23.0))
    for how, label, replica, pid, at in faults:
        moment = began + int(at * SECOND)
        story.marks.append((moment, label))
        story.faults.append(Fault(how=how, replica=replica, pid=pid, at=moment))
    notes.deaths = {11: began + int(8.3 * SECOND), 12: began + 13 * SECOND}
    watching.widgets = {str(n): Widget(uid=str(n), name=str(n), made_by="A" if n < 124 else "") for n in range(131)}
    watching.holdings.append(Holding(at=0, holder="A-2", transitions=3))
    watching.renewed_at = facts.now() - SECOND // 2
    lives = {"A": [(0.1, 11), (9.0, 14)], "B": [(0.2, 12), (14.0, 15)], "C": [(0.3, 13)]}
    team = {}
    for name in plan.names:
        born = [(began + int(at * SECOND), pid) for at, pid in lives.get(name, [(0.4, 16)])]
        process = SimpleNamespace(alive=True, pid=born[-1][1])
        proxy = SimpleNamespace(accepted=3, open=1)
        team[name] = Member(name=name, proxy=proxy, kubeconfig=tmp_path, process=process, lives=len(born), born=born)
    team["C"].cuts.append((began + 23 * SECOND, None))
    crew = SimpleNamespace(named=lambda identity: team.get(identity.partition("-")[0]))
    return SimpleNamespace(story=story, watching=watching, team=Crew(team.values(), crew.named))


class Crew(list):
    """What the picture needs of a team."""

    def __init__(self, members, named):
        super().__init__(members)
        self.named = named


def drawn(scenario, width, height) -> list[str]:
    console = Console(width=width, height=height, color_system=None, force_terminal=True, legacy_windows=False)
    with console.capture() as capture:
        console.print(draw(scenario, width, height))
    return capture.get().rstrip("\n").split("\n")


@pytest.mark.parametrize(("width", "height"), [(80, 24), (100, 30), (140, 40)])
def test_it_fits(tmp_path, width, height):
    """At the usual size of a terminal and above, nothing is cut off."""
    lines = drawn(scene(tmp_path), width, height)
    assert len(lines) <= height
    assert max(map(len, lines)) <= width
    text = "\n".join(lines)
    assert "…" not in text
    for shown in ("131 created, 124 handled", "held by A", "SIGTERM", "SIGKILL", "cut off", "^TERM", "^KILL", "^CUT"):
        assert shown in text


def test_five_replicas_fit(tmp_path):
    """The blank lines go first, when there are more replicas."""
    assert len(drawn(scene(tmp_path, replicas=5), 80, 24)) <= 24


def test_what_each_replica_does(tmp_path):
    """Who leads, and at what; who was cut off and has stopped; who stands by."""
    text = drawn(scene(tmp_path), 80, 24)
    (leader,) = [line for line in text if "▶ A" in line]
    assert "leads" in leader
    assert "makes widget-0137" in leader
    assert any("B" in line and "stands by" in line for line in text)
    assert any("C" in line and "cut off, has stopped" in line for line in text)


def test_the_time_line():
    """Blocks where a handler ran, dots where the process lived, dashes where it was cut off."""
    scale = Scale(began=0, now=10 * SECOND, width=10, expected=10.0)
    row = lane(
        scale,
        name="A",
        work=[(int(2.0 * SECOND), int(3.4 * SECOND))],
        lives=[(0, int(7.9 * SECOND))],
        cuts=[(int(5.1 * SECOND), int(5.9 * SECOND))],
    )
    assert row.plain == "··█▌·╌··  "


def test_labels_that_collide():
    """A label that finds no room is left out rather than drawn over the one before."""
    scale = Scale(began=0, now=10 * SECOND, width=20, expected=10.0)
    row = labels(scale, [(SECOND, "TERM"), (2 * SECOND, "KILL"), (5 * SECOND, "CUT")])
    assert row.plain.rstrip() == "  ^TERM   ^CUT"
