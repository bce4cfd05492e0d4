"""Seeded schedules of faults on the real driver and the embedded API server; more: `python -m tests.simulation`."""

from collections import Counter

import pytest

from tests.simulation.faults import FAULTS
from tests.simulation.play import DEFAULT, PROFILES, Play, play, played

HOURS = 25.0
DEADLY_HOURS = 4.0
BATCHES = 8


@pytest.mark.parametrize("batch", range(BATCHES))
def test_no_schedule_breaks_the_claim(batch):
    """Never two at once, and all that `checker` knows of laws; 200 lease-hours in all.

    Nothing overlaps, with rates up to nine tenths of what is claimed for stuck handlers (profile `faults`), for
    obedient ones, or for starts only (`rates`). With the faults over there is a leader within 1.5 × lease_duration, it
    stays, and everybody knows of it.
    """
    hours, seed = 0.0, batch * 10_000
    while hours < HOURS:
        hours += play(seed) / 3600
        seed += 1
    assert seed - batch * 10_000 > len(PROFILES)


@pytest.mark.parametrize("batch", range(2))
def test_no_told_death_breaks_the_claim(batch):
    """L6: takeover by evidence, with more deaths, and true and late tellings of them; 8 lease-hours in all.

    Beside every other fault (even seeds), and with those alone that have to do with who came after the dead (odd ones).
    """
    hours, seed, told = 0.0, batch * 10_000, 0
    while hours < DEADLY_HOURS:
        drama = Play(seed, deaths=True)
        hours += played(drama) / 3600
        assert drama.world.coroner is not None
        told += drama.world.coroner.told
        seed += 1
    assert told > 20


def test_a_seed_is_a_schedule():
    """The same seed plays the same story, to the last line."""
    stories = []
    for _ in range(2):
        drama = Play(7)
        stories.append((drama.run(), drama.struck, drama.world.story(400)))
    assert stories[0] == stories[1]


def test_every_fault_has_a_purpose_and_occurs():
    """The nemesis is a list of named faults; none of them is dead."""
    seen: Counter[str] = Counter()
    for seed in range(40):
        drama = Play(seed, settings=(DEFAULT,))
        drama.run(rounds=2)
        seen.update(name for _, name, _ in drama.struck)
    assert all(fault.__doc__ and fault.__doc__.strip().endswith(".") for fault in FAULTS)
    assert {fault.__name__ for fault in FAULTS} == set(seen)
