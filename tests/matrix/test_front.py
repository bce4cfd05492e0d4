"""The HTTP server of the matrix: does it pass what it should, and hit what a rule names?"""

from __future__ import annotations

import json
import queue
import ssl
import threading
from collections.abc import Iterator
from http.client import HTTPSConnection

import pytest
from aiohttp.test_utils import make_mocked_request

from tests.controlplane.api import Api
from tests.controlplane.server import RealControlPlane
from tests.matrix.front import Deaf, Front, Reply, Rule, Withheld, asked_of, front_of

LEASES = "/apis/coordination.k8s.io/v1/namespaces/{}/leases"


@pytest.fixture
def front(control_plane: RealControlPlane) -> Iterator[Front]:
    """Before the real API server."""
    front = front_of(control_plane.url, str(control_plane.folder)).start()
    yield front
    front.stop()


@pytest.fixture
def api(control_plane: RealControlPlane, front: Front) -> Api:
    """The API server, seen through it."""
    return Api(f"https://127.0.0.1:{front.port}", control_plane.ca_file, control_plane.admin_token)


@pytest.mark.parametrize(
    ("method", "path", "verb", "resource"),
    [
        ("GET", f"{LEASES.format('n')}/op", "get", "leases"),
        ("GET", LEASES.format("n"), "list", "leases"),
        ("GET", f"{LEASES.format('n')}?watch=1", "watch", "leases"),
        ("POST", LEASES.format("n"), "create", "leases"),
        ("PUT", f"{LEASES.format('n')}/op", "update", "leases"),
        ("PATCH", "/apis/kopf.dev/v1/namespaces/n/kopfexamples/one/status", "patch", "kopfexamples"),
        ("GET", "/apis/kopf.dev/v1/kopfexamples?watch=true", "watch", "kopfexamples"),
        ("GET", "/api/v1/namespaces", "list", "namespaces"),
        ("GET", "/api/v1/namespaces/n", "get", "namespaces"),
        ("GET", "/apis", "get", ""),
    ],
)
def test_requests_are_named_in_the_words_of_rbac(method: str, path: str, verb: str, resource: str) -> None:
    """A rule names verbs and resources as RBAC does."""
    asked = asked_of(make_mocked_request(method, path), b"")
    assert (asked.verb, asked.resource) == (verb, resource)


def test_what_no_rule_names_passes(control_plane: RealControlPlane, front: Front, api: Api) -> None:
    """Bodies, statuses and errors come from the real one."""
    path = LEASES.format(control_plane.namespace())
    made = api.create(path, {"metadata": {"name": "op"}, "spec": {"holderIdentity": "one"}})
    assert api.get(f"{path}/op") == made
    assert api.attempt("GET", f"{path}/other")[0] == 404
    front.rules = (Rule(Reply(409, b"{}"), ("update",)), Rule(Reply(500, b"{}"), resource="pods"))
    assert api.get(f"{path}/op") == made
    assert api.attempt("PUT", f"{path}/op", made)[0] == 409
    front.rules = ()
    assert api.replace(f"{path}/op", made)["metadata"]["uid"] == made["metadata"]["uid"]
    assert [asked.verb for asked in front.answered] == ["update"]


def test_a_withheld_reply_comes_when_the_rules_change(control_plane: RealControlPlane, front: Front, api: Api) -> None:
    """The request has landed meanwhile."""
    path = LEASES.format(control_plane.namespace())
    front.rules = (Rule(Withheld(), ("create",)),)
    answers: queue.Queue[int] = queue.Queue()
    body = {"metadata": {"name": "op"}, "spec": {}}
    threading.Thread(target=lambda: answers.put(api.attempt("POST", path, body)[0]), daemon=True).start()
    while control_plane.admin.attempt("GET", f"{path}/op")[0] != 200:
        assert answers.empty()
    assert answers.empty()
    front.rules = ()
    assert answers.get(timeout=30) == 201


def test_a_deaf_watch_stays_open_and_brings_nothing(control_plane: RealControlPlane, front: Front, api: Api) -> None:
    """Events that came while it was deaf are gone; later ones come again."""
    path = LEASES.format(control_plane.namespace())
    context = ssl.create_default_context(cafile=str(control_plane.ca_file))
    connection = HTTPSConnection("127.0.0.1", front.port, context=context, timeout=30)
    connection.request("GET", f"{path}?watch=1", headers={"Authorization": f"Bearer {control_plane.admin_token}"})
    response = connection.getresponse()
    api.create(path, {"metadata": {"name": "first"}, "spec": {}})
    assert json.loads(response.readline())["object"]["metadata"]["name"] == "first"
    front.rules = (Rule(Deaf(), ("watch",)),)
    api.create(path, {"metadata": {"name": "second"}, "spec": {}})
    _wait_until_swallowed(front)
    front.rules = ()
    api.create(path, {"metadata": {"name": "third"}, "spec": {}})
    assert json.loads(response.readline())["object"]["metadata"]["name"] == "third"
    connection.close()


def _wait_until_swallowed(front: Front) -> None:
    done = threading.Event()
    for _ in range(3000):
        if front.swallowed:
            return
        done.wait(0.01)
    raise AssertionError("the watch has brought nothing that could be swallowed")


def test_a_server_that_is_gone_is_a_broken_connection(control_plane: RealControlPlane, api: Api) -> None:
    """No answer is made up."""
    control_plane.kill()
    with pytest.raises(OSError, match=r".+"):
        api.attempt("GET", "/version")
    control_plane.revive()
    assert api.get("/version")["major"] == "1"
