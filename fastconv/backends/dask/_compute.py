"""What a task does: cut a piece from a chunk, or compute a tile. It runs in whichever process Dask chose."""

from __future__ import annotations

import functools
import itertools
import math
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np

from ..._error_bound import bound_of
from ..._execute import execute, execute_owned
from ..._problem import Problem, check_array
from .. import BackendPlan
from .._table import choose
from .._types import Kinds
from ._axis import Piece, Read
from ._bands import bands
from ._channels import sides
from ._tiles import Part, Pieces, Place, Tile, by_axes, place_of

Chunk = tuple[Pieces, Any]  # what there is of a chunk


class Inner(NamedTuple):
    """Who computes the tiles, decided when the graph is built: nothing is chosen in a worker."""

    backend: str
    kinds: Kinds  # types of what is in the chunks, where these are not NumPy's
    like: Any  # an empty array of the chunks' type
    num_threads: int
    bounds: bool = False  # whether what is asked for is how far pixels may be from the exact ones


def cut(block: Any, shape: tuple[int, ...], indices: list[tuple[slice, ...]]) -> Any:
    """Pieces of a chunk of this shape one after another in one flat array, which travels at the price of one."""
    check_shape(block, shape)
    pieces = [block[index] for index in indices]
    flat = np.empty_like(block, shape=(sum(piece.size for piece in pieces),), order="C")
    start = 0
    for piece in pieces:
        _piece(flat, start, piece.shape)[...] = piece
        start += piece.size
    return flat


def compute(tile: Tile, inner: Inner, starts: list[int | None], weight: Any, bias: Any, *arrays: Any) -> Any:
    """The pixels of one tile, from chunks, or from what begins there where an array is pieces in one."""
    out = _out(tile, inner)
    if out.size:
        _fill(out, tile, inner, weight, bias, received(tile, inner, starts, arrays))
    return out


def _out(tile: Tile, inner: Inner) -> Any:
    p = tile.parts[0].problem
    dtype = np.float64 if inner.bounds else p.dtype
    return np.empty_like(inner.like, dtype=dtype, shape=by_axes(p, tile.shape), order="C")


def _shape(tile: Tile, pieces: Pieces) -> tuple[int, ...]:
    p = tile.parts[0].problem
    return by_axes(p, (p.n, *(piece.stop - piece.start for piece in pieces)))


def _piece(flat: Any, start: int, shape: tuple[int, ...]) -> Any:
    return flat[start : start + math.prod(shape)].reshape(shape)


def check_shape(block: Any, shape: tuple[int, ...]) -> None:
    """Raise if a chunk is not what its array said of it."""
    if block.shape != shape:
        raise ValueError(f"a chunk has shape {block.shape}, but `chunks` of its array says {shape}.")


def received(tile: Tile, inner: Inner, starts: list[int | None], arrays: tuple[Any, ...]) -> dict[Place, Chunk]:
    """A task's arrays, by the chunks that they are or were cut from."""
    chunks: dict[Place, Chunk] = {}
    for pieces, array, start in zip(tile.operands, arrays, starts, strict=True):
        shape = _shape(tile, pieces)
        block = array if start is None else _piece(array, start, shape)
        block = block if inner.kinds else check_array("a chunk", block)
        check_shape(block, shape)
        chunks[place_of(pieces)] = pieces, block
    return chunks


def _fill(out: Any, tile: Tile, inner: Inner, weight: Any, bias: Any, chunks: dict[Place, Chunk]) -> None:
    for part in tile.parts:
        x, y = operand(part, tile, chunks, inner.like), pixels_of(part, out)
        kernels = kernels_of(part, weight, bias)
        if inner.bounds:
            run(inner, part.problem, (x, *kernels), y)
            continue
        plan = _plan(inner.backend, part.problem, inner.kinds)
        for p, read, made in bands(inner.backend, plan, part.problem, x):
            run(inner, p, (x[read], *kernels), y[made])


def run(inner: Inner, p: Problem, operands: tuple[Any, ...], out: Any = None) -> Any:
    """The result of a problem, in `out` or new; operands but the first are chunks as they come."""
    plan = _plan(inner.backend, p, inner.kinds)
    if inner.kinds:
        return execute_owned(inner.backend, p, plan, operands, out, inner.num_threads)
    x, weight, bias = operands = tuple(None if a is None else check_array("a chunk", a) for a in operands)
    if inner.bounds:
        out[...] = bound_of(p, plan, (x, weight, bias))
        return out
    return execute(inner.backend, p, plan, operands, out, inner.num_threads)


def pixels_of(part: Part, array: Any) -> Any:
    """A part of a tile."""
    return array[by_axes(part.problem, (slice(None), slice(None), *part.slices))]


def kernels_of(part: Part, weight: Any, bias: Any) -> tuple[Any, Any]:
    """A tile's kernels and biases, or those of a part's pixels where each has its own."""
    if part.problem.operator != "local_conv2d":
        return weight, bias
    rows_columns = part.slices[1:]
    return weight[rows_columns], bias if bias is None or bias.ndim == 1 else bias[rows_columns]


@functools.lru_cache(256)
def _plan(backend: str, problem: Problem, kinds: Kinds) -> BackendPlan:
    """The backend's plan of a part of a tile; most tiles have the same."""
    return choose((backend,), problem, kinds)[1].plan(problem)


def operand(part: Part, tile: Tile, chunks: dict[Place, Chunk], like: Any) -> Any:
    """What a part reads: a view of its one chunk, or pieces of several put together, in the image's layout."""
    p = part.problem
    if not all(read.pieces for read in part.reads):
        shape = by_axes(p, (p.n, *sides(p)[0]))
        return np.full_like(like, p.fill_value, dtype=p.compute, shape=shape, order="C")
    reads = (tile.channels, *part.reads)
    views = []
    for placed in itertools.product(*(_placed(read) for read in reads)):
        pieces, places = zip(*placed, strict=True)
        views.append((by_axes(p, (slice(None), *places)), _slice(tile, chunks[place_of(pieces)], pieces)))
    x = views[0][1]
    if len(views) > 1:
        sizes = (sum(piece.stop - piece.start for piece in read.pieces) for read in reads)
        x = np.empty_like(like, dtype=x.dtype, shape=by_axes(p, (p.n, *sizes)), order="C")
        for place, view in views:
            x[place] = view
    for letter, read in zip("DHW", part.reads, strict=True):
        if read.take is not None:
            x = x.take(read.take, axis=p.x_axes.index(letter))
    return x


def _slice(tile: Tile, chunk: Chunk, pieces: Pieces) -> Any:
    """Pieces of a chunk of which there may be no more than that."""
    within = (
        slice(piece.start - origin.start, piece.stop - origin.start)
        for piece, origin in zip(pieces, chunk[0], strict=True)
    )
    return chunk[1][by_axes(tile.parts[0].problem, (slice(None), *within))]


def _placed(read: Read) -> Iterator[tuple[Piece, slice]]:
    """Pieces, and where each goes when they are put side by side."""
    ends = itertools.accumulate(piece.stop - piece.start for piece in read.pieces)
    return ((piece, slice(end - piece.stop + piece.start, end)) for piece, end in zip(read.pieces, ends, strict=True))
