"""Dtypes: which are supported, what a call computes in, and what it returns."""

from __future__ import annotations

from typing import Any

import numpy as np

from ._arguments import clip, show


def choose_dtypes(operands: dict[str, Any], asked: object) -> tuple[np.dtype[Any], np.dtype[Any]]:
    """The dtypes of the arithmetic and of the result, from the operands by name; those that are None do not count."""
    inputs: dict[str, np.dtype[Any]] = {name: array.dtype for name, array in operands.items() if array is not None}
    for name, dtype in inputs.items():
        if not _is_supported(dtype):
            raise TypeError(
                f"{name} has dtype {clip(dtype.name, 60)}; supported are bool, the integers, float16, bfloat16, "
                "float32, float64, complex64 and complex128, in either byte order."
            )
    kinds = {dtype.kind for dtype in inputs.values()}
    if kinds <= set("biu"):
        # As numpy.sum does: 64 bits, unsigned where every integer is (a bool counts 0 or 1 and decides nothing).
        natural = np.dtype(np.uint64 if kinds - {"b"} == {"u"} else np.int64)
    else:
        try:
            natural = np.result_type(*inputs.values())
        except TypeError as error:
            given = ", ".join(f"{name} {dtype}" for name, dtype in inputs.items())
            raise TypeError(f"NumPy has no common dtype for {given}; convert one of them.") from error
    result = natural
    if asked is not None:
        result = native(read_dtype("dtype", asked))
        if not _is_supported(result) or result.kind == "b":
            raise TypeError(
                f"dtype must be an integer, float16, bfloat16, float32, float64 or complex dtype, got {show(asked)}."
            )
        if _rank(natural) > _rank(result):
            raise TypeError(
                f"dtype={result} can't hold the result, which is {natural} by promotion; leave dtype out and convert "
                "the result with astype if that is what you mean."
            )
    # Integers are summed exactly (modulo 2**64) and rounded once; float16 and bfloat16 are storage alone.
    compute = _accumulator(natural)
    if compute.kind not in "iu":
        compute = np.result_type(compute, _accumulator(result))
    return compute, result


def read_dtype(name: str, value: object) -> np.dtype[Any]:
    """Return the dtype that an argument names, or say that it names none."""
    try:
        # NumPy would read a list or a long text to its end, and show the caller's repr of anything else.
        if not isinstance(value, np.dtype | type) and (not isinstance(value, str) or len(value) > 40):
            raise TypeError
        return np.dtype(value)
    except (TypeError, ValueError, SyntaxError) as error:
        raise TypeError(f"{name} must be a NumPy dtype or its name, got {show(value)}.") from error


def _is_supported(dtype: np.dtype[Any]) -> bool:
    return (dtype.kind in "biufc" and dtype.itemsize <= (16 if dtype.kind == "c" else 8)) or dtype.name == "bfloat16"


def _rank(dtype: np.dtype[Any]) -> int:
    return {"i": 0, "u": 0, "f": 1, "V": 1, "c": 2}[dtype.kind]


def _accumulator(dtype: np.dtype[Any]) -> np.dtype[Any]:
    return np.dtype(np.float32) if dtype.itemsize == 2 and dtype.kind in "fV" else dtype


def native(dtype: np.dtype[Any]) -> np.dtype[Any]:
    return dtype if dtype.isnative else dtype.newbyteorder("=")
