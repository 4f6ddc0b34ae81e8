"""The tiles of a result, each a problem of its own or a few. Arithmetic alone: no image, no Dask."""

from __future__ import annotations

import functools
import itertools
import math
import operator
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

from ..._problem import Problem
from ._axis import Chunks, Piece, Read, Span, axes_of, bounds, channel_read, channel_tiles, cover, even


class Layout(NamedTuple):
    """How the image and the result lie in chunks: sizes along N, C, H and W."""

    x: tuple[Chunks, Chunks, Chunks, Chunks]
    y: tuple[Chunks, Chunks, Chunks, Chunks]

    @classmethod
    def of(cls, p: Problem, x: tuple[Chunks, ...], channels: Chunks, most_bytes: int) -> Layout:
        """Tiles for an image in these chunks, output channels as `channels` says, and finer where tiles grow large.

        Large is more than `most_bytes` and more than the largest chunk of the image.
        """
        n, c, h, w = x
        rows, columns = (axis.tiles() for axis in axes_of(p, h, w))
        channels = channel_tiles(p, c, channels)
        pixels = max(n) * max(rows) * max(columns) * p.dtype.itemsize
        most = max(most_bytes, math.prod(map(max, x)) * p.x_dtype.itemsize) // max(pixels, 1)
        finer = itertools.chain.from_iterable(even(size, math.ceil(size / max(most, 1))) for size in channels)
        return cls((n, c, h, w), (n, channel_tiles(p, c, tuple(finer)), rows, columns))


class Part(NamedTuple):
    """Outputs of a tile from `row` and `column` on, and the problem they are the result of."""

    problem: Problem
    row: int
    column: int
    rows: Read
    columns: Read


Pieces = tuple[Piece, ...]
Place = tuple[int, ...]


class Tile(NamedTuple):
    """One tile, or some parts of it: its shape along N, C, H and W, and what it is computed from.

    Its operands are pieces of chunks, every combination of `covers`: pieces of channels, of rows, of columns; without
    those of the chunk from which another task has begun it, which gives those itself.
    """

    shape: tuple[int, int, int, int]
    channels: Read
    covers: tuple[Pieces, Pieces, Pieces]
    parts: tuple[Part, ...]
    begun: Place = ()  # the chunk, by its numbers along C, H and W, that another task has computed its part from

    @property
    def operands(self) -> tuple[Pieces, ...]:
        """The pieces that it is handed."""
        return tuple(pieces for pieces in itertools.product(*self.covers) if place_of(pieces) != self.begun)

    def halves(self) -> tuple[Tile, Tile] | None:
        """The part that one chunk is all it needs for, and the frame around it, if it is made of these."""
        inside = [part for part in self.parts if part.rows.in_place and part.columns.in_place]
        if len(self.parts) == 1 or not inside or 0 in self.shape:
            return None
        most = max(inside, key=lambda part: part.problem.oh * part.problem.ow)
        frame = tuple(part for part in self.parts if part is not most)
        place = place_of((self.channels.pieces[0], most.rows.pieces[0], most.columns.pieces[0]))
        rest = self._replace(parts=frame, begun=place)
        c, h, w = (
            tuple(piece for piece in pieces if piece.chunk == number)
            for pieces, number in zip(self.covers, place, strict=True)
        )
        return self._replace(covers=(c, h, w), parts=(most,)), rest

    def strip(self, part: Part) -> Pieces:
        """What a part reads of the chunk that the tile was begun from, if it does."""
        strip = tuple(
            piece
            for read, number in zip((self.channels, part.rows, part.columns), self.begun, strict=True)
            for piece in read.pieces
            if piece.chunk == number
        )
        return strip if len(strip) == len(self.begun) else ()


def tiles(p: Problem, layout: Layout) -> Iterator[tuple[tuple[int, int, int, int], Tile]]:
    """Every tile of the result with its place among them."""
    batch, channels, rows, columns = layout.x
    reads = [channel_read(p, channels, start, stop) for start, stop in itertools.pairwise(bounds(layout.y[1]))]
    # Channels in several chunks have to be put together anyway, since the sum over them must not be cut.
    split = all(read.in_place for _, read in reads)
    heights, widths = (
        [axis.span(start, stop, split) for start, stop in itertools.pairwise(bounds(sizes))]
        for axis, sizes in zip(axes_of(p, rows, columns), layout.y[2:], strict=True)
    )
    for (i, n), (j, o), (k, height), (m, width) in itertools.product(
        enumerate(batch), enumerate(layout.y[1]), enumerate(heights), enumerate(widths)
    ):
        groups, read = reads[j]
        whole = p._replace(n=n, groups=groups, ic=read.size, oc=o)
        parts = tuple(_parts(whole, height, width))
        covers = (cover(channels, read), cover(rows, height.whole), cover(columns, width.whole))
        if not all(covers):  # nothing but padding
            covers = ((), (), ())
        yield (i, j, k, m), Tile((n, o, height.size, width.size), read, covers, parts)


def _parts(whole: Problem, height: Span, width: Span) -> Iterator[Part]:
    for r0, r1, rows in height.parts:
        for c0, c1, columns in width.parts if rows.in_place else ((0, width.size, width.whole),):
            p = whole._replace(oh=r1 - r0, ow=c1 - c0)
            if rows.pieces and columns.pieces:
                p = p._replace(ih=rows.size, pt=rows.before, pb=rows.after)
                p = p._replace(iw=columns.size, pl=columns.before, pr=columns.after)
            else:  # an image of one pixel of padding, padded
                p = p._replace(ih=1, pt=0, pb=(p.oh - 1) * p.sh + (p.kh - 1) * p.dh, x_dtype=p.compute)
                p = p._replace(iw=1, pl=0, pr=(p.ow - 1) * p.sw + (p.kw - 1) * p.dw)
            yield Part(p, r0, c0, rows, columns)


def place_of(pieces: Pieces) -> Place:
    """Which chunk pieces along C, H and W are of."""
    return tuple(piece.chunk for piece in pieces)


def pixels_read(p: Problem, layout: Layout) -> float:
    """How often tiles read a pixel of the image, on average."""
    times = 1.0
    for axis, sizes in zip(axes_of(p, *layout.x[2:]), layout.y[2:], strict=True):
        reads = (axis.read(start, stop) for start, stop in itertools.pairwise(bounds(sizes)))
        read = sum(piece.stop - piece.start for one in reads for piece in one.pieces)
        times *= read / sum(axis.chunks)
    return times


def largest(p: Problem, layout: Layout) -> Problem:
    """A problem like that of the largest tile, of which most are if chunks are even; where it lies does not matter."""
    n, o, h, w = (max(sizes) for sizes in layout.y)
    groups = max(o // max(p.oc // p.groups, 1), 1)
    p = p._replace(n=n, groups=groups, ic=p.ic // p.groups * groups, oc=o, oh=h, ow=w, pt=0, pb=0, pl=0, pr=0)
    return p._replace(ih=(h - 1) * p.sh + (p.kh - 1) * p.dh + 1, iw=(w - 1) * p.sw + (p.kw - 1) * p.dw + 1)


def by_axes(p: Problem, values: tuple[Any, ...]) -> tuple[Any, ...]:
    """Values for N, C, H and W in the order of the problem's axes, without those it does not have."""
    return _picker(p.x_axes)(values)


@functools.cache
def _picker(axes: str) -> Callable[[tuple[Any, ...]], tuple[Any, ...]]:
    return operator.itemgetter(*("NCHW".index(letter) for letter in axes))
