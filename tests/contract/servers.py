"""The two servers that the suite runs on, seen alike."""

from __future__ import annotations

import json
import ssl
import urllib.request
from pathlib import Path
from typing import Protocol

from kopf_leader.testing.apiserver import EmbeddedAPIServer
from tests.controlplane.server import RealControlPlane


class Server(Protocol):
    """What a test may ask of either server beside its HTTP API."""

    name: str
    url: str
    ca_file: Path
    admin_token: str

    def user(self, name: str) -> tuple[str, str]:
        """A user with no rights but those that RBAC objects grant: its token, and its name in RBAC."""

    def compact(self, version: int) -> None:
        """Forget the history up to this version."""

    def kubeconfig(self, path: Path, *, token: str, namespace: str) -> Path:
        """Write a kubeconfig."""


class Embedded:
    """The embedded API server, over TLS as the real one."""

    name = "embedded"

    def __init__(self, server: EmbeddedAPIServer, ca_file: Path) -> None:
        self.server = server
        self.url = server.url
        self.ca_file = ca_file
        self.admin_token = server.admin_token

    def user(self, name: str) -> tuple[str, str]:
        return self.server.add_user(name, groups=()), name

    def compact(self, version: int) -> None:
        self.server.compact(version)

    def kubeconfig(self, path: Path, *, token: str, namespace: str) -> Path:
        return self.server.write_kubeconfig(path, token=token, namespace=namespace)


class Real:
    """etcd and kube-apiserver."""

    name = "real"

    def __init__(self, plane: RealControlPlane) -> None:
        self.plane = plane
        self.url = plane.url
        self.ca_file = plane.ca_file
        self.admin_token = plane.admin_token

    def user(self, name: str) -> tuple[str, str]:
        return self.plane.user(name), self.plane.username(name)

    def compact(self, version: int) -> None:
        etcd = f"http://127.0.0.1:{self.plane._ports[0].number}"
        body = json.dumps({"revision": str(version), "physical": True}).encode()
        with urllib.request.urlopen(f"{etcd}/v3/kv/compaction", data=body, timeout=30) as answer:
            assert answer.status == 200

    def kubeconfig(self, path: Path, *, token: str, namespace: str) -> Path:
        return self.plane.kubeconfig(path, token=token, namespace=namespace)


def trust(server: Server) -> ssl.SSLContext:
    """What a client needs to verify the server."""
    return ssl.create_default_context(cafile=str(server.ca_file))
