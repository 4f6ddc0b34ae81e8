"""Running a plan: the result allocated, overlap with the operands resolved, what a backend returns checked."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from ._errors import BackendResultError

if TYPE_CHECKING:
    from collections.abc import Callable

    from ._problem import Problem

    Array = np.ndarray[Any, Any]


def execute(
    name: str, problem: Problem, out: Array | None, operands: tuple[Array | None, ...], run: Callable[[Array], Array]
) -> Array:
    """Return the result that `run` of backend `name` writes into the array it is given: `out`, or a new one."""
    overlaps = out is not None and any(np.may_share_memory(out, array) for array in operands if array is not None)
    try:
        y = np.empty(problem.out_shape, problem.dtype) if out is None or overlaps else out
        result = run(y)
    except MemoryError as error:
        raise MemoryError(
            f"there is no memory for a result of shape {problem.out_shape} and dtype {problem.dtype}, or for what "
            f"backend {name!r} needs to compute it: {str(error).rstrip('.'):.200}."
        ) from error
    if result is not y:
        _check_result(name, problem, result)
        y[...] = result
    if out is None or y is out:
        return y
    out[...] = y
    return out


def _check_result(name: str, problem: Problem, result: Any) -> None:
    if type(result) is not np.ndarray or result.shape != problem.out_shape or result.dtype != problem.dtype:
        got = f"{type(result).__name__} {getattr(result, 'shape', '')} {getattr(result, 'dtype', '')}"
        raise BackendResultError(
            f"backend {name!r} returned {got:.200}, "
            f"not an array of shape {problem.out_shape} and dtype {problem.dtype}."
        )
