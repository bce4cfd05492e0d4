"""Values that contradict each other are refused when they are rendered, with the key and the way out."""

from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from kopf_leader.errors import SettingsError
from kopf_leader.protocol.durations import parse_duration
from kopf_leader.protocol.settings import Settings
from tests.chart.helm import CHART, LEAST, Refused, Values, render
from tests.chart.readme import described

ALONE: Values = {"replicaCount": 1, "leaderElection": {"enabled": False}}
MODULES: Values = {"useImageCommand": False, "modules": ["a"]}
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
    "a monitor at a pace that is none": (
        {"metrics": {"podMonitor": {"interval": "often"}}},
        'metrics.podMonitor.interval is "often", which Prometheus does not read: write whole numbers with units',
    ),
    "alerts about gaps": (
        {"metrics": {"enabled": True, "prometheusRule": {"enabled": True}, "podMonitor": {"interval": "5m"}}},
        "metrics.podMonitor.interval is 5m, .* set it to 2m at most",
    ),
    "alerts without an election": (
        {"metrics": {"enabled": True, "prometheusRule": {"enabled": True}}, **ALONE},
        "metrics.prometheusRule.enabled is about the election, and there is none: set leaderElection.enabled",
    ),
    "one port for two": (
        {"metrics": {"enabled": True, "port": 8081}},
        "metrics.port and health.port are both 8081: give them different ports",
    ),
    "one port for webhooks and health": (
        {"webhooks": {"enabled": True, "port": 8081}},
        "webhooks.port and health.port are both 8081: give them different ports",
    ),
    "two at work during an update": (
        {"strategy": {"type": "RollingUpdate"}, **ALONE},
        "strategy is not Recreate without an election, .* leave strategy empty",
    ),
    "no duration": ({"leaderElection": {"leaseDuration": "soon"}}, 'leaderElection.leaseDuration is "soon", .* write'),
    "no time at all": ({"leaderElection": {"retryPeriod": 0}}, "leaderElection.retryPeriod is 0: set it to a positive"),
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
        {"terminationGracePeriodSeconds": 12},
        "terminationGracePeriodSeconds is 12, below the 15 that a stop may take .* leave it null",
    ),
    "killed after a sleep": (
        {"terminationGracePeriodSeconds": 20, "lifecycle": {"preStop": {"sleep": {"seconds": 10}}}},
        "terminationGracePeriodSeconds is 20, below the 25 that a stop may take",
    ),
    "a name too long": ({"fullnameOverride": "a" * 64}, "fullnameOverride has 64 characters: shorten it to 63"),
    "a name that is none": ({"fullnameOverride": "My_App"}, 'fullnameOverride is "My_App", .* use small letters'),
    "a part of a name": ({"nameOverride": "-a"}, 'nameOverride is "-a", which is no name for objects'),
    "a lease name that is none": ({"leaderElection": {"id": "My_Op"}}, 'leaderElection.id is "My_Op", .* use small'),
    "a lease name too long": ({"leaderElection": {"id": "a" * 254}}, "leaderElection.id .* 253 characters at most"),
    "an account that is none": ({"serviceAccount": {"name": "a..b"}}, 'serviceAccount.name is "a..b", .* use small'),
    "a tag in the repository": (
        {"image": {"repository": "example.org:5000/a/operator:1.0"}},
        "image.repository is .* leave its tag and its digest out, and set image.tag",
    ),
    "a digest in the tag": ({"image": {"tag": "1@sha256:ab"}}, "image.tag is .* a digest goes into image.digest"),
    "a file that is empty": (
        {"operator": {"useImageCommand": False, "handlers": {"a.py": " "}}},
        'operator.handlers has an empty file, "a.py": give it its source',
    ),
    "files for more than a ConfigMap": (
        {"operator": {"useImageCommand": False, "handlers": {"a.py": "#" * 1_100_000}}},
        "operator.handlers has more than a megabyte, .* name them in operator.paths",
    ),
    "an election switched off behind the chart": (
        {"extraEnv": [{"name": "KOPF_RUN_ENABLE_LEADER_ELECTION", "value": "false"}]},
        "extraEnv has KOPF_RUN_ENABLE_LEADER_ELECTION, .* take it out, and set leaderElection.enabled",
    ),
    "an identity of one's own": (
        {"extraEnv": [{"name": "POD_NAME", "value": "me"}]},
        "extraEnv has POD_NAME, .* out[.]",
    ),
    "a variable by a template": (
        {"extraEnv": [{"name": "{{ print `POD_NAME` }}", "value": "me"}]},
        "extraEnv has POD_NAME",
    ),
    "a variable twice": ({"extraEnv": [{"name": "A"}, {"name": "A"}]}, 'extraEnv has a variable "A", and there is one'),
    "a flag that switches the election off": (
        {"operator": {**MODULES, "args": ["--verbose", "--no-enable-leader-election"]}},
        "operator.args has --no-enable-leader-election, .* take it out, and set leaderElection.enabled",
    ),
    "a flag for another scope": (
        {"operator": {**MODULES, "args": ["-A"]}},
        "operator.args has -A, .* set scope.clusterWide",
    ),
    "a label of the selector": (
        {"podLabels": {"app.kubernetes.io/component": "x"}},
        "podLabels has app.kubernetes.io/component, .* take it out",
    ),
    "a label of Helm's": ({"commonLabels": {"helm.sh/chart": "x"}}, "commonLabels has helm.sh/chart, .* take it out"),
    "a volume twice": (
        {"extraVolumes": [{"name": "tmp"}]},
        'extraVolumes has a volume "tmp", and there is one already',
    ),
    "a place twice": (
        {"extraVolumeMounts": [{"name": "tmp", "mountPath": "/tmp/"}]},
        'extraVolumeMounts has a mount at "/tmp", and there is one already',
    ),
    "a mount of nothing": (
        {"extraVolumeMounts": [{"name": "data", "mountPath": "/data"}]},
        'extraVolumeMounts mounts "data", which is no volume: add it to extraVolumes',
    ),
    "a container twice": ({"extraContainers": [{"name": "operator"}]}, 'extraContainers has a container "operator"'),
    "a container without a name": ({"initContainers": [{"image": "a"}]}, "has a container without a name: name it"),
    "URLs in a namespace": (
        {"rbac": {"rules": [{"nonResourceURLs": ["/metrics"], "verbs": ["get"]}]}},
        "rbac.rules has nonResourceURLs, .* move that rule to rbac.clusterRules",
    ),
}
SCHEMA: dict[str, tuple[Values, str]] = {
    "unknown key": ({"replicas": 3}, "replicas"),
    "unknown key inside": ({"leaderElection": {"leaseDurationSeconds": 15}}, "leaseDurationSeconds"),
    "a duration that is a list": ({"leaderElection": {"leaseDuration": [15]}}, "leaseDuration"),
    "a number as an annotation": ({"podAnnotations": {"a": 1}}, "podAnnotations"),
    "a bad digest": ({"image": {"digest": "latest"}}, "digest"),
    "a bad port": ({"health": {"port": 0}}, "port"),
    "a rule without verbs": ({"rbac": {"rules": [{"resources": ["pods"]}]}}, "verbs"),
    "a rule that grants nothing": (
        {"rbac": {"rules": [{"apiGroups": [""], "resources": ["pods"], "verbs": []}]}},
        "verbs",
    ),
    "a rule without a group": ({"rbac": {"rules": [{"resources": ["pods"], "verbs": ["get"]}]}}, "apiGroups"),
    "a strategy with a typing error": ({"strategy": {"typ": "Recreate"}}, "typ"),
    "a strategy that is none": ({"strategy": {"type": "Rolling"}}, "strategy.?type"),
    "resources by another name": ({"resources": {"cpu": "1"}}, "cpu"),
    "a tag that is a number": ({"image": {"tag": 1.1}}, "tag"),
    "a count that is a text": ({"replicaCount": "2"}, "replicaCount"),
    "labels that are numbers": ({"podLabels": {"a": 1}}, "podLabels"),
    "replicas without election": ({"leaderElection": {"enabled": False}}, "replicaCount"),
}


@pytest.mark.usefixtures("each_helm")
@pytest.mark.parametrize("case", BAD)
def test_refused_by_a_sentence(case: str):
    """The templates say what to set: the schema, whose words name no way out, lets it pass or is skipped."""
    values, sentence = BAD[case]
    flags = ["--skip-schema-validation"] if case in SCHEMA else []
    with pytest.raises(Refused, match=sentence):
        render(LEAST, *flags, also=values)


@pytest.mark.usefixtures("each_helm")
@pytest.mark.parametrize("case", SCHEMA)
def test_refused_by_the_schema(case: str):
    """The schema refuses it, and names the key."""
    values, key = SCHEMA[case]
    with pytest.raises(Refused, match=key):
        render(also=values)


def _groups(values: dict[str, Any], at: str = "") -> list[str]:
    """The paths of mappings that hold values of the chart's own, and of replicaCount."""
    found = [f"{at}{key}" for key in values if key == "replicaCount"]
    for key, value in values.items():
        if isinstance(value, dict) and f"{at}{key}" not in TOLD:
            found += [f"{at}{key}", *_groups(value, f"{at}{key}.")]
    return found


TOLD = {path for path, _ in described()}
GROUPS = _groups(yaml.safe_load((CHART / "values.yaml").read_text()))


@pytest.mark.usefixtures("each_helm")
@pytest.mark.parametrize("path", GROUPS)
def test_a_group_that_is_empty(path: str):
    """All its values commented out: YAML makes null of it, which takes the defaults away, and a sentence says so."""
    values: Any = None
    for key in reversed(path.split(".")):
        values = {key: values}
    with pytest.raises(Refused, match=f"{path} is empty: leave it out to have"):
        render(also=values)


@pytest.mark.usefixtures("each_helm")
def test_what_is_the_user_s_own_may_be_empty():
    """Null where nothing is given by default is nothing, everywhere."""
    values = yaml.safe_load((CHART / "values.yaml").read_text())
    empty = {key: None for key in values if key in TOLD and values[key] in ({}, [], "", None)}
    assert {"podLabels", "extraEnv", "initContainers", "lifecycle"} <= empty.keys()
    inner = {"operator": {"modules": None, "args": None}, "rbac": {"rules": None}, "image": {"tag": None}}
    plain, nulls = render(), render(also={**empty, **inner})
    assert nulls == plain


@pytest.mark.parametrize("release", ["1op", "my.op"])
def test_a_service_has_a_narrower_name(release: str):
    """A name that other objects may have, and a Service not."""
    values = {"webhooks": {"enabled": True}}
    with pytest.raises(Refused, match=f'"{release}-kopf-operator" is no name for one: set fullnameOverride'):
        render(release=release, also=values)
    assert render(release=release, also={**values, "fullnameOverride": "op"})
    assert render(release=release)


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
