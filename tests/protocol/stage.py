"""Small worlds with a checker in them, and tests that must fail for the flaws that they are about."""

import functools
from collections.abc import Callable, Mapping
from typing import Any

import pytest

from kopf_leader.protocol.machine import step as good
from kopf_leader.testing.candidate import Candidate
from kopf_leader.testing.world import EMPTY, Step, World
from tests.protocol.checker import Checker
from tests.protocol.mutants import mutants
from tests.protocol.walk import flaws as walked

LONG_AGO = "2020-01-01T00:00:00.000000Z"


def held_by(holder: str, *, duration: int = 15, transitions: int = 3) -> dict[str, Any]:
    """A spec that names somebody who is silent."""
    return {
        "holderIdentity": holder,
        "leaseDurationSeconds": duration,
        "acquireTime": LONG_AGO,
        "renewTime": LONG_AGO,
        "leaseTransitions": transitions,
    }


def stage(
    step: Step = good, *, lease: Mapping[str, Any] | None = EMPTY, starts_only: bool = False, **settings: Any
) -> tuple[World, Checker]:
    """A world with a checker; its keyword arguments are settings of every candidate."""
    world = World(lease=lease, step=step, **settings)
    return world, Checker(world, starts_only=starts_only)


def lead(world: World, name: str, **options: Any) -> Candidate:
    """A new candidate that leads within a second."""
    candidate = world.add(name, **options)
    world.wait_for(lambda: candidate.open, within=1)
    return candidate


def isolate(candidate: Candidate) -> None:
    """Nothing reaches it, and nothing leaves it."""
    candidate.link.cut()


def catches(*flaws: str) -> Callable[[Callable[[Step], None]], Callable[[], None]]:
    """Run a test with the machine as it is, then with each flaw: there it must fail."""

    def wrap(test: Callable[[Step], None]) -> Callable[[], None]:
        @functools.wraps(test)
        def run() -> None:
            test(good)
            for flaw in flaws:
                with pytest.raises((AssertionError, TimeoutError)):
                    test({**walked.flaws(), **mutants()}[flaw])
                    pytest.fail(f"it does not notice: {flaw}", pytrace=False)

        del run.__wrapped__  # type: ignore[attr-defined]  # pytest would ask for a fixture named `step`
        return run

    return wrap
