"""Random schedules of faults, for as long as one likes; a seed that fails is printed with how to play it again.

python -m tests.simulation --seed 644                      one schedule, with the real driver
python -m tests.simulation --lease-hours 200 --from 1000   until so many hours of virtual time have passed
python -m tests.simulation --deaths --lease-hours 200       the same with more deaths, which others are told of
python -m tests.simulation --machine --lease-hours 100000  the machine alone (tests/protocol/nemesis.py)
python -m tests.simulation --machine --profile rates --seed 7
"""

import argparse
import sys
import time
from dataclasses import dataclass

from tests.simulation.machine import PROFILES, play_machine
from tests.simulation.play import play


@dataclass
class Sum:
    """What a run came to."""

    schedules: int = 0
    hours: float = 0.0
    failed: int = 0

    def sentence(self, seconds: float) -> str:
        per_hour = seconds / self.hours if self.hours else 0.0
        return (
            f"{self.schedules} schedules, {self.hours:.1f} lease-hours, {self.failed} failed; {seconds:.0f} s of "
            f"processor time, {per_hour:.3f} s for a lease-hour"
        )


def once(seed: int, *, machine: bool, profile: str | None, deaths: bool) -> float:
    """One schedule; the hours of virtual time. Raises Violation."""
    if machine:
        return play_machine(seed, profile or PROFILES[seed % len(PROFILES)]) / 3600
    return play(seed, profile=profile, deaths=deaths) / 3600


def main() -> int:
    """Do what the command line asks for; 1 if any schedule failed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seed", type=int, help="this schedule only")
    parser.add_argument("--from", type=int, default=0, dest="first", help="the seed to begin with")
    parser.add_argument("--lease-hours", type=float, default=10.0, help="go on until so many have passed")
    parser.add_argument("--machine", action="store_true", help="the machine alone, without the driver")
    parser.add_argument("--deaths", action="store_true", help="takeover by evidence: more die, and it is told")
    parser.add_argument("--profile", help="one profile only; otherwise by the seed")
    parser.add_argument("--failures", type=int, default=1, help="stop after so many")
    arguments = parser.parse_args()
    total, seed, begun, told = Sum(), arguments.first, time.process_time(), 0.0
    if arguments.seed is not None:
        seed, arguments.lease_hours = arguments.seed, 0.0
    while True:
        try:
            how = {"machine": arguments.machine, "profile": arguments.profile, "deaths": arguments.deaths}
            total.hours += once(seed, **how)
        except AssertionError as error:
            total.failed += 1
            print(error, flush=True)
        total.schedules, seed = total.schedules + 1, seed + 1
        if total.hours >= told + 1000:
            told = total.hours
            print(f"next seed {seed}: {total.sentence(time.process_time() - begun)}", flush=True)
        if total.hours >= arguments.lease_hours or total.failed >= arguments.failures or arguments.seed is not None:
            break
    print(f"next seed {seed}: {total.sentence(time.process_time() - begun)}")
    return 1 if total.failed else 0


if __name__ == "__main__":
    sys.exit(main())
