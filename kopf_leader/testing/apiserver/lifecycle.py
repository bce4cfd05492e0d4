"""What follows from a write: namespaces that empty themselves, definitions that start and stop being served.

In a cluster the namespace controller empties a namespace that is deleted. It belongs to kube-controller-manager, so a
bare kube-apiserver leaves such a namespace in ``Terminating``; this server empties it itself.
"""

from __future__ import annotations

import bisect
import copy
from collections.abc import Callable

from kopf_leader.testing.apiserver import definitions, metadata
from kopf_leader.testing.apiserver.definitions import CLEANUP, DEFINITIONS
from kopf_leader.testing.apiserver.resources import Registry, Resource
from kopf_leader.testing.apiserver.statuses import Body, forbidden, not_found
from kopf_leader.testing.apiserver.storage import Storage, Stored

Delete = Callable[[Resource, str, str], object]
NAMESPACES = "/namespaces"


class Lifecycle:
    """The consequences; called by ``Objects`` after each write."""

    def __init__(self, storage: Storage, registry: Registry, delete: Delete) -> None:
        self._storage = storage
        self._registry = registry
        self._delete = delete

    def require_namespace(self, resource: Resource, namespace: str, name: str) -> None:
        """Nothing is created in a namespace that does not exist (404) or is going (403)."""
        stored = self._storage.collection(NAMESPACES).objects.get(f"/{namespace}")
        if stored is None:
            raise not_found("", "namespaces", namespace)
        if "deletionTimestamp" in stored.body["metadata"]:
            why = f"unable to create new content in namespace {namespace} because it is being terminated"
            cause = {
                "reason": "NamespaceTerminating",
                "message": f"namespace {namespace} is being terminated",
                "field": "metadata.namespace",
            }
            raise forbidden(resource.group, resource.plural, name, why, causes=[cause])

    def prepare(self, resource: Resource, body: Body) -> None:
        """What the server adds to a new object of some kinds."""
        if resource.collection == NAMESPACES:
            name = body["metadata"].get("name", "")
            labels = body["metadata"].setdefault("labels", {})
            labels["kubernetes.io/metadata.name"] = name
            body["spec"] = {"finalizers": ["kubernetes"]}
            body["status"] = {"phase": "Active"}
        if resource.collection == DEFINITIONS:
            body["status"] = {
                "conditions": None,
                "acceptedNames": {"plural": "", "kind": ""},
                "storedVersions": body["status"]["storedVersions"],
            }

    def stored(self, resource: Resource, stored: Stored) -> None:
        """After a creation or an update."""
        if resource.collection != DEFINITIONS:
            return
        definitions.serve(self._registry, stored.body)
        body = definitions.established(stored.body)
        if body is not None:
            self._put(DEFINITIONS, f"/{body['metadata']['name']}", body)

    def going(self, resource: Resource, old: Stored) -> Body | None:
        """The body that says "being deleted", for kinds that are not deleted at once; None for all others."""
        before = old.body["metadata"]
        if resource.collection not in {NAMESPACES, DEFINITIONS}:
            return None
        body = copy.deepcopy(old.body)
        body["metadata"].setdefault("deletionTimestamp", metadata.now())
        if resource.collection == NAMESPACES:
            body["status"] = {**body.get("status", {}), "phase": "Terminating"}
        elif "deletionTimestamp" not in before:
            body["metadata"]["deletionGracePeriodSeconds"] = 0
            body["metadata"]["finalizers"] = [*before.get("finalizers", []), CLEANUP]
            body["metadata"]["generation"] += 1
        return body

    def marked(self, resource: Resource, stored: Stored) -> None:
        """After an object was marked as being deleted: what is in it goes first."""
        name = stored.body["metadata"]["name"]
        if resource.collection == NAMESPACES:
            self._empty_namespace(name)
        elif resource.collection == DEFINITIONS:
            self._empty_definition(stored.body)

    def removed(self, resource: Resource, namespace: str, name: str) -> None:
        """After an object was removed: what waited for it may go now."""
        if resource.namespaced:
            self._finish_namespace(namespace)
        if resource.custom:
            definition = self._storage.collection(DEFINITIONS).objects.get(f"/{resource.plural}.{resource.group}")
            if definition is not None:
                self._finish_definition(definition.body)
        if resource.collection == DEFINITIONS:
            plural, _, group = name.partition(".")
            self._registry.drop(group=group, plural=plural)
            for subscription in list(self._storage.collection(f"{group}/{plural}").subscriptions):
                subscription.queue.put_nowait(None)

    def _empty_namespace(self, namespace: str) -> None:
        seen: set[str] = set()
        for resource in self._registry.all():
            if resource.namespaced and resource.collection not in seen:
                seen.add(resource.collection)
                for key in self._keys(resource.collection, f"{namespace}/"):
                    self._delete(resource, namespace, key.partition("/")[2])
        self._finish_namespace(namespace)

    def _finish_namespace(self, namespace: str) -> None:
        collection = self._storage.collection(NAMESPACES)
        stored = collection.objects.get(f"/{namespace}")
        if stored is None or "deletionTimestamp" not in stored.body["metadata"]:
            return
        if stored.body["metadata"].get("finalizers"):
            return
        if not any(self._keys(name, f"{namespace}/") for name in list(self._storage.collections)):
            self._storage.remove(collection, f"/{namespace}")

    def _empty_definition(self, definition: Body) -> None:
        for resource in definitions.resources_of(definition)[:1]:
            for key in self._keys(resource.collection, ""):
                namespace, _, name = key.partition("/")
                self._delete(resource, namespace, name)
        self._finish_definition(definition)

    def _finish_definition(self, definition: Body) -> None:
        meta, names = definition["metadata"], definition["spec"]["names"]
        key = f"/{meta['name']}"
        stored = self._storage.collection(DEFINITIONS).objects.get(key)
        if stored is None or "deletionTimestamp" not in stored.body["metadata"]:
            return
        if self._keys(f"{definition['spec']['group']}/{names['plural']}", ""):
            return
        body = copy.deepcopy(stored.body)
        rest = [name for name in body["metadata"].get("finalizers", []) if name != CLEANUP]
        if rest:
            body["metadata"]["finalizers"] = rest
            self._put(DEFINITIONS, key, body)
            return
        self._storage.remove(self._storage.collection(DEFINITIONS), key)
        self.removed(self._registry.named("customresourcedefinitions"), "", meta["name"])

    def _keys(self, collection: str, prefix: str) -> list[str]:
        keys = self._storage.collection(collection).keys
        start = bisect.bisect_left(keys, prefix)
        end = bisect.bisect_left(keys, prefix + "\U0010ffff")
        return keys[start:end]

    def _put(self, collection: str, key: str, body: Body) -> None:
        self._storage.put(self._storage.collection(collection), key, body)
