"""What the demo takes from a user's kubeconfig, and what it writes for its replicas."""

import base64
import json
import sys

import pytest
import yaml

from kopf_leader.cli.lease.kubeconfig import Access, read
from kopf_leader.cli.refused import Refused


def encoded(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


def config(tmp_path, *, cluster=None, user=None, **extra):
    content = {
        "current-context": "one",
        "contexts": [
            {"name": "one", "context": {"cluster": "c", "user": "u"}},
            {"name": "two", "context": {"cluster": "d", "user": "u"}},
        ],
        "clusters": [
            {"name": "c", "cluster": {"server": "https://c.test:6443/", **(cluster or {})}},
            {"name": "d", "cluster": {"server": "http://d.test/prefix"}},
        ],
        "users": [{"name": "u", "user": user or {}}],
        **extra,
    }
    path = tmp_path / "config"
    path.write_text(yaml.safe_dump(content))
    return path


def test_current_context(tmp_path):
    """The current context counts, unless another one is asked for."""
    path = config(tmp_path, user={"token": "secret"})
    access = read(path, None)
    assert (access.server, access.address) == ("https://c.test:6443", ("c.test", 6443))
    assert access.headers() == {"Authorization": "Bearer secret"}
    other = read(path, "two")
    assert (other.server, other.address, other.encrypted) == ("http://d.test/prefix", ("d.test", 80), False)


def test_files_beside_it(tmp_path):
    """Paths are relative to the kubeconfig; what the files hold is carried on, so that a copy elsewhere works."""
    for name in ("ca.pem", "me.pem", "me.key", "token"):
        (tmp_path / name).write_text(f"content of {name}\n")
    user = {"client-certificate": "me.pem", "client-key": "me.key", "tokenFile": "token"}
    access = read(config(tmp_path, cluster={"certificate-authority": "ca.pem"}, user=user), None)
    assert access.ca_data == encoded("content of ca.pem\n")
    assert access.certificate_data == encoded("content of me.pem\n")
    assert access.key_data == encoded("content of me.key\n")
    assert access.token == "content of token"


def test_credential_plugin(tmp_path):
    """A plugin is run once, with what kubectl gives it, and what it grants is taken."""
    script = tmp_path / "plugin.py"
    script.write_text(
        "import json, os\n"
        "info = json.loads(os.environ['KUBERNETES_EXEC_INFO'])\n"
        "token = os.environ['EXTRA'] + '-' + info['kind']\n"
        "print(json.dumps({'status': {'token': token, 'clientCertificateData': 'pem', 'clientKeyData': 'key'}}))\n"
    )
    plugin = {
        "apiVersion": "client.authentication.k8s.io/v1",
        "command": sys.executable,
        "args": [str(script)],
        "env": [{"name": "EXTRA", "value": "x"}],
    }
    access = read(config(tmp_path, user={"exec": plugin}), None)
    assert access.token == "x-ExecCredential"
    assert (access.certificate_data, access.key_data) == (encoded("pem"), encoded("key"))


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"current-context": None}, "no current context"),
        ({"current-context": "three"}, "no context 'three'"),
        ({"clusters": []}, "no cluster 'c'"),
        ({"users": []}, "no user 'u'"),
        ({"clusters": [{"name": "c", "cluster": {}}]}, "names no server"),
        ({"users": [{"name": "u", "user": {"tokenFile": "nowhere"}}]}, "cannot be read"),
        ({"users": [{"name": "u", "user": {"exec": {"command": "/nowhere"}}}]}, "gave no credentials"),
    ],
)
def test_what_is_wrong_with_it(tmp_path, change, words):
    """A kubeconfig that does not do is refused with a sentence that names the file and what is wrong."""
    path = config(tmp_path, **change)
    with pytest.raises(Refused, match=words) as refusal:
        read(path, None)
    assert str(path) in str(refusal.value) or "names no server" in words


def test_no_yaml(tmp_path):
    """Something that is no YAML is refused, not raised."""
    path = tmp_path / "config"
    path.write_text("{")
    with pytest.raises(Refused, match="cannot be read"):
        read(path, None)


def test_what_the_replicas_get():
    """The user's credentials, the server's true name for TLS, and the way through the proxy."""
    access = Access(server="https://1.2.3.4:6443", ca_data="Y2E=", token="secret", tls_name="kube.test")
    content = json.loads(access.render(namespace="demo", server=access.named(), proxy="http://127.0.0.1:1"))
    assert content["clusters"][0]["cluster"] == {
        "server": "https://kube.test:6443",
        "certificate-authority-data": "Y2E=",
        "proxy-url": "http://127.0.0.1:1",
    }
    assert content["users"][0]["user"] == {"token": "secret"}
    assert content["contexts"][0]["context"]["namespace"] == "demo"


def test_basic_auth():
    """A name and a password make the header of basic authentication."""
    access = Access(server="http://c.test", username="me", password="secret")
    assert access.headers() == {"Authorization": f"Basic {encoded('me:secret')}"}
