"""Which pod the service account's token is bound to, by its own words: what fencing goes by (docs/fencing.md)."""

import base64
import binascii
import json
from pathlib import Path
from typing import Any

from kopf_leader.clients.credentials import SERVICE_ACCOUNT_TOKEN

LONGEST = 1 << 16  # bytes that are looked at


def pod_of(token: str) -> str | None:
    """The name of the pod; empty for a token that is bound to none, None for what is no service account's token.

    It is not verified: the API server does that.
    """
    parts = token.strip().split(".")
    if len(parts) != 3:
        return None
    try:
        claims: Any = json.loads(base64.urlsafe_b64decode(parts[1] + "=" * (-len(parts[1]) % 4)))
    except (binascii.Error, ValueError):
        return None
    if not isinstance(claims, dict) or not str(claims.get("sub")).startswith("system:serviceaccount:"):
        return None
    bound: Any = claims.get("kubernetes.io")
    pod = bound.get("pod") if isinstance(bound, dict) else None
    return str(pod.get("name", "")) if isinstance(pod, dict) else ""


def trouble_with_fencing(identity: str, path: Path = Path(SERVICE_ACCOUNT_TOKEN)) -> str | None:
    """Why a fence would refuse every write by this token, in one sentence; None if it would not, or nobody can tell."""
    try:
        with path.open(encoding="utf-8") as file:
            pod = pod_of(file.read(LONGEST))
    except (OSError, ValueError):
        return None
    if pod is None or (pod and identity.startswith(f"{pod}_")):
        return None
    refused = "the API server's fence, if there is one (docs/fencing.md), would refuse all writes of this process"
    if not pod:
        return f"The service account's token is bound to no pod, so {refused}: let the kubelet mount one that is."
    return (
        f"The service account's token is of the pod {pod}, with whose name and an underscore the identity {identity} "
        f"does not begin, so {refused}: set POD_NAME to {pod}, by the downward API."
    )
