"""The figure of ``fastconv demo``, through matplotlib's objects: no pyplot, no window, no state left behind."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any, NamedTuple

import matplotlib as mpl
import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import LinearSegmentedColormap, PowerNorm
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

if TYPE_CHECKING:
    from matplotlib.axes import Axes

SUFFIXES = {".jpg", ".pdf", ".png", ".svg"}

# Inches, except DPI.
WIDTH, MARGIN, GAP, COLUMNS = 14.0, 0.3, 0.10, 8
TITLE, HEADING, NAME = 0.7, 0.36, 0.27  # heights of the page's title, a section's heading, a tile's name
DPI = 110
ACCENT, GREY = "#b5402b", "#555555"
STYLE: Any = {"font.family": "DejaVu Sans", "font.size": 10.5, "text.usetex": False, "axes.linewidth": 0.5}

LEGEND = "maps: white is 0, dark is strong · signed maps: blue is negative, red positive · each on its own scale"
INK = LinearSegmentedColormap.from_list("ink", ["#ffffff", "#f6c98f", "#d9573f", "#7a1f52", "#1d0b33"])

Array = np.ndarray[Any, Any]


class Tile(NamedTuple):
    """One small picture. Kinds: rgb, signed (diverging, 0 is white), map (0 is black) and kernel."""

    image: Array
    name: str
    kind: str
    kernel: Array | None = None  # (kh, kw, 3), drawn into the corner


class Section(NamedTuple):
    """A heading and rows of tiles; the photo leads the first one, over two rows and two columns."""

    heading: str
    caption: str
    tiles: list[Tile]
    leads: bool = False


class Page(NamedTuple):
    """A figure and the measures of its grid, in inches."""

    figure: Figure
    height: float
    tile: tuple[float, float]  # width and height of a tile's picture

    def axes(self, top: float, row: int, column: int, span: int = 1) -> Axes:
        """Add axes of `span` tiles at a place of the grid whose upper edge is at `top`."""
        width, height = (span * side + (span - 1) * GAP for side in self.tile)
        left = MARGIN + column * (self.tile[0] + GAP)
        bottom = top - row * _pitch(self.tile[1]) - NAME - height
        box = (left / WIDTH, bottom / self.height, width / WIDTH, height / self.height)
        return self.figure.add_axes(box, anchor="NW")

    def write(self, x: float, y: float, text: str, **style: Any) -> float:
        """Write text and return where it ends."""
        written = self.figure.text(x / WIDTH, y / self.height, text, va="center", **style)
        return float(written.get_window_extent().x1 / self.figure.dpi)


def draw(photo: Array, detail: tuple[slice, slice], sections: list[Section], suffix: str) -> bytes:
    """Draw the page and return the file's bytes."""
    width = (WIDTH - 2 * MARGIN - (COLUMNS - 1) * GAP) / COLUMNS
    tile = width, width * min(max(photo.shape[0] / photo.shape[1], 0.5), 1)  # the photo's shape, within reason
    heights = [HEADING + _rows(section) * _pitch(tile[1]) + GAP for section in sections]
    height = TITLE + sum(heights) + MARGIN / 2
    buffer = io.BytesIO()
    with mpl.rc_context(STYLE):
        page = Page(Figure(figsize=(WIDTH, height), dpi=DPI, facecolor="white"), height, tile)
        FigureCanvasAgg(page.figure)
        end = page.write(MARGIN, height - 0.4, "fastconv on one photograph", fontsize=21, weight="bold")
        page.write(end + 0.25, height - 0.43, LEGEND, fontsize=12, color=GREY)
        top = height - TITLE
        for section, used in zip(sections, heights, strict=True):
            end = page.write(MARGIN, top - 0.2, section.heading, fontsize=14, weight="bold", color=ACCENT)
            page.write(end + 0.12, top - 0.2, section.caption, fontsize=12, color=GREY)
            if section.leads:
                _lead(page.axes(top - HEADING, 0, 0, 2), photo, detail)
            for cell, picture in zip(_cells(section), section.tiles, strict=True):
                _show(page.axes(top - HEADING, *cell), picture)
            top -= used
        page.figure.savefig(buffer, format=suffix[1:].lower())
    return buffer.getvalue()


def _pitch(height: float) -> float:
    return NAME + height + GAP


def _rows(section: Section) -> int:
    return max(row for row, _ in _cells(section)) + 1


def _cells(section: Section) -> list[tuple[int, int]]:
    """Row and column of each tile."""
    first = 2 if section.leads else 0
    across = COLUMNS - first
    return [(k // across, first + k % across) for k in range(len(section.tiles))]


def _lead(axes: Axes, photo: Array, detail: tuple[slice, slice]) -> None:
    """Show the photo, with a frame around the part that the filters are shown on."""
    _show(axes, Tile(photo, "", "rgb"))
    axes.set_xlabel("the photo, and the part shown beside", fontsize=11.5, loc="left")
    down, right = detail
    corner = (right.start - 0.5, down.start - 0.5)
    size = (right.stop - right.start, down.stop - down.start)
    axes.add_patch(Rectangle(corner, *size, fill=False, edgecolor="white", linewidth=2, linestyle=(0, (4, 2))))


def _show(axes: Axes, tile: Tile) -> None:
    axes.set_xticks([])
    axes.set_yticks([])
    axes.set_title(tile.name, fontsize=11.5, loc="left", pad=3)
    image = np.asarray(tile.image, np.float32)
    few = max(image.shape[:2]) < 64
    style: dict[str, Any] = {"interpolation": "nearest" if few else "antialiased"}
    if tile.kind == "rgb":
        axes.imshow(np.clip(image, 0, 1), **style)
    elif tile.kind == "map":
        axes.imshow(image, cmap=INK, norm=PowerNorm(0.6, 0, max(float(np.quantile(image, 0.997)), 1e-6)), **style)
    else:
        limit = max(float(np.quantile(np.abs(image), 1 if few else 0.995)), 1e-6)
        axes.imshow(image, cmap="RdBu_r", vmin=-limit, vmax=limit, **style)
    if tile.kernel is not None:
        corner = axes.inset_axes((0.70, 0.70, 0.28, 0.28))
        corner.set_xticks([])
        corner.set_yticks([])
        corner.imshow(0.5 + tile.kernel / (2 * np.abs(tile.kernel).max()), interpolation="nearest")
    if tile.kind == "kernel":
        _grid(axes, image)


def _grid(axes: Axes, kernel: Array) -> None:
    """Draw the borders of a kernel's weights."""
    h, w = kernel.shape
    axes.hlines(np.arange(1, h) - 0.5, -0.5, w - 0.5, color="#bbbbbb", linewidth=0.6)
    axes.vlines(np.arange(1, w) - 0.5, -0.5, h - 0.5, color="#bbbbbb", linewidth=0.6)
