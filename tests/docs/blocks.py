"""Blocks that a program writes into a page: between `<!-- name -->` and `<!-- end of name -->`."""

from collections.abc import Mapping


def filled(page: str, blocks: Mapping[str, str]) -> str:
    """The page with these texts in its blocks; each block must be there."""
    for name, text in blocks.items():
        begin, end = f"<!-- {name} -->", f"<!-- end of {name} -->"
        before, there, rest = page.partition(begin)
        _, ended, after = rest.partition(end)
        assert there, f"the page has no {begin}"
        assert ended, f"the page has no {end}"
        page = f"{before}{begin}\n{text}\n{end}{after}"
    return page


def table(head: str, rows: list[str]) -> str:
    """Lines of cells as a table; the head says the columns, each row is its cells in `a | b`."""
    columns = head.count("|") + 1
    return "\n".join([f"| {head} |", "|---" * columns + "|", *(f"| {row} |" for row in rows)])
