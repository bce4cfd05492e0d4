"""The mark of handlers that run on every replica. Nothing of kopf is needed to set it."""

import functools
from collections.abc import Callable
from typing import Any, TypeVar

MARK = "kopf_leader_every_replica"

Function = TypeVar("Function", bound=Callable[..., object])


def every_replica(function: Function) -> Function:
    """Have this handler run on every replica, standbys included; the function itself is left as it is.

    For handlers of `@kopf.on.event`, for timers and for daemons: they see each object on each replica, at all times,
    undisturbed by who leads. They are for what each process needs for itself (a cache, a metric, a connection) and
    cannot change the object: whatever they write by `patch`, or return, is dropped, with one warning per handler.

        @kopf.timer("widgets", interval=60)
        @kopf_leader.every_replica
        async def measure(status, **_): ...

    Without a leader election the mark means nothing. Other handlers are refused with it when the operator starts
    (`SettingsError`), except those that run everywhere anyway. Raises `TypeError` for what is no function.
    """
    if not callable(function):
        raise TypeError("every_replica is a decorator without parentheses: put @kopf_leader.every_replica on a handler")
    setattr(getattr(function, "__func__", function), MARK, True)  # of a method: it has no attributes of its own
    return function


def is_marked(function: Any) -> bool:
    """Whether this function is marked, or is a `functools.partial` of one that is."""
    while isinstance(function, functools.partial) and not _marked(function):
        function = function.func
    return _marked(function)


def _marked(function: Any) -> bool:
    return getattr(function, MARK, None) is True  # a mock has every attribute
