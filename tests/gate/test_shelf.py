"""What a stream holds: the newest body of each object, small, and given back as it was."""

import json
import marshal
from typing import Any

import pytest

from kopf_leader.gate.shelf import Shelf

BODIES: list[dict[str, Any]] = [
    {
        "metadata": {"name": f"object-{number}", "labels": {"of": "all"}},
        "spec": {"size": number, "text": "ä\ud800\0" * 99},
    }
    for number in range(100)
]


def filled(*, compress: bool) -> Shelf:
    shelf = Shelf()
    for number, body in enumerate(BODIES):
        shelf.put(f"uid-{number}", str(number), body, compress=compress)
    return shelf


@pytest.mark.parametrize("compress", [True, False])
def test_what_was_put_comes_back(compress):
    """Each body is given back equal to what was put, and as an object of its own."""
    shelf = filled(compress=compress)
    assert [shelf.body(uid) for uid in shelf] == BODIES
    shelf.body("uid-1")["spec"].clear()
    assert shelf.body("uid-1") == BODIES[1]


def test_the_newest_body_comes_last():
    """What has changed last comes last, under its newest version; what is dropped is gone."""
    shelf = filled(compress=True)
    shelf.put("uid-7", "1000", {"spec": {}}, compress=False)
    shelf.drop("uid-8")
    assert [*shelf][-1] == "uid-7"
    assert (shelf.version("uid-7"), shelf.body("uid-7")) == ("1000", {"spec": {}})
    assert ("uid-8" in shelf, shelf.version("uid-8"), len(shelf)) == (False, None, 99)
    with pytest.raises(KeyError):
        shelf.body("uid-8")
    shelf.put("uid-9", "20", BODIES[9], compress=True)
    shelf.sort()
    assert [int(shelf.version(uid) or 0) for uid in shelf] == sorted(int(shelf.version(uid) or 0) for uid in shelf)


@pytest.mark.parametrize("size", [0, 1, 8191, 8192, 8193, 300_000])
def test_a_sample_of_any_size_will_do(size):
    """The first body is the sample for all, whether it is like them or not, and however large."""
    shelf, first = Shelf(), {"text": json.dumps([*range(size // 5)])[:size]}
    shelf.put("first", "1", first, compress=True)
    for number, body in enumerate([*BODIES, {}]):
        shelf.put(f"uid-{number}", "2", body, compress=True)
    assert [shelf.body(uid) for uid in shelf] == [first, *BODIES, {}]


def test_objects_that_are_alike_take_little_room():
    """On a standby, a body takes a tenth of its size as bytes when the sample is like it."""
    taken = sum(len(data) for _, data, _ in filled(compress=True)._bodies.values())
    assert taken < sum(len(marshal.dumps(body)) for body in BODIES) / 10
