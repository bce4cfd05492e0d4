"""Wrong answers of the API server: by rights really taken away, or by rule of a server before it (`front`)."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from contextlib import suppress

from tests.controlplane.api import APIError
from tests.e2e.stage import LEASE
from tests.matrix.front import Deaf, Reply, Rule
from tests.matrix.scene import LEASE_VERBS, Scene, pause


def refusal(status: int, reason: str, message: str, **headers: str) -> Reply:
    """As Kubernetes words it."""
    body = {
        "kind": "Status",
        "apiVersion": "v1",
        "status": "Failure",
        "code": status,
        "reason": reason,
        "message": message,
    }
    return Reply(status, json.dumps(body).encode(), {"Content-Type": "application/json", **headers})


UNAUTHORIZED = refusal(401, "Unauthorized", "Unauthorized")
CONFLICT = refusal(409, "Conflict", "the object has been modified; please apply your changes to the latest version")
BUSY = refusal(429, "TooManyRequests", "too many requests", **{"Retry-After": "1"})
BROKEN = refusal(500, "InternalError", "etcdserver: request timed out")
PAGE = Reply(200, b"<html><body>Welcome to the captive portal</body></html>", {"Content-Type": "text/html"})
TORN = Reply(200, b'{"kind": "Lease", "metadata": {"name": "op', {"Content-Type": "application/json"})


def expired_token(scene: Scene) -> None:
    """The leader's token is refused from now on, and its kubeconfig has a new one: the log-in handlers find it."""
    leader = scene.leader()
    user = f"{scene.namespace}-{leader.name}"
    old, new = scene.control_plane.user(user), scene.control_plane.user(f"{user}-new")
    scene.control_plane.grant_operator(f"{user}-new")
    scene.grant(f"{leader.name}-new")
    path = scene.folder / f"{leader.name}.kubeconfig"
    path.write_text(path.read_text().replace(old, new))
    scene.rule(Rule(UNAUTHORIZED, resource="", when=lambda asked: asked.token == old), on=leader.name)
    scene.wait_for_hits(leader.name)
    pause(LEASE + 1)
    assert scene.leader() is leader


def refused_token(resource: str = "") -> Callable[[Scene], str]:
    """No new one is to be had. It stands by again when the server takes the token again."""

    def inject(scene: Scene) -> str:
        leader = scene.leader()
        scene.rule(Rule(UNAUTHORIZED, resource=resource), on=leader.name)
        second = scene.leader(other_than=leader)
        pause(LEASE)
        alive = leader.alive
        scene.rule()
        assert scene.leader() is second
        return "the process lives on and stands by" if alive else "kopf itself ends its process, leader or not"

    return inject


def without(verb: str) -> Callable[[Scene], str]:
    """RBAC: this verb on the Lease is taken from the leader, and its connections end, so that it has to ask anew."""

    def inject(scene: Scene) -> str:
        leader = scene.leader()
        scene.allow(leader.name, *(other for other in LEASE_VERBS if other != verb))
        scene.proxy(leader).reset()
        pause(0.5)
        scene.proxy(leader).heal()
        if verb == "update":
            scene.leader(other_than=leader)
        else:
            pause(2 * LEASE)
            scene.leader()
        same = scene.leader() is leader
        scene.allow(leader.name, *LEASE_VERBS)
        assert leader.alive
        named = "names the missing rule" if f'allow the verb "{verb}"' in leader.text() else "does not name the rule"
        return f"{'the same leader goes on' if same else 'another replica leads'}; the log {named}"

    return inject


def without_create(scene: Scene) -> str:
    """The Lease is gone and nobody may create it: nobody leads, the log says why, and it goes on with the rule."""
    scene.leader()
    for one in scene.replicas:
        scene.allow(one.name, *(other for other in LEASE_VERBS if other != "create"))
    scene.control_plane.admin.delete(scene.lease_path)
    for one in scene.replicas:
        scene.wait_for_log(one, 'allow the verb "create"')
    pause(LEASE)
    assert scene.read_lease() is None
    for one in scene.replicas:
        scene.allow(one.name, *LEASE_VERBS)
    scene.leader()
    return "nobody leads until the rule is back"


def everybody_is_told(reply: Reply, *verbs: str, resource: str = "leases") -> Callable[[Scene], None]:
    """All replicas get this answer for longer than the lease duration."""

    def inject(scene: Scene) -> None:
        scene.leader()
        scene.rule(Rule(reply, verbs, resource))
        pause(LEASE + 3)
        scene.rule()
        scene.leader()

    return inject


def edit_storm(scene: Scene) -> str:
    """A stranger edits the Lease's labels as fast as it can: real conflicts for whoever writes."""
    leader = scene.leader()
    enough = threading.Event()
    edits = 0

    def edit() -> None:
        nonlocal edits
        while not enough.is_set():
            with suppress(OSError, APIError):
                body = {"metadata": {"labels": {"storm": str(edits)}}}
                scene.control_plane.admin.patch(scene.lease_path, body)
                edits += 1

    thread = threading.Thread(target=edit, daemon=True)
    thread.start()
    pause(2 * LEASE)
    enough.set()
    thread.join()
    same = scene.leader() is leader
    return f"{edits} edits; {'the same leader goes on' if same else 'another leader'}"


def deaf_watch(scene: Scene) -> None:
    """The standby's watch stays open and brings nothing more: it finds out at expiry (L16)."""
    leader = scene.leader()
    standby = scene.standby(leader)
    scene.rule(Rule(Deaf(), ("watch",)), on=standby.name)
    pause(LEASE + 2)
    assert scene.leader() is leader
    leader.stop()
    leader.wait()
    scene.leader(other_than=leader)
    scene.rule()


def deaf_leader(scene: Scene) -> None:
    """The leader's watch brings nothing, and somebody else is written into the Lease: its next renewal finds out."""
    leader = scene.leader()
    scene.rule(Rule(Deaf(), ("watch",)), on=leader.name)
    scene.edit_lease(holderIdentity="a-stranger")
    scene.wait_for_log(leader, "Stops leading")
    scene.replicas.wait_until(lambda: scene.holder() in {"a", "b"}, what="a leader after the stranger")
    scene.leader()
    scene.rule()
