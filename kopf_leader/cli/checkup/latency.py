"""How long the API server takes to answer, and whether the timings leave room for that.

Writes are rehearsed: a PUT of the Lease as it is, with dryRun=All, which goes through admission and validation and is
not stored. What it costs to store a write comes on top, some milliseconds of etcd's disk.
"""

import asyncio
import math
import statistics
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass

from kopf_leader.cli.checkup.finding import Finding, fail, ok, warn
from kopf_leader.cli.lease.command import Reached
from kopf_leader.errors import LeaseAPIError
from kopf_leader.protocol.settings import Settings

SAMPLES = 100
LONGEST = 5.0  # seconds of asking, for each kind of request
FEWEST = 3
ATTEMPTS = 3  # to renew before the renew deadline: with so many, two in a row may fail


@dataclass(frozen=True, kw_only=True)
class Measured:
    """What some requests, one after the other, have taken, in seconds."""

    taken: tuple[float, ...]
    failed: int = 0
    trouble: LeaseAPIError | None = None

    @property
    def usual(self) -> float:
        """The median."""
        return statistics.median(self.taken)

    @property
    def slow(self) -> float:
        """The 99th percentile; of less than a hundred, the slowest."""
        return sorted(self.taken)[math.ceil(len(self.taken) * 0.99) - 1]

    def __str__(self) -> str:
        times = f"{self.usual * 1000:.0f} ms (median), {self.slow * 1000:.0f} ms (99th percentile)"
        return f"{times}, {len(self.taken)} requests"


async def reads(reached: Reached) -> Measured:
    """GET of the Lease."""

    async def read() -> None:
        try:
            await reached.client.read()
        except LeaseAPIError as error:
            if error.status != 404:
                raise

    return await _measure(read)


async def writes(reached: Reached) -> Measured:
    """Rehearsed PUT of the Lease. Nothing is stored."""
    path = f"{reached.client.path}?dryRun=All"
    body = dict(await reached.client.read())

    async def write() -> None:
        nonlocal body
        try:
            body = dict(await reached.client.exchange("PUT", path, body))
        except LeaseAPIError as error:
            if error.status != 409:
                raise
            body = dict(await reached.client.read())  # the leader has renewed it

    return await _measure(write)


async def _measure(request: Callable[[], Awaitable[None]]) -> Measured:
    loop = asyncio.get_running_loop()
    begun, taken, failed, trouble = loop.time(), list[float](), 0, None
    await request()  # opens the connection, which a renewal seldom has to
    while len(taken) < SAMPLES and (len(taken) < FEWEST or loop.time() < begun + LONGEST):
        sent = loop.time()
        try:
            await request()
        except LeaseAPIError as error:
            if error.denied:
                raise
            failed, trouble = failed + 1, error
            if failed > len(taken) + FEWEST:
                raise
            await asyncio.sleep(min(error.retry_after or 0.1, LONGEST))
        else:
            taken.append(loop.time() - sent)
    return Measured(taken=tuple(taken), failed=failed, trouble=trouble)


def judge(read: Measured | None, write: Measured | None, settings: Settings) -> Iterator[Finding]:
    """A line for what was measured, and one for whether the timings go with it."""
    for check, measured in (("reads", read), ("writes", write)):
        if measured is None:
            continue
        if measured.failed:
            change = f"find out why; the last error: {measured.trouble}"
            yield warn(check, f"{measured}; {measured.failed} failed", change)
        else:
            yield ok(check, f"{measured}{', rehearsed' if check == 'writes' else ''}")
    measured = write or read
    if measured is not None:
        yield _timing(measured.slow, settings)


def unwritten(error: LeaseAPIError) -> Finding:
    """A dry run is refused by an admission webhook, as a rule; one that fails shows that writes fail."""
    if error.refused:
        return warn("writes", "a rehearsed write was refused", f"find out whether real ones are, too: {error}")
    return fail("writes", "rehearsed writes fail", f"find out why: {error}")


def attempts(slow: float, settings: Settings) -> int:
    """How many attempts to renew fit in before the renew deadline, where each takes so many seconds.

    The first begins one retry period after the last renewal was sent; after a failed one the Lease is read, which takes
    as long again (L4).
    """
    if slow >= settings.attempt_timeout:
        return 0
    room = settings.renew_deadline - settings.retry_period - slow
    return math.floor(room / max(settings.retry_period, 2 * slow)) + 1 if room >= 0 else 0


def _timing(slow: float, settings: Settings) -> Finding:
    fitting = attempts(slow, settings)
    found = f"{fitting} attempts to renew fit into the renew deadline of {settings.renew_deadline:g} s"
    if fitting >= ATTEMPTS:
        return ok("timing", found)
    least = math.ceil(
        max(settings.retry_period + slow + (ATTEMPTS - 1) * max(settings.retry_period, 2 * slow), 4 * slow)
    )
    change = (
        f"set --leader-election-renew-deadline to {least}s and --leader-election-lease-duration to "
        f"{math.ceil(1.5 * least)}s at least, or find out why the API server is slow"
    )
    return warn("timing", found, change) if fitting == ATTEMPTS - 1 else fail("timing", found, change)
