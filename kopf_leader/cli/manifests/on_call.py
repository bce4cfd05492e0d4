"""The part of the manifest for people: who may ask the candidates for something."""

from collections.abc import Mapping, Sequence

from kopf_leader.cli.manifests.text import RBAC, Subject, binding, head, rule

ROLE = "-on-call"


def parts(*, lease: str, namespace: str, labels: Mapping[str, str], people: Sequence[Subject]) -> list[list[str]]:
    """The Role, and a binding where there is somebody to bind it to."""
    name = lease + ROLE
    role = [
        "# What a person needs for kopf-leader status, step-down, transfer, hold, resume and doctor.",
        *head(f"{RBAC}/v1", "Role", name, namespace, labels),
        "rules:",
        *rule(
            "get: for every command; status needs no more.",
            "watch: to see at once what has come of it; without it, the Lease is read once a second.",
            "update: to write the request, an annotation, onto the Lease. Who may do that may also make the Lease name",
            "somebody else: bind this Role to those who may restart the operator.",
            groups="coordination.k8s.io",
            resources="leases",
            only=lease,
            verbs=["get", "watch", "update"],
        ),
        *rule(
            "get: for transfer to look for the pod first; without it, it says that it did not.",
            groups="",
            resources="pods",
            verbs=["get"],
        ),
    ]
    return [role, binding(name, namespace, labels, people)] if people else [role]
