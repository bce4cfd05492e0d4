"""The chart's policy in a cluster: by Helm, over the life of a release, and what it refuses at each step."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest

from tests.chart.helm import CHART, helm
from tests.controlplane.server import wait_until
from tests.fencing.site import BINDINGS, LEASE, PATHS, POLICIES, Site

pytestmark = pytest.mark.xdist_group("real")

RECONSIDERED = 2.5
"""Seconds in which the API server notices that a policy has gone: it looks each second."""
VALUES = {
    "image": {"repository": "example.org/operator"},
    "operator": {"useImageCommand": True},
    "fullnameOverride": LEASE,
    "rbac": {"rules": [{"apiGroups": [""], "resources": ["configmaps"], "verbs": ["get", "list", "watch", "patch"]}]},
}


class Release:
    """A release in the namespace of a site, whose Lease and account are the chart's."""

    def __init__(self, site: Site, folder: Path) -> None:
        self.site, self.folder = site, folder
        self.name = f"{site.namespace}.{LEASE}-fencing"
        self.kubeconfig = site.plane.kubeconfig(folder / "kubeconfig", token=site.admin.token or "")

    def helm(self, verb: str, *arguments: str, fenced: bool | None = None) -> None:
        """Run Helm; with values where `fenced` is said."""
        if fenced is not None:
            path = self.folder / "values.json"
            path.write_text(json.dumps({**VALUES, "fencing": {"enabled": fenced}}))
            arguments = (str(CHART), "-f", str(path))
        helm(verb, LEASE, *arguments, "-n", self.site.namespace, "--kubeconfig", str(self.kubeconfig))

    def fences(self) -> bool:
        """Whether policy and binding are there; both, or none."""
        found = {self.site.admin.attempt("GET", f"{path}/{self.name}")[0] for path in (POLICIES, BINDINGS)}
        assert len(found) == 1
        return found == {200}


def test_the_life_of_a_release(site: Site, tmp_path: Path):
    """Installed without, upgraded to fencing under a leader, again, rolled back, uninstalled: each step holds."""
    for kind, name in (("Lease", LEASE), ("ServiceAccount", LEASE), ("Role", f"{LEASE}-leader-election"),
                       ("RoleBinding", f"{LEASE}-leader-election")):  # fmt: skip
        site.admin.delete(f"{PATHS[kind].format(site.namespace)}/{name}")  # the chart brings its own
    release = Release(site, tmp_path)
    release.helm("install", fenced=False)
    a, b = site.pod("a"), site.pod("b")
    site.hold("a")
    assert [site.write(api)[0] for api in (a, b)] == [200, 200]

    for _ in range(2):
        release.helm("upgrade", fenced=True)
        assert release.fences()
        site.until_refused(b)
        assert [site.write(api)[0] for api in (a, site.admin)] == [200, 200]

    release.helm("rollback", "1")
    assert not release.fences()
    site.until_allowed(b)
    time.sleep(RECONSIDERED)
    site.hold("b")
    release.helm("rollback", "2")
    site.until_refused(a)
    assert site.write(b)[0] == 200, "the fence goes by the holder of now"

    release.helm("uninstall")
    assert not release.fences()
    wait_until(lambda: site.write(site.admin)[0] == 200, what="the admin to write")
