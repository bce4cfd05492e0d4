"""The part of the manifest for fencing: the API server itself refuses the writes of whoever is not the holder.

The chart has the same policy (`charts/kopf-operator/templates/fencing.yaml`); a test holds the two together. Why each
line is as it is stands in docs/fencing.md.
"""

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from kopf_leader.cli.manifests.text import Subject, head, names, scalar
from kopf_leader.protocol.record import API_VERSION

ADMISSION = "admissionregistration.k8s.io/v1"
LONGEST_NAME = 253
_GROUP = r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*"
_RESOURCE = re.compile(rf"((?P<group>{_GROUP})/)?(?P<plural>[a-z0-9]([-a-z0-9]*[a-z0-9])?)")
# What replicas write whether they lead or not: Events, Leases, kopf's records of peering, its webhook configurations.
NEVER = (
    (["", "events.k8s.io"], ["events"]),
    (["coordination.k8s.io"], ["leases"]),
    (["kopf.dev", "zalando.org"], ["kopfpeerings", "clusterkopfpeerings"]),
    (["admissionregistration.k8s.io"], ["validatingwebhookconfigurations", "mutatingwebhookconfigurations"]),
)


@dataclass(frozen=True, order=True)
class Resource:
    """A resource by its API group (empty: the core group) and its plural; its subresources are meant as well."""

    group: str
    plural: str

    @property
    def never(self) -> bool:
        """Whether it is one that fencing leaves alone."""
        return any(self.group in groups and self.plural in plurals for groups, plurals in NEVER)


def resource(text: str) -> Resource:
    """Read `GROUP/PLURAL`, or `PLURAL` for the core group. Raises `ValueError`."""
    match = _RESOURCE.fullmatch(text)
    if match is None:
        raise ValueError(text)
    return Resource(match["group"] or "", match["plural"])


def parts(
    *,
    lease: str,
    namespace: str,
    labels: Mapping[str, str],
    account: Subject,
    resources: Sequence[Resource],
    missing: str,
) -> list[list[str]]:
    """The policy and its binding. `missing`: what becomes of writes while there is no Lease, `Allow` or `Deny`."""
    name = _name(f"{namespace}.{lease}.fencing")
    keeper = _name(f"{namespace}.{lease}.fencing-keeper")
    return [
        [
            "# Leave this and its binding in the cluster when fencing goes. It matches nothing, but when the last",
            "# policy that goes by Leases is deleted, the API server stops to watch them, and does not begin again",
            "# before it is restarted: a fence that is put up later would go by the holder of that day.",
            *head(ADMISSION, "ValidatingAdmissionPolicy", keeper, None, labels),
            *_KEEPER.splitlines(),
        ],
        [
            *head(ADMISSION, "ValidatingAdmissionPolicyBinding", keeper, None, labels),
            "spec:",
            f"  policyName: {scalar(keeper)}",
            "  validationActions: [Deny]",
        ],
        _policy(name, labels, account, resources, f"{namespace}/{lease}"),
        _binding(name, labels, lease, namespace, missing),
    ]


def _name(text: str) -> str:
    """Namespaces have no dots, so two Leases never share a name; a name that is too long ends in a checksum."""
    if len(text) <= LONGEST_NAME:
        return text
    return f"{text[: LONGEST_NAME - 9].rstrip('-.')}-{hashlib.sha256(text.encode()).hexdigest()[:8]}"


def _policy(
    name: str, labels: Mapping[str, str], account: Subject, resources: Sequence[Resource], lease: str
) -> list[str]:
    lines = [
        "# Fencing: the API server refuses these writes of the operator unless they come from the pod that holds the",
        "# Lease. In an emergency, delete the binding of the same name: then writes are as without fencing.",
        *head(ADMISSION, "ValidatingAdmissionPolicy", name, None, labels),
        "spec:",
        "  failurePolicy: Fail",
        "  paramKind:",
        f"    apiVersion: {API_VERSION}",
        "    kind: Lease",
        "  matchConstraints:",
        "    resourceRules:",
    ]
    for group in sorted({each.group for each in resources}):
        plurals = sorted({each.plural for each in resources if each.group == group})
        lines += [
            f"    - apiGroups: {names([group])}",
            '      apiVersions: ["*"]',
            f"      resources: {names(text for plural in plurals for text in (plural, f'{plural}/*'))}",
            '      operations: ["CREATE", "UPDATE", "DELETE"]',
        ]
    user = json.dumps(f"system:serviceaccount:{account.namespace}:{account.name}")
    return [*lines, *_RULE.replace("USER", user).replace("LEASE", lease).splitlines()]


_KEEPER = f"""\
spec:
  failurePolicy: Ignore
  paramKind:
    apiVersion: {API_VERSION}
    kind: Lease
  matchConstraints:
    resourceRules:
    - apiGroups: ["nothing.kopf-leader"]
      apiVersions: ["*"]
      resources: ["nothing"]
      operations: ["CREATE"]
  validations:
  - expression: "true"
"""

_RULE = """\
  # Whoever else writes is not looked at.
  matchConditions:
  - name: the-operator
    expression: 'request.userInfo.username == USER'
  variables:
  # The pod to which the token is bound: nothing for a token that is bound to none.
  - name: pod
    expression: >-
      has(request.userInfo.extra) && 'authentication.kubernetes.io/pod-name' in request.userInfo.extra
      ? request.userInfo.extra['authentication.kubernetes.io/pod-name'].join() : ''
  - name: holder
    expression: "has(params.spec) && has(params.spec.holderIdentity) ? params.spec.holderIdentity : ''"
  validations:
  # The holder is called <pod>_<rest>, and no pod's name has an underscore.
  - expression: "variables.pod != '' && variables.holder.startsWith(variables.pod + '_')"
    reason: Forbidden
    messageExpression: >-
      'fencing: only the pod that holds the Lease LEASE may write, '
      + (variables.holder == '' ? 'and nobody holds it' : 'and the holder is ' + variables.holder) + '; this write '
      + (variables.pod == '' ? 'is by a token that is bound to no pod' : 'comes from ' + variables.pod)
"""


def _binding(name: str, labels: Mapping[str, str], lease: str, namespace: str, missing: str) -> list[str]:
    return [
        *head(ADMISSION, "ValidatingAdmissionPolicyBinding", name, None, labels),
        "spec:",
        f"  policyName: {scalar(name)}",
        "  validationActions: [Deny]",
        "  paramRef:",
        f"    name: {scalar(lease)}",
        f"    namespace: {scalar(namespace)}",
        *(f"    # {line}" for line in _MISSING[missing]),
        f"    parameterNotFoundAction: {missing}",
    ]


_MISSING = {
    "Allow": (
        "While there is no Lease, nobody leads, and the operator's writes are not looked at. Deny would refuse",
        "everybody's writes to these resources: without a Lease, the API server does not ask who writes.",
    ),
    "Deny": ("While there is no Lease, nobody writes these resources: no user and no controller, either.",),
}
