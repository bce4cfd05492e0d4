"""No process outlives the test run that started it, not even one that is killed with SIGKILL.

A small helper process reads from a pipe which pids it answers for. When the pipe closes (the owner ended, in whatever
way), it kills what is left and removes the folders it was told to remove.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

_PROGRAM = r"""
import os, shutil, signal, sys
signal.signal(signal.SIGINT, signal.SIG_IGN)
signal.signal(signal.SIGTERM, signal.SIG_IGN)
pids, folders = set(), set()
for line in sys.stdin:
    verb, _, what = line.rstrip("\n").partition(" ")
    target = folders if verb.endswith("folder") else pids
    (target.add if verb.startswith("add") else target.discard)(what)
for pid in pids:
    try:
        os.kill(int(pid), signal.SIGKILL)
    except OSError:
        pass
for folder in folders:
    shutil.rmtree(folder, ignore_errors=True)
"""


class Reaper:
    """Answers for processes and folders of this process. Closing it kills and removes what was not taken back."""

    def __init__(self) -> None:
        # A session of its own: Ctrl-C in the terminal must not reach it before it has done its work.
        self._process = subprocess.Popen(
            [sys.executable, "-I", "-S", "-c", _PROGRAM], stdin=subprocess.PIPE, text=True, start_new_session=True
        )

    def add(self, pid: int) -> None:
        """Kill this process when the owner ends."""
        self._tell(f"add {pid}")

    def forget(self, pid: int) -> None:
        """The process was waited for: its pid may soon be somebody else's."""
        self._tell(f"forget {pid}")

    def add_folder(self, path: Path) -> None:
        """Remove this folder when the owner ends."""
        self._tell(f"addfolder {path}")

    def close(self) -> None:
        """End the helper, and with it whatever it still answers for."""
        stdin = self._process.stdin
        if stdin is not None and not stdin.closed:
            stdin.close()
        self._process.wait()

    def _tell(self, line: str) -> None:
        stdin = self._process.stdin
        if stdin is None or stdin.closed:
            raise RuntimeError("This reaper is closed: make a new one for new processes.")
        stdin.write(line + "\n")
        stdin.flush()
