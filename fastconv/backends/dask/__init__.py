"""The dask backend: a convolution as a graph of tiles, built without computing anything.

Each tile of the result runs one backend, fixed when the graph is built, on one thread. What a tile reads of its
neighbours is cut out by tasks of their own, so that only that travels between workers. A tile is begun by a task that
needs its own chunk alone, which is most of the work, and finished by one that gets those cuts: Dask has no order in
which every worker cuts before it computes, and a tile that was one task would wait for a neighbour's worker, which may
have many tiles before it. The name of a task is made of its inputs: one that was lost with its worker is run again, to
the same bits.

`_axis` and `_tiles` say which tile reads what, `_compute` is what tasks do, `_graph` puts the two together.
"""

from __future__ import annotations

import math
import os
from typing import Any

import dask
import dask.array as da
import numpy as np
from dask.base import tokenize
from dask.highlevelgraph import HighLevelGraph
from dask.utils import parse_bytes

from ..._errors import BackendError
from ..._problem import Problem
from .._selection import DEFAULT, selection
from .._table import choose, load
from .._types import route
from ._axis import Chunks
from ._compute import Inner
from ._graph import graph
from ._tiles import Layout, by_axes, largest, pixels_read

LARGE = 4  # times the size that Dask prefers for a chunk: a tile of more bytes is cut along its channels
MUCH = 1.25  # times that tiles may read the image before `explain` advises larger chunks
IMPORTED_BY = os.getpid()  # in its forked children Dask's threads are gone


class DaskBackend:
    """Convolutions on whatever scheduler Dask uses."""

    @property
    def algorithms(self) -> tuple[str, ...]:
        """Those of the backend that computes tiles of NumPy arrays."""
        return load(_inner_names()[0][0]).algorithms

    def probe(self) -> str | None:
        """Return None: an import is all it takes."""
        return None

    def reject(self, problem: Problem) -> str | None:
        """Return None, or why the backend that computes tiles of NumPy arrays can't compute the problem."""
        reasons = []
        for name in _inner_names()[0]:
            try:
                reason = load(name).reject(problem)
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
        y = self.lazy(x, weight, bias, num_threads)
        if out is None:
            return y
        out[...] = y.compute() if os.getpid() == IMPORTED_BY else y.compute(scheduler="synchronous")
        return out

    def lazy(self, x: Any, weight: Any, bias: Any, num_threads: int) -> da.Array:
        """Return the result as a Dask array, of which nothing is computed."""
        p = self.problem
        x, weight, bias = _chunked(p, x, weight, bias)
        layout = _layout(p, x.chunks, weight.chunks)
        inner, _ = _inner(p, x, weight, bias, num_threads)
        channels = layout.y[1]
        operands = [x, weight.rechunk({i: channels if letter == "O" else -1 for i, letter in enumerate(p.weight_axes)})]
        if bias is not None:
            operands.append(bias.rechunk((channels,)))
        names = [array.name for array in operands]
        token = tokenize(p, layout, inner.backend, inner.kinds, num_threads, names)
        name = f"conv2d-{token}"
        dsk = HighLevelGraph.from_collections(name, graph(p, layout, inner, token, *names), operands)
        chunks = by_axes(p, layout.y)
        meta = np.empty_like(inner.like, dtype=p.dtype, shape=(0,) * len(chunks))
        return da.Array(dsk, name, chunks, meta=meta)

    def error(self) -> tuple[float, tuple[int, int], float]:
        """Return the largest that the inner backend's algorithms state, for tiles may be computed by different ones.

        Where one of them goes by norms, so do all: a largest pixel is at most a norm, and a sum of absolute weights is
        at most the root of their number times theirs.
        """
        p = self.problem
        _, inner = choose(_inner_names()[0], p)
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

    def explain(self, num_threads: int, x: Any = None, weight: Any = None, bias: Any = None) -> dict[str, Any]:
        """Return what a call would do: tiles, what they read, and who computes them. Nothing is computed."""
        p = self.problem
        known = x is not None
        if not known:
            sizes = {"O": p.oc, "I": p.ic // p.groups, "H": p.kh, "W": p.kw}
            x = da.empty(by_axes(p, (p.n, p.ic, p.ih, p.iw)), dtype=p.x_dtype, chunks=_cuts(p))
            weight = da.empty(tuple(sizes[letter] for letter in p.weight_axes), dtype=p.weight_dtype, chunks=-1)
        x, weight, bias = _chunked(p, x, weight, bias)
        layout = _layout(p, x.chunks, weight.chunks)
        inner, source = _inner(p, x, weight, bias, num_threads)
        read = pixels_read(p, layout)
        details: dict[str, Any] = {
            "chunks": "those of x" if known else "as dask.array.from_array cuts a NumPy array",
            "tiles": " x ".join(str(len(sizes)) for sizes in layout.y),
            "largest_tile": " x ".join(str(max(sizes)) for sizes in layout.y),
            "halo": f"{(p.kh - 1) * p.dh} rows, {(p.kw - 1) * p.dw} columns",
            "pixels_read": f"{read:.4g} times those of the image",
            "inner_backend": inner.backend,
            "inner_backend_from": source,
            "threads": inner.num_threads,
            "threads_from": "num_threads=" if num_threads else "one a task, of which Dask runs many",
        }
        if read > MUCH:
            details["advice"] = "chunks are small beside the kernel and pixels are read often; rechunk to larger ones"
        try:
            plan = choose((inner.backend,), largest(p, layout), inner.kinds)[1].plan(largest(p, layout))
            verdict = plan.explain(inner.num_threads) if hasattr(plan, "explain") else {}
            details["of_the_largest_tile"] = {
                key: value for key, value in verdict.items() if not isinstance(value, dict)
            }
        except BackendError as error:
            details["of_the_largest_tile"] = str(error)
        return details


def _inner_names() -> tuple[tuple[str, ...], str]:
    """Who computes tiles of NumPy arrays, and where that comes from: the user's selection, without this backend."""
    names, source = selection()
    others = tuple(name for name in names if name != "dask")
    return (others, source) if others else ((DEFAULT,), "default")


def _inner(p: Problem, x: da.Array, weight: da.Array, bias: da.Array | None, num_threads: int) -> tuple[Inner, str]:
    """Who computes these arrays' tiles, and why: the owner of what is in their chunks, or the selection for NumPy."""
    metas = {name: array._meta for name, array in (("x", x), ("weight", weight), ("bias", bias)) if array is not None}
    names, source, kinds = route(metas, *_inner_names())
    for name, meta in metas.items():
        if not kinds and (not isinstance(meta, np.ndarray) or isinstance(meta, np.ma.MaskedArray)):
            kind = f"{type(meta).__module__}.{type(meta).__qualname__}"
            raise TypeError(
                f"{name} is a dask array of {kind:.80}, which no backend takes; convert it with map_blocks."
            )
    return Inner(choose(names, p, kinds)[0], kinds, metas["x"], num_threads or 1), source


def _chunked(p: Problem, x: Any, *others: Any) -> tuple[Any, ...]:
    """The operands as Dask arrays, those of NumPy's whole but for the image."""
    if not isinstance(x, da.Array):
        x = da.from_array(x, chunks=_cuts(p) if x.size else -1)
    return x, *(a if a is None or isinstance(a, da.Array) else da.from_array(a, chunks=-1) for a in others)


def _cuts(p: Problem) -> dict[int, Any]:
    """Chunks of a NumPy image: along its batch and its pixels, of the size that Dask prefers."""
    return {i: -1 if letter == "C" else "auto" for i, letter in enumerate(p.x_axes)}


def _layout(p: Problem, x: tuple[Chunks, ...], weight: tuple[Chunks, ...]) -> Layout:
    sizes = dict(zip(p.x_axes, x, strict=True))
    n, c, h, w = (sizes.get(letter, (1,)) for letter in "NCHW")
    channels = dict(zip(p.weight_axes, weight, strict=True)).get("O", (1,))
    return Layout.of(p, (n, c, h, w), channels, LARGE * parse_bytes(dask.config.get("array.chunk-size")))
