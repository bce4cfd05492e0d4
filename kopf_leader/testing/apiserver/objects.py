"""Reading and writing objects: what a request does to the store.

Nothing here awaits: a write is decided and stored in one go, so concurrent requests are serialised as etcd serialises
them. The order of decisions follows apiserver ``pkg/registry/generic/registry/store.go`` (``Update``, ``Create``,
``Delete``).
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

from kopf_leader.testing.apiserver import decoding, metadata
from kopf_leader.testing.apiserver.lifecycle import Lifecycle
from kopf_leader.testing.apiserver.resources import Registry, Resource
from kopf_leader.testing.apiserver.statuses import (
    MODIFIED,
    Body,
    already_exists,
    conflict,
    internal,
    invalid,
    invalid_object,
    not_found,
    uid_conflict,
)
from kopf_leader.testing.apiserver.storage import Storage, Stored, canonical


class Objects:
    """The objects of one API server."""

    def __init__(self, storage: Storage, registry: Registry) -> None:
        self.storage = storage
        self.registry = registry
        self.lifecycle = Lifecycle(storage, registry, self.delete)

    def find(self, resource: Resource, namespace: str, name: str) -> Stored | None:
        """What is stored under that name."""
        return self.storage.collection(resource.collection).objects.get(resource.key(namespace, name))

    def get(self, resource: Resource, namespace: str, name: str) -> Stored:
        """What is stored under that name; refused (404) when there is nothing."""
        stored = self.find(resource, namespace, name)
        if stored is None:
            raise not_found(resource.group, resource.plural, name)
        return stored

    def create(self, resource: Resource, namespace: str, body: Body, *, dry_run: bool = False) -> Stored:
        """POST."""
        new = decoding.decode(resource, body)
        metadata.fit_namespace(new["metadata"], resource=resource, namespace=namespace)
        if new["metadata"].get("resourceVersion"):
            raise internal("resourceVersion should not be set on objects to be created")
        return self._create(resource, namespace, new, dry_run=dry_run)

    def _create(self, resource: Resource, namespace: str, new: Body, *, dry_run: bool) -> Stored:
        meta = new["metadata"]
        metadata.initialise(meta, generation=resource.generation)
        if resource.namespaced:
            self.lifecycle.require_namespace(resource, namespace, meta.get("name", ""))
        if resource.custom and resource.status:
            new.pop("status", None)
        self.lifecycle.prepare(resource, new)
        problems = metadata.check(meta, resource) + decoding.problems(resource, new)
        if problems:
            raise invalid_object(resource.group, resource.kind, meta.get("name", ""), problems)
        found = self.find(resource, namespace, meta["name"])
        if found is not None:
            going = "deletionTimestamp" in found.body["metadata"]
            raise already_exists(resource.group, resource.plural, meta["name"], going=going)
        if dry_run:
            return Stored(new, 0)
        stored = self._put(resource, namespace, new)
        self.lifecycle.stored(resource, stored)
        return stored

    def replace(
        self,
        resource: Resource,
        namespace: str,
        name: str,
        body: Body,
        *,
        subresource: str = "",
        dry_run: bool = False,
        may_create: Callable[[], None] = lambda: None,
    ) -> tuple[Stored, bool]:
        """PUT: the stored object, and whether it was created. ``may_create`` refuses who may only update."""
        new = decoding.decode(resource, body)
        meta = new["metadata"]
        metadata.fit_namespace(meta, resource=resource, namespace=namespace)
        metadata.fit_name(meta, name)
        old = self.find(resource, namespace, name)
        if old is None and not resource.create_on_update:
            raise not_found(resource.group, resource.plural, name)
        stored_uid = old.body["metadata"]["uid"] if old is not None else ""
        if meta.get("uid", stored_uid) != stored_uid:
            key = resource.etcd_key(namespace, name)
            raise uid_conflict(resource.group, resource.plural, name, key=key, wanted=meta["uid"], found=stored_uid)
        if old is None:
            may_create()
            return self._create(resource, namespace, new, dry_run=dry_run), True
        return self._update(resource, namespace, old, new, subresource=subresource, dry_run=dry_run), False

    def patch(
        self,
        resource: Resource,
        namespace: str,
        name: str,
        apply: Callable[[Body], Any],
        *,
        subresource: str = "",
        dry_run: bool = False,
    ) -> Stored:
        """PATCH: ``apply`` is the patch, as a function on the object as this version shows it."""
        old = self.get(resource, namespace, name)
        patched = apply(copy.deepcopy(resource.render(old.body)))
        new = decoding.decode_patched(resource, patched)
        metadata.fit_namespace(new["metadata"], resource=resource, namespace=namespace)
        metadata.fit_name(new["metadata"], name)
        return self._update(resource, namespace, old, new, subresource=subresource, dry_run=dry_run)

    def _update(
        self, resource: Resource, namespace: str, old: Stored, new: Body, *, subresource: str, dry_run: bool
    ) -> Stored:
        self._check_version(resource, old, new)
        if subresource == "status":
            new = {**_take("status", into=old.body, of=new), "metadata": dict(old.body["metadata"])}
        elif resource.status:
            new = _take("status", into=new, of=old.body)
        before, meta = old.body["metadata"], new["metadata"]
        metadata.carry_over(meta, before)
        problems = metadata.check(meta, resource) + metadata.check_update(meta, before)
        problems += decoding.problems(resource, new)
        if problems:
            raise invalid_object(resource.group, resource.kind, meta["name"], problems)
        if resource.generation and canonical(_counted(resource, new)) != canonical(_counted(resource, old.body)):
            meta["generation"] = before["generation"] + 1
        meta["resourceVersion"] = before["resourceVersion"]
        if dry_run:
            return Stored(new, old.version)
        if "deletionTimestamp" in before and not meta.get("finalizers"):
            self._remove(resource, namespace, meta["name"])
            return Stored(new, old.version)
        if canonical(new) == canonical(old.body):
            return old  # nothing changes: no new version, no event
        stored = self._put(resource, namespace, new)
        self.lifecycle.stored(resource, stored)
        return stored

    def _check_version(self, resource: Resource, old: Stored, new: Body) -> None:
        meta = new["metadata"]
        version = meta.get("resourceVersion", "")
        if version and not version.isdecimal():
            raise internal(f'strconv.ParseUint: parsing "{version}": invalid syntax')
        if version in ("", "0"):
            if not resource.unconditional_update:
                problem = invalid("metadata.resourceVersion", 0, "must be specified for an update")
                raise invalid_object(resource.group, resource.plural, meta["name"], [problem])
        elif int(version) != old.version:
            raise conflict(resource.group, resource.plural, meta["name"], MODIFIED)

    def delete(
        self, resource: Resource, namespace: str, name: str, *, options: Body | None = None, dry_run: bool = False
    ) -> tuple[Stored, bool]:
        """DELETE: the object, and whether it is gone (else its finalizers keep it)."""
        old = self.get(resource, namespace, name)
        before = old.body["metadata"]
        self._check_preconditions(resource, before, options or {})
        if dry_run:
            return old, True
        marked = self.lifecycle.going(resource, old)
        if marked is None and before.get("finalizers"):
            marked = copy.deepcopy(old.body)
            if "deletionTimestamp" not in before:
                marked["metadata"]["deletionTimestamp"] = metadata.now()
                marked["metadata"]["deletionGracePeriodSeconds"] = 0
                if "generation" in before:
                    marked["metadata"]["generation"] += 1
        if marked is None:
            self._remove(resource, namespace, name)
            return old, True
        stored = old if canonical(marked) == canonical(old.body) else self._put(resource, namespace, marked)
        self.lifecycle.marked(resource, stored)
        return stored, False

    def _check_preconditions(self, resource: Resource, before: Body, options: Body) -> None:
        wanted: Body = options.get("preconditions") or {}
        for field, label, then in (
            ("uid", "UID", "been deleted and then recreated"),
            ("resourceVersion", "ResourceVersion", "been modified"),
        ):
            if wanted.get(field) not in (None, before[field]):
                why = (
                    f"the {label} in the precondition ({wanted[field]}) does not match the {label} in record "
                    f"({before[field]}). The object might have {then}"
                )
                raise conflict(resource.group, resource.kind, before["name"], why)

    def _put(self, resource: Resource, namespace: str, body: Body) -> Stored:
        collection = self.storage.collection(resource.collection)
        return self.storage.put(collection, resource.key(namespace, body["metadata"]["name"]), body)

    def _remove(self, resource: Resource, namespace: str, name: str) -> None:
        collection = self.storage.collection(resource.collection)
        self.storage.remove(collection, resource.key(namespace, name))
        self.lifecycle.removed(resource, namespace, name)


def _take(field: str, *, into: Body, of: Body) -> Body:
    """``into``, with that one field of ``of``."""
    kept = {name: value for name, value in into.items() if name != field}
    if field in of:
        kept[field] = of[field]
    return kept


def _counted(resource: Resource, body: Body) -> Body:
    """What metadata.generation counts the changes of."""
    skipped = {"metadata", "status"} if resource.status else {"metadata"}
    return {name: value for name, value in body.items() if name not in skipped}
