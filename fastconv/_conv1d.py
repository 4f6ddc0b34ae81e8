"""The public functions for one axis: conv1d is conv2d of one row, and so is its transpose."""

from __future__ import annotations

from typing import Any

import numpy as np

from ._api import call, call_conv1d

Array = np.ndarray[Any, Any]


def conv1d(
    x: Any,
    weight: Any,
    bias: Any = None,
    stride: Any = 1,
    padding: Any = 0,
    dilation: Any = 1,
    groups: int = 1,
    *,
    padding_mode: str = "constant",
    fill_value: complex = 0,
    flip: bool = False,
    data_format: str = "NCW",
    weight_format: str | None = None,
    dtype: Any = None,
    out: Array | None = None,
    algorithm: str = "auto",
    backend: Any = None,
    num_threads: int | None = None,
) -> Array:
    r"""One-dimensional cross-correlation, summed over input channels: `conv2d` along one axis.

    .. math:: y_{n,o,j} = b_o + \sum_{c,b} w_{o,c,b} \, x_{n,c,\; j s + b d - p}

    Parameters
    ----------
    x : array_like
        Signals, shape ``(N, C, W)`` in the order of `data_format`; ``(C, W)``, one signal; or ``(W,)``, one channel of
        one signal.
    weight : array_like
        Kernels, shape ``(O, C / groups, kw)`` in the order of `weight_format`; ``(kw,)`` for ``(W,)``.
    bias : array_like of shape (O,), optional
        Added to each output channel.
    stride, dilation : int or (int,)
        As for `conv2d`, along the one axis.
    padding : int, (int,), ((int, int),) or str
        On both sides; or ((left, right),); or a name, as for `conv2d`. A flat pair is refused.
    data_format : str
        The axes of `x` and of the result: any order of N, C and W. N may be left out.
    weight_format : str, optional
        The axes of `weight`: any order of O, I and W. By default OIW where C stands before W in `data_format`, WIO
        otherwise.
    groups, padding_mode, fill_value, flip, dtype, out, algorithm, backend, num_threads
        As for `conv2d`.

    Returns
    -------
    numpy.ndarray
        The result, in the order of `data_format`, C-contiguous; `out` if that was given. An array of another library
        where an operand is one that a backend owns.

    Raises
    ------
    ValueError, TypeError, MemoryError, BackendError
        As `conv2d`.

    Notes
    -----
    It is `conv2d` of images of one row with kernels of one row, on every backend, and what holds for that holds here:
    its bits, its error bound (`conv2d_error_bound` of those images), its speed. `explain` and `trace` speak of conv2d.

    Examples
    --------
    >>> from fastconv import conv1d
    >>> conv1d([1, 2, 4, 8], [1, -1])
    array([-1, -2, -4])
    >>> conv1d([1.0, 2.0, 4.0], [1.0, 2.0, 3.0], padding="full", flip=True)
    array([ 1.,  4., 11., 14., 12.])
    """
    arguments = (
        x, weight, bias, stride, padding, dilation, groups, padding_mode, fill_value, flip, data_format, weight_format,
        dtype, algorithm,
    )  # fmt: skip
    return call_conv1d(arguments, out, backend, num_threads)


def conv_transpose1d(
    x: Any,
    weight: Any,
    bias: Any = None,
    stride: Any = 1,
    padding: Any = 0,
    dilation: Any = 1,
    groups: int = 1,
    *,
    output_padding: Any = 0,
    output_shape: Any = None,
    padding_mode: str = "constant",
    fill_value: complex = 0,
    flip: bool = False,
    data_format: str = "NCW",
    weight_format: str | None = None,
    dtype: Any = None,
    out: Array | None = None,
    algorithm: str = "auto",
    backend: Any = None,
    num_threads: int | None = None,
) -> Array:
    """Transposed convolution along one axis: `conv1d` with the same arguments, as a matrix, transposed; and a bias.

    Parameters
    ----------
    x : array_like
        Signals, of the shape that `conv1d` gives.
    weight : array_like
        The kernels of that `conv1d`: in OIW, O is the channels of `x` and I those of the result, a group. This is
        PyTorch's layout.
    bias : array_like, optional
        Added to each channel of the result.
    output_padding : int or (int,)
        Values that the result has more at the end, less than the stride.
    output_shape : int or (int,), optional
        Width of the result, in place of `output_padding`.
    stride, padding, dilation, groups, padding_mode, fill_value, flip, data_format, weight_format
        As for the `conv1d` that this is the transpose of. `padding` by the names same and same_lower needs
        `output_shape`; `fill_value` has no part in a transpose.
    dtype, out, algorithm, backend, num_threads
        As for `conv2d`.

    Returns
    -------
    numpy.ndarray
        The result, in the order of `data_format`.

    Raises
    ------
    ValueError, TypeError, MemoryError, BackendError
        As `conv2d`.

    Notes
    -----
    It is `conv_transpose2d` of images of one row.

    Examples
    --------
    >>> from fastconv import conv_transpose1d
    >>> conv_transpose1d([1.0, 2.0], [1.0, 1.0, 1.0], stride=2)
    array([1., 1., 3., 2., 2.])
    """
    options = {
        "padding_mode": padding_mode, "fill_value": fill_value, "flip": flip, "data_format": data_format,
        "weight_format": weight_format, "dtype": dtype, "algorithm": algorithm, "output_padding": output_padding,
        "output_shape": output_shape,
    }  # fmt: skip
    arguments = (stride, padding, dilation, groups)
    return call("conv_transpose1d", (x, weight, bias), arguments, options, out, backend, num_threads)
