"""What a task does: cut a piece from a chunk, or compute a tile. It runs in whichever process Dask chose."""

from __future__ import annotations

import functools
import itertools
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np

from ..._execute import execute, execute_owned
from ..._problem import Problem, check_array
from .. import BackendPlan
from .._table import choose
from .._types import Kinds
from ._axis import Piece, Read
from ._tiles import Part, Tile, by_axes

Place = tuple[int, ...]  # numbers of a chunk along C, H and W


class Inner(NamedTuple):
    """Who computes the tiles, decided when the graph is built: nothing is chosen in a worker."""

    backend: str
    kinds: Kinds  # types of what is in the chunks, where these are not NumPy's
    like: Any  # an empty array of the chunks' type
    num_threads: int


def cut(block: Any, indices: list[tuple[slice, ...]]) -> list[Any]:
    """Pieces of a chunk, which do not keep the chunk alive."""
    return [block[index].copy() for index in indices]


def compute(tile: Tile, inner: Inner, numbers: list[int | None], weight: Any, bias: Any, *arrays: Any) -> Any:
    """The pixels of one tile, from chunks, or the piece of that number where an array is a list of pieces."""
    p = tile.parts[0].problem
    out = np.empty_like(inner.like, dtype=p.dtype, shape=by_axes(p, tile.shape), order="C")
    if out.size == 0:
        return out
    blocks = [array if number is None else array[number] for array, number in zip(arrays, numbers, strict=True)]
    if not inner.kinds:
        weight, bias, *blocks = (None if a is None else check_array("a chunk", a) for a in (weight, bias, *blocks))
    chunks: dict[Place, Any] = {}
    for block, pieces in zip(blocks, itertools.product(*tile.covers), strict=True):
        chunks[tuple(piece.chunk for piece in pieces)] = block
        expected = by_axes(p, (p.n, *(piece.stop - piece.start for piece in pieces)))
        if block.shape != expected:
            raise ValueError(f"a chunk of x has shape {block.shape}, but x.chunks says {expected}.")
    for part in tile.parts:
        x = operand(part, tile, chunks, inner.like)
        rows = slice(part.row, part.row + part.problem.oh)
        columns = slice(part.column, part.column + part.problem.ow)
        y = out[by_axes(p, (slice(None), slice(None), rows, columns))]
        _run(inner, part.problem, (x, weight, bias), y)
    return out


def _run(inner: Inner, p: Problem, operands: tuple[Any, Any, Any], y: Any) -> None:
    plan = _plan(inner.backend, p, inner.kinds)
    if inner.kinds:
        execute_owned(inner.backend, p, plan, operands, y, inner.num_threads)
    else:
        execute(inner.backend, p, plan, operands, y, inner.num_threads)


@functools.lru_cache(256)
def _plan(backend: str, problem: Problem, kinds: Kinds) -> BackendPlan:
    """The backend's plan of a part of a tile; most tiles have the same."""
    return choose((backend,), problem, kinds)[1].plan(problem)


def operand(part: Part, tile: Tile, chunks: dict[Place, Any], like: Any) -> Any:
    """The image of a part: a view of its one chunk, or pieces of several put together, in the image's layout."""
    p = part.problem
    if not (part.rows.pieces and part.columns.pieces):
        return np.full_like(like, p.fill_value, dtype=p.compute, shape=by_axes(p, (p.n, p.ic, 1, 1)), order="C")
    reads = (tile.channels, part.rows, part.columns)
    origins = [{piece.chunk: piece.start for piece in pieces} for pieces in tile.covers]
    views = []
    for pieces in itertools.product(*(_placed(read) for read in reads)):
        chunk = chunks[tuple(piece.chunk for piece, _ in pieces)]
        starts = [origin[piece.chunk] for (piece, _), origin in zip(pieces, origins, strict=True)]
        source = (
            slice(piece.start - start, piece.stop - start) for (piece, _), start in zip(pieces, starts, strict=True)
        )
        place = by_axes(p, (slice(None), *(place for _, place in pieces)))
        views.append((place, chunk[by_axes(p, (slice(None), *source))]))
    x = views[0][1]
    if len(views) > 1:
        sizes = (sum(piece.stop - piece.start for piece in read.pieces) for read in reads)
        x = np.empty_like(like, dtype=x.dtype, shape=by_axes(p, (p.n, *sizes)), order="C")
        for place, view in views:
            x[place] = view
    for letter, read in zip("HW", reads[1:], strict=True):
        if read.take is not None:
            x = x.take(read.take, axis=p.x_axes.index(letter))
    return x


def _placed(read: Read) -> Iterator[tuple[Piece, slice]]:
    """Pieces, and where each goes when they are put side by side."""
    ends = itertools.accumulate(piece.stop - piece.start for piece in read.pieces)
    return ((piece, slice(end - piece.stop + piece.start, end)) for piece, end in zip(read.pieces, ends, strict=True))
