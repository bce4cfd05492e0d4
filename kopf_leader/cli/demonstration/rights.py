"""What the demo is going to do in the user's cluster, asked of the API server before any of it is done."""

import asyncio

from kopf_leader.cli.demonstration.api import Answer, Api
from kopf_leader.cli.demonstration.widgets import GROUP, PLURAL
from kopf_leader.cli.refused import Refused

REVIEWS = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"
CLUSTERWIDE = {
    ("", "namespaces"): ("create", "get", "delete"),
    ("apiextensions.k8s.io", "customresourcedefinitions"): ("create", "get", "delete"),
    (GROUP, PLURAL): ("list",),
}
NAMESPACED = {
    (GROUP, PLURAL): ("create", "list", "watch", "patch", "delete"),
    ("coordination.k8s.io", "leases"): ("create", "get", "list", "watch", "update", "delete"),
}


async def check(api: Api, namespace: str) -> None:
    """Raise `Refused` with what is missing. A server that cannot be asked shows it later, when it refuses."""
    asked = [
        (verb, group, resource, where)
        for rules, where in ((CLUSTERWIDE, ""), (NAMESPACED, namespace))
        for (group, resource), verbs in rules.items()
        for verb in verbs
    ]
    answers = await asyncio.gather(*(_allowed(api, *question) for question in asked))
    missing: dict[str, list[str]] = {}
    for (verb, group, resource, _), allowed in zip(asked, answers, strict=True):
        if not allowed:
            missing.setdefault(f"{resource}.{group}" if group else resource, []).append(verb)
    if missing:
        what = "; ".join(f"{', '.join(verbs)} {resource}" for resource, verbs in missing.items())
        raise Refused(
            f"This kubeconfig's user may not do what the demo needs ({what}): use another user, or run it without "
            "--kubeconfig, on an embedded API server."
        )


async def _allowed(api: Api, verb: str, group: str, resource: str, namespace: str) -> bool:
    attributes = {"verb": verb, "group": group, "resource": resource, "namespace": namespace}
    body = {
        "apiVersion": "authorization.k8s.io/v1",
        "kind": "SelfSubjectAccessReview",
        "spec": {"resourceAttributes": attributes},
    }
    try:
        answer = await api.request("POST", REVIEWS, body)
    except Answer as refusal:
        if refusal.status == 401:
            raise Refused(
                "The API server does not accept this kubeconfig's credentials (401): log in again, with kubectl for "
                "example."
            ) from refusal
        return refusal.status in (403, 404)
    return bool(answer.get("status", {}).get("allowed"))
