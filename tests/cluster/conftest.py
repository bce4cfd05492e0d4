"""The chart on a cluster of one machine."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from tests.cluster.cluster import ROOT, Cluster
from tests.cluster.pod import Image
from tests.cluster.release import Release
from tests.cluster.sandbox import Sandbox
from tests.controlplane.binaries import more
from tests.controlplane.fixtures import control_plane, shared_control_plane
from tests.controlplane.server import RealControlPlane

__all__ = ["control_plane", "shared_control_plane"]

OPERATOR = ROOT / "tests" / "e2e" / "operator"
MODULES = {"kopf-leader": "kopf_leader", "kopf": "kopf"}


@pytest.fixture(scope="session")
def image(tmp_path_factory: pytest.TempPathFactory) -> Image:
    """What the container image would hold: this environment, this project, and a folder for the history."""
    folder = tmp_path_factory.mktemp("image")
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
def cluster(
    shared_control_plane: RealControlPlane, image: Image, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Cluster]:
    """Controllers, scheduler and three nodes; one for all tests."""
    if os.geteuid():
        pytest.skip("pods get namespaces and users of their own, which needs root")
    try:
        Sandbox(tmp_path_factory.mktemp("probe"), shown={}).close()
    except OSError as error:
        pytest.skip(f"pods get namespaces of their own, which this machine does not allow: {error}")
    programs = more()
    if programs is None:
        what = "no kube-controller-manager and kube-scheduler: run `python -m tests.controlplane.binaries`"
        if os.environ.get("KOPF_LEADER_REQUIRE_REAL") == "1":
            pytest.fail(f"KOPF_LEADER_REQUIRE_REAL is set and there is {what}", pytrace=False)
        pytest.skip(what)
    shared_control_plane.install(yaml.safe_load((OPERATOR / "crd.yaml").read_text()))
    folder = tmp_path_factory.mktemp("cluster")
    cluster = Cluster(shared_control_plane, programs, folder, image)
    try:
        cluster.start()
        yield cluster
    finally:
        cluster.stop()


@pytest.fixture
def release(cluster: Cluster, image: Image, tmp_path: Path) -> Iterator[Release]:
    """A release of the chart in a namespace of its own, which obeys the restricted Pod Security Standard."""
    with Release(cluster, image, tmp_path) as release:
        yield release
