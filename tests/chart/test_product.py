"""What surrounds the templates: schema, README, linting, the API's schemas, alerts and dashboard."""

import json
import re
from collections.abc import Iterator
from typing import Any

import kubernetes_validate
import pytest
import yaml
from prometheus_client import CollectorRegistry

from kopf_leader import __version__
from kopf_leader.elector.clock import SystemClock
from kopf_leader.operations.metrics import Metrics
from kopf_leader.operations.view import View
from kopf_leader.protocol.settings import Settings
from tests.chart.helm import CHART, CI, helm, of_kind, render, the
from tests.chart.readme import README, described, written

VERSIONS = ("1.29", "1.31", "1.33", "1.37")
OTHERS = ("PodMonitor", "PrometheusRule")
"""Kinds of custom resources, which the API's own schemas do not know."""


def _paths(values: dict[str, Any], schema: dict[str, Any], at: str = "") -> Iterator[tuple[str, bool]]:
    for key, value in values.items():
        path = f"{at}{key}"
        rest = schema.get("properties", {}).get(key)
        yield path, rest is not None
        if isinstance(value, dict) and rest is not None and "properties" in rest:
            yield from _paths(value, rest, f"{path}.")


def test_the_schema_knows_every_value_and_nothing_else():
    """values.schema.json and values.yaml name the same keys."""
    values = yaml.safe_load((CHART / "values.yaml").read_text())
    schema = json.loads((CHART / "values.schema.json").read_text())
    assert [path for path, known in _paths(values, schema) if not known] == []
    extra = schema["properties"].keys() - values.keys() - {"global"}
    assert not extra


def test_every_value_is_described():
    """Each value that is not a group of others has a comment, which is a row of the README's table."""
    values = yaml.safe_load((CHART / "values.yaml").read_text())
    told = {path for path, _ in described()}

    def leaves(node: dict[str, Any], at: str = "") -> Iterator[str]:
        for key, value in node.items():
            path = f"{at}{key}"
            if path in told:
                yield path
            elif isinstance(value, dict) and value:
                yield from leaves(value, f"{path}.")
            else:
                yield f"{path} is not described"

    assert set(leaves(values)) == told


def test_the_readme_shows_the_values_as_they_are():
    """README.md is what `python -m tests.chart.readme` writes."""
    assert README.read_text() == written(README.read_text())


@pytest.mark.usefixtures("each_helm")
@pytest.mark.parametrize("path", CI, ids=lambda path: path.stem)
def test_lint(path):
    """`helm lint --strict` has nothing to say."""
    assert "0 chart(s) failed" in helm("lint", "--strict", str(CHART), "-f", str(path))


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("path", CI, ids=lambda path: path.stem)
def test_objects_are_valid_for_each_version_of_kubernetes(path, version: str):
    """Strictly, by the API's own schemas: an unknown field is an error."""
    for object_ in render(path, "--kube-version", f"{version}.0"):
        if object_["kind"] not in OTHERS:
            kubernetes_validate.validate(object_, version, strict=True)


def _names_of_metrics() -> set[str]:
    settings = Settings(name="a", namespace="b", identity="c")
    registry = CollectorRegistry()
    metrics = Metrics()
    metrics.attend(settings, View(settings, SystemClock()))
    registry.register(metrics)
    suffixes = {"counter": ("_total",), "histogram": ("_bucket", "_sum", "_count"), "info": ("_info",)}
    return {metric.name + suffix for metric in registry.collect() for suffix in suffixes.get(metric.type, ("",))}


def _metrics_in(expression: str) -> set[str]:
    return set(re.findall(r"\b(?:leader_election|kopf_leader)_[a-z_]+\b", expression))


def test_alerts_and_dashboard_ask_for_metrics_that_exist():
    """Each metric in a rule or a panel is one that the operator has."""
    objects = render(CI[1])
    rules = [rule for group in the(objects, "PrometheusRule")["spec"]["groups"] for rule in group["rules"]]
    board = json.loads(next(iter(the(objects, "ConfigMap", "op-kopf-operator-dashboard")["data"].values())))
    expressions = [rule["expr"] for rule in rules]
    expressions += [target["expr"] for panel in board["panels"] for target in panel["targets"]]
    known = _names_of_metrics()
    for expression in expressions:
        assert _metrics_in(expression)
        assert _metrics_in(expression) <= known, expression


def test_each_alert_says_what_to_do():
    """An alert has a severity, a summary and a description."""
    for group in the(render(CI[1]), "PrometheusRule")["spec"]["groups"]:
        assert len(group["rules"]) == 4
        for rule in group["rules"]:
            assert rule["labels"]["severity"] in ("critical", "warning")
            assert rule["annotations"]["summary"]
            assert rule["annotations"]["description"]


def test_standbys_are_scraped_as_well():
    """A PodMonitor, not a Service: it selects every replica."""
    objects = render(CI[1])
    selected = the(objects, "PodMonitor")["spec"]["selector"]
    assert selected == the(objects, "Deployment")["spec"]["selector"]
    assert len(of_kind(objects, "PodMonitor")) == 1


@pytest.mark.usefixtures("each_helm")
def test_the_chart_is_packaged_without_its_tests(tmp_path):
    """`helm package` works, and leaves out what is for its own tests."""
    helm("package", str(CHART), "--destination", str(tmp_path))
    (archive,) = tmp_path.iterdir()
    assert archive.name == "kopf-operator-0.1.0.tgz"
    assert "leaderElection:" in helm("show", "values", str(archive))


def test_the_chart_s_versions_are_the_package_s():
    """The appVersion is the version of the package that the image carries."""
    assert yaml.safe_load((CHART / "Chart.yaml").read_text())["appVersion"] == __version__
