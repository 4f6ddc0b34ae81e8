"""A document as a figure: GFLOP/s of each problem, a mark for each peer, through matplotlib's objects alone."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any

import matplotlib as mpl
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from . import report
from .peers import OURS

if TYPE_CHECKING:
    from matplotlib.axes import Axes

LINE, EDGE = 0.24, 1.1  # inches of a problem, and around a panel
MARKS = "oD^v<>sPX*p8h"
STYLE: Any = {"font.family": "DejaVu Sans", "font.size": 9, "text.usetex": False, "axes.linewidth": 0.5}


def draw(document: dict[str, Any], suffix: str) -> bytes:
    """Draw a panel for each suite, layout and number of threads; return the file's bytes."""
    panels = report.panels(document)
    heights = [LINE * len(rows) + EDGE for rows in panels]
    buffer = io.BytesIO()
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(9, sum(heights)), dpi=110, facecolor="white", layout="constrained")
        FigureCanvasAgg(figure)
        axes = figure.subplots(len(panels), squeeze=False, height_ratios=heights)[:, 0]
        for place, rows in zip(axes, panels, strict=True):
            panel(place, rows, document)
        figure.savefig(buffer, format=suffix[1:].lower())
    return buffer.getvalue()


def panel(axes: Axes, rows: list[dict[str, Any]], document: dict[str, Any]) -> None:
    """Draw one panel: problems from top to bottom, hollow marks for peers whose weights were prepared."""
    colours = mpl.colormaps["tab10"]
    for index, (name, peer) in enumerate(document["peers"].items()):
        points = [
            (row["flop"] / row["peers"][name]["median"] / 1e9, place)
            for place, row in enumerate(rows)
            if name in row["peers"]
        ]
        if points:
            ours, colour = name == OURS, "black" if name == OURS else colours((index - 1) % 10)
            fill = "none" if peer["weights"] == "prepared" else colour
            size, above = (7, 3) if ours else (5, 2)
            axes.plot(*zip(*points, strict=True), MARKS[index % len(MARKS)], label=name, color=colour, zorder=above,
                      markersize=size, markerfacecolor=fill)  # fmt: skip
    axes.axvline(document["machine"]["peak"] * rows[0]["threads"] / 1e9, color="#b5402b", linewidth=1, label="FMA peak")
    axes.set_yticks(range(len(rows)), [row["name"] for row in rows])
    axes.set_ylim(len(rows) - 0.5, -0.5)
    axes.set_xlim(left=0)
    axes.set_xlabel("GFLOP/s")
    axes.set_title(report.title(rows), loc="left")
    axes.grid(axis="y", linewidth=0.3)
    axes.legend(loc="center left", bbox_to_anchor=(1, 0.5), frameon=False, fontsize=8)
