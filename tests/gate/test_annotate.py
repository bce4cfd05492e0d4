"""`Term.annotate()`: an object tells which term has written it, and nobody takes that for a change."""

import kopf
import pytest

from kopf_leader import current_term
from kopf_leader.protocol.term import Claim, Term
from tests.gate.operators import PLURAL, wait_for

ANNOTATION = "kopf-leader/term"
CHANGE = ("update", ("spec", "term"))


@pytest.mark.parametrize(
    "body", [{}, {"metadata": None}, {"metadata": {"name": "a", "annotations": None}}, kopf.Patch()]
)
def test_patches_and_bodies_are_annotated(body):
    """Whatever is there already stays; a null counts as absent."""
    before = dict(body.get("metadata") or {})
    term = Term(lease="a/b", identity="me", token=7, claim=Claim(), clock=lambda: 0.0)
    term.annotate(body)
    term.annotate(body)
    assert body["metadata"]["annotations"][ANNOTATION] == "7"
    assert {**body["metadata"], "annotations": None} == {**before, "annotations": None}


def test_the_annotation_is_no_change_to_handle(cluster, operator):
    """Each term leaves its token on what it has handled, and no handler of changes is called for that."""
    op = operator()

    @kopf.on.create(PLURAL, **op.on)
    @kopf.on.resume(PLURAL, **op.on)
    def annotate(patch, **_):
        op.count("annotate")
        current_term().annotate(patch)

    @kopf.on.update(PLURAL, **op.on)
    def update(diff, **_):
        op.count(("update", *(field for _, field, _, _ in diff)))

    def annotated(token: int) -> bool:
        return cluster.get("one")["metadata"].get("annotations", {}).get(ANNOTATION) == str(token)

    op.start()
    for term in (1, 2):
        op.lead()
        if term == 1:
            cluster.create("one")
        wait_for(lambda term=term: annotated(term), "the token on the object")
        cluster.edit("one", term=term)  # a real change, behind the one that is none
        wait_for(lambda term=term: op.counted[CHANGE] == term, "the change to be handled")
        op.election.stop()
        wait_for(op.election.released.is_set, "the end of the term")
    assert set(op.counted) == {"annotate", CHANGE}
    op.stop()
    assert op.failure is None
