"""Axes of a gradient with respect to the image: which pixels the same taps reach, and where padding came from.

Arithmetic alone, and the addition of pixels that are copies of one.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np

from .._axes import Axis
from .reference import extend

Array = np.ndarray[Any, Any]

FEW = 1 << 13  # pixels of a padded image that are computed whether taps reach them or not


class Phase(NamedTuple):
    """Pixels of one axis, every `s`-th, that the same taps reach: a convolution of stride 1 with those taps."""

    pixels: slice
    taps: slice
    size: int  # how many pixels
    cut: slice  # of the gradient's axis; empty where the pixels see nothing of it
    before: int
    after: int


def phases(size: int, k: int, s: int, d: int, before: int, out: int) -> Iterator[Phase]:
    """Yield the phases of an axis of `size` pixels, the first `before` after the padded axis' own.

    Pixel u of the padded axis gets w[a] · grad[(u − a·d) / s] for each tap a that makes this whole. Taps a0, a0 + step,
    … with step = s / gcd(s, d) reach the same pixels, d / gcd(s, d) apart in the gradient.
    """
    step, apart = s // math.gcd(s, d), d // math.gcd(s, d)
    for a0 in range(min(k, step)):
        first = before + (a0 * d - before) % s
        count = -((first - before - size) // s)
        if count <= 0:
            continue
        reach = ((k - 1 - a0) // step) * apart  # from the first of these taps to the last, in the gradient
        low = (first - a0 * d) // s - reach
        high = low + reach + count
        inside = slice(max(low, 0), min(high, out))
        if inside.start >= inside.stop:  # nothing but zeros: one of them, and the rest is padding
            inside, pads = slice(0, 0), (0, high - low - 1)
        else:
            pads = inside.start - low, high - inside.stop
        yield Phase(slice(first - before, None, s), slice(a0, None, step), count, inside, *pads)


def steps(axes: list[Axis], folds: bool) -> list[tuple[Phase, ...]]:
    """Return the phases of several axes, each with each: of the image, or of the padded image where that is folded.

    It may be far larger than all that taps reach. Neither time nor memory follows it: then each tap is a phase.
    """
    if not folds:
        return list(itertools.product(*(list(phases(a.size, a.k, a.s, a.d, a.before, a.out)) for a in axes)))
    every = [list(phases(a.before + a.size + a.after, a.k, a.s, a.d, 0, a.out)) for a in axes]
    pixels = [sum(phase.size for phase in each) for each in every]
    if math.prod(pixels) > max(FEW, 4 * math.prod(a.k * a.out for a in axes)):
        every = [
            [Phase(slice(t * a.d, None, a.s), slice(t, t + 1), a.out, slice(0, a.out), 0, 0) for t in range(a.k)]
            if count > a.k * a.out
            else each
            for a, each, count in zip(axes, every, pixels, strict=True)
        ]
    return list(itertools.product(*every))


def folded(part: Array, axis: int, pixels: slice, before: int, size: int, mode: str) -> Array:
    """The sums of those pixels of a padded axis that are one pixel of the image."""
    where = extend(np.arange(part.shape[axis]) * (pixels.step or 1) + pixels.start - before, size, mode)[1]
    return fold(part, axis, where, size)


def fold(part: Array, axis: int, where: Array, size: int) -> Array:
    """An axis of `size` pixels, each the sum of those of another axis that go there, in their order.

    Neighbours mostly go to neighbours, and are added at once: the image itself, and its copies, there and back.
    """
    part = np.moveaxis(part, axis, 0)
    sums = np.zeros_like(part, shape=(size, *part.shape[1:]))
    places, start = where.tolist(), 0
    with np.errstate(over="ignore", invalid="ignore"):
        while start < len(places):
            first, stop = places[start], start + 1
            step = places[stop] - first if stop < len(places) else 0
            while step and stop < len(places) and places[stop] - places[stop - 1] == step:
                stop += 1
            end = places[stop - 1] + (step or 1)
            sums[slice(first, end if end >= 0 else None, step or 1)] += part[start:stop]
            start = stop
    return np.moveaxis(sums, 0, axis)
