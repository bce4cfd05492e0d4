"""Twenty Leases led by one process, an `Elector` each: its threads, its connections, its requests."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from urllib.parse import urlsplit

from bench import machine
from bench.ground import ROOT, Ground
from bench.rows.traffic import count
from bench.table import Line

LEASES = 20
SETTLE = 5.0  # seconds


def measure(ground: Ground, settled: threading.Event) -> list[Line]:
    """For some minutes."""
    plane = ground.control_plane
    namespace = plane.namespace("bench")
    names = ground.leases(namespace, "one-of-many", LEASES)
    user = f"{namespace}-many"
    for name in names:
        plane.grant_lease_rights(user, namespace, name)
    config = plane.kubeconfig(ground.folder / f"{user}.kubeconfig", token=plane.user(user), namespace=namespace)
    command = [sys.executable, "-m", "bench.many", namespace, *names]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, text=True, cwd=ROOT, env={**os.environ, "KUBECONFIG": str(config)}
    ) as process:
        ground.reaper.add(process.pid)
        try:
            assert process.stdout is not None
            leading = {process.stdout.readline().strip() for _ in names}
            assert leading == set(names), f"only of {leading}"
            settled.set()
            time.sleep(SETTLE)
            before, began = machine.processor(process.pid), time.monotonic()
            requests, minutes = count(ground, seconds=ground.pick(300, 60))
            share = (machine.processor(process.pid) - before) / (time.monotonic() - began) * 100
            threads = machine.threads(process.pid) - 1  # the program's own
            connections = machine.connections(process.pid, urlsplit(plane.url).port or 0)
        finally:
            process.kill()
            ground.reaper.forget(process.pid)
    mine = [request for request in requests if request.user == plane.username(user)]
    rates = [sum(request.name == name for request in mine) / minutes for name in names]
    return [
        Line(what=f"{LEASES} Leases in one process: threads beside the program's", values=[float(threads)], unit="",
             target="many: threads"),
        Line(what="its connections, for each Lease", values=[connections / LEASES], unit="",
             target="many: connections", notes=f"{connections} in all"),
        Line(what="its requests, for each Lease", values=rates, unit="/min", target="leader's requests",
             notes=f"in {minutes:.1f} min; {share:.2f} % of a core in all"),
    ]  # fmt: skip
