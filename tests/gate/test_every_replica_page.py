"""docs/every-replica.md: its code runs, and its sentences are those that are said."""

import re
from pathlib import Path

import kopf
import pytest

import kopf_leader
from kopf_leader import SettingsError
from kopf_leader.gate.lanes import refuse
from tests.gate.operators import wait_for

PAGE = (Path(__file__).parents[2] / "docs" / "every-replica.md").read_text(encoding="utf-8")
[CODE] = re.findall(r"```python\n(.+?)```", PAGE, re.DOTALL)
SENTENCES = [text.strip() for text in re.findall(r"```text\n(.+?)```", PAGE, re.DOTALL)]


@pytest.fixture
def run(request):
    """Run the page's code with this registry."""
    before = kopf.get_default_registry()
    request.addfinalizer(lambda: kopf.set_default_registry(before))

    def run(registry):
        kopf.set_default_registry(registry)
        module = {"__name__": "page"}
        exec(compile(CODE, "every-replica.md", "exec"), module)
        return module

    return run


def test_the_pages_code_does_what_the_page_says(operator, cluster, run):
    """The page's marked handlers run on a standby, through a term and after it; its other handler on the leader."""
    cluster.create("a", x=1, y=2)
    op = operator()
    page = run(op.registry)
    op.start()
    wait_for(lambda: page["cache"] == {"a": {"x": 1, "y": 2}} and page["sizes"] == {"a": 2}, "the standby's cache")
    assert "status" not in cluster.get("a")
    op.lead()
    wait_for(lambda: cluster.get("a").get("status", {}).get("created"), "the leader's handler")
    op.election.stop()
    assert op.election.released.wait(60)
    cluster.create("b", x=3)
    wait_for(lambda: page["cache"].get("b") == {"x": 3}, "the other object")
    cluster.delete("b")
    wait_for(lambda: "b" not in page["cache"], "the deletion")
    op.stop()
    assert op.failure is None


def test_the_pages_sentences_are_those_that_are_said(operator, cluster, run, caplog):
    """The refusal and the warning on the page are said word by word."""
    refusal, warning = SENTENCES
    page = run(kopf.OperatorRegistry())
    registry = kopf.OperatorRegistry()
    kopf.on.create("widgets", registry=registry)(kopf_leader.every_replica(page["create"]))
    with pytest.raises(SettingsError) as caught:
        refuse(registry)
    assert str(caught.value) == refusal

    cluster.create("a")
    op = operator()

    @kopf.on.event("widgets", id="remember", **op.on)
    @kopf_leader.every_replica
    def remember(patch, **_):
        patch.status["x"] = 1
        op.count("remembered")

    op.start()
    wait_for(lambda: op.counted["remembered"], "the handler")
    op.stop()
    assert [r.getMessage() for r in caplog.records if "is dropped" in r.getMessage()] == [warning]
