"""The options of the election: one table, three ways to say a value, one precedence."""

import dataclasses
import itertools

import kubernetes.client
import pytest

from kopf_leader.errors import SettingsError
from kopf_leader.gate.option_table import OPTIONS
from kopf_leader.gate.options import Options, from_code, from_environment, from_flags, merge
from kopf_leader.protocol.settings import Settings

# A good value for each way, and what it becomes: flags and variables are texts, code may use numbers.
VALUES = {
    "enabled": {"flag": True, "environment": "yes", "code": True},
    "id": {"flag": "by-flag", "environment": "by-env", "code": "by-code"},
    "namespace": {"flag": "by-flag", "environment": "by-env", "code": "by-code"},
    "identity": {"flag": "by-flag", "environment": "by-env", "code": "by-code"},
    "lease_duration": {"flag": "40s", "environment": "1m", "code": 50},
    "renew_deadline": {"flag": "11s", "environment": "12", "code": 13.0},
    "retry_period": {"flag": "1.5s", "environment": "1.25", "code": 1},
    "drain_timeout": {"flag": "7s", "environment": "8", "code": "9s"},
    "stuck_timeout": {"flag": "1m30s", "environment": "80", "code": 70},
    "takeover": {"flag": "evidence", "environment": "expiry", "code": "evidence"},
    "on_lost": {"flag": "exit", "environment": "standby", "code": "exit"},
}
READ = {"40s": 40.0, "1m": 60.0, "11s": 11.0, "12": 12.0, "1.5s": 1.5, "1.25": 1.25, "7s": 7.0, "8": 8.0, "9s": 9.0,
        "1m30s": 90.0, "80": 80.0, "yes": True}  # fmt: skip
WAYS = ("flag", "environment", "code")


def layers_of(name, ways):
    said = VALUES[name]
    return [
        from_flags({name: said["flag"]} if "flag" in ways else {}),
        from_environment({OPTIONS[name].envvar: said["environment"]} if "environment" in ways else {}),
        from_code({name: said["code"]} if "code" in ways else {}),
    ]


@pytest.mark.parametrize("ways", [ways for count in range(4) for ways in itertools.combinations(WAYS, count)], ids=str)
@pytest.mark.parametrize("name", VALUES)
def test_flag_beats_environment_beats_code_beats_default(name, ways):
    """Precedence: flag > environment > code > default, per value; and the source is remembered."""
    options = merge([*layers_of(name, ways), from_code({"id": "some-id"})])
    if not ways:
        default = "some-id" if name == "id" else getattr(Options(), name)
        assert getattr(options, name) == default
    else:
        said = VALUES[name][ways[0]]
        assert getattr(options, name) == READ.get(said, said)
        expected = {"flag": OPTIONS[name].flag, "environment": OPTIONS[name].envvar, "code": "enable("}[ways[0]]
        assert options.source(name).startswith(expected)


def test_evidence_needs_the_identity_that_is_made_here():
    """L10: an identity that somebody gives may come back in another process, of which no proof speaks."""
    given = {"enabled": True, "id": "op", "takeover": "evidence", "identity": "me"}
    with pytest.raises(SettingsError, match="identity from --leader-election-identity, takeover from"):
        merge([from_flags(given)])
    assert merge([from_flags({**given, "identity": None})]).settings(namespace="ns", identity="me").takeover


def test_values_of_different_ways_are_combined():
    """Flags win per value, not as a whole."""
    options = merge(
        [
            from_flags({"lease_duration": "30s"}),
            from_environment({"KOPF_RUN_LEADER_ELECTION_RENEW_DEADLINE": "20"}),
            from_code({"id": "my-operator", "retry_period": 3, "lease_duration": 1, "enabled": True}),
        ]
    )
    assert (options.lease_duration, options.renew_deadline, options.retry_period) == (30, 20, 3)
    assert options.id == "my-operator"


def test_defaults_are_those_of_the_settings():
    """There is one place for the defaults: 15 s, 10 s, 2 s."""
    options = Options()
    assert not options.enabled
    for name in ("lease_duration", "renew_deadline", "retry_period", "request_timeout", "drain_timeout"):
        assert getattr(options, name) == getattr(Settings, name)


def test_every_option_has_a_field_and_every_field_an_option():
    """The table and the dataclass name the same things."""
    assert {field.name for field in dataclasses.fields(Options)} - {"sources"} == set(OPTIONS)


def test_variables_are_named_after_the_flags():
    """Each flag is also an environment variable, as click names it for `kopf run`."""
    assert OPTIONS["enabled"].envvar == "KOPF_RUN_ENABLE_LEADER_ELECTION"
    assert OPTIONS["lease_duration"].envvar == "KOPF_RUN_LEADER_ELECTION_LEASE_DURATION"
    assert OPTIONS["labels"].envvar is None


@pytest.mark.parametrize("word", ["1", "true", "True", "t", "yes", "YES", "y", "on", " on "])
def test_words_for_true(word):
    """Booleans in variables are click's."""
    assert merge([from_environment({"KOPF_RUN_ENABLE_LEADER_ELECTION": word}), from_code({"id": "x"})]).enabled


@pytest.mark.parametrize("word", ["0", "false", "F", "no", "n", "OFF", ""])
def test_words_for_false(word):
    """Booleans in variables are click's; an empty variable says nothing."""
    assert not merge([from_environment({"KOPF_RUN_ENABLE_LEADER_ELECTION": word}), from_code({"id": "x"})]).enabled


ENABLED = from_flags({"enabled": True, "id": "my-operator"})
WRONG = [
    # (layer, what the sentence must say)
    (from_flags({"lease_duration": "soon"}), ["lease duration", "--leader-election-lease-duration", "'soon'"]),
    (from_environment({"KOPF_RUN_LEADER_ELECTION_RETRY_PERIOD": "2x"}), ["KOPF_RUN_LEADER_ELECTION_RETRY_PERIOD"]),
    (from_environment({"KOPF_RUN_LEADER_ELECTION_ON_LOST": "panic"}), ["'panic'", "'standby' or 'exit'", "_ON_LOST"]),
    (from_code({"lease_duration": -1}), ["lease duration is -1", "positive", "enable(lease_duration=…)"]),
    (from_code({"lease_duration": float("nan")}), ["lease duration is nan", "positive"]),
    (from_code({"lease_duration": True}), ["lease duration", "True"]),
    (from_code({"request_timeout": 0}), ["request time-out is 0", "enable(request_timeout=…)"]),
    (from_code({"drain_timeout": 0}), ["drain time-out is 0", "enable(drain_timeout=…)"]),
    (from_flags({"stuck_timeout": "0"}), ["stuck time-out is 0", "--leader-election-stuck-timeout"]),
    (from_flags({"lease_duration": "10s"}), ["renew deadline", "not below", "(lease duration from", "by default)"]),
    (from_flags({"retry_period": "9s"}), ["1.2", "retry period from --leader-election-retry-period"]),
    (from_code({"request_timeout": 9}), ["no room", "request time-out from enable(request_timeout=…)"]),
    (
        from_code({"lease_duration": 0.5, "renew_deadline": 0.4, "retry_period": 0.1, "request_timeout": 0.1}),
        ["lease duration of 0.5 s", "below one second"],
    ),
    (from_flags({"namespace": "No Such"}), ["'No Such'", "--leader-election-namespace"]),
    (from_flags({"namespace": ""}), ["namespace is empty"]),
    (from_flags({"identity": "two words"}), ["'two words'", "--leader-election-identity"]),
    (from_flags({"identity": ""}), ["identity is empty"]),
    (from_code({"identity": 7}), ["identity", "7", "text"]),
    (from_code({"client": "kr8s"}), ["There is no client 'kr8s'", "enable(client=…)", "'kopf'", "callable"]),
    (from_code({"client": 5}), ["The client is a builtins.int", "enable(client=…)", "'kopf'", "callable"]),
    (from_code({"client": kubernetes.client.ApiClient}), ["The client is a builtins.type", "pass an object"]),
    (from_code({"labels": ["a"]}), ["labels", "mapping"]),
    (from_code({"labels": {"a": 1}}), ["labels", "mapping"]),
]


@pytest.mark.parametrize(("layer", "phrases"), WRONG, ids=[phrases[-1] for _, phrases in WRONG])
def test_a_bad_value_is_refused_with_its_source(layer, phrases):
    """L18: what breaks a rule is refused with one sentence, which says where the value comes from."""
    with pytest.raises(SettingsError) as caught:
        merge([layer, ENABLED])
    assert len(caught.value.sentences) == 1
    for phrase in phrases:
        assert phrase in str(caught.value)


@pytest.mark.parametrize("id_", ["", "My-Operator", "under_score", "-x", "x" * 254, "a..b"])
def test_an_invalid_id_is_refused(id_):
    """An empty or invalid id is refused, with its source."""
    with pytest.raises(SettingsError, match=r"leader election id.*from --leader-election-id\)"):
        merge([from_flags({"enabled": True, "id": id_})])


def test_a_missing_id_is_refused():
    """The id must be given when the election is on: the sentence names all three ways to do so."""
    with pytest.raises(SettingsError) as caught:
        merge([from_environment({"KOPF_RUN_ENABLE_LEADER_ELECTION": "1"})])
    for way in ("KOPF_RUN_ENABLE_LEADER_ELECTION", "--leader-election-id", "_LEADER_ELECTION_ID", "enable("):
        assert way in str(caught.value)


def test_two_bad_values_are_two_sentences():
    """Each violated rule has a sentence of its own."""
    with pytest.raises(SettingsError) as caught:
        merge([from_flags({"lease_duration": "x", "retry_period": "y"})])
    assert len(caught.value.sentences) == 2


def test_a_flag_repairs_a_bad_variable():
    """Only the value that counts is read."""
    layers = [from_flags({"lease_duration": "20"}), from_environment({"KOPF_RUN_LEADER_ELECTION_LEASE_DURATION": "?"})]
    assert merge([*layers, ENABLED]).lease_duration == 20


def test_rules_between_values_matter_only_when_enabled():
    """Without an election there is no id to miss and no deadline to break; unreadable values are still refused."""
    assert not merge([from_flags({"lease_duration": "1s"})]).enabled
    with pytest.raises(SettingsError, match="no duration"):
        merge([from_flags({"lease_duration": "soon"})])
    with pytest.raises(SettingsError, match="drain time-out is 0"):
        merge([from_flags({"drain_timeout": "0"})])
