"""What the result of a call may be, and whether it is."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
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
    if out is None:
        expect(type(result) is np.ndarray, f"the result is a {type(result).__name__} for {call}")
        fresh = result.flags.c_contiguous and result.flags.writeable and result.dtype.isnative
        expect(fresh, f"the result is not a new C-contiguous array of native byte order for {call}")
    judge(call, result, backend, **changes)
    return result


def judge(call: Call, result: Array, backend: str, exact: bool = True, **changes: Any) -> None:
    """Compare the result of a call with the reference backend's.

    Parameters
    ----------
    call : Call
        The call.
    result : numpy.ndarray
        What a backend made of it.
    backend : str
        The backend, whose plan may state an error bound of its own.
    exact : bool
        Whether sums of small integers in floating point must be exact, which FFT and Winograd do not promise: not where
        the backend says itself that its algorithm is none of `direct`.
    **changes
        Options that replace the call's.

    Raises
    ------
    MismatchError
        Shape, dtype, a value, or the pattern of NaN and infinities is wrong.
    """
    options = call.options | changes
    reference = options | {"backend": "reference", "algorithm": "auto"}
    expected = fastconv.conv2d(call.x, call.weight, call.bias, **reference)
    expect(result.shape == expected.shape, f"shape {result.shape}, expected {expected.shape} for {call}")
    same = result.dtype.newbyteorder("=") == expected.dtype
    expect(same, f"dtype {result.dtype}, expected {expected.dtype} for {call}")
    if np.array_equal(result, expected):
        return
    if result.dtype.kind in "iu" or (call.exact and exact):
        report = fastconv.explain(call.x, call.weight, call.bias, **options, backend=backend)
        expect(report.details.get("algorithm", "direct") != "direct", f"not exact for {call}")
    wide = np.complex128 if result.dtype.kind == "c" else np.float64
    got, want = result.astype(wide), expected.astype(wide)
    expect(_same_pattern(got, want), f"another pattern of NaN and infinities for {call}")
    finite = np.isfinite(want)
    with np.errstate(invalid="ignore"):
        excess = np.abs(got - want)[finite] - error_bound(call, backend, **changes)[finite]
    expect(
        not (excess > 0).any(),
        f"{(excess > 0).sum()} elements outside the bound, worst by {excess.max(initial=0):.3g}, for {call}",
    )


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


@contextlib.contextmanager
def naming(call: object) -> Iterator[None]:
    """Note of an error which call it comes from: a backend's own errors do not say."""
    try:
        yield
    except Exception as error:
        if not isinstance(error, fastconv.BackendUnsupportedError):
            error.add_note(f"in {call}")
        raise


def expect(condition: bool | np.bool_, complaint: str) -> None:
    """Raise `MismatchError` with a complaint unless the condition holds."""
    if not condition:
        raise MismatchError(complaint)
