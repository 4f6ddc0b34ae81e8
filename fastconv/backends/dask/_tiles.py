"""The tiles of a result, each a problem of its own or a few. Arithmetic alone: no image, no Dask."""

from __future__ import annotations

import functools
import itertools
import math
import operator
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

from ..._problem import Problem
from ._adjoint import Adjoint, Fold
from ._axis import Chunks, Piece, Read, Span, bounds, cover, even
from ._channels import ADJOINT, SIDES, axes_of, channel_read, channel_tiles, folds


class Layout(NamedTuple):
    """How what is read and what is made lie in chunks: sizes along N, C, H and W."""

    read: tuple[Chunks, Chunks, Chunks, Chunks]
    made: tuple[Chunks, Chunks, Chunks, Chunks]

    @classmethod
    def of(cls, p: Problem, read: tuple[Chunks, ...], channels: Chunks, most_bytes: int) -> Layout:
        """Tiles for chunks of what is read, channels as `channels` says, and finer where tiles grow large.

        Large is more than `most_bytes` and more than the largest chunk.
        """
        n, c, h, w = read
        rows, columns = (axis.tiles() for axis in axes_of(p, h, w))
        channels = channel_tiles(p, c, channels)
        pixels = max(n) * max(rows) * max(columns) * p.dtype.itemsize
        most = max(most_bytes, math.prod(map(max, read)) * p.x_dtype.itemsize) // max(pixels, 1)
        finer = itertools.chain.from_iterable(even(size, math.ceil(size / max(most, 1))) for size in channels)
        return cls((n, c, h, w), (n, channel_tiles(p, c, tuple(finer)), rows, columns))


class Part(NamedTuple):
    """Rows from `top` and columns from `left` of a tile, and the problem that they are the result of, or of a sum."""

    problem: Problem
    top: int
    bottom: int
    left: int
    right: int
    rows: Read
    columns: Read

    @property
    def size(self) -> int:
        """How many pixels of the tile it has."""
        return (self.bottom - self.top) * (self.right - self.left)


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
    folds: tuple[Fold, Fold] | None = None  # of height and width, where its parts are to be folded into it

    @property
    def operands(self) -> tuple[Pieces, ...]:
        """The pieces that it is handed."""
        return tuple(pieces for pieces in itertools.product(*self.covers) if place_of(pieces) != self.begun)

    def halves(self) -> tuple[Tile, Tile] | None:
        """The part that one chunk is all it needs for, and the frame around it, if it is made of these."""
        inside = [part for part in self.parts if part.rows.in_place and part.columns.in_place]
        if len(self.parts) == 1 or not inside or 0 in self.shape or self.folds:
            return None
        most = max(inside, key=lambda part: part.size)
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
    batch, channels, rows, columns = layout.read
    reads = [channel_read(p, channels, start, stop) for start, stop in itertools.pairwise(bounds(layout.made[1]))]
    # Channels in several chunks have to be put together anyway, since the sum over them must not be cut.
    split = all(read.in_place for _, read in reads)
    axes = axes_of(p, rows, columns)
    ranges = [list(itertools.pairwise(bounds(sizes))) for sizes in layout.made[2:]]
    heights, widths = ([axis.span(*one, split) for one in each] for axis, each in zip(axes, ranges, strict=True))
    covers = [[cover(size, span.reads) for span in spans] for size, spans in ((rows, heights), (columns, widths))]
    folding = [
        [axis.fold(*one) for one in each]
        for axis, each in zip(axes, ranges, strict=True)
        if isinstance(axis, Adjoint) and axis.mode != "constant"
    ]
    for (i, n), (j, o), (k, height), (m, width) in itertools.product(
        enumerate(batch), enumerate(layout.made[1]), enumerate(heights), enumerate(widths)
    ):
        groups, read = reads[j]
        parts = tuple(_parts(_whole(p, n, groups, read.size, o), height, width, bool(folding)))
        handed = (cover(channels, [read]), covers[0][k], covers[1][m])
        if not all(handed):  # nothing but padding
            handed = ((), (), ())
        both = (folding[0][k], folding[1][m]) if folding else None
        yield (i, j, k, m), Tile((n, o, height.size, width.size), read, handed, parts, folds=both)


def _whole(p: Problem, n: int, groups: int, read: int, made: int) -> Problem:
    """The problem of a tile, but for its height and width: of an adjoint with zeros around it; sums in full width."""
    sides = SIDES[p.operator]
    channels: dict[str, Any] = {sides.read[0]: read, sides.made[0]: made}
    p = p._replace(n=n, groups=groups, **channels)
    if p.operator == "conv2d_grad_weight":
        return p._replace(dtype=p.compute)
    if folds(p):
        return p._replace(padding_mode="constant", dtype=p.compute, bias_dtype=None)
    return p._replace(padding_mode="constant") if sides is ADJOINT else p


def _parts(whole: Problem, height: Span, width: Span, every: bool = False) -> Iterator[Part]:
    """The parts of a tile, all combinations of its rows' and its columns' if it is so to be."""
    (_, *read), (_, *made) = SIDES[whole.operator]
    for r0, r1, rows in height.parts:
        for c0, c1, columns in width.parts if rows.in_place or every else ((0, width.size, width.whole),):
            sizes: dict[str, Any]
            sizes = dict(zip((*read, *made), (rows.size, columns.size, r1 - r0, c1 - c0), strict=True))
            p = whole._replace(**sizes, pt=rows.before, pb=rows.after, pl=columns.before, pr=columns.after)
            if not (rows.pieces and columns.pieces):  # nothing but padding: of pixels that are padding, padded
                p = p._replace(x_dtype=p.compute)
            yield Part(p, r0, r1, c0, c1, rows, columns)


def place_of(pieces: Pieces) -> Place:
    """Which chunk pieces along C, H and W are of."""
    return tuple(piece.chunk for piece in pieces)


def pixels_read(p: Problem, layout: Layout) -> float:
    """How often tiles read a pixel of what is read, on average."""
    times = 1.0
    for axis, sizes in zip(axes_of(p, *layout.read[2:]), layout.made[2:], strict=True):
        reads = (axis.read(start, stop) for start, stop in itertools.pairwise(bounds(sizes)))
        read = sum(piece.stop - piece.start for one in reads for piece in one.pieces)
        times *= read / sum(axis.chunks)
    return times


def largest(p: Problem, layout: Layout) -> Problem:
    """The problem of the largest tile, of which most are if chunks are even; of those in the middle if it can be."""
    o = max(layout.made[1])
    start = bounds(layout.made[1])[layout.made[1].index(o)]
    groups, read = channel_read(p, layout.read[1], start, start + o)
    spans = []
    for axis, sizes in zip(axes_of(p, *layout.read[2:]), layout.made[2:], strict=True):
        *_, at = max((size, min(i, len(sizes) - 1 - i), i) for i, size in enumerate(sizes))
        spans.append(axis.span(bounds(sizes)[at], bounds(sizes)[at + 1], False))
    parts = _parts(_whole(p, max(layout.made[0]), groups, read.size, o), spans[0], spans[1], folds(p))
    return max(parts, key=lambda part: part.size).problem


def by_axes(p: Problem, values: tuple[Any, ...]) -> tuple[Any, ...]:
    """Values for N, C, H and W in the order of the problem's axes, without those it does not have."""
    return _picker(p.x_axes)(values)


@functools.cache
def _picker(axes: str) -> Callable[[tuple[Any, ...]], tuple[Any, ...]]:
    places = ["NCHW".index(letter) for letter in axes]
    return operator.itemgetter(*places) if len(places) > 1 else lambda values: (values[places[0]],)
