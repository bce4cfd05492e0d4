"""examples/06-from-peering, on both API servers; the faults of a migration: tests/e2e/test_migration.py."""

from collections.abc import Iterator

import pytest
import yaml

from kopf_leader.gate.options import MIN_GRACE
from tests.cli.test_from_peering import FOLDER, MIGRATING, OLD
from tests.examples.conftest import Place

PEERINGS = "/apis/kopf.dev/v1/clusterkopfpeerings"
QUICKER = [word.replace("from-peering=30s", f"from-peering={MIN_GRACE:g}s") for word in MIGRATING]


@pytest.fixture
def peering(place: Place) -> Iterator[None]:
    """What the old version has already."""
    place.stage("06-from-peering", OLD)
    definition, body = yaml.safe_load_all((FOLDER / "peering.yaml").read_text(encoding="utf-8"))
    place.install(definition)
    place.admin.create(PEERINGS, body)
    yield
    place.replicas.close()
    place.admin.delete(f"{PEERINGS}/my-peering")


@pytest.mark.usefixtures("peering")
def test_it_waits_for_the_old_version_and_then_handles(place: Place) -> None:
    """The old version works, the migrating one is paused; the old one ends, and the other handles."""
    place.start("old")
    place.create("one")
    place.handled("one")
    place.replicas.command[1:] = ["-m", *QUICKER]
    place.start("new")
    place.says("new", "and paused: others are at work")
    place.create("two")
    place.handled("two")
    assert "two" not in place.replicas["new"].text()
    place.replicas["old"].stop()
    assert place.replicas["old"].wait() == 0, place.replicas.tails()
    place.create("three")
    place.handled("three")
    assert "three" in place.replicas["new"].text()
    assert place.leads("new")
    place.end()
