"""Hooks in whole processes, on both API servers: the code of docs/hooks.md, and what may go wrong with it."""

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.operations.looks import Place, wait_for
from tests.operations.test_process import ELECTION, Operator

PAGE = Path(__file__).parents[2] / "docs" / "hooks.md"
EXAMPLE = "\n".join(re.findall(r"^```python\n(.*?)^```", PAGE.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL))
HELD = """
import os, time
from pathlib import Path

def hold(what):
    folder = Path(os.environ["HOLD"])
    (folder / f"in {what}").touch()
    while (folder / what).exists():
        time.sleep(0.02)

@kopf_leader.on.started_leading()
def slow_start(**_):
    hold("start")

@kopf_leader.on.stopped_leading()
def slow_end(**_):
    hold("end")
"""
BROKEN = """
import os

@kopf_leader.on.started_leading(retries=2, backoff=0.1)
def connect(**_):
    if os.environ["POD_NAME"] == "one":
        raise OSError("no database")
"""


@pytest.fixture
def operator(place: Place) -> Iterator[Callable[..., Operator]]:
    """Start an operator with the page's code and some more; kill it after the test."""
    made: list[Operator] = []

    def make(name: str, *arguments: str, more: str = "", held: tuple[str, ...] = ()) -> Operator:
        made.append(Operator(place, name, *arguments))
        (place.folder / "handlers.py").write_text(EXAMPLE + more)
        for what in held:
            (made[-1].hold / what).touch()
        made[-1].start()
        return made[-1]

    yield make
    for one in made:
        one.process.kill()
        one.process.wait()


@pytest.fixture
def lease(place: Place) -> Callable[[], str]:
    """Create the Lease, so that it is taken at once; ask for its holder by this."""
    path = f"/apis/coordination.k8s.io/v1/namespaces/{place.namespace}/leases"
    place.admin.create(path, {"metadata": {"name": "op"}})
    place.admin.create(f"/api/v1/namespaces/{place.namespace}/configmaps", {"metadata": {"name": "mine"}})

    def holder() -> str:
        return str(place.admin.get(f"{path}/op")["spec"].get("holderIdentity", "")).rpartition("_")[0]

    return holder


def messages(one: Operator) -> list[str]:
    return [line["message"] for line in one.lines]


def seen(one: Operator, pattern: str) -> Any:
    """The first line of its log that is like this, or None."""
    return next((found for line in messages(one) if (found := re.search(pattern, line))), None)


def test_from_preparing_to_concluding(operator: Callable[..., Operator], lease: Callable[[], str]) -> None:
    """The page's code: prepared before the first handler, concluded behind the last and before the release."""
    one = operator("one", *ELECTION, more=HELD, held=("start", "end"))
    wait_for((one.hold / "in start").exists, "the hook before the first handler")
    assert lease() == "one"
    assert not seen(one, "Handling")
    (one.hold / "start").unlink()
    wait_for(lambda: seen(one, "Handling mine in the term"), "the first handler")
    first = int(seen(one, r"Prepared for the term (\d+)\.")[1])
    assert f"Handling mine in the term {first}." in messages(one)

    two = operator("two", *ELECTION, more=HELD)
    wait_for(lambda: seen(two, r"The leader is one_"), "the leader to be announced")
    one.process.terminate()
    wait_for((one.hold / "in end").exists, "the hook behind the last handler")
    assert lease() == "one"
    assert not seen(two, "Prepared")
    (one.hold / "end").unlink()
    assert one.wait() == 0
    wait_for(lambda: seen(two, "Handling mine in the term"), "the next leader's handler")
    second = int(seen(two, r"Prepared for the term (\d+)\.")[1])
    assert second > first
    assert f"Handling mine in the term {second}." in messages(two)
    two.process.terminate()
    assert two.wait() == 0
    for operator_, token in ((one, first), (two, second)):
        assert f"Concluded the term {token}: leaving." in messages(operator_)
        assert "The leader is this process." in messages(operator_)
        assert not [line for line in operator_.lines if line["severity"] not in ("info", "debug")]
        assert "Traceback" not in operator_.log.read_text()


def test_one_that_is_not_ready_lets_another_one_lead(
    operator: Callable[..., Operator], lease: Callable[[], str]
) -> None:
    """A hook that has failed for good gives the Lease back, and another replica leads; this one stands by."""
    one = operator("one", *ELECTION, more=BROKEN)
    wait_for(lambda: seen(one, "Not ready to lead, and giving the Lease back"), "the failure")
    two = operator("two", *ELECTION, more=BROKEN)
    wait_for(lambda: seen(two, "Handling mine in the term"), "the other one to lead")
    assert lease() == "two"
    one.until("/readyz", 200)
    assert not seen(one, "Handling")
    assert seen(one, r"Concluded the term \d+: resigned\.")
    wait_for(lambda: seen(one, "The leader is two_"), "the other one to be announced")
    for each in (one, two):
        each.process.terminate()
        assert each.wait() == 0


def test_without_the_election(operator: Callable[..., Operator]) -> None:
    """The page's code with the election off: on the same path (L19)."""
    one = operator("one")
    wait_for(lambda: seen(one, r"Prepared for the term 0\."), "the hook")
    wait_for(lambda: seen(one, r"The leader is this process\."), "the announcement")
    one.process.terminate()
    assert one.wait() == 0
    assert seen(one, r"Concluded the term 0: leaving\.")
