"""Histories in a few words a line, so that a reader sees the case: ``a start x 10`` (process a starts run x at 10)."""

from __future__ import annotations

import json

from kopf_leader.testing.history import Expected, History, Verdict, check

SECOND = 1_000_000_000
PIDS = {"a": 1, "b": 2, "c": 3, "a2": 4}  # a2 is the replica a after a restart


def fact(line: str) -> dict[str, object]:
    """``<process> <kind> [<run>] <time> [handler=] [uid=] [change=]``; a run's uid is its own name unless told."""
    words = line.split()
    extra = dict(word.split("=") for word in words if "=" in word)
    words = [word for word in words if "=" not in word]
    process, kind, time = words[0], words[1], int(words[-1])
    found: dict[str, object] = {"t": time, "kind": kind, "pid": PIDS[process], "replica": process[0]}
    if kind in ("start", "end", "cancelled", "failed"):
        found["run"] = words[2]
    if kind == "start":
        found |= {"handler": "create", "uid": words[2], "name": words[2], "change": "1"} | extra
        found["change"] = None if found["change"] == "none" else found["change"]
    return found


def history(*lines: str) -> History:
    return History.parse(b"".join(json.dumps(fact(line)).encode() + b"\n" for line in lines))


def judge(*lines: str, expected: tuple[Expected, ...] = (), wake_allowance: float = 0.0) -> Verdict:
    return check(history(*lines), expected, wake_allowance=wake_allowance)
