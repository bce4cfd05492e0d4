"""docs/proof.md: what it says of the tests is what the tests are."""

from tests.docs import proof
from tests.protocol.walk import recorded
from tests.protocol.walk.flaws import flaws
from tests.protocol.walk.plans import BY_NAME, PLANS
from tests.protocol.walk.search import Walk
from tests.simulation.mutants import MUTANTS


def test_the_page_is_what_the_code_says():
    """The page is written by `python -m tests.docs.proof`, and nobody has changed the code, or the page, since."""
    page = proof.PAGE.read_text(encoding="utf-8")
    assert page == proof.written(page), "python -m tests.docs.proof writes it"


def test_the_blocks_are_not_empty():
    """The claim, what is not claimed: as they stand elsewhere, and they do stand there."""
    assert proof.claim().startswith("> A replica starts no handler later than")
    assert proof.not_claimed().startswith("- A process that the operating system freezes")
    assert list(proof.in_short()) == proof.LAWS


def test_every_law_has_a_test_and_a_mutant():
    """Each law is named by a test, and a mutant proves one alive, or the page says why there is none."""
    every = list(proof.tests())
    for law in proof.LAWS:
        assert [test for test in every if test.name and law in proof.NAMED.findall(test.doc)], law
        assert (law in proof.BREAKS.values()) != (law in proof.OTHERWISE), law


def test_every_mutant_is_on_the_page():
    """No mutant is left out, and each has somebody who catches it."""
    assert set(proof.BREAKS) == {*flaws(), *MUTANTS}
    caught = proof.catchers(list(proof.tests()))
    assert all(caught[flaw] for flaw in proof.BREAKS)
    assert set(proof.by_walks()) == set(proof.walk.CAUGHT), "python -m tests.protocol.walk.proof writes the table"


def test_the_tests_that_are_named_as_catchers_exist():
    """Where a mutant's catcher is named in words, the test of that name exists, and so does what L18's row names."""
    every = {test.name for test in proof.tests()}
    words = " ".join([*proof.walk.ELSEWHERE.values(), *proof.OTHERWISE.values()])
    named = {word.strip("`") for word in words.split() if word.startswith("`test_") and not word.endswith(".py`")}
    assert {name.rstrip("`,;:") for name in named if ".py" not in name} <= every


def test_the_recorded_walks_are_those_of_now():
    """The record has the plans of now, none is broken, and a walk that is walked again comes to the same."""
    page = recorded.PAGE.read_text(encoding="utf-8")
    rows = [line for line in page.splitlines() if line.startswith("| ") and not line.startswith("| plan ")]
    assert [row.split(" | ")[0].removeprefix("| ") for row in rows] == [plan.name for plan in PLANS]
    assert "BROKEN" not in page
    assert recorded.row(Walk(BY_NAME["everything"]).run()) in rows
