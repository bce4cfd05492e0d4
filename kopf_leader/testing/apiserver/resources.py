"""What the API server serves: the resources, and where to find them by path.

A ``Resource`` says how one kind is served in one version; several versions of one kind share a collection in the
store (``events`` of ``v1`` and of ``events.k8s.io/v1``, the versions of a custom resource).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from kopf_leader.testing.apiserver import validation
from kopf_leader.testing.apiserver.statuses import Body, Problem

VERBS = ("create", "delete", "deletecollection", "get", "list", "patch", "update", "watch")

Convert = Callable[[Body], Body]
Validate = Callable[[Body], list[Problem]]


def as_is(body: Body) -> Body:
    """No conversion: stored as it is served."""
    return body


def no_rules(_: Body) -> list[Problem]:
    """Nothing to check beside the metadata."""
    return []


@dataclass(frozen=True, kw_only=True)
class Resource:
    """One kind in one version. The flags are those of kube-apiserver's registry (``rest`` strategies)."""

    group: str
    version: str
    plural: str
    kind: str
    namespaced: bool = True
    singular: str = ""
    short_names: tuple[str, ...] = ()
    categories: tuple[str, ...] = ()
    verbs: tuple[str, ...] = VERBS
    status: bool = False  # has the subresource `status`
    custom: bool = False  # of a CustomResourceDefinition: wants its kind in every body
    generation: bool = False  # metadata.generation counts the changes of everything but metadata and status
    create_on_update: bool = False  # a PUT on nothing creates
    unconditional_update: bool = True  # a PUT without resourceVersion is accepted
    stored_in: str = ""  # the collection, when it is not the resource's own
    preferred: bool = True
    list_kind: str = ""
    name_rule: validation.NameRule = validation.subdomain
    check: Convert = as_is  # what decoding into the Go type does: TypeError for a 400; drops what is null or unknown
    to_storage: Convert = as_is
    from_storage: Convert = as_is
    validate: Validate = no_rules
    selectable: Callable[[Body], dict[str, str]] | None = None
    schema: Body | None = None

    @property
    def api_version(self) -> str:
        """``group/version``, or the version alone in the core group."""
        return f"{self.group}/{self.version}" if self.group else self.version

    @property
    def collection(self) -> str:
        """The name of its collection in the store."""
        return self.stored_in or f"{self.group}/{self.plural}"

    @property
    def list_of(self) -> str:
        """The kind of its lists."""
        return self.list_kind or f"{self.kind}List"

    def render(self, body: Body) -> Body:
        """The body as this version shows it: kind and apiVersion first."""
        shown = self.from_storage(body)
        return {**shown, "kind": self.kind, "apiVersion": self.api_version}

    def render_item(self, body: Body) -> Body:
        """The body as an item of a list: built-in kinds do not repeat their kind there."""
        return self.render(body) if self.custom else self.from_storage(body)

    def key(self, namespace: str, name: str) -> str:
        """The key in its collection."""
        return f"{namespace}/{name}" if self.namespaced else f"/{name}"

    def etcd_key(self, namespace: str, name: str) -> str:
        """The key as kube-apiserver names it in its messages."""
        where = f"{self.group}/{self.plural}" if self.custom else self.plural
        return f"/registry/{where}/{namespace}/{name}" if self.namespaced else f"/registry/{where}/{name}"


class Registry:
    """The resources that are served now; those of CustomResourceDefinitions come and go."""

    def __init__(self, resources: Iterable[Resource] = ()) -> None:
        self._resources: dict[tuple[str, str, str], Resource] = {}
        for resource in resources:
            self.add(resource)

    def add(self, resource: Resource) -> None:
        """Serve it, instead of what stood there."""
        self._resources[resource.group, resource.version, resource.plural] = resource

    def drop(self, *, group: str, plural: str) -> None:
        """Serve that kind no more, in no version."""
        for key in [key for key in self._resources if key[0] == group and key[2] == plural]:
            del self._resources[key]

    def find(self, group: str, version: str, plural: str) -> Resource | None:
        """The resource at that path."""
        return self._resources.get((group, version, plural))

    def all(self) -> list[Resource]:
        """Everything that is served."""
        return list(self._resources.values())

    def of(self, *, group: str, version: str | None = None) -> list[Resource]:
        """All resources of a group (and version)."""
        return [r for r in self._resources.values() if r.group == group and version in (None, r.version)]

    def groups(self) -> list[str]:
        """The names of the groups, the core group first."""
        return list(dict.fromkeys(["", *(r.group for r in self._resources.values())]))

    def versions(self, group: str) -> list[str]:
        """The versions of a group, the preferred ones first."""
        ordered = sorted(self.of(group=group), key=lambda r: not r.preferred)
        return list(dict.fromkeys(r.version for r in ordered))

    def named(self, plural: str, group: str | None = None) -> Resource:
        """The resource of that plural name; LookupError when there is none."""
        for resource in self._resources.values():
            if resource.plural == plural and group in (None, resource.group):
                return resource
        raise LookupError(f"no resource {plural!r} is served: create its CustomResourceDefinition first")
