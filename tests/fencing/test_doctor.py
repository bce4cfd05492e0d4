"""`kopf-leader doctor` and fencing: would the API server know this process for the holder?"""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from kopf_leader.cli.checkup import latency
from kopf_leader.cli.main import main
from tests.fencing.site import LEASE, Site

pytestmark = pytest.mark.xdist_group("real")


def check(site: Site, folder: Path, token: str, what: str = "token") -> dict[str, str]:
    """What it says of this, by this token."""
    kubeconfig = site.plane.kubeconfig(folder / "kubeconfig", token=token, namespace=site.namespace)
    done = CliRunner().invoke(main, ["doctor", LEASE, "-o", "json", "--observe=100ms", f"--kubeconfig={kubeconfig}"])
    return next((each for each in json.loads(done.stdout)["checks"] if each["check"] == what), {})


def test_the_token_is_looked_at(site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Bound to this pod: well. The identity begins with another name, or it is bound to none: worth a look."""
    monkeypatch.setattr(latency, "SAMPLES", 3)
    bound = site.pod("a").token or ""
    monkeypatch.setenv("POD_NAME", "a")
    assert check(site, tmp_path, bound)["result"] == "ok"
    monkeypatch.setenv("POD_NAME", "b")
    found = check(site, tmp_path, bound)
    assert found["result"] == "warn"
    assert "set POD_NAME to a" in found["change"]
    found = check(site, tmp_path, site.token(None))
    assert found["result"] == "warn"
    assert "bound to no pod" in found["found"]


def test_the_policy_is_looked_at(site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """To an admin it says by which Lease the fence goes; one by another Lease, which nobody holds, is a mistake."""
    monkeypatch.setattr(latency, "SAMPLES", 3)
    admin = site.admin.token or ""

    def found() -> tuple[str, str]:
        said = check(site, tmp_path, admin, "fence")
        return said["result"], said["found"]

    assert check(site, tmp_path, admin, "fence") == {}, "there is none"
    site.fence_wrongly()
    result, text = found()
    assert result == "warn"
    assert f"{site.wrong_policy} goes by the Lease {site.namespace}/other, which nobody has ever held" in text
    site.fence()
    assert found() == ("ok", f"the policy {site.policy} goes by this Lease")
