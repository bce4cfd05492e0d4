"""Who asks, and whether they may: bearer tokens, rules of your own, and the RBAC objects in the store.

Everything may be changed while the server runs: a token revoked is a 401 at the next request, a rule withdrawn a 403.
A request needs one rule that allows it, from either source. Members of ``system:masters`` may do everything.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from kopf_leader.testing.apiserver.statuses import Body, Refused, forbidden, unauthorized
from kopf_leader.testing.apiserver.storage import Storage

MASTERS = "system:masters"
RBAC = "rbac.authorization.k8s.io"
OPEN = ("/healthz", "/livez", "/readyz", "/version")
DISCOVERY = ("/api", "/apis", "/openapi")


@dataclass(frozen=True)
class User:
    """A name and the groups it is in."""

    name: str
    groups: tuple[str, ...] = ()


ANONYMOUS_ADMIN = User("system:anonymous", (MASTERS,))
ANONYMOUS = User("system:anonymous", ("system:unauthenticated",))


@dataclass(frozen=True, kw_only=True)
class Rule:
    """What one user may do; ``*`` stands for everything, no names for all objects, no namespaces for all of them.

    ``names`` work as RBAC's ``resourceNames``: they cover the verbs that name an object, and a list or a watch whose
    field selector is ``metadata.name=…``, never a create.
    """

    verbs: tuple[str, ...]
    resources: tuple[str, ...] = ("*",)
    groups: tuple[str, ...] = ("*",)
    names: tuple[str, ...] = ()
    namespaces: tuple[str, ...] = ()

    def allows(self, request: Attributes) -> bool:
        """Whether this rule is enough for the request."""
        if not request.resource or (self.namespaces and request.namespace not in self.namespaces):
            return False
        resource = f"{request.resource}/{request.subresource}" if request.subresource else request.resource
        return (
            _in(request.verb, self.verbs)
            and _in(request.group, self.groups)
            and _in(resource, self.resources)
            and (not self.names or request.name in self.names)
        )


def _in(value: str, allowed: Iterable[str]) -> bool:
    return any(item in ("*", value) for item in allowed)


@dataclass(frozen=True, kw_only=True)
class Attributes:
    """What the authoriser knows of a request; ``resource`` is empty for a plain path."""

    verb: str
    path: str = ""
    group: str = ""
    resource: str = ""
    subresource: str = ""
    namespace: str = ""
    name: str = ""


class Authority:
    """Tokens and rules of one API server."""

    def __init__(self, storage: Storage) -> None:
        self._storage = storage
        self._tokens: dict[str, User] = {}
        self._rules: dict[str, list[Rule]] = {}
        self.anonymous = ANONYMOUS

    def add_token(self, token: str, user: str, groups: Iterable[str] = ()) -> None:
        """Accept the token, as this user."""
        self._tokens[token] = User(user, (*groups, "system:authenticated"))

    def revoke_token(self, token: str) -> None:
        """Answer 401 to it from now on; watches that run go on, as with the real one."""
        self._tokens.pop(token, None)

    def set_rules(self, user: str, rules: Iterable[Rule]) -> None:
        """The rules of this user, instead of those before. RBAC objects in the store count beside them."""
        self._rules[user] = list(rules)

    def allow(self, user: str, *rules: Rule) -> None:
        """More rules for this user."""
        self._rules.setdefault(user, []).extend(rules)

    def authenticate(self, authorization: str) -> User:
        """The user of an ``Authorization`` header; refused (401) for a token that nobody has."""
        if not authorization:
            return self.anonymous
        scheme, _, token = authorization.partition(" ")
        user = self._tokens.get(token.strip()) if scheme.lower() == "bearer" else None
        if user is None:
            raise unauthorized()
        return user

    def authorize(self, user: User, request: Attributes) -> None:
        """Return when the request is allowed; refused (403) otherwise."""
        if not self.allowed(user, request):
            raise self._denial(user, request)

    def allowed(self, user: User, request: Attributes) -> bool:
        """Whether any rule allows it."""
        if MASTERS in user.groups:
            return True
        if not request.resource:
            known = "system:authenticated" in user.groups
            return _under(request.path, OPEN) or (known and request.verb == "get" and _under(request.path, DISCOVERY))
        if request.group == "authorization.k8s.io" and request.resource == "selfsubjectaccessreviews":
            return "system:authenticated" in user.groups
        rules = [*self._rules.get(user.name, []), *self._granted(user, request.namespace)]
        return any(rule.allows(request) for rule in rules)

    def _denial(self, user: User, request: Attributes) -> Refused:
        if not request.resource:
            why = f'User "{user.name}" cannot {request.verb} path "{request.path}"'
            return Refused(403, f"forbidden: {why}", reason="Forbidden", details={})
        resource = f"{request.resource}/{request.subresource}" if request.subresource else request.resource
        scope = f'in the namespace "{request.namespace}"' if request.namespace else "at the cluster scope"
        why = f'User "{user.name}" cannot {request.verb} resource "{resource}" in API group "{request.group}" {scope}'
        return forbidden(request.group, request.resource, request.name, why)

    def _granted(self, user: User, namespace: str) -> Iterator[Rule]:
        """The rules that RBAC objects grant."""
        for binding in self._bodies("clusterrolebindings"):
            if _binds(binding, user):
                yield from self._rules_of(binding, namespace="", limit=())
        if namespace:
            for binding in self._bodies("rolebindings", f"{namespace}/"):
                if _binds(binding, user):
                    yield from self._rules_of(binding, namespace=namespace, limit=(namespace,))

    def _rules_of(self, binding: Body, *, namespace: str, limit: tuple[str, ...]) -> Iterator[Rule]:
        ref = binding["roleRef"]
        plural, key = ("roles", f"{namespace}/{ref['name']}")
        if ref["kind"] == "ClusterRole":
            plural, key = ("clusterroles", f"/{ref['name']}")
        role = self._storage.collection(f"{RBAC}/{plural}").objects.get(key)
        for rule in (role.body.get("rules") or []) if role is not None else []:
            yield Rule(
                verbs=tuple(rule.get("verbs", ())),
                groups=tuple(rule.get("apiGroups", ())),
                resources=tuple(rule.get("resources", ())),
                names=tuple(rule.get("resourceNames", ())),
                namespaces=limit,
            )

    def _bodies(self, plural: str, prefix: str = "") -> list[Body]:
        objects = self._storage.collection(f"{RBAC}/{plural}").objects
        return [stored.body for key, stored in objects.items() if key.startswith(prefix)]


def _under(path: str, prefixes: Iterable[str]) -> bool:
    return any(path == prefix or path.startswith(f"{prefix}/") for prefix in prefixes)


def _binds(binding: Body, user: User) -> bool:
    for subject in binding.get("subjects") or []:
        name = subject.get("name")
        if subject.get("kind") == "ServiceAccount":
            name = f"system:serviceaccount:{subject.get('namespace')}:{name}"
        names = user.groups if subject.get("kind") == "Group" else (user.name,)
        if name in names:
            return True
    return False
