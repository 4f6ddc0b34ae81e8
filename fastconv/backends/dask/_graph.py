"""From tiles to Dask's tasks."""

from __future__ import annotations

import itertools
import math
from typing import Any

from dask.task_spec import Task, TaskRef

from ..._problem import Problem
from .._table import choose
from ._compute import Inner, compute, cut
from ._tiles import Layout, Pieces, Tile, by_axes, tiles

# Pieces that are together less than one part in FEW of their chunk are cut by one task, and travel together.
FEW = 4

Placed = tuple[tuple[int, int, int, int], Tile]


def graph(p: Problem, layout: Layout, inner: Inner, token: str, x: str, weight: str, bias: str = "") -> dict[Any, Task]:
    """A task for each tile, and for each chunk one that cuts what other tiles read of it.

    `x`, `weight` and `bias` are the names of the operands' keys; weight and bias are in chunks of the tiles' channels.
    """
    every = list(tiles(p, layout))
    for problem in {part.problem for _, tile in every for part in tile.parts}:
        choose((inner.backend,), problem, inner.kinds)  # it raises here rather than in a worker
    tasks: dict[Any, Task] = {}
    cuts: dict[tuple[tuple[int, ...], Pieces], tuple[TaskRef, int]] = {}
    for place, wanted in _wanted(layout, every).items():
        size = math.prod(sizes[i] for sizes, i in zip(layout.x[1:], place[1:], strict=True))
        small = FEW * sum(math.prod(piece.stop - piece.start for piece in pieces) for pieces in wanted) <= size
        for together in [wanted] if small else [[pieces] for pieces in wanted]:
            key = (f"conv2d-halo-{token}", *place, *itertools.chain.from_iterable(() if small else together[0]))
            indices = [by_axes(p, (slice(None), *(slice(*piece[1:]) for piece in pieces))) for pieces in together]
            tasks[key] = Task(key, cut, TaskRef((x, *by_axes(p, place))), indices)
            cuts |= {(place, pieces): (TaskRef(key), number) for number, pieces in enumerate(together)}
    for (n, o, h, w), tile in every:
        key = (f"conv2d-{token}", *by_axes(p, (n, o, h, w)))
        kernels = TaskRef((weight, *(o if letter == "O" else 0 for letter in p.weight_axes)))
        blocks: list[TaskRef] = []
        numbers: list[int | None] = []
        for pieces in itertools.product(*tile.covers):
            place = (n, *(piece.chunk for piece in pieces))
            block, number = cuts.get((place, pieces)) or (TaskRef((x, *by_axes(p, place))), None)
            blocks.append(block)
            numbers.append(number)
        tasks[key] = Task(key, compute, tile, inner, numbers, kernels, TaskRef((bias, o)) if bias else None, *blocks)
    return tasks


def _wanted(layout: Layout, every: list[Placed]) -> dict[tuple[int, ...], list[Pieces]]:
    """For each chunk, by its place, the pieces that tiles read of it without reading all."""
    wanted: dict[tuple[int, ...], dict[Pieces, None]] = {}
    for (n, *_), tile in every:
        for pieces in itertools.product(*tile.covers):
            if any(sizes[i] > stop - start for sizes, (i, start, stop) in zip(layout.x[1:], pieces, strict=True)):
                wanted.setdefault((n, *(piece.chunk for piece in pieces)), {})[pieces] = None
    return {place: list(pieces) for place, pieces in wanted.items()}
