"""examples/07-hooks, on both API servers."""

import re
import shlex

from tests.examples.conftest import EXAMPLES, Place

RUN = ["kopf", "run", "-A", "handlers.py"]


def test_hooks_are_called_around_a_term(place: Place) -> None:
    """Prepared before the first handler; concluded before the Lease is given back; everybody knows who leads."""
    assert f"\n{shlex.join(RUN)}\n" in (EXAMPLES / "07-hooks" / "README.md").read_text(encoding="utf-8")
    place.stage("07-hooks", RUN)
    place.start("a")
    place.create("one")
    place.handled("one")
    place.start("b")
    place.says("b", "The leader is pod-a_")
    place.replicas["a"].stop()
    assert place.replicas["a"].wait() == 0, place.replicas.tails()
    place.create("two")
    place.handled("two")
    assert place.leads("b")
    place.end()
    tokens = []
    for name, handled in (("a", "one"), ("b", "two")):
        log = place.replicas[name].text()
        token = re.search(r"Prepared for the term (\d+)\.", log)
        assert token is not None, log
        tokens.append(int(token[1]))
        told = [
            "The leader is this process.",
            token[0],
            f"Creating {handled} in the term {token[1]}.",
            f"Concluded the term {token[1]}: leaving.",
        ]
        assert all(log.count(words) == 1 for words in told), log
        assert sorted(told[1:], key=log.index) == told[1:], log
    assert tokens[0] < tokens[1]
