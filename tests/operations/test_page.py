"""docs/operations.md says what the code says."""

from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry

from kopf_leader.errors import SettingsError
from kopf_leader.gate.counters import Counters
from kopf_leader.gate.option_table import OPTIONS
from kopf_leader.gate.options import from_code, from_environment, from_flags, merge
from kopf_leader.operations.address import Address
from kopf_leader.operations.health import Health
from kopf_leader.operations.metrics import Metrics

PAGE = (Path(__file__).parents[2] / "docs" / "operations.md").read_text()
OURS = ("health_probe_bind_address", "metrics_bind_address", "metrics_registry")


@pytest.mark.parametrize("name", OURS)
def test_each_option_is_on_the_page(name):
    """Every way to say an option of the operations is documented."""
    option = OPTIONS[name]
    for word in (option.flag, option.envvar, f"{name}="):
        assert word is None or f"`{word}`" in PAGE


def test_each_metric_is_on_the_page():
    """Every metric is documented, under the name that Prometheus shows."""
    metrics = Metrics()
    metrics.figures = Counters()
    suffixes = {"counter": "_total", "info": "_info"}
    for family in metrics.describe():
        assert f"`{family.name}{suffixes.get(family.type, '')}`" in PAGE


def test_each_check_is_on_the_page():
    """Every check of health is documented."""
    for check in Health(stuck_timeout=300).ready:
        assert f"| `{check.name}` |" in PAGE


def test_flag_over_environment_over_code_over_default():
    """The addresses follow the one order of all options; `0` of a flag switches off what the code switched on."""
    code = from_code({"health_probe_bind_address": ":1", "metrics_bind_address": ":2"})
    environment = from_environment({"KOPF_RUN_METRICS_BIND_ADDRESS": ":3"})
    options = merge([from_flags({"health_probe_bind_address": "0"}), environment, code])
    assert options.health_probe_bind_address is None
    assert options.metrics_bind_address == Address("", 3)
    default = merge([])
    assert default.health_probe_bind_address is default.metrics_bind_address is None


def test_a_registry_must_be_one():
    """Something that is no registry: one sentence."""
    registry = CollectorRegistry()
    assert merge([from_code({"metrics_registry": registry})]).metrics_registry is registry
    with pytest.raises(SettingsError, match=r"metrics registry .* pass a prometheus_client\.CollectorRegistry"):
        merge([from_code({"metrics_registry": "default"})])
