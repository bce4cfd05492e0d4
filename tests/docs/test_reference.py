"""The reference: its tables are the code's."""

import re

import pytest

from kopf_leader.gate.option_table import OPTIONS
from tests.docs import reference
from tests.docs.blocks import filled


@pytest.mark.parametrize("name", reference.BLOCKS)
def test_the_tables_are_what_the_code_says(name):
    """The tables are those that `python -m tests.docs.reference` writes: neither code nor page has changed since."""
    page = (reference.DOCS / name).read_text(encoding="utf-8")
    assert page == reference.written(name), "python -m tests.docs.reference writes it"


def test_every_option_has_a_row_and_a_meaning():
    """No option is left out, and each says what it is for and what holds without it."""
    rows = reference.settings().splitlines()[2:]
    assert len(rows) == len(OPTIONS)
    for row in rows:
        assert all(cell.strip() for cell in re.split(r"(?<!\\)\|", row)[1:-1]), row
    assert set(reference.DERIVED) <= set(OPTIONS)


def test_a_block_that_is_missing_is_noticed():
    """The check can fail: a page without the block is no page."""
    assert filled("<!-- a -->\nold\n<!-- end of a -->\n", {"a": "new"}) == "<!-- a -->\nnew\n<!-- end of a -->\n"
    with pytest.raises(AssertionError, match="no <!-- b -->"):
        filled("<!-- a -->\n<!-- end of a -->\n", {"b": "new"})
