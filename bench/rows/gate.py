"""What the gate costs per event, in this process: kopf's stream, processor and handler with it and without.

The processor and the handler do nothing, so what is measured is the gate alone: marking the event in its stream, a job
of its own in the term's context, and the looks at the claim before the job and before the handler.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from types import SimpleNamespace
from typing import Any

from kopf._core.reactor import inventory

from bench.ground import Ground
from bench.table import Line
from bench.targets import p50
from kopf_leader.elector.election import Election
from kopf_leader.gate import seam
from kopf_leader.gate.counters import Counters
from kopf_leader.gate.events import Intake
from kopf_leader.gate.gate import Gate
from kopf_leader.gate.rules import Rules
from kopf_leader.gate.seam_parts import Parts
from kopf_leader.gate.tenure import Tenure, tracking
from kopf_leader.protocol.term import Claim, Term

EVENTS = 2000


def measure(ground: Ground) -> list[Line]:
    """Pairs of series, with and without, one after the other."""
    found, bare = asyncio.run(costs(ground.pick(30, 15)))
    return [
        Line(
            what="the gate's cost per event",
            values=found,
            unit="µs",
            target="gate",
            notes=f"each value a mean of {EVENTS} events; the same without the gate: {p50(bare):.1f} µs",
        )
    ]


async def _handler(**_: Any) -> None:
    """Do nothing."""


def _no_election(*_: Any) -> Election:
    raise AssertionError("no operator is started here")


async def costs(series: int) -> tuple[list[float], list[float]]:
    """Microseconds an event, series by series: what the gate adds, and what it is without it."""
    rules = Rules(drain_timeout=10, stuck_timeout=300)
    gate = Gate(make_election=_no_election, rules=rules)
    handler = SimpleNamespace(id="bench", fn=_handler)

    async def call(handler: Any) -> None:
        await handler.fn()

    async def bare_processor(*, raw_event: Any, **_: Any) -> None:  # noqa: ARG001 (kopf's shape)
        await call(handler)

    async def gated_processor(*, raw_event: Any, **_: Any) -> None:  # noqa: ARG001 (likewise)
        await gate.invoke(handler, call)

    nothing: dict[str, Any] = dict.fromkeys(("paused", "registry", "settings", "indexers", "memobase"))
    parts = Parts(processor=gated_processor, memories=inventory.ResourceMemories(), **nothing)
    counters = Counters()
    intake = Intake(parts=parts, counters=counters)
    term = Term(lease="bench/gate", identity="bench", token=1, claim=Claim(math.inf), clock=time.monotonic)
    tenure = Tenure(term, counters=counters, changed=lambda: None, ended=lambda: None)
    intake.tenure = tenure
    stream = seam.Stream(resource=None, namespace=None)
    with tracking(asyncio.get_running_loop()):
        added, without = [], []
        for _ in range(series + 1):
            bare = await _time(_events, bare_processor)
            gated = await _time(lambda: intake.watch(stream, _events), intake.process)
            without.append(bare)
            added.append(gated - bare)
    return added[1:], without[1:]  # the first pair is a warm-up


async def _events() -> AsyncIterator[Any]:
    for number in range(EVENTS):
        metadata = {"uid": str(number), "namespace": "bench", "name": f"object-{number}"}
        yield {"type": "MODIFIED", "object": {"metadata": metadata}}


async def _time(stream: Callable[[], AsyncIterator[Any]], processor: Callable[..., Awaitable[Any]]) -> float:
    """Microseconds of this thread's processor time per event."""
    began = time.thread_time()
    async for event in stream():
        await processor(raw_event=event, resource=None, stream_pressure=None)
    return (time.thread_time() - began) / EVENTS * 1e6
