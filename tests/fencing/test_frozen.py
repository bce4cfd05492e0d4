"""A leader that is frozen in the middle of a handler, and wakes when another one leads."""

from __future__ import annotations

import json
import os
import signal
from typing import Any

import pytest

from tests.fencing.replicas import Operator
from tests.fencing.site import Site

pytestmark = pytest.mark.xdist_group("real")


def frozen_one(operator: Operator) -> dict[str, Any]:
    """Wait until one is frozen in its handler: the pod, and the processes."""
    path = operator.folder / "frozen.json"
    operator.replicas.wait_until(path.exists, what="a handler that freezes")
    found: dict[str, Any] = json.loads(path.read_text())
    operator.replicas.reaper.add(found["pids"][0])
    return found


def last_writer(site: Site) -> str:
    """Who was the last to write."""
    return str((site.admin.get(f"{site.maps}/probe").get("data") or {}).get("by"))


@pytest.mark.parametrize("fenced", [True, False], ids=["fenced", "unfenced"])
def test_a_leader_woken_after_a_takeover_changes_nothing(site: Site, operator: Operator, fenced: bool):
    """With the fence the API server refuses what it does on waking. Without, it overwrites its successor's work."""
    if fenced:
        site.fence()
    operator.start("a", "b", handlers="handlers.py")
    operator.create()
    frozen = frozen_one(operator)
    (other,) = {"a", "b"} - {frozen["pod"]}
    operator.replicas.wait_until(lambda: last_writer(site) == other, what="the successor's work")
    for pid in frozen["pids"]:
        os.kill(pid, signal.SIGCONT)
    operator.replicas.wait_until(lambda: operator.outcomes(frozen["pod"]), what="the write on waking")
    operator.replicas.reaper.forget(frozen["pids"][0])
    (outcome,) = operator.outcomes(frozen["pod"])
    if fenced:
        assert outcome["status"] == 403
        assert f"this write comes from {frozen['pod']}" in outcome["message"]
        assert last_writer(site) == other
    else:
        assert outcome["status"] == 200
        assert last_writer(site) == frozen["pod"], "this is what fencing is for"
