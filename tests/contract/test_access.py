"""Who may do what: tokens, RBAC, and the words of a refusal."""

from __future__ import annotations

import secrets

import pytest

from tests.contract.api import eventually
from tests.contract.bodies import held, lease

RBAC = "/apis/rbac.authorization.k8s.io/v1"
LEASES = {"apiGroups": ["coordination.k8s.io"], "resources": ["leases"]}


async def grant(api, user, rules, *, namespace=None, name=None):
    """Give the user these rules, by a Role (or a ClusterRole) and its binding; return their name."""
    name = name or f"grant-{secrets.token_hex(4)}"
    where, prefix = (f"{RBAC}/namespaces/{namespace}", "") if namespace else (RBAC, "cluster")
    kind = "Role" if namespace else "ClusterRole"
    (await api.post(f"{where}/{prefix}roles", {"metadata": {"name": name}, "rules": rules})).ok(201)
    binding = {
        "metadata": {"name": name},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": kind, "name": name},
        "subjects": [{"kind": "User", "name": user, "apiGroup": "rbac.authorization.k8s.io"}],
    }
    (await api.post(f"{where}/{prefix}rolebindings", binding)).ok(201)
    return name


@pytest.fixture
def user(server, api):
    """A user without any rights: the API as it sees it, and its name."""
    token, name = server.user(f"user-{secrets.token_hex(4)}")
    return api.as_user(token), name


async def test_no_token_and_a_wrong_one(api, leases):
    """A token that nobody has is a 401; without one the request is anonymous, which is a 403."""
    wrong = await api.as_user("wrong").get(f"{leases}/one")
    assert (wrong.status, wrong.reason, wrong.message) == (401, "Unauthorized", "Unauthorized")
    assert wrong.body["kind"] == "Status"
    none = await api.as_user(None).get(f"{leases}/one")
    assert (none.status, none.reason) == (403, "Forbidden")
    assert 'User "system:anonymous" cannot get resource "leases"' in none.message


@pytest.mark.parametrize(
    ("method", "tail", "query", "verb", "named"),
    [
        ("GET", "/one", {}, "get", True),
        ("GET", "", {}, "list", False),
        ("GET", "", {"watch": "true"}, "watch", False),
        ("GET", "", {"watch": "true", "fieldSelector": "metadata.name=one"}, "watch", True),
        ("POST", "", {}, "create", False),
        ("PUT", "/one", {}, "update", True),
        ("PATCH", "/one", {}, "patch", True),
        ("DELETE", "/one", {}, "delete", True),
        ("DELETE", "", {}, "deletecollection", False),
    ],
)
async def test_the_words_of_a_refusal(user, leases, namespace, method, tail, query, verb, named):
    """403 says who may not do what to which object, so that the missing rule can be read off it."""
    me, name = user
    body = lease("one") if method in {"POST", "PUT"} else {} if method == "PATCH" else None
    content = "application/merge-patch+json" if method == "PATCH" else "application/json"
    answer = await me.request(method, leases + tail, body, content_type=content, **query)
    assert (answer.status, answer.reason) == (403, "Forbidden")
    subject = 'leases.coordination.k8s.io "one"' if named else "leases.coordination.k8s.io"
    assert answer.message == (
        f'{subject} is forbidden: User "{name}" cannot {verb} resource "leases" in API group "coordination.k8s.io" '
        f'in the namespace "{namespace}"'
    )
    details = {"group": "coordination.k8s.io", "kind": "leases"} | ({"name": "one"} if named else {})
    assert answer.body["details"] == details


async def test_refusals_beyond_a_namespace(user):
    """At the cluster scope, for subresources, for plain paths."""
    me, name = user
    expected = {
        "/apis/coordination.k8s.io/v1/leases": (
            f'leases.coordination.k8s.io is forbidden: User "{name}" cannot list resource "leases" in API group '
            '"coordination.k8s.io" at the cluster scope'
        ),
        "/api/v1/namespaces/default": (
            f'namespaces "default" is forbidden: User "{name}" cannot get resource "namespaces" in API group "" '
            'in the namespace "default"'
        ),
        "/api/v1/namespaces/default/pods/one/status": (
            f'pods "one" is forbidden: User "{name}" cannot get resource "pods/status" in API group "" '
            'in the namespace "default"'
        ),
        "/metrics": f'forbidden: User "{name}" cannot get path "/metrics"',
    }
    for path, message in expected.items():
        answer = await me.get(path)
        assert (answer.status, answer.message) == (403, message)


async def test_everybody_may_discover(user, api):
    """Whoever has a token may read discovery; whoever has none may not."""
    me, _ = user
    for path in ("/api", "/apis", "/api/v1", "/apis/coordination.k8s.io/v1"):
        (await me.get(path)).ok()
        assert (await api.as_user(None).get(path)).status == 403


async def test_rules_by_name(api, user, leases, namespace):
    """The documented rules of the election: one Lease by name, and create; list and watch of that name only."""
    me, name = user
    (await api.post(leases, lease("other"))).ok(201)
    rules = [
        {**LEASES, "resourceNames": ["one"], "verbs": ["get", "list", "watch", "update"]},
        {**LEASES, "verbs": ["create"]},
    ]
    await grant(api, name, rules, namespace=namespace)

    async def granted():
        return (await me.get(f"{leases}/one")).status == 404

    await eventually(granted, "the rules to be in force")
    made = (await me.post(leases, lease("one", held("a")))).ok(201)
    made["spec"]["holderIdentity"] = "b"
    after = (await me.put(f"{leases}/one", made)).ok()
    query = {"fieldSelector": "metadata.name=one"}
    assert [item["metadata"]["name"] for item in (await me.get(leases, **query)).ok()["items"]] == ["one"]
    async with me.watch(leases, **query, resourceVersion=after["metadata"]["resourceVersion"]) as watch:
        (await api.delete(f"{leases}/one")).ok()
        assert (await watch.next())["type"] == "DELETED"
    for method, path in (("GET", leases), ("GET", f"{leases}/other"), ("DELETE", f"{leases}/one")):
        assert (await me.request(method, path)).status == 403
    assert (await me.merge(f"{leases}/one", {})).status == 403
    assert (await me.get(leases.replace(namespace, "default") + "/one")).status == 403
    del after["metadata"]["uid"]
    assert (await me.put(f"{leases}/one", after)).status == 201


async def test_creating_by_put_needs_both_rights(api, user, leases, namespace):
    """A PUT that would create is refused (403) to those who may only update."""
    me, name = user
    await grant(api, name, [{**LEASES, "verbs": ["get", "update"]}], namespace=namespace)

    async def granted():
        return (await me.get(f"{leases}/one")).status == 404

    await eventually(granted, "the rules to be in force")
    answer = await me.put(f"{leases}/one", lease("one"))
    assert (answer.status, answer.reason) == (403, "Forbidden")
    assert f'User "{name}" cannot create resource "leases"' in answer.message


async def test_rights_come_and_go(api, user, leases, namespace):
    """Rules given and withdrawn while the server runs are in force soon after."""
    me, name = user
    assert (await me.get(leases)).status == 403
    binding = await grant(api, name, [{**LEASES, "verbs": ["*"]}])

    async def allowed():
        return (await me.get(leases)).status == 200

    async def denied():
        return (await me.get(leases)).status == 403

    await eventually(allowed, "the rights to come")
    (await me.post(leases, lease("one"))).ok(201)
    (await api.delete(f"{RBAC}/clusterrolebindings/{binding}")).ok()
    await eventually(denied, "the rights to go")
    (await api.delete(f"{RBAC}/clusterroles/{binding}")).ok()


async def test_a_role_of_a_namespace_ends_there(api, user, leases, namespace):
    """A ClusterRole bound in a namespace counts in that namespace only."""
    me, name = user
    role = f"role-{secrets.token_hex(4)}"
    (await api.post(f"{RBAC}/clusterroles", {"metadata": {"name": role}, "rules": [{**LEASES, "verbs": ["get"]}]})).ok(
        201
    )
    binding = {
        "metadata": {"name": role},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": role},
        "subjects": [{"kind": "User", "name": name, "apiGroup": "rbac.authorization.k8s.io"}],
    }
    (await api.post(f"{RBAC}/namespaces/{namespace}/rolebindings", binding)).ok(201)

    async def granted():
        return (await me.get(f"{leases}/one")).status == 404

    await eventually(granted, "the rules to be in force")
    assert (await me.get(leases.replace(namespace, "default") + "/one")).status == 403
    (await api.delete(f"{RBAC}/clusterroles/{role}")).ok()


async def test_asking_whether_one_may(api, user, leases, namespace):
    """SelfSubjectAccessReview answers from the same rules."""
    me, name = user
    path = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"
    await grant(api, name, [{**LEASES, "verbs": ["update"], "resourceNames": ["one"]}], namespace=namespace)

    async def ask(**attributes):
        wanted = {"group": "coordination.k8s.io", "resource": "leases", "namespace": namespace, **attributes}
        answer = await me.post(path, {"spec": {"resourceAttributes": wanted}})
        return answer.ok(201)["status"]["allowed"]

    async def granted():
        return await ask(verb="update", name="one")

    await eventually(granted, "the rules to be in force")
    assert not await ask(verb="update", name="two")
    assert not await ask(verb="update")
    assert not await ask(verb="get", name="one")
    assert not await ask(verb="update", name="one", namespace="default")
