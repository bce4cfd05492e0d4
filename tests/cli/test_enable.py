"""`enable()`, `elect()` and `kopf_leader.auto`: the election enabled without `kopf-leader run`."""

import importlib

import kopf.cli
import pytest

import kopf_leader
from kopf_leader.clients.blocking import BlockingLeaseClient
from kopf_leader.elector.always import AlwaysLeader
from kopf_leader.elector.identity import make_identity
from kopf_leader.elector.thread import ElectionThread
from kopf_leader.errors import SettingsError
from kopf_leader.gate import enable
from kopf_leader.gate.candidate import locate, stand
from kopf_leader.gate.options import Options
from kopf_leader.protocol.settings import MAX_NAME, Settings


def test_enable_enables(attached):
    """`enable("my-operator")` is the same as `--enable-leader-election --leader-election-id=my-operator`."""
    kopf_leader.enable("my-operator")
    assert [(options.enabled, options.id) for options in attached] == [(True, "my-operator")]


def test_enable_takes_the_id_by_keyword(attached):
    """All values of `enable()` can be given by name."""
    kopf_leader.enable(id="my-operator", lease_duration="20s", labels={"app": "x"})
    assert attached[0].id == "my-operator"
    assert attached[0].lease_duration == 20
    assert attached[0].labels == {"app": "x"}


def test_enable_reads_the_environment(attached, monkeypatch):
    """The variables are read by `enable()` as well, and win over its values."""
    monkeypatch.setenv("KOPF_RUN_LEADER_ELECTION_ID", "by-env")
    monkeypatch.setenv("KOPF_RUN_LEADER_ELECTION_LEASE_DURATION", "1m")
    kopf_leader.enable("by-code", lease_duration=20, retry_period=1)
    assert (attached[0].id, attached[0].lease_duration, attached[0].retry_period) == ("by-env", 60, 1)


def test_the_environment_can_switch_it_off(attached, monkeypatch):
    """`KOPF_RUN_ENABLE_LEADER_ELECTION=false` wins over `enable()`; the gate is there all the same (L19)."""
    monkeypatch.setenv("KOPF_RUN_ENABLE_LEADER_ELECTION", "false")
    kopf_leader.enable("my-operator")
    assert [options.enabled for options in attached] == [False]


def test_a_bad_value_is_an_error_at_import_time(attached):
    """For a stock `kopf run`: `SettingsError` where `enable()` is called, naming the rule."""
    with pytest.raises(SettingsError, match=r"lease duration is -1.*positive.*enable\(lease_duration=…\)"):
        kopf_leader.enable("my-operator", lease_duration=-1)
    assert attached == []


def test_an_unknown_keyword_is_a_type_error():
    """As for any function."""
    with pytest.raises(TypeError, match="lease_durations"):
        kopf_leader.enable("my-operator", lease_durations=15)


def test_enable_without_an_id_is_refused():
    """The id is missing: it names the ways to give it."""
    with pytest.raises(SettingsError, match="has no id"):
        kopf_leader.enable()


def test_enable_twice_with_the_same_values_is_fine(attached):
    """Modules may be imported twice, under two names."""
    kopf_leader.enable("my-operator", lease_duration=20)
    kopf_leader.enable("my-operator", lease_duration=20)
    assert len(attached) == 1


def test_enable_twice_with_different_ids_is_an_error(attached):
    """One process stands for one Lease."""
    kopf_leader.enable("one")
    with pytest.raises(SettingsError, match=r"twice and differently.*'one' and 'two'"):
        kopf_leader.enable("two")
    kopf_leader.enable("one")
    assert [options.id for options in attached] == ["one"]


def test_enable_twice_adds_values(attached):
    """A second call may say what the first did not; the gate is told again."""
    kopf_leader.enable("one")
    kopf_leader.enable(lease_duration=20)
    assert [(options.id, options.lease_duration) for options in attached] == [("one", 15), ("one", 20)]


def test_a_failed_enable_leaves_nothing_behind(attached):
    """After an error the next call starts from what was there before."""
    with pytest.raises(SettingsError):
        kopf_leader.enable("one", lease_duration=-1)
    kopf_leader.enable("two")
    assert [options.id for options in attached] == ["two"]


def test_elect_enables_and_leaves_the_function_alone(attached):
    """`@kopf_leader.elect("id")` under `@kopf.on.startup()`: decorating enables, kopf registers the function itself."""

    async def configure(**_): ...

    assert kopf_leader.elect("my-operator", lease_duration=20)(configure) is configure
    assert (attached[0].id, attached[0].source("lease_duration")) == ("my-operator", "elect(lease_duration=…)")


def test_elect_says_it_was_elect():
    """Sentences name the decorator."""
    with pytest.raises(SettingsError, match=r"elect\(lease_duration=…\)"):
        kopf_leader.elect("my-operator", lease_duration=-1)


def test_auto_enables_from_the_environment(attached, monkeypatch):
    """Importing `kopf_leader.auto` enables; the id comes from the environment."""
    monkeypatch.setenv("KOPF_RUN_LEADER_ELECTION_ID", "my-operator")
    importlib.import_module("kopf_leader.auto")
    assert (attached[0].enabled, attached[0].source("enabled")) == (True, "kopf_leader.auto")


def test_auto_can_be_switched_off(attached, monkeypatch):
    """`KOPF_RUN_ENABLE_LEADER_ELECTION=false`, or `enable(enabled=False)` in code, is said louder than `auto`."""
    monkeypatch.setenv("KOPF_RUN_ENABLE_LEADER_ELECTION", "false")
    importlib.import_module("kopf_leader.auto")
    assert attached[0].enabled is False


def test_auto_is_weaker_than_code(attached):
    """`enable(enabled=False)` stays off when `auto` is imported afterwards."""
    kopf_leader.enable("x", enabled=False)
    importlib.import_module("kopf_leader.auto")
    assert attached[-1].enabled is False


def test_auto_needs_an_id():
    """Outside of a command it is a `SettingsError`."""
    with pytest.raises(SettingsError, match=r"on by kopf_leader\.auto.*KOPF_RUN_LEADER_ELECTION_ID"):
        importlib.import_module("kopf_leader.auto")


def stock(invoke, *arguments, **variables):
    return invoke("run", "-A", *arguments, command=kopf.cli.main, **variables)


def test_stock_kopf_with_auto(invoke, handlers):
    """`KOPF_RUN_MODULES=kopf_leader.auto kopf run handlers.py`: enabled from the environment."""
    variables = {"KOPF_RUN_MODULES": "kopf_leader.auto", "KOPF_RUN_LEADER_ELECTION_ID": "my-operator"}
    outcome = stock(invoke, handlers(), **variables)
    assert outcome.status == 0, outcome.result.output
    assert outcome.started is not None
    assert outcome.options.enabled


AUTO = {"KOPF_RUN_MODULES": "kopf_leader.auto", "KOPF_RUN_LEADER_ELECTION_ID": "my-operator"}
AUTO_REFUSALS = [
    ("no id", [], {"KOPF_RUN_LEADER_ELECTION_ID": ""}, ["has no id", "kopf_leader.auto"]),
    ("duration", [], {"KOPF_RUN_LEADER_ELECTION_LEASE_DURATION": "1s"}, ["KOPF_RUN_LEADER_ELECTION_LEASE_DURATION"]),
    ("boolean", [], {"KOPF_RUN_ENABLE_LEADER_ELECTION": "2"}, ["KOPF_RUN_ENABLE_LEADER_ELECTION", "'2'"]),
    ("peering", ["--peering=p"], {}, ["drop --peering, or set KOPF_RUN_ENABLE_LEADER_ELECTION=false"]),
    ("no namespace", [], {"KUBECONFIG": "/dev/null"}, ["--leader-election-namespace"]),
]


@pytest.mark.parametrize(
    ("arguments", "variables", "phrases"), [case[1:] for case in AUTO_REFUSALS], ids=[case[0] for case in AUTO_REFUSALS]
)
def test_stock_kopf_with_auto_refuses(invoke, handlers, arguments, variables, phrases):
    """With a stock kopf as well: exit status 2, one sentence, no traceback, kopf not started."""
    outcome = stock(invoke, *arguments, handlers(), **{**AUTO, **variables})
    assert (outcome.status, outcome.started) == (2, None)
    assert outcome.stderr.count("\n") == 1
    for phrase in phrases:
        assert phrase in outcome.stderr


def test_stock_kopf_with_enable_in_code(invoke, handlers):
    """`enable()` in code with a stock `kopf run` works without flags; a bad value is a `SettingsError`."""
    code = "import kopf_leader\nkopf_leader.enable('x', lease_duration={})"
    assert stock(invoke, handlers(code.format(20))).options.lease_duration == 20
    outcome = stock(invoke, handlers(code.format(-1)))
    assert isinstance(outcome.result.exception, SettingsError)
    assert outcome.status == 1


def test_handlers_can_be_imported_without_a_cluster(attached, monkeypatch, tmp_path):
    """Unit tests import handlers that call `enable()` where no namespace is to be found: that is no error yet."""
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "absent"))
    kopf_leader.enable("my-operator")
    assert attached[0].enabled
    with pytest.raises(SettingsError, match="--leader-election-namespace"):
        locate(attached[0])


def test_the_namespace_and_where_it_is_from():
    """The start-up log names the namespace's source: the flag, or the kubeconfig's context."""
    given = Options(namespace="given", sources={"namespace": "--leader-election-namespace"})
    assert locate(given) == ("given", "--leader-election-namespace")
    found, source = locate(Options())
    assert found == "of-the-context"
    assert "kubeconfig" in source


def test_the_identity_is_unique_and_valid(monkeypatch):
    """L10: `<pod or host name>_<random>`, from POD_NAME where it is set; at most 253 characters; valid."""
    monkeypatch.setenv("POD_NAME", "my-operator-7d4b9c-x2x4z")
    first, second = make_identity(), make_identity()
    assert first != second
    assert first.startswith("my-operator-7d4b9c-x2x4z_")
    monkeypatch.delenv("POD_NAME")
    for name in (None, "x" * 300, "with spaces and ümlauts", "\n"):
        identity = make_identity(name)
        assert len(identity) <= MAX_NAME
        assert Settings(name="x", namespace="x", identity=identity).identity == identity


async def no_login():
    raise AssertionError("nothing logs in before the election is started")


def test_the_line_of_the_start(caplog):
    """Start-up logs one line: Lease, identity, durations, and where the namespace came from."""
    caplog.set_level("INFO")
    election = stand(Options(enabled=True, id="op", identity="me_1"), follower=None, login=no_login)
    assert isinstance(election, ElectionThread)
    assert not election.alive
    (line,) = caplog.messages
    for word in ("of-the-context/op", "me_1", "15 s", "10 s", "2 s", "the kubeconfig's current context"):
        assert word in line


def test_without_the_election_the_same_path_is_taken(caplog):
    """L19: `enabled=False` runs the same path as "always leader"; no namespace is needed, and the log says so."""
    caplog.set_level("INFO")
    assert isinstance(stand(Options(namespace=None), follower=None, login=no_login), AlwaysLeader)
    (line,) = caplog.messages
    assert "No leader election" in line
    assert "--enable-leader-election" in line


def test_a_client_of_ones_own_is_called_in_the_election(monkeypatch):
    """`enable(client=...)` takes a callable that returns a LeaseClient; it is called where the election runs."""

    def client():
        raise AssertionError("called too early")

    kopf_leader.enable("op", client=client)
    election = stand(enable._process.options, follower=None, login=no_login)
    assert election._make_client is client


@pytest.mark.parametrize("library", ["kubernetes", "pykube"])
def test_a_client_of_another_library_is_made_for_the_lease(library):
    """`enable(client=…)` takes the name or an object of a library: kept as it was given until the Lease is known."""
    kopf_leader.enable("op", client=library, renew_deadline=8)
    options = enable._process.options
    assert options.client == library
    client = stand(options, follower=None, login=no_login)._make_client()
    assert isinstance(client, BlockingLeaseClient)
    assert (client._namespace, client._name, client._timeout) == ("of-the-context", "op", 4.0)


def test_a_client_of_an_unknown_library_is_refused_when_it_is_named(attached):
    """A client object of an unknown library: a sentence, when `enable()` is called, and nothing half-done."""
    with pytest.raises(SettingsError, match=r"The client is a builtins\.object, which the election cannot use.*enable"):
        kopf_leader.enable("op", client=object())
    assert not attached
    kopf_leader.enable("op", client="kopf")
    assert enable._process.options.client is None
