"""The cluster's own parts, where a mistake would make a run say something wrong."""

from __future__ import annotations

import os
import struct

import pytest

from kopf_leader.testing.facts import History
from tests.cluster import real
from tests.cluster.handovers import SECOND, Row, Sight, row, table
from tests.cluster.names import reply

ADDRESS = bytes([10, 0, 0, 1])


def _query(name: str, kind: int = 1) -> bytes:
    labels = b"".join(bytes([len(label)]) + label.encode() for label in name.split("."))
    return struct.pack("!HHHHHH", 7, 0x0100, 1, 0, 0, 0) + labels + b"\0" + struct.pack("!HH", kind, 1)


def _start(replica: str, t: float) -> dict[str, object]:
    return {"t": int(t * SECOND), "kind": "start", "pid": 1, "replica": replica, "run": "r", "handler": "h", "uid": "u"}


def test_a_release_ends_a_hold_and_a_fault_where_there_was_none():
    """The time without a leader is counted from the release; from the fault where the holder died."""
    released = [Sight(0, "a"), Sight(10 * SECOND, ""), Sight(11 * SECOND, "b")]
    died = [Sight(0, "a"), Sight(15 * SECOND, "b")]
    history = History((_start("a", 9), _start("b", 1), _start("b", 11.5), _start("b", 15.25)))
    assert row("released", 8 * SECOND, released, history) == Row("released", [1.0], [1.5])
    assert row("died", 9 * SECOND, died, history) == Row("died", [6.0], [6.25])


def test_each_handover_counts_and_the_longest_is_shown():
    """A rollout hands over more than once; what was before it is no part of it."""
    changes = ((0, "a"), (5, ""), (7, "b"), (8, ""), (9, "c"))
    sights = [Sight(t * SECOND, pod) for t, pod in changes]
    found = row("rolled out", 4 * SECOND, sights, History(()))
    assert found == Row("rolled out", [2.0, 1.0])
    assert row("none", 10 * SECOND, sights, History(())) == Row("none")
    assert [line.split()[-4:] for line in table([found])[1:]] == [["2", "2.00", "s", "-"]]


def test_the_name_server_knows_one_name():
    """The API server's name has an address of the one kind, none of the other; other names do not exist."""
    for name in ("kubernetes.default.svc", "Kubernetes.default.svc.cluster.local"):
        answer = reply(_query(name), ADDRESS)
        assert struct.unpack("!HHHH", answer[:8]) == (7, 0x8500, 1, 1)
        assert answer.endswith(ADDRESS)
    other_kind, other_name = reply(_query("kubernetes.default.svc", 28), ADDRESS), reply(_query("example.org"), ADDRESS)
    assert struct.unpack("!HHHH", other_kind[:8]) == (7, 0x8500, 1, 0)
    assert struct.unpack("!HHHH", other_name[:8]) == (7, 0x8503, 1, 0)


def test_a_machine_that_cannot_do_it_is_told_why(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):
    """One sentence, before anything is made or downloaded."""
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    assert real.main([]) == 1
    said = capsys.readouterr().err
    assert said == (
        "The chart cannot be tested on real kubelets here: "
        "kubelets and containers need root, and this is another user.\n"
    )
