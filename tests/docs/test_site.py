"""`make docs`: the site builds without a warning, and is read without a network."""

import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
pytestmark = pytest.mark.xdist_group("site")  # which is built once
LOADS = {"script": "src", "img": "src", "iframe": "src", "object": "data", "link": "href", "image": "href"}


class Loaded(HTMLParser):
    """What a browser fetches to show a page."""

    def __init__(self) -> None:
        super().__init__()
        self.addresses: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        address = given.get(LOADS.get(tag, ""))
        if address is not None and not (tag == "link" and given.get("rel") in ("index", "search", "next", "prev")):
            self.addresses.append(address)


@pytest.fixture(scope="module")
def site(tmp_path_factory) -> Path:
    """The site, built as `make docs` builds it."""
    folder = tmp_path_factory.mktemp("docs")
    recipe = re.search(r"sphinx-build (.*) -d ", (ROOT / "Makefile").read_text(encoding="utf-8"))
    assert recipe is not None
    command = [sys.executable, "-m", "sphinx", *recipe.group(1).split(), "-d", folder / "trees", ".", folder / "site"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    return folder / "site"


def test_every_page_is_there(site):
    """Each page of docs/ and each example has its page on the site, and the folder opens with the first one."""
    sources = [*ROOT.glob("*.md"), *ROOT.glob("docs/*.md"), *ROOT.glob("examples/**/*.md")]
    assert len(sources) > 30
    for source in sources:
        assert (site / source.relative_to(ROOT).with_suffix(".html")).exists()
    assert 'url=docs/index.html"' in (site / "index.html").read_text()


def test_it_is_read_offline(site):
    """Nothing that a page or a style sheet loads lies elsewhere: no font, script or picture from the network."""
    for page in site.rglob("*.html"):
        loaded = Loaded()
        loaded.feed(page.read_text(encoding="utf-8"))
        for address in loaded.addresses:
            assert not re.match(r"[a-z]+:(?!image/)|//", address), f"{page.name} loads {address}"
            assert (page.parent / address.partition("?")[0]).exists() or address.startswith("data:"), address
    for sheet in [*site.rglob("*.css"), *site.rglob("*.svg")]:
        outside = re.findall(r"(?:url\(|@import|href=)\s*[\"']?((?:https?:)?//[^\"')\s]+)", sheet.read_text())
        assert outside == [], sheet


def test_it_names_no_place_of_this_machine(site):
    """The pages are the same wherever they are built."""
    for page in site.rglob("*.html"):
        assert str(ROOT) not in page.read_text(encoding="utf-8"), page


def test_the_navigation_has_every_section(site):
    """The first page leads to all that docs/README.md lists, under its headings."""
    first = (site / "docs" / "index.html").read_text(encoding="utf-8")
    index = (ROOT / "docs" / "README.md").read_text(encoding="utf-8")
    for section in re.findall(r"^## (.+)$", index, re.MULTILINE):
        assert f'<span class="caption-text">{section}</span>' in first
    for target in re.findall(r"^- \[[^\]]+\]\(([\w-]+)\.md\)", index, re.MULTILINE):
        assert f'href="{target}.html"' in first or target == "index"
