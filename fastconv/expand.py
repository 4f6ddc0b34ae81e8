"""From a convolution back to the dense layer that it is.

A dense layer has a weight for each output and each pixel. One that looks at a neighbourhood alone is locally connected
(`local_conv2d`); one that has the same weights everywhere is a convolution (`conv2d`). These functions go the other
way, so that all three can be computed and compared.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ._arguments import LIMIT, show
from ._operators import OPERATORS, find
from ._problem import Described, Problem, check_shape
from ._receive import receive_named
from .backends._selection import selection
from .backends.reference import extend

Array = np.ndarray[Any, Any]

__all__ = ["dense", "local"]

OUTPUT, PIXEL = {"H": 0, "W": 1, "C": 2}, {"C": 3, "H": 4, "W": 5}  # where axes stand before they are put in order


def local(
    weight: Any,
    x_shape: tuple[int, ...],
    stride: Any = 1,
    padding: Any = 0,
    dilation: Any = 1,
    groups: int = 1,
    *,
    data_format: str = "NCHW",
    weight_format: str | None = None,
) -> Array:
    """Kernels of a convolution as those of a locally connected layer: the same for each output.

    Parameters
    ----------
    weight : array_like
        Kernels, as for `conv2d`; a Dask array's view is one too, and nothing is computed.
    x_shape : tuple of int
        Shape of the images.
    stride, padding, dilation, groups, data_format, weight_format
        As for `conv2d`.

    Returns
    -------
    numpy.ndarray
        Weights for `local_conv2d`, with two axes more than `weight`, (OH, OW), before its own: a read-only view, in
        which nothing is copied.

    Raises
    ------
    ValueError, TypeError
        As `conv2d`.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv import conv2d, expand, local_conv2d
    >>> x, weight = np.arange(12.0).reshape(3, 4), np.array([[1.0, 2.0], [3.0, 4.0]])
    >>> V = expand.local(weight, x.shape)
    >>> V.shape
    (2, 3, 2, 2)
    >>> bool((local_conv2d(x, V) == conv2d(x, weight)).all())
    True
    """
    (weight,), (seen,), _ = receive_named({"weight": weight}, *selection(None))
    x = Described(check_shape("x_shape", x_shape).shape, seen.dtype)
    problem = Problem.of(
        x, seen, None, stride, padding, dilation, groups, data_format=data_format, weight_format=weight_format
    )
    return np.broadcast_to(weight, (problem.oh, problem.ow, *seen.shape))


def dense(
    weight: Any,
    x_shape: tuple[int, ...],
    stride: Any = 1,
    padding: Any = 0,
    dilation: Any = 1,
    groups: int = 1,
    *,
    padding_mode: str = "constant",
    flip: bool = False,
    data_format: str = "NCHW",
    weight_format: str | None = None,
) -> Array:
    """Weights of a locally connected layer as those of a dense one: a weight for each output and each pixel.

    Parameters
    ----------
    weight : array_like
        Weights, as for `local_conv2d`; not a lazy array.
    x_shape : tuple of int
        Shape of the images; N, if it is there, does not matter.
    stride, padding, dilation, groups, padding_mode, flip, data_format, weight_format
        As for `local_conv2d`.

    Returns
    -------
    numpy.ndarray
        The axes of one result and then those of one image, in the order of `data_format`: W[i, j, k, l] for images of
        shape (H, W). ``np.tensordot(W, image, image.ndim)`` is the layer's result. A pixel that padding repeats has all
        its weights in one sum; integers come as int64 or uint64, as from `conv2d`.

    Raises
    ------
    ValueError, TypeError, MemoryError
        As `local_conv2d`.

    Notes
    -----
    That is as many numbers as outputs times pixels: 2.5 GB for a channel of 224 × 224 in one byte each.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv import conv2d, expand
    >>> x, weight = np.arange(12.0).reshape(3, 4), np.array([[1.0, 2.0], [3.0, 4.0]])
    >>> W = expand.dense(expand.local(weight, x.shape), x.shape)
    >>> W.shape
    (2, 3, 3, 4)
    >>> W[1, 2]
    array([[0., 0., 0., 0.],
           [0., 0., 1., 2.],
           [0., 0., 3., 4.]])
    >>> bool((np.tensordot(W, x, 2) == conv2d(x, weight)).all())
    True
    """
    (weight,), _, (*_, kinds) = receive_named({"weight": weight}, *selection(None))
    if kinds:
        kind = kinds[0][1]
        raise TypeError(
            f"weight must be a NumPy array, or convert to one, got a {kind.__module__}.{kind.__qualname__:.80}; "
            "convert it (compute it, if it is lazy): the result is whole, in one array."
        )
    x = Described(check_shape("x_shape", x_shape).shape, weight.dtype)
    p: Problem = find(OPERATORS["local_conv2d"].problem)(
        x, weight, None, stride, padding, dilation, groups, padding_mode=padding_mode, flip=flip,
        data_format=data_format, weight_format=weight_format,
    )  # fmt: skip
    ocg, igc = p.oc // p.groups, p.ic // p.groups
    shape = (p.oh, p.ow, p.groups, ocg, p.groups, igc, p.ih, p.iw)
    if math.prod(shape) * p.compute.itemsize > LIMIT:
        raise ValueError(f"the result would have {show(math.prod(shape))} numbers, more than 2**63 bytes.")
    order = [2 + p.weight_axes.index(letter) for letter in "OIHW" if letter in p.weight_axes]
    taps = weight.transpose(0, 1, *order).reshape(p.oh, p.ow, p.groups, ocg, igc, p.kh, p.kw)
    taps = taps[..., ::-1, ::-1] if flip else taps
    sums = np.zeros(shape, p.compute)
    with np.errstate(over="ignore", invalid="ignore"):
        for a in range(p.kh):
            has_row, rows = extend(np.arange(p.oh) * p.sh - p.pt + a * p.dh, p.ih, p.padding_mode)
            for b in range(p.kw):
                has_column, columns = extend(np.arange(p.ow) * p.sw - p.pl + b * p.dw, p.iw, p.padding_mode)
                i, j = np.nonzero(has_row[:, None] & has_column)  # outputs whose tap meets a pixel
                for g in range(p.groups):
                    sums[i, j, g, :, g, :, rows[i], columns[j]] += taps[i, j, g, :, :, a, b]
        result = sums.astype(p.dtype)
    letters = [letter for letter in p.x_axes if letter != "N"]
    axes = [places[letter] for places in (OUTPUT, PIXEL) for letter in letters]
    result = result.reshape(p.oh, p.ow, p.oc, p.ic, p.ih, p.iw)
    return np.ascontiguousarray(result[:, :, 0, 0] if len(letters) == 2 else result.transpose(axes))
