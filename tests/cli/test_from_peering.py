"""The migration from kopf's peering: what is asked for and refused; the example is run in tests/examples."""

import shlex

import pytest

from tests.cli.test_ways import EXAMPLES

ON = ("--enable-leader-election", "--leader-election-id=x", "--leader-election-namespace=default")
FOLDER = EXAMPLES / "06-from-peering"
PEERING = ["--peering=my-peering", "--priority=10"]
ELECTION = ["--enable-leader-election", "--leader-election-id=my-operator"]
OLD = ["kopf", "run", "-A", "handlers.py", *PEERING]
MIGRATING = ["kopf_leader", "run", "-A", "handlers.py", *PEERING, *ELECTION, "--leader-election-from-peering=30s"]
NEW = ["kopf_leader", "run", "-A", "handlers.py", PEERING[1], *ELECTION]

REFUSALS = [
    # name, arguments, variables, the handlers' code, phrases of the one sentence
    ("peering and election by accident", [*ON, "--peering=p"], {}, "",
     ["migrate from one to the other with --leader-election-from-peering"]),
    ("no peering at all", [*ON, "--leader-election-from-peering=30s", "--standalone"], {}, "",
     ["--leader-election-from-peering", "--standalone", "drop one of them"]),
    ("too short", [*ON, "--peering=p", "--leader-election-from-peering=1s"], {}, "",
     ["from --leader-election-from-peering", "terminationGracePeriodSeconds", "5 s at least"]),
    ("nonsense", [*ON, "--peering=p"], {"KOPF_RUN_LEADER_ELECTION_FROM_PEERING": "soon"}, "",
     ["KOPF_RUN_LEADER_ELECTION_FROM_PEERING", "'soon'"]),
    ("in code", ["--peering=p"], {}, "import kopf_leader\nkopf_leader.enable('x', from_peering=0)", []),
]  # fmt: skip


@pytest.mark.parametrize(
    ("arguments", "variables", "code", "phrases"), [case[1:] for case in REFUSALS], ids=[case[0] for case in REFUSALS]
)
def test_refused_before_kopf_starts(invoke, handlers, arguments, variables, code, phrases):
    """An accident, a contradiction, a grace that covers nothing: exit status 2, one sentence, kopf is not started."""
    outcome = invoke("run", "-A", *arguments, handlers(code), **variables)
    assert (outcome.status, outcome.started) == (2, None)
    assert outcome.stderr.count("\n") == 1
    for phrase in phrases:
        assert phrase in outcome.stderr


@pytest.mark.parametrize("way", ["flag", "environment", "code"])
def test_three_ways_to_ask_for_it(invoke, handlers, way):
    """Said by flag, environment or code, peering and election go together, and kopf gets its own flags."""
    arguments = ["--leader-election-from-peering=1m"] if way == "flag" else []
    variables = {"KOPF_RUN_LEADER_ELECTION_FROM_PEERING": "1m"} if way == "environment" else {}
    code = "import kopf_leader\nkopf_leader.enable('x', from_peering='1m')" if way == "code" else ""
    outcome = invoke("run", "-A", *ON, "--peering=p", "--priority=3", *arguments, handlers(code), **variables)
    assert outcome.status == 0
    assert outcome.options.from_peering == 60
    assert (outcome.started["peering_name"], outcome.started["priority"]) == ("p", 3)


def test_without_the_election_it_means_nothing(invoke, handlers):
    """With the election switched off, peering is kopf's own matter again: the way back is one flag."""
    arguments = ["--leader-election-from-peering=30s", "--peering=p", "--no-enable-leader-election"]
    assert invoke("run", "-A", *arguments, handlers()).status == 0


def test_the_readme_shows_what_is_run_here():
    """Nothing shown is unrun."""
    shown = (FOLDER / "README.md").read_text()
    for command in (OLD, MIGRATING, NEW):
        assert shlex.join(command).replace("kopf_leader", "kopf-leader") in shown
