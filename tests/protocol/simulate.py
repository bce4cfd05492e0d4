"""Random schedules of faults over the machine, for as long as one likes.

    python -m tests.protocol.simulate --hours 2 --seed 7
    python -m tests.protocol.simulate --only 1234 --profile faults     # replay one

A seed that fails is printed with how to replay it; it then becomes a test with a name in `test_seeds.py`.
"""

import argparse
import sys
import time

from tests.protocol.checker import Violation
from tests.protocol.nemesis import PROFILES, Play


def play(seed: int, profile: str) -> float:
    """One schedule; the seconds of virtual time. Raises Violation with how to replay it."""
    drama = Play(seed, profile)
    try:
        return drama.run()
    except AssertionError as error:
        faults = "\n".join(f"{now:10.3f} {fault} {name}" for now, fault, name in drama.faults)
        replay = f"python -m tests.protocol.simulate --only {seed} --profile {profile}"
        raise Violation(f"{error}\nfaults:\n{faults}\nreplay: {replay}") from None


def main() -> int:
    """Run the schedules that the command line asks for; 1 if any failed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--hours", type=float, default=0.01, help="how long to go on, in hours of real time")
    parser.add_argument("--seed", type=int, default=0, help="where to begin")
    parser.add_argument("--only", type=int, help="this seed only")
    parser.add_argument("--profile", choices=sorted(PROFILES), help="one profile only; otherwise in turn")
    parser.add_argument("--failures", type=int, default=1, help="stop after so many")
    arguments = parser.parse_args()
    profiles = [arguments.profile] if arguments.profile else sorted(PROFILES)
    begun, seed, virtual, failed, count = time.monotonic(), arguments.seed, 0.0, 0, 0
    while arguments.only is None or count == 0:
        profile = profiles[seed % len(profiles)]
        try:
            virtual += play(seed if arguments.only is None else arguments.only, profile)
        except AssertionError as error:
            failed += 1
            print(error, flush=True)
        seed, count = seed + 1, count + 1
        if failed >= arguments.failures or time.monotonic() - begun > arguments.hours * 3600:
            break
    print(f"{count} schedules, {virtual / 3600:.1f} hours of virtual time, {failed} failed; next seed: {seed}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
