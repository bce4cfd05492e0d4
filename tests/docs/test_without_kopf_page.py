"""docs/without-kopf.md: each block of code is run, and the arguments are those that there are."""

import re
import signal
from pathlib import Path

import pytest

from kopf_leader.elector.candidacy import Candidacy
from kopf_leader.testing.apiserver import EmbeddedAPIServer
from kopf_leader.testing.processes import ReplicaSet

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "without-kopf.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```python\n(.*?)^```", PAGE, re.DOTALL | re.MULTILINE)


@pytest.mark.parametrize("code", BLOCKS, ids=[code.split("def ")[0].split()[-1] for code in BLOCKS])
def test_each_block_leads_and_releases(code, tmp_path):
    """Each block is a whole script: it takes the Lease, and gives it back when it is interrupted."""
    (tmp_path / "script.py").write_text(code)
    with EmbeddedAPIServer().in_thread() as server:
        server.create("leases", {"metadata": {"name": "my-job"}, "spec": {}}, namespace="default")

        def spec():
            return server.objects("leases", namespace="default")[0]["spec"]

        command = ["python", "script.py"]
        with ReplicaSet(command, tmp_path / "r", environment={"PYTHONPATH": str(ROOT)}, cwd=tmp_path) as replicas:
            one = replicas.start("a", kubeconfig=server.write_kubeconfig(tmp_path / "kubeconfig"))
            replicas.wait_until(lambda: spec().get("holderIdentity"), what="a leader")
            one._signal(signal.SIGINT)
            one.wait()
        assert spec().items() >= {"holderIdentity": "", "leaseDurationSeconds": 1}.items()
        assert "KeyboardInterrupt" in one.text()
        assert "Error" not in one.text().replace("CancelledError", "")


def test_there_are_blocks():
    """The page shows code for each form."""
    assert len(BLOCKS) == 3


def test_every_argument_is_on_the_page():
    """The table of arguments is complete."""
    rows = "\n".join(line for line in PAGE.splitlines() if line.startswith("| `"))
    for argument in Candidacy.__annotations__:
        assert f"`{argument}`" in rows
