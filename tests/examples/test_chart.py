"""examples/10-chart: the values are taken by the chart, and by the real API server."""

import re

import pytest

from tests.chart.helm import CHART, container, environment, helm, of_kind, pod, render, the
from tests.cluster.test_server import STRICT, _where
from tests.controlplane.fixtures import shared_control_plane
from tests.controlplane.server import RealControlPlane
from tests.examples.conftest import EXAMPLES

__all__ = ["shared_control_plane"]
VALUES = EXAMPLES / "10-chart" / "values.yaml"


def test_it_is_linted() -> None:
    """Strictly: no warning either."""
    assert "0 chart(s) failed" in helm("lint", str(CHART), "--strict", "-f", str(VALUES))


def test_it_runs_the_image_s_handlers_in_two_replicas() -> None:
    """What the README says: the command, two replicas, one Lease, and a grace period for slow handlers."""
    objects = render(VALUES, release="my-operator")
    assert the(objects, "Deployment")["spec"]["replicas"] == 2
    assert container(objects)["image"] == "registry.example.org/my-operator:1.0.0"
    assert container(objects)["command"] + container(objects)["args"] == ["kopf-leader", "run", "/app/handlers.py"]
    assert environment(objects)["KOPF_RUN_LEADER_ELECTION_ID"] == "my-operator"
    assert the(objects, "Lease")["metadata"]["name"] == "my-operator"
    assert pod(objects)["terminationGracePeriodSeconds"] > 30
    roles = [role for role in of_kind(objects, "ClusterRole") if "kopf.dev" in str(role["rules"])]
    assert len(roles) == 1


def test_or_the_image_s_own_command() -> None:
    """The other way that the README names: only the environment is set."""
    also = {"operator": {"paths": [], "useImageCommand": True}}
    assert not {"command", "args"} & container(render(VALUES, also=also)).keys()


def test_the_readme_shows_paths_that_exist() -> None:
    """`helm install` from the example's folder finds chart and values."""
    readme = (VALUES.parent / "README.md").read_text(encoding="utf-8")
    [(chart, values)] = re.findall(r"^helm install my-operator (\S+) -f (\S+)$", readme, re.MULTILINE)
    assert (VALUES.parent / chart).resolve() == CHART.resolve()
    assert (VALUES.parent / values) == VALUES


@pytest.mark.xdist_group("real")
def test_the_real_api_server_takes_every_object(shared_control_plane: RealControlPlane) -> None:
    """A strict dry run: no unknown field, nothing refused."""
    namespace = shared_control_plane.namespace("examples")
    objects = render(VALUES, release="my-operator", namespace=namespace)
    for object_ in objects:
        shared_control_plane.admin.create(_where(object_) + STRICT, object_)
    assert objects
