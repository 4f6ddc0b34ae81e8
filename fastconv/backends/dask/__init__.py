"""The dask backend: a convolution as a graph of tiles, built without computing anything.

Each tile of the result runs one backend, fixed when the graph is built, on one thread. What a tile reads of its
neighbours is cut out by tasks of their own, one a chunk, so that only that travels between workers. That makes two
tasks a tile. With a third, which began a tile from its own chunk while cuts were on their way, two processes took 7 to
11 % longer for 5 x 5 taps on chunks of 36 to 144 MB: a task costs the scheduler and a worker about a millisecond each.
The name of a task is made of its inputs: one that was lost with its worker is run again, to the same bits.

`_axis`, `_adjoint`, `_channels`, `_layout` and `_tiles` say which tile reads what, `_compute`, `_bands` and `_sums` are
what tasks do, `_graph` puts these together, `_operands` and `_report` look at the arrays. Everything has three axes, D,
H and W, one pixel each where a problem does not have them. Gradients and transposed convolutions are tiles too, of the
image, or sums over those of the result (docs/design/0011-operators.md).
"""

from __future__ import annotations

import math
import os
from typing import Any

import dask.array as da
import numpy as np
from dask.base import tokenize
from dask.highlevelgraph import HighLevelGraph

from ..._errors import BackendError
from ..._problem import Problem
from .._table import backend_for, load
from ._channels import too_much_padding
from ._graph import graph
from ._operands import aligned, chunked, chunks_of, followed, inner_names, inner_of, layout_of, little
from ._report import report

IMPORTED_BY = os.getpid()  # in its forked children Dask's threads are gone


class DaskBackend:
    """Convolutions, and what is derived from them, on whatever scheduler Dask uses."""

    @property
    def algorithms(self) -> tuple[str, ...]:
        """Those of the backend that computes tiles of NumPy arrays."""
        return load(inner_names()[0][0]).algorithms

    def probe(self) -> str | None:
        """Return None: an import is all it takes."""
        return None

    def reject(self, problem: Problem) -> str | None:
        """Return None, or why a tile can't be cut, or the backend that computes NumPy's can't compute the problem."""
        if (reason := too_much_padding(problem)) is not None:
            return reason
        reasons = []
        for name in inner_names()[0]:
            try:
                reason = backend_for(name, problem.operator).reject(problem)
            except BackendError as error:
                reason = str(error).rstrip(".")
            if reason is None:
                return None
            reasons.append(f"{name}, which computes its tiles: {reason}")
        return "; ".join(reasons)

    def plan(self, problem: Problem) -> DaskPlan:
        """Return the plan of a problem. Tiles are cut when arrays come, since they follow the arrays' chunks."""
        return DaskPlan(problem)


class DaskPlan:
    """One problem, ready for arrays in any chunks."""

    def __init__(self, problem: Problem) -> None:
        self.problem = problem

    def __call__(self, x: Any, weight: Any, bias: Any, out: Any, num_threads: int) -> Any:
        """Return a Dask array; from NumPy arrays alone, compute into `out`."""
        if isinstance(out, da.Array):
            raise TypeError("out must be None for dask arrays, which can't be written into; use the result.")
        y = self.lazy((x, weight, bias), num_threads)
        if out is None:
            return y
        out[...] = _computed(y)
        return out

    def lazy(self, operands: tuple[Any, ...], num_threads: int, bounds: bool = False) -> da.Array:
        """Return the result, or how far it may be from the exact one, as a Dask array. Nothing is computed."""
        p = self.problem
        arrays = chunked(p, operands)
        inner = inner_of(p, arrays, num_threads)[0]._replace(bounds=bounds)
        if bounds and inner.kinds:
            raise TypeError(
                "the bound is computed of NumPy's arrays alone; convert what is in the chunks, or a part of it."
            )
        dtype = np.dtype(np.float64) if bounds else p.dtype
        meta = np.empty_like(inner.like, dtype=dtype, shape=(0,) * len(p.out_shape))
        if p.is_empty and p.operator != "conv2d":  # sums of nothing
            chunks = "auto" if math.prod(p.out_shape) else -1
            return da.zeros_like(da.from_array(meta), shape=p.out_shape, chunks=chunks)
        layout = layout_of(p, arrays)
        arrays = aligned(p, layout, arrays)
        names = [array.name for array in arrays]
        token = tokenize(p, layout, inner.backend, inner.kinds, num_threads, bounds, names)
        name = f"{p.operator}-{token}"
        tasks = graph(p, layout, inner, token, names, followed(p, arrays), little(arrays, operands))
        dsk = HighLevelGraph.from_collections(name, tasks, arrays)
        return da.Array(dsk, name, chunks_of(p, layout), meta=meta)

    def error_bound(self, x: Any, weight: Any, bias: Any) -> Any:
        """Return how far each element may be from the exact one: a Dask array if an operand is one.

        Each tile's is that of what computes the tile, which need not be what would compute the whole.
        """
        bound = self.lazy((x, weight, bias), 0, bounds=True)
        return bound if any(isinstance(a, da.Array) for a in (x, weight, bias)) else _computed(bound)

    def explain(self, num_threads: int, *operands: Any) -> dict[str, Any]:
        """Return what a call would do: tiles, what they read, and who computes them. Nothing is computed."""
        return report(self.problem, num_threads, operands)


def _computed(array: da.Array) -> Any:
    return array.compute() if os.getpid() == IMPORTED_BY else array.compute(scheduler="synchronous")
