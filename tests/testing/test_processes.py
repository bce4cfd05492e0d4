"""Replicas as processes: what is done to them is done when the call returns, and the history knows of it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from kopf_leader.testing.history import check
from kopf_leader.testing.processes import ReplicaSet, TimedOut

PROGRAM = """
import os, signal, sys, time
from pathlib import Path
from kopf_leader.testing.facts import Notebook
if "stubborn" in sys.argv:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
print("ready", os.environ["KUBECONFIG"], os.environ.get("EXTRA"), flush=True)
book = Notebook.from_environment()
with book.handling(handler="work", uid="u"):
    time.sleep(600)
"""


@pytest.fixture
def replicas(tmp_path: Path) -> Iterator[ReplicaSet]:
    # Where pytest was started is where the package is found.
    with ReplicaSet(["python", "-c", PROGRAM], tmp_path / "set", cwd=Path.cwd()) as replicas:
        yield replicas


def started(replicas: ReplicaSet, name: str = "a", *arguments: str):
    replica = replicas.start(name, kubeconfig=Path("/kubeconfig"), arguments=arguments, environment={"EXTRA": "x"})
    working = ("start", replica.pid)
    replicas.wait_until(
        lambda: working in [(fact["kind"], fact["pid"]) for fact in replicas.history().facts], what="its work"
    )
    return replica


def kinds(replicas: ReplicaSet, pid: int) -> list[str]:
    return [fact["kind"] for fact in replicas.history().facts if fact["pid"] == pid]


def test_a_replica_has_its_own_kubeconfig_log_and_environment(replicas: ReplicaSet) -> None:
    """The kubeconfig and what was asked for, and nothing of the developer's cluster."""
    assert started(replicas).text() == "ready /kubeconfig x\n"


def test_a_killed_replica_is_dead_and_written_down_when_the_call_returns(replicas: ReplicaSet) -> None:
    """kill(): the exit status is the signal, the death is a fact, and the checker ends its work there."""
    replica = started(replicas)
    replica.kill()
    assert not replica.alive
    assert replica.exit_code == -signal.SIGKILL
    assert kinds(replicas, replica.pid) == ["start", "death"]
    (run,) = check(replicas.history()).executions
    assert (run.outcome, run.process.replica) == ("death", "a")


def test_stop_asks_and_wait_reports(replicas: ReplicaSet) -> None:
    """stop() of the set: SIGTERM to all; the exit status by name."""
    started(replicas, "a")
    started(replicas, "b")
    assert replicas.stop() == {"a": -signal.SIGTERM, "b": -signal.SIGTERM}
    assert list(replicas) == []


def test_waiting_for_a_replica_that_lives_on_shows_its_log(replicas: ReplicaSet) -> None:
    """TimedOut: a sentence and the end of the log."""
    replica = started(replicas, "a", "stubborn")
    replica.stop()
    with pytest.raises(TimedOut, match=r"a \(pid \d+\) still lives after 0.1 s\n--- a .*alive.*\nready"):
        replica.wait(0.1)


def test_waiting_for_a_condition_in_vain_names_it(replicas: ReplicaSet) -> None:
    """TimedOut: what was waited for."""
    with pytest.raises(TimedOut, match=r"Waited 0.1 s in vain for a miracle."):
        replicas.wait_until(lambda: False, timeout=0.1, what="a miracle")


def test_nothing_is_waited_for_when_every_replica_has_ended(replicas: ReplicaSet) -> None:
    """TimedOut at once, with the logs: the dead do nothing more."""
    started(replicas).kill()
    with pytest.raises(TimedOut, match=r"Every replica has ended, there will be no miracle.\n--- a"):
        replicas.wait_until(lambda: False, what="miracle")


def test_a_frozen_replica_is_stopped_when_the_call_returns(replicas: ReplicaSet) -> None:
    """freeze(): every thread is stopped; thaw(): it runs; both are facts, in this order."""
    replica = started(replicas)
    replica.freeze()
    state = Path(f"/proc/{replica.pid}/stat")
    if state.exists():
        assert state.read_text().rpartition(")")[2].split()[0] == "T"
    replica.thaw()
    assert kinds(replicas, replica.pid) == ["start", "frozen", "woken"]
    assert replica.alive


def test_a_frozen_replica_can_be_killed(replicas: ReplicaSet) -> None:
    """SIGKILL reaches what is stopped."""
    replica = started(replicas)
    replica.freeze()
    replica.kill()
    assert kinds(replicas, replica.pid) == ["start", "frozen", "death"]
    assert check(replicas.history()).problems == ()


def test_a_name_may_be_used_again(replicas: ReplicaSet) -> None:
    """A restart is another process with a log of its own, under the same name."""
    first = started(replicas)
    first.kill()
    second = started(replicas)
    assert replicas["a"] is second
    assert first.log != second.log
    assert list(replicas) == [second]


def test_an_unknown_name_is_a_key_error(replicas: ReplicaSet) -> None:
    """Nobody has this name."""
    with pytest.raises(KeyError):
        replicas["nobody"]


def test_a_mark_is_a_note_with_a_time(replicas: ReplicaSet) -> None:
    """mark(): the moment on the clock of all facts."""
    moment = replicas.mark("SIGTERM")
    (fact,) = replicas.history().facts
    assert (fact["t"], fact["note"]) == (moment, "SIGTERM")


def test_no_replica_outlives_a_test_run_that_is_killed(tmp_path: Path) -> None:
    """SIGKILL to the owner: its replicas end too."""
    owner = (
        "import sys, time; from pathlib import Path; from kopf_leader.testing.processes import ReplicaSet\n"
        f"replicas = ReplicaSet(['python', '-c', 'import time; time.sleep(600)'], Path({str(tmp_path)!r}))\n"
        "print(replicas.start('a', kubeconfig=Path('x')).pid, flush=True); time.sleep(600)\n"
    )
    with subprocess.Popen([sys.executable, "-c", owner], stdout=subprocess.PIPE, text=True) as process:
        pid = int(process.stdout.readline())
        os.kill(pid, 0)
        process.kill()
    with ReplicaSet(["python"], tmp_path / "poll") as poll:
        poll.wait_until(lambda: not alive(pid), what="the orphan to end")


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    # Nobody may reap an orphan in a container without an init: a zombie has ended.
    stat = Path(f"/proc/{pid}/stat")
    return not (stat.exists() and stat.read_text().rpartition(")")[2].split()[0] == "Z")
