"""One axis of an image that lies in chunks, and what outputs read of it. Arithmetic alone: no image, no Dask.

The result decides: for the outputs [i0, i1) of a tile an axis of the image is read from i0·s − p to (i1 − 1)·s − p +
(k − 1)·d + 1, wherever its chunks end. Only the outer border is padded. In constant mode, and where a tile sees the
whole axis, the padding stays an argument of the tile's own problem; elsewhere the pixels outside are found by index, as
the reference backend finds them, so any width is exact.

A tile is computed in parts. Most of its outputs see one chunk alone and are computed from that chunk where it lies; the
frame around them, as wide as the kernel reaches, is computed from strips put together. So no chunk is copied.
"""

from __future__ import annotations

import itertools
from typing import Any, NamedTuple

import numpy as np

from ..._problem import Problem
from ..reference import extend

Array = np.ndarray[Any, Any]
Chunks = tuple[int, ...]


class Piece(NamedTuple):
    """A slice of one chunk of an axis, counted from the chunk's first element."""

    chunk: int
    start: int
    stop: int


class Read(NamedTuple):
    """What a range of outputs reads of an axis: pieces side by side, the elements of `take` if it is there, padding."""

    pieces: tuple[Piece, ...]
    take: Array | None = None
    before: int = 0
    after: int = 0

    @property
    def in_place(self) -> bool:
        """Whether it is one slice of one chunk."""
        return len(self.pieces) == 1 and self.take is None

    @property
    def size(self) -> int:
        """How many rows or columns that is, without padding; one where there is nothing but padding."""
        if self.take is not None:
            return len(self.take)
        return sum(piece.stop - piece.start for piece in self.pieces) or 1


class Span(NamedTuple):
    """A tile's outputs along an axis: what all of them read, and ranges of them, counted from the first, likewise."""

    size: int
    whole: Read
    parts: tuple[tuple[int, int, Read], ...]


class Axis(NamedTuple):
    """Height or width: the image's chunks, and how outputs read them."""

    chunks: Chunks
    k: int
    s: int
    d: int
    p: int  # padding before
    out: int
    mode: str

    @property
    def reach(self) -> int:
        """How many pixels the kernel spans."""
        return (self.k - 1) * self.d + 1

    def tiles(self) -> Chunks:
        """Sizes of tiles that follow the image's chunks: an output belongs where the middle of its window is."""
        middle = (self.reach - 1) // 2 - self.p
        cuts = {-((middle - bound) // self.s) for bound in bounds(self.chunks)[1:-1]}
        tiles = _sizes(cuts, self.out)
        # Wide padding would make the outer tiles large; no tile is much larger than the largest chunk's.
        limit = max(max(self.chunks) // self.s, 256)
        return tuple(itertools.chain.from_iterable(even(size, round(size / limit)) for size in tiles))

    def read(self, i0: int, i1: int) -> Read:
        """What the outputs [i0, i1) read."""
        size = sum(self.chunks)
        first, last = i0 * self.s - self.p, (i1 - 1) * self.s - self.p + self.reach
        low, high = max(first, 0), min(last, size)
        inside = low == first and high == last
        if inside or self.mode == "constant" or (low == 0 and high == size):
            if low >= high:  # padding alone
                return Read((), None, 0, last - first - 1)
            return Read(_cut(self.chunks, low, high), None, low - first, last - high)
        _, index = extend(np.arange(first, last), size, self.mode)
        starts = np.array(bounds(self.chunks))
        chunk = np.searchsorted(starts, index, side="right") - 1
        local = index - starts[chunk]
        take = np.empty(len(index), np.int32)
        pieces: list[Piece] = []
        for number in np.unique(chunk):
            here = chunk == number
            piece = Piece(int(number), int(local[here].min()), int(local[here].max()) + 1)
            take[here] = local[here] - piece.start + sum(other.stop - other.start for other in pieces)
            pieces.append(piece)
        return Read(tuple(pieces), take)

    def span(self, i0: int, i1: int, split: bool) -> Span:
        """A tile's outputs [i0, i1), in parts if they may be split, so that most of them read one chunk alone."""
        ranges = [(i0, i1)]
        whole = self.read(i0, i1)
        if split and whole.pieces and not whole.in_place:
            largest = max(whole.pieces, key=lambda piece: piece.stop - piece.start)
            j0, j1 = self._reading_only(largest.chunk)
            j0, j1 = max(i0, j0), min(i1, j1)
            if 2 * (j1 - j0) >= i1 - i0:
                ranges = [pair for pair in ((i0, j0), (j0, j1), (j1, i1)) if pair[0] < pair[1]]
        parts = tuple((j0 - i0, j1 - i0, self.read(j0, j1)) for j0, j1 in ranges)
        return Span(i1 - i0, whole, parts)

    def _reading_only(self, chunk: int) -> tuple[int, int]:
        """The outputs whose windows lie in one chunk, or beyond the border beside it if what is there is constant."""
        starts = bounds(self.chunks)
        low, high = starts[chunk], starts[chunk + 1]
        padded = self.mode == "constant"
        j0 = 0 if padded and low == 0 else -((-low - self.p) // self.s)
        j1 = self.out if padded and high == starts[-1] else (high + self.p - self.reach) // self.s + 1
        return j0, j1


def axes_of(p: Problem, rows: Chunks, columns: Chunks) -> tuple[Axis, Axis]:
    """Height and width of a problem whose image has these chunks."""
    return (
        Axis(rows, p.kh, p.sh, p.dh, p.pt, p.oh, p.padding_mode),
        Axis(columns, p.kw, p.sw, p.dw, p.pl, p.ow, p.padding_mode),
    )


def channel_tiles(p: Problem, channels: Chunks, wanted: Chunks) -> Chunks:
    """Sizes of tiles along output channels: those wanted, cut where groups with chunks of their own begin.

    No tile has a part of one group beside another group, so that each is a convolution by itself.
    """
    igc, ocg = p.ic // p.groups, max(p.oc // p.groups, 1)
    cuts = set(bounds(wanted))
    if p.groups > 1:
        cuts |= {-(-bound // igc) * ocg for bound in bounds(channels)}
    for start, stop in itertools.pairwise(sorted(cuts)):
        cuts |= {cut for cut in (-(-start // ocg) * ocg, stop // ocg * ocg) if start < cut < stop}
    return _sizes(cuts, p.oc)


def channel_read(p: Problem, channels: Chunks, o0: int, o1: int) -> tuple[int, Read]:
    """How many groups the output channels [o0, o1) are of, and what they read of the input channels."""
    igc, ocg = p.ic // p.groups, max(p.oc // p.groups, 1)
    g0, g1 = o0 // ocg, max(-(-o1 // ocg), o0 // ocg + 1)
    return g1 - g0, Read(_cut(channels, g0 * igc, g1 * igc))


def cover(chunks: Chunks, read: Read) -> tuple[Piece, ...]:
    """The pieces that are handed to a tile: whole chunks where it reads half of one or more."""
    return tuple(
        Piece(number, 0, chunks[number]) if 2 * (stop - start) >= chunks[number] else Piece(number, start, stop)
        for number, start, stop in read.pieces
    )


def bounds(chunks: Chunks) -> list[int]:
    """Where chunks begin, and where the last one ends."""
    return [0, *itertools.accumulate(chunks)]


def even(size: int, count: int) -> Chunks:
    """A size in so many parts, as equal as can be; no part is empty."""
    count = min(max(count, 1), max(size, 1))
    return tuple(size // count + (i < size % count) for i in range(count))


def _cut(chunks: Chunks, start: int, stop: int) -> tuple[Piece, ...]:
    """The pieces of chunks that make up the range [start, stop)."""
    pieces = (
        Piece(number, max(start - low, 0), min(stop - low, size))
        for number, (low, size) in enumerate(zip(bounds(chunks), chunks, strict=False))
    )
    return tuple(piece for piece in pieces if piece.start < piece.stop)


def _sizes(cuts: set[int], size: int) -> Chunks:
    """Sizes of what an axis is cut into; cuts outside it do nothing."""
    ends = [0, *sorted(cut for cut in cuts if 0 < cut < size), size]
    return tuple(b - a for a, b in itertools.pairwise(ends))
