"""kubectl, when there is one: the commands people try on a Lease work on both servers."""

from __future__ import annotations

import asyncio
import json
import shutil

import pytest

from tests.contract.bodies import custom, held, lease

pytestmark = pytest.mark.skipif(shutil.which("kubectl") is None, reason="there is no kubectl on the PATH")


@pytest.fixture
def kubectl(server, namespace, tmp_path):
    """Run kubectl against the server; its output."""
    kubeconfig = server.kubeconfig(tmp_path / "kubeconfig", token=server.admin_token, namespace=namespace)

    async def run(*arguments, text=None):
        command = ["kubectl", f"--kubeconfig={kubeconfig}", f"--cache-dir={tmp_path / 'cache'}", *arguments]
        pipe = asyncio.subprocess.PIPE
        process = await asyncio.create_subprocess_exec(*command, stdin=pipe, stdout=pipe, stderr=pipe)
        async with asyncio.timeout(60):
            out, error = await process.communicate(text.encode() if text else b"")
        assert process.returncode == 0, error.decode()
        return out.decode()

    return run


async def test_a_lease(kubectl, api, leases):
    """Get, describe, label, annotate, patch, edit and delete a Lease."""
    (await api.post(leases, lease("one", held("me")))).ok(201)
    assert "one" in await kubectl("get", "lease")
    shown = json.loads(await kubectl("get", "leases.coordination.k8s.io", "one", "-o", "json"))
    assert shown["spec"]["holderIdentity"] == "me"
    await kubectl("label", "lease", "one", "app=x")
    await kubectl("annotate", "lease", "one", "kopf-leader/hold=true")
    await kubectl("patch", "lease", "one", "-p", '{"spec":{"holderIdentity":"you"}}')
    await kubectl("patch", "lease", "one", "--type=json", "-p", '[{"op":"remove","path":"/spec/renewTime"}]')
    stored = (await api.get(f"{leases}/one")).ok()
    assert stored["metadata"]["labels"] == {"app": "x"}
    assert stored["metadata"]["annotations"] == {"kopf-leader/hold": "true"}
    assert stored["spec"]["holderIdentity"] == "you" and "renewTime" not in stored["spec"]
    assert "you" in await kubectl("describe", "lease", "one")
    await kubectl("delete", "lease", "one")
    assert (await api.get(f"{leases}/one")).status == 404


async def test_custom_resources(kubectl, api, widgets):
    """Found by discovery; created and replaced from files; waited for."""
    body = json.dumps(custom("Widget", "one", spec={"a": 1}))
    await kubectl("create", "--validate=false", "-f", "-", text=body)
    assert (await kubectl("get", "widgets", "-o", "name")).strip() == "widget.contract.kopf-leader.dev/one"
    await kubectl("apply", "--validate=false", "-f", "-", text=json.dumps(custom("Widget", "one", spec={"a": 2})))
    assert (await api.get(f"{widgets}/one")).ok()["spec"] == {"a": 2}
    assert "widgets" in await kubectl("api-resources", "--api-group=contract.kopf-leader.dev")
    await kubectl("wait", "--for=condition=Established", "crd/widgets.contract.kopf-leader.dev", "--timeout=30s")
    await kubectl("delete", "widget", "one", "--wait=true")
    assert (await api.get(f"{widgets}/one")).status == 404


async def test_the_cluster(kubectl, namespace):
    """Version and namespaces."""
    assert "Server Version" in await kubectl("version")
    assert namespace in await kubectl("get", "namespaces", "-o", "name")
