"""The tiles of a result, each a problem of its own or a few. Arithmetic alone: no image, no Dask."""

from __future__ import annotations

import functools
import itertools
import math
import operator
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

from ..._problem import Problem
from ._adjoint import Adjoint, Fold
from ._axis import Piece, Read, Span, bounds, cover
from ._channels import READS, RESULT, axes_of, channel_read, folds, with_channels, with_sizes
from ._layout import Layout


class Part(NamedTuple):
    """Ranges of a tile along D, H and W, what each reads, and the problem that they are the result of, or of a sum."""

    problem: Problem
    ranges: tuple[tuple[int, int, Read], ...]

    @property
    def size(self) -> int:
        """How many pixels of the tile it has."""
        return math.prod(stop - start for start, stop, _ in self.ranges)

    @property
    def reads(self) -> tuple[Read, ...]:
        """What it reads along D, H and W."""
        return tuple(read for *_, read in self.ranges)

    @property
    def slices(self) -> tuple[slice, ...]:
        """Its pixels along D, H and W."""
        return tuple(slice(start, stop) for start, stop, _ in self.ranges)


Pieces = tuple[Piece, ...]
Place = tuple[int, ...]


class Tile(NamedTuple):
    """One tile, or some parts of it: its shape along N, C, D, H and W, and what it is computed from.

    Its operands are pieces of chunks, every combination of `covers`: of channels, of slices, of rows, of columns.
    """

    shape: tuple[int, ...]
    channels: Read
    covers: tuple[Pieces, ...]
    parts: tuple[Part, ...]
    folds: tuple[Fold, ...] = ()  # of depth, height and width, where its parts are to be folded into it

    @property
    def operands(self) -> tuple[Pieces, ...]:
        """The pieces that it is handed."""
        return tuple(itertools.product(*self.covers))


def tiles(p: Problem, layout: Layout) -> Iterator[tuple[Place, Tile]]:
    """Every tile of the result with its place among them."""
    batch, channels, *chunks = layout.read
    reads = [channel_read(p, channels, start, stop) for start, stop in itertools.pairwise(bounds(layout.made[1]))]
    # Channels in several chunks have to be put together anyway, since the sum over them must not be cut.
    split = all(read.in_place for _, read in reads)
    axes = axes_of(p, tuple(chunks))
    ranges = [list(itertools.pairwise(bounds(sizes))) for sizes in layout.made[2:]]
    spans = [[axis.span(*one, split) for one in each] for axis, each in zip(axes, ranges, strict=True)]
    covers = [[cover(sizes, span.reads) for span in each] for sizes, each in zip(chunks, spans, strict=True)]
    folding = [
        [axis.fold(*one) for one in each]
        for axis, each in zip(axes, ranges, strict=True)
        if isinstance(axis, Adjoint) and axis.mode != "constant"
    ]
    numbers = itertools.product(*(range(len(each)) for each in spans))
    for (i, n), (j, o), at in itertools.product(enumerate(batch), enumerate(layout.made[1]), list(numbers)):
        groups, read = reads[j]
        here = _at(spans, at)
        parts = tuple(_parts(_whole(p, n, groups, read.size, o), here, bool(folding)))
        handed = (cover(channels, [read]), *_at(covers, at))
        if not all(handed):  # nothing but padding
            handed = ((),) * len(handed)
        shape = (n, o, *(span.size for span in here))
        yield (i, j, *at), Tile(shape, read, handed, parts, folds=tuple(_at(folding, at)) if folding else ())


def _at(lists: Sequence[Sequence[Any]], at: Place) -> list[Any]:
    return [each[number] for each, number in zip(lists, at, strict=True)]


def _whole(p: Problem, n: int, groups: int, read: int, made: int) -> Problem:
    """The problem of a tile, but for its pixels: of an adjoint with zeros around it; sums in full width."""
    p = with_channels(p._replace(n=n), groups, read, made)
    if p.operator == "conv2d_grad_weight":
        return p._replace(dtype=p.compute)
    if folds(p):
        return p._replace(padding_mode="constant", dtype=p.compute, bias_dtype=None)
    return p._replace(padding_mode="constant") if READS[p.operator] is RESULT else p


def _parts(whole: Problem, spans: Sequence[Span], every: bool = False) -> Iterator[Part]:
    """The parts of a tile, all combinations of those along its axes if it is so to be."""
    for ranges in _combined(spans, every):
        p = with_sizes(whole, *((stop - start, read.size, read.before, read.after) for start, stop, read in ranges))
        if not all(read.pieces for *_, read in ranges):  # nothing but padding: of pixels that are padding, padded
            p = p._replace(x_dtype=p.compute)
        yield Part(p, ranges)


def _combined(spans: Sequence[Span], every: bool) -> Iterator[tuple[tuple[int, int, Read], ...]]:
    """Ranges along each axis. What reads of several chunks anyway is not cut along the axes that follow."""
    if not spans:
        yield ()
        return
    first, *rest = spans
    for one in first.parts:
        cut = rest if every or one[2].in_place else [span.uncut for span in rest]
        for others in _combined(cut, every):
            yield (one, *others)


def place_of(pieces: Pieces) -> Place:
    """Which chunk pieces along C, D, H and W are of."""
    return tuple(piece.chunk for piece in pieces)


def largest(p: Problem, layout: Layout) -> Problem:
    """The problem of the largest tile, of which most are if chunks are even; of those in the middle if it can be."""
    o = max(layout.made[1])
    start = bounds(layout.made[1])[layout.made[1].index(o)]
    groups, read = channel_read(p, layout.read[1], start, start + o)
    spans = []
    for axis, sizes in zip(axes_of(p, layout.read[2:]), layout.made[2:], strict=True):
        *_, at = max((size, min(i, len(sizes) - 1 - i), i) for i, size in enumerate(sizes))
        spans.append(axis.span(bounds(sizes)[at], bounds(sizes)[at + 1], False))
    parts = _parts(_whole(p, max(layout.made[0]), groups, read.size, o), spans, folds(p))
    return max(parts, key=lambda part: part.size).problem


def by_axes(p: Problem, values: tuple[Any, ...]) -> tuple[Any, ...]:
    """Values for N, C, D, H and W in the order of the problem's axes, without those it does not have."""
    return _picker(p.x_axes)(values)


@functools.cache
def _picker(axes: str) -> Callable[[tuple[Any, ...]], tuple[Any, ...]]:
    places = ["NCDHW".index(letter) for letter in axes]
    return operator.itemgetter(*places) if len(places) > 1 else lambda values: (values[places[0]],)
