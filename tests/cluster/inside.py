"""The first process of the namespaces: makes them a machine of their own, and runs pytest. Started by `real`."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from tests.cluster.real import BRIDGE, LINKS, PLUGS, WANTED_BY_KUBELET, WORK

GATEWAY = "10.88.7.1"


def prepare() -> None:
    """Mounts, links and addresses; all of them are seen in here alone."""
    _run("mount", "--make-rprivate", "/")
    _run("mount", "-t", "tmpfs", "-o", "mode=755", "run", "/run")
    WORK.mkdir()
    _lay_over("/var")
    _lay_over("/opt")
    for name, value in WANTED_BY_KUBELET.items():
        file = WORK / name.replace("/", ".")
        file.write_text(f"{value}\n")
        _run("mount", "--bind", str(file), f"/proc/sys/{name}")
    _run("ip", "link", "set", "lo", "up")
    _run("ip", "link", "add", BRIDGE, "type", "bridge")
    # A pair with one end in the bridge: without a pod it would be down.
    _run("ip", "link", "add", PLUGS[0], "type", "veth", "peer", "name", PLUGS[1])
    _run("ip", "link", "set", PLUGS[1], "master", BRIDGE)
    for link in LINKS:
        _run("ip", "link", "set", link, "up")
    _run("ip", "address", "add", f"{GATEWAY}/24", "dev", BRIDGE)
    Path("/proc/sys/net/ipv4/ip_forward").write_text("1")  # of this network namespace


def _lay_over(folder: str) -> None:
    """What is written there reaches the machine's folder never."""
    upper, work = WORK / "over" / folder.strip("/") / "upper", WORK / "over" / folder.strip("/") / "work"
    upper.mkdir(parents=True)
    work.mkdir()
    _run("mount", "-t", "overlay", "-o", f"lowerdir={folder},upperdir={upper},workdir={work}", "over", folder)


def _run(*command: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise OSError(f"{' '.join(command)}: {done.stderr.strip()}")


def main(arguments: Sequence[str]) -> int:
    """Prepare; run pytest as a child, while the orphans of everybody are waited for here."""
    prepare()
    signal.signal(signal.SIGINT, lambda *_: None)  # Ctrl-C is for pytest, which ends by it
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", *arguments]
    if not any(Path(word.partition("::")[0]).exists() for word in arguments):
        command.append(str(Path(__file__).with_name("test_chart.py")))
    tests = subprocess.Popen(command)
    while True:
        pid, status = os.wait()
        if pid == tests.pid:
            return os.waitstatus_to_exitcode(status)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
