"""The plots, drawn from the numbers."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path
from typing import Any

SIZE = (7.0, 3.6)  # inches
OURS, THEIRS = "#1f6f8b", "#b0b0b0"
METADATA = dict.fromkeys(("Date", "Creator", "Format", "Type"))


def possible() -> bool:
    """Whether matplotlib is installed."""
    return importlib.util.find_spec("matplotlib") is not None


def draw(numbers: dict[str, Any], folder: Path) -> dict[str, str]:
    """The titles by file name of what could be drawn: of rows that were measured, where matplotlib is installed."""
    if not possible():
        return {}
    import matplotlib as mpl  # noqa: PLC0415 (installed for `make bench` only)

    mpl.use("svg")
    # Text stays text, in the reader's own font; the same numbers make the same file.
    mpl.rcParams.update({"svg.fonttype": "none", "svg.hashsalt": "bench", "font.size": 9, "axes.axisbelow": True})
    lines = [line for row in numbers["rows"].values() for line in row["lines"] if line["plot"] and line["values"]]
    series: dict[str, dict[str, dict[str, Any]]] = {}
    for line in lines:
        kind, _, name = line["plot"].partition(": ")
        series.setdefault(kind, {})[name] = line
    drawn = {}
    for kind, (title, function) in PLOTS.items():
        if kind in series:
            _save(folder / f"{kind}.svg", title, function, series[kind])
            drawn[f"{kind}.svg"] = title
    return drawn


def _save(path: Path, title: str, function: Any, series: dict[str, dict[str, Any]]) -> None:
    from matplotlib.figure import Figure  # noqa: PLC0415 (as above)

    figure = Figure(figsize=SIZE, layout="constrained")
    axes = figure.add_subplot()
    function(axes, series)
    axes.set_title(title, fontsize=10, loc="left")
    axes.grid(visible=True, linewidth=0.4, alpha=0.6)
    figure.savefig(path, format="svg", metadata=METADATA)
    svg = path.read_text()
    svg = re.sub(r"<!DOCTYPE[^>]*>\s*", "", svg)  # it names a file elsewhere
    svg = re.sub(r"<metadata>.*?</metadata>\s*", "", svg, flags=re.DOTALL)
    path.write_text(re.sub(r"[ \t]+$", "", svg, flags=re.MULTILINE))


def _strips(axes: Any, series: dict[str, dict[str, Any]]) -> None:
    """Every value as a dot, a bar at the median, one line for each kind."""
    names = list(reversed(series))
    for place, name in enumerate(names):
        values, colour = series[name]["values"], OURS if name.startswith("ours") else THEIRS
        spread = [place + 0.25 * ((7 * number) % 11 / 5 - 1) for number in range(len(values))]
        axes.plot(values, spread, ".", markersize=3, color=colour, alpha=0.7)
        axes.plot([series[name]["median"]] * 2, [place - 0.35, place + 0.35], color="black", linewidth=1.2)
    axes.set_yticks(range(len(names)), names)
    axes.set_xlabel(series[names[0]]["unit"])


def _handover(axes: Any, series: dict[str, dict[str, Any]]) -> None:
    _strips(axes, series)
    axes.set_xscale("log")


def _sigkill(axes: Any, series: dict[str, dict[str, Any]]) -> None:
    _strips(axes, series)
    axes.set_xlim(left=10)


def _sigterm(axes: Any, series: dict[str, dict[str, Any]]) -> None:
    """The median by the number of objects, a line for each kind of standby."""
    kinds: dict[str, list[tuple[int, float, float]]] = {}
    for name, line in series.items():
        kind, _, count = name.rpartition(": ")
        if kind:
            kinds.setdefault(kind, []).append((int(count), line["median"], line["p95"]))
    for kind, points in kinds.items():
        counts, medians, highest = zip(*sorted(points), strict=True)
        style = {"color": OURS if kind.startswith("warm") else THEIRS, "linestyle": "--" if "no" in kind else "-"}
        axes.plot(counts, medians, marker="o", markersize=3, label=kind, **style)
        axes.fill_between(counts, medians, highest, color=style["color"], alpha=0.15, linewidth=0)
    axes.set(xscale="log", yscale="log", xlabel="objects", ylabel="ms, median to p95")
    axes.legend(frameon=False)


def _requests(axes: Any, series: dict[str, dict[str, Any]]) -> None:
    """Bars: the standby's and the leader's."""
    roles = {role: {} for role in ("leader", "standby")}  # type: dict[str, dict[str, float]]
    for name, line in series.items():
        role, _, kind = name.partition(": ")
        roles[role][kind] = line["mean"]
    kinds = list(reversed(roles["leader"]))
    for (role, rates), shift in zip(roles.items(), (0.2, -0.2), strict=True):
        places = [place + shift for place in range(len(kinds))]
        colours = [OURS if kind.startswith("ours") else THEIRS for kind in kinds]
        bars = axes.barh(places, [rates[kind] for kind in kinds], 0.36, color=colours)
        axes.bar_label(bars, [f"{role} {rates[kind]:.3g}" for kind in kinds], padding=2, fontsize=7)
    axes.set_yticks(range(len(kinds)), [f"{kind} replicas" for kind in kinds])
    axes.margins(x=0.18)
    axes.set_xlabel("requests a minute, each")


PLOTS = {
    "handover": ("From the release to the next leader (every value, and the median)", _handover),
    "sigterm": ("From SIGTERM to the first handler of the next leader", _sigterm),
    "sigkill": ("From SIGKILL to the next leader, 15/10/2", _sigkill),
    "requests": ("Requests in steady state, by the API server's audit log", _requests),
}
