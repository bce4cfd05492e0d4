"""The rights that `kopf-leader manifest` and the chart give, with real service accounts: each is needed, none is more.

`DOCUMENTED` is the list of docs/security.md: whoever adds a verb to a Role has to add it there, with its reason.
"""

import dataclasses
import secrets
from pathlib import Path

import kopf
import pytest
import yaml
from click.testing import CliRunner

from kopf_leader.cli.main import main
from kopf_leader.operations.site import Operations
from kopf_leader.protocol.settings import Settings
from tests.chart.helm import CI, render
from tests.cli.leases import Counted
from tests.controlplane import rbac
from tests.elector.memory import Recorder
from tests.elector.test_thread import wait_for

pytestmark = pytest.mark.xdist_group("real")
LEASES, CORE, RBAC = "coordination.k8s.io", "", "rbac.authorization.k8s.io"
KINDS = {"ServiceAccount": "api/v1", "Lease": f"apis/{LEASES}/v1"} | dict.fromkeys(
    ("Role", "RoleBinding"), f"apis/{RBAC}/v1"
)


@dataclasses.dataclass(frozen=True)
class Right:
    """One verb on one resource; `named`: on the one Lease only."""

    group: str
    resource: str
    verb: str
    named: bool = False


GET, WATCH, UPDATE = (Right(LEASES, "leases", verb, named=True) for verb in ("get", "watch", "update"))
CREATE, EVENTS = Right(LEASES, "leases", "create"), Right(CORE, "events", "create")
DOCUMENTED = {
    "manifest": {GET, WATCH, UPDATE, CREATE, EVENTS},
    "manifest --no-create": {GET, WATCH, UPDATE, EVENTS},
    "chart": {GET, WATCH, UPDATE, CREATE, EVENTS},
}
BREAKS = {
    GET: 'allow the verb "get"', WATCH: 'allow the verb "watch"', UPDATE: 'allow the verb "update"',
    CREATE: 'allow the verb "create"', EVENTS: "No Event by",
}  # fmt: skip


def objects(source: str, namespace: str) -> list[dict]:
    """The objects of one source for the Lease `op`: those of the election, and the account."""
    if source == "chart":
        values = {"fullnameOverride": "op", "leaderElection": {"id": "op"}}
        every = render(namespace=namespace, also=values)
        return [
            each
            for each in every
            if "election" in each["metadata"]["name"] or each["kind"] in ("ServiceAccount", "Lease")
        ]
    more = ["--no-create"] if "create" in source else []
    printed = CliRunner().invoke(main, ["manifest", "op", "-n", namespace, "--create-service-account", *more])
    every = [*yaml.safe_load_all(printed.stdout)]
    bound = {
        each["roleRef"]["name"]
        for each in every
        if any(subject["kind"] == "ServiceAccount" for subject in each.get("subjects") or ())
    }
    return [
        each for each in every if each["kind"] != "Role" or each["metadata"]["name"] in bound
    ]  # without the people's


def rights(every: list[dict]) -> list[Right]:
    """All rights of the Roles, one by one."""
    return [
        Right(group, resource, verb, named=rule.get("resourceNames") == ["op"])
        for each in every
        for rule in each.get("rules", [])
        for group in rule["apiGroups"]
        for resource in rule["resources"]
        for verb in rule["verbs"]
    ]


@pytest.mark.parametrize("source", DOCUMENTED)
def test_no_right_is_added_unseen(source):
    """Each right is in the documented list, once, and in no cluster-wide Role; the page has them all."""
    every = objects(source, "ns")
    found = rights(every)
    assert set(found) == DOCUMENTED[source]
    assert len(found) == len(set(found))
    assert not [each for each in every if each["kind"].startswith("ClusterRole")]
    page = (Path(__file__).parents[2] / "docs" / "security.md").read_text()
    for right in found:
        name = f"{right.resource}/op" if right.named else right.resource
        assert f"| `{right.group or 'core'}` | `{name}` | `{right.verb}` |" in page


def test_what_the_chart_gives_beside_the_election():
    """What the chart gives for kopf itself is that page's list too, and no more than that with the least values."""
    every = render(namespace="ns", also={"leaderElection": {"enabled": False}, "replicaCount": 1})
    beside = {(right.resource, right.verb) for right in rights(every)}
    allowed = {("events", "create")} | {
        (resource, verb) for resource in ("customresourcedefinitions", "namespaces") for verb in ("list", "watch")
    }
    assert beside <= allowed
    assert not [
        right for path in CI for right in rights(render(path)) if "*" in (right.group, right.resource, right.verb)
    ]


class Account:
    """A service account with the rights of one source, by a token of its own from the API server."""

    def __init__(self, plane, source, *, without):
        self.plane, self.namespace, self.watched = plane, plane.namespace("rights"), 0
        for each in objects(source, self.namespace):
            if each["kind"] == "Lease" and without == CREATE:
                continue
            body = {**each, "rules": list(less(each["rules"], without))} if "rules" in each else each
            self.account = (
                each["metadata"]["name"] if each["kind"] == "ServiceAccount" else getattr(self, "account", "op")
            )
            plane.admin.create(self._path(each["kind"]), body)
        asked = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {"expirationSeconds": 3600}}
        path = f"{self._path('ServiceAccount')}/{self.account}/token"
        self.token = plane.admin.create(path, asked)["status"]["token"]
        self.api = type(plane.admin)(plane.url, plane.ca_file, self.token)
        left = next(right for right in sorted(DOCUMENTED[source], key=str) if right != without)
        wait_for(lambda: self.may(left))

    def may(self, right):
        """RBAC reaches the authorizer with a delay; the rules of a Role come there together."""
        name = "op" if right.named else ""
        ask = {"group": right.group, "resource": right.resource, "namespace": self.namespace, "name": name}
        return rbac.allowed(self.api, verb=right.verb, **ask)

    def _path(self, kind):
        return f"/{KINDS[kind]}/namespaces/{self.namespace}/{kind.lower()}s"

    @property
    def lease(self):
        return self.plane.admin.get(f"{self._path('Lease')}/op")


def less(rules, without):
    """The rules with one verb less, where there is one to take away."""
    for rule in rules:
        ours = without is not None and without.resource in rule["resources"] and without.group in rule["apiGroups"]
        ours = ours and without.named == ("resourceNames" in rule)
        verbs = [verb for verb in rule["verbs"] if not (ours and verb == without.verb)]
        if verbs:
            yield {**rule, "verbs": verbs}


CASES = [
    (source, without)
    for source, known in DOCUMENTED.items()
    for without in (None, *sorted(known, key=str))
    if source != "manifest --no-create" or without is None  # the rest is the manifest's
]


@pytest.mark.parametrize(
    ("source", "without"), CASES, ids=lambda each: each if isinstance(each, str) else each and each.verb
)
def test_each_right_is_needed(control_plane, caplog, source, without):
    """With all of them an election lives its whole life; with one less something breaks, and the log names it."""
    caplog.set_level("DEBUG")
    account = Account(control_plane, source, without=without)
    info = kopf.ConnectionInfo(server=control_plane.url, token=account.token, ca_path=str(control_plane.ca_file))

    async def login():
        return info

    follower = Recorder()
    election = Operations().stand(
        settings=Settings(name="op", namespace=account.namespace, identity=f"one_{secrets.token_hex(4)}"),
        client=lambda: Counted(account, login),
        follower=follower,
    )
    follower.drained = election.drained
    election.start()
    try:
        if without is None or without == EVENTS:
            wait_for(lambda: follower.leading)
            first = account.lease["spec"]["renewTime"]
            wait_for(lambda: account.lease["spec"]["renewTime"] != first)
        if without is not None:
            wait_for(lambda: BREAKS[without] in caplog.text)
        if without in (GET, UPDATE, CREATE):
            assert not follower.terms
    finally:
        election.resign(leave=True)
        assert election.join(60)
    events = account.plane.admin.get(f"/api/v1/namespaces/{account.namespace}/events")["items"]
    if without is None:
        assert account.lease["spec"]["holderIdentity"] == ""
        assert events
        assert "allow the verb" not in caplog.text
        assert "No Event by" not in caplog.text
    if without == EVENTS:
        assert events == []


REFUSED = [
    *(Right(LEASES, "leases", verb, named=True) for verb in ("delete", "patch", "list", "deletecollection")),
    *(Right(CORE, "events", verb) for verb in ("list", "delete")),
    Right(CORE, "secrets", "get"),
    Right(CORE, "configmaps", "get"),
    Right(CORE, "pods", "list"),
    Right(CORE, "serviceaccounts", "impersonate"),
    Right(CORE, "serviceaccounts/token", "create"),
    Right(RBAC, "roles", "escalate"),
    Right(RBAC, "rolebindings", "bind"),
]


@pytest.mark.parametrize("source", ["manifest", "chart"])
def test_nothing_else_is_allowed(control_plane, source):
    """By the account's own token: no other verb, no other Lease, no other namespace, nothing to climb by."""
    account = Account(control_plane, source, without=None)
    assert [right for right in REFUSED if account.may(right)] == []
    other = {"group": LEASES, "resource": "leases"}
    for right in (GET, WATCH, UPDATE):
        assert not rbac.allowed(account.api, verb=right.verb, namespace=account.namespace, name="other", **other)
        assert not rbac.allowed(account.api, verb=right.verb, namespace="kube-system", name="op", **other)
