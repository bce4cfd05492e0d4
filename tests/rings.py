"""Run the rings of tests one after the other, the cheap ones first; stop at the first that fails; say which ran.

python -m tests.rings            all rings
python -m tests.rings protocol   these rings only
"""

import os
import signal
import subprocess
import sys
import tempfile
import time
import xml.etree.ElementTree as ET
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from threading import Lock
from typing import IO

TESTS = Path(__file__).parent
REAL = "KOPF_LEADER_REQUIRE_REAL"
PRINTING = Lock()


@dataclass(frozen=True)
class Ring:
    """One folder of tests with one question."""

    name: str
    asks: str
    workers: int = 2
    """Processes that run its tests; more than there are cores where tests mostly wait."""
    real: bool = False
    """Whether it needs the real control plane for some or all of its tests."""
    maker: str = ""
    """A module that makes what else it needs, which would take too long inside of a test."""
    beside: bool = False
    """Whether it runs beside the ring before it, as both mostly wait; their output comes one after the other."""


RINGS = (
    Ring("protocol", "the laws, in virtual time: does the machine decide right?"),
    Ring("elector", "the driver, in virtual time: does it do what was decided, whatever the world does?"),
    Ring("testing", "the test kit: are proxy and history checker to be trusted?"),
    Ring("clients", "the client: credentials, TLS, every bad answer", real=True),
    Ring("contract", "one suite on the embedded and the real API server: do they behave alike?", real=True),
    Ring("gate", "kopf's side: opening, closing, draining, fencing", workers=4),
    Ring(
        "operations", "what people see: health, metrics, Events, logs; whole processes on both API servers", real=True
    ),
    Ring(
        "chart",
        "the Helm chart, rendered: does it keep its promises, and refuse what contradicts itself?",
        maker="tests.chart.programs",
    ),
    Ring("docs", "the documentation: does it say what the code says?"),
    Ring("cli", "the command line, the environment, the examples; the commands on both API servers", real=True),
    Ring("security", "rights, secrets, hostile Leases, hostile clients of the endpoints: what can they do?", real=True),
    Ring("scripts", "without kopf, and by other clients: whole processes on both API servers", workers=4, real=True),
    Ring("examples", "every example: does it do what its README says, on both API servers?", real=True),
    Ring("package", "wheel, sdist and image: do they work where nothing else is installed?", workers=0),
    Ring(
        "simulation", "the driver on the embedded API server, under schedules of faults: does the claim hold for hours?"
    ),
    Ring("seam", "the gate on each supported kopf release", workers=6),
    Ring("controlplane", "the control plane of the tests itself", workers=0, real=True),
    Ring(
        "fencing", "fencing by the API server, with bound tokens: whose write is refused, and whose is not?", real=True
    ),
    Ring("e2e", "real processes on a real API server, with faults", workers=4, real=True),
    Ring("bench", "what is measured, in ratios: has none of it become another thing?", workers=0, real=True),
    Ring(
        "matrix",
        "the fault matrix: the rows that e2e does not have; all of them by `make matrix`",
        workers=3,
        real=True,
    ),
    Ring(
        "mixed",
        "fleets of ours and others', client-go's above all: is it never ours that is at fault?",
        workers=0,
        real=True,
        maker="tests.mixed.programs",
    ),
    Ring(
        "cluster",
        "the chart on a small cluster: installed, killed, drained, rolled out",
        workers=0,
        real=True,
        maker="tests.chart.programs",
        beside=True,
    ),
    Ring("demo", "the demo: does it count right, and leave nothing behind?", workers=0, real=True, beside=True),
)


@dataclass
class Result:
    """What one ring came to."""

    ring: Ring
    passed: int = 0
    failed: int = 0
    skipped: int = 0
    seconds: float = 0.0
    reasons: tuple[str, ...] = ()

    def sentence(self) -> str:
        if not self.seconds:
            return "did not run: a ring before it failed"
        line = f"{self.passed} passed, {self.failed} failed in {self.seconds:.0f} s"
        if self.skipped:
            line += f"; {self.skipped} did not run: {'; '.join(self.reasons)}"
        return line


def run(ring: Ring, output: IO[str] | None = None) -> Result:
    """Run one ring in a pytest of its own, which prints into `output` if it is given."""
    result = Result(ring)
    print(f"\n=== {ring.name}: {ring.asks}", flush=True, file=output)
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "report.xml"
        command = [sys.executable, "-m", "pytest", "-q", f"--junitxml={report}", str(TESTS / ring.name)]
        if ring.workers:
            command += ["-n", str(ring.workers), "--dist", "loadgroup"]
        start = time.monotonic()
        status = subprocess.run(command, check=False, stdout=output, stderr=output and subprocess.STDOUT).returncode
        result.seconds = max(time.monotonic() - start, 0.1)
        if report.exists():
            count(report, result)
    if status not in (0, 5) and not result.failed:
        result.failed = 1  # collection or the run itself broke down
    if status == 5:
        result.failed, result.reasons = 1, ("it has no tests",)
    return result


def run_beside(rings: Sequence[Ring]) -> list[Result]:
    """Run rings at the same time; print what each had to say as soon as it has ended, in one piece."""
    if len(rings) == 1:
        return [run(rings[0])]
    print(f"\n=== side by side: {', '.join(ring.name for ring in rings)}", flush=True)

    def run_quietly(ring: Ring) -> Result:
        with tempfile.TemporaryFile("w+") as output:
            result = run(ring, output)
            output.seek(0)
            with PRINTING:
                print(output.read(), end="", flush=True)
        return result

    with ThreadPoolExecutor(len(rings)) as threads:
        return list(threads.map(run_quietly, rings))


def together(rings: Sequence[Ring]) -> list[list[Ring]]:
    """The rings in their order; those that run side by side are in one list."""
    groups: list[list[Ring]] = []
    for number, ring in enumerate(rings):
        if ring.beside and number and RINGS.index(rings[number - 1]) == RINGS.index(ring) - 1:
            groups[-1].append(ring)
        else:
            groups.append([ring])
    return groups


def count(report: Path, result: Result) -> None:
    """Read pytest's own report."""
    reasons = []
    for case in ET.parse(report).getroot().iter("testcase"):
        if case.find("failure") is not None or case.find("error") is not None:
            result.failed += 1
        elif (skip := case.find("skipped")) is not None:
            result.skipped += 1
            reasons.append(skip.get("message") or "no reason given")
        else:
            result.passed += 1
    result.reasons = tuple(dict.fromkeys(reasons))


def prepare_control_plane(rings: Sequence[Ring]) -> None:
    """Find or build the real control plane before the tests, as a build takes minutes; say what came of it."""
    if any(ring.real for ring in rings):
        subprocess.run([sys.executable, "-m", "tests.controlplane.binaries"], check=bool(os.environ.get(REAL)))


def main(names: Sequence[str]) -> int:
    if unknown := set(names) - {ring.name for ring in RINGS}:
        print(f"There is no ring {', '.join(sorted(unknown))}: choose from {', '.join(ring.name for ring in RINGS)}.")
        return 2
    # A shell that runs this in the background lets it ignore these, which every process of the tests would inherit.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGQUIT, signal.SIG_DFL)
    rings = [ring for ring in RINGS if not names or ring.name in names]
    results: list[Result] = []
    built = False
    for group in together(rings):
        if any(ring.real for ring in group) and not built:
            prepare_control_plane(rings)
            built = True
        for maker in dict.fromkeys(ring.maker for ring in group if ring.maker):
            subprocess.run([sys.executable, "-m", maker], check=False)
        results += run_beside(group)
        if any(result.failed for result in results):
            break
    results += [Result(ring) for ring in rings[len(results) :]]
    print("\nRings of tests")
    for result in results:
        print(f"  {result.ring.name:<13}{result.sentence()}")
    totals = [sum(getattr(result, what) for result in results) for what in ("passed", "failed", "skipped")]
    print("{} passed, {} failed, {} skipped".format(*totals))
    return 1 if totals[1] else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
