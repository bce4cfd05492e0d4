"""etcd and kube-apiserver as child processes: started, restarted, frozen and killed by tests."""

from __future__ import annotations

import json
import os
import secrets
import signal
import socket
import subprocess
import tempfile
import threading
import time
import urllib.request
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Literal, Self

import trustme
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from kopf_leader.testing.reaper import Reaper
from tests.controlplane import audit, rbac
from tests.controlplane.api import Api, APIError
from tests.controlplane.binaries import Binaries

Part = Literal["etcd", "apiserver", "second"]
SERVICES, SERVICE = "10.0.0.0/24", "10.0.0.1"  # addresses of Services; the first is the API server's own
USERS = 500  # the token file is read once, at start: users are handed out from this many


class ControlPlaneError(RuntimeError):
    """etcd or kube-apiserver did not start or ended by itself; the text has the ends of both logs."""


def wait_until(condition: Callable[[], bool], *, timeout: float = 60.0, what: str) -> None:
    """Poll until it holds; raises ``TimeoutError`` that names what was waited for."""
    deadline = time.monotonic() + timeout
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError(f"waited {timeout:g} s in vain for {what}")
        time.sleep(0.03)


def _post(url: str, body: dict[str, Any]) -> Any:
    """JSON to etcd, over its gateway."""
    with urllib.request.urlopen(url, json.dumps(body).encode(), timeout=30) as answer:
        return json.load(answer)


class Port:
    """A port of our own on loopback, from now until ``free()``.

    The socket is bound and never listens, with SO_REUSEPORT: no other process is given the port, while our child,
    which sets the same option, may listen on it, as often as it is restarted.
    """

    def __init__(self) -> None:
        self._socket = socket.socket()
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        self._socket.bind(("127.0.0.1", 0))
        self.number: int = self._socket.getsockname()[1]

    def free(self) -> None:
        """Give it back."""
        self._socket.close()


class RealControlPlane:
    """One etcd and one kube-apiserver on loopback, RBAC on, TLS verified, one user per replica.

    ``flags`` are added to the API server's command line (e.g. ``--watch-cache=false``). With ``account_tokens`` pods
    get their account's token as a volume, as on any cluster; a kubelet then mounts it.
    """

    def __init__(self, binaries: Binaries, *, flags: Sequence[str] = (), account_tokens: bool = False) -> None:
        self.binaries = binaries
        self._account_tokens = account_tokens
        self._flags = tuple(flags)
        self._reaper = Reaper()
        self._temporary = tempfile.TemporaryDirectory(prefix="kopf-leader-controlplane-", ignore_cleanup_errors=True)
        self.folder = Path(self._temporary.name)
        self._reaper.add_folder(self.folder)
        self._processes: dict[Part, subprocess.Popen[bytes]] = {}
        self._ports: list[Port] = []
        self._users: dict[str, int] = {}
        self._naming = threading.Lock()
        self.audit_log = audit.AuditLog(self.folder / "audit.log")
        self.ca_file = self.folder / "ca.pem"
        self.admin_token = secrets.token_hex(16)
        self._tokens = [secrets.token_hex(16) for _ in range(USERS)]
        self._authority = trustme.CA()
        self._write_files()
        self.url = ""

    # Life

    def start(self) -> Self:
        """Start both and wait until /readyz says yes; raises ``ControlPlaneError`` with the logs."""
        for attempt in range(3):
            self._reserve_ports()
            try:
                self._start_etcd()
                self._start_apiserver()
            except ControlPlaneError as error:
                # The ports are reserved; but a stranger's listener without SO_REUSEPORT may have come first.
                if "address already in use" not in str(error) or attempt == 2:
                    raise
                self._end_all()
            else:
                return self
        raise AssertionError("unreachable")

    def stop(self) -> None:
        """End both hard (the data is temporary) and remove the folder."""
        self._end_all()
        self._reaper.close()
        self._temporary.cleanup()

    def restart(self, *, hard: bool = False) -> None:
        """Stop the API server (SIGTERM, or SIGKILL when ``hard``) and start it on the same port and data."""
        self.kill("apiserver", hard=hard)
        self._start_apiserver()

    def kill(self, part: Part = "apiserver", *, hard: bool = True) -> None:
        """End one of the two and leave it ended; see ``revive()``."""
        process = self._processes.pop(part)
        self._end(process, signal.SIGKILL if hard else signal.SIGTERM)

    def pause(self, part: Part = "apiserver") -> None:
        """SIGSTOP: connections stay open, nobody answers; returns when every thread has stopped."""
        self._processes[part].send_signal(signal.SIGSTOP)
        os.waitid(os.P_PID, self._processes[part].pid, os.WSTOPPED | os.WNOWAIT)

    def resume(self, part: Part = "apiserver") -> None:
        """SIGCONT."""
        self._processes[part].send_signal(signal.SIGCONT)

    def alarm(self, *, on: bool) -> None:
        """Raise etcd's NOSPACE, as when its quota is used up, or take it back: it refuses every write meanwhile."""
        address = f"http://127.0.0.1:{self._ports[0].number}/v3"
        members = _post(f"{address}/cluster/member/list", {})["members"]
        for member in members:
            body = {"action": "ACTIVATE" if on else "DEACTIVATE", "memberID": member["ID"], "alarm": "NOSPACE"}
            _post(f"{address}/maintenance/alarm", body)

    def revive(self) -> None:
        """Whatever a test did to it: both run again and answer."""
        for process in self._processes.values():
            process.send_signal(signal.SIGCONT)
        for part in ("etcd", "apiserver"):
            process = self._processes.get(part)
            if process is not None and process.poll() is not None:
                self._reaper.forget(process.pid)
                del self._processes[part]
        if "etcd" not in self._processes:
            self._start_etcd()
        if "apiserver" not in self._processes:
            self._start_apiserver()
        self._wait_ready(self.url)

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()

    # Users and their rights

    @property
    def admin(self) -> Api:
        """The API as a member of system:masters sees it."""
        return Api(self.url, self.ca_file, self.admin_token)

    def as_user(self, user: str) -> Api:
        """The API as ``user`` sees it."""
        return Api(self.url, self.ca_file, self.user(user))

    def user(self, name: str, groups: Sequence[str] = ()) -> str:
        """The token of ``name``: of one user for ever, who may do nothing until granted.

        Groups cannot be chosen for a token, for the token file is read once; ``client_certificate()`` can carry any.
        """
        if groups:
            raise ValueError("Tokens have no groups of your choice here: use client_certificate(name, groups).")
        with self._naming:
            if name not in self._users:
                if len(self._users) == USERS:
                    raise ValueError(f"All {USERS} users are given out: raise USERS in tests/controlplane/server.py.")
                self._users[name] = len(self._users)
            return self._tokens[self._users[name]]

    def username(self, name: str) -> str:
        """What the API server (RBAC, audit log) calls the user whom tests know as ``name``."""
        self.user(name)
        return f"replica-{self._users[name]:03}"

    def client_certificate(self, folder: Path, name: str, groups: Sequence[str] = ()) -> tuple[Path, Path]:
        """A certificate (with its chain) and its key, for the user ``name``; at most one group."""
        group = groups[0] if groups else None
        issued = self._authority.issue_cert(f"{name}.client", common_name=name, organization_name=group)
        certificate, key = folder / f"{name}.crt", folder / f"{name}.key"
        certificate.write_bytes(b"".join(blob.bytes() for blob in issued.cert_chain_pems))
        key.write_bytes(issued.private_key_pem.bytes())
        return certificate, key

    def grant_lease_rights(self, user: str, namespace: str, lease: str) -> None:
        """The documented rule of the election and nothing else; returns once it is in force."""
        name = self.username(user)
        rbac.grant(self.admin, name, f"{name}-{lease}", rbac.lease_rules(lease), namespace=namespace)
        ask = {"group": "coordination.k8s.io", "resource": "leases", "namespace": namespace}
        wait_until(
            lambda: rbac.allowed(self.as_user(user), verb="update", name=lease, **ask), what=f"the rights of {user}"
        )

    def revoke_lease_rights(self, user: str, namespace: str, lease: str) -> None:
        """Take them back; returns once they are gone."""
        rbac.revoke(self.admin, f"{self.username(user)}-{lease}", namespace=namespace)
        ask = {"group": "coordination.k8s.io", "resource": "leases", "namespace": namespace}
        wait_until(
            lambda: not rbac.allowed(self.as_user(user), verb="update", name=lease, **ask), what=f"{user} to be denied"
        )

    def grant_operator(self, user: str) -> None:
        """What a kopf operator of kopfexamples needs without any election; returns once it is in force."""
        name = self.username(user)
        rbac.grant(self.admin, name, f"{name}-operator", rbac.operator_rules())
        wait_until(
            lambda: rbac.allowed(self.as_user(user), verb="patch", group="kopf.dev", resource="kopfexamples"),
            what=f"the rights of {user}",
        )

    # Things tests need in the cluster

    def kubeconfig(self, path: Path, *, token: str, namespace: str = "default", url: str | None = None) -> Path:
        """Write a kubeconfig (as JSON, which is YAML); ``url`` when the way leads through a proxy."""
        cluster = {"server": url or self.url, "certificate-authority": str(self.ca_file)}
        context = {"cluster": "real", "user": "one", "namespace": namespace}
        content = {
            "apiVersion": "v1",
            "kind": "Config",
            "current-context": "real",
            "clusters": [{"name": "real", "cluster": cluster}],
            "users": [{"name": "one", "user": {"token": token}}],
            "contexts": [{"name": "real", "context": context}],
        }
        path.write_text(json.dumps(content, indent=2))
        return path

    def namespace(self, prefix: str = "test") -> str:
        """Create a namespace of a fresh name, and return the name."""
        name = f"{prefix}-{secrets.token_hex(4)}"
        self.admin.create("/api/v1/namespaces", {"metadata": {"name": name}})
        return name

    def install(self, crd: dict[str, Any]) -> None:
        """Create the CRD unless it is there, and wait until its resource is served."""
        base = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
        try:
            self.admin.create(base, crd)
        except APIError as error:
            if error.status != 409:
                raise
        spec = crd["spec"]
        path = f"/apis/{spec['group']}/{spec['versions'][0]['name']}/{spec['names']['plural']}"
        wait_until(lambda: self.admin.attempt("GET", path)[0] == 200, what=f"{path} to be served")

    def requests(
        self, user: str, *, resource: str | None = None, namespace: str | None = None, skip: int = 0
    ) -> Counter[str]:
        """Requests of ``user`` by verb, from the audit log; ``skip=len(audit_log.requests())`` of an earlier moment."""
        return self.audit_log.count(self.username(user), resource=resource, namespace=namespace, skip=skip)

    def logs(self, lines: int = 40) -> str:
        """The ends of both logs, for a failure's report."""
        texts = []
        for part in ("etcd", "apiserver"):
            path = self.folder / f"{part}.log"
            tail = path.read_text(errors="replace").splitlines()[-lines:] if path.exists() else []
            texts.append("\n".join([f"--- {part}", *tail]))
        return "\n".join(texts)

    # Inside

    def _write_files(self) -> None:
        self._authority.cert_pem.write_to_path(str(self.ca_file))
        serving = self._authority.issue_cert("127.0.0.1", "localhost", SERVICE, "kubernetes.default.svc")
        (self.folder / "serving.crt").write_bytes(b"".join(blob.bytes() for blob in serving.cert_chain_pems))
        (self.folder / "serving.key").write_bytes(serving.private_key_pem.bytes())
        key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        pem = (serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
        (self.folder / "accounts.key").write_bytes(key.private_bytes(*pem))
        lines = [f'{self.admin_token},test-admin,0,"system:masters"']
        lines += [f"{token},replica-{number:03},{number + 1}" for number, token in enumerate(self._tokens)]
        (self.folder / "tokens.csv").write_text("\n".join(lines) + "\n")
        (self.folder / "audit-policy.json").write_text(json.dumps(audit.POLICY))

    def _reserve_ports(self) -> None:
        for port in self._ports:
            port.free()
        self._ports = [Port() for _ in range(3)]
        self.url = f"https://127.0.0.1:{self._ports[2].number}"

    def _start_etcd(self) -> None:
        client, peer = (f"http://127.0.0.1:{port.number}" for port in self._ports[:2])
        flags = {
            "data-dir": self.folder / "etcd",
            "listen-client-urls": client,
            "advertise-client-urls": client,
            "listen-peer-urls": peer,
            "initial-advertise-peer-urls": peer,
            "initial-cluster": f"default={peer}",
            "log-level": "warn",
            "socket-reuse-port": "true",
            "unsafe-no-fsync": "true",
        }
        self._spawn("etcd", [self.binaries.etcd, *(f"--{name}={value}" for name, value in flags.items())])

    def _start_apiserver(self) -> None:
        self._spawn("apiserver", self._apiserver(self.etcd_port, self._ports[2].number))
        self._wait_ready(self.url)

    def start_second(self, *, etcd_port: int | None = None) -> str:
        """Start one more on the same data, until `kill("second")`; its URL. `etcd_port`: of a proxy before etcd."""
        port = Port()
        self._ports.append(port)
        url = f"https://127.0.0.1:{port.number}"
        self._spawn("second", self._apiserver(etcd_port or self.etcd_port, port.number, "-second"))
        self._wait_ready(url)
        return url

    @property
    def etcd_port(self) -> int:
        """Where etcd listens, on loopback and without TLS."""
        return self._ports[0].number

    def _apiserver(self, etcd_port: int, port: int, suffix: str = "") -> list[str | Path]:
        flags = {
            "etcd-servers": f"http://127.0.0.1:{etcd_port}",
            "bind-address": "127.0.0.1",
            "advertise-address": "127.0.0.1",
            "secure-port": port,
            "permit-port-sharing": "true",
            "cert-dir": self.folder,
            "tls-cert-file": self.folder / "serving.crt",
            "tls-private-key-file": self.folder / "serving.key",
            "client-ca-file": self.ca_file,
            "token-auth-file": self.folder / "tokens.csv",
            "authorization-mode": "RBAC",
            "service-cluster-ip-range": SERVICES,
            "service-account-issuer": "https://kubernetes.default.svc",
            "service-account-key-file": self.folder / "accounts.key",
            "service-account-signing-key-file": self.folder / "accounts.key",
            "endpoint-reconciler-type": "none",
            "audit-policy-file": self.folder / "audit-policy.json",
            "audit-log-path": f"{self.audit_log.path}{suffix}",
            "profiling": "false",
        }
        if not self._account_tokens:
            flags["disable-admission-plugins"] = "ServiceAccount"
        return [self.binaries.apiserver, *(f"--{name}={value}" for name, value in flags.items()), *self._flags]

    def _spawn(self, part: Part, command: Sequence[str | Path]) -> None:
        with (self.folder / f"{part}.log").open("ab") as log:
            process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd=self.folder)
        self._reaper.add(process.pid)
        self._processes[part] = process

    def _wait_ready(self, url: str) -> None:
        api = Api(url, self.ca_file, self.admin_token)

        def ready() -> bool:
            for part, process in self._processes.items():
                if process.poll() is not None:
                    raise ControlPlaneError(
                        f"{part} ended with {process.returncode} before it was ready\n{self.logs()}"
                    )
            try:
                return api.attempt("GET", "/readyz")[0] == 200
            except OSError:
                return False

        try:
            wait_until(ready, timeout=120, what=f"/readyz of the API server at {url}")
        except TimeoutError as error:
            raise ControlPlaneError(f"{error}\n{self.logs()}") from error

    def _end_all(self) -> None:
        for part in list(self._processes):
            self.kill(part)
        for port in self._ports:
            port.free()

    def _end(self, process: subprocess.Popen[bytes], how: signal.Signals) -> None:
        process.send_signal(how)
        process.send_signal(signal.SIGCONT)
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        self._reaper.forget(process.pid)
