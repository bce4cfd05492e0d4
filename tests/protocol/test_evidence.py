"""Proof of death: what proves it (`protocol/evidence.py`, L6); what the machine makes of it: `test_traced.py`."""

from typing import Any

import pytest

from kopf_leader.protocol.evidence import Life, last_words, life_in, lived_before, place_of, told_dead
from kopf_leader.protocol.settings import Settings

UID, POD = "2f5c7c9e-9d0a-4c55-8a39-7c0b0a4f4f11", "op-7d4b9-x2x8p"


def identity(*, pod: str = POD, random: str = "5f0c9a1e77", uid: str = UID, box: str = "operator", **life: Any) -> str:
    """As `make_identity` makes it."""
    given: dict[str, Any] = {"run": "0a1b2c3d", "boot": "9f8e7d6c", "start": 4711}
    return f"{pod}_{random}.{Life(place=place_of(uid, box), **(given | life))}"


def reported(*, state: Any = None, last: Any = None, uid: str = UID, **spec: Any) -> dict[str, Any]:
    """A pod with one container, as its kubelet reports it."""
    status = {"name": "operator", "containerID": "containerd://2", "state": state or {}, "lastState": last or {}}
    metadata = {"name": POD, "uid": uid, "namespace": "ns", "resourceVersion": "5"}
    return {"metadata": metadata, "spec": spec, "status": {"phase": "Running", "containerStatuses": [status]}}


def ended(message: str, **more: Any) -> dict[str, Any]:
    """A run that is over."""
    return {
        "terminated": {"exitCode": 137, "reason": "Error", "containerID": "containerd://1", "message": message, **more}
    }


HOLDER, MY_RUN = identity(), "11111111"
WORDS = last_words(HOLDER) + "\n"


def test_an_identity_with_a_life_is_read_back():
    """L10: the identity stays `<pod name>_<rest>`, within 253 characters, and says where the process lives."""
    pod, life = life_in(HOLDER) or pytest.fail("no life")
    assert pod == POD
    assert life == Life(place=place_of(UID, "operator"), run="0a1b2c3d", boot="9f8e7d6c", start=4711)
    assert Settings(name="op", namespace="ns", identity=identity(pod="p" * 190)).identity
    for other in (
        "op_5f0c9a1e77",
        "somebody",
        "",
        f"{HOLDER}.more",
        HOLDER.upper(),
        identity(pod="../../services/x/proxy/y"),
    ):
        assert life_in(other) is None


def test_an_earlier_run_of_the_same_container_is_dead():
    """L6: a kubelet starts a container anew when the run before is over; another boot may be another machine's."""
    me = identity(random="0123456789", run="11111111", start=4712)
    assert lived_before(me, HOLDER)
    assert not lived_before(identity(random="0123456789", run="11111111", boot="00000000", start=9999), HOLDER)


@pytest.mark.parametrize(
    "holder",
    [
        pytest.param(identity(random="0123456789", run=MY_RUN), id="the same run, by a supervisor"),
        pytest.param(
            identity(random="0123456789", run=MY_RUN, start=4000), id="the same run, in a PID namespace of its own"
        ),
        pytest.param(identity(random="0123456789", run="22222222", start=4800), id="a later run"),
        pytest.param(identity(random="0123456789", run="22222222", start=4712), id="as old as I am"),
        pytest.param(identity(box="sidecar", run="22222222"), id="another container"),
        pytest.param(identity(uid="another", run="22222222"), id="another pod of the same name"),
        pytest.param(identity(pod="other", run="22222222"), id="another pod"),
        pytest.param(f"{POD}_5f0c9a1e77", id="no life"),
        pytest.param("", id="nobody"),
    ],
)
def test_what_is_no_earlier_run_is_not_told_dead(holder: str):
    """L6: the same run, another container, another pod, or a younger process: none of them is proved dead."""
    assert not lived_before(identity(run=MY_RUN, start=4712), holder)


def test_the_kubelet_reads_the_last_words():
    """L6: the termination message of the holder's container, with its identity: ended for good, or started anew."""
    assert told_dead(reported(state=ended(WORDS)), HOLDER)
    assert told_dead(reported(state={"running": {}}, last=ended(WORDS)), HOLDER)
    assert told_dead(reported(state=ended(f"the user's own\n{WORDS}bye")), HOLDER)
    assert told_dead(reported(state=ended(f"the runtime's own: {WORDS}")), HOLDER)


@pytest.mark.parametrize(
    "pod",
    [
        pytest.param(reported(state={"running": {}}), id="running"),
        pytest.param(reported(state=ended("bye")), id="ended without a word: another run"),
        pytest.param(
            reported(state=ended(last_words(identity(random="0123456789")))), id="another process's last words"
        ),
        pytest.param(reported(state=ended(WORDS), uid="another"), id="another pod of the same name"),
        pytest.param(reported(state=ended(WORDS), shareProcessNamespace=True), id="shareProcessNamespace"),
        pytest.param(reported(state=ended(WORDS), hostPID=True), id="hostPID"),
        pytest.param(reported(state=ended(WORDS, reason="ContainerStatusUnknown")), id="container unknown"),
        pytest.param(reported(last=ended(WORDS, reason="Unknown", exitCode=255)), id="lost by its runtime"),
        pytest.param(reported(last=ended(WORDS, reason="StartError", exitCode=128)), id="its start was given up"),
        pytest.param(
            reported(
                state=ended(
                    "The container could not be located when the pod was terminated", reason="ContainerStatusUnknown"
                )
            ),
            id="container unknown, as the kubelet says it",
        ),
        pytest.param(reported(state=ended(WORDS, containerID="")), id="no container"),
        pytest.param(
            {**reported(state={"running": {}}), "status": {"phase": "Failed", "reason": "NodeLost"}}, id="marked Failed"
        ),
        pytest.param({"metadata": {"name": POD, "uid": UID, "deletionTimestamp": "now"}}, id="being deleted"),
        pytest.param({"metadata": "?", "status": {"containerStatuses": [7, {"state": "?"}]}}, id="nonsense"),
        pytest.param(None, id="nothing"),
    ],
)
def test_what_the_kubelet_has_not_told_is_no_proof(pod: Any):
    """L6: gone, marked Failed, being deleted, lost, another run, a shared PID namespace: none proves the death."""
    assert not told_dead(pod, HOLDER)
