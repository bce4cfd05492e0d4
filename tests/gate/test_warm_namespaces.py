"""A warm standby whose namespaces come and go."""

import kopf

from tests.gate.conftest import warm_only
from tests.gate.operators import PLURAL, Cluster, wait_for

pytestmark = warm_only


def test_a_namespace_that_comes_and_goes(operator, cluster, admin):
    """Namespaces by a pattern: one that comes is held, one that goes leaves nothing behind, and comes back as new."""
    other = Cluster(admin, f"{cluster.namespace}-2")
    op = operator(namespaces=[f"{cluster.namespace}*"])

    @kopf.index(PLURAL, id="names", **op.on)
    async def names(name, spec, **_):
        return {(name, spec["i"]): True}

    @kopf.on.create(PLURAL, **op.on)
    def created(name, namespace, **_):
        op.count((namespace == other.namespace, name))

    def indexed(*expected):
        return sorted(op.conductor.parts.indexers.indices["names"]) == [*expected]

    cluster.create("a", i=1)
    op.start()
    wait_for(lambda: indexed(("a", 1)), "the index")
    for i in (2, 3):
        admin.create("/api/v1/namespaces", {"metadata": {"name": other.namespace}})
        other.create("b", i=i)
        wait_for(lambda i=i: indexed(("a", 1), ("b", i)), "the new namespace")
        if i == 2:
            _remove(admin, other)
            wait_for(lambda: len(op.conductor.intake._holds) == 1, "the stream to end")
            wait_for(lambda: indexed(("a", 1)), "the index to forget it")
    assert not op.counted
    op.lead()
    wait_for(lambda: len(op.counted) == 2, "the handlers")
    op.stop()
    assert op.failure is None
    assert op.counted == {(False, "a"): 1, (True, "b"): 1}


def _remove(admin, cluster):
    """Remove a namespace and what is in it, in the place of the namespaces' controller."""
    for item in cluster.objects():
        cluster.delete(item["metadata"]["name"])
    path = f"/api/v1/namespaces/{cluster.namespace}"
    admin.delete(path)
    if admin.attempt("GET", path)[0] == 200:
        admin.replace(f"{path}/finalize", admin.get(path) | {"spec": {"finalizers": []}})
