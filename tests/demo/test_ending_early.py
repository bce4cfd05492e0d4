"""However the demo ends, nothing is left behind, and the exit status says how."""

import os
import signal
from pathlib import Path
from types import SimpleNamespace

import pytest

from kopf_leader.cli.demonstration.replicas import Member, Team
from tests.demo.conftest import wait_until


@pytest.mark.parametrize("moment", ["Lease duration", " leads (pid "])
def test_ctrl_c(demo, moment):
    """Ctrl-C, while the replicas start and while they work: exit status 130, no process and no file behind it."""
    run = demo()
    run.wait_for(moment)
    run.press_ctrl_c()
    assert run.wait() == 130, run.output
    assert run.left() == []


def test_sigkill(demo):
    """Even when nothing can be tidied up any more: a helper process kills the replicas and removes the files."""
    run = demo()
    run.wait_for(" leads (pid ")
    assert len(run.processes()) == 4
    run.process.kill()
    run.wait()
    wait_until(lambda: run.left() == [], "the helper to tidy up")


def test_a_replica_dies(demo):
    """A replica that ends by itself is a broken promise: exit status 1, and the ends of the logs are shown."""
    run = demo()
    pid = int(run.wait_for(" leads (pid ").partition("(pid ")[2].partition(")")[0])
    os.kill(pid, signal.SIGKILL)
    assert run.wait() == 1, run.output
    assert f"(pid {pid}) ended by itself, with status -9." in run.output
    assert "The ends of the replicas' logs" in run.output
    assert "Standing" in run.output
    assert run.left() == []


WITHOUT = """
from kopf_leader.cli.demonstration import replicas, scenario
command = replicas.command
replicas.command = lambda *given: [word for word in command(*given) if word != "--enable-leader-election"]
async def nobody(play):
    at_work = play.watching.notes.running
    await play._until(lambda: sum(any(at_work(name)) for name in play.story.plan.names) > 1, "two to be at work")
    raise scenario.Broken("Nobody leads.")
scenario.PATIENCE = 90
scenario.Scenario._leader = nobody
from kopf_leader.cli.demo import demo
demo()
"""


def test_without_election(demo):
    """The same replicas without the election: the demo sees them at work at once, says so, and ends with 1."""
    run = demo(how=("-c", WITHOUT))
    assert run.wait() == 1, run.output
    assert "two replicas were at work at once; first: " in run.output
    assert "Every promise was kept" not in run.output
    assert run.left() == []


def test_a_lease_duration_that_will_not_do(demo):
    """The election's own rules (L18) hold for the demo: exit status 2, what to pass instead, nothing started."""
    run = demo("--lease-duration", "1s")
    assert run.wait() == 2
    assert "pass --lease-duration 3s or more" in run.output
    assert "Traceback" not in run.output
    assert run.left() == []


def test_who_is_leaving_is_asked_once():
    """A second SIGTERM would end the process on the spot, in the middle of its leaving: the demo sends none."""
    sent = []
    process = SimpleNamespace(stop=lambda: sent.append("TERM"), alive=True, pid=1)
    member = Member(name="A", proxy=None, kubeconfig=Path(), process=process)
    for _ in range(2):
        Team.ask_to_leave(None, member)
    assert sent == ["TERM"]
