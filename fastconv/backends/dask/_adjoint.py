"""One axis of a gradient with respect to an image: what its pixels read of the gradient they are made of.

The image decides: pixel u gets w[a] · g[(u + p − a·d) / s], so the pixels [u0, u1) read g from (u0 + p − (k − 1)·d) / s
to (u1 − 1 + p) / s, wherever its chunks end; outside of itself g is zero. A tile is a problem of its own, whose padding
says where it lies.

Where padding is not constant, a tile also gets what belongs to the pixels outside that are copies of its own: these are
computed beside it, in runs of neighbours, and added in the order in which they are added for the whole image, so that
the bits are the same.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np

from ..reference import extend
from ._axis import Chunks, Read, Span, bounds, cut_of, follow, in_parts

Array = np.ndarray[Any, Any]


class Fold(NamedTuple):
    """What a tile's pixels [start, stop) of an axis are sums of: runs of the padded axis, whose first pixel is 0."""

    runs: tuple[tuple[int, int], ...]
    start: int
    stop: int
    before: int  # padding before the image
    size: int  # of the image
    mode: str
    s: int
    phases: tuple[int, ...]  # remainders modulo s of pixels that taps reach, in the order of `_phases.phases`; or none

    @property
    def pixels(self) -> int:
        """How many pixels the runs have."""
        return sum(stop - start for start, stop in self.runs)

    @property
    def is_trivial(self) -> bool:
        """Whether each pixel is what it is a sum of."""
        return self.runs == ((self.start + self.before, self.stop + self.before),)

    def steps(self) -> Iterator[tuple[Array, Array]]:
        """Yield for each phase which pixels of the runs are of it, and which of the tile's they are added to.

        Without phases all at once, the image's own first, which is the order of `_windows.Fold`.
        """
        padded = np.concatenate([np.arange(*run) for run in self.runs])
        where = extend(padded - self.before, self.size, self.mode)[1] - self.start
        mine = (where >= 0) & (where < self.stop - self.start)
        if not self.phases:
            outside = (padded < self.before) | (padded >= self.before + self.size)
            those = np.concatenate([np.flatnonzero(mine & ~outside), np.flatnonzero(mine & outside)])
            yield those, where[those]
        for phase in self.phases:
            those = np.flatnonzero(mine & (padded % self.s == phase))
            yield those, where[those]


class Adjoint(NamedTuple):
    """Depth, height or width: the chunks of the gradient, and how pixels of the image read them."""

    chunks: Chunks
    k: int
    s: int
    d: int
    p: int  # padding before
    after: int
    out: int  # pixels of the image
    mode: str  # "constant" where nothing is folded back
    by_phase: bool  # whether padding is folded back for each phase of the stride

    @property
    def reach(self) -> int:
        """How many pixels the kernel spans."""
        return (self.k - 1) * self.d + 1

    def tiles(self) -> Chunks:
        """Sizes of tiles that follow the gradient's chunks: a pixel belongs to the window whose middle it is."""
        middle = (self.reach - 1) // 2 - self.p
        cuts = {bound * self.s + middle for bound in bounds(self.chunks)[1:-1]}
        return follow(cuts, self.out, max(max(self.chunks) * self.s, 256))

    def read(self, u0: int, u1: int) -> Read:
        """What the pixels [u0, u1) read; before and after are the padding of their own problem."""
        first, size = u0 + self.p, u1 - u0
        # From the first window that reaches them, or, where none reaches the first pixel, the last that begins before.
        low = max(min(-((self.reach - 1 - first) // self.s), first // self.s), 0)
        high = min((first + size - 1) // self.s + 1, sum(self.chunks))
        pieces = cut_of(self.chunks, low, high)
        if not pieces:  # behind the last window: it is as if there were one more, of zeros
            low = first // self.s
            high = low + 1
        after = (high - 1) * self.s + self.reach - first - size
        return Read(pieces, None, first - low * self.s, max(after, 0))

    def span(self, u0: int, u1: int, split: bool) -> Span:
        """A tile's pixels [u0, u1), as `Axis.span`; where padding is folded back, all runs that it is made of."""
        if self.mode == "constant":
            return in_parts(u0, u1, self.read, self._reading_only if split else None)
        parts, start = [], 0
        for v0, v1 in self.fold(u0, u1).runs:
            parts.append((start, start + v1 - v0, self.read(v0 - self.p, v1 - self.p)))
            start += v1 - v0
        return Span(u1 - u0, parts[0][2], tuple(parts))

    def fold(self, u0: int, u1: int) -> Fold:
        """Which pixels of the padded axis those are sums of; what is between them by less than a kernel comes along."""
        where = extend(np.arange(-self.p, self.out + self.after), self.out, self.mode)[1]
        mine = np.flatnonzero((where >= u0) & (where < u1))
        ends = np.flatnonzero(np.diff(mine) > self.reach)
        starts, stops = mine[np.concatenate([[0], ends + 1])], mine[np.concatenate([ends, [-1]])] + 1
        runs = tuple(zip(starts.tolist(), stops.tolist(), strict=True))
        step = self.s // math.gcd(self.s, self.d)
        phases = tuple(a * self.d % self.s for a in range(min(self.k, step))) if self.by_phase else ()
        return Fold(runs, u0, u1, self.p, self.out, self.mode, self.s, phases)

    def _reading_only(self, chunk: int) -> tuple[int, int]:
        """The pixels that all the windows which reach them lie in one chunk for, or beyond the border beside it."""
        starts = bounds(self.chunks)
        low, high = starts[chunk], starts[chunk + 1]
        u0 = 0 if low == 0 else max((low - 1) * self.s + self.reach, low * self.s) - self.p
        u1 = self.out if high == starts[-1] else high * self.s - self.p
        return u0, u1
