"""The table of values in the chart's README, made from the comments in values.yaml.

python -m tests.chart.readme    writes it
"""

import json
import re
from collections.abc import Iterator
from typing import Any

import yaml

from tests.chart.helm import CHART

README = CHART / "README.md"
BEGIN, END = "<!-- values -->", "<!-- end of values -->"


def described() -> Iterator[tuple[str, str]]:
    """Each value's path with its comment, in the order of values.yaml."""
    path: list[str] = []
    comment = ""
    for line in (CHART / "values.yaml").read_text().splitlines():
        text = line.strip()
        if text.startswith("# -- "):
            comment = text.removeprefix("# -- ")
        elif match := re.match(r"^( *)([A-Za-z]+):", line):
            depth = len(match[1]) // 2
            path = [*path[:depth], match[2]]
            if comment:
                yield ".".join(path), comment
            comment = ""


def at(values: Any, path: str) -> Any:
    """The value at a path."""
    for key in path.split("."):
        values = values[key]
    return values


def table() -> str:
    """The table, in Markdown."""
    values = yaml.safe_load((CHART / "values.yaml").read_text())
    lines = ["| value | default | |", "|---|---|---|"]
    for path, comment in described():
        lines.append(f"| `{path}` | `{json.dumps(at(values, path), ensure_ascii=False)}` | {comment} |")
    return "\n".join(lines)


def written(text: str) -> str:
    """The README with the table of now."""
    before, _, rest = text.partition(BEGIN)
    _, _, after = rest.partition(END)
    return f"{before}{BEGIN}\n{table()}\n{END}{after}"


if __name__ == "__main__":
    README.write_text(written(README.read_text()))
