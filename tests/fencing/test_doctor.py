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


def token_check(site: Site, folder: Path, token: str) -> dict[str, str]:
    """What it says of the token, by this token."""
    kubeconfig = site.plane.kubeconfig(folder / "kubeconfig", token=token, namespace=site.namespace)
    done = CliRunner().invoke(main, ["doctor", LEASE, "-o", "json", "--observe=100ms", f"--kubeconfig={kubeconfig}"])
    (found,) = (each for each in json.loads(done.stdout)["checks"] if each["check"] == "token")
    return found


def test_the_token_is_looked_at(site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Bound to this pod: well. The identity begins with another name, or it is bound to none: worth a look."""
    monkeypatch.setattr(latency, "SAMPLES", 3)
    bound = site.pod("a").token or ""
    monkeypatch.setenv("POD_NAME", "a")
    assert token_check(site, tmp_path, bound)["result"] == "ok"
    monkeypatch.setenv("POD_NAME", "b")
    found = token_check(site, tmp_path, bound)
    assert found["result"] == "warn"
    assert "set POD_NAME to a" in found["change"]
    found = token_check(site, tmp_path, site.token(None))
    assert found["result"] == "warn"
    assert "bound to no pod" in found["found"]
