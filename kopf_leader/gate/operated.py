"""The gate with its operations around it: up before anything of the operator runs, and until all of it is over.

Serving begins before kopf's start-up handlers and ends after the drain and the release of the Lease, so that a probe is
answered at every moment in between, whoever leads.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from typing import Any

from kopf_leader.gate import seam
from kopf_leader.gate.gate import Gate
from kopf_leader.gate.seam_parts import Parts
from kopf_leader.operations.site import Operations


class Operated:
    """A gate that is looked on at. Implements `seam.Hooks`."""

    def __init__(self, gate: Gate, operations: Operations) -> None:
        self._gate = gate
        self._operations = operations
        operations.count(gate.counters)
        gate.counters.when_opened = operations.opened
        operations.watch_streams(lambda: gate.unwatched)

    def orchestrate(
        self, parts: Parts, original: Callable[..., Coroutine[Any, Any, None]]
    ) -> Coroutine[Any, Any, None]:
        """Have the ports before the operator is made. Raises `SettingsError`."""
        if not self._gate.running:  # else the gate has something to say
            self._operations.start()
        return self._gate.orchestrate(parts, original)

    async def run_tasks(self, original: Callable[[], Coroutine[Any, Any, None]]) -> None:
        """Serve for as long as the operator lives."""
        if not self._gate.used or self._gate.running:  # one of kopf's own commands, such as `kopf freeze`
            await self._gate.run_tasks(original)
            return
        with self._operations.serving(asyncio.get_running_loop()):
            await self._gate.run_tasks(original)

    async def invoke(self, handler: Any, original: Callable[[Any], Coroutine[Any, Any, Any]]) -> Any:
        """As the gate does."""
        return await self._gate.invoke(handler, original)

    def answered(self, method: str, path: str, error: Exception | None) -> None:
        """As the gate does."""
        self._gate.answered(method, path, error)

    def watch(self, stream: seam.Stream, original: Callable[[], AsyncIterator[Any]]) -> AsyncIterator[Any]:
        """As the gate does."""
        return self._gate.watch(stream, original)

    def stream(self, stream: seam.Stream, original: Callable[..., AsyncIterator[Any]]) -> AsyncIterator[Any]:
        """As the gate does."""
        return self._gate.stream(stream, original)

    async def before_handlers(self) -> None:
        """As the gate does."""
        await self._gate.before_handlers()
