"""The credentials of where a process runs: the service account, else the kubeconfig."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from kopf_leader.clients.credentials import Credentials
from kopf_leader.clients.kubeconfig import KubeconfigError
from kopf_leader.clients.local import LocalLeaseClient, find_connection
from kopf_leader.errors import LeaseAPIError
from tests.clients.servers import LEASE, NAME, NAMESPACE, reply, status
from tests.clients.test_libraries_choose import write_kubeconfig


@pytest.fixture
async def local():
    client = LocalLeaseClient(namespace=NAMESPACE, name=NAME, timeout=30.0)
    yield client
    await client.close()


def account(folder):
    folder.mkdir()
    (folder / "token").write_text("the pod's\n")
    (folder / "ca.crt").write_text("")
    return folder


@pytest.mark.parametrize(
    ("host", "server"), [("10.0.0.1", "https://10.0.0.1:6443"), ("fd00::1", "https://[fd00::1]:6443")]
)
def test_a_pod_uses_its_service_account(host, server, tmp_path):
    """In a pod the service account comes first, as for the namespace; its files are followed, not copied."""
    write_kubeconfig(tmp_path / "config", "http://127.0.0.1:1", "t0")
    environ = {
        "KUBERNETES_SERVICE_HOST": host,
        "KUBERNETES_SERVICE_PORT": "6443",
        "KUBECONFIG": str(tmp_path / "config"),
    }
    folder = account(tmp_path / "account")
    found = find_connection(service_account=folder, environ=environ)
    assert (found.server, found.token, found.ca_path) == (server, "the pod's", str(folder / "ca.crt"))
    credentials = Credentials(found, token_file=str(folder / "token"))
    assert credentials.words == f"the token of {folder / 'token'}"


def test_elsewhere_it_uses_the_kubeconfig(tmp_path):
    """Outside of a pod, or without its variables, the kubeconfig: files that do not exist are skipped."""
    write_kubeconfig(tmp_path / "config", "http://127.0.0.1:1", "t0")
    environ = {"KUBECONFIG": f"{tmp_path / 'absent'}:{tmp_path / 'config'}"}
    found = find_connection(service_account=account(tmp_path / "account"), environ=environ)
    assert (found.server, found.token) == ("http://127.0.0.1:1", "t0")
    assert Credentials(found).words == "the token of the kubeconfig"
    assert "t0" not in repr(found)


async def test_nothing_to_be_found(local, tmp_path, monkeypatch):
    """Neither: an error of the request that says where was looked; it is tried again with the next request."""
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "absent"))
    with pytest.raises(LeaseAPIError, match=r"no service account and no kubeconfig \(.*absent\): set KUBECONFIG"):
        await local.read()


async def test_a_kubeconfig_that_cannot_be_used(tmp_path, monkeypatch):
    """What there is no word for is refused: a request to a wrong name would be worse."""
    write_kubeconfig(tmp_path / "config", "https://127.0.0.1:1", "t0")
    text = (tmp_path / "config").read_text().replace("server:", "tls-server-name: other\n    server:")
    (tmp_path / "config").write_text(text)
    with pytest.raises(KubeconfigError, match="tls-server-name"):
        find_connection(environ={"KUBECONFIG": str(tmp_path / "config")}, service_account=tmp_path)


async def test_log_in_again(local, serve, tmp_path, monkeypatch):
    """L17: after a 401 the kubeconfig is read again, its credential plugin is run again."""

    async def answer(request, writer):
        good = request.headers["authorization"] == "Bearer second"
        writer.write(reply(200, LEASE) if good else reply(401, status(401, "Unauthorized")))

    server = await serve(answer)
    plugin = tmp_path / "plugin.py"
    plugin.write_text(
        f"import json, pathlib\nmark = pathlib.Path({str(tmp_path / 'mark')!r})\n"
        "token = 'second' if mark.exists() else 'first'\nmark.touch()\n"
        "print(json.dumps({'status': {'token': token}}))\n"
    )
    write_kubeconfig(tmp_path / "config", server.url, "")
    config = (tmp_path / "config").read_text()
    run = json.dumps({"apiVersion": "v1", "command": sys.executable, "args": [str(plugin)]})
    (tmp_path / "config").write_text(config.replace("token: ''", f"exec: {run}"))
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "config"))
    with pytest.raises(LeaseAPIError, match="does not accept the token of the kubeconfig"):
        await local.read()
    await local.login()
    assert await local.read() == LEASE


def test_it_is_what_an_elector_takes_by_default(tmp_path):
    """`Elector` without `client`: the local client; and kopf is not imported for it, nor is a library of Kubernetes."""
    write_kubeconfig(tmp_path / "config", "http://127.0.0.1:1", "t0")
    program = (
        "import sys, kopf_leader\n"
        "elector = kopf_leader.Elector('op', namespace='ns')\n"
        "print(type(elector._client()).__name__, {'kopf', 'kubernetes', 'pykube'} & {*sys.modules})\n"
    )
    program = "import asyncio\nasync def main():\n" + "".join(f"    {line}\n" for line in program.splitlines())
    done = subprocess.run(
        [sys.executable, "-c", program + "asyncio.run(main())"],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        env={"KUBECONFIG": str(tmp_path / "config"), "PYTHONPATH": str(Path(__file__).parents[2])},
    )
    assert (done.stdout, done.stderr) == ("LocalLeaseClient set()\n", "")
