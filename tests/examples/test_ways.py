"""The ways to enable the election: the first examples, on both API servers. More of them: tests/cli/test_ways.py."""

import pytest

from tests.cli.test_ways import WAYS
from tests.examples.conftest import Place


@pytest.mark.parametrize("example", WAYS)
def test_it_elects_handles_and_releases(place: Place, example: str) -> None:
    """The README's story: one of two handles; at SIGTERM it gives the Lease back, and the other one goes on."""
    command, variables = WAYS[example]
    place.stage(example, command, **variables)
    place.start("a")
    place.create("one")
    place.handled("one")
    assert place.leads("a")
    place.start("b")
    place.says("b", "Standing by")
    place.replicas["a"].stop()
    assert place.replicas["a"].wait() == 0, place.replicas.tails()
    place.create("two")
    place.handled("two")
    assert place.leads("b")
    place.end()
