"""Where this process lives, as the kernel tells it: what its identity says of it, for proofs of death (`evidence`).

The kubelet mounts one file of its own into each container, for the termination message, from
`…/pods/<uid>/containers/<name>/<run>`: a new one for each start of the container (kubelet
`kuberuntime_container.go`, makeMounts). The kernel names the source of a mount, so pod, container and run are known
from the kubelet itself, whatever the pod's author has put into variables.
"""

import hashlib
import os
import re
import socket
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from kopf_leader.protocol.evidence import Life, last_words, place_of

PROC = Path("/proc")
_SOURCE = re.compile(r".*/pods/(?P<uid>[^/]+)/containers/(?P<container>[^/]+)/(?P<run>[0-9a-f]{8})")
_OCTAL = re.compile(r"\\([0-7]{3})")
_STARTED = 19  # the 22nd field of /proc/<pid>/stat, counted after the name, which may hold spaces (proc(5))


class Unprovable(Exception):  # noqa: N818 (no failure: a fact about this place)
    """The death of this process could not be proved from here; why, as the end of a sentence."""


@dataclass(frozen=True, kw_only=True)
class Place:
    """A process in a container of a kubelet, whose PID 1 takes it along when it dies."""

    life: Life
    message: Path
    """The termination message of this run."""

    def leave_word(self, identity: str) -> None:
        """Write the last words beforehand: a process that is killed says nothing. Raises OSError."""
        with self.message.open("a", encoding="utf-8") as message:
            message.write(("\n" if message.tell() else "") + last_words(identity) + "\n")


def leave_mark(identity: str) -> socket.socket:
    """Be found by `is_marked` until this is closed, or the process has ended: the kernel sees to it. Raises OSError.

    It is an abstract socket: those who share a network see its name, and the containers of a pod do.
    """
    mark = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    try:
        mark.bind(_mark(identity))
    except OSError:
        mark.close()
        raise
    return mark


def is_marked(identity: str) -> bool:
    """Whether a process of this identity is alive in this pod; also where it cannot be told."""
    try:
        leave_mark(identity).close()
    except OSError:
        return True  # its name is taken, or this is no place for such names
    return False


def find_place(proc: Path | None = None, *, pid: int | None = None) -> Place:
    """Where this process lives. Raises `Unprovable` where its death could not be told from there."""
    try:
        return _find(proc or PROC, os.getpid() if pid is None else pid)
    except (OSError, ValueError, IndexError) as error:
        raise Unprovable(f"what the kernel says of this process cannot be read ({error})") from error


def _find(proc: Path, pid: int) -> Place:
    if str((proc / "self").readlink()) != str(pid):
        raise Unprovable("/proc is that of another PID namespace")
    mountinfo = (proc / "self/mountinfo").read_text(encoding="utf-8", errors="replace")
    if [target for _, target in _mounts(mountinfo)].count("/proc") != 1:
        raise Unprovable("/proc has been mounted anew: this is a PID namespace within the container's")
    mounts = [*_messages(mountinfo)]
    if len(mounts) != 1:
        raise Unprovable(
            "no kubelet has mounted a termination message here" if not mounts else "there are several messages"
        )
    [(uid, container, run, message)] = mounts
    # Containers have a mount namespace each. So PID 1 belongs to this container, or to the pod's sandbox
    # (shareProcessNamespace), or to the host (hostPID); only the first takes this process along.
    if pid != 1 and (proc / "1/ns/mnt").readlink() != (proc / "self/ns/mnt").readlink():
        raise Unprovable("PID 1 belongs to another container or to the host: its PID namespace is shared")
    boot = (proc / "sys/kernel/random/boot_id").read_text(encoding="ascii").strip().replace("-", "")[:8]
    if not re.fullmatch("[0-9a-f]{8}", boot):
        raise ValueError("the boot has no id")
    stat = (proc / "1/stat").read_text(encoding="utf-8", errors="replace")
    start = int(stat.rpartition(")")[2].split()[_STARTED])
    return Place(life=Life(place=place_of(uid, container), run=run, boot=boot, start=start), message=message)


def _mark(identity: str) -> str:
    return "\0kopf-leader/" + hashlib.sha256(identity.encode()).hexdigest()[:32]  # the kernel takes 107 bytes


def _messages(mountinfo: str) -> list[tuple[str, str, str, Path]]:
    """The mounts of termination messages: pod uid, container, run, and where it is mounted."""
    found = []
    for source, target in _mounts(mountinfo):
        if match := _SOURCE.fullmatch(source):
            found.append((match["uid"], match["container"], match["run"], Path(target)))
    return found


def _mounts(mountinfo: str) -> Iterator[tuple[str, str]]:
    """What is mounted where: the path within its filesystem, and the mount point (proc_pid_mountinfo(5))."""
    for line in mountinfo.splitlines():
        source, target = (_OCTAL.sub(lambda code: chr(int(code[1], 8)), field) for field in line.split()[3:5])
        yield source, target
