"""From tiles to Dask's tasks."""

from __future__ import annotations

import functools
import itertools
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from dask.task_spec import Task, TaskRef

from ..._problem import Problem
from .._table import choose
from ._channels import Follows
from ._compute import Inner, compute, cut
from ._layout import Layout
from ._sums import add_parts, add_pixels, compute_folded, summed
from ._tiles import Pieces, Place, Tile, by_axes, place_of, tiles

# Pieces that are together less than one part in FEW of their chunk are cut by one task, and travel together.
FEW = 4

Tiles = list[tuple[Place, Tile]]  # with their places along N, C, D, H and W
Input = Callable[[Place], Any]  # a tile's place -> what its task gets of an operand
Graph = Callable[..., dict[Any, Task]]


def graph(
    p: Problem, layout: Layout, inner: Inner, token: str, names: Sequence[str], follows: Sequence[Follows],
    little: Mapping[str, Any],
) -> dict[Any, Task]:  # fmt: skip
    """The tasks of an operator's result. `names` are those of its operands' keys, in chunks as `aligned` has them.

    Operands that are `little`, by their names, are a part of tasks.
    """
    first, *others = names
    inputs = (functools.partial(_input, little, *each) for each in zip(others, follows, strict=True))
    make: Graph = GRAPHS.get(p.operator, _tiles)
    return make(p, layout, inner, token, first, *inputs)


def _input(little: Mapping[str, Any], name: str, follows: Follows, place: Place) -> Any:
    if name in little:
        return little[name]
    return TaskRef((name, *(0 if axis is None else place[axis] for axis in follows)))


def _tiles(
    p: Problem, layout: Layout, inner: Inner, token: str, read: str, weight: Input | None = None,
    bias: Input | None = None,
) -> dict[Any, Task]:  # fmt: skip
    """For each tile a task; for each chunk one that cuts what other tiles read of it."""
    every = list(tiles(p, layout))
    tasks, operands = _cuts(p, layout, inner, token, read, every)
    for place, tile in every:
        key = (f"{p.operator}-{token}", *by_axes(p, place))
        kernels, biases = (each(place) if each else None for each in (weight, bias))
        blocks, starts = operands(place[0], tile)
        if tile.folds:
            tasks[key] = Task(key, compute_folded, tile, inner, p.dtype, starts, kernels, biases, *blocks)
        else:
            tasks[key] = Task(key, compute, tile, inner, starts, kernels, biases, *blocks)
    return tasks


def _grad_weight(p: Problem, layout: Layout, inner: Inner, token: str, x: str, grad: Input) -> dict[Any, Task]:
    """For each tile of the gradient a task that gives its part of each kernel's, and those that add them up."""
    every = [(place, tile) for place, tile in tiles(p, layout) if 0 not in tile.shape]
    tasks, operands = _cuts(p, layout, inner, token, x, every)
    given: dict[int, list[Any]] = {}
    for place, tile in every:
        key = (f"{p.operator}-part-{token}", *by_axes(p, place))
        blocks, starts = operands(place[0], tile)
        tasks[key] = Task(key, add_parts, tile, inner, starts, grad(place), *blocks)
        given.setdefault(place[1], []).append(key)
    for o, keys in given.items():
        key = (f"{p.operator}-{token}", *(o if axis == "O" else 0 for axis in p.weight_axes))
        tasks |= {task.key: task for task in summed(key, keys, f"{p.operator}-sum-{token}", p.dtype)}
    return tasks


def _grad_bias(p: Problem, layout: Layout, inner: Inner, token: str, grad: str) -> dict[Any, Task]:
    """For each chunk of the gradient a task that adds it up, and those that add these sums."""
    wide = p.compute if p.compute.kind in "iu" else np.result_type(p.compute, np.float64)
    tasks: dict[Any, Task] = {}
    given: dict[int, list[Any]] = {}
    for place in itertools.product(*(range(len(sizes)) for sizes in layout.read)):
        n, c, d, h, w = (sizes[i] for sizes, i in zip(layout.read, place, strict=True))
        if n * h * w:
            key = (f"{p.operator}-part-{token}", *by_axes(p, place))
            part = p._replace(n=n, oc=c, ih=h, iw=w, oh=h, ow=w, dtype=wide)
            tasks[key] = Task(key, add_pixels, part, inner, by_axes(p, (n, c, d, h, w)), TaskRef((grad, *key[1:])))
            given.setdefault(place[1], []).append(key)
    for o, keys in given.items():
        key = (f"{p.operator}-{token}", o)
        tasks |= {task.key: task for task in summed(key, keys, f"{p.operator}-sum-{token}", p.dtype)}
    return tasks


# Of operators whose results are no tiles.
GRAPHS: dict[str, Graph] = {
    "conv2d_grad_weight": _grad_weight,
    "conv2d_grad_bias": _grad_bias,
}


def _cuts(p: Problem, layout: Layout, inner: Inner, token: str, read: str, every: Tiles) -> tuple[dict[Any, Task], Any]:
    """For each chunk of what is read a task that cuts what tiles read of it; and what tells a tile's operands."""
    for problem in {part.problem for _, tile in every for part in tile.parts}:
        choose((inner.backend,), problem, inner.kinds)  # it raises here rather than in a worker
    tasks: dict[Any, Task] = {}
    cuts: dict[tuple[Place, Pieces], tuple[TaskRef, int | None]] = {}
    for place, wanted in _wanted(layout, every).items():
        shape = tuple(sizes[i] for sizes, i in zip(layout.read, place, strict=True))
        small = FEW * sum(map(_size, wanted)) <= math.prod(shape[1:])
        for together in [wanted] if small else [[pieces] for pieces in wanted]:
            key = (f"{p.operator}-halo-{token}", *place, *itertools.chain.from_iterable(() if small else together[0]))
            indices = [_index(p, pieces) for pieces in together]
            tasks[key] = Task(key, cut, TaskRef((read, *by_axes(p, place))), by_axes(p, shape), indices)
            begins = itertools.accumulate((_size(pieces) * shape[0] for pieces in together), initial=0)
            cuts |= {(place, pieces): (TaskRef(key), start) for pieces, start in zip(together, begins, strict=False)}

    def operands(n: int, tile: Tile) -> tuple[list[TaskRef], list[int | None]]:
        blocks: list[TaskRef] = []
        starts: list[int | None] = []
        for pieces in tile.operands:
            place = (n, *place_of(pieces))
            block, start = cuts.get((place, pieces)) or (TaskRef((read, *by_axes(p, place))), None)
            blocks.append(block)
            starts.append(start)
        return blocks, starts

    return tasks, operands


def _index(p: Problem, pieces: Pieces) -> tuple[slice, ...]:
    """Pieces as an index of their chunk."""
    return by_axes(p, (slice(None), *(slice(piece.start, piece.stop) for piece in pieces)))


def _size(pieces: Pieces) -> int:
    return math.prod(piece.stop - piece.start for piece in pieces)


def _wanted(layout: Layout, every: Tiles) -> dict[Place, list[Pieces]]:
    """For each chunk, by its place, the pieces that tiles read of it without reading all."""
    wanted: dict[Place, dict[Pieces, None]] = {}
    for (n, *_), tile in every:
        for pieces in tile.operands:
            if any(sizes[i] > stop - start for sizes, (i, start, stop) in zip(layout.read[1:], pieces, strict=True)):
                wanted.setdefault((n, *place_of(pieces)), {})[pieces] = None
    return {place: list(pieces) for place, pieces in wanted.items()}
