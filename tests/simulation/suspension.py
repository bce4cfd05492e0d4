"""Counts every suspension of the coroutines it is given, and does something at the n-th: cancel, raise, or call.

A suspension is where a coroutine yields to its loop: every `await` that really waits, in whatever it awaits. So a
harness that goes through all n goes through every place at which a cancellation can arrive.
"""

import collections.abc
from collections.abc import Callable
from typing import Any


class Injected(Exception):  # noqa: N818 (told apart by its name)
    """What the harness raises: nobody expects it."""


class Counter:
    """Counts over all coroutines that it wraps; at the n-th suspension it does `act`, once."""

    def __init__(self, n: int, act: Callable[["Probe"], Any]) -> None:
        self.n = n
        self.act = act
        self.count = 0
        self.where = ""
        """In which coroutine, and at which line, it was done."""

    def wrap(self, coro: Any) -> "Probe":
        return Probe(self, coro)


class Probe(collections.abc.Coroutine):  # type: ignore[type-arg]
    """A coroutine around another one."""

    def __init__(self, counter: Counter, coro: Any) -> None:
        self.counter, self.coro = counter, coro
        self.error: BaseException | None = None
        """Set by `act` to have it raised right here."""

    def send(self, value: Any) -> Any:
        return self._suspended(self.coro.send(value))

    def throw(self, *error: Any) -> Any:
        return self._suspended(self.coro.throw(*error))

    def close(self) -> None:
        self.coro.close()

    def __await__(self) -> Any:
        return (yield from self.coro.__await__())

    def _suspended(self, yielded: Any) -> Any:
        counter = self.counter
        counter.count += 1
        if counter.count != counter.n:
            return yielded
        counter.where = where(self.coro)
        counter.act(self)
        if self.error is None:
            return yielded
        if yielded is not None:
            yielded._asyncio_future_blocking = False  # what a task does with it
        return self._suspended(self.coro.throw(self.error))


def where(coro: Any) -> str:
    """The innermost coroutine that waits, and its line."""
    name, awaited = "?", coro
    while awaited is not None:
        frame = getattr(awaited, "cr_frame", None) or getattr(awaited, "gi_frame", None)
        if frame is not None:
            name = f"{frame.f_code.co_qualname if hasattr(frame.f_code, 'co_qualname') else ''}:{frame.f_lineno}"
        awaited = getattr(awaited, "cr_await", None) or getattr(awaited, "gi_yieldfrom", None)
    return f"{getattr(coro, '__qualname__', '?')} at {name}"
