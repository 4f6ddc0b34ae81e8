"""Operands as Dask arrays in the chunks that tiles need, and who computes these. Nothing here is computed."""

from __future__ import annotations

from typing import Any

import dask
import dask.array as da
import numpy as np
from dask.utils import parse_bytes

from ..._operators import OPERATORS
from ..._problem import Problem
from .._selection import DEFAULT, selection
from .._table import choose
from .._types import route
from ._axis import Chunks
from ._channels import IMAGE, READS, Follows, follows, kernel_chunks
from ._compute import Inner
from ._layout import Layout
from ._tiles import by_axes

LARGE = 4  # times the size that Dask prefers for a chunk: a tile of more bytes is cut along its channels
LITTLE = 4096  # bytes of kernels that travel with each task: up to 31 x 31 in float32

Arrays = list[da.Array]  # the operands that there are


def inner_names() -> tuple[tuple[str, ...], str]:
    """Who computes tiles of NumPy arrays, and where that comes from: the user's selection, without this backend."""
    names, source = selection()
    others = tuple(name for name in names if name != "dask")
    return (others, source) if others else ((DEFAULT,), "default")


def inner_of(p: Problem, arrays: Arrays, num_threads: int) -> tuple[Inner, str]:
    """Who computes these arrays' tiles, and why: the owner of what is in their chunks, or the selection for NumPy."""
    metas = {name: array._meta for name, array in zip(OPERATORS[p.operator].operands, arrays, strict=False)}
    names, source, kinds = route(metas, *inner_names())
    for name, meta in metas.items():
        if not kinds and (not isinstance(meta, np.ndarray) or isinstance(meta, np.ma.MaskedArray | np.matrix)):
            kind = f"{type(meta).__module__}.{type(meta).__qualname__}"
            raise TypeError(
                f"{name} is a dask array of {kind:.80}, which no backend takes; convert it with map_blocks."
            )
    like = arrays[0]._meta if kinds else np.asarray(arrays[0]._meta)  # of a subclass of NumPy's as of NumPy's arrays
    return Inner(choose(names, p, kinds)[0], kinds, like, num_threads or 1), source


def chunked(p: Problem, operands: tuple[Any, ...]) -> Arrays:
    """The operands as Dask arrays, those of NumPy whole but for the first."""
    first, *others = (array for array in operands if array is not None)
    if not isinstance(first, da.Array):
        first = da.from_array(first, chunks=_cuts(p) if first.size else -1)
    return [first, *(a if isinstance(a, da.Array) else da.from_array(a, chunks=-1) for a in others)]


def described(p: Problem) -> Arrays:
    """Arrays like the operands of a problem, of which chunks are asked for and nothing else."""
    x = da.empty(p.shape_of("x" if READS.get(p.operator) is IMAGE else "y"), dtype=p.x_dtype, chunks=_cuts(p))
    shapes = {"weight": p.shape_of("weight"), "grad": p.shape_of("y")}
    if p.operator == "local_conv2d":
        shapes["weight"] = (p.oh, p.ow, *shapes["weight"])
    others = (name for name in OPERATORS[p.operator].operands[1:] if name != "bias")
    return [x, *(da.empty(shapes[name], dtype=p.weight_dtype, chunks=-1) for name in others)]


def layout_of(p: Problem, arrays: Arrays) -> Layout:
    """How the first operand lies in chunks, and the tiles."""
    read = tuple(_chunks_along(p.x_axes, arrays[0], letter) for letter in "NCDHW")
    if p.operator == "conv2d_grad_bias":
        read = (read[0], tuple(size for size in read[1] if size), *read[2:])
        return Layout(read, read)
    wanted: list[Chunks] = [(), (), (), ()]
    for second, along in zip(arrays[1:2], followed(p, arrays), strict=False):
        for axis, sizes in zip(along, second.chunks, strict=True):
            # Kernels of each pixel's own are most of what is read: where they are in chunks, tiles follow these.
            if axis == 1 or (axis and p.operator == "local_conv2d" and len(sizes) > 1):
                wanted[axis - 1] = tuple(size for size in sizes if size)
    return Layout.of(p, read, tuple(wanted), LARGE * parse_bytes(dask.config.get("array.chunk-size")))


def followed(p: Problem, arrays: Arrays) -> list[Follows]:
    """Which axes of tiles the chunks of each operand but the first follow."""
    names = OPERATORS[p.operator].operands[1:]
    return [follows(p, name, array.ndim) for name, array in zip(names, arrays[1:], strict=False)]


def aligned(p: Problem, layout: Layout, arrays: Arrays) -> Arrays:
    """The operands in the chunks that tiles need of them."""
    x, *others = arrays
    if p.operator == "conv2d_grad_bias":
        return [x.rechunk(by_axes(p, layout.read))]
    names, result = OPERATORS[p.operator].operands[1:], [x]
    for name, array, along in zip(names, others, followed(p, arrays), strict=False):
        made = list(layout.made)
        if name == "weight":
            _, made[1] = kernel_chunks(p, made[1])
        result.append(array.rechunk({i: -1 if axis is None else made[axis] for i, axis in enumerate(along)}))
    return result


def little(arrays: Arrays, operands: tuple[Any, ...]) -> dict[str, Any]:
    """Kernels and biases that are NumPy's and so small that each task has them itself, by their arrays' names.

    Dask may run a task with whichever worker has one of its inputs: with kernels that one worker has, this one would
    get tiles whose chunks lie elsewhere.
    """
    given = [operand for operand in operands if operand is not None]
    pairs = list(zip(arrays, given, strict=True))[1:]
    return {
        array.name: operand.copy()
        for array, operand in pairs
        if isinstance(operand, np.ndarray) and operand.nbytes <= LITTLE and array.npartitions == 1
    }


def chunks_of(p: Problem, layout: Layout) -> tuple[Chunks, ...]:
    """The result's chunks."""
    if p.operator == "conv2d_grad_bias":
        return (layout.made[1],)
    if p.operator == "conv2d_grad_weight":
        sizes = {"O": layout.made[1], "I": (p.ic // p.groups,), "H": (p.kh,), "W": (p.kw,)}
        return tuple(sizes[letter] for letter in p.weight_axes)
    return tuple(by_axes(p, layout.made))


def _cuts(p: Problem) -> dict[int, Any]:
    """Chunks of a NumPy image: along its batch and its pixels, of the size that Dask prefers."""
    return {i: -1 if letter == "C" else "auto" for i, letter in enumerate(p.x_axes)}


def _chunks_along(axes: str, array: da.Array, letter: str) -> Chunks:
    sizes: Chunks = array.chunks[axes.index(letter)] if letter in axes else (1,)
    return sizes
