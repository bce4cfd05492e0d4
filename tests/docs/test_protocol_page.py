"""The page about the protocol says what the code says."""

import importlib.util
import re
from pathlib import Path

DOCS = Path(__file__).parents[2] / "docs"
PACKAGE = DOCS.parent / "kopf_leader"


def test_the_diagram_is_drawn_from_the_table() -> None:
    """The state diagram in docs/, and the table below it, are drawn from the machine's table."""
    spec = importlib.util.spec_from_file_location("draw", DOCS / "draw.py")
    assert spec is not None
    assert spec.loader is not None
    draw = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(draw)
    page = (DOCS / "protocol.md").read_text(encoding="utf-8")
    assert draw.block() in page, "python docs/draw.py writes it"
    picture = draw.PICTURE.read_text(encoding="utf-8")
    assert picture == draw.picture(), "python docs/draw.py draws it"
    arrows = re.findall(r"<title>(\w+) → (\w+): ", picture)
    assert len(arrows) == len(set(arrows)) == sum(map(len, draw.TRANSITIONS.values()))


def test_every_law_is_found_where_the_page_says() -> None:
    """A reader finds any law in a minute: each place that the table of laws names exists."""
    page = (DOCS / "protocol.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| (L\d+) \|.*\| (.*) \|$", page, re.MULTILINE)
    assert [law for law, _ in rows] == [f"L{number}" for number in range(1, 21)]
    for law, places in rows:
        for place in re.findall(r"`([^`]+)`", places):
            if "/" in place:
                assert (PACKAGE / place).exists() or list(PACKAGE.glob(f"*/{place}")), f"{law}: {place}"
            else:
                module, name = place.split(".")
                texts = [path.read_text(encoding="utf-8") for path in PACKAGE.glob(f"*/{module}.py")]
                assert any(re.search(rf"\b{name}\b", text) for text in texts), f"{law}: {place}"
