"""`kopf-leader run`: all of `kopf run`, the election's flags, and every refusal before kopf starts."""

import click
import kopf.cli
import pytest

from kopf_leader.cli import run as run_module
from kopf_leader.errors import UnsupportedKopf

ON = ("--enable-leader-election", "--leader-election-id", "my-operator")
ENABLE = "import kopf_leader\nkopf_leader.enable({})\n"


def test_every_option_of_kopf_run_is_here():
    """All flags of `kopf run` are kept: the very parameters of the installed kopf."""
    theirs = {option for parameter in kopf.cli.run.params for option in parameter.opts}
    ours = {option for parameter in run_module.run.params for option in parameter.opts}
    assert theirs
    assert theirs <= ours


def test_help_shows_all_options(invoke):
    """`kopf-leader run --help` lists kopf's options and ours, with the variables."""
    shown = invoke("run", "--help").result.stdout
    for parameter in run_module.run.params:
        if isinstance(parameter, click.Option):
            assert max(parameter.opts, key=len) in shown
    assert "KOPF_RUN_ENABLE_LEADER_ELECTION" in shown


def test_without_the_flag_it_is_plain_kopf(invoke, handlers):
    """L19: without the flag the gate is there all the same, and the election is off."""
    outcome = invoke("run", "-A", "--verbose", "-L", "http://127.0.0.1:0/healthz", handlers())
    assert outcome.status == 0, outcome.result.output
    assert outcome.started["clusterwide"] is True
    assert outcome.started["liveness_endpoint"] == "http://127.0.0.1:0/healthz"
    assert outcome.options.enabled is False


def test_all_flags_are_taken(invoke, handlers):
    """Every flag of the election reaches the options; durations take 15, 15s, 1m30s."""
    outcome = invoke(
        "run", *ON, "-n", "default",
        "--leader-election-namespace=operators", "--leader-election-lease-duration=1m30s",
        "--leader-election-renew-deadline=60s", "--leader-election-retry-period=5",
        "--leader-election-identity=me", "--leader-election-drain-timeout=3s",
        "--leader-election-stuck-timeout=10m", "--leader-election-on-lost=exit", handlers(),
    )  # fmt: skip
    assert outcome.status == 0, outcome.result.output
    options = outcome.options
    assert options.enabled
    assert (options.id, options.namespace, options.identity) == ("my-operator", "operators", "me")
    assert (options.lease_duration, options.renew_deadline, options.retry_period) == (90, 60, 5)
    assert (options.drain_timeout, options.stuck_timeout, options.on_lost) == (3, 600, "exit")
    assert outcome.started["namespaces"] == ("default",)


def test_each_flag_is_a_variable(invoke, handlers):
    """Kopf's flags and ours are read from KOPF_RUN_… alike."""
    outcome = invoke(
        "run",
        handlers(),
        KOPF_RUN_ENABLE_LEADER_ELECTION="true",
        KOPF_RUN_LEADER_ELECTION_ID="my-operator",
        KOPF_RUN_LEADER_ELECTION_LEASE_DURATION="20s",
        KOPF_RUN_NAMESPACES="one two",
    )
    assert outcome.status == 0, outcome.result.output
    assert (outcome.options.enabled, outcome.options.id, outcome.options.lease_duration) == (True, "my-operator", 20)
    assert outcome.started["namespaces"] == ("one", "two")


def test_flags_win_over_code_per_value(invoke, handlers):
    """Handlers' modules that call `enable()` during import: the flags win, value by value."""
    code = ENABLE.format("'from-code', lease_duration=30, renew_deadline=20")
    options = invoke("run", "-A", "--leader-election-lease-duration=40", handlers(code)).options
    assert options.enabled
    assert (options.id, options.lease_duration, options.renew_deadline) == ("from-code", 40, 20)


def test_the_flag_switches_off_what_the_code_enables(invoke, handlers):
    """`enable()` in code and `--no-enable-leader-election` on the command line: off."""
    outcome = invoke("run", "-A", "--no-enable-leader-election", handlers(ENABLE.format("'from-code'")))
    assert outcome.status == 0, outcome.result.output
    assert outcome.options.enabled is False
    assert outcome.options.source("enabled") == "--no-enable-leader-election"


def test_the_variable_switches_off_what_the_code_enables(invoke, handlers):
    """The environment wins over the code."""
    outcome = invoke("run", "-A", handlers(ENABLE.format("'x'")), KOPF_RUN_ENABLE_LEADER_ELECTION="false")
    assert outcome.options.enabled is False


def test_enabled_by_variable_off_by_code(invoke, handlers):
    """`enable(enabled=False)` is the code's word; the environment may say otherwise."""
    handlers_ = handlers(ENABLE.format("'x', enabled=False"))
    assert invoke("run", "-A", handlers_).options.enabled is False
    assert invoke("run", "-A", handlers_, KOPF_RUN_ENABLE_LEADER_ELECTION="1").options.enabled is True


def test_auto_in_the_variable_goes_on_working(invoke, handlers):
    """A leftover KOPF_RUN_MODULES=kopf_leader.auto enables `kopf-leader run`, too."""
    outcome = invoke("run", "-A", handlers(), KOPF_RUN_MODULES="kopf_leader.auto", KOPF_RUN_LEADER_ELECTION_ID="x")
    assert outcome.options.enabled is True


REFUSALS = [
    # (id of the case, arguments after `run -A`, variables, code, phrases of the sentence)
    ("unreadable duration", [*ON, "--leader-election-lease-duration=soon"], {}, "",
     ["lease duration", "'soon'", "--leader-election-lease-duration"]),
    ("negative duration", [*ON, "--leader-election-lease-duration=-1"], {}, "", ["'-1'"]),
    ("L18: deadline below lease", [*ON, "--leader-election-lease-duration=5s"], {}, "", ["not below", "by default"]),
    ("L18: deadline above period", [*ON, "--leader-election-retry-period=9s"], {}, "", ["1.2"]),
    ("L18 in a variable", [*ON], {"KOPF_RUN_LEADER_ELECTION_LEASE_DURATION": "5"}, "",
     ["KOPF_RUN_LEADER_ELECTION_LEASE_DURATION"]),
    ("L18 in code", [], {}, ENABLE.format("'x', lease_duration=-1"), ["lease duration is -1", "enable("]),
    ("empty id", ["--enable-leader-election", "--leader-election-id="], {}, "", ["id is empty"]),
    ("invalid id", ["--enable-leader-election", "--leader-election-id=My_Op"], {}, "", ["'My_Op'", "DNS-1123"]),
    ("no id", ["--enable-leader-election"], {}, "", ["has no id", "--leader-election-id"]),
    ("no id, by variable", [], {"KOPF_RUN_ENABLE_LEADER_ELECTION": "1"}, "", ["has no id"]),
    ("bad boolean", [], {"KOPF_RUN_ENABLE_LEADER_ELECTION": "maybe"}, "", ["'maybe'", "true or false"]),
    ("unknown value", [*ON, "--leader-election-on-lost=panic"], {}, "", ["'panic'", "'standby' or 'exit'"]),
    ("bad namespace", [*ON, "--leader-election-namespace=a/b"], {}, "", ["'a/b'"]),
    ("bad identity", [*ON, "--leader-election-identity=a b"], {}, "", ["'a b'"]),
    ("--peering", [*ON, "--peering=p"], {}, "",
     ["Peering (--peering)", "drop --peering, or drop --enable-leader-election"]),
    ("-P", [*ON, "-P", "p"], {}, "", ["Peering (--peering)"]),
    ("KOPF_RUN_PEERING", [*ON], {"KOPF_RUN_PEERING": "p"}, "", ["Peering (KOPF_RUN_PEERING)"]),
    ("peering and enable()", ["--peering=p"], {}, ENABLE.format("'x'"),
     ["--peering", "enable()", "KOPF_RUN_ENABLE_LEADER_ELECTION=false"]),
    ("two ids", [], {}, ENABLE.format("'x'") + ENABLE.format("'y'"), ["twice", "'x' and 'y'"]),
    ("unknown client", [], {}, ENABLE.format("'x', client='carrier-pigeon'"), ["'carrier-pigeon'"]),
]  # fmt: skip


@pytest.mark.parametrize(
    ("arguments", "variables", "code", "phrases"), [case[1:] for case in REFUSALS], ids=[case[0] for case in REFUSALS]
)
def test_refused_before_kopf_starts(invoke, handlers, arguments, variables, code, phrases):
    """What gets what error: refused before kopf starts, exit status 2, one sentence on stderr, no traceback."""
    outcome = invoke("run", "-A", *arguments, handlers(code), **variables)
    assert outcome.started is None
    assert outcome.status == 2
    assert outcome.stderr.startswith("Error: ")
    assert outcome.stderr.count("\n") == 1
    for phrase in phrases:
        assert phrase in outcome.stderr


def test_an_unknown_flag_is_refused(invoke, handlers):
    """An unknown flag is refused as click refuses it, with exit status 2."""
    outcome = invoke("run", "-A", "--leader-election-colour=blue", handlers())
    assert (outcome.status, outcome.started) == (2, None)
    assert "--leader-election-colour" in outcome.stderr


def test_no_namespace_to_be_found(invoke, handlers, monkeypatch, tmp_path):
    """No namespace: refused with a sentence that says what to pass; with the flag it starts."""
    nowhere = {"KUBECONFIG": str(tmp_path / "absent")}
    outcome = invoke("run", "-A", *ON, handlers(), **nowhere)
    assert (outcome.status, outcome.started) == (2, None)
    assert "--leader-election-namespace" in outcome.stderr
    assert outcome.stderr.count("\n") == 1
    assert invoke("run", "-A", *ON, "--leader-election-namespace=here", handlers(), **nowhere).status == 0


def test_standalone_and_election_go_together(invoke, handlers):
    """`--standalone` is fine: it is what the election wants."""
    assert invoke("run", "-A", *ON, "--standalone", handlers()).status == 0


def test_peering_without_election_is_kopfs_own_matter(invoke, handlers):
    """Without the election, peering is passed on."""
    outcome = invoke("run", "-A", "--peering=p", "--priority=3", handlers())
    assert outcome.status == 0
    assert (outcome.started["peering_name"], outcome.started["priority"]) == ("p", 3)


def test_a_kopf_without_the_seam_is_refused(invoke, handlers, monkeypatch):
    """A kopf release whose seam is not there: refused before kopf starts, in one sentence."""

    def attach(options):
        raise UnsupportedKopf("The installed kopf has no such place.")

    monkeypatch.setattr("kopf_leader.gate.enable._attach", attach)
    outcome = invoke("run", "-A", *ON, handlers())
    assert (outcome.status, outcome.started) == (2, None)
    assert outcome.stderr == "Error: The installed kopf has no such place.\n"


def test_handlers_that_fail_to_load_fail_as_with_kopf(invoke, handlers):
    """Errors of the handlers' own code are not ours to shorten."""
    outcome = invoke("run", "-A", *ON, handlers("1/0"))
    assert outcome.status == 1
    assert isinstance(outcome.result.exception, ZeroDivisionError)
