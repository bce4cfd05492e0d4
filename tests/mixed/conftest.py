"""The stage of all scenarios: a control plane of its own, as some of them go on while a test of another ring begins."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.controlplane.fixtures import binaries_or_skip
from tests.controlplane.server import RealControlPlane
from tests.mixed.engine import Stages


@pytest.fixture(scope="session")
def stages(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stages]:
    """Scenarios are begun here, and go on in threads."""
    with RealControlPlane(binaries_or_skip()) as control_plane:
        stages = Stages(control_plane, tmp_path_factory.mktemp("mixed"))
        yield stages
        stages.close()
