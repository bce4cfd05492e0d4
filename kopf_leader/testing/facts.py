"""What handlers write down about themselves: one line of JSON per fact, appended by one ``write()``.

Only the standard library, and no state beside a file descriptor per write: a handler that is killed between two lines
leaves two whole lines. The format (all times in nanoseconds of ``CLOCK_BOOTTIME``, which all processes of a machine
share and which runs on while a process is frozen)::

    {"t": 1234, "kind": "start", "pid": 7, "replica": "a", "run": "7-1f2e", "handler": "create",
     "uid": "...", "name": "one", "change": "3"}

``kind`` is ``start``, then one of ``end`` (ran to its end), ``cancelled`` or ``failed`` (raised); ``run`` ties them
together. ``change`` names what was handled (say, the generation); null for what runs again by nature (timers,
daemons, resuming). The test itself writes ``death``, ``frozen`` and ``woken`` for a process, and ``mark`` with a note.
"""

from __future__ import annotations

import asyncio
import json
import os
import secrets
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

HISTORY = "KOPF_LEADER_HISTORY"
REPLICA = "KOPF_LEADER_REPLICA"
FINISHES = ("end", "cancelled", "failed")
KINDS = ("start", *FINISHES, "death", "frozen", "woken", "mark")

# macOS has no CLOCK_BOOTTIME; its CLOCK_MONOTONIC is shared by processes too.
_CLOCK = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)


def now() -> int:
    """Nanoseconds on the clock of all facts."""
    return time.clock_gettime_ns(_CLOCK)


class Notebook:
    """Appends facts to one file, in the name of one replica. Any number of processes may share the file."""

    def __init__(self, path: Path, replica: str = "") -> None:
        self.path = path
        self.replica = replica

    @classmethod
    def from_environment(cls) -> Notebook:
        """What KOPF_LEADER_HISTORY and KOPF_LEADER_REPLICA name; raises ``KeyError`` without the former."""
        return cls(Path(os.environ[HISTORY]), os.environ.get(REPLICA, ""))

    def write(self, kind: str, **fields: Any) -> None:
        """One fact, now; ``fields`` may override pid and replica (a test writes about its children)."""
        fact = {"t": now(), "kind": kind, "pid": os.getpid(), "replica": self.replica, **fields}
        line = json.dumps(fact, separators=(",", ":")).encode() + b"\n"
        descriptor = os.open(self.path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o644)
        try:
            written = os.write(descriptor, line)
        finally:
            os.close(descriptor)
        if written != len(line):
            raise OSError(f"Only {written} of {len(line)} bytes of a fact fit into {self.path}: is the disk full?")

    @contextmanager
    def handling(self, *, handler: str, uid: str, name: str = "", change: str | None = None) -> Iterator[str]:
        """Around the body of a handler, async or not: writes its start, and how it came to its end."""
        run = f"{os.getpid()}-{secrets.token_hex(4)}"
        self.write("start", run=run, handler=handler, uid=uid, name=name, change=change)
        kind = "failed"
        try:
            yield run
            kind = "end"
        except (asyncio.CancelledError, GeneratorExit):
            kind = "cancelled"
            raise
        finally:
            self.write(kind, run=run)


@dataclass(frozen=True)
class History:
    """Facts in the order of the file, and the lines that are none."""

    facts: tuple[dict[str, Any], ...]
    problems: tuple[str, ...] = ()

    @classmethod
    def read(cls, path: Path) -> History:
        """Read a file; a missing file is an empty history."""
        return cls.parse(path.read_bytes()) if path.exists() else cls(())

    @classmethod
    def parse(cls, content: bytes) -> History:
        """Never raises for bad content: what is no fact becomes a problem, and the verdict rejects it."""
        facts: list[dict[str, Any]] = []
        problems: list[str] = []
        lines = content.split(b"\n")
        if lines.pop():
            problems.append("the last line is torn: it has no end")
        for number, line in enumerate(lines, 1):
            try:
                fact = json.loads(line)
            except ValueError:
                problems.append(f"line {number} is no JSON")
                continue
            complaint = _complaint(fact)
            if complaint:
                problems.append(f"line {number} {complaint}")
            else:
                facts.append(fact)
        return cls(tuple(facts), tuple(problems))


def _complaint(fact: Any) -> str:
    if not isinstance(fact, dict):
        return "is no fact, for it is no object"
    kind = fact.get("kind")
    if kind not in KINDS:
        return f"has the unknown kind {kind!r}"
    if kind == "mark":
        return "" if _is(fact.get("t"), int) else "has no time"
    wanted: dict[str, type] = {"t": int, "pid": int, "replica": str}
    if kind in ("start", *FINISHES):
        wanted["run"] = str
    if kind == "start":
        wanted |= {"handler": str, "uid": str}
    missing = [name for name, type_ in wanted.items() if not _is(fact.get(name), type_)]
    return f"({kind}) lacks {', '.join(missing)}" if missing else ""


def _is(value: Any, wanted: type) -> bool:
    return isinstance(value, wanted) and not isinstance(value, bool)
