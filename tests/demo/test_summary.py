"""What the demo's summary counts, from histories written by hand; a broken promise must not pass."""

import json
from datetime import UTC, datetime

from kopf_leader.cli.demonstration.story import CUT, KILL, SECOND, TERM, Fault
from kopf_leader.cli.demonstration.summary import Summary, count
from kopf_leader.cli.demonstration.watching import Holding
from kopf_leader.cli.demonstration.widgets import Widget
from kopf_leader.testing.facts import History

PIDS = {"A": 1, "B": 2, "C": 3}


class Script:
    """A history, with times in seconds."""

    def __init__(self):
        self.facts = []

    def run(self, replica, uid, start, end, *, how="end", handler="make"):
        number = f"{PIDS[replica]}-{len(self.facts)}"
        change = "created" if handler == "make" else None
        self._add(start, "start", replica, run=number, handler=handler, uid=uid, name=uid, change=change)
        if how != "death":
            self._add(end, how, replica, run=number)
        return self

    def death(self, replica, at):
        self._add(at, "death", replica)
        return self

    def count(self, *uids, unmade=(), **options) -> Summary:
        widgets = [Widget(uid=uid, name=uid, made_by="" if uid in unmade else "A") for uid in uids]
        self.facts.sort(key=lambda fact: fact["t"])
        content = b"".join(json.dumps(fact).encode() + b"\n" for fact in self.facts)
        return count(History.parse(content), widgets, **options)

    def _add(self, at, kind, replica, **fields):
        self.facts.append({"t": int(at * SECOND), "kind": kind, "pid": PIDS[replica], "replica": replica, **fields})


def fault(how, replica, at) -> Fault:
    return Fault(how=how, replica=replica, pid=PIDS[replica], at=int(at * SECOND))


def holding(at, holder) -> Holding:
    written = datetime.fromtimestamp(1_000 + at, UTC)
    return Holding(at=int(at * SECOND), holder=holder, transitions=0, written=written)


def test_clean_history():
    """Everything handled once, one after the other: no promise is broken, and the exit status is 0."""
    script = Script().run("A", "one", 1.0, 1.2).run("A", "two", 1.1, 1.3).run("B", "three", 1.4, 1.5)
    summary = script.count("one", "two", "three")
    assert (summary.created, summary.handled, summary.lost, summary.overlaps) == (3, 3, 0, 0)
    assert (summary.broken, summary.status) == ((), 0)


def test_overlap():
    """Two replicas at work at once, on whatever objects: a broken promise, exit status 1."""
    summary = Script().run("A", "one", 1.0, 1.2).run("B", "two", 1.1, 1.3).count("one", "two")
    assert summary.overlaps == 1
    assert summary.status == 1
    assert "two replicas were at work at once" in summary.broken[0]


def test_overlap_of_the_timer():
    """The timer counts as work, too: an old leader that goes on with it beside the new one broke the promise."""
    summary = Script().run("A", "one", 1, 2, handler="look after").run("B", "one", 1.5, 1.6).count("one")
    assert (summary.overlaps, summary.status) == (1, 1)


def test_doubled():
    """A replica that runs one handler of one object twice at once broke the promise: a timer survived a demotion."""
    script = Script().run("A", "one", 1.0, 1.2)
    script.run("A", "one", 2.0, 3.0, handler="look after").run("A", "one", 2.5, 2.6, handler="look after")
    summary = script.count("one")
    assert (summary.overlaps, summary.status) == (0, 1)
    assert "same work twice at once" in summary.broken[0]


def test_lost_object():
    """An object that exists and was never handled to the end is lost: a broken promise, named."""
    summary = Script().run("A", "one", 1.0, 1.2).run("A", "two", 1.3, 1.4, how="cancelled").count("one", "two")
    assert (summary.handled, summary.lost, summary.status) == (1, 1, 1)
    assert summary.broken == ("Objects that nobody handled: 1 (two).",)


def test_handled_but_not_written_down():
    """Handled by the handlers' word, unhandled by the API server's: lost; both are asked."""
    summary = Script().run("A", "one", 1.0, 1.2).count("one", unmade={"one"})
    assert (summary.handled, summary.lost, summary.status) == (0, 1, 1)


def test_unfinished_demo():
    """When the demo broke off, an unhandled object is no broken promise; why it broke off is."""
    summary = Script().run("A", "one", 1.0, 1.2).count("one", "two", broken=["A ended by itself."], finished=False)
    assert (summary.lost, summary.broken, summary.status) == (1, ("A ended by itself.",), 1)


def test_cut_and_repeated():
    """A handler that a death cut off and the next leader ran again is counted as such, and breaks nothing."""
    script = Script().run("A", "one", 1.0, None, how="death").death("A", 1.1).run("B", "one", 2.0, 2.1)
    summary = script.count("one")
    assert (summary.repeated, summary.twice, summary.overlaps, summary.status) == (1, 0, 0, 0)


def test_run_again_by_fault():
    """Each fault is told how many handlings were done again because of it, whether they had ended or not."""
    script = Script().run("A", "one", 1.0, 1.1).run("A", "two", 1.1, None, how="death").death("A", 1.2)
    script.run("B", "two", 7.0, 7.1).run("B", "one", 7.0, 7.2).run("B", "three", 7.1, 7.2)
    script.death("B", 8.0).run("C", "four", 9.0, 9.1)
    faults = [fault(KILL, "A", 1.15), fault(TERM, "B", 7.5)]
    summary = script.count("one", "two", "three", "four", faults=faults)
    assert [handover.again for handover in summary.handovers] == [2, 0]
    assert (summary.repeated, summary.twice) == (1, 1)


def test_handled_twice():
    """A handler that ran to its end twice, one after the other, is counted apart, and breaks nothing."""
    summary = Script().run("A", "one", 1.0, 1.1).death("A", 1.15).run("B", "one", 2.0, 2.1).count("one")
    assert (summary.repeated, summary.twice, summary.overlaps, summary.status) == (0, 1, 0, 0)


def test_torn_history():
    """A history that is not whole proves nothing: it is rejected, however good it looks."""
    widget = Widget(uid="one", name="one", made_by="A")
    summary = count(History.parse(b'{"t": 1, "kind": "start"'), [widget])
    assert summary.status == 1
    assert any("not whole" in sentence for sentence in summary.broken)


def test_handover_after_sigterm():
    """From the signal to the next first handler; nobody at work between; from the release to the acquisition."""
    script = Script().run("A", "one", 0.9, 1.1).death("A", 1.2).run("B", "two", 1.25, 1.4)
    holdings = [holding(0, "A-1"), holding(1.12, ""), holding(1.14, "B-1")]
    summary = script.count("one", "two", faults=[fault(TERM, "A", 1.0)], holdings=holdings)
    (handover,) = summary.handovers
    assert (handover.how, handover.before, handover.after) == (TERM, "A", "B")
    times = (handover.wait, handover.went_on, handover.idle, handover.lease)
    assert [round(seconds or 0, 6) for seconds in times] == [0.25, 0.1, 0.15, 0.02]
    assert summary.status == 0


def test_handover_after_sigkill():
    """Nothing was released, so no time from release to acquisition is claimed."""
    script = Script().run("A", "one", 0.9, 0.95).death("A", 1.0).run("B", "two", 7.0, 7.1)
    holdings = [holding(0, "A-1"), holding(6.9, "B-1")]
    summary = script.count("one", "two", faults=[fault(KILL, "A", 1.0)], holdings=holdings)
    (handover,) = summary.handovers
    assert handover.lease is None
    assert handover.wait is not None
    assert round(handover.wait, 6) == 6.0


def test_handover_after_a_cut():
    """The old leader goes on for a while, in silence; a later term of the same process is not mixed up with it."""
    script = Script().run("A", "one", 0.9, 1.1).run("A", "one", 4.0, 4.5, handler="look after")
    script.run("B", "two", 7.0, 7.1).run("A", "three", 20.0, 20.1)
    summary = script.count("one", "two", "three", faults=[fault(CUT, "A", 1.0)])
    (handover,) = summary.handovers
    assert (handover.went_on, handover.idle, handover.after) == (3.5, 2.5, "B")


def test_no_handover():
    """A leader that nobody followed is a broken promise."""
    summary = Script().run("A", "one", 0.9, 0.95).count("one", faults=[fault(KILL, "A", 1.0)])
    assert summary.broken == ("Nobody took over from A (SIGKILL).",)
    assert summary.status == 1
