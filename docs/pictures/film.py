"""A terminal's screen over time as an animated SVG: no script, no font, nothing from elsewhere.

Every row of the screen is drawn once for each text that it had, and shown for as long as it had it. Who plays no
animations sees the last picture.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from html import escape

CELL, LINE, MARGIN = 7.2, 15.0, 12.0
COLOURS = {
    "default": "#d5dbe3", "red": "#ef6b73", "green": "#7fc98f", "brown": "#e5c07b", "yellow": "#e5c07b",
    "blue": "#6ca8f0", "magenta": "#c792ea", "cyan": "#63c5d5", "white": "#ffffff", "dim": "#8a94a3",
}  # fmt: skip
STYLE = (
    "text{{font:12px ui-monospace,SFMono-Regular,Menlo,Consolas,'DejaVu Sans Mono',monospace;white-space:pre;"
    "fill:{default}}}.b{{font-weight:bold}}"
).format(**COLOURS)

Run = tuple[int, str, str]
"""A column, the text from there on, and its style: a colour, with ` b` for bold."""
Row = tuple[Run, ...]


@dataclass(frozen=True)
class Frame:
    """The screen at a moment, in seconds of the film."""

    at: float
    rows: tuple[Row, ...]


@dataclass(frozen=True)
class Spell:
    """A row that had one text from a moment to another."""

    number: int
    row: Row
    begin: float
    end: float


def spells(frames: Sequence[Frame], seconds: float) -> Iterator[Spell]:
    """What each row showed, for how long; empty rows are left out."""
    for number in range(len(frames[0].rows)):
        begin, row = 0.0, frames[0].rows[number]
        for frame in frames[1:]:
            if frame.rows[number] != row:
                if row:
                    yield Spell(number, row, begin, frame.at)
                begin, row = frame.at, frame.rows[number]
        if row:
            yield Spell(number, row, begin, seconds)


def _text(spell: Spell, seconds: float) -> str:
    y = MARGIN + LINE * (spell.number + 1) - 4
    runs = "".join(_run(run) for run in spell.row)
    whole = spell.begin == 0 and spell.end == seconds
    last = spell.end == seconds
    if whole:
        return f'<text y="{y:g}">{runs}</text>'
    begin, how_long = (0.0, spell.begin) if last else (spell.begin, spell.end - spell.begin)
    to, usual = ("none", "") if last else ("inline", ' display="none"')
    shown = f'<set attributeName="display" to="{to}" begin="f.begin+{begin:.2f}s" dur="{how_long:.2f}s"/>'
    return f'<text y="{y:g}"{usual}>{shown}{runs}</text>'


def _run(run: Run) -> str:
    column, text, style = run
    colour, _, bold = style.partition(" ")
    fill = "" if colour == "default" else f' fill="{COLOURS[colour]}"'
    weight = ' class="b"' if bold else ""
    length = f' textLength="{len(text) * CELL:.1f}"' if len(text) > 1 else ""
    return f'<tspan x="{MARGIN + column * CELL:.1f}"{length}{fill}{weight}>{escape(text, quote=False)}</tspan>'


def svg(frames: Sequence[Frame], *, seconds: float, columns: int, title: str) -> str:
    """The film, again and again; it stands still at its end for as long as the last frame is long."""
    width, height = columns * CELL + 2 * MARGIN, len(frames[0].rows) * LINE + 2 * MARGIN
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:.0f} {height:.0f}">',
        f"<title>{escape(title)}</title><style>{STYLE}</style>",
        '<rect width="100%" height="100%" rx="8" fill="#1d232c">',
        f'<animate id="f" attributeName="rx" values="8;8" dur="{seconds:.2f}s" begin="0s;f.end"/></rect>',
    ]
    lines += [_text(spell, seconds) for spell in spells(frames, seconds)]
    return "\n".join([*lines, "</svg>\n"])
