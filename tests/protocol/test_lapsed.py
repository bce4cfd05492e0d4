"""A claim that somebody has found run out, just before a late renewal was confirmed."""

from dataclasses import replace

from kopf_leader.protocol.machine import claim_until
from kopf_leader.protocol.state import Kind, Lapsed, Reason, StopLeading
from kopf_leader.protocol.term import Claim, Term
from tests.protocol.stage import isolate, lead, stage
from tests.protocol.test_laws import sends


def test_a_term_that_was_found_over_stays_over():
    """L9: whoever was told once that the term is over is never told anything else, wherever the deadline moves."""
    now = 10.0
    term = Term(lease="ns/op", identity="me", token=7, claim=Claim(10.0), clock=lambda: now)
    assert not term.valid
    term.claim.deadline = 12.0
    assert not term.valid
    assert term.remaining() == 0.0


def test_a_claim_that_nobody_has_looked_at_may_be_moved():
    """L7: it is computed; what nobody was told has not happened."""
    now = 9.0
    term = Term(lease="ns/op", identity="me", token=7, claim=Claim(10.0), clock=lambda: now)
    assert term.valid
    now, term.claim.deadline = 11.0, 12.0
    assert term.valid
    assert term.remaining() == 1.0


def test_the_machine_ends_the_term_that_somebody_has_found_over():
    """L9: it closes as at the renew deadline, by the points of the last renewal, and begins a new term."""
    world, checker = stage()
    a = lead(world, "a")
    world.run_for(5)
    token, t0 = a.token, a.state.reign.t0
    a.feed(Lapsed(token - 1))
    assert a.open  # of an earlier term: no news
    a.feed(Lapsed(token))
    assert claim_until(a.settings, a.state) == float("-inf")
    (stop,) = [detail for _, _, what, detail in world.log if what == "action" and isinstance(detail, StopLeading)]
    assert stop.reason is Reason.RENEW_DEADLINE
    assert stop.exit_at <= t0 + a.settings.exit_after
    assert not a.open
    world.wait_for(lambda: a.open, within=3)
    assert a.token > token
    assert len(checker.terms) == 2


def test_renewals_go_on_while_it_drains_and_do_not_bring_it_back():
    """L9, L12: the Lease is renewed under what still runs; the claim stays void."""
    world, _ = stage()
    a = lead(world, "a")
    a.work = replace(a.work, finish=4.0)
    world.run_for(5)
    before, token = len(sends(world)), a.token
    a.feed(Lapsed(token))
    world.run_for(3.5)
    assert a.token == token
    assert len(sends(world)) > before
    assert a.state.last_write.kind is Kind.RENEW
    assert not a.open
    isolate(a)
