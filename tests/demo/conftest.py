"""The demo as a process, as a user starts it."""

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from tests.controlplane.fixtures import control_plane, shared_control_plane

__all__ = ["control_plane", "shared_control_plane"]

ROOT = Path(__file__).parents[2]
PATIENCE = 120.0  # seconds for what takes a moment, on a busy machine


def wait_until(condition, what):
    """Poll until it holds."""
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline, f"waited in vain for {what}"
        time.sleep(0.05)


class Demo:
    """One run of `kopf-leader demo --plain`, with a process group and a temporary folder of its own."""

    def __init__(self, folder: Path, *arguments, name="demo", how=("-m", "kopf_leader", "demo")) -> None:
        self.temporary = folder / "tmp"
        self.temporary.mkdir(parents=True)
        self.prefix = f"{name}-{os.getpid()}"
        environment = {key: value for key, value in os.environ.items() if not key.startswith("KOPF")}
        self.process = subprocess.Popen(
            [sys.executable, *how, "--plain", "--namespace", self.prefix, *map(str, arguments)],
            cwd=ROOT,
            env={**environment, "TMPDIR": str(self.temporary), "PYTHONUNBUFFERED": "1"},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        self.lines = []
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    @property
    def output(self) -> str:
        return "".join(self.lines)

    def wait_for(self, text: str) -> str:
        """Wait until a line has this text; the line."""

        def found():
            assert self.process.poll() is None or text in self.output, f"it ended without {text!r}:\n{self.output}"
            return text in self.output

        wait_until(found, f"{text!r} in:\n{self.output}")
        return next(line for line in self.lines if text in line)

    def wait(self) -> int:
        """Wait for the end; the exit status."""
        status = self.process.wait(PATIENCE)
        self._reader.join(PATIENCE)
        return status

    def press_ctrl_c(self) -> None:
        """What a terminal does: SIGINT to all processes of the group."""
        os.killpg(self.process.pid, signal.SIGINT)

    def processes(self) -> list[str]:
        """The replicas that run: their command lines have the prefix of the namespace, as that of the demo has."""
        listed = subprocess.run(["ps", "-A", "-ww", "-o", "pid=,args="], capture_output=True, text=True, check=True)
        return [line.strip() for line in listed.stdout.splitlines() if self.prefix in line]

    def left(self) -> list[str]:
        """What is left of it: processes and files."""
        return [*self.processes(), *map(str, self.temporary.iterdir())]

    def end(self) -> None:
        """Whatever a test did: no process stays."""
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        self._reader.join(PATIENCE)
        self.process.stdout.close()

    def _read(self) -> None:
        for line in self.process.stdout:
            self.lines.append(line)


@pytest.fixture
def demo(tmp_path):
    """Start demos; each of them has ended when the test has."""
    started = []

    def start(*arguments, **options) -> Demo:
        started.append(Demo(tmp_path / f"demo-{len(started)}", *arguments, **options))
        return started[-1]

    yield start
    for one in started:
        one.end()
