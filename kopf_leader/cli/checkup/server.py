"""What the API server says of itself and of this account: its release, and one question for each right."""

import asyncio
import re
from collections.abc import Mapping
from urllib.parse import quote

from kopf_leader.cli.checkup.finding import Finding, fail, ok, warn
from kopf_leader.cli.lease.command import Reached
from kopf_leader.clients import answers
from kopf_leader.clients.answers import Asked
from kopf_leader.clients.direct import PODS_RULE
from kopf_leader.elector.identity import make_identity
from kopf_leader.elector.place import Unprovable, find_place
from kopf_leader.elector.witness import pods_namespace
from kopf_leader.errors import LeaseAPIError

OLDEST = (1, 19)  # events.k8s.io/v1, and bookmarks in watches
FENCES = (1, 30)  # ValidatingAdmissionPolicy
POD = "authentication.kubernetes.io/pod-name"
LEASES, CORE, EVENTS = "coordination.k8s.io", "", "events.k8s.io"
NEEDED = ("get", "watch", "update")
_REVIEWS = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"
_WHO = "/apis/authentication.k8s.io/v1/selfsubjectreviews"


async def release(reached: Reached) -> Finding:
    """Which release of Kubernetes it is."""
    try:
        said = str((await reached.client.exchange("GET", "/version")).get("gitVersion"))
    except LeaseAPIError as error:
        return ok("server", f"it does not tell its release ({error.status or 'no answer'})")
    match = re.match(r"v?(\d+)\.(\d+)", said)
    found = FENCES if match is None else (int(match[1]), int(match[2]))
    if found >= OLDEST:
        return ok("server", f"Kubernetes {said}" + ("" if found >= FENCES else ", which is too old for fencing"))
    return warn("server", f"Kubernetes {said} is older than what this was made for", "use 1.19 or newer")


async def account(reached: Reached) -> list[Finding]:
    """Whose rights are asked for in what follows; and of a service account, what its token is bound to."""
    body = {"apiVersion": "authentication.k8s.io/v1", "kind": "SelfSubjectReview"}
    try:
        answer = await reached.client.exchange("POST", _WHO, body)
    except LeaseAPIError:
        return [ok("account", "the server does not tell who this is; the rights below are this account's")]
    status = answer.get("status")
    info = status.get("userInfo") if isinstance(status, Mapping) else None
    info = info if isinstance(info, Mapping) else {}
    name, groups = info.get("username"), info.get("groups")
    if isinstance(groups, list) and "system:masters" in groups:
        return [
            ok("account", f"{name}, who may do everything: the operator's own rights show when this runs in its pod")
        ]
    said = ok("account", f"{name}; the rights below are this account's, not the operator's if that has another one")
    return [said, _token(info.get("extra"))] if str(name).startswith("system:serviceaccount:") else [said]


def _token(extra: object) -> Finding:
    """Whether fencing would know this process for the holder, if it held the Lease."""
    pods = extra.get(POD) if isinstance(extra, Mapping) else None
    if not isinstance(pods, list) or not pods:
        change = "let the kubelet mount the token, or make it with --bound-object-kind Pod"
        return warn("token", "bound to no pod: with fencing, all its writes would be refused", change)
    pod = str(pods[0])
    if make_identity().rpartition("_")[0] != pod:
        change = f"set POD_NAME to {pod}, from metadata.name by the downward API"
        return warn("token", f"bound to the pod {pod}, but the identity begins with another name", change)
    return ok("token", f"bound to the pod {pod}, with whose name the identity begins, as fencing needs it")


async def rights(reached: Reached, *, exists: bool) -> list[Finding]:
    """One line for each verb that the election needs, and for the optional ones."""
    name = reached.place.name
    asked = [*((LEASES, "leases", verb, name) for verb in NEEDED), (LEASES, "leases", "create", "")]
    asked += [(CORE, "events", "create", ""), (EVENTS, "events", "create", "")]
    allowed = await asyncio.gather(*(_may(reached, *question) for question in asked))
    needed = [_needed(reached, verb, said) for verb, said in zip(NEEDED, allowed[:3], strict=True)]
    return [*needed, _create(reached, allowed[3], exists=exists), _events(reached, allowed[4], allowed[5])]


async def _may(
    reached: Reached, group: str, resource: str, verb: str, name: str, *, namespace: str | None = None
) -> bool | None:
    """Whether it is allowed, where the Lease is or in another namespace; None: the server does not answer this."""
    attributes = {
        "verb": verb, "group": group, "resource": resource, "namespace": namespace or reached.place.namespace,
        "name": name,
    }  # fmt: skip
    body = {
        "apiVersion": "authorization.k8s.io/v1",
        "kind": "SelfSubjectAccessReview",
        "spec": {"resourceAttributes": attributes},
    }
    try:
        status = (await reached.client.exchange("POST", _REVIEWS, body)).get("status")
    except LeaseAPIError as error:
        if error.status == 401:
            raise
        return None
    return bool(status.get("allowed")) if isinstance(status, Mapping) else None


def _needed(reached: Reached, verb: str, allowed: bool | None) -> Finding:
    check = f"right:{verb}"
    if allowed is None:
        return _unknown(check)
    return ok(check, "allowed") if allowed else fail(check, "not allowed", _remedy(reached, verb))


def _create(reached: Reached, allowed: bool | None, *, exists: bool) -> Finding:
    if allowed is None:
        return _unknown("right:create")
    if allowed:
        return ok("right:create", "allowed")
    if exists:
        return ok("right:create", "not allowed, and not needed as long as nobody deletes the Lease")
    remedy = f"create the Lease by kopf-leader manifest {reached.place.name}, or {_remedy(reached, 'create')}"
    return fail("right:create", "not allowed, and there is no Lease", remedy)


def _events(reached: Reached, core: bool | None, new: bool | None) -> Finding:
    if core or new:
        return ok("right:events", "allowed")
    if core is None or new is None:
        return _unknown("right:events")
    rule = '{apiGroups: [""], resources: ["events"], verbs: ["create"]}'
    where = f"in a Role in the namespace {reached.place.namespace}"
    return warn(
        "right:events", "not allowed, so there are no Events on the Lease", f"allow it by the rule {rule} {where}"
    )


async def takeover(reached: Reached) -> list[Finding]:
    """What takeover by evidence can go by, here and for this account."""
    try:
        find_place()
        life = ok("life", "the kubelet tells of the death of this container, with which this process dies")
    except Unprovable as error:
        change = "see docs/takeover.md, or run this in the operator's container"
        life = warn("life", f"nobody could prove the death of a process here, as {error}", change)
    namespace = pods_namespace(reached.place.namespace)
    asked = [(CORE, "pods", verb, "") for verb in ("get", "watch")]
    allowed = await asyncio.gather(*(_may(reached, *question, namespace=namespace) for question in asked))
    if all(allowed):
        return [life, ok("right:pods", "allowed")]
    if None in allowed:
        return [life, _unknown("right:pods")]
    found = "not allowed, so only a later run of the same container takes over before the Lease expires"
    return [life, warn("right:pods", found, f"allow it by the rule {PODS_RULE} in a Role in the namespace {namespace}")]


def _unknown(check: str) -> Finding:
    return warn(check, "the server does not say whether it is allowed", "compare the Role with kopf-leader manifest")


def _remedy(reached: Reached, verb: str) -> str:
    place = reached.place
    return answers.remedy(Asked(method="", verb=verb, namespace=place.namespace, name=place.name))


async def has_namespace(reached: Reached) -> bool | None:
    """Whether there is such a namespace; None if that may not be asked."""
    try:
        await reached.client.exchange("GET", f"/api/v1/namespaces/{quote(reached.place.namespace)}")
    except LeaseAPIError as error:
        return False if error.status == 404 else None
    return True
