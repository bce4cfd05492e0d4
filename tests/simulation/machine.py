"""The machine alone, on leases as long as single-node clusters have them: the same faults, an hour for 15 ms.

What a schedule costs depends on how many renewals and faults it has, not on how long they take; so the long leases
give many hours, and `tests/protocol/test_simulation.py` has the short ones.
"""

from typing import Any

from tests.protocol.checker import Violation
from tests.protocol.nemesis import Play

PROFILES = ("faults", "rates")
LONG: tuple[dict[str, Any], ...] = (
    {"lease_duration": 137, "renew_deadline": 107, "retry_period": 26, "drain_timeout": 60},  # OpenShift's
    {"lease_duration": 270, "renew_deadline": 240, "retry_period": 60, "drain_timeout": 60},  # the same, one node
    {"lease_duration": 600, "renew_deadline": 400, "retry_period": 80, "drain_timeout": 200},  # 40 times the defaults
)


def play_machine(seed: int, profile: str) -> float:
    """One schedule; the seconds of virtual time. Raises Violation with the faults and how to replay it."""
    drama = Play(seed, profile, settings=LONG)
    try:
        return drama.run()
    except AssertionError as error:
        faults = "\n".join(f"{now:10.3f} {fault} {name}" for now, fault, name in drama.faults)
        replay = f"replay: python -m tests.simulation --machine --profile {profile} --seed {seed}"
        raise Violation(f"{error}\nfaults:\n{faults}\n{replay}") from None
