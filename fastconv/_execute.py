"""Running a plan: the result allocated, overlap with the operands resolved, what a backend returns checked."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any

import numpy as np

from ._arguments import clip, show, told
from ._errors import BackendResultError
from ._problem import describe
from .backends import BUILT_IN
from .backends._table import find, refuse_exit
from .backends._types import is_one_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from ._problem import Problem

    Array = np.ndarray[Any, Any]

TRUSTED = frozenset(spec.name for spec in BUILT_IN)


def execute(
    name: str,
    problem: Problem,
    plan: Callable[..., Any],
    operands: tuple[Array | None, ...],
    out: Array | None,
    num_threads: int,
) -> Array:
    """Return the result that a plan of backend `name` writes into the array it is given: `out`, or a new one."""
    overlaps = out is not None and any(np.may_share_memory(out, array) for array in operands if array is not None)
    try:
        y = given = np.empty(problem.out_shape, problem.dtype) if out is None or overlaps else out
        if name not in TRUSTED:
            operands = tuple(None if array is None else _read_only(array) for array in operands)
            given = y.view()  # its shape, dtype and flags are the plugin's to spoil
        result = plan(*operands, given, num_threads)
    except MemoryError as error:
        raise MemoryError(
            f"there is no memory for a result of shape {problem.out_shape} and dtype {problem.dtype}, or for what "
            f"backend {name!r} needs to compute it: {told(error).rstrip('.')}."
        ) from error
    except BaseException as error:
        refuse_exit(name, error)
        raise
    if result is not given:
        if type(result) is not np.ndarray or result.shape != problem.out_shape or result.dtype != problem.dtype:
            raise _wrong_result(name, problem, result)
        y[...] = result
    if out is None or y is out:
        return y
    out[...] = y
    return out


def execute_owned(
    name: str, problem: Problem, plan: Callable[..., Any], operands: tuple[Any, ...], out: Any, num_threads: int
) -> Any:
    """Return what a plan of backend `name` gives for arrays of its own: `out`, or an array of a type that it owns."""
    if type(out) is np.ndarray:
        raise TypeError("out must be of the other operands' library where that is not NumPy, got a numpy.ndarray.")
    if out is not None:
        shape, dtype = describe("out", out)
        if shape != problem.out_shape or dtype != problem.dtype:
            raise ValueError(
                f"out has shape {show(shape)} and dtype {dtype}, but the result has shape {show(problem.out_shape)} "
                f"and dtype {problem.dtype}."
            )
    try:
        result = plan(*operands, out, num_threads)
    except BaseException as error:
        refuse_exit(name, error)
        raise
    if result is out and out is not None:
        return out
    try:
        right = out is None and describe("result", result) == (problem.out_shape, problem.dtype)
    except (TypeError, ValueError):
        right = False
    if not right or not is_one_of(type(result), find(name).owns):
        raise _wrong_result(name, problem, result, "of a type it owns" if out is None else "that is out")
    return result


def _read_only(array: Array) -> Array:
    """A view that a plugin can't write through by mistake."""
    view = array.view()
    view.flags.writeable = False
    return view


def _wrong_result(name: str, problem: Problem, result: Any, what: str = "") -> BackendResultError:
    got = clip(type(result).__name__, 60)
    if isinstance(result, np.ndarray) or what:  # foreign code, as `describe` reads it of owned arrays
        with contextlib.suppress(Exception):
            got += f" {told(result.shape, 60)} {told(result.dtype, 60)}"
    return BackendResultError(
        f"backend {name!r} returned {got}, not an array {what}{' ' * bool(what)}of shape {problem.out_shape} and "
        f"dtype {problem.dtype}."
    )
