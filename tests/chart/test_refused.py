"""Values that contradict each other are refused when they are rendered, with the key and the way out."""

from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from kopf_leader.errors import SettingsError
from kopf_leader.protocol.durations import parse_duration
from kopf_leader.protocol.settings import Settings
from tests.chart.helm import LEAST, Refused, Values, render

BAD: dict[str, tuple[Values, str]] = {
    "replicas without election": (
        {"leaderElection": {"enabled": False}},
        "replicaCount is 2 without an election, .* set leaderElection.enabled to true, or replicaCount to 1",
    ),
    "no image": ({"image": {"repository": ""}}, "image.repository is empty: set it"),
    "no code": ({"operator": {"useImageCommand": False}}, "There is no code to run: set operator.handlers"),
    "two kinds of code": ({"operator": {"modules": ["a"]}}, "operator.modules, paths and handlers would be ignored"),
    "two commands": ({"operator": {"command": ["kopf"]}}, "operator.command and operator.useImageCommand contradict"),
    "two scopes": (
        {"scope": {"clusterWide": True, "namespaces": ["a"]}},
        "scope.clusterWide and scope.namespaces contradict each other",
    ),
    "no account": ({"serviceAccount": {"create": False}}, "serviceAccount.name is empty: name the service account"),
    "a monitor without metrics": (
        {"metrics": {"podMonitor": {"enabled": True}}},
        "metrics.podMonitor.enabled needs metrics.enabled: set both",
    ),
    "one port for two": (
        {"metrics": {"enabled": True, "port": 8081}},
        "metrics.port and health.port are both 8081: give them different ports",
    ),
    "deadline above duration": (
        {"leaderElection": {"renewDeadline": "15s"}},
        "leaderElection.renewDeadline is not below leaderElection.leaseDuration",
    ),
    "a period too long": (
        {"leaderElection": {"retryPeriod": "9s"}},
        "leaderElection.renewDeadline is not above 1.2 × leaderElection.retryPeriod",
    ),
    "no room for an attempt": (
        {"leaderElection": {"retryPeriod": "5s"}},
        "leaderElection.retryPeriod and one request .* leave no room for another attempt",
    ),
    "too short": (
        {"leaderElection": {"leaseDuration": "900ms", "renewDeadline": "800ms", "retryPeriod": "100ms"}},
        "leaderElection.leaseDuration is below one second",
    ),
    "killed while draining": (
        {"terminationGracePeriodSeconds": 5},
        "terminationGracePeriodSeconds is 5, below leaderElection.drainTimeout",
    ),
}
SCHEMA: dict[str, tuple[Values, str]] = {
    "unknown key": ({"replicas": 3}, "replicas"),
    "unknown key inside": ({"leaderElection": {"leaseDurationSeconds": 15}}, "leaseDurationSeconds"),
    "no duration": ({"leaderElection": {"leaseDuration": "soon"}}, "leaseDuration"),
    "a number as an annotation": ({"podAnnotations": {"a": 1}}, "podAnnotations"),
    "a bad digest": ({"image": {"digest": "latest"}}, "digest"),
    "a bad port": ({"health": {"port": 0}}, "port"),
    "a bad lease name": ({"leaderElection": {"id": "My_Operator"}}, "id"),
    "a rule without verbs": ({"rbac": {"rules": [{"resources": ["pods"]}]}}, "verbs"),
    "replicas without election": ({"leaderElection": {"enabled": False}}, "replicaCount"),
}


@pytest.mark.parametrize("case", BAD)
def test_refused_by_a_sentence(case: str):
    """The templates refuse it, also where the schema is skipped, and say what to set."""
    values, sentence = BAD[case]
    with pytest.raises(Refused, match=sentence):
        render(LEAST, "--skip-schema-validation", also=values)


@pytest.mark.parametrize("case", SCHEMA)
def test_refused_by_the_schema(case: str):
    """The schema refuses it, and names the key."""
    values, key = SCHEMA[case]
    with pytest.raises(Refused, match=key):
        render(also=values)


def test_handlers_have_names_that_python_can_import():
    """A file that kopf could not import is refused."""
    values = {"image": LEAST["image"], "operator": {"handlers": {"my-handlers.txt": "import kopf"}}}
    with pytest.raises(Refused, match=r'operator.handlers has a file named "my-handlers.txt"'):
        render(values)


def _accepted_by_the_chart(timings: dict[str, Any]) -> bool:
    try:
        render(also={"leaderElection": timings})
    except Refused as error:
        assert "leaderElection." in str(error)
        return False
    return True


def _accepted_by_the_election(timings: dict[str, Any]) -> bool:
    names = {"leaseDuration": "lease_duration", "renewDeadline": "renew_deadline", "retryPeriod": "retry_period"}
    seconds = {names[name]: parse_duration(value) for name, value in timings.items()}
    try:
        Settings(name="a", namespace="b", identity="c", **seconds)  # type: ignore[arg-type] # only durations
    except SettingsError:
        return False
    return True


_DURATIONS = st.sampled_from([1, 1.5, 2, "2", "2500ms", "3s", 5, "10s", 12, "0.2m", "15s", "1m", "1m30s", "0.01h"])


@settings(max_examples=60, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])
@given(lease=_DURATIONS, renew=_DURATIONS, retry=_DURATIONS)
def test_the_chart_refuses_what_the_election_refuses(lease: Any, renew: Any, retry: Any):
    """L18 holds when it is rendered: the chart accepts exactly the timings that a replica would start with."""
    timings = {"leaseDuration": lease, "renewDeadline": renew, "retryPeriod": retry}
    assert _accepted_by_the_chart(timings) == _accepted_by_the_election(timings)
