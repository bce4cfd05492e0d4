"""`--priority N` and `--dev`, as kopf's peering has them: with the election on, they are the election's."""

import pytest
from kopf.cli import main as kopf_main

ON = ("--enable-leader-election", "--leader-election-id", "my-operator")
ENABLE = "import kopf_leader\nkopf_leader.enable('x', priority={})\n"


@pytest.mark.parametrize(
    ("arguments", "variables", "code", "priority", "source"),
    [
        ([], {}, "", 0, "the default"),
        (["--priority=5"], {}, "", 5, "--priority"),
        (["-p", "-5"], {}, "", -5, "--priority"),
        (["--dev"], {}, "", 666, "--dev"),
        (["--dev", "--priority=5"], {}, "", 666, "--dev"),  # as in kopf
        ([], {"KOPF_RUN_PRIORITY": "7"}, "", 7, "KOPF_RUN_PRIORITY"),
        (["--priority=5"], {"KOPF_RUN_PRIORITY": "7"}, "", 5, "--priority"),
        ([], {}, ENABLE.format(8), 8, "enable(priority=…)"),
        (["--dev"], {}, ENABLE.format(8), 666, "--dev"),
        ([], {"KOPF_RUN_PRIORITY": "7"}, ENABLE.format(8), 7, "KOPF_RUN_PRIORITY"),
    ],
)
def test_where_the_priority_comes_from(invoke, handlers, arguments, variables, code, priority, source):
    """Flag > environment > code > default; `--dev` is 666 and above `--priority`."""
    flags = ON if not code else ()
    outcome = invoke("run", "-A", *flags, *arguments, handlers(code), **variables)
    assert outcome.status == 0, outcome.result.output
    assert (outcome.options.priority, outcome.options.source("priority")) == (priority, source)
    settings = outcome.options.settings(namespace="default", identity="me")
    assert settings.priority == priority


def test_a_stock_kopf_run_takes_its_own_flags(invoke, handlers):
    """A stock `kopf run --dev` with `enable()` in the code means the election's priority, too."""
    outcome = invoke("run", "-A", "--dev", handlers(ENABLE.format(8)), command=kopf_main)
    assert outcome.status == 0, outcome.result.output
    assert outcome.options.priority == 666


@pytest.mark.parametrize("said", ["1000000000", "-1000000000"])
def test_too_many_digits(invoke, handlers, said):
    """What could not be read back from the Lease is refused before kopf starts."""
    outcome = invoke("run", "-A", *ON, f"--priority={said}", handlers())
    assert (outcome.status, outcome.started) == (2, None)
    assert "--priority" in outcome.stderr
    assert "nine digits" in outcome.stderr
    assert outcome.stderr.count("\n") == 1


@pytest.mark.parametrize("said", ["'high'", "True", "1.5"])
def test_no_number(invoke, handlers, said):
    """`enable(priority=…)` takes a whole number."""
    outcome = invoke("run", "-A", handlers(ENABLE.format(said)))
    assert (outcome.status, outcome.started) == (2, None)
    assert "whole number" in outcome.stderr


def test_peering_stays_refused(invoke, handlers):
    """A priority of the election's does not make peering and election go together."""
    outcome = invoke("run", "-A", *ON, "--priority=5", "--peering=p", handlers())
    assert (outcome.status, outcome.started) == (2, None)
    assert "Peering (--peering)" in outcome.stderr
