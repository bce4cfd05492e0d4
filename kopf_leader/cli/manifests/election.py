"""The election's part of the manifest: what the candidates compete for, and what they may do."""

from collections.abc import Mapping

from kopf_leader.cli.manifests.text import RBAC, Subject, binding, head, rule
from kopf_leader.protocol.record import API_VERSION

ROLE = "-leader-election"


def parts(
    *,
    lease: str,
    namespace: str,
    labels: Mapping[str, str],
    account: Subject,
    create_account: bool,
    allow_create: bool,
) -> list[list[str]]:
    """The Lease, the Role and its binding; and the service account, if it is asked for."""
    name = lease + ROLE
    found = [_lease(lease, namespace, labels), _role(name, lease, namespace, labels, allow_create=allow_create)]
    if create_account:
        found.insert(0, head("v1", "ServiceAccount", account.name, account.namespace or namespace, labels))
    return [*found, binding(name, namespace, labels, [account])]


def _lease(lease: str, namespace: str, labels: Mapping[str, str]) -> list[str]:
    return [
        "# What the candidates compete for. The spec is empty, and theirs: a Lease that was never held is taken at",
        "# once, while one that a candidate has to create costs one lease duration. Applying this again leaves a Lease",
        "# that is held as it is; deleting it ends its leader's term.",
        *head(API_VERSION, "Lease", lease, namespace, labels),
        "spec: {}",
    ]


def _role(name: str, lease: str, namespace: str, labels: Mapping[str, str], *, allow_create: bool) -> list[str]:
    lines = [
        "# What each replica may do for the election. What its handlers need stands elsewhere.",
        *head(f"{RBAC}/v1", "Role", name, namespace, labels),
        "rules:",
        *rule(
            "get: to see who leads, and what became of a write of unknown outcome.",
            "watch: to learn of a release, a transfer or a hold when it happens.",
            "update: to take the Lease, to renew it and to give it back.",
            groups="coordination.k8s.io",
            resources="leases",
            only=lease,
            verbs=["get", "watch", "update"],
        ),
    ]
    if allow_create:
        lines += rule(
            "create: to create the Lease anew when somebody has deleted it. It cannot be limited by name, for the API",
            "server does not know the name yet; without it, a deleted Lease is to be applied again.",
            groups="coordination.k8s.io",
            resources="leases",
            verbs=["create"],
        )
    return lines + rule(
        "create: for the Events on the Lease, who became leader, who stopped and why; without it there are none.",
        groups="",
        resources="events",
        verbs=["create"],
    )
