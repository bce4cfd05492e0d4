"""The chart on a cluster of one machine."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from tests.cluster.agents import Agents
from tests.cluster.cluster import ROOT, Cluster
from tests.cluster.handovers import Row, table
from tests.cluster.kubelets import Kubelets
from tests.cluster.pod import Image
from tests.cluster.real import NODES
from tests.cluster.release import Release
from tests.cluster.sandbox import Sandbox
from tests.controlplane.binaries import more
from tests.controlplane.fixtures import binaries_or_skip, control_plane, shared_control_plane
from tests.controlplane.server import RealControlPlane

__all__ = ["control_plane", "shared_control_plane"]

OPERATOR = ROOT / "tests" / "e2e" / "operator"
MODULES = {"kopf-leader": "kopf_leader", "kopf": "kopf"}


ROWS: list[Row] = []
"""What the handovers of all tests cost."""


def _image(folder: Path) -> Image:
    """What the container image would hold: this environment, this project, and a folder for the history."""
    bin_, history = folder / "bin", folder / "history"
    bin_.mkdir()
    history.mkdir()
    history.chmod(0o777)
    (history / "facts.jsonl").touch()
    (history / "facts.jsonl").chmod(0o666)
    for name, module in MODULES.items():
        script = bin_ / name
        script.write_text(f'#!/bin/sh\nexec /image/venv/bin/python -m {module} "$@"\n')
        script.chmod(0o755)
    return Image(
        shown={"/image/venv": Path(sys.prefix), "/image/project": ROOT, "/image/bin": bin_, "/history": history},
        path="/image/bin:/usr/bin:/bin",
        env={"PYTHONPATH": "/image/project", "KOPF_LEADER_HISTORY": "/history/facts.jsonl"},
        history=history / "facts.jsonl",
    )


@pytest.fixture(scope="session")
def cluster(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """Controllers, scheduler and nodes; one for all tests. `real` asks for kubelets, in namespaces of its own."""
    if os.geteuid():
        pytest.skip("pods get namespaces and users of their own, which needs root")
    programs = more()
    if programs is None:
        what = "no kube-controller-manager and kube-scheduler: run `python -m tests.controlplane.binaries`"
        if os.environ.get("KOPF_LEADER_REQUIRE_REAL") == "1":
            pytest.fail(f"KOPF_LEADER_REQUIRE_REAL is set and there is {what}", pytrace=False)
        pytest.skip(what)
    folder = tmp_path_factory.mktemp("cluster")
    with contextlib.ExitStack() as stack:
        cluster: Cluster
        if os.environ.get(NODES) == "kubelet":
            plane = stack.enter_context(RealControlPlane(binaries_or_skip(), account_tokens=True))
            cluster = Kubelets(plane, programs, folder)
        else:
            try:
                Sandbox(tmp_path_factory.mktemp("probe"), shown={}).close()
            except OSError as error:
                pytest.skip(f"pods get namespaces of their own, which this machine does not allow: {error}")
            plane = request.getfixturevalue("shared_control_plane")
            cluster = Agents(plane, programs, folder, _image(tmp_path_factory.mktemp("image")))
        plane.install(yaml.safe_load((OPERATOR / "crd.yaml").read_text()))
        stack.callback(cluster.stop)
        cluster.start()
        yield cluster


@pytest.fixture
def release(cluster: Cluster, tmp_path: Path) -> Iterator[Release]:
    """A release of the chart in a namespace of its own, which obeys the restricted Pod Security Standard."""
    with Release(cluster, tmp_path) as release:
        yield release
    ROWS.extend(release.rows)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """What the handovers cost."""
    if ROWS:
        terminalreporter.section("longest times without a leader, and without a handler at work")
        for line in table(ROWS):
            terminalreporter.write_line(line)
