"""How far a result may be from the exact one, element by element."""

from __future__ import annotations

from typing import Any

import numpy as np

from ._api import _plan, conv2d
from ._problem import Problem, check_array
from .backends._selection import selection
from .backends.reference import pixels_at

Array = np.ndarray[Any, Any]


def conv2d_error_bound(
    x: Any,
    weight: Any,
    bias: Any = None,
    stride: Any = 1,
    padding: Any = 0,
    dilation: Any = 1,
    groups: int = 1,
    *,
    backend: Any = None,
    **options: Any,
) -> Array:
    r"""Most by which each element of the result of `conv2d` with the same arguments may differ from the exact one.

    Parameters
    ----------
    x, weight, bias, stride, padding, dilation, groups, backend, **options
        As for `conv2d`, except `out` and `num_threads`.

    Returns
    -------
    numpy.ndarray
        The bound, float64, in the shape of the result; 0 for integers, which are exact modulo their range, and not
        finite where the result is not.

    Raises
    ------
    ValueError, TypeError, BackendError
        As `conv2d`.

    Notes
    -----
    With the unit roundoff :math:`u` of the arithmetic (2\ :sup:`-24` for float32 and narrower, 2\ :sup:`-53` for
    float64) and :math:`\gamma_k = k u / (1 - k u)`, the bound of ``algorithm="direct"`` is
    :math:`\gamma_{n+1} (\sum |x||w| + |b|)` with :math:`n` products an output (Higham, *Accuracy and Stability of
    Numerical Algorithms*, 2nd ed., section 3.1). A fast algorithm mixes neighbours: its bound is
    :math:`\gamma_K (\sum_c \max |x_c| \sum |w_c| + |b|)`, each channel's maximum taken over the output's window and a
    few pixels more on each side. :math:`K` is proved, not measured: 116 (C + 25) + 1258 for F(4×4, 3×3) and F(2×2,
    5×5), 12 (C + 25) + 128 for F(2×2, 3×3), with C input channels a group; at a stride of 2, 42 (C + 25) + 475 for
    4×4 outputs and 12 (C + 25) + 128 at most for 2×2. For ``"fft"`` it grows like the root of a tile's pixels, and the
    few pixels are two tiles. Half an ulp for a narrower result, and underflow, are added. Errors of random data are far
    smaller, since most roundings cancel.

    The cost is that of a few float64 convolutions.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv import conv2d, conv2d_error_bound
    >>> x, weight = np.full((1, 64, 8, 8), 0.1, np.float32), np.full((1, 64, 3, 3), 0.1, np.float32)
    >>> exact = 576 * float(x[0, 0, 0, 0]) * float(weight[0, 0, 0, 0])
    >>> bound = conv2d_error_bound(x, weight, algorithm="direct")
    >>> float(bound.max()) < 2.1e-4
    True
    >>> bool((abs(conv2d(x, weight, algorithm="direct") - exact) <= bound).all())
    True
    """
    x, weight = check_array("x", x), check_array("weight", weight)
    bias = None if bias is None else check_array("bias", bias)
    problem = Problem.of(x, weight, bias, stride, padding, dilation, groups, **options)
    if problem.compute.kind not in "fc" or 0 in problem.out_shape:
        return np.zeros(problem.out_shape)
    _, plan = _plan(selection(backend)[0], problem, None)  # of any backend, whatever arrays it takes
    terms = (problem.ic // problem.groups) * problem.kh * problem.kw + 1
    constant, reach = plan.error() if hasattr(plan, "error") else (terms, (0, 0))
    with np.errstate(invalid="ignore", over="ignore"):
        return _bound(problem, x, weight, bias, constant, reach)


def _bound(p: Problem, x: Array, weight: Array, bias: Array | None, constant: float, reach: tuple[int, int]) -> Array:
    images, kernels = np.abs(_wide(p.nchw(x))), np.abs(_wide(p.oihw(weight)))
    options: dict[str, Any] = {"groups": p.groups, "algorithm": "direct", "backend": "cpu"}
    biases = None if bias is None else np.abs(_wide(bias))
    if reach == (0, 0):
        size = conv2d(
            images, kernels, biases, (p.sh, p.sw), ((p.pt, p.pb), (p.pl, p.pr)), (p.dh, p.dw),
            padding_mode=p.padding_mode, fill_value=abs(p.fill_value), **options,
        )  # fmt: skip
    else:
        size = conv2d(_around(p, images, reach), kernels.sum((2, 3), keepdims=True), biases, **options)

    parts = 3 if p.compute.kind == "c" else 1  # each part of a complex product is a sum of twice the terms
    terms = (p.ic // p.groups) * p.kh * p.kw + 1
    info, narrow = np.finfo(p.compute), _rounding(p.dtype)
    k = parts * constant * float(info.eps) / 2
    gamma = (k / (1 - k) if k < 1 else np.inf) + terms * 2.0**-53  # and what this bound is rounded by
    bound = gamma * size + parts * terms * float(info.smallest_subnormal)
    if reach != (0, 0):  # what underflows in a transform counts for some thousand roundings
        channels = kernels.sum((1, 2, 3)) + (p.ic // p.groups) * max(images.max(initial=0), abs(p.fill_value))
        bound += parts * 2**15 * float(info.smallest_subnormal) * channels[:, None, None]
    if narrow[0] > float(info.eps) / 2:
        bound += parts * (narrow[0] * (1 + gamma) * size + narrow[1])
    out = np.empty(p.out_shape)
    p.nchw(out)[...] = bound
    return out


def _wide(array: Array) -> Array:
    return array.astype(np.complex128 if array.dtype.kind == "c" else np.float64)


def _around(p: Problem, images: Array, reach: tuple[int, int]) -> Array:
    """The largest pixel in and around each output's window, for every channel."""
    rows = np.arange(-p.pt - reach[0], (p.oh - 1) * p.sh + (p.kh - 1) * p.dh + 1 - p.pt + reach[0])
    columns = np.arange(-p.pl - reach[1], (p.ow - 1) * p.sw + (p.kw - 1) * p.dw + 1 - p.pl + reach[1])
    pixels = pixels_at(images, rows, columns, p.padding_mode, abs(p.fill_value))
    for axis, (size, step) in enumerate(
        [((p.kh - 1) * p.dh + 1 + 2 * reach[0], p.sh), ((p.kw - 1) * p.dw + 1 + 2 * reach[1], p.sw)], start=2
    ):
        windows = np.lib.stride_tricks.sliding_window_view(pixels, size, axis)
        pixels = windows[(slice(None),) * axis + (slice(None, None, step),)].max(-1)
    return np.ascontiguousarray(pixels)


def _rounding(dtype: np.dtype[Any]) -> tuple[float, float]:
    """The unit roundoff of a result's dtype, and half its smallest subnormal."""
    if dtype.name == "bfloat16":
        return 2.0**-8, 2.0**-134
    info = np.finfo(dtype)
    return float(info.eps) / 2, float(info.smallest_subnormal) / 2
