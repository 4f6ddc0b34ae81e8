"""Convolutions of the default backend whose weights stay the same, and arrays as its kernels take them."""

from __future__ import annotations

from typing import Any

import numpy as np

from .. import _kernels

Array = np.ndarray[Any, Any]


class PreparedCpuPlan:
    """One problem with its weights, packed as its algorithm wants them; `shared` keeps them for other images' plans."""

    def __init__(self, plan: Any, weight: Array, bias: Array | None, shared: dict[Any, Any]) -> None:
        problem, isa = plan.problem, plan.kernel.isa
        self.plan = type(plan)(problem, isa, *plan.asked, prepared=problem.compute.kind != "c")
        self.explain = self.plan.explain
        self.error = self.plan.error
        self.weight = ready(weight, problem.compute)
        self.bias = None if bias is None else ready(bias, problem.compute)
        self.packed = self.plan.pack(self.weight, shared)

    def __call__(self, x: Array, out: Array, num_threads: int) -> Array:
        """Write the result into `out`."""
        self.plan(x, self.weight, self.bias, out, num_threads, self.packed)
        return out

    def remember_image(self, calls: Any, x: Array) -> Any:
        """Let the next call with such an image skip all checks, if it needs no conversion."""
        calls = _kernels.PreparedCalls(64) if calls is None else calls
        if self.plan.needs_no_conversion():
            p = self.plan.problem
            calls.add(x, self.plan.kernel, self.weight, self.bias, p.fill_value, p.out_shape, self.packed)
        return calls


def is_ready(array: Array, compute: Any) -> bool:
    """Whether an array has the arithmetic's dtype, native and aligned."""
    return bool(array.dtype == compute and array.flags.aligned)


def ready(array: Array, compute: Any) -> Array:
    """Return the array in the arithmetic's dtype, native and aligned: itself if it is so already."""
    if array.dtype != compute:
        return array.astype(compute)
    return array if array.flags.aligned else array.copy()
