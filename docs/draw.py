"""Draw the state diagram of docs/protocol.md from the machine's own table: `python docs/draw.py`.

The phases of a usual life stand around an ellipse, in its order and with thick lines, and holding in the middle; every
other transition is a thinner line, and why it happens stands in the table below the picture.
"""

import math
import re
from html import escape
from itertools import pairwise
from pathlib import Path

from kopf_leader.protocol.state import Phase
from kopf_leader.protocol.table import TRANSITIONS

PAGE = Path(__file__).parent / "protocol.md"
PICTURE = Path(__file__).parent / "pictures" / "phases.svg"
BEGIN, END = "<!-- phases -->", "<!-- end of phases -->"
WIDTH, HEIGHT = 760, 440
BOX = (104, 34)
USUAL = [phase for phase in Phase if phase is not Phase.HOLDING]
_STYLE = """text{font:14px system-ui,sans-serif;text-anchor:middle;fill:#1c2430}rect.page{fill:#fff}
rect.box{fill:#eef2f7;stroke:#5b6b80}rect.leads{fill:#d9f2e0;stroke:#2f7d4a}path{fill:none;stroke:#9aa7b8}path.usual{stroke:#1c2430;stroke-width:2}"""


def place(phase: Phase) -> tuple[float, float]:
    """The middle of a phase's box."""
    if phase not in USUAL:
        return WIDTH / 2, HEIGHT / 2
    angle = math.tau * USUAL.index(phase) / len(USUAL) - math.pi * 0.75
    return WIDTH / 2 + (WIDTH / 2 - 80) * math.cos(angle), HEIGHT / 2 + (HEIGHT / 2 - 40) * math.sin(angle)


def rim(middle: tuple[float, float], towards: tuple[float, float]) -> tuple[float, float]:
    """Where a line from the middle of a box to another point leaves the box."""
    dx, dy = towards[0] - middle[0], towards[1] - middle[1]
    share = min((side / 2 + 5) / abs(part) for side, part in zip(BOX, (dx, dy), strict=True) if abs(part) > 1e-6)
    return middle[0] + dx * share, middle[1] + dy * share


def arrow(before: Phase, after: Phase, why: str, *, usual: bool) -> str:
    """One transition; it bends to its right, so that the way back is another line."""
    start, end = place(before), place(after)
    dx, dy = end[0] - start[0], end[1] - start[1]
    bend = 0.0 if usual else 0.1
    middle = ((start[0] + end[0]) / 2 - dy * bend, (start[1] + end[1]) / 2 + dx * bend)
    (x1, y1), (x2, y2) = rim(start, middle), rim(end, middle)
    kind = "usual" if usual else "other"
    return (
        f'<path class="{kind}" marker-end="url(#{kind})" '
        f'd="M{x1:.0f} {y1:.0f}Q{middle[0]:.0f} {middle[1]:.0f} {x2:.0f} {y2:.0f}">'
        f"<title>{escape(f'{before.value} → {after.value}: {why}')}</title></path>"
    )


def picture() -> str:
    """The table as an SVG."""
    along = {*pairwise(USUAL)} & {(a, b) for a, rest in TRANSITIONS.items() for b in rest}
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}">',
        "<title>The phases, and which may follow which</title>",
        f"<style>{_STYLE}</style><defs>",
        *(
            f'<marker id="{kind}" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="{size}" markerHeight="{size}" '
            f'orient="auto"><path d="M0 0L8 4L0 8z" style="fill:{colour};stroke:none"/></marker>'
            for kind, size, colour in (("usual", 7, "#1c2430"), ("other", 8, "#9aa7b8"))
        ),
        f'</defs><rect class="page" width="{WIDTH}" height="{HEIGHT}" rx="8"/>',
    ]
    every = [(a, b, why) for a, rest in TRANSITIONS.items() for b, why in rest.items()]
    for thick in (False, True):
        lines += [arrow(a, b, why, usual=thick) for a, b, why in every if ((a, b) in along) is thick]
    for phase in TRANSITIONS:
        x, y = place(phase)
        kind = "box leads" if phase is Phase.LEADING else "box"
        lines.append(
            f'<rect class="{kind}" x="{x - BOX[0] / 2:.0f}" y="{y - BOX[1] / 2:.0f}" width="{BOX[0]}" '
            f'height="{BOX[1]}" rx="6"/><text x="{x:.0f}" y="{y + 5:.0f}">{phase.value}</text>'
        )
    return "\n".join([*lines, "</svg>\n"])


def block() -> str:
    """What stands on the page: the picture, and the table in words."""
    lines = [BEGIN, "![The phases, and which may follow which](pictures/phases.svg)", ""]
    lines += ["| from | to | why |", "|---|---|---|"]
    for phase, following in TRANSITIONS.items():
        lines += [f"| {phase.value} | {after.value} | {why} |" for after, why in following.items()]
    return "\n".join([*lines, END])


def written(page: str) -> str:
    """The page with the block of now."""
    return re.sub(f"{BEGIN}.*?{END}", lambda _: block(), page, flags=re.DOTALL)


if __name__ == "__main__":
    PICTURE.write_text(picture(), encoding="utf-8")
    PAGE.write_text(written(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
