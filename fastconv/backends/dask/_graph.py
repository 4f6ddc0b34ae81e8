"""From tiles to Dask's tasks."""

from __future__ import annotations

import itertools
import math
from typing import Any

from dask.task_spec import Task, TaskRef

from ..._problem import Problem
from .._table import choose
from ._compute import Inner, begin, compute, cut, finish
from ._tiles import Layout, Pieces, Tile, by_axes, place_of, tiles

# Pieces that are together less than one part in FEW of their chunk are cut by one task, and travel together.
FEW = 4

Halves = list[tuple[tuple[int, int, int, int], tuple[Tile, ...]]]  # tiles with their places, in one task or two
Chunk = tuple[int, ...]  # its place along N, C, H and W


def graph(p: Problem, layout: Layout, inner: Inner, token: str, x: str, weight: str, bias: str = "") -> dict[Any, Task]:
    """For each tile a task that begins it and one that finishes it; for each chunk one that cuts what other tiles read.

    A tile that is of one part has one task. `x`, `weight` and `bias` are the names of the operands' keys; weight and
    bias are in chunks of the tiles' channels.
    """
    every: Halves = [(place, tile.halves() or (tile,)) for place, tile in tiles(p, layout)]
    for problem in {part.problem for _, halves in every for tile in halves for part in tile.parts}:
        choose((inner.backend,), problem, inner.kinds)  # it raises here rather than in a worker
    tasks: dict[Any, Task] = {}
    cuts: dict[tuple[Chunk, Pieces], tuple[TaskRef, int | None]] = {}
    for place, wanted in _wanted(layout, every).items():
        shape = tuple(sizes[i] for sizes, i in zip(layout.x, place, strict=True))
        small = FEW * sum(map(_size, wanted)) <= math.prod(shape[1:])
        for together in [wanted] if small else [[pieces] for pieces in wanted]:
            key = (f"conv2d-halo-{token}", *place, *itertools.chain.from_iterable(() if small else together[0]))
            indices = [_index(p, pieces) for pieces in together]
            tasks[key] = Task(key, cut, TaskRef((x, *by_axes(p, place))), by_axes(p, shape), indices)
            begins = itertools.accumulate((_size(pieces) * shape[0] for pieces in together), initial=0)
            cuts |= {(place, pieces): (TaskRef(key), start) for pieces, start in zip(together, begins, strict=False)}

    def operands(n: int, tile: Tile) -> tuple[list[TaskRef], list[int | None]]:
        blocks: list[TaskRef] = []
        starts: list[int | None] = []
        for pieces in tile.operands:
            place = (n, *place_of(pieces))
            block, start = cuts.get((place, pieces)) or (TaskRef((x, *by_axes(p, place))), None)
            blocks.append(block)
            starts.append(start)
        return blocks, starts

    for (n, o, h, w), halves in every:
        key, begun = ((f"conv2d-{part}{token}", *by_axes(p, (n, o, h, w))) for part in ("", "inside-"))
        kernels = TaskRef((weight, *(o if letter == "O" else 0 for letter in p.weight_axes)))
        biases = TaskRef((bias, o)) if bias else None
        blocks, starts = operands(n, halves[-1])
        if len(halves) == 1:
            tasks[key] = Task(key, compute, halves[0], inner, starts, kernels, biases, *blocks)
            continue
        inside, frame = halves
        (block,), (start,) = operands(n, inside)
        strips = [_index(p, strip, inside.operands[0]) for strip in map(frame.strip, frame.parts) if strip]
        tasks[begun] = Task(begun, begin, inside, inner, strips, start, kernels, biases, block)
        tasks[key] = Task(key, finish, frame, inner, starts, kernels, biases, TaskRef(begun), *blocks)
    return tasks


def _index(p: Problem, pieces: Pieces, origin: Pieces = ()) -> tuple[slice, ...]:
    """Pieces as an index of their chunk, or of the pieces of it that there are."""
    starts = [piece.start for piece in origin] or [0] * len(pieces)
    cuts = (slice(piece.start - start, piece.stop - start) for piece, start in zip(pieces, starts, strict=True))
    return by_axes(p, (slice(None), *cuts))


def _size(pieces: Pieces) -> int:
    return math.prod(piece.stop - piece.start for piece in pieces)


def _wanted(layout: Layout, every: Halves) -> dict[Chunk, list[Pieces]]:
    """For each chunk, by its place, the pieces that tiles read of it without reading all."""
    wanted: dict[Chunk, dict[Pieces, None]] = {}
    for (n, *_), halves in every:
        for pieces in itertools.chain.from_iterable(tile.operands for tile in halves):
            if any(sizes[i] > stop - start for sizes, (i, start, stop) in zip(layout.x[1:], pieces, strict=True)):
                wanted.setdefault((n, *place_of(pieces)), {})[pieces] = None
    return {place: list(pieces) for place, pieces in wanted.items()}
