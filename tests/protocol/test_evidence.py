"""Proof of death: what proves it (`protocol/evidence.py`, L6); what the machine makes of it: `test_traced.py`."""

from typing import Any

import pytest

from kopf_leader.protocol import evidence
from kopf_leader.protocol.evidence import (
    UNSEEN_ENDS,
    Life,
    _is_over,
    last_words,
    life_in,
    lived_before,
    place_of,
    told_dead,
)
from kopf_leader.protocol.settings import Settings
from tests.protocol.edits import edited

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
ME = identity(run=MY_RUN, start=4712)
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


NO_EARLIER_RUN: dict[str, str] = {
    "the same run, by a supervisor": identity(random="0123456789", run=MY_RUN),
    "the same run, in a PID namespace of its own": identity(random="0123456789", run=MY_RUN, start=4000),
    "a later run": identity(random="0123456789", run="22222222", start=4800),
    "as old as I am": identity(random="0123456789", run="22222222", start=4712),
    "another boot": identity(random="0123456789", run="22222222", boot="00000000"),
    "another container": identity(box="sidecar", run="22222222"),
    "another pod of the same name": identity(uid="another", run="22222222"),
    "another pod": identity(pod="other", run="22222222"),
    "no life": f"{POD}_5f0c9a1e77",
    "nobody": "",
}


@pytest.mark.parametrize("holder", NO_EARLIER_RUN.values(), ids=NO_EARLIER_RUN)
def test_what_is_no_earlier_run_is_not_told_dead(holder: str):
    """L6: the same run, another container, another pod, or a younger process: none of them is proved dead."""
    assert not lived_before(ME, holder)


def test_the_kubelet_reads_the_last_words():
    """L6: the termination message of the holder's container, with its identity: ended for good, or started anew."""
    assert told_dead(reported(state=ended(WORDS)), HOLDER)
    assert told_dead(reported(state={"running": {}}, last=ended(WORDS)), HOLDER)
    assert told_dead(reported(state=ended(f"the user's own\n{WORDS}bye")), HOLDER)
    assert told_dead(reported(state=ended(f"the runtime's own: {WORDS}")), HOLDER)


OTHER_WORDS = last_words(identity(random="0123456789"))
GONE = {**reported(state={"running": {}}), "status": {"phase": "Failed", "reason": "NodeLost"}}
RENAMED = reported(state=ended(WORDS))
RENAMED["metadata"]["name"] = "op-other"
NO_PROOF: dict[str, Any] = {
    "running": reported(state={"running": {}}),
    "ended without a word: another run": reported(state=ended("bye")),
    "another process's last words": reported(state=ended(OTHER_WORDS)),
    "the words of somebody named nearly so": reported(state=ended(last_words(HOLDER) + "0")),
    "the words at the end of others": reported(state=ended("no-" + WORDS)),
    "another pod of the same name": reported(state=ended(WORDS), uid="another"),
    "a pod of another name": RENAMED,
    "shareProcessNamespace": reported(state=ended(WORDS), shareProcessNamespace=True),
    "hostPID": reported(state=ended(WORDS), hostPID=True),
    "container unknown": reported(state=ended(WORDS, reason="ContainerStatusUnknown")),
    "lost by its runtime": reported(last=ended(WORDS, reason="Unknown", exitCode=255)),
    "its start was given up": reported(last=ended(WORDS, reason="StartError", exitCode=128)),
    "it could not be started": reported(last=ended(WORDS, reason="ContainerCannotRun", exitCode=128)),
    "container unknown, as the kubelet says it": reported(
        state=ended("The container could not be located when the pod was terminated", reason="ContainerStatusUnknown")
    ),
    "no container": reported(state=ended(WORDS, containerID="")),
    "marked Failed": GONE,
    "being deleted": {"metadata": {"name": POD, "uid": UID, "deletionTimestamp": "now"}},
    "nonsense": {"metadata": "?", "status": {"containerStatuses": [7, {"state": "?"}]}},
    "nothing": None,
}


@pytest.mark.parametrize("pod", NO_PROOF.values(), ids=NO_PROOF)
def test_what_the_kubelet_has_not_told_is_no_proof(pod: Any):
    """L6: gone, marked Failed, being deleted, lost, another run, a shared PID namespace: none proves the death."""
    assert not told_dead(pod, HOLDER)


# Each condition is needed: without it, the case named beside it is taken for a proof.

WITHOUT: dict[str, tuple[Any, str, str]] = {
    "the same run, in a PID namespace of its own": (lived_before, "me[1].run != other[1].run and later", "later"),
    "a later run": (lived_before, " and me[1].start > other[1].start", ""),
    "as old as I am": (lived_before, "me[1].start > other[1].start", "me[1].start >= other[1].start"),
    "another boot": (lived_before, "me[1].boot == other[1].boot and ", ""),
    "another container": (lived_before, " or me[1].place != other[1].place", ""),
    "another pod": (lived_before, "me[0] != other[0] or ", ""),
    "another process's last words": (_is_over, "line == last_words(holder)", "line.startswith(LAST_WORDS)"),
    "the words of somebody named nearly so": (_is_over, "line == last_words(holder)", "last_words(holder) in line"),
    "the words at the end of others": (_is_over, '": " + last_words(holder)', "last_words(holder)"),
    "container unknown": (_is_over, ' or ended.get("reason") in UNSEEN_ENDS', ""),
    "no container": (_is_over, " or not container", ""),
    "another pod of the same name": (told_dead, "place_of(str(uid), str(name)) == found[1].place", "True"),
    "a pod of another name": (told_dead, 'metadata.get("name") != found[0]', "False"),
    "shareProcessNamespace": (told_dead, 'spec.get("shareProcessNamespace") or ', ""),
    "hostPID": (told_dead, ' or spec.get("hostPID")', ""),
}


@pytest.mark.parametrize("case", WITHOUT)
def test_each_condition_of_a_proof_is_needed(case: str, monkeypatch: pytest.MonkeyPatch):
    """L6: without it, this case would pass for a proof of death: the tests above tell the difference."""
    function, old, new = WITHOUT[case]
    changed = edited(function, old, new)
    monkeypatch.setattr(evidence, function.__name__, changed)
    if function is lived_before:
        assert changed(ME, NO_EARLIER_RUN[case])
    else:
        assert evidence.told_dead(NO_PROOF[case], HOLDER)


@pytest.mark.parametrize("reason", UNSEEN_ENDS)
def test_each_end_that_nobody_has_seen_is_refused(reason: str, monkeypatch: pytest.MonkeyPatch):
    """L6: none of these reasons could be left out."""
    pods = [pod for pod in NO_PROOF.values() if f"'reason': '{reason}'" in str(pod) and WORDS[:-1] in str(pod)]
    assert pods
    monkeypatch.setattr(evidence, "UNSEEN_ENDS", tuple(other for other in UNSEEN_ENDS if other != reason))
    assert any(told_dead(pod, HOLDER) for pod in pods)
