"""A hostile Lease cannot hurt a log or a terminal: whoever may edit it writes words, and never a line or a command."""

import json
import logging

import pytest
import yaml
from prometheus_client import CollectorRegistry

from kopf_leader.operations.address import Address
from kopf_leader.operations.site import Operations
from kopf_leader.protocol.plain import MAX_SHOWN, plain
from kopf_leader.protocol.settings import Settings
from tests.elector.memory import Recorder
from tests.elector.test_thread import wait_for
from tests.operations.looks import get
from tests.security.hostile import HALF, HELD, HUGE, NASTY, WORDS, edit, unseen

COMMANDS = {
    "status": ["status", "op", "--observe=0"],
    "wide": ["status", "op", "--observe=0", "-o", "wide"],
    "watch": ["status", "op", "--watch", "--timeout=0.2s", "-o", "wide"],
    "wait": ["status", "op", "--wait", "--for=holder=nobody", "--timeout=0.2s"],
    "doctor": ["doctor", "op", "--observe=0.1s"],
    "doctor yaml": ["doctor", "op", "--observe=0.1s", "-o", "yaml"],
    "doctor json": ["doctor", "op", "--observe=0.1s", "-o", "json"],
    "hold": ["hold", "op", "--reason=x", "--no-wait"],
    "hold, waiting": ["hold", "op", "--reason=x", "--timeout=0.2s"],
    "transfer": ["transfer", "op", "--to=pod-b", "--force", "--no-wait"],
    "transfer, waiting": ["transfer", "op", "--to=pod-b", "--force", "--timeout=0.2s"],
    "step-down": ["step-down", "op", "--no-wait"],
    "resume": ["resume", "op", "--no-wait"],
}


@pytest.mark.parametrize("word", [*WORDS.values(), HALF], ids=[*WORDS, "half"])
def test_plain(word):
    """Nothing unseen is left, what is seen stays, nothing is escaped twice, and the length is bounded."""
    shown = plain(word)
    assert unseen(shown) == set()
    assert "\n" not in shown
    assert plain(shown) == shown
    assert plain(f"Zoë 李 {word}").startswith("Zoë 李 ")
    assert len(plain(word * 1000)) <= MAX_SHOWN
    assert plain(word * 1000, None).endswith(shown[-4:])


LEASES = {
    "a holder": (NASTY, {}),
    "a huge holder": (HUGE, {"transfer_to": HUGE}),
    "on hold": ("", {"hold": NASTY}),
    "everything": (NASTY, {"hold": HUGE, "transfer_to": NASTY}),
}


@pytest.mark.parametrize(("holder", "asks"), LEASES.values(), ids=LEASES)
def test_no_command_shows_more_than_words(cluster, holder, asks):
    """Every command, on every such Lease: no character that is not seen, no line of the Lease's making, no flood."""
    spec = {**HELD, "leaseDurationSeconds": 60, "holderIdentity": holder, "acquireTime": HELD["acquireTime"]}
    cluster.make(spec, **asks)
    edit(cluster.server, metadata={"annotations": {"others": HUGE}})
    for name, command in COMMANDS.items():
        done = cluster.run(*command)
        said = done.stdout + done.stderr
        assert said.strip(), name
        assert unseen(said) == set(), name
        assert len(said.splitlines()) <= (200 if name.startswith("doctor") else 3), (name, said)
        assert not [line for line in said.splitlines() if line.startswith(("ERROR", "line"))], name
        assert len(said) < 20_000, name
        edit(cluster.server, metadata={"annotations": {"kopf-leader/hold": asks.get("hold")}})


@pytest.mark.parametrize(("form", "read"), [("json", json.loads), ("yaml", yaml.safe_load)])
def test_programs_get_it_as_it_is(cluster, form, read):
    """-o json and -o yaml lose nothing, and are plain characters all the same."""
    cluster.make({**HELD, "leaseDurationSeconds": 60, "holderIdentity": NASTY}, hold=NASTY)
    said = cluster.run("status", "op", "--observe=0", "-o", form).stdout
    assert unseen(said) == set()
    assert said.isascii()
    found = read(said)
    assert (found["holder"], found["hold"]) == (NASTY, NASTY)


@pytest.fixture
def candidate(cluster, caplog):
    """A candidate with everything that can be seen of it, on a Lease that was not made yet."""
    caplog.set_level(logging.DEBUG)
    operations = Operations(
        health_at=Address("127.0.0.1", 0), metrics_at=Address("127.0.0.1", 0), registry=CollectorRegistry()
    )
    follower = Recorder()
    election = operations.stand(
        settings=Settings(
            name="op", namespace="default", identity="me", lease_duration=1.5, renew_deadline=1.2, retry_period=0.1,
            request_timeout=1,
        ),
        client=cluster._connect,
        follower=follower,
    )  # fmt: skip
    follower.drained = election.drained
    operations.start()
    operations.endpoints.server.start()
    yield operations, election, follower
    election.resign(leave=True)
    assert election.join(60)
    operations.close()


@pytest.mark.parametrize("word", [NASTY, HUGE], ids=["nasty", "huge"])
def test_nothing_of_a_candidate_shows_more_than_words(cluster, candidate, caplog, word):
    """Logs (DEBUG too, and their fields), health, metrics and Events: the Lease's words are in none of them as such."""
    operations, election, follower = candidate
    cluster.make({**HELD, "holderIdentity": word}, transfer_to=word)
    election.start()
    wait_for(lambda: follower.leading)
    edit(cluster.server, spec={**HELD, "holderIdentity": word, "leaseTransitions": 9})
    wait_for(lambda: "Stops leading" in caplog.text)
    wait_for(lambda: cluster.server.objects("events", namespace="default"))
    ports = operations.endpoints.server.ports
    pages = [get(ports["health"], f"/{page}?verbose&exclude=%1b%5b2J%0a%c2%9b")[1] for page in ("healthz", "readyz")]
    pages += [get(ports["health"], "/nonsense%1b%0a")[1], get(ports["metrics"], "/metrics")[1]]
    for page in pages:
        assert unseen(page) == set()
        assert "forged" not in page
        assert len(page) < 50_000
    for event in cluster.server.objects("events", namespace="default"):
        assert unseen(event["message"]) == set()
        assert "forged" not in json.dumps(event)
    said = [record for record in caplog.records if record.name.startswith(("kopf_leader", "aiohttp"))]
    assert any("owned" in record.getMessage() for record in said), "the holder is named"
    for record in said:
        for text in (record.getMessage(), *(str(record.__dict__.get(key, "")) for key in ("holder", "reason"))):
            assert unseen(text) == set()
            assert "\n" not in text
            assert len(text) < 3_000


@pytest.mark.parametrize("version", [NASTY, HUGE, {"a": NASTY}, "9" * 5000], ids=["nasty", "huge", "object", "digits"])
def test_a_server_that_lies(version, caplog):
    """A resourceVersion that is none is told in a sentence of bounded length."""
    from kopf_leader.protocol.record import sight_of  # noqa: PLC0415 (only here)

    with pytest.raises(ValueError, match=r"resourceVersion|digits") as caught:
        sight_of({"metadata": {"name": "op", "uid": "u", "resourceVersion": version}, "spec": {}})
    assert unseen(str(caught.value)) == set()
    assert len(str(caught.value)) < 1000
