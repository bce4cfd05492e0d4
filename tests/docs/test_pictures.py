"""The pictures: what they are drawn from is what they show, and nothing in them lies elsewhere."""

import importlib
import json
import re
import sys
import xml.etree.ElementTree as ET

import pytest

from tests.docs.reference import DOCS

PICTURES = DOCS / "pictures"
LARGEST = 250_000  # bytes


@pytest.fixture
def module(monkeypatch):
    """A module of docs/pictures."""
    monkeypatch.syspath_prepend(str(PICTURES))
    yield importlib.import_module
    for name in ("film", "handover"):
        sys.modules.pop(name, None)


@pytest.mark.parametrize("picture", sorted(PICTURES.glob("*.svg")), ids=lambda path: path.name)
def test_a_picture_stands_alone(picture):
    """Small, well-formed, with a title, without script, font or anything from elsewhere, or from one machine."""
    text = picture.read_text(encoding="utf-8")
    root = ET.fromstring(text)
    assert root.find("{http://www.w3.org/2000/svg}title") is not None
    assert len(text.encode()) < LARGEST
    assert not re.search(r"<script|@import|@font-face|href=|url\((?!#)|/tmp", text)
    assert re.findall(r"https?://[^\"]+", text) == ["http://www.w3.org/2000/svg"]


def test_the_demo_is_one_that_has_kept_its_promises():
    """The film ends with the summary of a run without a fault."""
    text = (PICTURES / "demo.svg").read_text(encoding="utf-8")
    for words in ("SIGTERM to the leader", "SIGKILL to the leader", "The leader is cut off", "Every promise was kept"):
        assert words in text
    assert "BROKEN" not in text


def test_a_film_shows_each_row_for_as_long_as_it_was_there(module):
    """Three frames: a row that stays, one that changes, one that comes late; without animation it is the last."""
    film = module("film")
    one, two = ((0, "one", "default"),), ((0, "two", "red b"),)
    frames = [film.Frame(0, (one, one, ())), film.Frame(1, (one, two, ())), film.Frame(2.5, (one, two, two))]
    spells = {(s.number, s.row, s.begin, s.end) for s in film.spells(frames, 4)}
    assert spells == {(0, one, 0, 4), (1, one, 0, 1), (1, two, 1, 4), (2, two, 2.5, 4)}
    root = ET.fromstring(film.svg(frames, seconds=4, columns=10, title="<film>"))
    shown = [text for text in root.iter("{http://www.w3.org/2000/svg}text") if text.get("display") != "none"]
    assert ["".join(text.itertext()) for text in shown] == ["one", "two", "two"]


def test_a_handover_is_drawn_from_the_history(module, tmp_path):
    """From the fault to the next one's first handler, and between the last and the first nobody at work."""
    second = 1_000_000_000
    facts = [
        {"t": 0, "kind": "start", "pid": 1, "replica": "A", "run": "1", "handler": "h", "uid": "u"},
        {"t": 1 * second, "kind": "mark", "pid": 9, "replica": "test", "note": "SIGTERM A 1"},
        {"t": 2 * second, "kind": "end", "pid": 1, "replica": "A", "run": "1"},
        {"t": 3 * second, "kind": "start", "pid": 2, "replica": "B", "run": "2", "handler": "h", "uid": "u"},
        {"t": 4 * second, "kind": "death", "pid": 2, "replica": "B"},
        {"t": 5 * second, "kind": "mark", "pid": 9, "replica": "test", "note": "others left B 2"},
    ]
    path = tmp_path / "history.jsonl"
    path.write_text("".join(json.dumps(fact) + "\n" for fact in facts))
    handover = module("handover")
    (one,) = handover.handovers(path)
    assert (one.last, one.next.start, one.next.end) == (2 * second, 3 * second, 4 * second)
    picture = handover.draw(path)
    for words in ("nobody at work for 1.00 s", "B begins, 2.00 s later"):
        assert words in picture
