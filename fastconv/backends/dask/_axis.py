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
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

import numpy as np

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
        """How many pixels of the axis that is, without padding; one where there is nothing but padding."""
        if self.take is not None:
            return len(self.take)
        return sum(piece.stop - piece.start for piece in self.pieces) or 1


class Span(NamedTuple):
    """What a tile makes along an axis: what all of it reads, and ranges of it, counted from the first, likewise."""

    size: int
    whole: Read
    parts: tuple[tuple[int, int, Read], ...]

    @property
    def uncut(self) -> Span:
        """The same as one part."""
        return self._replace(parts=((0, self.size, self.whole),))

    @property
    def reads(self) -> list[Read]:
        """All that is read."""
        return [self.whole, *(read for *_, read in self.parts)]


class Axis(NamedTuple):
    """Depth, height or width: the image's chunks, and how outputs read them."""

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
        # Wide padding would make the outer tiles large; no tile is much larger than the largest chunk's.
        return follow(cuts, self.out, max(max(self.chunks) // self.s, 256))

    def read(self, i0: int, i1: int) -> Read:
        """What the outputs [i0, i1) read."""
        size = sum(self.chunks)
        first, last = i0 * self.s - self.p, (i1 - 1) * self.s - self.p + self.reach
        low, high = max(first, 0), min(last, size)
        inside = low == first and high == last
        if inside or self.mode == "constant" or (low == 0 and high == size):
            if low >= high:  # padding alone
                return Read((), None, 0, last - first - 1)
            return Read(cut_of(self.chunks, low, high), None, low - first, last - high)
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
        return in_parts(i0, i1, self.read, self._reading_only if split else None)

    def _reading_only(self, chunk: int) -> tuple[int, int]:
        """The outputs whose windows lie in one chunk, or beyond the border beside it if what is there is constant."""
        starts = bounds(self.chunks)
        low, high = starts[chunk], starts[chunk + 1]
        padded = self.mode == "constant"
        j0 = 0 if padded and low == 0 else -((-low - self.p) // self.s)
        j1 = self.out if padded and high == starts[-1] else (high + self.p - self.reach) // self.s + 1
        return j0, j1


def in_parts(
    i0: int, i1: int, read: Callable[[int, int], Read], reading_only: Callable[[int], tuple[int, int]] | None
) -> Span:
    """The elements [i0, i1) that a tile makes along an axis, whole or with those in the middle that read one chunk."""
    ranges = [(i0, i1)]
    whole = read(i0, i1)
    if reading_only and whole.pieces and not whole.in_place:
        largest = max(whole.pieces, key=lambda piece: piece.stop - piece.start)
        j0, j1 = reading_only(largest.chunk)
        j0, j1 = max(i0, j0), min(i1, j1)
        if 2 * (j1 - j0) >= i1 - i0:
            ranges = [pair for pair in ((i0, j0), (j0, j1), (j1, i1)) if pair[0] < pair[1]]
    return Span(i1 - i0, whole, tuple((j0 - i0, j1 - i0, read(j0, j1)) for j0, j1 in ranges))


def follow(cuts: set[int], size: int, limit: int) -> Chunks:
    """Sizes of tiles of an axis that is cut there, and between where they would be much larger than `limit`."""
    return tuple(itertools.chain.from_iterable(even(tile, round(tile / limit)) for tile in sizes_of(cuts, size)))


def cover(chunks: Chunks, reads: Iterable[Read]) -> tuple[Piece, ...]:
    """The pieces that are handed to a tile, one a chunk: whole chunks where it reads half of one or more."""
    found: dict[int, Piece] = {}
    for number, start, stop in itertools.chain.from_iterable(read.pieces for read in reads):
        _, low, high = found.get(number, (number, start, stop))
        found[number] = Piece(number, min(start, low), max(stop, high))
    return tuple(
        Piece(number, 0, chunks[number]) if 2 * (stop - start) >= chunks[number] else Piece(number, start, stop)
        for number, start, stop in sorted(found.values())
    )


def bounds(chunks: Chunks) -> list[int]:
    """Where chunks begin, and where the last one ends."""
    return [0, *itertools.accumulate(chunks)]


def even(size: int, count: int) -> Chunks:
    """A size in so many parts, as equal as can be; no part is empty."""
    count = min(max(count, 1), max(size, 1))
    return tuple(size // count + (i < size % count) for i in range(count))


def cut_of(chunks: Chunks, start: int, stop: int) -> tuple[Piece, ...]:
    """The pieces of chunks that make up the range [start, stop)."""
    pieces = (
        Piece(number, max(start - low, 0), min(stop - low, size))
        for number, (low, size) in enumerate(zip(bounds(chunks), chunks, strict=False))
    )
    return tuple(piece for piece in pieces if piece.start < piece.stop)


def sizes_of(cuts: set[int], size: int) -> Chunks:
    """Sizes of what an axis is cut into; cuts outside it do nothing."""
    ends = [0, *sorted(cut for cut in cuts if 0 < cut < size), size]
    return tuple(b - a for a, b in itertools.pairwise(ends))
