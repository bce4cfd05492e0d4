"""The embedded API server without sockets: its own code answers, called where it stands.

Every answer is made by `kopf_leader.testing.apiserver` (log-in, rights, validation, conflicts, watches), and read by
the real client's own `answers`; only aiohttp and the kernel are left out.
"""

import json
from collections.abc import Callable, Mapping
from random import Random
from typing import Any

from kopf_leader.testing.apiserver import EmbeddedAPIServer, Rule, watches
from kopf_leader.testing.apiserver.statuses import Refused
from kopf_leader.testing.apiserver.targets import target_of
from tests.simulation.loop import SimLoop

NAMESPACE, NAME = "default", "election"
PATH = f"/apis/coordination.k8s.io/v1/namespaces/{NAMESPACE}/leases"
ALL = ("get", "watch", "update", "create")

Answer = tuple[int, Mapping[str, str], bytes]
Listener = Callable[[bytes | None], None]


class Request:
    """What the embedded server looks at in a request."""

    host = "simulated"

    def __init__(self, method: str, path: str, token: str, query: Mapping[str, str], raw: bytes) -> None:
        self.method, self.path, self.query, self.raw = method, path, query, raw
        self.headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
        self.content_type = "application/json"

    async def read(self) -> bytes:
        return self.raw


class InOrder(dict[Any, None]):
    """A set that keeps its order: the embedded server tells its watches in the order of theirs, in every run."""

    def add(self, one: Any) -> None:
        self[one] = None

    def discard(self, one: Any) -> None:
        self.pop(one, None)


class Server:
    """One API server with one Lease of interest; `lease` is its spec at the beginning, None for no Lease."""

    def __init__(self, loop: SimLoop, random: Random, lease: Mapping[str, Any] | None) -> None:
        self.loop, self.random = loop, random
        self.embedded = EmbeddedAPIServer(history=500)
        self.service = self.embedded._service
        self.storage = self.embedded._storage
        self.resource = self.service.registry.named("leases")
        self.leases = self.storage.collection(self.resource.collection)
        self.leases.subscriptions = InOrder()  # type: ignore[assignment]
        self.up = True
        self.spaced = True
        """Whether a restored database uses no version again that was used before it was restored; see `space`."""
        self._epoch = 0
        self._tokens = 0
        self.space()
        if lease is not None:
            self.apply(lease)

    # As a client sees it.

    def serve(self, request: Request) -> Answer:
        """Answer one request at once, as nothing in the embedded server waits."""
        answering = self.service._serve(request, target_of(request))
        try:
            answering.send(None)
        except StopIteration as end:
            response = end.value
            return response.status, response.headers, response.body
        raise AssertionError("The embedded API server waits for something.")

    def watch(self, request: Request, tell: Listener) -> Answer | Callable[[], None]:
        """Open a watch that tells pieces of whole lines, and None at its end: how to close it, or the refusal."""
        try:
            user = self.service.authority.authenticate(request.headers["Authorization"])
            self.service.authority.authorize(user, target_of(request).attributes(selected=NAME))
            selector = self.service._selector(self.resource, request.query)
            wish = watches.Wish.of(self.resource, NAMESPACE, selector, request.query)
            first, subscription = watches.begin(self.storage, wish)
        except Refused as refusal:
            if refusal.code != 410 or self.random.random() < 0.5:
                return refusal.code, {}, json.dumps(refusal.status).encode()
            tell(watches.failure(refusal))
            tell(None)
            return lambda: None
        if first:
            tell(b"".join(first))

        async def pump() -> None:
            async for piece in watches.lines(self.storage, wish, subscription, lambda: self.service.pace):
                tell(piece)
            tell(None)

        task = self.loop.task_of_nobody(pump())

        def close() -> None:
            subscription.close()
            task.cancel()

        return close

    def token(self) -> str:
        """New credentials of a user who may do what the election needs, and nothing else."""
        self._tokens += 1
        token = f"token-{self._tokens}"
        self.embedded.add_user("replica", token=token, rules=self._rules(ALL))
        return token

    # What others do to it.

    @property
    def lease(self) -> dict[str, Any] | None:
        """The Lease as stored."""
        found = self.leases.objects.get(f"{NAMESPACE}/{NAME}")
        return None if found is None else found.body

    @property
    def spec(self) -> dict[str, Any]:
        return (self.lease or {}).get("spec") or {}

    @property
    def version(self) -> int:
        return self.storage.version

    def space(self) -> None:
        """The version counter is the whole cluster's: other objects change as well.

        Each history of the database (see `restore`) has numbers of its own by the remainder of 8. Where two histories
        share a number, a PUT on it can overwrite what its sender has never seen: `test_limits.py`.
        """
        version = self.storage.version + self.random.choice([0, 0, 1, 8, 16])
        self.storage.version = version + (self._epoch - 1 - version) % 8 if self.spaced else version

    def apply(self, spec: Mapping[str, Any], **metadata: Any) -> None:
        """`kubectl apply`: this spec, and annotations or labels, in a Lease that exists or is created."""
        if self.lease is None:
            body = {"metadata": {"name": NAME, **metadata}, "spec": dict(spec)}
            self.embedded.create("leases", body, namespace=NAMESPACE)
            self.space()
        else:
            self._patch(lambda lease: {**lease, "metadata": {**lease["metadata"], **metadata}, "spec": dict(spec)})

    def edit(self, **spec: Any) -> None:
        """`kubectl edit`: fields of the spec; None takes one away."""
        if self.lease is not None:
            self._patch(
                lambda lease: {
                    **lease,
                    "spec": {k: v for k, v in {**(lease.get("spec") or {}), **spec}.items() if v is not None},
                }
            )

    def label(self, text: str) -> None:
        """`kubectl label`."""
        if self.lease is not None:
            self._patch(lambda lease: {**lease, "metadata": {**lease["metadata"], "labels": {"by": text}}})

    def delete(self) -> None:
        """`kubectl delete`."""
        if self.lease is not None:
            self.service.objects.delete(self.resource, NAMESPACE, NAME)
            self.space()

    def forbid(self, *verbs: str) -> None:
        """Take rights away from everybody; none: give them all back."""
        self.embedded.set_rules("replica", self._rules([verb for verb in ALL if verb not in verbs]))

    def backup(self) -> Any:
        """The database, as it is."""
        return self.storage.version, dict(self.leases.objects), list(self.leases.keys)

    def restore(self, backup: Any) -> None:
        """Start on an older database: versions count from there, what came later is gone, watches are cut."""
        self._epoch += 1
        self.storage.version, self.leases.objects, self.leases.keys = backup[0], dict(backup[1]), list(backup[2])
        self.leases.history.clear()
        self.leases.compacted = self.storage.version
        if self.spaced:
            self.space()
        self.close_watches()

    def compact(self) -> None:
        self.storage.compact()

    def close_watches(self) -> None:
        """End every watch, in order."""
        for subscription in list(self.leases.subscriptions):
            subscription.queue.put_nowait(None)

    @property
    def watching(self) -> int:
        return len(self.leases.subscriptions)

    def _patch(self, change: Callable[[dict[str, Any]], dict[str, Any]]) -> None:
        self.service.objects.patch(self.resource, NAMESPACE, NAME, change)
        self.space()

    def _rules(self, verbs: Any) -> list[Rule]:
        return [
            Rule(
                verbs=tuple(verbs),
                groups=("coordination.k8s.io",),
                resources=("leases",),
                namespaces=(NAMESPACE,),
            )
        ]
