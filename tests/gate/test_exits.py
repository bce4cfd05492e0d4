"""What ends the process: a handler that cannot be stopped, a second signal, a loop that is stuck (L12, L20)."""

import json
import os
import signal
import subprocess
import sys
import threading

import pytest

from tests.gate.operators import wait_for


class Child:
    """A child process, its words, and its end."""

    def __init__(self, cluster, scenario, **env):
        config = {
            "url": cluster.api.url,
            "ca": str(cluster.api.ca_file),
            "token": cluster.api.token,
            "namespace": cluster.namespace,
        }
        self.process = subprocess.Popen(
            [sys.executable, "-m", "tests.gate.child", scenario],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, "CHILD_CLUSTER": json.dumps(config), **env},
        )
        self.said: list[str] = []
        self.errors: list[str] = []
        self._readers = [
            threading.Thread(target=lambda s=stream, n=lines: [n.append(line.rstrip()) for line in s], daemon=True)
            for stream, lines in ((self.process.stdout, self.said), (self.process.stderr, self.errors))
        ]
        for reader in self._readers:
            reader.start()
        self.wait_for("ready")

    def tell(self, command):
        self.process.stdin.write(f"{command}\n")
        self.process.stdin.flush()

    def wait_for(self, word, times=1):
        wait_for(
            lambda: self.said.count(word) >= times or self.process.poll() is not None, f"{word!r}, after {self.said}"
        )
        assert self.said.count(word) >= times, (self.said, self.errors[-20:])

    def end(self):
        status = self.process.wait(60)
        for reader in self._readers:
            reader.join(60)  # the last words may still be on their way
        return status, "\n".join(self.errors)

    def signal(self, signum=signal.SIGTERM):
        self.process.send_signal(signum)


@pytest.fixture
def child(cluster):
    children = []

    def make(scenario, **env):
        children.append(Child(cluster, scenario, **env))
        return children[-1]

    yield make
    for one in children:
        one.process.kill()
        one.process.wait()
        for stream in (one.process.stdin, one.process.stdout, one.process.stderr):
            stream.close()


def test_a_sync_handler_that_does_not_end_ends_the_process(child, cluster):
    """L12: what cannot be stopped keeps the Lease; at the exit point the stacks are logged, and the process exits."""
    op = child("sync")
    op.tell("lead")
    cluster.create("a")
    op.wait_for("handling")
    op.tell("stop RENEW_DEADLINE 0.1 0.5")
    status, errors = op.end()
    assert status == 1
    assert "drained" not in op.said
    assert "exits now, without giving the Lease back: the Lease could not be renewed in time" in errors
    assert "in synchronous" in errors, "the stack of the handler's thread"


def test_a_task_that_swallows_its_cancellation_ends_the_process(child, cluster):
    """L12: so does a daemon that swallows its cancellation, at SIGTERM; its stack is in the log."""
    op = child("swallow")
    op.tell("lead")
    cluster.create("a")
    op.wait_for("handling")
    op.signal()
    status, errors = op.end()
    assert status == 1
    assert "swallowed" in op.said
    assert "drained" not in op.said
    assert "in daemon" in errors


@pytest.mark.parametrize("leads", [False, True], ids=["standby", "leader"])
def test_a_handler_of_every_replica_that_does_not_end_ends_the_process(child, cluster, leads):
    """L12: one that no time-out can end keeps no Lease: it is given back in order, and then the process exits."""
    op = child("everywhere")
    cluster.create("a")
    if leads:
        op.tell("lead")
        op.wait_for("handling")
    op.wait_for("marked")
    op.signal()
    status, errors = op.end()
    assert status == 1
    assert ("drained" in op.said) is leads
    assert "this process exits now: its time to stop is over" in errors.lower()
    assert "of what runs on every replica, 1 are still at work" in errors
    assert "in marked" in errors, "the stack of the handler's thread"


def test_the_exit_does_not_wait_for_log_handlers(child, cluster):
    """The report is given a fraction of a second: a log handler that never returns does not keep the process alive."""
    op = child("deaf-logs")
    op.tell("lead")
    cluster.create("a")
    op.wait_for("handling")
    op.tell("stop RIVAL 0 0.5")
    status, errors = op.end()
    assert status == 1
    assert "exits now, without giving the Lease back" in errors
    assert "in synchronous" in errors


def test_a_second_sigterm_exits_hard(child, cluster):
    """L20: a second SIGTERM exits at once, without release."""
    op = child("sync")
    op.tell("lead")
    cluster.create("a")
    op.wait_for("handling")
    op.signal()
    op.wait_for("leave")
    op.signal()
    status, errors = op.end()
    assert status == 128 + signal.SIGTERM
    assert "drained" not in op.said
    assert "second signal" in errors


@pytest.mark.parametrize("signum", [signal.SIGTERM, signal.SIGINT])
def test_one_signal_ends_in_order(child, cluster, signum):
    """One SIGTERM or SIGINT stops the operator as ever: drained, released, exit status 0."""
    op = child("plain")
    op.tell("lead")
    cluster.create("a")
    op.wait_for("handling")
    op.signal(signum)
    status, errors = op.end()
    assert status == 0, errors
    wait_for(lambda: "over" in op.said, "the last word")
    assert op.said[-4:] == ["leave", "drained", "join", "over"]
    assert "ERROR" not in errors
    assert f"Signal {signal.Signals(signum).name} is received" in errors


def test_a_signal_reaches_the_election_while_the_loop_is_blocked(child, cluster):
    """A leader whose loop is blocked when SIGTERM comes resigns all the same, and exits at the exit point."""
    op = child("blocked")
    op.tell("lead")
    cluster.create("a")
    op.wait_for("blocking")
    op.signal()
    op.wait_for("leave")
    op.tell("stop LEAVING 0.1 0.5")
    status, errors = op.end()
    assert status == 1
    assert "drained" not in op.said
    assert "in daemon" in errors


def test_a_leader_whose_loop_is_stuck_exits(child, cluster):
    """A leader whose loop has been stuck for longer than `stuck_timeout` exits, with the stacks logged."""
    op = child("blocked", CHILD_STUCK="1.5")
    op.tell("lead")
    cluster.create("a")
    op.wait_for("blocking")
    status, errors = op.end()
    assert status == 1
    assert "has been stuck for 1.5 s" in errors
    assert "in daemon" in errors


def test_what_fails_while_the_operator_stops_is_told(operator, caplog):
    """A defect of the gate is logged, also when the operator is being cancelled and nobody waits for the outcome."""
    op = operator()
    op.start()
    op.lead()

    async def fail(_):
        raise ZeroDivisionError

    op.conductor._close = fail
    op.stop()
    assert op.failure is None
    [record] = [record for record in caplog.records if record.levelname == "CRITICAL"]
    assert record.exc_info[0] is ZeroDivisionError
    assert op.election.released.is_set(), "the Lease is given back all the same"
