"""What the result of a call may be, and whether it is."""

from __future__ import annotations

from typing import Any

import numpy as np

import fastconv

from ._calls import Call

Array = np.ndarray[Any, Any]


class MismatchError(AssertionError):
    """A backend's result is not what the operator's definition allows."""


def check_call(call: Call, backend: str, out: Array | None = None, **changes: Any) -> Array:
    """Compute a call with a backend, compare it with the reference backend, and return the result.

    Parameters
    ----------
    call : Call
        The call.
    backend : str
        The backend under test.
    out : numpy.ndarray, optional
        Passed on.
    **changes
        Options of the call to replace, for both.

    Returns
    -------
    numpy.ndarray
        The backend's result.

    Raises
    ------
    MismatchError
        Shape, dtype, type, layout, a value, or the pattern of NaN and infinities is wrong.
    """
    options = call.options | changes
    result = fastconv.conv2d(call.x, call.weight, call.bias, **options, backend=backend, out=out)
    expected = fastconv.conv2d(call.x, call.weight, call.bias, **options, backend="reference")
    _expect(type(result) is np.ndarray, call, f"the result is a {type(result).__name__}")
    _expect(result.shape == expected.shape, call, f"shape {result.shape}, expected {expected.shape}")
    if out is None:
        _expect(result.dtype == expected.dtype and result.dtype.isnative, call, f"dtype {result.dtype}")
        _expect(
            result.flags.c_contiguous and result.flags.writeable, call, "the result is not a new C-contiguous array"
        )
    if call.exact or result.dtype.kind in "iu":
        _expect(np.array_equal(result, expected), call, "not exact")
        return result
    wide = np.complex128 if result.dtype.kind == "c" else np.float64
    got, want = result.astype(wide), expected.astype(wide)
    _expect(_same_pattern(got, want), call, "another pattern of NaN and infinities")
    finite = np.isfinite(want)
    with np.errstate(invalid="ignore"):
        excess = np.abs(got - want)[finite] - error_bound(call, **changes)[finite]
    _expect(
        not (excess > 0).any(),
        call,
        f"{(excess > 0).sum()} elements outside the bound, worst by {excess.max(initial=0):.3g}",
    )
    return result


def error_bound(call: Call, **changes: Any) -> Array:
    """Return the most by which each element of a result may differ from the reference backend's.

    For a sum of n products and a bias in arithmetic of unit roundoff u, in any order, with or without fused
    multiply-adds: gamma_{n+1} (sum |x||w| + |b|), gamma_k = k u / (1 - k u) (Higham, Accuracy and Stability of
    Numerical Algorithms, 2nd ed., section 3.1), plus half an ulp for each rounding to the result's dtype, plus
    underflow.
    """
    options = call.options | changes
    p = fastconv.Problem.of(
        call.x, call.weight, call.bias, **{key: value for key, value in options.items() if key != "num_threads"}
    )
    magnitudes = [None if a is None else np.abs(a.astype(np.complex128)) for a in (call.x, call.weight, call.bias)]
    absolute = {key: value for key, value in options.items() if key != "dtype"}
    absolute["fill_value"] = abs(options.get("fill_value", 0))
    with np.errstate(invalid="ignore", over="ignore"):
        size = fastconv.conv2d(*magnitudes, **absolute, backend="reference")  # type: ignore[arg-type]
        terms = (p.ic // p.groups) * p.kh * p.kw + 1
        u = float(np.finfo(p.compute).eps) / 2
        parts = 3 if p.compute.kind == "c" else 1  # each part of a complex product is a sum of twice the terms
        gamma = parts * terms * u / (1 - parts * terms * u) + terms * 2.0**-53
        rounding, smallest = _rounding(p.dtype)
        return (
            gamma * size
            + parts * rounding * (1 + gamma) * size
            + parts * (terms * float(np.finfo(p.compute).smallest_subnormal) + smallest)
        )


def _rounding(dtype: np.dtype[Any]) -> tuple[float, float]:
    """Twice the unit roundoff of a result's dtype (both results are rounded to it), and its smallest subnormal."""
    if dtype.name == "bfloat16":
        return 2.0**-7, 2.0**-133
    info = np.finfo(dtype)
    return float(info.eps), float(info.smallest_subnormal)


def _same_pattern(got: Array, want: Array) -> bool:
    parts = ((got.real, want.real), (got.imag, want.imag)) if got.dtype.kind == "c" else ((got, want),)
    return all(
        np.array_equal(np.isnan(a), np.isnan(b)) and np.array_equal(a[np.isinf(a)], b[np.isinf(b)]) for a, b in parts
    )


def _expect(condition: bool | np.bool_, call: Call, complaint: str) -> None:
    if not condition:
        raise MismatchError(f"{complaint} for {call}")
