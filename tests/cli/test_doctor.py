"""`kopf-leader doctor`: each thing that can be wrong is found, and what to change is said; nothing is written."""

import asyncio
import json

import pytest
import yaml
from aiohttp import web

from kopf_leader.cli.checkup import latency, local
from kopf_leader.cli.lease.reach import Where, find
from kopf_leader.protocol.settings import Settings
from tests.cli.leases import HELD
from tests.cli.test_requests import put

CHECKS = [
    "kopf", "settings", "identity", "namespace", "clock", "server", "account", "right:get", "right:watch",
    "right:update", "right:create", "right:events", "lease", "holder", "requests", "watch", "reads", "writes", "timing",
]  # fmt: skip
LED = {**HELD, "leaseDurationSeconds": 60}


@pytest.fixture(autouse=True)
def brief(monkeypatch):
    """A few requests tell as much."""
    monkeypatch.setattr(latency, "SAMPLES", 5)


def examine(cluster, *arguments, token=None, status=0):
    """What it finds, by the name of the check."""
    done = cluster.run("doctor", "op", "-o", "json", "--observe=100ms", *arguments, token=token)
    assert done.status == status, done
    shown = json.loads(done.stdout)
    assert all(each["change"] for each in shown["checks"] if each["result"] != "ok")
    assert shown["result"] == max((each["result"] for each in shown["checks"]), key=["ok", "warn", "fail"].index)
    return {each["check"]: each for each in shown["checks"]}


def test_all_is_well(either):
    """A leader at work: status 0, every check, none of which fails; and the Lease is as it was but for renewals."""
    either.make()
    either.join("pod-a_1")
    before = either.lease
    timing = ["--leader-election-lease-duration=6", "--leader-election-renew-deadline=4"]
    timing += ["--leader-election-retry-period=300ms"]
    found = examine(either, "--observe=30s", *timing)
    assert {name: each["result"] for name, each in found.items() if each["result"] != "ok"} == {}
    assert [*found] == [*CHECKS[:14], "duration", *CHECKS[14:]]
    assert "pod-a_1 leads, and was seen to renew" in found["holder"]["found"]
    assert "tells of renewals" in found["watch"]["found"]
    after = either.lease
    assert after["metadata"].get("annotations") == before["metadata"].get("annotations")
    assert after["spec"]["leaseTransitions"] == before["spec"]["leaseTransitions"]


def test_nothing_is_written(either):
    """A rehearsed write is not stored: the version stays."""
    either.make(LED)
    before = either.lease
    assert examine(either)["writes"]["result"] == "ok"
    assert either.lease == before


def test_an_empty_lease(either):
    """Before the operator is deployed: it is free, all is well."""
    either.make()
    found = examine(either)
    assert [*found] == CHECKS
    assert found["holder"]["found"] == "nobody; the next candidate takes it at once"


@pytest.mark.parametrize("verb", ["get", "watch", "update"])
def test_a_missing_right(either, verb):
    """Each verb that is missing fails, by its name, with the rule to add; status 1."""
    either.make(LED)
    token = either.person(*{"get", "watch", "update"} - {verb})
    found = examine(either, token=token, status=1)
    assert {name for name, each in found.items() if each["result"] == "fail"} == {f"right:{verb}"}
    assert f'allow the verb "{verb}" by the rule' in found[f"right:{verb}"]["change"]
    assert found["right:events"]["result"] == "warn"
    assert found["right:create"]["result"] == "ok"
    assert ("writes" in found) == (verb == "watch")
    assert ("holder" in found) == (verb != "get")


def test_takeover_by_evidence(either, monkeypatch):
    """The right to read pods is asked for where it matters; missing it is worth a look, as is a place without proof."""
    either.make(LED)
    monkeypatch.setenv("KOPF_RUN_LEADER_ELECTION_TAKEOVER", "evidence")
    assert examine(either)["right:pods"]["result"] == "ok"
    found = examine(either, token=either.person("get", "watch", "update"))
    assert found["right:pods"]["result"] == "warn"
    assert 'resources: ["pods"], verbs: ["get", "watch"]' in found["right:pods"]["change"]
    assert found["life"]["result"] == "warn"
    assert "no kubelet" in found["life"]["found"]


def test_no_lease(either):
    """Absent: worth a look; and without the right to create, it fails."""
    found = examine(either)
    assert found["lease"]["result"] == "warn"
    assert "kopf-leader manifest op -n " in found["lease"]["change"]
    found = examine(either, token=either.person("get", "watch", "update"), status=1)
    assert found["right:create"]["result"] == "fail"


def test_no_namespace(either):
    """A namespace that does not exist is called that."""
    found = examine(either, "-n", "nowhere", status=1)
    assert found["lease"]["found"] == "there is no namespace nowhere"


def test_a_ghost(cluster):
    """A silent holder with a huge duration: everybody waits for it; how to release it is said."""
    cluster.make({**HELD, "leaseDurationSeconds": 2147483647})
    found = examine(cluster, status=1)
    assert found["holder"]["result"] == "fail"
    assert "kubectl patch lease -n default op" in found["holder"]["change"]
    assert found["duration"]["result"] == "warn"


def test_nobody_takes_over(cluster):
    """Silent for its whole duration: no candidate is there."""
    cluster.make(HELD)
    found = examine(cluster, "--observe=1500ms", status=1)
    assert "nobody has taken over" in found["holder"]["found"]


@pytest.mark.parametrize(
    ("spec", "check", "words"),
    [
        (LED, "holder", "no renewal was seen"),
        (LED, "duration", "recorded 60 s, the lease duration here is 15 s"),
        ({**LED, "leaseDurationSeconds": None}, "duration", "no duration"),
        ({**LED, "holderIdentity": ""}, "holder", "not released"),
    ],
)
def test_worth_a_look(cluster, spec, check, words):
    """What works and is odd: a warning, status 0."""
    cluster.make(spec)
    found = examine(cluster)[check]
    assert found["result"] == "warn"
    assert words in found["found"]


@pytest.mark.parametrize(
    ("asks", "words"),
    [
        ({"hold": "an upgrade"}, "on hold, nobody leads: an upgrade"),
        ({"transfer_to": "pod-x"}, "a transfer to pod-x stands on the Lease, who has not got the lead"),
        ({"transfer_to": "dead"}, "a transfer to dead stands on the Lease, who leads already"),
    ],
)
def test_requests(cluster, asks, words):
    """What stands on the Lease is told, with how to end it."""
    cluster.make(LED, **asks)
    found = examine(cluster)["requests"]
    assert found["result"] == "warn"
    assert words in found["found"]
    assert "kopf-leader resume op -n default" in found["change"]


@pytest.mark.parametrize(
    ("arguments", "variables", "words"),
    [
        (["--leader-election-renew-deadline=20"], {}, "is not below the lease duration"),
        ([], {"LEASE_DURATION": "soon"}, "from KOPF_RUN_LEADER_ELECTION_LEASE_DURATION) 'soon' is no duration"),
        ([], {"RETRY_PERIOD": "9"}, "retry period from KOPF_RUN_LEADER_ELECTION_RETRY_PERIOD"),
    ],
)
def test_settings_that_break_a_rule(cluster, monkeypatch, arguments, variables, words):
    """L18: what the operator would refuse fails here, with the same sentence."""
    cluster.make()
    for name, value in variables.items():
        monkeypatch.setenv(f"KOPF_RUN_LEADER_ELECTION_{name}", value)
    found = examine(cluster, *arguments, status=1)["settings"]
    assert found["result"] == "fail"
    assert words in found["change"]


def test_the_environment_is_looked_at(cluster, monkeypatch):
    """An identity that all replicas would have, and an election that is switched off, are warned of."""
    cluster.make()
    monkeypatch.setenv("KOPF_RUN_LEADER_ELECTION_IDENTITY", "me")
    monkeypatch.setenv("KOPF_RUN_ENABLE_LEADER_ELECTION", "false")
    found = examine(cluster)
    assert found["identity"]["result"] == found["switch"]["result"] == "warn"


def test_timings_are_judged_by_latency():
    """Renew deadline against latency: how many attempts fit, and which timings would do."""
    settings = Settings(name="op", namespace="ns", identity="one")
    assert [latency.attempts(slow, settings) for slow in (0.01, 1, 2, 3, 4.9, 5)] == [4, 4, 2, 1, 1, 0]
    for slow, result in ((0.01, "ok"), (2.0, "warn"), (3.0, "fail"), (30.0, "fail")):
        (_, timing) = latency.judge(latency.Measured(taken=(slow,) * 5), None, settings)
        assert timing.result.value == result
    for slow in (2.0, 3.0, 30.0):
        (_, timing) = latency.judge(latency.Measured(taken=(slow,) * 5), None, settings)
        renew, lease = (int(word[:-1]) for word in timing.change.split() if word[:-1].isdigit() and word[-1] == "s")
        better = Settings(name="op", namespace="ns", identity="one", renew_deadline=renew, lease_duration=lease)
        assert latency.attempts(slow, better) >= 3


def test_a_server_that_fails_now_and_then(cluster):
    """Requests that fail are counted, with the last error."""
    cluster.make()
    count = []

    async def sometimes(request):
        count.append(request.query.get("dryRun"))
        return web.Response(status=500) if count.count("All") == 3 and count[-1] == "All" else None

    cluster.server.on_request = sometimes
    found = examine(cluster)["writes"]
    assert found["result"] == "warn"
    assert "1 failed" in found["found"]
    assert "HTTP 500" in found["change"]


def test_a_dry_run_that_is_refused(cluster):
    """An admission webhook that cannot be rehearsed: a warning, and the timings are judged by reads."""
    cluster.make()

    async def never(request):
        body = {"kind": "Status", "apiVersion": "v1", "status": "Failure", "code": 400, "message": "no dry run"}
        return web.json_response(body, status=400) if request.query.get("dryRun") else None

    cluster.server.on_request = never
    found = examine(cluster)
    assert found["writes"]["result"] == "warn"
    assert "no dry run" in found["writes"]["change"]
    assert found["timing"]["result"] == "ok"


def test_writes_that_fail(cluster):
    """A server that reads and does not write: status 1, with its own words."""
    cluster.make()

    async def full(request):
        body = {"kind": "Status", "apiVersion": "v1", "status": "Failure", "code": 500, "message": "no space"}
        return web.json_response(body, status=500) if request.query.get("dryRun") else None

    cluster.server.on_request = full
    found = examine(cluster, status=1)
    assert found["writes"]["result"] == "fail"
    assert "no space" in found["writes"]["change"]


def test_a_lease_that_is_deleted_meanwhile(cluster):
    """Gone between two looks: it is said, and nothing breaks."""
    cluster.make()
    looks = []

    async def gone(request):
        if request.method != "GET" or not request.path.endswith("/leases/op"):
            return None
        looks.append(request)
        body = {"kind": "Status", "apiVersion": "v1", "status": "Failure", "code": 404, "message": "not found"}
        return web.json_response(body, status=404) if len(looks) > 2 else None

    cluster.server.on_request = gone
    assert "deleted just now" in examine(cluster)["lease"]["found"]


@pytest.mark.parametrize(
    ("given", "mounted", "result", "words"),
    [
        ({}, None, "ok", "of-the-context, from the kubeconfig's current context"),
        ({"namespace": "there"}, None, "ok", "there, as it was given"),
        ({}, "of-the-pod", "warn", "an operator that is started here would elect in of-the-pod"),
        ({"context": "here"}, "of-the-pod", "ok", "from the kubeconfig's context"),
    ],
)
def test_the_namespace_is_the_operators(tmp_path, given, mounted, result, words):
    """Where the command looks, and where an operator in this place would look: the pod's comes first for that."""
    account = tmp_path / "account"
    account.mkdir()
    if mounted is not None:
        (account / "namespace").write_text(mounted)
        (account / "token").write_text("secret")
    place = find(Where(lease_id="op", service_account=account, **given))
    finding = local.namespace(place)
    assert finding.result.value == result
    assert words in finding.found


def test_in_a_pod(tmp_path, monkeypatch):
    """Without a kubeconfig, by the service account: its namespace, its token."""
    account = tmp_path / "account"
    account.mkdir()
    for name, text in (("namespace", "of-the-pod"), ("token", "secret"), ("ca.crt", "")):
        (account / name).write_text(text)
    monkeypatch.delenv("KUBECONFIG")
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "10.0.0.1")
    place = find(Where(lease_id="op", service_account=account))
    assert (place.namespace, place.access.token) == ("of-the-pod", "secret")
    assert local.namespace(place).found == "of-the-pod, from the service account"


def test_a_deaf_watch(cluster, monkeypatch):
    """A watch that holds changes back is found out by a read: status 1."""
    monkeypatch.setattr("kopf_leader.cli.checkup.lease.GRACE", 0.3)
    cluster.make(LED)

    async def deaf(request):
        if not request.query.get("watch"):
            return None
        response = web.StreamResponse()
        await response.prepare(request)
        stored = cluster.lease
        put(cluster, {**stored, "metadata": {**stored["metadata"], "labels": {"new": "one"}}})
        await asyncio.sleep(30)
        return response

    cluster.server.on_request = deaf
    found = examine(cluster, status=1)["watch"]
    assert found["result"] == "fail"


@pytest.mark.parametrize("form", ["table", "yaml"])
def test_for_people(cluster, form):
    """A table has a line for each check, and a last one that counts; YAML has what JSON has."""
    cluster.make(LED)
    shown = cluster.run("doctor", "op", "-o", form, "--observe=0").stdout
    if form == "yaml":
        assert [*yaml.safe_load(shown)] == ["namespace", "name", "result", "checks"]
        return
    *lines, last = shown.splitlines()
    assert [line.split()[1] for line in lines] == [*CHECKS[:14], "duration", *CHECKS[14:]]
    assert {line.split()[0] for line in lines} == {"ok", "warn"}
    assert last == f"{len(lines)} checks: 0 must be changed, 2 are worth a look."


def test_credentials_that_are_not_accepted(either):
    """401: it cannot be asked; status 2, one sentence."""
    done = either.run("doctor", "op", token="nonsense")
    assert (done.status, done.stdout) == (2, "")
    assert "HTTP 401" in done.stderr
    assert done.stderr.count("\n") == 1
