"""Random schedules of faults, judged by the checker; longer runs: `python -m tests.protocol.simulate --help`."""

import pytest

from tests.protocol.checker import Violation
from tests.protocol.mutants import mutants
from tests.protocol.nemesis import DEADLY, PROFILES, Play
from tests.protocol.simulate import play
from tests.protocol.walk.flaws import flaws

EACH = 25


@pytest.mark.parametrize(
    ("profile", "batch"), [(one, batch) for one in sorted(PROFILES) for batch in range(2 if one in DEADLY else 4)]
)
def test_no_schedule_breaks_the_claim(profile, batch):
    """Never two at once, tokens grow, nothing is released under work, and a leader is back after the faults.

    `faults`: rates up to 1.05 apart, deletions, foreign edits, clashes. `rates`: up to 1.4 apart, for starts only.
    `rivals`: client-go's candidates in between, without deletions. `deaths` and `copies`: takeover by evidence, with
    true and late tellings of deaths; `copies` has little else than deaths, cuts, and records of the dead put back.
    """
    virtual = sum(play(seed, profile) for seed in range(batch * EACH, (batch + 1) * EACH))
    assert virtual > EACH * 60


def test_a_seed_is_a_schedule():
    """The same seed plays the same story."""
    one, other = Play(7), Play(7)
    assert one.run() == other.run()
    assert one.world.story(500) == other.world.story(500)
    assert one.faults == other.faults


@pytest.mark.parametrize(
    "flaw",
    [
        "deadline from the reply",
        "release checks the stale record",
        "own name is own term",
        "standby believes short durations",
        "creating starts",
        "any former holder",
        "PUT without uid",
        "stopped term resumed",
        "release before the drain",
        "patient with rivals",
    ],
)
def test_the_schedules_find_flaws(flaw):
    """A machine with a flaw does not survive them: the checker sees, and says how to replay."""
    with pytest.raises(Violation):
        for seed in range(5000, 5200):
            Play(seed, step=mutants()[flaw]).run()


@pytest.mark.parametrize(
    "flaw",
    [
        "proof of death bound to the pod",
        "proof of death of what was put back",
        "copy taken for a write",
        "another hold followed",
    ],
)
def test_the_schedules_with_deaths_find_flaws(flaw):
    """L6: nor does one that believes too much of a proof of death."""
    with pytest.raises(Violation, match="I1"):
        for seed in range(5000, 5200):
            Play(seed, "copies", step=flaws()[flaw]).run()


def test_deaths_are_told_and_believed():
    """L6: the schedules with deaths would show nothing if nobody took over by a proof."""
    told = quick = 0
    for seed in range(12):
        drama = Play(seed, "copies")
        drama.run()
        told += drama.coroner.told
        quick += drama.coroner.believed
    assert told > 40
    assert quick > 8
