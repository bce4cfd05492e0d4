"""Links: every page of docs/ is on its index, and every relative link of the project leads to a file and a heading."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
DOCS = ROOT / "docs"
IGNORED = {".venv", "node_modules", "build", "dist"}
LINK = re.compile(r"\[[^\]\[]*\]\(([^)\s]+)(?: +\"[^\"]*\")?\)|<(?:img|a)\b[^>]*?(?:src|href)=\"([^\"]+)\"")
FENCE = re.compile(r"^ *(```|~~~).*?^ *\1", re.MULTILINE | re.DOTALL)


def pages() -> list[Path]:
    """Every Markdown file of the project."""
    return [
        path
        for path in sorted(ROOT.rglob("*.md"))
        if not any(part in IGNORED or part.startswith(".") for part in path.relative_to(ROOT).parts)
    ]


def prose(path: Path) -> str:
    """A page without its blocks of code."""
    return FENCE.sub("", path.read_text(encoding="utf-8"))


def links(path: Path) -> list[str]:
    """Where the links and pictures of a page lead."""
    return [one or other for one, other in LINK.findall(prose(path))]


def anchors(path: Path) -> set[str]:
    """The anchors of a page's headings, as GitHub makes them."""
    found: set[str] = set()
    for title in re.findall(r"^#{1,6} +(.+?) *#*$", prose(path), re.MULTILINE):
        text = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", title)
        slug = re.sub(r"[^\w\- ]", "", text.lower()).replace(" ", "-")
        number = 0
        while (name := f"{slug}-{number}" if number else slug) in found:
            number += 1
        found.add(name)
    return found


@pytest.mark.parametrize("page", pages(), ids=lambda path: str(path.relative_to(ROOT)))
def test_every_relative_link_leads_somewhere(page: Path) -> None:
    """To a file of this project; and where it names a heading, to a heading of that page."""
    for link in links(page):
        if re.match(r"[a-z]+:", link):
            continue
        target, _, anchor = link.partition("#")
        path = (page.parent / target).resolve() if target else page
        assert path.exists(), f"{page.relative_to(ROOT)} links to {link}, and there is no such file"
        assert path.is_relative_to(ROOT), f"{page.relative_to(ROOT)} links to {link}, outside of the project"
        if anchor and path.suffix == ".md":
            assert anchor in anchors(path), f"{page.relative_to(ROOT)} links to {link}, and there is no such heading"


def test_links_elsewhere_are_well_formed() -> None:
    """By https, to a host, and without what belongs to the sentence; whether they lead somewhere no test asks."""
    every = [link for page in pages() for link in links(page) if re.match(r"[a-z]+:", link)]
    assert every
    for link in every:
        assert re.fullmatch(r"https://[a-z0-9-]+(\.[a-z0-9-]+)+(/[^\s]*[^\s.,;:])?", link), link


def test_the_index_has_every_page() -> None:
    """docs/README.md leads to each page of docs/, once, in a line that says what it is for."""
    index = (DOCS / "README.md").read_text(encoding="utf-8")
    lines = re.findall(r"^- \[[^\]]+\]\(([^)]+)\): \S.*\.$", index, re.MULTILINE)
    assert len(lines) == len(set(lines))
    assert {path.name for path in DOCS.glob("*.md")} - {"README.md"} == {line for line in lines if "/" not in line}
    assert len(lines) == len(re.findall(r"^- ", index, re.MULTILINE)), "each line is a link and what it is for"


def test_headings_are_found(tmp_path: Path) -> None:
    """The check can fail: anchors are GitHub's, code is no prose."""
    page = tmp_path / "page.md"
    lines = ["# One, two `three`", "## Again", "```", "# no heading [x](nowhere)", "```", "## Again"]
    lines += ["[y](z.md)", '![p](q.svg "r")', '<img src="s.svg">']
    page.write_text("\n\n".join(lines))
    assert anchors(page) == {"one-two-three", "again", "again-1"}
    assert links(page) == ["z.md", "q.svg", "s.svg"]
