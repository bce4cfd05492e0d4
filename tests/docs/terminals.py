"""Plays the terminals of a page: `# terminal N`, then `$ command`, a key of `KEYS`, or a line that is to be printed.

A line that is printed may have `…` for anything. It is waited for, in its terminal, after the lines before it; other
lines may come between.
"""

import os
import re
import shlex
import signal
import subprocess
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

PATIENCE = 60.0
KEYS = {"^C": signal.SIGINT, "^\\": signal.SIGQUIT}


class Terminal:
    """One terminal: its variables, what runs in it, and what it has shown."""

    def __init__(self, number: str, folder: Path, environment: Mapping[str, str]) -> None:
        self.number = number
        self._folder = folder
        self._environment = dict(environment)
        self._shown = folder / f"terminal-{number}.log"
        self._shown.touch()
        self._read = 0
        self._process: subprocess.Popen[bytes] | None = None

    def do(self, line: str) -> None:
        """Do what one line of the page says."""
        if line.startswith("$ export "):
            name, _, value = line.removeprefix("$ export ").partition("=")
            self._environment[name] = value
        elif line.startswith("$ "):
            self._start(shlex.split(line.removeprefix("$ ")))
        elif line in KEYS:
            assert self._process is not None, f"nothing runs in terminal {self.number}"
            os.killpg(self._process.pid, KEYS[line])
            self._process.wait(PATIENCE)
        else:
            self._expect(line)

    def close(self) -> None:
        """End what still runs."""
        if self._process is not None and self._process.poll() is None:
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()

    @property
    def text(self) -> str:
        """All that it has shown."""
        return self._shown.read_text(encoding="utf-8")

    def _start(self, command: list[str]) -> None:
        if self._process is not None:
            self._process.wait(PATIENCE)
        with self._shown.open("ab") as shown:
            self._process = subprocess.Popen(
                command, cwd=self._folder, env=self._environment, stdout=shown, stderr=subprocess.STDOUT,
                start_new_session=True,
            )  # fmt: skip

    def _expect(self, line: str) -> None:
        pattern = re.compile(".*".join(re.escape(part) for part in re.split("…", line)) + "$", re.MULTILINE)
        until = time.monotonic() + PATIENCE
        while (match := pattern.search(self.text, self._read)) is None:
            assert time.monotonic() < until, f"terminal {self.number} does not show {line!r}, but:\n{self.text}"
            time.sleep(0.1)
        self._read = match.end()


def steps(page: str) -> Iterator[tuple[str, str]]:
    """Every line of the page's terminals, with the terminal's number."""
    for block in re.findall(r"^```console\n(.*?)^```", page, re.MULTILINE | re.DOTALL):
        number = ""
        for line in block.splitlines():
            if line.startswith("# terminal "):
                number = line.removeprefix("# terminal ")
            elif number:
                yield number, line
