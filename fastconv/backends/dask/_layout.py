"""How what is read and what is made lie in chunks. Arithmetic alone: no image, no Dask."""

from __future__ import annotations

import itertools
import math
from typing import NamedTuple

from ..._problem import Problem
from ._axis import Chunks, bounds, even
from ._channels import WINDOWS, axes_of, channel_tiles


class Layout(NamedTuple):
    """How what is read and what is made lie in chunks: sizes along N, C, D, H and W."""

    read: tuple[Chunks, ...]
    made: tuple[Chunks, ...]

    @classmethod
    def of(cls, p: Problem, read: tuple[Chunks, ...], wanted: tuple[Chunks, ...], most_bytes: int) -> Layout:
        """Tiles for chunks of what is read, and finer where tiles grow large.

        `wanted` are chunks along channels, which tiles have there, and along D, H and W, which they have where it says
        some. Large is more than `most_bytes` and more than the largest chunk.
        """
        n, c, *chunks = read
        axes = axes_of(p, tuple(chunks))
        spatial = [sizes or axis.tiles() for sizes, axis in zip(wanted[1:], axes, strict=True)]
        channels = channel_tiles(p, c, wanted[0])
        limit = max(most_bytes, math.prod(map(max, read)) * p.x_dtype.itemsize)
        plane = max(n) * math.prod(map(max, spatial)) * p.dtype.itemsize
        channels = channel_tiles(p, c, _finer(channels, limit // max(plane, 1)))
        if p.operator in WINDOWS:  # whose taps stay together, so that it may still be large
            row = max(n) * max(channels) * max(spatial[2]) * p.dtype.itemsize
            spatial[1] = _finer(spatial[1], limit // max(row, 1))
        return cls(read, (n, channels, *spatial))


def _finer(sizes: Chunks, most: int) -> Chunks:
    """Sizes of tiles along an axis, cut evenly where they are more than so many, or than one."""
    return tuple(itertools.chain.from_iterable(even(size, math.ceil(size / max(most, 1))) for size in sizes))


def pixels_read(p: Problem, layout: Layout) -> float:
    """How often tiles read a pixel of what is read, on average."""
    times = 1.0
    for axis, sizes in zip(axes_of(p, layout.read[2:]), layout.made[2:], strict=True):
        reads = (axis.read(start, stop) for start, stop in itertools.pairwise(bounds(sizes)))
        read = sum(piece.stop - piece.start for one in reads for piece in one.pieces)
        times *= read / sum(axis.chunks)
    return times
