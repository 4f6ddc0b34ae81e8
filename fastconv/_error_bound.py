"""How far a result may be from the exact one, element by element."""

from __future__ import annotations

import functools
from typing import Any

import numpy as np

from ._api import _plan, conv2d
from ._problem import Problem
from ._receive import receive
from ._spectral_bound import spectral_bound
from ._tile_bound import tile_bound
from .backends._selection import selection
from .backends._types import Kinds
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
        As for `conv2d`, except `out` and `num_threads`. Arrays are NumPy's, or convert to them, or Dask's; of another
        library's convert what is needed, and name its backend.

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
    Numerical Algorithms*, 2nd ed., section 3.1). A fast algorithm mixes the pixels of a tile, and each row of the
    algorithm table states what its roundings are: the bound is what they can come to in the plan's own tiles, for these
    data, to first order in u and more. That of ``"winograd"`` is :math:`u |A| (8 |U| |B||d| + 12 |G||w| |V| +
    r |U||V| + 13 |UV|)`, products of points summed over channels, with the matrices A, B and G of its transforms,
    :math:`U = Gw`, :math:`V = Bd`, and r from C to 1 for C input channels a group. It is at most
    :math:`\gamma_K (\sum_c \max |x_c| \sum |w_c| + |b|)`, each channel's maximum taken over the tile; :math:`K` is
    116 (C + 25) + 1258 for F(4×4, 3×3) and F(2×2, 5×5), 12 (C + 25) + 128 for F(2×2, 3×3); at a stride of 2,
    42 (C + 25) + 475 for 4×4 outputs and 12 (C + 25) + 128 at most for 2×2. That of ``"fft"`` is
    :math:`u (\sum_l (2 a_l E_l + b_l F_l) + 2 \sum_c r P_c + 2 |y| + |b|)`. :math:`E_l` are sums of absolute values of
    what a level of a transform makes of the tile times what it makes of the kernel, at most
    :math:`\sum_c \|x_c\| \|w_c\|` with Euclidean norms of the tile and the kernel, :math:`F_l` means of those of the
    way back, at most the norm of all sums of the tile, and :math:`P_c` those of products; the constants :math:`a_l` and
    :math:`b_l` come to 16 to 36 each, in float64 26 to 58. That of ``"split"``, float32 as three of bfloat16, is
    :math:`\gamma_{6 s + 24} (\sum |x||w| + |b|)`, to first order :math:`u (6 s + 24) (\sum |x||w| + |b|)`, s being the
    taps times the blocks of 32 input channels of a group. Half an ulp for a narrower result, and underflow, are added.
    Errors are smaller, since roundings differ in size and sign: the largest of an array is a hundredth of the bound or
    less for normal data, some hundredths for positive ones (docs/accuracy.md).

    The cost is that of one convolution by ``"direct"`` in float64, of 8 to 20 for ``"winograd"``, and of 4 to 150 for
    ``"fft"``, most where kernels are small: 0.7 to 0.9 s for an image of 1024². The bound of a Dask array is one too,
    in tiles, each that of the algorithm that computes it; nothing is computed before. A plan of `plan_conv2d` may
    choose differently: its bound is `Plan.error_bound`.

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
    names, source = selection(backend)
    operands, seen, (names, _, kinds) = receive((x, weight, bias), None, names, source)
    seen_x, seen_weight, seen_bias = seen
    problem = Problem.of(seen_x, seen_weight, seen_bias, stride, padding, dilation, groups, **options)
    _, plan = _plan(names, problem, None)  # of any backend, whatever arrays it takes
    return bound_of(problem, plan, operands, kinds)


def bound_of(problem: Problem, plan: Any, operands: tuple[Any, Any, Any], kinds: Kinds = ()) -> Array:
    """Return the bound for a backend's plan: its own, or by what it states, or that of sums in any order."""
    if hasattr(plan, "error_bound"):
        bound: Array = plan.error_bound(*operands)
        return bound
    for name, kind in kinds:
        if kind is not np.ndarray:
            raise TypeError(
                f"{name} must be a NumPy array, or convert to one, got a {kind.__module__}.{kind.__qualname__}; "
                "convert it, or a part of it, and name the backend whose error is asked for with backend=."
            )
    if problem.compute.kind not in "fc" or 0 in problem.out_shape:
        return np.zeros(problem.out_shape)
    terms = (problem.ic // problem.groups) * problem.kh * problem.kw + 1
    stated = plan.error() if hasattr(plan, "error") else (terms, (0, 0))
    with np.errstate(invalid="ignore", over="ignore"):
        return _bound(problem, *operands, *stated)


def _bound(
    p: Problem,
    x: Array,
    weight: Array,
    bias: Array | None,
    constant: float,
    reach: tuple[int, int],
    tiles: tuple[Any, ...] | None = None,
) -> Array:
    images, kernels = _wide(p.nchw(x)), _wide(p.oihw(weight))
    sizes, weights = np.abs(images), np.abs(kernels)
    options: dict[str, Any] = {"groups": p.groups, "algorithm": "direct", "backend": "cpu"}
    biases = None if bias is None else np.abs(_wide(bias))
    parts = 3 if p.compute.kind == "c" else 1  # each part of a complex product is a sum of twice the terms
    terms = (p.ic // p.groups) * p.kh * p.kw + 1
    info, narrow = np.finfo(p.compute), _rounding(p.dtype)
    u = float(info.eps) / 2

    def direct() -> Array:
        return conv2d(
            sizes, weights, biases, (p.sh, p.sw), ((p.pt, p.pb), (p.pl, p.pr)), (p.dh, p.dw),
            padding_mode=p.padding_mode, fill_value=abs(p.fill_value), **options,
        )  # fmt: skip

    def of_sums(constant: float, size: Array) -> Array:
        k = parts * constant * u
        return ((k / (1 - k) if k < 1 else np.inf) + terms * 2.0**-53) * size

    flushed = tiles[1] if tiles and tiles[0] == "flushed" else 0.0
    if tiles and not flushed:
        bound, large = _of_tiles(p, images, kernels, u, constant, tiles)
        if biases is not None:
            bound += u * biases[:, None, None]
            large |= (biases > float(info.max) ** 0.5)[:, None, None]
        size = direct() if parts > 1 or narrow[0] > u or large.any() else bound
        bound += 2 * u * size if parts > 1 else 0
        bound = np.where(large, np.maximum(np.where(np.isfinite(bound), bound, 0), of_sums(terms, size)), bound)
    elif reach == (0, 0):
        size = direct()
        bound = of_sums(constant, size)
    else:
        size = conv2d(_around(p, sizes, reach), weights.sum((2, 3), keepdims=True), biases, **options)
        bound = of_sums(constant, size)
    if narrow[0] > u:
        bound += parts * (narrow[0] * (size + bound) + narrow[1])
    bound += parts * terms * float(info.smallest_subnormal)
    largest = max(sizes.max(initial=0, where=np.isfinite(sizes)), abs(p.fill_value))
    if flushed:  # of each product as much may be lost, or of either factor
        factors = 1 + weights.max((1, 2, 3)) + largest
        bound += parts * flushed * float(info.smallest_normal) * factors[:, None, None]
    elif tiles or reach != (0, 0):  # what underflows in a transform counts for some thousand roundings
        channels = weights.sum((1, 2, 3)) + (p.ic // p.groups) * largest
        bound += parts * 2**15 * float(info.smallest_subnormal) * channels[:, None, None]
    out = np.empty(p.out_shape)
    p.nchw(out)[...] = bound
    return out


def _of_tiles(
    p: Problem, images: Array, kernels: Array, u: float, constant: float, tiles: tuple[Any, ...]
) -> tuple[Array, Array]:
    """The bound of tiles of real numbers, and where there may be none; complex ones are computed in four times."""
    bound_of = {"levels": spectral_bound, "points": tile_bound}[tiles[0]]
    if p.compute.kind != "c":
        return bound_of(p, images, kernels, float(p.fill_value.real), u, constant, tiles[1:])
    fill = complex(p.fill_value)
    pixels, weights = ((images.real, fill.real), (images.imag, fill.imag)), (kernels.real, kernels.imag)
    rr, ii, ri, ir = (
        bound_of(p, of_x, of_w, value, u, constant, tiles[1:])
        for (of_x, value), of_w in zip(pixels * 2, weights + weights[::-1], strict=True)
    )
    return np.hypot(rr[0] + ii[0], ri[0] + ir[0]), rr[1] | ii[1] | ri[1] | ir[1]


def _wide(array: Array) -> Array:
    return array.astype(np.complex128 if array.dtype.kind == "c" else np.float64)


def _around(p: Problem, images: Array, reach: tuple[int, int]) -> Array:
    """The largest pixel in and around each output's window, for every channel."""
    rows = np.arange(-p.pt - reach[0], (p.oh - 1) * p.sh + (p.kh - 1) * p.dh + 1 - p.pt + reach[0])
    columns = np.arange(-p.pl - reach[1], (p.ow - 1) * p.sw + (p.kw - 1) * p.dw + 1 - p.pl + reach[1])
    pixels = pixels_at(images, rows, columns, p.padding_mode, abs(p.fill_value))
    found = _windows(pixels, (p.kh - 1) * p.dh + 1 + 2 * reach[0], 2)
    found = _windows(found, (p.kw - 1) * p.dw + 1 + 2 * reach[1], 3)
    return np.ascontiguousarray(found[..., :: p.sh, :: p.sw])


def _windows(pixels: Array, size: int, axis: int) -> Array:
    """The largest of `size` pixels from each on: in parts of 1, 2, 4, ... of them."""
    pixels = np.moveaxis(pixels, axis, 0)
    count, at, found = len(pixels) - size + 1, 0, []
    for bit in range(size.bit_length()):
        if size >> bit & 1:
            found.append(pixels[at : at + count])
            at += 1 << bit
        pixels = np.maximum(pixels[: -1 << bit], pixels[1 << bit :])
    return np.moveaxis(functools.reduce(np.maximum, found), 0, axis)


def _rounding(dtype: np.dtype[Any]) -> tuple[float, float]:
    """The unit roundoff of a result's dtype, and half its smallest subnormal."""
    if dtype.name == "bfloat16":
        return 2.0**-8, 2.0**-134
    info = np.finfo(dtype)
    return float(info.eps) / 2, float(info.smallest_subnormal) / 2
