"""The chart on real kubelets: gets the programs, enters namespaces, runs the tests there, leaves nothing behind.

    python -m tests.cluster.real                 all of tests/cluster/test_chart.py
    python -m tests.cluster.real -k killed       what pytest takes
    python -m tests.cluster.real --clean         remove what a run left that was killed

Everything lives in namespaces of its own (processes, mounts, network): when their first process ends, in whatever
way, the kernel ends every other one in there (kubelets, containerd, shims, containers), and mounts, links and
addresses go with the last of them. All files are on a file system in memory that is mounted only there. What is left
to remove from outside is cgroups. A kubelet sets sysctls that have no namespace: files with the values that it wants
are laid over them, so the machine's own never change, which the end of the run checks.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

import yaml

from kopf_leader.testing.reaper import Reaper
from tests.chart.helm import CHART
from tests.cluster import cgroups
from tests.cluster.debian import runtime
from tests.cluster.image import pack
from tests.controlplane.binaries import KUBELET, MORE, build, build_more, locate, more

ROOT = Path(__file__).parents[2]
NODES = "KOPF_LEADER_NODES"
"""Set to "kubelet" for the tests inside; what nodes there are."""
CGROUP = "KOPF_LEADER_CGROUP"
IMAGES = "KOPF_LEADER_IMAGES"
"""The names of the cgroups, and the archive of images."""
OPERATOR_IMAGE = f"example.org/operator:{yaml.safe_load((CHART / 'Chart.yaml').read_text())['appVersion']}"
PAUSE_IMAGE = "example.org/pause:1"
ADDED = {"/image/project/tests/e2e/operator": ROOT / "tests" / "e2e" / "operator"}
WORK = Path("/run/kopf-leader")
"""Files of a run, on the namespace's own /run."""
WANTED_BY_KUBELET = {
    "vm/overcommit_memory": "1",
    "vm/panic_on_oom": "0",
    "kernel/panic": "10",
    "kernel/panic_on_oops": "1",
    "kernel/keys/root_maxkeys": "1000000",
    "kernel/keys/root_maxbytes": "25000000",
}
BRIDGE, PLUGS = "kopf0", ("kopf1", "kopf2")
LINKS = (BRIDGE, *PLUGS)
PLACES = (
    str(WORK),
    "/var/lib/kubelet",
    "/var/lib/cni",
    "/var/log/pods",
    "/var/log/containers",
    "/run/containerd",
    "/run/netns",
    "/opt/containerd",
    "/usr/libexec/kubernetes",
)
"""Where kubelet, containerd and the network plugins write on a machine of their own."""
NAMESPACES = ("--mount", "--net", "--pid", "--ipc", "--uts", "--fork", "--kill-child", "--mount-proc")
PR_SET_PDEATHSIG = 1


def why_not() -> str:
    """Why this machine cannot do it, as a sentence; empty if it can."""
    if os.geteuid():
        return "kubelets and containers need root, and this is another user"
    if os.uname().machine != "x86_64":
        return "the image is packed for x86_64, and this is another machine"
    for tool in ("unshare", "nsenter", "mount", "ip"):
        if shutil.which(tool, path=_path()) is None:
            return f"there is no `{tool}` to make namespaces and links with"
    tried = subprocess.run(["unshare", *NAMESPACES, "true"], capture_output=True, text=True, check=False)
    if tried.returncode:
        return f"this machine allows no namespaces: {tried.stderr.strip()}"
    try:
        cgroups.hierarchies()
        locate() or build()
        for names in (MORE, KUBELET):
            if more(names) is None:
                build_more(names)
        runtime()
    except (RuntimeError, OSError, subprocess.CalledProcessError) as error:
        return str(error)
    return ""


def run(arguments: Sequence[str]) -> int:
    """One run of the tests; pytest's status, or 1 if something was left behind."""
    before = _state()
    name = f"{cgroups.PREFIX}{os.getpid()}"
    env = {**os.environ, NODES: "kubelet", CGROUP: name, "TMPDIR": str(WORK), "PATH": _path()}
    reaper = Reaper()  # removes the folder even where this process is killed
    folder = Path(tempfile.mkdtemp(prefix="kopf-leader-image-"))
    reaper.add_folder(folder)
    try:
        print("packing the image ...", flush=True)
        env[IMAGES] = str(pack(folder, name=OPERATOR_IMAGE, pause=PAUSE_IMAGE, added=ADDED))
        for letter in "ab":
            cgroups.make(f"{name}-{letter}")
        inside = [sys.executable, "-m", "tests.cluster.inside", *arguments]
        command = ["unshare", *NAMESPACES, *inside]
        process = subprocess.Popen(command, cwd=ROOT, env=env, preexec_fn=_die_with_parent)  # noqa: PLW1509 - no threads
        status = _wait(process)
    finally:
        cgroups.remove(cgroups.ours(f"{os.getpid()}-"))
        reaper.close()
    deadline = time.monotonic() + 10
    while changed := _changes(before):
        if time.monotonic() > deadline:
            break
        time.sleep(0.1)  # who was killed is on the way out
    print("Left behind or changed: " + ("; ".join(changed) or "nothing."))
    return 1 if changed else status


def clean() -> None:
    """Remove what runs left that did not come to their end. Their processes and mounts went with them."""
    cgroups.remove(cgroups.abandoned())


def main(arguments: Sequence[str]) -> int:
    """See above."""
    if not os.geteuid():
        clean()
    if "--clean" in arguments:
        return 0
    if reason := why_not():
        print(f"The chart cannot be tested on real kubelets here: {reason}.", file=sys.stderr)
        return 1
    return run(arguments)


def _path() -> str:
    return os.pathsep.join([os.environ["PATH"], "/usr/sbin", "/sbin"])


def _wait(process: subprocess.Popen[bytes]) -> int:
    try:
        return process.wait()
    except KeyboardInterrupt:  # there is nothing in there that would have to be ended with care
        process.kill()
        process.wait()
        return 128 + signal.SIGINT


def _die_with_parent() -> None:
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


def _state() -> dict[str, str]:
    """What a run could leave behind on the machine; what others do on it meanwhile is not in here."""
    mounts = [line.split()[4] for line in Path("/proc/self/mountinfo").read_text().splitlines()]
    state = {f"sysctl {name}": Path("/proc/sys", name).read_text().strip() for name in WANTED_BY_KUBELET}
    state["links"] = " ".join(name for name in LINKS if Path("/sys/class/net", name).exists())
    state["mounts"] = " ".join(sorted(path for path in mounts if path.startswith(PLACES)))
    state["cgroups"] = " ".join(map(str, cgroups.ours(f"{os.getpid()}-")))
    state["processes"] = " ".join(sorted(_ours()))
    for place in PLACES:
        state[place] = "there" if Path(place).exists() else "not there"
    return state


def _changes(before: Mapping[str, str]) -> list[str]:
    after = _state()
    return [f"{what}: {old} before, {after[what]} after" for what, old in before.items() if after[what] != old]


def _ours() -> list[str]:
    """Processes of this run, by the variable that all of them inherit; containers are found by their cgroups."""
    mark = f"{CGROUP}={cgroups.PREFIX}{os.getpid()}".encode()
    found = []
    for entry in Path("/proc").iterdir():
        with contextlib.suppress(OSError):  # it has ended meanwhile
            if entry.name.isdigit() and mark in (entry / "environ").read_bytes().split(b"\0"):
                found.append(f"{entry.name} {(entry / 'comm').read_text().strip()}")
    return found


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
