"""The part of the manifest for takeover by evidence: candidates may look at each other's pods."""

from collections.abc import Mapping

from kopf_leader.cli.manifests.text import RBAC, Subject, binding, head, rule

ROLE = "-takeover"


def parts(*, lease: str, namespace: str, labels: Mapping[str, str], account: Subject) -> list[list[str]]:
    """The Role and its binding, where the operator's pods are: in its service account's namespace."""
    name, where = lease + ROLE, account.namespace or namespace
    role = [
        "# What each replica may do for --leader-election-takeover=evidence. Without it, only a container that was",
        "# started anew takes over from itself before the Lease has expired.",
        *head(f"{RBAC}/v1", "Role", name, where, labels),
        "rules:",
        *rule(
            "get, watch: to learn from the kubelet that the leader's container has ended. It cannot be limited by",
            "name, for the names of pods are not known yet.",
            groups="",
            resources="pods",
            verbs=["get", "watch"],
        ),
    ]
    return [role, binding(name, where, labels, [account])]
