"""Where one pod's processes live: a mount namespace and a network namespace of their own, made by a thread.

Namespaces belong to threads. The sandbox is a thread that has left those of the others; whatever it starts or opens is
inside: mounts, processes, and sockets, which stay where they were opened, whoever uses them.
"""

from __future__ import annotations

import ctypes
import fcntl
import os
import queue
import shutil
import socket
import struct
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from pathlib import Path
from typing import Any, TypeVar

from kopf_leader.testing.proxy import bound

T = TypeVar("T")
CLONE_NEWNS, CLONE_NEWNET = 0x00020000, 0x40000000
SYSTEM = ("usr", "bin", "sbin", "lib", "lib64", "etc", "dev", "proc")


class Sandbox:
    """One pod's place. `shown` are folders of the host that its "image" holds, each at a path of its own."""

    def __init__(self, root: Path, *, shown: Mapping[str, Path]) -> None:
        self.root = root
        self._shown = shown
        self._calls: queue.SimpleQueue[tuple[Callable[[], Any], Future[Any]] | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._live, name=f"sandbox {root.name}", daemon=True)
        self._thread.start()
        self.call(self._enter)

    def call(self, function: Callable[[], T]) -> T:
        """Do it inside, and wait for it."""
        future: Future[T] = Future()
        self._calls.put((function, future))
        return future.result(60)

    def close(self) -> None:
        """The namespaces go with the last process inside."""
        self._calls.put(None)
        self._thread.join(10)

    def bind(self, port: int) -> socket.socket:
        """A socket of the sandbox's own loopback."""
        return self.call(lambda: bound(port))

    def connect(self, port: int, timeout: float) -> socket.socket:
        """A connection to a port of the sandbox."""
        return self.call(lambda: socket.create_connection(("127.0.0.1", port), timeout))

    def mount(self, source: Path, target: str) -> None:
        """Show a folder of the host at `target`."""
        self.call(lambda: self._bind_mount(source, target))

    def seal(self) -> None:
        """Make the root read-only; what was mounted into it stays as it is."""
        self.call(lambda: _run("mount", "-o", "remount,ro", str(self.root)))

    def popen(self, argv: Sequence[str], *, env: Mapping[str, str], user: int, group: int, log: Path) -> Any:
        """Start a process inside, as this user."""
        program = shutil.which("chroot", path=f"{os.environ['PATH']}:/usr/sbin:/sbin") or "chroot"
        command = [program, f"--userspec={user}:{group}", "--groups=", str(self.root), *argv]

        def start() -> subprocess.Popen[bytes]:
            with log.open("ab") as output:
                return subprocess.Popen(command, env=dict(env), stdin=subprocess.DEVNULL, stdout=output, stderr=output)

        return self.call(start)

    # In the thread.

    def _live(self) -> None:
        while (item := self._calls.get()) is not None:
            function, future = item
            try:
                future.set_result(function())
            except BaseException as error:  # for the caller
                future.set_exception(error)

    def _enter(self) -> None:
        libc = ctypes.CDLL(None, use_errno=True)
        if libc.unshare(CLONE_NEWNS | CLONE_NEWNET):
            raise OSError(ctypes.get_errno(), "no namespaces of one's own: this needs root")
        _run("mount", "--make-rprivate", "/")
        _loopback_up()
        self.root.mkdir(parents=True, exist_ok=True)
        _run("mount", "-t", "tmpfs", "-o", "mode=755", "pod", str(self.root))
        for name in SYSTEM:
            path = Path("/") / name
            if path.is_symlink():
                (self.root / name).symlink_to(path.readlink())
            elif path.is_dir():
                (self.root / name).mkdir()
                _run("mount", "--rbind", str(path), str(self.root / name))
        if not sys.base_prefix.startswith("/usr"):
            self._bind_mount(Path(sys.base_prefix), sys.base_prefix)
        for target, path in self._shown.items():
            self._bind_mount(path, target)
        (self.root / "tmp").mkdir(exist_ok=True)
        (self.root / "var").mkdir(exist_ok=True)
        (self.root / "run").mkdir(exist_ok=True)
        (self.root / "var" / "run").symlink_to("../run")

    def _bind_mount(self, source: Path, target: str) -> None:
        place = self.root / target.lstrip("/")
        place.mkdir(parents=True, exist_ok=True)
        _run("mount", "--bind", str(source), str(place))


def _run(*command: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise OSError(f"{' '.join(command)}: {done.stderr.strip()}")


def _loopback_up() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        request = struct.pack("16sH14s", b"lo", 0x1 | 0x40, b"")  # IFF_UP | IFF_RUNNING
        fcntl.ioctl(sock, 0x8914, request)  # SIOCSIFFLAGS
