"""Tasks that add: what padding got to the pixels that it is of, what each tile gives to gradients that are sums.

Sums of partial sums are taken two by two in the order of the tiles, so their bits depend on the chunks alone.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any

import numpy as np
from dask.task_spec import Task, TaskRef

from ..._problem import Problem
from .._phases import fold
from ._compute import Inner, check_shape, compute, operand, pixels_of, received, run
from ._tiles import Tile, by_axes

MANY = 16  # partial sums that one task adds


def compute_folded(
    tile: Tile, inner: Inner, dtype: Any, starts: list[int | None], weight: Any, bias: Any, *arrays: Any
) -> Any:
    """The pixels of one tile of an adjoint, where those outside the image belong to the pixels that they are of."""
    p, shape = tile.parts[0].problem, by_axes(tile.parts[0].problem, tile.shape)
    runs = tile._replace(shape=(*tile.shape[:2], *(fold.pixels for fold in tile.folds)))
    sums = compute(runs, inner, starts, weight, None, *arrays)
    with np.errstate(over="ignore", invalid="ignore"):
        if not all(each.is_trivial for each in tile.folds):
            parts, sums = p.ncdhw(sums), np.zeros_like(sums, shape=shape, order="C")
            for steps in itertools.product(*(each.steps() for each in tile.folds)):
                part = parts
                for axis, (those, _) in enumerate(steps, 2):
                    part = part if _are_all(those, part.shape[axis]) else part.take(those, axis=axis)
                for axis, (_, where) in enumerate(steps, 2):
                    part = part if _are_all(where, tile.shape[axis]) else fold(part, axis, where, tile.shape[axis])
                p.ncdhw(sums)[...] += part
        sums += 0  # -0 becomes 0, as where there is something to add
        if bias is not None:
            p.ncdhw(sums)[...] += bias.astype(p.compute)[:, None, None, None]
        return sums.astype(dtype, copy=False)


def _are_all(places: Any, size: int) -> bool:
    return len(places) == size and bool((places == np.arange(size)).all())


def add_parts(tile: Tile, inner: Inner, starts: list[int | None], grad: Any, *arrays: Any) -> Any:
    """What a tile gives to the gradient of its kernels: what its parts give, one after the other."""
    check_shape(grad, by_axes(tile.parts[0].problem, tile.shape))
    chunks = received(tile, inner, starts, arrays)
    each = (
        run(inner, part.problem, (operand(part, tile, chunks, inner.like), pixels_of(part, grad), None))
        for part in tile.parts
    )
    return add(*each)


def add_pixels(p: Problem, inner: Inner, shape: tuple[int, ...], grad: Any) -> Any:
    """What a chunk gives to the gradient of its channels' bias."""
    check_shape(grad, shape)
    return run(inner, p, (grad, None, None))


def add(*sums: Any) -> Any:
    """Sums of two by two, and of those, until there is one."""
    with np.errstate(over="ignore", invalid="ignore"):
        while len(sums) > 1:
            pairs = zip(sums[::2], sums[1::2], strict=False)
            sums = (*(a + b for a, b in pairs), *sums[len(sums) // 2 * 2 :])
    return sums[0]


def total(dtype: Any, *sums: Any) -> Any:
    """Their sum, rounded to the result's dtype."""
    with np.errstate(over="ignore", invalid="ignore"):
        return add(*sums).astype(dtype, copy=False)


def summed(key: Any, keys: list[Any], inner_name: str, dtype: Any) -> Iterator[Task]:
    """Yield tasks that make `key` the sum of what tasks of these keys give, so many at a time."""
    level = 0
    while len(keys) > MANY:
        level += 1
        groups = [keys[start : start + MANY] for start in range(0, len(keys), MANY)]
        keys = [(inner_name, level, i, *key[1:]) for i in range(len(groups))]
        yield from (Task(one, add, *map(TaskRef, group)) for one, group in zip(keys, groups, strict=True))
    yield Task(key, total, dtype, *map(TaskRef, keys))
