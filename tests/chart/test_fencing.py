"""Fencing in the chart: what the policy is for, and that it is the manifest's."""

from typing import Any

import kubernetes_validate
import pytest
import yaml
from click.testing import CliRunner

from kopf_leader.cli.main import main
from tests.chart.helm import LEAST, Objects, Refused, Values, of_kind, render

pytestmark = pytest.mark.usefixtures("each_helm")
POLICY, BINDING = "ValidatingAdmissionPolicy", "ValidatingAdmissionPolicyBinding"
READS = {"apiGroups": [""], "resources": ["nodes"], "verbs": ["list", "watch"]}
WRITES = {"apiGroups": ["kopf.dev"], "resources": ["kopfexamples", "kopfexamples/*"], "verbs": ["list", "patch"]}
COMMAND = ["manifest", "op-kopf-operator", "-n", "apps", "--fence", "--fence-resource=kopf.dev/kopfexamples"]
FENCED: Values = {"fencing": {"enabled": True}, "rbac": {"rules": [READS, WRITES]}}


def fence(objects: Objects, kind: str, *, keeper: bool = False) -> dict[str, Any]:
    """The only object of this kind: the fence's, or its keeper's."""
    (found,) = (each for each in of_kind(objects, kind) if each["metadata"]["name"].endswith("-keeper") == keeper)
    return found


def fenced(objects: Objects) -> list[tuple[Any, Any]]:
    """Groups and resources of the policy's rules."""
    rules = fence(objects, POLICY)["spec"]["matchConstraints"]["resourceRules"]
    assert all(rule["operations"] == ["CREATE", "UPDATE", "DELETE"] for rule in rules)
    return [(rule["apiGroups"], rule["resources"]) for rule in rules]


def test_nothing_is_fenced_by_default():
    """Neither policy nor binding."""
    objects = render(also={"rbac": {"rules": [WRITES]}})
    assert not of_kind(objects, POLICY)
    assert not of_kind(objects, BINDING)


def test_what_the_operator_may_write_is_fenced():
    """By default each rule with a verb that writes, in namespaces or outside, with or without a scope; no other."""
    cluster = {"apiGroups": ["x.y"], "resources": ["things"], "verbs": ["*"]}
    urls = {"nonResourceURLs": ["/metrics"], "verbs": ["*"]}
    for scope in ({}, {"clusterWide": True}, {"namespaces": ["one", "two"]}):
        values = {**FENCED, "scope": scope, "rbac": {"rules": [READS, WRITES], "clusterRules": [cluster, urls]}}
        assert fenced(render(also=values)) == [
            (["kopf.dev"], ["kopfexamples", "kopfexamples/*"]),
            (["x.y"], ["things"]),
        ]


def test_everything_is_everything_in_both_languages():
    """RBAC's "*" includes subresources; in a policy that is "*/*", and nothing may stand beside it."""
    rule = {"apiGroups": ["*", "a"], "resources": ["*", "b"], "verbs": ["*"]}
    assert fenced(render(also={**FENCED, "rbac": {"rules": [rule]}})) == [(["*"], ["*/*"])]


def test_what_is_named_wins():
    """`fencing.resources` is the whole list."""
    named = [{"apiGroups": [""], "resources": ["configmaps"]}]
    also = {**FENCED, "fencing": {"enabled": True, "resources": named}}
    assert fenced(render(also=also)) == [([""], ["configmaps"])]


def test_it_follows_account_and_lease():
    """The policy is for the release's account, and goes by the release's Lease, wherever that is."""
    also = {
        **FENCED,
        "serviceAccount": {"create": False, "name": "me"},
        "leaderElection": {"id": "mine", "namespace": "leases"},
    }
    objects = render(also=also)
    (condition,) = fence(objects, POLICY)["spec"]["matchConditions"]
    assert condition["expression"] == 'request.userInfo.username == "system:serviceaccount:apps:me"'
    spec = fence(objects, BINDING)["spec"]
    assert spec["policyName"] == fence(objects, POLICY)["metadata"]["name"]
    assert spec["paramRef"] == {"name": "mine", "namespace": "leases", "parameterNotFoundAction": "Allow"}
    denying = render(also={**FENCED, "fencing": {"enabled": True, "whenLeaseIsMissing": "Deny"}})
    assert fence(denying, BINDING)["spec"]["paramRef"]["parameterNotFoundAction"] == "Deny"


def test_it_is_the_manifest_s_policy():
    """Chart and `kopf-leader manifest` say the same to the API server, but for names, labels and what is fenced."""
    printed = list(yaml.safe_load_all(CliRunner().invoke(main, COMMAND).stdout))
    rendered = render(also=FENCED)
    ours, theirs = (fence(objects, POLICY)["spec"] for objects in (printed, rendered))
    del theirs["matchConstraints"]["excludeResourceRules"]
    assert ours == theirs
    ours, theirs = (fence(objects, BINDING)["spec"] for objects in (printed, rendered))
    assert {**ours, "policyName": ""} == {**theirs, "policyName": ""}


def test_the_keeper_stays():
    """It names Leases and matches nothing; Helm makes it and its binding by a hook, and so leaves them there."""
    printed = list(yaml.safe_load_all(CliRunner().invoke(main, COMMAND).stdout))
    rendered = render(also=FENCED)
    ours, theirs = (fence(objects, POLICY, keeper=True) for objects in (printed, rendered))
    assert ours["spec"] == theirs["spec"]
    for kind in (POLICY, BINDING):
        annotations = fence(rendered, kind, keeper=True)["metadata"]["annotations"]
        assert annotations == {"helm.sh/hook": "pre-install,pre-upgrade,pre-rollback"}
        assert "annotations" not in fence(rendered, kind)["metadata"]


@pytest.mark.parametrize("version", ["1.31", "1.33", "1.37"])
def test_the_api_s_schemas_take_it(version: str):
    """Strictly."""
    for object_ in render(also=FENCED):
        kubernetes_validate.validate(object_, version, strict=True)


@pytest.mark.parametrize(
    ("values", "flags", "sentence"),
    [
        ({"leaderElection": {"enabled": False}, "replicaCount": 1}, (), "fencing.enabled needs an election"),
        ({}, ("--kube-version", "1.29.5"), "needs Kubernetes 1.30 or newer .* and this is v1.29.5"),
        ({"rbac": {"rules": [READS]}}, (), "fencing.enabled fences nothing, .* name what it writes"),
    ],
)
def test_it_is_refused_where_it_cannot_work(values: Values, flags: tuple[str, ...], sentence: str):
    """With the way out."""
    with pytest.raises(Refused, match=sentence):
        render(LEAST, *flags, also={**FENCED, **values})


def test_a_preview_of_the_version_will_do():
    """Providers' versions have suffixes, and Helm takes them for previews."""
    assert of_kind(render(LEAST, "--kube-version", "1.30.1-gke.100", also=FENCED), POLICY)
