"""What a kubeconfig says: read once, and for the demo written again, for each replica with the way through its proxy.

Everything is resolved here: files are read, an `exec` plugin is run once. So the demo's replicas need nothing but the
file.
"""

import base64
import json
import os
import ssl
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import yaml

from kopf_leader.clients.hidden import of_plugin
from kopf_leader.errors import ElectionError


class KubeconfigError(ElectionError):
    """A kubeconfig, or a pod's service account, cannot be used: the fault of whoever wrote it."""


@dataclass(frozen=True, kw_only=True, repr=False)
class Access:
    """How one user reaches one API server. The `…_data` are PEM in base64, as a kubeconfig has them."""

    server: str
    ca_data: str | None = None
    insecure: bool = False
    tls_name: str | None = None
    """The name in the server's certificate, where it is not the host in `server`."""
    proxy: str | None = None
    token: str | None = None
    username: str | None = None
    password: str | None = None
    certificate_data: str | None = None
    key_data: str | None = None
    namespace: str = "default"
    """The one of the context."""

    @property
    def encrypted(self) -> bool:
        """Whether TLS is spoken."""
        return urlsplit(self.server).scheme == "https"

    @property
    def address(self) -> tuple[str, int]:
        """Host and port of the API server."""
        parts = urlsplit(self.server)
        return parts.hostname or "", parts.port or (443 if self.encrypted else 80)

    @property
    def proxy_user(self) -> str:
        """The name and password in the URL of the user's proxy, with the @ that follows; empty where there are none."""
        user, at, _ = urlsplit(self.proxy or "").netloc.rpartition("@")
        return user + at

    def headers(self) -> dict[str, str]:
        """What each request carries."""
        if self.token:
            return {"Authorization": f"Bearer {self.token}"}
        if self.username and self.password:
            pair = f"{self.username}:{self.password}".encode()
            return {"Authorization": f"Basic {base64.b64encode(pair).decode()}"}
        return {}

    def tls(self, folder: Path) -> ssl.SSLContext | bool:
        """The context for aiohttp. Python's `ssl` takes a client's key from files only: they stay in `folder`."""
        if not self.encrypted:
            return True
        ca = _text(self.ca_data) if self.ca_data else None
        context = ssl.create_default_context(cadata=ca)
        if self.insecure:
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
        if self.certificate_data and self.key_data:
            pair = folder / "client.pem"
            pair.touch(mode=0o600)
            pair.write_text(_text(self.certificate_data) + "\n" + _text(self.key_data))
            context.load_cert_chain(pair)
        return context

    def render(self, *, namespace: str, server: str | None = None, proxy: str | None = None) -> str:
        """A kubeconfig (as JSON, which is YAML), by default for `server` as it is."""
        cluster = {
            "server": server or self.server,
            "certificate-authority-data": self.ca_data,
            "insecure-skip-tls-verify": self.insecure or None,
            "proxy-url": proxy,
        }
        user = {
            "token": self.token,
            "username": self.username,
            "password": self.password,
            "client-certificate-data": self.certificate_data,
            "client-key-data": self.key_data,
        }
        content = {
            "apiVersion": "v1",
            "kind": "Config",
            "current-context": "demo",
            "clusters": [{"name": "demo", "cluster": _present(cluster)}],
            "users": [{"name": "demo", "user": _present(user)}],
            "contexts": [{"name": "demo", "context": {"cluster": "demo", "user": "demo", "namespace": namespace}}],
        }
        return json.dumps(content, indent=2)

    def through(self, port: int) -> str:
        """The server's URL with the host replaced by this port on loopback (plain HTTP only)."""
        parts = urlsplit(self.server)
        return urlunsplit((parts.scheme, f"127.0.0.1:{port}", parts.path, "", ""))

    def named(self) -> str:
        """The server's URL with the host that its certificate has: for use behind a tunnel that knows the address."""
        parts = urlsplit(self.server)
        return urlunsplit((parts.scheme, f"{self.tls_name or parts.hostname}:{self.address[1]}", parts.path, "", ""))


def read(path: Path, context: str | None) -> Access:
    """Resolve a kubeconfig's context (its current one by default). Raises `KubeconfigError` if that cannot be done."""
    return read_merged([path], context)


def read_merged(paths: Sequence[Path], context: str | None) -> Access:
    """Resolve a context over several kubeconfigs, of which the first wins (client-go `clientcmd`). Raises as `read`."""
    files = [(path, _content(path)) for path in paths]
    names = ", ".join(str(path) for path in paths)
    chosen = context or next((content["current-context"] for _, content in files if content.get("current-context")), "")
    if not chosen:
        raise KubeconfigError(f"The kubeconfig {names} has no current context: pass one with --context.")
    _, place = _named(files, "contexts", chosen, "context")
    beside_cluster, cluster = _named(files, "clusters", place.get("cluster"), "cluster")
    path, user = _named(files, "users", place.get("user"), "user") if place.get("user") else (paths[0], {})
    if not cluster.get("server"):
        raise KubeconfigError(
            f"The cluster of the context {chosen!r} in {beside_cluster} names no server: correct the file."
        )
    user = {**user, **_executed(user["exec"], path)} if user.get("exec") else user
    token = user.get("token")
    if not token and user.get("tokenFile"):
        token = _file(path, user["tokenFile"]).decode("utf-8", "replace").strip()
    return Access(
        server=str(cluster["server"]).rstrip("/"),
        ca_data=_data(beside_cluster, cluster, "certificate-authority"),
        insecure=bool(cluster.get("insecure-skip-tls-verify")),
        tls_name=cluster.get("tls-server-name"),
        proxy=cluster.get("proxy-url"),
        token=token,
        username=user.get("username"),
        password=user.get("password"),
        certificate_data=_data(path, user, "client-certificate"),
        key_data=_data(path, user, "client-key"),
        namespace=str(place.get("namespace") or "default"),
    )


def _content(path: Path) -> Mapping[str, Any]:
    try:
        content = yaml.safe_load(path.read_text()) or {}
    except OSError as error:
        raise KubeconfigError(
            f"The kubeconfig {path} cannot be read ({error}): pass the path of a valid one."
        ) from error
    except (ValueError, yaml.YAMLError) as error:  # both quote the file, which is full of secrets
        raise KubeconfigError(
            f"The kubeconfig {path} cannot be read (it is no YAML{_at(error)}): pass the path of a valid one."
        ) from None
    if not isinstance(content, Mapping):
        raise KubeconfigError(f"The kubeconfig {path} cannot be read (it is no mapping): pass the path of a valid one.")
    return content


def _at(error: Exception) -> str:
    mark = getattr(error, "problem_mark", None)
    return f", see its line {mark.line + 1}" if mark is not None else ""


def _named(
    files: Sequence[tuple[Path, Mapping[str, Any]]], plural: str, name: object, singular: str
) -> tuple[Path, Mapping[str, Any]]:
    """The entry of this name, and the file that has it: paths in it are relative to that."""
    for path, content in files:
        for item in content.get(plural) or []:
            if isinstance(item, Mapping) and item.get("name") == name:
                found: Mapping[str, Any] = item.get(singular) or {}
                return path, found
    names = ", ".join(str(path) for path, _ in files)
    raise KubeconfigError(
        f"The kubeconfig {names} has no {singular} {name!r}: correct the file, or pass another --context."
    )


def _file(path: Path, name: str) -> bytes:
    try:
        return (path.parent / name).read_bytes()
    except OSError as error:
        raise KubeconfigError(
            f"The kubeconfig {path} names a file that cannot be read ({error}): correct the path."
        ) from error


def _data(path: Path, section: Mapping[str, Any], field: str) -> str | None:
    if section.get(f"{field}-data"):
        return str(section[f"{field}-data"])
    return base64.b64encode(_file(path, section[field])).decode() if section.get(field) else None


def _executed(plugin: Mapping[str, Any], path: Path) -> dict[str, Any]:
    """Run a credential plugin (`aws`, `gke-gcloud-auth-plugin`, …) once; what it grants outlives the demo."""
    info = {"apiVersion": plugin.get("apiVersion"), "kind": "ExecCredential", "spec": {"interactive": False}}
    extra = {item["name"]: item["value"] for item in plugin.get("env") or []}
    try:
        done = subprocess.run(  # noqa: S603 (the user's kubeconfig says so; kubectl does the same)
            [plugin["command"], *(plugin.get("args") or [])],
            env={**os.environ, **extra, "KUBERNETES_EXEC_INFO": json.dumps(info)},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            cwd=path.parent,
            timeout=60,
            check=True,
        )
        status = json.loads(done.stdout)["status"]
        pems = {"client-certificate-data": "clientCertificateData", "client-key-data": "clientKeyData"}
        found = {name: base64.b64encode(status[pem].encode()).decode() for name, pem in pems.items() if pem in status}
        return {"token": status.get("token"), **found}
    except (OSError, subprocess.SubprocessError, ValueError, LookupError, TypeError, AttributeError) as error:
        # What it was given and what it printed are full of secrets, and errors quote both.
        why = str(error) if isinstance(error, OSError) else of_plugin(error)
        known = isinstance(error, OSError | subprocess.SubprocessError)
        raise KubeconfigError(
            f"The credential plugin {plugin.get('command')!r} of {path} gave no credentials "
            f"({why if known else 'it printed no ExecCredential'}): check that kubectl works with this kubeconfig."
        ) from None


def _text(data: str) -> str:
    return base64.b64decode(data).decode()


def _present(fields: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in fields.items() if value is not None}
