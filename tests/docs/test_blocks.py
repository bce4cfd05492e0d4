"""Every block of code on every page is run by a test, or rendered, or parsed by what it is written for."""

from pathlib import Path

import kopf
import pytest

import kopf_leader
from kopf_leader.protocol.term import Claim, Term
from kopf_leader.testing.apiserver import EmbeddedAPIServer
from kopf_leader.testing.processes import ReplicaSet
from tests.docs import fences
from tests.docs.fences import ROOT, Block

BLOCKS = [*fences.blocks()]
RUN_BY = {
    "docs/fencing.md": "docs/test_blocks.py",
    "docs/every-replica.md": "gate/test_every_replica_page.py",
    "docs/hooks.md": "operations/test_hooks.py",
    "docs/several-operators.md": "docs/test_blocks.py",
    "docs/tutorial.md": "docs/test_tutorial.py",
    "docs/webhooks.md": "docs/test_blocks.py",
    "docs/without-kopf.md": "docs/test_without_kopf_page.py",
}
"""Which test runs the Python of which page; examples are files, and their READMEs have none."""
ELSEWHERE = {"sql": "examples/test_fencing.py"}


def of(*kinds: str) -> list[Block]:
    """The blocks of these kinds."""
    return [block for block in BLOCKS if block.kind in kinds]


def code(page: str) -> str:
    """The Python of a page."""
    return "\n".join(block.text for block in of("python") if block.page == ROOT / page)


def test_each_kind_is_checked():
    """A block in a language that nobody checks is a failure, and one in none."""
    assert {block.kind for block in BLOCKS} == {"python", "console", "diff", "yaml", "promql", "text", *ELSEWHERE}
    for kind, test in ELSEWHERE.items():
        assert all(block.page.parent.name in (ROOT / "tests" / test).read_text() for block in of(kind))


def test_each_page_with_python_is_run():
    """Each page with Python has a test that runs it, and that test names the page."""
    assert {str(block.page.relative_to(ROOT)) for block in of("python")} == set(RUN_BY)
    for page, test in RUN_BY.items():
        assert Path(page).name in (ROOT / "tests" / test).read_text(encoding="utf-8")


@pytest.mark.parametrize("block", of("console"), ids=str)
def test_every_command_exists(block):
    """Each command is taken with the options and arguments that are shown."""
    for line in fences.commands(block.text):
        fences.check_command(line)


@pytest.mark.parametrize("block", of("diff"), ids=str)
def test_every_change_of_a_command_is_a_command(block):
    """What a diff puts in the place of a command is taken as it stands."""
    for line in fences.added(block.text):
        fences.check_command(line)


@pytest.mark.parametrize("block", of("yaml"), ids=str)
def test_all_yaml_is_valid(block):
    """Objects by Kubernetes' schemas, values by the chart's, queries by the metrics that there are."""
    fences.check_yaml(block.text)


@pytest.mark.parametrize("block", of("promql"), ids=str)
def test_every_query_asks_for_metrics_that_exist(block):
    """A metric of ours, under the name that Prometheus has."""
    fences.check_query(block.text)


@pytest.mark.parametrize("block", of("text"), ids=str)
def test_every_quoted_line_is_said(block):
    """Word by word."""
    fences.check_text(block.text)


@pytest.mark.parametrize(
    ("check", "bad"),
    [
        (fences.check_command, "kopf-leader status my-operator --no-such-flag"),
        (fences.check_command, "kopf-leader vote my-operator"),
        (fences.check_command, "kopf run --leader-election-id=x handlers.py"),
        (fences.check_command, "pip install 'kopf-leader[everything]'"),
        (fences.check_command, "python -m kopf_leader.nothing"),
        (fences.check_yaml, "replicas: 2"),
        (fences.check_yaml, "leaderElection: {lease: 3s}"),
        (fences.check_yaml, "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: a}\nspec: {replica: 2}"),
        (fences.check_query, "kopf_leader_votes_total > 0"),
    ],
)
def test_the_checks_can_fail(check, bad):
    """What does not exist is noticed."""
    with pytest.raises(Exception, match=r"\S"):
        check(bad)


def run(page):
    """Run a page's code; the names that it has made, and the registry that its handlers are in."""
    before = kopf.get_default_registry()
    kopf.set_default_registry(registry := kopf.OperatorRegistry())
    try:
        names: dict[str, object] = {"__name__": "page"}
        exec(compile(code(page), page, "exec"), names)
    finally:
        kopf.set_default_registry(before)
    return names, registry


def test_the_annotation_of_the_page(monkeypatch):
    """fencing.md: its handler is taken by kopf, and leaves the token on the object."""
    names, registry = run("docs/fencing.md")
    assert registry._changing.get_all_handlers()
    term = Term(lease="a/b", identity="me", token=7, claim=Claim(), clock=lambda: 0.0)
    monkeypatch.setattr(kopf_leader, "current_term", lambda: term)
    names["handle"](patch=(patch := kopf.Patch()), spec={"size": 1})
    assert patch["metadata"]["annotations"]["kopf-leader/term"] == "7"


def test_the_webhook_of_the_page():
    """webhooks.md: its handlers are taken by kopf, and the webhook refuses what the index has."""
    names, registry = run("docs/webhooks.md")
    settings = kopf.OperatorSettings()
    names["serve_webhooks"](settings=settings)
    assert settings.admission.server.port == 9443
    assert registry._webhooks.get_all_handlers()
    names["unique"](spec={"field": "b"}, owners={"a": "one"})
    with pytest.raises(kopf.AdmissionError):
        names["unique"](spec={"field": "a"}, owners={"a": "one"})


def test_the_embedded_operator_of_the_page(tmp_path):
    """several-operators.md: the operator that is embedded takes the Lease, and handles."""
    (tmp_path / "script.py").write_text(code("docs/several-operators.md"))
    with EmbeddedAPIServer().in_thread() as server:
        server.create("leases", {"metadata": {"name": "my-operator"}, "spec": {}}, namespace="default")
        server.create("configmaps", {"metadata": {"name": "one"}}, namespace="default")

        def handled() -> bool:
            (one,) = server.objects("configmaps", namespace="default")
            return "kopf.zalando.org/last-handled-configuration" in one["metadata"].get("annotations", {})

        command = ["python", "script.py"]
        with ReplicaSet(command, tmp_path / "r", environment={"PYTHONPATH": str(ROOT)}, cwd=tmp_path) as replicas:
            replicas.start("a", kubeconfig=server.write_kubeconfig(tmp_path / "kubeconfig"))
            replicas.wait_until(handled, what="the object to be handled")
        assert server.objects("leases", namespace="default")[0]["spec"]["leaseTransitions"] == 1
