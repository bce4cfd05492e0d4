"""What the site needs beyond Sphinx: its navigation from docs/README.md, so that there is one list of pages.

The sources are written for readers of the repository, too, so they hold no directive that only Sphinx knows.
"""

import re
from pathlib import Path
from typing import Any

from docutils import nodes
from sphinx.addnodes import pending_xref
from sphinx.application import Sphinx

ROOT = Path(__file__).parents[2]
_LINK = re.compile(r"^(?:- |\| )\[([^\]]+)\]\(([^)#]+\.md)\)", re.MULTILINE)
_REDIRECT = '<!doctype html><meta charset="utf-8"><meta http-equiv="refresh" content="0; url=docs/index.html">\n'


def toctree(text: str, base: Path, *, caption: str = "", but: str = "") -> str:
    """A hidden toctree of the pages that a list or a table leads to, in its order."""
    pages = [
        ((base / target).resolve().relative_to(ROOT).with_suffix(""), title) for title, target in _LINK.findall(text)
    ]
    lines = [f"{title} </{page.as_posix()}>" for page, title in pages if page.as_posix() != but]
    options = [":hidden:", *([f":caption: {caption}"] if caption else [])]
    return "\n".join(["```{toctree}", *options, "", *lines, "```", ""])


def add_navigation(app: Sphinx, docname: str, source: list[str]) -> None:
    """The first page leads to all sections of docs/README.md, and the examples' page to the examples."""
    if docname == app.config.root_doc:
        sections = (ROOT / "docs" / "README.md").read_text(encoding="utf-8").split("\n## ")
        trees = [toctree("- [All pages](README.md)", ROOT / "docs")]
        for section in sections[1:]:
            caption, _, text = section.partition("\n")
            trees.append(toctree(text, ROOT / "docs", caption=caption, but=docname))
        source[0] += "\n" + "\n".join(trees)
    elif docname == "examples/README":
        source[0] += "\n" + toctree(source[0], ROOT / "examples")
    elif docname == "tests/README":
        source[0] += "\n```{toctree}\n:hidden:\n:glob:\n\n*/README\n```\n"


def read_lists_again(app: Sphinx, *_: Any) -> list[str]:
    """Pages with navigation are read anew each time: what it is made from is not their own text."""
    return [app.config.root_doc, "examples/README", "tests/README"]


def name_folders(app: Sphinx, doctree: nodes.document) -> None:
    """A folder of the repository has no page: its name stays, without a link."""
    here = (ROOT / app.env.docname).parent
    for link in [*doctree.findall(pending_xref)]:
        if (here / str(link["reftarget"])).is_dir():
            link.replace_self(link.children)


def lead_in(app: Sphinx, exception: Exception | None) -> None:
    """The site's folder opens with the first page."""
    if exception is None:
        (Path(app.outdir) / "index.html").write_text(_REDIRECT, encoding="utf-8")


def setup(app: Sphinx) -> dict[str, Any]:
    """Called by Sphinx."""
    app.connect("env-get-outdated", read_lists_again)
    app.connect("source-read", add_navigation)
    app.connect("doctree-read", name_folders)
    app.connect("build-finished", lead_in)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
