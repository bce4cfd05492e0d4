"""The chart's promises, in sentences, over what it renders."""

import re
from typing import Any

import kopf.cli
import pytest
import yaml

from kopf_leader.gate.option_table import OPTIONS
from tests.chart.helm import CI, LEAST, container, environment, helm_3, of_kind, pod, render, the, using

pytestmark = pytest.mark.usefixtures("each_helm")
HANDLERS = {"image": LEAST["image"], "operator": {"handlers": {"handlers.py": "import kopf\n"}}}
ALONE = {**LEAST, "replicaCount": 1, "leaderElection": {"enabled": False}}


@pytest.mark.parametrize("path", CI, ids=lambda path: path.stem)
def test_each_helm_renders_the_same(path, each_helm):
    """The same objects, in the same order, by Helm 3 and Helm 4."""
    if each_helm == 4:
        version = ("--kube-version", "1.37.0")
        ours = render(path, *version)
        with using(helm_3()):
            assert render(path, *version) == ours


def test_two_replicas_elect_by_default():
    """Two replicas and election by default."""
    objects = render()
    assert the(objects, "Deployment")["spec"]["replicas"] == 2
    assert environment(objects)["KOPF_RUN_ENABLE_LEADER_ELECTION"] == "true"


def test_everything_that_replicas_need_follows_from_the_election():
    """Strategy, budget and spread are derived from one truth; the Lease and its Role, too."""
    objects = render()
    assert the(objects, "Deployment")["spec"]["strategy"] == {
        "type": "RollingUpdate",
        "rollingUpdate": {"maxSurge": 1, "maxUnavailable": 0},
    }
    assert the(objects, "PodDisruptionBudget")["spec"]["maxUnavailable"] == 1
    (spread,) = pod(objects)["topologySpreadConstraints"]
    assert spread["matchLabelKeys"] == ["pod-template-hash"]
    assert spread["labelSelector"]["matchLabels"] == the(objects, "Deployment")["spec"]["selector"]["matchLabels"]
    assert len(of_kind(objects, "Lease")) == 1


def test_nothing_that_replicas_need_is_there_without_the_election():
    """Recreate, and neither Lease, budget, spread nor the Role for the Lease, where one runs alone."""
    objects = render(ALONE)
    assert the(objects, "Deployment")["spec"]["strategy"] == {"type": "Recreate"}
    assert not of_kind(objects, "PodDisruptionBudget")
    assert "topologySpreadConstraints" not in pod(objects)
    assert not of_kind(objects, "Lease")
    assert not [role for role in of_kind(objects, "Role") if "leader-election" in role["metadata"]["name"]]
    assert environment(objects)["KOPF_RUN_ENABLE_LEADER_ELECTION"] == "false"


def test_one_elected_replica_has_no_budget():
    """A budget over one replica would block the drain of its node for nothing."""
    assert not of_kind(render(also={"replicaCount": 1}), "PodDisruptionBudget")


def test_the_lease_is_release_scoped_and_granted_by_name():
    """Two releases in a namespace never share a Lease; the Role names it, and create stands apart."""
    first, second = (render(release=release) for release in ("one", "two"))
    names = [the(objects, "Lease")["metadata"]["name"] for objects in (first, second)]
    assert names == ["one-kopf-operator", "two-kopf-operator"]
    rules = the(first, "Role", "one-kopf-operator-leader-election")["rules"]
    assert rules[0]["resourceNames"] == [names[0]]
    assert rules[0]["verbs"] == ["get", "watch", "update"]
    assert rules[1]["verbs"] == ["create"]
    assert environment(first)["KOPF_RUN_LEADER_ELECTION_ID"] == names[0]


def test_the_role_is_in_the_lease_s_namespace():
    """With the Lease elsewhere, its Role and the binding are there, for the service account of here."""
    objects = render(also={"leaderElection": {"namespace": "leases"}})
    assert the(objects, "Lease")["metadata"]["namespace"] == "leases"
    assert the(objects, "Role", "op-kopf-operator-leader-election")["metadata"]["namespace"] == "leases"
    binding = the(objects, "RoleBinding", "op-kopf-operator-leader-election")
    assert binding["metadata"]["namespace"] == "leases"
    assert binding["subjects"][0]["namespace"] == "apps"
    assert environment(objects)["KOPF_RUN_LEADER_ELECTION_NAMESPACE"] == "leases"


def test_pods_are_read_for_evidence_only():
    """Takeover by evidence is off by default, and needs no right then; switched on, it may read the release's pods."""
    assert "KOPF_RUN_LEADER_ELECTION_TAKEOVER" not in environment(render())
    assert not [role for role in of_kind(render(), "Role") for rule in role["rules"] if "pods" in rule["resources"]]
    objects = render(also={"leaderElection": {"takeover": "evidence", "namespace": "leases"}})
    assert environment(objects)["KOPF_RUN_LEADER_ELECTION_TAKEOVER"] == "evidence"
    [role] = [each for each in of_kind(objects, "Role") if "pods" in each["rules"][0]["resources"]]
    assert role["rules"] == [{"apiGroups": [""], "resources": ["pods"], "verbs": ["get", "watch"]}]
    assert role["metadata"]["namespace"] != "leases"


def test_the_lease_has_no_spec():
    """A Lease that was never held is taken at once; its spec is the candidates' own, in an upgrade as well."""
    assert "spec" not in the(render(), "Lease")


@pytest.mark.parametrize("path", CI, ids=lambda path: path.stem)
def test_each_variable_is_known(path):
    """Each KOPF_RUN_… variable is one that kopf or the election reads."""
    known = {option.envvar for option in OPTIONS.values()}
    known |= {f"KOPF_RUN_{parameter.name}".upper() for parameter in kopf.cli.run.params}
    said = {entry["name"] for entry in container(render(path))["env"] if entry["name"].startswith("KOPF_")}
    assert said
    assert said <= known


def test_the_image_s_own_command_is_left_alone():
    """In this mode only the environment is set."""
    assert not {"command", "args"} & container(render()).keys()


def test_modules_and_paths_become_arguments():
    """Modules and paths in the image are run by kopf-leader."""
    values = {"image": LEAST["image"], "operator": {"modules": ["a.b"], "paths": ["/app/c.py"], "args": ["--verbose"]}}
    box = container(render(values))
    assert box["command"] == ["kopf-leader", "run"]
    assert box["args"] == ["--verbose", "-m", "a.b", "/app/c.py"]


def test_handlers_are_mounted_and_replace_the_pods_when_they_change():
    """Files from the values: a ConfigMap, named one by one, with a checksum on the pods."""
    objects = render(HANDLERS)
    changed = render(HANDLERS, also={"operator": {"handlers": {"handlers.py": "import kopf  # changed\n"}}})
    assert the(objects, "ConfigMap")["data"] == {"handlers.py": "import kopf\n"}
    assert container(objects)["args"] == ["/handlers/handlers.py"]
    sums = [the(each, "Deployment")["spec"]["template"]["metadata"]["annotations"] for each in (objects, changed)]
    assert sums[0]["checksum/handlers"] != sums[1]["checksum/handlers"]


@pytest.mark.parametrize(
    ("scope", "kind", "variable"),
    [
        ({}, "Role", {"KOPF_RUN_NAMESPACES": "apps"}),
        ({"namespaces": ["a", "b"]}, "Role", {"KOPF_RUN_NAMESPACES": "a b"}),
        ({"clusterWide": True}, "ClusterRole", {"KOPF_RUN_CLUSTERWIDE": "true"}),
    ],
)
def test_the_scope_drives_kopf_and_the_rights_alike(scope: dict[str, Any], kind: str, variable: dict[str, str]):
    """What kopf is told to serve is what the operator has rights for."""
    rule = {"apiGroups": ["kopf.dev"], "resources": ["kopfexamples"], "verbs": ["list", "watch", "patch"]}
    objects = render(also={"scope": scope, "rbac": {"rules": [rule]}})
    roles = [role for role in objects if role["kind"] in ("Role", "ClusterRole") and rule in role["rules"]]
    assert {role["kind"] for role in roles} == {kind}
    namespaces = [role["metadata"].get("namespace") for role in roles]
    assert namespaces == scope.get("namespaces", [None if scope else "apps"])
    assert {
        name: text
        for name, text in environment(objects).items()
        if name in ("KOPF_RUN_NAMESPACES", "KOPF_RUN_CLUSTERWIDE")
    } == variable


def test_each_role_is_bound_to_the_account():
    """No role without its binding, and each for the chart's own service account."""
    objects = render(CI[1])
    roles = {(role["kind"], role["metadata"]["name"]) for role in objects if role["kind"] in ("Role", "ClusterRole")}
    bindings = [object_ for object_ in objects if object_["kind"] in ("RoleBinding", "ClusterRoleBinding")]
    assert {(binding["roleRef"]["kind"], binding["roleRef"]["name"]) for binding in bindings} == roles
    account = the(objects, "ServiceAccount")["metadata"]
    for binding in bindings:
        (subject,) = binding["subjects"]
        assert (subject["name"], subject["namespace"]) == (account["name"], account["namespace"])


def test_the_digest_wins_over_the_tag():
    """An image by digest is what was tested."""
    digest = "sha256:" + "0" * 64
    image = {"image": {"tag": "1", "digest": digest}}
    assert container(render(also=image))["image"] == f"example.org/operator@{digest}"


def test_the_probes_do_not_ask_who_leads():
    """Liveness asks /livez, readiness /readyz, on the port that the operator is told to serve."""
    box = container(render(also={"health": {"port": 9000}}))
    assert box["livenessProbe"]["httpGet"] == {"path": "/livez", "port": "health"}
    assert box["readinessProbe"]["httpGet"] == {"path": "/readyz", "port": "health"}
    assert {"name": "health", "containerPort": 9000} in box["ports"]
    assert {"name": "KOPF_RUN_HEALTH_PROBE_BIND_ADDRESS", "value": ":9000"} in box["env"]


@pytest.mark.parametrize(("drain", "least"), [("10s", 30), ("1m", 80), (45, 65)])
def test_the_grace_period_covers_the_drain(drain: Any, least: int):
    """Handlers may finish for as long as the drain time-out says, and there is time left to release the Lease."""
    objects = render(also={"leaderElection": {"drainTimeout": drain}})
    assert pod(objects)["terminationGracePeriodSeconds"] == least
    assert environment(objects)["KOPF_RUN_LEADER_ELECTION_DRAIN_TIMEOUT"] == str(drain)


@pytest.mark.parametrize("path", CI, ids=lambda path: path.stem)
def test_pods_obey_the_restricted_pod_security_standard(path):
    """Restricted by default: also where the real API server cannot be asked."""
    objects = render(path)
    specs = [pod(objects)] + [each["spec"] for each in of_kind(objects, "Pod")]
    for spec in specs:
        assert spec["securityContext"]["runAsNonRoot"] is True
        assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        for box in spec["containers"]:
            assert box["securityContext"]["allowPrivilegeEscalation"] is False
            assert box["securityContext"]["capabilities"] == {"drop": ["ALL"]}
            assert box["securityContext"]["readOnlyRootFilesystem"] is True
        assert all({"emptyDir", "configMap"} & volume.keys() for volume in spec["volumes"])


@pytest.mark.parametrize("release", ["r" * 53, "kopf-operator-" + "r" * 39])
def test_names_fit(release: str):
    """The longest release name leaves every name within 63 characters."""
    names = [object_["metadata"]["name"] for object_ in render(CI[1], release=release)]
    assert max(len(name) for name in names) <= 63
    assert all(re.fullmatch(r"[a-z0-9]([-.a-z0-9]*[a-z0-9])?", name) for name in names)


@pytest.mark.parametrize("name", ["123", "1e3", "on", "null"])
def test_names_stay_texts(name: str):
    """A name that YAML takes for a number, a truth or nothing is a text all the same."""
    override = {"nameOverride": name} if name.isalpha() else {"fullnameOverride": "op"}
    election = {"id": name, "namespace": name, "takeover": "evidence"}
    also = {**override, "serviceAccount": {"name": name}, "leaderElection": election}
    objects = render(CI[1], release=name, namespace=name, also=also)

    def texts(node: Any, key: str = "") -> None:
        if isinstance(node, dict):
            for inner, value in node.items():
                assert isinstance(inner, str)
                texts(value, inner)
        elif isinstance(node, list):
            for value in node:
                texts(value, key)
        elif key in ("name", "namespace", "namespaces", "resourceNames", "serviceAccountName") or "/" in key:
            assert isinstance(node, str), f"{key}: {node!r}"

    for object_ in objects:
        texts(object_)
    assert the(objects, "Lease")["metadata"]["name"] == name


def test_long_names_stay_apart():
    """Two releases with long names that begin alike share nothing, in one namespace or in two."""
    places = [("r" * 52 + "1", "apps"), ("r" * 52 + "2", "apps"), ("r" * 52 + "1", "n" * 63)]
    seen: list[set[Any]] = []
    for release, namespace in places:
        objects = render(CI[1], release=release, namespace=namespace)
        seen.append({(each["kind"], each["metadata"].get("namespace"), each["metadata"]["name"]) for each in objects})
    assert not seen[0] & seen[1]
    assert not seen[0] & seen[2]


def test_webhooks_are_served_by_all_ready_replicas():
    """The Service selects all pods of the release: standbys answer admission webhooks, too."""
    objects = render(also={"webhooks": {"enabled": True}})
    service = the(objects, "Service")["spec"]
    assert service["selector"] == the(objects, "Deployment")["spec"]["selector"]["matchLabels"]
    assert service["ports"][0]["targetPort"] in {port["name"] for port in container(objects)["ports"]}


def test_the_flow_schema_covers_the_lease_only():
    """The Lease's requests, of this account, and nothing else, get the priority of leader elections."""
    objects = render(also={"flowSchema": {"enabled": True}})
    spec = the(objects, "FlowSchema")["spec"]
    assert spec["priorityLevelConfiguration"] == {"name": "leader-election"}
    (rule,) = spec["rules"]
    assert rule["resourceRules"][0]["resources"] == ["leases"]
    assert rule["subjects"][0]["serviceAccount"] == {"name": "op-kopf-operator", "namespace": "apps"}


def test_the_helm_test_waits_for_a_leader():
    """`helm test` runs `kopf-leader status --wait` by the operator's own account and image."""
    objects = render()
    test = the(objects, "Pod")
    assert test["metadata"]["annotations"]["helm.sh/hook"] == "test"
    (box,) = test["spec"]["containers"]
    assert box["command"] == ["kopf-leader", "status"]
    assert {"op-kopf-operator", "--namespace=apps", "--wait"} <= set(box["args"])
    assert box["image"] == container(objects)["image"]
    assert test["spec"]["serviceAccountName"] == pod(objects)["serviceAccountName"]


def test_what_is_the_user_s_own_is_passed_on():
    """Environment, volumes, objects: as they are, templates among them."""
    objects = render(CI[3])
    assert environment(objects)["RELEASE"] == "op"
    assert {"name": "config", "mountPath": "/etc/operator"} in container(objects)["volumeMounts"]
    assert the(objects, "ConfigMap", "config")["data"] == {"release": "op"}
    assert the(objects, "ConfigMap", "op-kopf-operator-extra")


def test_labels_are_texts():
    """A value that looks like a number stays a text: server-side apply refuses anything else."""
    objects = render(also={"image": {"tag": "1.10"}, "podAnnotations": {"on": "true"}})
    for object_ in objects:
        assert all(isinstance(text, str) for text in object_["metadata"].get("labels", {}).values())
    template = the(objects, "Deployment")["spec"]["template"]["metadata"]
    assert template["annotations"]["on"] == "true"
    assert template["labels"]["app.kubernetes.io/version"] == "1.10"


def test_the_selector_never_changes():
    """An upgrade cannot change a selector: version and chart are not part of it."""
    selectors = [
        the(render(also={"image": {"tag": tag}}), "Deployment")["spec"]["selector"] for tag in ("1.0.0", "2.0.0")
    ]
    assert selectors[0] == selectors[1]


def test_the_values_files_are_what_they_say():
    """Each values file of ci/ begins with what it stands for."""
    assert len(CI) == 5
    for path in CI:
        assert path.read_text().startswith("# ")
        assert yaml.safe_load(path.read_text())["image"]
