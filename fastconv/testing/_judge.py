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
        excess = np.abs(got - want)[finite] - error_bound(call, backend, **changes)[finite]
    _expect(
        not (excess > 0).any(),
        call,
        f"{(excess > 0).sum()} elements outside the bound, worst by {excess.max(initial=0):.3g}",
    )
    return result


def error_bound(call: Call, backend: str, **changes: Any) -> Array:
    """Return the most by which each element of a backend's result may differ from the reference backend's.

    Both may differ from the exact result, each by its own bound.
    """
    options = {key: value for key, value in (call.options | changes).items() if key != "num_threads"}
    arguments = (call.x, call.weight, call.bias)
    reference = options | {"backend": "reference", "algorithm": "auto"}
    bound = fastconv.conv2d_error_bound(*arguments, **options, backend=backend)
    return bound + fastconv.conv2d_error_bound(*arguments, **reference)


def _same_pattern(got: Array, want: Array) -> bool:
    parts = ((got.real, want.real), (got.imag, want.imag)) if got.dtype.kind == "c" else ((got, want),)
    return all(
        np.array_equal(np.isnan(a), np.isnan(b)) and np.array_equal(a[np.isinf(a)], b[np.isinf(b)]) for a, b in parts
    )


def _expect(condition: bool | np.bool_, call: Call, complaint: str) -> None:
    if not condition:
        raise MismatchError(f"{complaint} for {call}")
