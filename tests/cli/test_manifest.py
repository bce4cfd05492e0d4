"""`kopf-leader manifest`: what it prints can be applied, and is enough, and none of it is too much."""

import json
import re
import secrets
import shutil
import subprocess
from pathlib import Path

import kopf
import pytest
import yaml
from click.testing import CliRunner

from kopf_leader.cli.main import main
from kopf_leader.elector.thread import ElectionThread
from kopf_leader.operations.site import Operations
from kopf_leader.protocol.settings import Settings
from tests.cli.leases import HELD, Counted
from tests.controlplane import rbac
from tests.elector.memory import Recorder
from tests.elector.test_thread import wait_for

pytestmark = pytest.mark.xdist_group("real")
PATHS = {
    "ServiceAccount": "/api/v1/namespaces/{}/serviceaccounts",
    "Lease": "/apis/coordination.k8s.io/v1/namespaces/{}/leases",
    "Role": "/apis/rbac.authorization.k8s.io/v1/namespaces/{}/roles",
    "RoleBinding": "/apis/rbac.authorization.k8s.io/v1/namespaces/{}/rolebindings",
}
ALL = ["--create-service-account", "--on-call-user=jane", "--on-call-group=sre:on-call"]


def printed(*arguments, status=0, **variables):
    """What it prints, as text."""
    result = CliRunner().invoke(main, ["manifest", *arguments], env=variables)
    assert result.exit_code == status, result.output
    return result.stdout if status == 0 else result.stderr


def objects(*arguments):
    """What it prints, as objects."""
    return [*yaml.safe_load_all(printed(*arguments))]


def test_what_is_in_it():
    """The Lease with an empty spec, the Role by name, its binding, a Role for a person; nothing else unless asked."""
    plain = objects("op", "-n", "ns")
    assert [(each["kind"], each["metadata"]["name"]) for each in plain] == [
        ("Lease", "op"), ("Role", "op-leader-election"), ("RoleBinding", "op-leader-election"), ("Role", "op-on-call"),
    ]  # fmt: skip
    assert plain[0]["spec"] == {}
    assert {each["metadata"]["namespace"] for each in plain} == {"ns"}
    assert plain[2]["subjects"] == [{"kind": "ServiceAccount", "name": "op", "namespace": "ns"}]
    verbs = [rule["verbs"] for rule in plain[1]["rules"] if rule["resources"] == ["leases"]]
    assert verbs == [["get", "watch", "update"], ["create"]]
    less = objects("op", "-n", "ns", "--no-create")
    assert [rule for rule in plain[1]["rules"] if rule not in less[1]["rules"]] == [
        {"apiGroups": ["coordination.k8s.io"], "resources": ["leases"], "verbs": ["create"]}
    ]
    every = objects("op", "-n", "ns", "--service-account=there:me", "-l", "team=a", "-l", "x.y/z=", *ALL)
    kinds = ["ServiceAccount", "Lease", "Role", "RoleBinding", "Role", "RoleBinding"]
    assert [each["kind"] for each in every] == kinds
    assert all(each["metadata"]["labels"] == {"team": "a", "x.y/z": ""} for each in every)
    assert every[3]["subjects"] == [{"kind": "ServiceAccount", "name": "me", "namespace": "there"}]
    assert [each["name"] for each in every[5]["subjects"]] == ["jane", "sre:on-call"]


def test_reading_pods_is_a_role_of_its_own():
    """With --read-pods: get and watch of pods, where the operator's pods are, and nothing else."""
    role, bound = objects("op", "-n", "ns", "--service-account=there:me", "--read-pods")[4:]
    assert (role["kind"], role["metadata"]) == ("Role", {"name": "op-takeover", "namespace": "there"})
    assert role["rules"] == [{"apiGroups": [""], "resources": ["pods"], "verbs": ["get", "watch"]}]
    assert bound["metadata"] == role["metadata"]
    assert bound["subjects"] == [{"kind": "ServiceAccount", "name": "me", "namespace": "there"}]


def test_what_is_fenced():
    """Each resource named, with its subresources, by group; the same text in whatever order they are named."""
    plain = ["op", "-n", "ns", "--fence", "--service-account=there:me"]
    named = [f"--fence-resource={each}" for each in ("a.b/things", "pods", "a.b/others")]
    policy, binding = objects(*plain, *named)[-2:]
    assert [each["metadata"] for each in (policy, binding)] == [{"name": "ns.op.fencing"}] * 2
    rules = policy["spec"]["matchConstraints"]["resourceRules"]
    assert [(rule["apiGroups"], rule["resources"]) for rule in rules] == [
        ([""], ["pods", "pods/*"]), (["a.b"], ["others", "others/*", "things", "things/*"]),
    ]  # fmt: skip
    assert '"system:serviceaccount:there:me"' in policy["spec"]["matchConditions"][0]["expression"]
    assert binding["spec"]["paramRef"] == {"name": "op", "namespace": "ns", "parameterNotFoundAction": "Allow"}
    text = printed(*plain, *named)
    assert text == printed(*plain, *reversed(named))
    assert max(map(len, text.splitlines())) <= 120
    assert (
        objects(*plain, *named, "--fence-when-missing=deny")[-1]["spec"]["paramRef"]["parameterNotFoundAction"]
        == "Deny"
    )


def test_the_same_text_each_time():
    """The YAML is stable: the same arguments, in whatever order, print the same text; no trailing spaces."""
    one = printed("op", "-n", "ns", "-l", "a=1", "-l", "b=2", *ALL)
    assert one == printed("op", "-l", "b=2", "-l", "a=1", *ALL, "-n", "ns")
    assert one == printed(*ALL, "-l", "b=2", "-l", "a=1", KOPF_RUN_LEADER_ELECTION_ID="op",
                          KOPF_RUN_LEADER_ELECTION_NAMESPACE="ns")  # fmt: skip
    assert not re.search(r"[ \t]$", one, re.MULTILINE)
    assert max(map(len, one.splitlines())) <= 120


def test_each_verb_has_its_reason():
    """Above each rule stands why each of its verbs is there."""
    for chunk in printed("op", "-n", "ns", *ALL).split("rules:\n")[1:]:
        for comment, verbs in re.findall(r"((?:  # .+\n)+)(?:  [- ] .+\n)*?    verbs: (.+)\n", chunk):
            assert re.findall(r"# ([a-z]+): ", comment) == json.loads(verbs)


def test_names_that_look_like_something_else():
    """A name that YAML would read as a number or a word stays a text."""
    for name in ("1e5", "123", "on", "null", "0x1f", "1.5", "y"):
        assert {each["metadata"]["name"] for each in objects(name, "-n", name.replace(".", ""))} >= {name}


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["op"], "--namespace"),
        (["OP", "-n", "ns"], "no valid name of a Lease"),
        (["op", "-n", "n.s"], "no valid name of a namespace"),
        (["op", "-n", "ns", "--service-account=A"], "no service account"),
        (["op", "-n", "ns", "--service-account=a:"], "no service account"),
        (["op", "-n", "ns", "-l", "nonsense"], "no label"),
        (["op", "-n", "ns", "-l", "a/b/c=d"], "no label"),
        (["op", "-n", "ns", "-l", "a=b\nc"], "no label"),
        (["op", "-n", "ns", "-l", "a=b", "-l", "a=c"], "two values"),
        (["op", "-n", "ns", "--on-call-user="], "user or a group"),
        (["op", "-n", "ns", "--on-call-user=a\nb"], "user or a group"),
        (["op", "-n", "ns", "--fence"], "name each resource"),
        (["op", "-n", "ns", "--fence-resource=a.b/c"], "say --fence"),
        (["op", "-n", "ns", "--fence", "--fence-resource=a.b/C"], "no resource"),
        (["op", "-n", "ns", "--fence", "--fence-resource=*"], "no resource"),
        (["op", "-n", "ns", "--fence", "--fence-resource=a.b/c/status"], "no resource"),
        (["op", "-n", "ns", "--fence", "--fence-resource=events"], "never fenced"),
        (["op", "-n", "ns", "--fence", "--fence-resource=coordination.k8s.io/leases"], "never fenced"),
    ],
)
def test_bad_input(arguments, words):
    """What the API server would refuse is refused with a sentence, status 2, and nothing is printed."""
    assert words in printed(*arguments, status=2)


# On the real API server: a manifest is right if that takes it, and enough if an election works with it. That no verb
# of it is too much is a question of the ring `security`.


def apply(plane, body, *, dry_run=False):
    """As `kubectl apply --server-side` does it, with strict validation."""
    metadata = body["metadata"]
    path = f"{PATHS[body['kind']].format(metadata['namespace'])}/{metadata['name']}"
    query = "?fieldManager=kubectl&fieldValidation=Strict" + ("&dryRun=All" if dry_run else "")
    return plane.admin.request("PATCH", path + query, body, content_type="application/apply-patch+yaml")


@pytest.mark.parametrize("name", ["op", "1e5", "a.b-c", "x" * 253])
def test_the_api_server_takes_it(control_plane, name):
    """Strict, by a dry run and in fact; and applied a second time."""
    namespace = control_plane.namespace("manifest")
    for dry_run in (True, False, False):
        for each in objects(name, "-n", namespace, "-l", "team=storage", *ALL):
            apply(control_plane, each, dry_run=dry_run)


@pytest.mark.skipif(shutil.which("kubectl") is None, reason="there is no kubectl on the PATH")
@pytest.mark.parametrize("how", [[], ["--server-side"]], ids=["client-side", "server-side"])
def test_kubectl_takes_it(control_plane, tmp_path, how):
    """`kubectl apply -f -`, and again while somebody leads: the record of the leader stays."""
    namespace = control_plane.namespace("manifest")
    kubeconfig = control_plane.kubeconfig(tmp_path / "kc", token=control_plane.admin_token, namespace=namespace)
    command = ["kubectl", f"--kubeconfig={kubeconfig}", f"--cache-dir={tmp_path}", "apply", "--validate=strict", *how]
    text = printed("op", "-n", namespace, *ALL)

    def kubectl():
        done = subprocess.run(
            [*command, "-f", "-"], input=text, capture_output=True, text=True, timeout=120, check=False
        )
        assert done.returncode == 0, done
        return done

    kubectl()
    path = f"{PATHS['Lease'].format(namespace)}/op"
    led = {**control_plane.admin.get(path), "spec": HELD}
    control_plane.admin.replace(path, led)
    assert kubectl().stderr == ""
    assert control_plane.admin.get(path)["spec"] == HELD


class Account:
    """A service account with the manifest's rights, by a token of its own from the API server."""

    def __init__(self, plane, folder):
        self.plane, self.folder = plane, folder
        self.namespace = plane.namespace("manifest")
        self.watched = 0
        for each in objects("op", "-n", self.namespace, "--create-service-account", "--no-create"):
            apply(plane, each)
        path = f"{PATHS['ServiceAccount'].format(self.namespace)}/op/token"
        request = {
            "apiVersion": "authentication.k8s.io/v1",
            "kind": "TokenRequest",
            "spec": {"expirationSeconds": 3600},
        }
        self.token = plane.admin.create(path, request)["status"]["token"]
        self.api = type(plane.admin)(plane.url, plane.ca_file, self.token)
        wait_for(lambda: self.may("update"))

    def may(self, verb):
        """RBAC reaches the authorizer with a delay; the rules come there together."""
        ask = {"group": "coordination.k8s.io", "resource": "leases", "namespace": self.namespace, "name": "op"}
        return rbac.allowed(self.api, verb=verb, **ask)

    @property
    def lease(self):
        return self.plane.admin.get(f"{PATHS['Lease'].format(self.namespace)}/op")

    def events(self):
        return self.plane.admin.get(f"/api/v1/namespaces/{self.namespace}/events")["items"]

    def run(self, *arguments):
        kubeconfig = self.plane.kubeconfig(self.folder / "kubeconfig", token=self.token, namespace=self.namespace)
        return CliRunner().invoke(main, [*arguments, "--kubeconfig", str(kubeconfig)])


def pruned(body, without):
    """The object with one verb less in its rules: `(resource, verb)`."""
    for rule in body.get("rules", []) if without else []:
        if without[0] in rule["resources"]:
            rule["verbs"] = [verb for verb in rule["verbs"] if verb != without[1]]
    return {**body, "rules": [rule for rule in body["rules"] if rule["verbs"]]} if "rules" in body else body


@pytest.fixture
def stand(control_plane, tmp_path):
    """Start a candidate with a service account's token and the Events; the account and what it leads."""
    started = []

    def stand():
        account = Account(control_plane, tmp_path)
        info = kopf.ConnectionInfo(server=control_plane.url, token=account.token, ca_path=str(control_plane.ca_file))

        async def login():
            return info

        follower = Recorder()
        election = Operations().stand(
            settings=Settings(name="op", namespace=account.namespace, identity=f"one_{secrets.token_hex(4)}"),
            client=lambda: Counted(account, login),
            follower=follower,
        )
        assert isinstance(election, ElectionThread)
        follower.drained = election.drained
        started.append(election)
        election.start()
        return account, follower, election

    yield stand
    for election in started:
        election.resign(leave=True)
    for election in started:
        election.join(60)


def test_it_is_enough_without_create(stand):
    """With the manifest's rights and no other: leads at once, renews, tells Events, and gives the Lease back."""
    account, follower, election = stand()
    wait_for(lambda: follower.leading)
    first = account.lease["spec"]["renewTime"]
    wait_for(lambda: account.lease["spec"]["renewTime"] != first)
    for each in objects("op", "-n", account.namespace, "--no-create"):
        apply(account.plane, each)
    assert account.lease["spec"]["holderIdentity"], "applied again, it leaves the leader alone"
    wait_for(account.events)
    election.resign(leave=True)
    assert election.join(60)
    assert account.lease["spec"]["holderIdentity"] == ""
    assert len(follower.terms) == 1


ASKED = [
    ["status", "op", "--observe=0"], ["transfer", "op", "--to=pod-b", "--no-wait"], ["resume", "op", "--no-wait"],
    ["step-down", "op", "--no-wait"], ["resume", "op", "--no-wait"], ["hold", "op", "--reason=x", "--no-wait"],
    ["resume", "op", "--no-wait"],
]  # fmt: skip


@pytest.mark.parametrize("without", [None, ("leases", "get"), ("leases", "update"), ("pods", "get")], ids=str)
def test_the_rights_of_a_person(control_plane, tmp_path, without):
    """With the Role for people each command works; without one of its verbs one of them says so."""
    namespace, user = control_plane.namespace("manifest"), f"jane-{secrets.token_hex(4)}"
    token, name = control_plane.user(user), control_plane.username(user)
    for each in objects("op", "-n", namespace, f"--on-call-user={name}"):
        body = {**each, "spec": {**HELD, "leaseDurationSeconds": 60}} if each["kind"] == "Lease" else each
        apply(control_plane, pruned(body, without))
    pod = {"metadata": {"name": "pod-b"}, "spec": {"containers": [{"name": "one", "image": "none"}]}}
    control_plane.admin.create(f"/api/v1/namespaces/{namespace}/pods", pod)
    ask = {"group": "coordination.k8s.io", "resource": "leases", "namespace": namespace, "name": "op"}
    wait_for(lambda: rbac.allowed(control_plane.as_user(user), verb="watch", **ask))
    kubeconfig = control_plane.kubeconfig(Path(tmp_path / "kc"), token=token, namespace=namespace)
    done = [CliRunner().invoke(main, [*command, "--kubeconfig", str(kubeconfig)]) for command in ASKED]
    said = "".join(each.stderr for each in done)
    match without:
        case None:
            assert (said, {each.exit_code for each in done}) == ("", {0})
        case ("leases", verb):
            assert f'allow the verb "{verb}"' in said
        case _:
            assert "not checked that there is a pod" in said
            assert {each.exit_code for each in done} == {0}
