"""The documentation as a site: `make docs`. The sources are the repository's own Markdown files, where they stand."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent / "_ext"))

from kopf_leader import __version__

project = "kopf-leader"
author = "the authors of kopf-leader"
release = version = __version__
html_title = f"kopf-leader {release}"

extensions = ["myst_parser", "sphinx_copybutton", "pages"]
root_doc = "docs/index"
# The source folder is the repository, so that links between docs/, examples/ and the README are the same everywhere.
include_patterns = [
    "*.md", "docs/**.md", "examples/**.md", "charts/**.md", "bench/*.md", "tests/**.md",
]  # fmt: skip
exclude_patterns = ["**/.*", "**/charts/*/templates"]

myst_heading_anchors = 4  # as GitHub's, which the links are written for
nitpicky = True

html_theme = "furo"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_copy_source = False
html_use_index = False
html_show_sphinx = False
html_show_copyright = False
html_theme_options = {"navigation_with_keys": True}
copybutton_prompt_text = "$ "
copybutton_only_copy_prompt_lines = True
