"""How far products of spectra may be from the exact sums, by the tiles and the levels of transforms that a plan states.

A rounding on the way there reaches an output by way of one number of the kernel's transform, one on the way back as it
is. So errors are sums of absolute values of what there is at each level, which is found here by transforming the tile,
the kernels and their exact sums in float64. The proof is in docs/design/0008-fft.md.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np

from ._api import conv2d
from ._problem import Problem
from ._tile_bound import may_be_direct
from .backends.reference import pixels_at

Array = np.ndarray[Any, Any]

HELD_BYTES = 16 << 20  # of kernels' spectra at a time; of all their levels it is some times as much


class Axis(NamedTuple):
    """An axis of a tile, as the plan states it (`fc_levels`)."""

    pixels: int
    step: int
    radices: list[int]
    there: list[float]
    back: list[float]
    three: float

    def levels(self, errors: list[float]) -> Iterator[tuple[int, int, float]]:
        """Of each level how many blocks it has, of how many numbers each rounding is of the norm, and its error."""
        blocks = 1
        for radix, error in zip([*self.radices, 1], errors, strict=True):
            yield blocks, 1, error
            if radix == 3:
                yield blocks, 3, self.three
            blocks *= radix


class Kernels(NamedTuple):
    """What of some kernels of a group every tile is multiplied by."""

    spectra: Array  # (O, C, D, W) conjugate
    down: list[Array]  # of each level (O, C * blocks, taps, kw) absolute values, times errors
    across: list[Array]  # of each level (O, C * D * blocks, 1, taps) the same
    sums: Array  # (O, C) of absolute values


def spectral_bound(
    p: Problem, images: Array, kernels: Array, fill: float, u: float, constant: float, tiles: tuple[Any, ...]
) -> tuple[Array, Array]:
    """Return the bound of each output without its bias, and which outputs `direct` may have computed instead.

    Images (N, C, H, W), kernels (O, C, kh, kw) and the value of padding are real and in float64.
    """
    blocks, down, across = tiles[0], Axis(*tiles[1]), Axis(*tiles[2])
    igc, ocg = p.ic // p.groups, p.oc // p.groups
    bound, large = np.empty((p.n, p.oc, p.oh, p.ow)), np.empty((p.n, p.oc, p.oh, p.ow), bool)
    held = max(HELD_BYTES // (8 * igc * down.pixels * across.pixels), 1)
    k = constant * u  # roundings of what is rounded already, and what transforms here err by: less than 2^-47 of norms
    slack = k * (k / (1 - k) + 2.0**-40) if k < 1 else np.inf
    for first in (g + i for g in range(0, p.oc, ocg) for i in range(0, ocg, held)):
        group = first // ocg
        o, c = slice(first, min(first + held, (group + 1) * ocg)), slice(group * igc, (group + 1) * igc)
        kept = _kernels(kernels[o], blocks, down, across)
        for n, row, column in np.ndindex(p.n, -(-p.oh // down.step), -(-p.ow // across.step)):
            rows = np.arange(row * down.step, min((row + 1) * down.step, p.oh) + p.kh - 1)
            columns = np.arange(column * across.step, min((column + 1) * across.step, p.ow) + p.kw - 1)
            pixels = pixels_at(images[n, c], rows - p.pt, columns - p.pl, p.padding_mode, fill)
            at = n, o, slice(rows[0], rows[-p.kh] + 1), slice(columns[0], columns[-p.kw] + 1)
            errors, norms = _of_tile(pixels, kept, (len(rows) - p.kh + 1, len(columns) - p.kw + 1), down, across)
            bound[at] = (1 + 2.0**-30) * u * errors + slack * norms[:, None, None]
            size = float(np.abs(pixels).max()) * pixels.size**0.5
            large[at] = may_be_direct(p, size, kernels[o])[:, None, None]
    return bound, large


def _kernels(weights: Array, blocks: int, down: Axis, across: Axis) -> Kernels:
    count, channels, height, width = weights.shape
    points, wide = down.pixels // 2, across.pixels
    padded = np.pad(weights, ((0, 0), (0, 0), (0, points - height), (0, 0)))
    columns = np.pad(_blocks(padded, 2, points, 0.25)[:, :, :, 0], ((0, 0),) * 3 + ((0, wide - width),))
    rows_of, columns_of = [], []
    for parts, of, error in down.levels(down.there):  # twice: as much as a tile's spectrum errs the kernel's does
        found = _sizes(padded, 2, parts, of, 0.25)[:, :, :, :height] * (2 * error / parts)
        rows_of.append(found.reshape(count, channels * parts, -1, width))
    for parts, of, error in across.levels(across.there):
        errors = 2 * error + (_products(channels, blocks) if parts == wide else np.zeros(channels))
        found = _sizes(columns, 3, parts, of)[..., :width] * (errors / (points * parts))[:, None, None, None]
        columns_of.append(found.reshape(count, channels * points * parts, 1, -1))
    return Kernels(np.fft.fft(columns, axis=3).conj(), rows_of, columns_of, np.abs(weights).sum((2, 3)))


def _of_tile(pixels: Array, kept: Kernels, outputs: tuple[int, int], down: Axis, across: Axis) -> tuple[Array, Array]:
    """What outputs (O, rows, columns) may err by, in units of u, to first order, and the product of norms (O,)."""
    channels, height, width = pixels.shape
    points, wide = down.pixels // 2, across.pixels
    tile = np.zeros((channels, 2 * points, wide))
    tile[:, :height, :width] = pixels
    tile = tile[:, :points] + 1j * tile[:, points:]
    columns = _blocks(tile, 1, points, 0.25)[:, :, 0]
    sums = np.einsum("cqs,ocqs->oqs", np.fft.fft(columns, axis=2), kept.spectra)
    errors = _way_back(sums, outputs, down, across)
    at_row, at_column = np.arange(outputs[0]) % points, np.arange(outputs[1])
    options: dict[str, Any] = {"algorithm": "direct", "backend": "cpu", "padding_mode": "wrap"}
    for (parts, of, _), weights in zip(down.levels(down.there), kept.down, strict=True):
        sizes = _sizes(tile[..., :width], 1, parts, of, 0.25).reshape(1, channels * parts, -1, width)
        found = conv2d(sizes, weights, padding=((0, weights.shape[2] - 1), (0, 0)), **options)[0]
        errors += found[:, at_row % found.shape[1]]
    for (parts, of, _), weights in zip(across.levels(across.there), kept.across, strict=True):
        sizes = _sizes(columns, 2, parts, of).reshape(1, channels * points * parts, 1, -1)
        found = conv2d(sizes, weights, padding=((0, 0), (0, weights.shape[3] - 1)), **options)[0]
        errors += found[:, :, at_column % found.shape[2]]
    return errors, kept.sums @ (np.abs(pixels).max((1, 2)) * (height * width) ** 0.5)


def _way_back(sums: Array, outputs: tuple[int, int], down: Axis, across: Axis) -> Array:
    """What the way back from the sums of spectra (O, D, W) makes outputs err by, and the last two roundings."""
    points = sums.shape[1]
    columns = np.fft.ifft(sums, axis=2)
    y = np.fft.ifft(columns[..., : outputs[1]], axis=1) * _turns(points, -0.25)[:, None]
    at_row, at_column = np.arange(outputs[0]), np.arange(outputs[1])
    errors: Array = 2 * np.concatenate((np.abs(y.real), np.abs(y.imag)), 1)[:, : outputs[0]]
    for parts, of, error in down.levels(down.back):
        found = _sizes(y, 1, parts, of, 0.25).sum(1) * (error / parts)
        errors += found[:, at_row % found.shape[1]]
    for parts, of, error in across.levels(across.back):
        found = _sizes(columns, 2, parts, of).sum((1, 2)) * (error / (points * parts))
        errors += found[:, None, at_column % found.shape[1]]
    return errors


def _blocks(numbers: Array, axis: int, count: int, turn: float = 0) -> Array:
    """Numbers along an axis modulo z^n = t, with blocks along it and n numbers of each along the next.

    The t are the `count`-th roots of 1, or of i where `turn` is a quarter.
    """
    shape = numbers.shape
    blocks = numbers.reshape(*shape[:axis], count, -1, *shape[axis + 1 :])
    if turn:
        blocks = blocks * _turns(count, turn).reshape(-1, *(1,) * (blocks.ndim - axis - 1))
    found: Array = np.fft.fft(blocks, axis=axis)
    return found


def _sizes(numbers: Array, axis: int, count: int, of: int, turn: float = 0) -> Array:
    """Absolute values of the numbers of all blocks, or the roots of the sums of squares of three at a time."""
    sizes = np.abs(_blocks(numbers, axis, count, turn))
    if of == 3:
        thirds = np.split(sizes, 3, axis + 1)
        sizes = np.hypot(np.hypot(thirds[0], thirds[1]), thirds[2])
    return sizes


def _turns(count: int, turn: float) -> Array:
    turns: Array = np.exp(2j * np.pi * turn / count * np.arange(count))
    return turns


def _products(channels: int, blocks: int) -> Array:
    """Of each input channel how many roundings it goes through when products are summed."""
    parts = np.array_split(np.arange(channels), blocks)
    return np.concatenate([2.0 * np.arange(len(of), 0, -1) + blocks - max(i, 1) for i, of in enumerate(parts)])
