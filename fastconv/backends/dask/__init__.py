"""The dask backend: a convolution as a graph of tiles, built without computing anything.

Each tile of the result runs one backend, fixed when the graph is built, on one thread. What a tile reads of its
neighbours is cut out by tasks of their own, so that only that travels between workers. A tile is begun by a task that
needs its own chunk alone, which is most of the work, and finished by one that gets those cuts: Dask has no order in
which every worker cuts before it computes, and a tile that was one task would wait for a neighbour's worker, which may
have many tiles before it. The name of a task is made of its inputs: one that was lost with its worker is run again, to
the same bits.

`_axis`, `_adjoint`, `_channels` and `_tiles` say which tile reads what, `_compute` and `_sums` are what tasks do,
`_graph` puts these together, `_operands` and `_report` look at the arrays. Gradients and the transposed convolution are
tiles too, of the image, or sums over those of the result (docs/design/0011-operators.md).
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
from .._table import backend_for, choose, load
from ._graph import graph
from ._operands import aligned, chunked, chunks_of, inner_names, inner_of, layout_of
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
        """Return None, or why the backend that computes tiles of NumPy arrays can't compute the problem."""
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
        y = self.lazy(x, weight, bias, num_threads=num_threads)
        if out is None:
            return y
        out[...] = y.compute() if os.getpid() == IMPORTED_BY else y.compute(scheduler="synchronous")
        return out

    def lazy(self, *operands: Any, num_threads: int) -> da.Array:
        """Return the result as a Dask array, of which nothing is computed."""
        p = self.problem
        arrays = chunked(p, operands)
        inner, _ = inner_of(p, arrays, num_threads)
        meta = np.empty_like(inner.like, dtype=p.dtype, shape=(0,) * len(p.out_shape))
        if p.is_empty and p.operator != "conv2d":  # sums of nothing
            chunks = "auto" if math.prod(p.out_shape) else -1
            return da.zeros_like(da.from_array(meta), shape=p.out_shape, chunks=chunks)
        layout = layout_of(p, arrays)
        arrays = aligned(p, layout, arrays)
        names = [array.name for array in arrays]
        token = tokenize(p, layout, inner.backend, inner.kinds, num_threads, names)
        name = f"{p.operator}-{token}"
        dsk = HighLevelGraph.from_collections(name, graph(p, layout, inner, token, names), arrays)
        return da.Array(dsk, name, chunks_of(p, layout), meta=meta)

    def error(self) -> tuple[float, tuple[int, int], float]:
        """Return the largest that the inner backend's algorithms state, for tiles may be computed by different ones.

        Where one of them goes by norms, so do all: a largest pixel is at most a norm, and a sum of absolute weights is
        at most the root of their number times theirs.
        """
        p = self.problem
        _, inner = choose(inner_names()[0], p)
        names = inner.algorithms if p.algorithm == "auto" else (p.algorithm,)
        variants = [p._replace(algorithm=name) for name in names]
        plans = [inner.plan(variant) for variant in variants if inner.reject(variant) is None]
        chain = (float(p.ic // p.groups * p.kh * p.kw + 1), (0, 0))
        stated = [(*(plan.error() if hasattr(plan, "error") else chain), 0.0)[:3] for plan in plans]
        rows, columns = (max(reach[axis] for _, reach, _ in stated) for axis in (0, 1))
        gain = max(gain for *_, gain in stated)
        taps = math.sqrt(p.kh * p.kw)
        constants = [constant * (taps if gain and not own else 1) for constant, _, own in stated]
        return max(constants), (rows, columns), gain

    def explain(self, num_threads: int, *operands: Any) -> dict[str, Any]:
        """Return what a call would do: tiles, what they read, and who computes them. Nothing is computed."""
        return report(self.problem, num_threads, operands)
