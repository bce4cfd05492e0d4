"""What pods of the chart get, what selects them, and what users may say otherwise."""

import pytest

from tests.chart.helm import CI, LEAST, container, environment, pod, render, the

pytestmark = pytest.mark.usefixtures("each_helm")


def test_nothing_but_the_operator_s_pods_is_selected():
    """What selects pods selects the Deployment's, and not the one of `helm test`; only the network policy does."""
    objects = render(CI[1], also={"webhooks": {"enabled": True}})
    labels = the(objects, "Pod")["metadata"]["labels"]
    spread = pod(objects)["topologySpreadConstraints"][0]["labelSelector"]["matchLabels"]
    selectors = [the(objects, "Service")["spec"]["selector"], spread]
    selectors += [
        the(objects, kind)["spec"]["selector"]["matchLabels"]
        for kind in ("Deployment", "PodDisruptionBudget", "PodMonitor")
    ]
    for selector in selectors:
        assert selector.items() <= the(objects, "Deployment")["spec"]["template"]["metadata"]["labels"].items()
        assert not selector.items() <= labels.items()
    assert the(objects, "NetworkPolicy")["spec"]["podSelector"]["matchLabels"].items() <= labels.items()


def test_a_node_with_broken_replicas_can_be_drained():
    """Replicas that never become ready do not hold up an eviction."""
    assert the(render(), "PodDisruptionBudget")["spec"]["unhealthyPodEvictionPolicy"] == "AlwaysAllow"


def test_only_pods_of_the_chart_get_the_token():
    """The account gives its token to no pod unasked; the operator and `helm test` ask."""
    objects = render()
    assert the(objects, "ServiceAccount")["automountServiceAccountToken"] is False
    assert pod(objects)["automountServiceAccountToken"] is True
    assert the(objects, "Pod")["spec"]["automountServiceAccountToken"] is True


def test_one_may_leave_the_right_to_create_out():
    """Without `leaderElection.allowCreate`, no rule lets anybody create a Lease."""
    objects = render(also={"leaderElection": {"allowCreate": False}})
    rules = the(objects, "Role", "op-kopf-operator-leader-election")["rules"]
    assert [rule["verbs"] for rule in rules if rule["resources"] == ["leases"]] == [["get", "watch", "update"]]


@pytest.mark.parametrize("path", CI, ids=lambda path: path.stem)
def test_a_variable_stands_once(path):
    """Server-side apply refuses a name that stands twice; where it is no option of the election, the user's wins."""
    objects = render(path, also={"extraEnv": [{"name": "HOME", "value": "/data"}, {"name": "USER", "value": "me"}]})
    names = [entry["name"] for entry in container(objects)["env"]]
    assert len(names) == len(set(names))
    assert environment(objects)["HOME"] == "/data"
    assert environment(objects)["PYTHONUNBUFFERED"] == "1"


def test_the_narrower_label_wins():
    """What is said for pods, monitor, rules and dashboard is laid over commonLabels."""
    labels = {"labels": {"team": "narrow"}}
    metrics = {
        "enabled": True,
        **{each: {**labels, "enabled": True} for each in ("podMonitor", "prometheusRule", "dashboard")},
    }
    objects = render(also={"commonLabels": {"team": "wide"}, "podLabels": {"team": "narrow"}, "metrics": metrics})
    kinds = {"PodMonitor", "PrometheusRule", "ConfigMap"}
    found = {object_["kind"]: object_["metadata"]["labels"]["team"] for object_ in objects}
    assert {kind for kind, team in found.items() if team == "narrow"} == kinds
    assert the(objects, "Deployment")["spec"]["template"]["metadata"]["labels"]["team"] == "narrow"


def test_openshift_chooses_users_itself():
    """What is set to null is not there: OpenShift's own ranges are taken, and the rest stays restricted."""
    objects = render(also={"podSecurityContext": {"runAsUser": None, "runAsGroup": None, "fsGroup": None}})
    for spec in (pod(objects), the(objects, "Pod")["spec"]):
        assert spec["securityContext"] == {"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}}


def test_spread_is_filled_in():
    """Constraints of the user's own need no labels: the chart knows them. Those that have some are left alone."""
    zone = {"maxSkew": 1, "topologyKey": "topology.kubernetes.io/zone", "whenUnsatisfiable": "DoNotSchedule"}
    whole = {**zone, "labelSelector": {"matchLabels": {"a": "b"}}}
    objects = render(also={"topologySpreadConstraints": [zone, whole]})
    filled, left = pod(objects)["topologySpreadConstraints"]
    assert left == whole
    assert filled.pop("labelSelector") == the(objects, "Deployment")["spec"]["selector"]
    assert filled == {**zone, "matchLabelKeys": ["pod-template-hash"]}
    assert "topologySpreadConstraints" not in pod(render(also={"topologySpreadConstraints": []}))


def test_sources_arrive_as_they_are():
    """Blanks at the beginning, several line ends, quotes, tabs, braces of templates: the file is what was given."""
    sources = {
        "a.py": "  # indented\nimport kopf\n\n\n",
        "b.py": "x = '{{ .Release.Name }}'  # \u2713\n\tpass",
        "c.py": "import kopf\r\nx = 'a: b' # - c\r\n",
    }
    objects = render({"image": LEAST["image"], "operator": {"handlers": sources}})
    assert the(objects, "ConfigMap")["data"] == sources


def test_the_grace_period_is_enough_for_all_that_comes_before():
    """A sleep before SIGTERM, the drain, kopf's own five seconds, and time for the release."""
    also = {"leaderElection": {"drainTimeout": "1m"}, "lifecycle": {"preStop": {"sleep": {"seconds": 7}}}}
    assert pod(render())["terminationGracePeriodSeconds"] == 30
    assert pod(render(also=also))["terminationGracePeriodSeconds"] == 7 + 60 + 5 + 15


def test_user_namespaces_on_request():
    """`hostUsers: false` is passed on; nothing is said by default."""
    assert pod(render(also={"hostUsers": False}))["hostUsers"] is False
    assert "hostUsers" not in pod(render())
