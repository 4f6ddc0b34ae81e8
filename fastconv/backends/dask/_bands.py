"""A tile in bands of rows, where all of what it reads would be copied before it is computed.

`cpu` reads aligned numbers of the arithmetic's type, and makes such. Other images it copies, and other results it
rounds from a copy. A chunk that came from another process is such an image: it lies in the middle of a message, of
float32 three times in four at an address that is no multiple of four. By bands the copy stays in the cache, and is as
large as a band: on a chunk of 144 MB 5 x 5 taps take 54 ms and not 67, or 85 where memory for the copy is new (40 in
place).
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from typing import Any

from ..._problem import Problem
from .._selection import DEFAULT
from ._axis import Axis
from ._channels import extents, with_sizes
from ._tiles import by_axes

BYTES = 1 << 20  # of a band's copy, half of a second cache; 16 to 256 rows of 24 kB each were alike
KERNELS = 16  # times the bytes of the kernels, which every band packs anew
REACHES = 8  # times the rows that a kernel spans, which neighbouring bands both copy

Index = tuple[Any, ...]


def bands(backend: str, plan: Any, p: Problem, x: Any) -> Iterator[tuple[Problem, Index, Index]]:
    """Yield problems that are one together, with what each reads of its image and makes of its result.

    It is the one that is given, unless its plan is of the default backend and computes it by `direct`: then the bits
    are those of the whole. Of other algorithms they would depend on where a chunk has been.
    """
    rows = p.oh
    copied = backend == DEFAULT and p.operator == "conv2d" and not _is_ready(p, x)
    if copied and plan.explain(1)["algorithm"] == "direct":
        kernels = math.prod(p.shape_of("weight")) * p.compute.itemsize
        most = max(BYTES, KERNELS * kernels) * p.ih // (x.size * p.compute.itemsize)
        rows = max(most // p.sh, REACHES * ((p.kh - 1) * p.dh // p.sh + 1))
    starts = range(0, p.oh, rows)
    height = Axis((p.ih,), p.kh, p.sh, p.dh, p.pt, p.oh, p.padding_mode)
    reads = [height.read(start, min(start + rows, p.oh)) for start in starts]
    if len(reads) < 2 or not all(read.pieces for read in reads):
        yield p, (), ()
        return
    depth, _, width = extents(p)
    d, w = ((each.out, each.size, each.before, each.after) for each in (depth, width))
    for (start, stop), read in zip(itertools.pairwise([*starts, p.oh]), reads, strict=True):
        ((_, low, high),) = read.pieces
        lines = slice(low, high) if read.take is None else low + read.take
        band = with_sizes(p, d, (stop - start, read.size, read.before, read.after), w)
        yield band._replace(algorithm="direct"), _rows(p, lines), _rows(p, slice(start, stop))


def _is_ready(p: Problem, x: Any) -> bool:
    """Whether neither what is read nor what is made is copied."""
    return bool(x.flags.aligned and x.dtype == p.compute == p.dtype)


def _rows(p: Problem, rows: Any) -> Index:
    every = slice(None)
    index: Index = by_axes(p, (every, every, every, rows, every))
    return index
