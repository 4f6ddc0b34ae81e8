"""The reference backend: plain NumPy, the executable definition of the operators.

Where a kernel and this file disagree, the kernel is wrong. Floats are accumulated in float64 (complex128), integers
exactly modulo 2**64, and the sum is rounded once.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from .._operators import OPERATORS, find
from .._problem import Problem

Array = np.ndarray[Any, Any]


class ReferenceBackend:
    """Cross-correlation as its formula says; slow, and short enough to read in a minute."""

    algorithms = ("auto",)

    def probe(self) -> str | None:
        """Return None: NumPy is always there."""
        return None

    def reject(self, problem: Problem) -> str | None:
        """Return None: every problem is computed."""
        return None

    def plan(self, problem: Problem) -> ReferencePlan:
        """Return the plan of a problem: the definition of its operator."""
        return ReferencePlan(problem)


class ReferencePlan:
    """One problem, ready to run."""

    def __init__(self, problem: Problem) -> None:
        self.problem = problem

    def error(self) -> tuple[float, tuple[int, int]]:
        """Return the constant of conv2d's error bound, in units of the arithmetic's roundoff: of sums in float64."""
        p = self.problem
        terms = (p.ic // p.groups) * p.kh * p.kw + 1
        of_sums = float(np.finfo(np.float64).eps / np.finfo(p.compute).eps)
        return terms * of_sums + (of_sums < 1), (0, 0)

    def __call__(self, x: Array, weight: Array, bias: Array | None, out: Array, num_threads: int) -> Array:
        """Write the result into `out`."""
        p = self.problem
        wide = np.result_type(p.compute, np.float64) if p.compute.kind in "fc" else p.compute
        operands = (None if a is None else a.astype(p.compute).astype(wide) for a in (x, weight, bias))
        with np.errstate(invalid="ignore", over="ignore"):
            find(OPERATORS[p.operator].definition)(p, *operands, out)
        return out


def correlate(p: Problem, x: Array, weight: Array, bias: Array | None, out: Array) -> None:
    """conv2d: for each tap of the kernel, its weights times the pixels that it meets."""
    x = p.nchw(x).reshape(p.n, p.groups, p.ic // p.groups, p.ih, p.iw)
    weight = p.oihw(weight).reshape(p.groups, p.oc // p.groups, p.ic // p.groups, p.kh, p.kw)
    y = np.zeros((p.n, p.groups, p.oc // p.groups, p.oh, p.ow), x.dtype)
    rows = np.arange(p.oh) * p.sh - p.pt
    columns = np.arange(p.ow) * p.sw - p.pl
    for a in range(p.kh):
        for b in range(p.kw):
            pixels = pixels_at(x, rows + a * p.dh, columns + b * p.dw, p.padding_mode, p.fill_value)
            y += np.einsum("goc,ngchw->ngohw", weight[..., a, b], pixels)
    y = y.reshape(p.n, p.oc, p.oh, p.ow)
    if bias is not None:
        y += bias[:, None, None]
    p.nchw(out)[...] = y


def pixels_at(x: Array, rows: Array, columns: Array, mode: str, fill_value: complex) -> Array:
    """Return x at the rows and columns named, which may lie outside the image, where `mode` extends it."""
    inside_rows, rows = extend(rows, x.shape[-2], mode)
    inside_columns, columns = extend(columns, x.shape[-1], mode)
    inside = inside_rows[:, None] & inside_columns
    return np.where(inside, x[..., rows[:, None], columns], x.dtype.type(fill_value))


def extend(index: Array, size: int, mode: str) -> tuple[Array, Array]:
    """Return for each index along an axis whether it has a pixel and, if so, which, in NumPy's meaning of `mode`."""
    if mode == "constant":
        return (index >= 0) & (index < size), np.clip(index, 0, size - 1)
    if mode == "edge":
        index = np.clip(index, 0, size - 1)
    elif mode == "wrap":
        index = index % size
    elif mode == "symmetric":
        index = index % (2 * size)
        index = np.minimum(index, 2 * size - 1 - index)
    elif mode == "reflect":
        period = max(2 * (size - 1), 1)
        index = index % period
        index = np.minimum(index, period - index) if size > 1 else index
    return np.ones(index.shape, bool), index
