"""How far Winograd's tiles may be from the exact sums, by the points that a plan states.

A transform errs by at most so many roundings times what its absolute values make of what it is given, and that reaches
an output by the absolute values of what comes after. Here both are taken of the data, for each tile. The proof is in
docs/design/0007-winograd.md.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from ._problem import Problem
from .backends.reference import pixels_at

Array = np.ndarray[Any, Any]

HELD_BYTES = 8 << 20  # of tiles' pixels at a time; of all that is made of them it is some times as much
ROUNDINGS = 8, 12, 12  # on one path through the transforms of pixels, of taps and to outputs, in both axes


class Axis(NamedTuple):
    """An axis of a tile: its outputs and pixels, and the matrices of its transforms (`fc_points`)."""

    outputs: int
    pixels: int
    of_pixels: Array
    of_taps: Array
    to_outputs: Array


def tile_bound(
    p: Problem, images: Array, kernels: Array, fill: float, u: float, constant: float, tiles: tuple[Any, ...]
) -> tuple[Array, Array]:
    """Return the bound of each output without its bias, and which outputs `direct` may have computed instead.

    Images (N, C, H, W), kernels (O, C, kh, kw) and the value of padding are real and in float64.
    """
    down, across = axis_of(*tiles[0]), axis_of(*tiles[1])
    matrices = [np.kron(a, b) for a, b in zip(down[2:], across[2:], strict=True)]
    steps = p.dh if p.kh > 1 else 1, p.dw if p.kw > 1 else 1
    igc, ocg = p.ic // p.groups, p.oc // p.groups
    bound, large = np.empty((p.n, p.oc, p.oh, p.ow)), np.empty((p.n, p.oc, p.oh, p.ow), bool)
    k = constant * u  # roundings of what is rounded already, and what sums here err by
    slack = k * (k / (1 - k) + 2.0**-40) if k < 1 else np.inf
    for n, group, top, left in np.ndindex(p.n, p.groups, min(steps[0], p.oh), min(steps[1], p.ow)):
        c, o = slice(group * igc, (group + 1) * igc), slice(group * ocg, (group + 1) * ocg)
        grid, far = bound[n, o, top :: steps[0], left :: steps[1]], large[n, o, top :: steps[0], left :: steps[1]]
        columns = (_pixels(across, grid.shape[2], p.sw) * steps[1] + left - p.pl).ravel()
        held = max(HELD_BYTES // (8 * igc * down.pixels * len(columns)), 1)
        for first in range(0, -(-grid.shape[1] // down.outputs), held):
            at = slice(first * down.outputs, min((first + held) * down.outputs, grid.shape[1]))
            rows = (_pixels(down, at.stop - at.start, p.sh) + at.start * p.sh) * steps[0] + top - p.pt
            pixels = pixels_at(images[n, c], rows.ravel(), columns, p.padding_mode, fill)
            pixels = pixels.reshape(igc, len(rows), down.pixels, -1, across.pixels)
            errors, norms = _of_tiles(pixels, kernels[o], matrices)
            found = (1 + 2.0**-30) * u * errors + slack * norms
            found = found.reshape(down.outputs, across.outputs, ocg, len(rows), -1).transpose(2, 3, 0, 4, 1)
            found = found.reshape(ocg, len(rows) * down.outputs, -1)
            grid[:, at] = found[:, : at.stop - at.start, : grid.shape[2]]
            sizes = np.abs(pixels).max((0, 2, 3, 4)) * (pixels.size / len(rows)) ** 0.5
            for i, size in enumerate(sizes):  # a row of tiles is computed by `direct` as one
                start = at.start + i * down.outputs
                far[:, start : min(start + down.outputs, at.stop)] = may_be_direct(p, size, kernels[o])[:, None, None]
    return bound, large


def may_be_direct(p: Problem, size: float, kernels: Array) -> Array:
    """Of each kernel whether sums with pixels of such a norm may come near what `fc_limit` allows: from far below."""
    sizes = kernels[0].size ** 0.5 * np.abs(kernels).max((1, 2, 3))
    most = np.maximum(np.maximum(size, sizes), size * sizes) * kernels[0].size
    large: Array = ~(most < float(np.finfo(p.compute).max) ** 0.5)
    return large


def axis_of(outputs: int, taps: int, points: list[list[float]]) -> Axis:
    """The transforms by Toom and Cook, of even and of odd taps each where the stride is 2."""
    stride = len(points)
    pixels = (outputs - 1) * stride + taps
    of_pixels, of_taps, to_outputs = [], [], []
    for i, some in enumerate(points):
        count = len(range(i, taps, stride))
        a, g, b = _transforms(some, outputs, count)
        of_pixels.append(np.zeros((len(b), pixels)))
        of_pixels[-1][:, i::stride] = b
        of_taps.append(np.zeros((len(g), taps)))
        of_taps[-1][:, i::stride] = g
        to_outputs.append(a)
    return Axis(outputs, pixels, np.vstack(of_pixels), np.vstack(of_taps), np.hstack(to_outputs))


def _transforms(points: list[float], outputs: int, taps: int) -> tuple[Array, Array, Array]:
    """Matrices to outputs, of taps and of pixels, up to factors of points, which change no error."""
    if not points:
        return np.eye(outputs), np.ones((outputs, 1)), np.eye(outputs)
    others = [[q for q in points if q != p] for p in points]
    to_outputs = np.array([[p**i for p in points] + [float(i == outputs - 1)] for i in range(outputs)])
    of_taps = [
        [p**t / np.prod(np.subtract(p, rest)) for t in range(taps)] for p, rest in zip(points, others, strict=True)
    ]
    of_pixels = [np.append(np.poly(rest)[::-1], 0) for rest in others] + [np.poly(points)[::-1]]
    return to_outputs, np.vstack([of_taps, np.eye(taps)[-1]]), np.array(of_pixels)


def _pixels(axis: Axis, outputs: int, stride: int) -> Array:
    """The pixels (tiles, pixels) of so many outputs, with those of outputs that hang over."""
    found: Array = np.arange(-(-outputs // axis.outputs))[:, None] * axis.outputs * stride + np.arange(axis.pixels)
    return found


def _of_tiles(pixels: Array, kernels: Array, matrices: list[Array]) -> tuple[Array, Array]:
    """What outputs (rows * columns, O, tiles) may err by, in units of u, to first order, and the product of norms."""
    of_pixels, of_taps, to_outputs = matrices
    channels, down, height, across, width = pixels.shape
    d = np.ascontiguousarray(pixels.transpose(2, 4, 0, 1, 3)).reshape(height * width, -1)
    w = np.ascontiguousarray(kernels.transpose(2, 3, 0, 1)).reshape(kernels[0, 0].size, -1)
    points = len(of_pixels)
    v, v_sizes = ((b @ of).reshape(points, channels, -1) for b, of in ((of_pixels, d), (abs(of_pixels), abs(d))))
    u, u_sizes = ((g @ of).reshape(points, -1, channels) for g, of in ((of_taps, w), (abs(of_taps), abs(w))))
    chain = np.arange(channels, 0, -1.0)[:, None]  # roundings that each channel's products go through
    errors = abs(u) @ (ROUNDINGS[0] * v_sizes + chain * abs(v)) + ROUNDINGS[1] * u_sizes @ abs(v)
    errors += (ROUNDINGS[2] + 1) * abs(u @ v)  # and one of the output
    norms = np.abs(kernels).sum((2, 3)) @ abs(d).max(0).reshape(channels, -1)
    return (abs(to_outputs) @ errors.reshape(points, -1)).reshape(-1, len(kernels), down * across), norms
