"""The kernels of ``fastconv demo``: classic filters, and three layers of designed feature detectors. NumPy alone.

A trained network finds such kernels itself: oriented edges and colour opponents in its first layer, lines, corners and
texture made of those in its second, longer motifs and regions in its third. Here they are written down, so that each
map has a name. A unit is a row: its name, its bias and its terms, each a channel of the layer below with the places
(and signs) where that channel should, or should not, answer.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from .. import filters

Array = np.ndarray[Any, Any]
Terms = dict[str, Array]  # channel of the layer below → 3 × 3 weights


class Bank(NamedTuple):
    """Named kernels, weight (O, I, kh, kw) and bias (O,) or None."""

    names: tuple[str, ...]
    weight: Array
    bias: Array | None


class Unit(NamedTuple):
    """One output channel."""

    name: str
    bias: float
    terms: Terms


# Directions d = 0 … 7 as steps (right, down), an eighth of a turn apart. Opposites are d and d + 4.
STEPS = ((1, 0), (1, 1), (0, 1), (-1, 1), (-1, 0), (-1, -1), (0, -1), (1, -1))
ARROWS = "→↘↓↙←↖↑↗"
LINES = "│╱─╲"  # the line whose normal is STEPS[d]


def classic() -> Bank:
    """Make filters for one channel at a time, each in the middle of 9 × 9."""
    kernels = {
        "gaussian 9×9": filters.gaussian(9, 2.0),
        "box 9×9": filters.box(9),
        "motion blur 9×9": np.eye(9) / 9,
        "sharpen 3×3": filters.sharpen(),
        "emboss 3×3": filters.emboss(),
        "LoG 9×9": _blob(9, 1.6),
        "laplacian 3×3": filters.laplacian(),
        "sobel_x 3×3": filters.sobel_x(),
        "sobel_y 3×3": filters.sobel_y(),
    }
    weight = np.stack([_centred(kernel, 9) for kernel in kernels.values()])
    return Bank(tuple(kernels), _f32(weight[:, None]), None)


def colour_edges() -> Bank:
    """Make edge detectors that look at all three channels at once."""
    mixes = {"brightness edge": (1 / 3, 1 / 3, 1 / 3), "red–green edge": (1, -1, 0),
             "blue–yellow edge": (-0.5, -0.5, 1)}  # fmt: skip
    weight = np.array(list(mixes.values()))[:, :, None, None] * _blob(9, 1.6)
    return Bank(tuple(mixes), _f32(weight), None)


def relief() -> Array:
    """Make a 5 × 5 relief, lit from the upper left. Turned by half a turn it is lit from the lower right."""
    y, x = np.mgrid[-2:3, -2:3]
    slope = (x + y) * filters.gaussian(5, 1.0)
    return _f32(filters.identity(5) + 5 * slope / np.abs(slope).sum())


def letter() -> Array:
    """Draw the letter F, 7 × 7: nobody mistakes it for its own flip."""
    rows = [".#####.", ".#.....", ".#.....", ".####..", ".#.....", ".#.....", ".#....."]
    return _f32(np.array([[pixel == "#" for pixel in row] for row in rows]))


def layer1() -> Bank:
    """3 → 16, 7 × 7: edges in eight directions of growing brightness, four colours against their opposites, spots."""
    y, x = np.mgrid[-3:4, -3:4]
    bell = np.exp(-(x**2 + y**2) / (2 * 1.6**2))
    slopes = [(x * right + y * down) * bell for right, down in STEPS]
    grey = (1 / 3, 1 / 3, 1 / 3)
    units = {
        **{f"edge {arrow}": (grey, 2 * slope / np.abs(slope).sum(), -0.01)
           for arrow, slope in zip(ARROWS, slopes, strict=True)},
        "red": ((1, -0.5, -0.5), bell / bell.sum(), -0.03),
        "yellow": ((0.5, 0.5, -1), bell / bell.sum(), -0.03),
        "green": ((-0.5, 1, -0.5), bell / bell.sum(), -0.03),
        "blue": ((-0.5, -0.5, 1), bell / bell.sum(), -0.03),
        "bright": (grey, bell / bell.sum(), -0.5),
        "dark": (grey, -bell / bell.sum(), 0.4),
        "bright spot": (grey, _blob(7, 1.2), -0.02),
        "dark spot": (grey, -_blob(7, 1.2), -0.02),
    }  # fmt: skip
    weight = np.stack([np.multiply.outer(mix, kernel) for mix, kernel, _ in units.values()])
    return Bank(tuple(units), _f32(weight), _f32([bias for _, _, bias in units.values()]))


def layer2(below: tuple[str, ...]) -> Bank:
    """16 → 16, 3 × 3: contours and lines by direction, corners, texture and its absence, colour and its absence."""
    edges = [f"edge {arrow}" for arrow in ARROWS]
    every_edge = dict.fromkeys(edges, AROUND)
    every_colour = dict.fromkeys(("red", "yellow", "green", "blue"), AROUND)
    units = [
        *(Unit(f"contour {LINES[d]}", -0.2, _contour(edges, d)) for d in range(4)),
        *(Unit(f"line {LINES[d]}", -0.3, _line(edges, d)) for d in range(4)),
        *(Unit(f"corner {sign}", -0.3, _corner(edges, across, down))
          for sign, across, down in (("┌", 1, 1), ("┐", -1, 1), ("└", 1, -1), ("┘", -1, -1))),
        Unit("texture", -0.3, every_edge),
        Unit("smooth", 0.6, _scaled(every_edge, -2)),
        Unit("colourful", -0.3, every_colour),
        Unit("grey", 0.6, _scaled(every_colour, -2)),
    ]  # fmt: skip
    return _bank(units, below)


def layer3(below: tuple[str, ...]) -> Bank:
    """16 → 16, 3 × 3: long contours, arcs, rings, grids, and regions of a kind."""
    contours = [f"contour {line}" for line in LINES]
    vertical, rising, horizontal, falling = contours
    units = [
        *(Unit(f"long contour {line}", -0.45, {contours[d]: at((0, 0), *_along(d))}) for d, line in enumerate(LINES)),
        Unit("arc ◠", -0.5, {horizontal: at((0, 0)), rising: at((-1, 0)), falling: at((1, 0))}),
        Unit("arc ◡", -0.5, {horizontal: at((0, 0)), falling: at((-1, 0)), rising: at((1, 0))}),
        Unit("arc (", -0.5, {vertical: at((0, 0)), rising: at((0, -1)), falling: at((0, 1))}),
        Unit("arc )", -0.5, {vertical: at((0, 0)), falling: at((0, -1)), rising: at((0, 1))}),
        Unit("ring ○", -0.6, {contours[d]: at(STEPS[d], STEPS[d + 4]) for d in range(4)}),
        Unit("grid ┼", -0.35, {vertical: AROUND, horizontal: AROUND}),
        Unit("lattice ╳", -0.3, {rising: AROUND, falling: AROUND}),
        Unit("corners", -0.15, {f"corner {sign}": AROUND for sign in "┌┐└┘"}),
        Unit("textured region", -0.1, {"texture": AROUND, "smooth": -AROUND}),
        Unit("smooth region", -0.4, {"smooth": AROUND, "texture": -AROUND}),
        Unit("smooth, colourful", -0.9, {"smooth": AROUND, "colourful": AROUND}),
        Unit("textured, grey", -0.5, {"texture": AROUND, "grey": AROUND}),
    ]
    return _bank(units, below)


def at(*offsets: tuple[int, int]) -> Array:
    """1 at these offsets (right, down) from the centre of 3 × 3, and 0 elsewhere."""
    taps = np.zeros((3, 3))
    for right, down in offsets:
        taps[1 + down, 1 + right] = 1
    return taps


AROUND = filters.gaussian(3, 0.8)  # the centre and, less, its neighbours


def _along(d: int) -> tuple[tuple[int, int], tuple[int, int]]:
    """Return the two neighbours on a line whose normal is direction d."""
    return STEPS[d + 2], STEPS[(d + 6) % 8]


def _line(edges: list[str], d: int) -> Terms:
    """Answer where brightness grows on one side and falls on the other, and nothing crosses."""
    before, after = STEPS[d + 4], STEPS[d]
    across = {edges[e % 8]: -0.3 * at((0, 0)) for e in (d + 2, d + 6)}
    return {edges[d]: at(before), edges[d + 4]: at(after), **across}


def _contour(edges: list[str], d: int) -> Terms:
    """Answer to an edge of either sign that goes on in both directions, and nothing across it."""
    taps = at((0, 0), *_along(d)) / 2
    across = {edges[e % 8]: -0.3 * at((0, 0)) for e in (d + 2, d + 6)}
    return {edges[d]: taps, edges[d + 4]: taps, **across}


def _corner(edges: list[str], across: int, down: int) -> Terms:
    """Answer to a bright corner: one edge below or above the corner, the other beside it."""
    vertical, horizontal = edges[0 if across > 0 else 4], edges[2 if down > 0 else 6]
    return {vertical: at((0, down)) - 0.5 * at((0, -down)), horizontal: at((across, 0)) - 0.5 * at((-across, 0))}


def _scaled(terms: Terms, gain: float) -> Terms:
    return {name: gain * taps for name, taps in terms.items()}


def _bank(units: list[Unit], below: tuple[str, ...]) -> Bank:
    """Lay the units out as one weight; a channel that a unit does not name has weight 0."""
    weight = np.zeros((len(units), len(below), 3, 3))
    for row, unit in zip(weight, units, strict=True):
        for name, taps in unit.terms.items():
            row[below.index(name)] += taps
    return Bank(tuple(unit.name for unit in units), _f32(weight), _f32([unit.bias for unit in units]))


def _blob(size: int, sigma: float) -> Array:
    """Laplacian of a Gaussian, positive in the middle, Σ|w| = 2, Σw = 0."""
    y, x = np.mgrid[:size, :size] - size // 2
    r2 = (x**2 + y**2) / (2 * sigma**2)
    kernel = (1 - r2) * np.exp(-r2)
    kernel -= kernel.mean()
    return np.asarray(2 * kernel / np.abs(kernel).sum())


def _centred(kernel: Array, size: int) -> Array:
    margin = (size - len(kernel)) // 2
    return np.pad(kernel, margin)


def _f32(values: Any) -> Array:
    return np.asarray(values, np.float32)
