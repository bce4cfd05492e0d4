"""`kopf-leader status`: what it shows, how long it looks, how it waits, and with which status it ends."""

import json
import threading

import pytest
import yaml
from aiohttp import web
from click.testing import CliRunner

from kopf_leader.cli.lease.reach import Where, find
from kopf_leader.cli.main import main
from kopf_leader.cli.refused import Refused
from tests.cli.leases import HELD
from tests.elector.test_thread import wait_for

NAMES = [
    "namespace", "name", "state", "holder", "acquireTime", "renewTime", "leaseDurationSeconds", "leaseTransitions",
    "priority", "transferTo", "hold", "secondsSinceRenewalSeen", "secondsWatched",
]  # fmt: skip


def test_who_leads(either):
    """Holder, since when, term, and how long ago a renewal was seen; status 0."""
    either.make()
    either.join("pod-a_1")
    shown = either.run("status", "op")
    assert (shown.status, shown.stderr) == (0, "")
    head, line = shown.stdout.splitlines()
    assert head.split() == ["LEASE", "STATE", "HOLDER", "SINCE", "TERM", "RENEWED", "REQUESTS"]
    lease, state, holder, since, term, age, ago, requests = line.split()
    assert (lease, state, holder, term, ago, requests) == (f"{either.namespace}/op", "led", "pod-a_1", "1", "ago", "-")
    assert either.lease["spec"]["acquireTime"].startswith(since.removesuffix("Z"))
    assert age.endswith("s")


def test_the_age_is_not_by_the_leaders_clock(cluster):
    """L5: a leader whose clock is years off was seen to renew just now."""
    cluster.make(HELD)
    assert "not yet seen" in cluster.run("status", "op", "--observe", "0").stdout
    shown = json.loads(cluster.run("status", "op", "--observe", "0", "-o", "json").stdout)
    assert shown["secondsSinceRenewalSeen"] is None


@pytest.mark.parametrize(("form", "read"), [("json", json.loads), ("yaml", yaml.safe_load)])
def test_for_programs(cluster, form, read):
    """JSON and YAML have every name always; what is not known is null."""
    cluster.make({**HELD, "leaseDurationSeconds": 60}, priority="7", hold="why", transfer_to="pod-x")
    shown = read(cluster.run("status", "op", "--observe", "0", "-o", form).stdout)
    assert [*shown] == NAMES
    assert shown.pop("secondsWatched") < 60
    assert shown == {
        "namespace": "default", "name": "op", "state": "led", "holder": "dead_1",
        "acquireTime": "2026-01-02T03:04:05.000000Z", "renewTime": "2026-01-02T03:04:05.000000Z",
        "leaseDurationSeconds": 60, "leaseTransitions": 3, "priority": 7, "transferTo": "pod-x", "hold": "why",
        "secondsSinceRenewalSeen": None,
    }  # fmt: skip


def test_wide(cluster):
    """-o wide has the duration, the priority and the version as well."""
    cluster.make({**HELD, "leaseDurationSeconds": 60}, priority="7")
    head, line = cluster.run("status", "op", "--observe", "0", "-o", "wide").stdout.splitlines()
    assert head.split()[-4:] == ["DURATION", "PRIORITY", "VERSION", "REQUESTS"]
    assert line.split()[-4:] == ["60s", "7", cluster.lease["metadata"]["resourceVersion"], "-"]


@pytest.mark.parametrize(
    ("spec", "annotations", "state", "status"),
    [
        ({}, {}, "free", 1),
        ({**HELD, "holderIdentity": ""}, {}, "free", 1),
        ({}, {"hold": "x"}, "held", 1),
        ({**HELD, "leaseDurationSeconds": 60}, {}, "led", 0),
        ({**HELD, "leaseDurationSeconds": None}, {}, "led", 0),
    ],
)
def test_states(cluster, spec, annotations, state, status):
    """One word for how things are, and the exit status for scripts."""
    cluster.make(spec, **annotations)
    shown = cluster.run("status", "op", "--observe", "200ms", "-o", "json")
    assert (shown.status, json.loads(shown.stdout)["state"]) == (status, state)


def test_a_silent_holder(cluster):
    """Nothing renewed for a third of the duration: silent, and how to find out; for the whole of it: nobody leads."""
    cluster.make({**HELD, "leaseDurationSeconds": 4})
    shown = cluster.run("status", "op", "--observe", "1.5s")
    assert shown.status == 0
    assert "silent" in shown.stdout
    assert "--observe 4s" in shown.stderr
    shown = cluster.run("status", "op", "--observe", "4.2s")
    assert (shown.status, shown.stderr) == (1, "")
    assert "expired" in shown.stdout


def test_wait_for_a_leader(either):
    """--wait ends when somebody was seen to renew; status 0."""
    either.make()
    timer = threading.Timer(0.5, either.join, ["pod-a_1"])
    timer.start()
    shown = either.run("status", "op", "--wait")
    timer.join()
    assert shown.status == 0, shown
    assert "pod-a_1" in shown.stdout


def test_wait_for_somebody(either):
    """--for=holder=NAME takes an identity or a pod's name; a dead holder's name in the Lease is not enough."""
    either.make()
    either.join("pod-a_1", "pod-b_2")
    for name in ("pod-a", "pod-a_1"):
        assert either.run("status", "op", "--wait", f"--for=holder={name}").status == 0
    late = either.run("status", "op", "--wait", "--for=holder=pod-b", "--timeout=300ms")
    assert late.status == 1
    assert late.stderr.startswith("The time is up (0.3 s): pod-a_1 ")


def test_wait_does_not_believe_a_name(either):
    """A holder that nobody has seen renew does not meet --for=leader."""
    either.make({**HELD, "leaseDurationSeconds": 60})
    late = either.run("status", "op", "--wait", "--timeout=300ms")
    assert late.status == 1
    assert "dead_1 holds the Lease, and no renewal was seen" in late.stderr


def test_wait_for_a_lease_to_come(either):
    """--wait bears that the Lease is not there yet; when the time is up it says so."""
    late = either.run("status", "op", "--wait", "--timeout=300ms")
    assert (late.status, late.stdout) == (1, "")
    assert "the Lease does not exist" in late.stderr


def test_watch(either):
    """--watch prints a line for each change that is more than a renewal, the head once; JSON is a line each."""
    either.make()
    either.join("pod-a_1", "pod-b_2")

    def act():
        wait_for(either.looked_on)
        either.elections[0].resign(leave=True)

    token = either.person("get", "watch")
    thread = threading.Thread(target=act)
    thread.start()
    shown = either.run("status", "op", "--watch", "--timeout", "5s", "-o", "json", token=token)
    thread.join()
    assert shown.status == 0
    lines = [json.loads(line) for line in shown.stdout.splitlines()]
    holders = [line["holder"] for line in lines if line["holder"]]
    assert (holders[0], holders[-1]) == ("pod-a_1", "pod-b_2")
    assert len(lines) <= 4
    table = either.run("status", "op", "--watch", "--timeout", "300ms")
    assert table.stdout.count("LEASE") == 1


def test_a_broken_watch_is_opened_again(cluster):
    """A watch that the server ends is no end of --wait."""
    cluster.make()
    ended = []

    async def disturb(request):
        if "watch" in request.query and len(ended) < 2:
            ended.append(request.path)
            return web.json_response({"kind": "Status", "code": 500, "message": "x"}, status=500)
        return None

    cluster.server.on_request = disturb
    timer = threading.Timer(1, cluster.join, ["pod-a_1"])
    timer.start()
    shown = cluster.run("status", "op", "--wait")
    timer.join()
    assert shown.status == 0, shown
    assert len(ended) == 2


def test_the_right_to_get_is_enough(either):
    """Without the right to watch, the Lease is read once a second."""
    either.make()
    either.join("pod-a_1")
    shown = either.run("status", "op", "--wait", token=either.person("get"))
    assert shown.status == 0, shown
    assert "led" in shown.stdout


def test_rights_taken_away_meanwhile(cluster):
    """A 403 while it waits ends it: status 2, and the rule is named."""
    cluster.make()
    token = cluster.person("get")
    timer = threading.Timer(0.5, cluster.server.set_rules, ["person", []])
    timer.start()
    shown = cluster.run("status", "op", "--wait", token=token)
    timer.join()
    assert shown.status == 2
    assert "resourceNames" in shown.stderr


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["op", "--wait", "--watch"], "pass one of them"),
        (["op", "--for=leader"], "pass both"),
        (["op", "--wait", "--for=anything"], "no condition"),
        (["op", "--wait", "--for=holder="], "no condition"),
        (["op", "--timeout=soon"], "no duration"),
        (["op", "-o", "xml"], "xml"),
        (["My_Op"], "DNS-1123"),
        (["a/b"], "DNS-1123"),
        (["op", "-n", "a/b"], "no valid name of a namespace"),
        (["op", "--context", "other"], "no context 'other'"),
        ([], "ID"),
    ],
)
def test_wrong_usage(cluster, arguments, words):
    """What cannot be meant is refused before anything is asked of the server; status 2."""
    done = cluster.run("status", *arguments)
    assert done.status == 2
    assert words in done.stderr
    assert not cluster.server.requests


def test_where_it_runs_the_operator_it_needs_no_arguments(cluster):
    """In an operator's pod the id and the namespace are in the environment, by the operator's own variables."""
    cluster.make(HELD)
    kubeconfig = cluster.server.write_kubeconfig(cluster.folder / "kc", namespace="elsewhere")
    variables = {
        "KOPF_RUN_LEADER_ELECTION_ID": "op",
        "KOPF_RUN_LEADER_ELECTION_NAMESPACE": "default",
        "KUBECONFIG": str(kubeconfig),
    }
    result = CliRunner().invoke(main, ["status", "--observe=0"], env=variables)
    assert result.exit_code == 0, result.output
    assert "default/op" in result.stdout


# Where the credentials come from.


def kubeconfig(folder, name, **content):
    path = folder / name
    path.write_text(yaml.safe_dump(content))
    return path


def test_several_kubeconfigs(tmp_path):
    """KUBECONFIG may name several files: the first wins, absent ones are skipped, paths are relative to their file."""
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "token").write_text("secret\n")
    context = {"name": "x", "context": {"cluster": "c", "user": "u", "namespace": "there"}}
    first = kubeconfig(tmp_path, "a", **{"current-context": "x", "contexts": [context]})
    second = kubeconfig(
        tmp_path / "b", "config", **{"current-context": "y"},
        clusters=[{"name": "c", "cluster": {"server": "http://c.test"}}],
        users=[{"name": "u", "user": {"tokenFile": "token"}}],
    )  # fmt: skip
    place = find(Where(lease_id="op", environ={"KUBECONFIG": f"{tmp_path}/absent:{first}:{second}"}))
    assert (str(place), place.access.server, place.access.token) == ("there/op", "http://c.test", "secret")


def test_in_a_pod(tmp_path):
    """Without a kubeconfig: the pod's service account, its namespace, and its certificate authority."""
    for name, text in {"token": "secret\n", "ca.crt": "PEM", "namespace": "operators"}.items():
        (tmp_path / name).write_text(text)
    environ = {"KUBERNETES_SERVICE_HOST": "fd00::1", "KUBERNETES_SERVICE_PORT": "6443", "HOME": str(tmp_path / "no")}
    place = find(Where(lease_id="op", service_account=tmp_path, environ=environ))
    assert (str(place), place.access.server) == ("operators/op", "https://[fd00::1]:6443")
    assert (place.access.token, place.access.ca_data) == ("secret", "UEVN")
    with pytest.raises(Refused, match="KUBERNETES_SERVICE_HOST"):
        find(Where(lease_id="op", service_account=tmp_path, environ={}))


def test_nowhere(tmp_path):
    """Neither a kubeconfig nor a service account: what was looked for, and what to pass."""
    with pytest.raises(Refused, match="--kubeconfig"):
        find(Where(lease_id="op", service_account=tmp_path, environ={"HOME": str(tmp_path)}))


def test_a_server_of_another_name(tmp_path):
    """tls-server-name is not supported: it is said, not ignored."""
    path = kubeconfig(
        tmp_path, "a", **{"current-context": "x", "contexts": [{"name": "x", "context": {"cluster": "c"}}]},
        clusters=[{"name": "c", "cluster": {"server": "https://127.0.0.1:1", "tls-server-name": "kube.test"}}],
    )  # fmt: skip
    result = CliRunner().invoke(main, ["status", "op", "--kubeconfig", str(path)])
    assert result.exit_code == 2
    assert "tls-server-name" in result.stderr
