"""What tests see of a candidate, and where they run one."""

import secrets
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from prometheus_client import CollectorRegistry

from kopf_leader.operations.events import EventRecorder
from kopf_leader.operations.health import Answer, Health, answer
from kopf_leader.operations.metrics import Metrics
from kopf_leader.operations.view import View
from tests.controlplane import rbac


@dataclass
class Looks:
    """All that one candidate shows."""

    view: View
    metrics: Metrics
    health: Health
    registry: CollectorRegistry
    recorder: EventRecorder

    def value(self, name: str, **labels: str) -> float | None:
        return self.registry.get_sample_value(name, {"name": "op", **labels})

    @property
    def live(self) -> Answer:
        return answer(self.health.live, endpoint="healthz", verbose=True)

    @property
    def ready(self) -> Answer:
        return answer(self.health.ready, endpoint="readyz", verbose=True)


@dataclass(frozen=True, kw_only=True)
class Place:
    """One namespace of one API server."""

    url: str
    namespace: str
    folder: Path
    admin: Any
    add_user: Callable[[str], tuple[str, str]]
    write_kubeconfig: Callable[[Path, str], Path]

    def user(self, *rules: dict[str, Any]) -> str:
        """A user with the election's rights and these; its token."""
        token, name = self.add_user(f"user-{secrets.token_hex(4)}")
        every = [*rbac.lease_rules("op"), *rules]
        rbac.grant(self.admin, name, name.replace(":", "-"), every, namespace=self.namespace)
        user = type(self.admin)(self.admin.url, self.admin.ca_file, token)
        checks = [("coordination.k8s.io", "leases", "update", "op")]
        checks += [(r["apiGroups"][0], r["resources"][0], r["verbs"][0], "") for r in rules]
        for group, resource, verb, object_name in checks:
            wait_for(
                lambda g=group, r=resource, v=verb, n=object_name: rbac.allowed(
                    user, verb=v, group=g, resource=r, namespace=self.namespace, name=n
                ),
                "the rights to be known",
            )
        return token

    def events(self) -> list[Any]:
        """The Events on the Lease, in the order of their creation."""
        items = self.admin.get(f"/api/v1/namespaces/{self.namespace}/events")["items"]
        return sorted(
            (item for item in items if item["involvedObject"].get("kind") == "Lease"),
            key=lambda item: int(item["metadata"]["resourceVersion"]),
        )


def wait_for(condition: Callable[[], Any], what: str, seconds: float = 60.0) -> Any:
    """Wait until it holds, and return what it gave."""
    deadline = time.monotonic() + seconds
    while not (result := condition()):
        assert time.monotonic() < deadline, f"waited {seconds:g} s in vain for {what}"
        time.sleep(0.02)
    return result


def get(port: int, path: str, **headers: str) -> tuple[int, str]:
    """GET from this machine; status 0 while nobody listens."""
    request = urllib.request.Request(f"http://127.0.0.1:{port}{path}", headers=headers)
    try:
        with urllib.request.urlopen(request, timeout=30) as response:
            return response.status, response.read().decode()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read().decode()
    except OSError:
        return 0, ""
