"""Replicas of an operator as real processes: started, stopped, killed, frozen, and asked what they logged.

``ReplicaSet`` writes into the history what handlers cannot know of themselves: when their process died, was frozen and
woke (``facts``). A replica's death is noticed by a thread that waits for it, so its time is good to a few milliseconds.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Self

from kopf_leader.testing import facts
from kopf_leader.testing.facts import History, Notebook
from kopf_leader.testing.reaper import Reaper

PATIENCE = 60.0  # seconds; generous, for nothing is decided by it but when a test gives up
_INHERITED = ("PATH", "HOME", "LANG", "LC_ALL", "TZ", "TMPDIR", "VIRTUAL_ENV", "PYTHONPATH", "COVERAGE_PROCESS_START")


class TimedOut(AssertionError):  # noqa: N818 - what happened, in one word
    """What was waited for did not come; the text has the ends of the replicas' logs."""


class Replica:
    """One process of the operator. ``name`` is what the history calls it."""

    def __init__(self, owner: ReplicaSet, name: str, log: Path, process: subprocess.Popen[bytes]) -> None:
        self.name = name
        self.log = log
        self._owner = owner
        self._process = process
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._await_end, name=f"waits-for-{name}", daemon=True)
        self._thread.start()

    @property
    def pid(self) -> int:
        """The process id, also after its end."""
        return self._process.pid

    @property
    def alive(self) -> bool:
        """Whether the process has not ended yet (frozen counts as alive)."""
        return not self._ended.is_set()

    @property
    def exit_code(self) -> int | None:
        """The exit status, ``-N`` when signal N ended it, None while it lives."""
        return self._process.returncode if self._ended.is_set() else None

    def stop(self) -> None:
        """SIGTERM: ask it to end; see ``wait()``."""
        self._signal(signal.SIGTERM)

    def kill(self) -> None:
        """SIGKILL: it ends in the middle of whatever it does; returns when it has."""
        self._signal(signal.SIGKILL)
        self.wait()

    def freeze(self) -> None:
        """SIGSTOP; returns when every thread has stopped, and only then writes ``frozen``."""
        self._signal(signal.SIGSTOP)
        if hasattr(os, "waitid"):
            os.waitid(os.P_PID, self.pid, os.WSTOPPED)
        else:
            time.sleep(0.1)
        self._note("frozen")

    def thaw(self) -> None:
        """SIGCONT, after ``woken`` was written."""
        self._note("woken")
        self._signal(signal.SIGCONT)

    def wait(self, timeout: float = PATIENCE) -> int:
        """Wait for its end; returns the exit status, raises ``TimedOut`` when it lives on."""
        if not self._ended.wait(timeout):
            raise TimedOut(f"{self.name} (pid {self.pid}) still lives after {timeout:g} s\n{self._owner.tails()}")
        self._thread.join()
        return self._process.returncode

    def text(self) -> str:
        """All that it has logged so far."""
        return self.log.read_text(errors="replace")

    def tail(self, lines: int = 30) -> str:
        """The end of its log, under its name."""
        how = "alive" if self.alive else f"ended with {self.exit_code}"
        return "\n".join([f"--- {self.name} (pid {self.pid}, {how}): {self.log}", *self.text().splitlines()[-lines:]])

    def _await_end(self) -> None:
        self._process.wait()
        self._note("death")
        self._owner.reaper.forget(self.pid)
        self._ended.set()

    def _note(self, kind: str) -> None:
        self._owner.notebook.write(kind, pid=self.pid, replica=self.name)

    def _signal(self, number: signal.Signals) -> None:
        with suppress(ProcessLookupError):
            self._process.send_signal(number)


class ReplicaSet:
    """The replicas of one operator, their logs and their one history, in one folder.

    ``command`` starts a replica (``python`` in first place becomes this interpreter); ``arguments`` of ``start()`` are
    added to it. The environment is small and clean, so that no cluster of the developer is ever reached: what
    ``environment`` names, KUBECONFIG, and the two variables of ``facts``. A context manager that kills what is left.
    """

    def __init__(
        self,
        command: Sequence[str],
        folder: Path,
        *,
        environment: Mapping[str, str] | None = None,
        cwd: Path | None = None,
    ) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.command = [sys.executable if command[0] == "python" else command[0], *command[1:]]
        self.folder = folder
        self.history_file = folder / "history.jsonl"
        self.notebook = Notebook(self.history_file, "test")
        self.reaper = Reaper()
        self._environment = dict(environment or {})
        self._cwd = cwd or folder
        self._replicas: list[Replica] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __iter__(self) -> Iterator[Replica]:
        """The replicas that live now, in the order of their start."""
        return iter([replica for replica in self._replicas if replica.alive])

    def __getitem__(self, name: str) -> Replica:
        """The latest process of that name, alive or not; raises ``KeyError``."""
        for replica in reversed(self._replicas):
            if replica.name == name:
                return replica
        raise KeyError(name)

    def start(
        self,
        name: str,
        *,
        kubeconfig: Path,
        arguments: Sequence[str] = (),
        environment: Mapping[str, str] | None = None,
    ) -> Replica:
        """Start a replica; it logs to ``<folder>/<name>-<n>.log``. A name may be used again after its end."""
        variables = {key: os.environ[key] for key in _INHERITED if key in os.environ}
        variables |= {"PYTHONUNBUFFERED": "1", "KUBECONFIG": str(kubeconfig)}
        variables |= {facts.HISTORY: str(self.history_file), facts.REPLICA: name}
        variables |= self._environment | dict(environment or {})
        log = self.folder / f"{name}-{sum(replica.name == name for replica in self._replicas)}.log"
        with log.open("wb") as output:
            process = subprocess.Popen(
                [*self.command, *arguments],
                env=variables,
                cwd=self._cwd,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
            )
        self.reaper.add(process.pid)
        replica = Replica(self, name, log, process)
        self._replicas.append(replica)
        return replica

    def wait_until(
        self, condition: Callable[[], object], *, timeout: float = PATIENCE, what: str, interval: float = 0.05
    ) -> None:
        """Poll until the condition holds; raises ``TimedOut`` with ``what`` and the ends of all logs.

        When every replica has ended, nothing more will come: then it raises at once.
        """
        deadline = time.monotonic() + timeout
        while True:
            over = bool(self._replicas) and not list(self)
            if condition():
                return
            if over:
                raise TimedOut(f"Every replica has ended, there will be no {what}.\n{self.tails()}")
            if time.monotonic() > deadline:
                raise TimedOut(f"Waited {timeout:g} s in vain for {what}.\n{self.tails()}")
            time.sleep(interval)

    def mark(self, note: str) -> int:
        """Write a note into the history; returns its time (nanoseconds, the clock of all facts)."""
        moment = facts.now()
        self.notebook.write("mark", t=moment, note=note)
        return moment

    def history(self) -> History:
        """What was written so far."""
        return History.read(self.history_file)

    def tails(self, lines: int = 30) -> str:
        """The ends of all logs, for a failure's report."""
        return "\n".join(replica.tail(lines) for replica in self._replicas)

    def stop(self, timeout: float = PATIENCE) -> dict[str, int]:
        """SIGTERM to all that live, and wait; the exit status by name."""
        living = list(self)
        for replica in living:
            replica.stop()
        return {replica.name: replica.wait(timeout) for replica in living}

    def close(self) -> None:
        """Kill what is left, frozen or not."""
        for replica in self:
            replica.kill()
        self.reaper.close()
