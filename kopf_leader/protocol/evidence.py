"""Proof of death: what tells that the process behind an identity is dead, so that nobody need wait for it (L6).

The idea. Silence proves nothing: a holder that is cut off goes on until its own clock stops it, and this is what the
lease duration is waited for. A process that is dead does nothing any more, whatever its clock would have said. So what
may stand in for the wait is knowledge of the death, of this very process, from who must know it; nothing else: no
time is compared, and nothing is concluded from what is missing.

A process can be told dead only if its identity says where it lives, as a *life*: `<pod>_<random>.<place>.<run>.<boot>.
<start>`. The place is the container in its pod (a digest of the pod's uid and the container's name); the run is the id
that the kubelet gives to each start of a container; boot and start say when PID 1 of the container was started, on the
machine's own count. All of it is read from the kernel (`elector/place.py`), and only where the death of the container's
PID 1 is the death of this process; else the identity has no life, and its holder is waited for.

There are two proofs:

- `lived_before`: I am a later run of the same container. A kubelet starts a container anew only when its runtime has
  said that the run before is over, and with PID 1 the kernel has ended everything in its PID namespace.
- `told_dead`: the pod's status has the last words of the holder, its identity, in the termination message of that
  container. A process writes them when it begins; the file belongs to one run of one container, and the kubelet reads
  it out only when its runtime says that this run has ended. So the report names the process by itself: no container
  ID has to be matched, and a status that lags cannot be taken for one about a later run.

Both rest on the word of the kubelet and of the container runtime on the holder's own node, for their own containers.
"""

import hashlib
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

LAST_WORDS = "kopf-leader: "
UNSEEN_ENDS = ("ContainerStatusUnknown", "Unknown", "StartError", "ContainerCannotRun")
"""Reasons of ends that nobody has seen: concluded from what is missing, or from a start that was given up.

The first is the kubelet's; the second is containerd's, for a container whose task is missing after a restart of its own
or of the machine (`restart.go`); the others tell of a start that failed, and there last words contradict it.
"""
_LIFE = re.compile(
    r"(?P<pod>[a-z0-9][-a-z0-9.]*)_[0-9a-f]{10}"  # it is asked for under this name: nothing else may stand there
    r"\.(?P<place>[0-9a-f]{16})\.(?P<run>[0-9a-f]{8})\.(?P<boot>[0-9a-f]{8})\.(?P<start>[0-9a-f]{1,16})"
)


@dataclass(frozen=True, kw_only=True)
class Life:
    """Where and since when a process lives, as far as its death can be proved."""

    place: str
    """The container in its pod; see `place_of`."""
    run: str
    """Which start of the container: the kubelet's own id for it, eight hexadecimal digits."""
    boot: str
    """Which boot of the machine, eight hexadecimal digits."""
    start: int
    """When PID 1 was started, in ticks since the machine was booted."""

    def __str__(self) -> str:
        return f"{self.place}.{self.run}.{self.boot}.{self.start:x}"


def place_of(pod_uid: str, container: str) -> str:
    """A container in its pod, in sixteen digits: pods' uids are unique, and so are containers' names in a pod."""
    return hashlib.sha256(f"{pod_uid}/{container}".encode()).hexdigest()[:16]


def life_in(identity: str) -> tuple[str, Life] | None:
    """The pod's name and the life in an identity; None where it has none."""
    match = _LIFE.fullmatch(identity)
    if match is None:
        return None
    life = Life(place=match["place"], run=match["run"], boot=match["boot"], start=int(match["start"], 16))
    return match["pod"], life


def lived_before(mine: str, holder: str) -> bool:
    """Whether the holder was a process of my own container, in a run before mine: then it is dead.

    The same run proves nothing: a supervisor as PID 1 may have started several processes. Nor does another start of
    PID 1 alone: there are PID namespaces within containers. The start has to be earlier, so that the elder never takes
    the younger for dead; and in the same boot, for another machine may have come up under the node's name, with its
    pods, while the first one is only cut off.
    """
    me, other = life_in(mine), life_in(holder)
    if me is None or other is None or me[0] != other[0] or me[1].place != other[1].place:
        return False
    later = me[1].boot == other[1].boot and me[1].start > other[1].start
    return me[1].run != other[1].run and later


def last_words(identity: str) -> str:
    """What a process writes to its container's termination message when it begins."""
    return LAST_WORDS + identity


def told_dead(pod: object, holder: str) -> bool:
    """Whether this pod, as its kubelet reports it, shows that the holder's run of its container is over.

    A pod that is marked Failed, being deleted or gone shows nothing: others than the kubelet do that. Nor does a
    container that the kubelet or its runtime has lost (`UNSEEN_ENDS`), for nobody has seen it end.
    """
    found = life_in(holder)
    metadata, status, spec = _part(pod, "metadata"), _part(pod, "status"), _part(pod, "spec")
    if found is None or metadata.get("name") != found[0]:
        return False
    if spec.get("shareProcessNamespace") or spec.get("hostPID"):
        return False  # there PID 1 is somebody else's
    uid, containers = metadata.get("uid"), status.get("containerStatuses")
    for container in containers if isinstance(containers, list) else ():
        name = _part(container).get("name")
        if place_of(str(uid), str(name)) == found[1].place:
            return any(_is_over(ended, holder) for ended in _ends(container))
    return False


def _ends(container: object) -> Iterator[Mapping[str, object]]:
    """What is said of ended runs: of the last one, and of the one before a run that goes on."""
    for which in ("state", "lastState"):
        yield _part(_part(container, which), "terminated")


def _is_over(ended: Mapping[str, object], holder: str) -> bool:
    message, container = ended.get("message"), ended.get("containerID")
    if not isinstance(message, str) or not container or ended.get("reason") in UNSEEN_ENDS:
        return False
    # The runtime's own words, if it has any, are put before: kubelet `kuberuntime_container.go`, toKubeContainerStatus.
    return any(line == last_words(holder) or line.endswith(": " + last_words(holder)) for line in message.splitlines())


def _part(thing: object, name: str | None = None) -> Mapping[str, object]:
    part = thing.get(name) if isinstance(thing, Mapping) and name is not None else thing
    return part if isinstance(part, Mapping) else {}
