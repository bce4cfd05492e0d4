"""Functions with one line changed: how a condition is taken out, to see which test misses it."""

import inspect
import sys
import textwrap
from collections.abc import Callable
from typing import Any, TypeVar
from unittest import mock

from kopf_leader.protocol.machine import step as good
from kopf_leader.protocol.settings import Settings
from kopf_leader.protocol.state import Event, Instant, State
from kopf_leader.testing.world import Step

F = TypeVar("F", bound=Callable[..., Any])


def edited(function: F, old: str, new: str) -> F:
    """The function with `new` in the one place where its source says `old`."""
    source = textwrap.dedent(inspect.getsource(function))
    assert source.count(old) == 1, f"{function.__qualname__} says {old!r} {source.count(old)} times"
    names = dict(vars(sys.modules[function.__module__]))
    exec(source.replace(old, new), names)
    changed: F = names[function.__name__]
    return changed


def step_without(function: Callable[..., Any], old: str, new: str) -> Step:
    """The machine with such a change in a function of the protocol; the module calls it by its name."""
    changed, module = edited(function, old, new), sys.modules[function.__module__]

    def step(settings: Settings, state: State, now: Instant, event: Event) -> tuple[State, tuple[Any, ...]]:
        with mock.patch.object(module, function.__name__, changed):
            return good(settings, state, now, event)

    return step
