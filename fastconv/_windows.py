"""What windows see of an image: pad2d, unfold2d, fold2d."""

from __future__ import annotations

from typing import Any

import numpy as np

from ._api import call

Array = np.ndarray[Any, Any]


def pad2d(
    x: Any,
    padding: Any,
    *,
    padding_mode: str = "constant",
    fill_value: complex = 0,
    data_format: str = "NCHW",
    out: Array | None = None,
    backend: Any = None,
    num_threads: int | None = None,
) -> Array:
    """Pad images, as `conv2d` sees them padded.

    Parameters
    ----------
    x : array_like
        Images, as for `conv2d`.
    padding : int, (int, int) or ((int, int), (int, int))
        Pixels around the image: on all sides; (height, width) on both sides each; or ((top, bottom), (left, right)).
    padding_mode, fill_value, data_format, out, backend, num_threads
        As for `conv2d`.

    Returns
    -------
    numpy.ndarray
        The padded images, of the dtype of `x`.

    Raises
    ------
    ValueError, TypeError, MemoryError, BackendError
        As `conv2d`; `fill_value` has to be a value of the dtype of `x`.

    Notes
    -----
    The same as `numpy.pad` with the names of its modes, at any width, along the axes H and W alone. Of a pair of
    numbers the first is for the height here, and before every axis there.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv import pad2d
    >>> pad2d(np.array([[1, 2, 3]]), (0, 2), padding_mode="reflect")
    array([[3, 2, 1, 2, 3, 2, 1]])
    """
    options = {"padding_mode": padding_mode, "fill_value": fill_value, "data_format": data_format}
    return call("pad2d", (x,), (padding,), options, out, backend, num_threads)


def unfold2d(
    x: Any,
    kernel_size: Any,
    *,
    stride: Any = 1,
    padding: Any = 0,
    dilation: Any = 1,
    padding_mode: str = "constant",
    fill_value: complex = 0,
    data_format: str = "NCHW",
    weight_format: str | None = None,
    out: Array | None = None,
    backend: Any = None,
    num_threads: int | None = None,
) -> Array:
    """Gather the pixels that each window of `conv2d` sees into channels (also known as im2col).

    Parameters
    ----------
    x : array_like
        Images, as for `conv2d`, with an axis C.
    kernel_size : int or (int, int)
        Size of the windows: height, width.
    stride, padding, dilation, padding_mode, fill_value, data_format, out, backend, num_threads
        As for `conv2d`.
    weight_format : str, optional
        Axes of the kernels that the result is to be multiplied with; the order of the letters I, H and W in it is that
        of channels and taps in the result. By default as for `conv2d`.

    Returns
    -------
    numpy.ndarray
        One pixel for each window, with ``C * kh * kw`` channels, in the order of `data_format` and of the dtype of `x`.

    Raises
    ------
    ValueError, TypeError, MemoryError, BackendError
        As `conv2d`; `fill_value` has to be a value of the dtype of `x`.

    See Also
    --------
    fold2d : its adjoint.

    Notes
    -----
    Kernels as a matrix of one row each, times the result, are a convolution:
    ``np.tensordot(weight.reshape(len(weight), -1), unfold2d(image, (kh, kw)), 1)`` is ``conv2d(image, weight)`` for one
    image in CHW. ``unfold2d(...).reshape(n, c * kh * kw, -1)`` is the result of PyTorch's ``unfold``; with channels
    last the result is that of TensorFlow's and Keras's ``extract_patches``.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv import unfold2d
    >>> unfold2d(np.arange(6).reshape(1, 2, 3), (2, 2)).reshape(4, -1)  # a column for each of two windows
    array([[0, 1],
           [1, 2],
           [3, 4],
           [4, 5]])
    """
    options = {
        "padding_mode": padding_mode, "fill_value": fill_value, "data_format": data_format,
        "weight_format": weight_format,
    }  # fmt: skip
    arguments = (kernel_size, None, stride, padding, dilation)
    return call("unfold2d", (x,), arguments, options, out, backend, num_threads)


def fold2d(
    cols: Any,
    output_size: Any,
    kernel_size: Any,
    *,
    stride: Any = 1,
    padding: Any = 0,
    dilation: Any = 1,
    padding_mode: str = "constant",
    fill_value: complex = 0,
    data_format: str = "NCHW",
    weight_format: str | None = None,
    dtype: Any = None,
    out: Array | None = None,
    backend: Any = None,
    num_threads: int | None = None,
) -> Array:
    """Add the values that `unfold2d` gathers up to an image again (also known as col2im): its adjoint.

    Parameters
    ----------
    cols : array_like
        Values for each window, of the shape that `unfold2d` gives them.
    output_size : (int, int)
        Height and width of the image.
    kernel_size, stride, padding, dilation, padding_mode, data_format, weight_format
        As for the `unfold2d` whose adjoint it is.
    fill_value : number
        Checked as there; what lies outside the image is no part of it.
    dtype, out, backend, num_threads
        As for `conv2d`.

    Returns
    -------
    numpy.ndarray
        The image: each pixel the sum of all values that `unfold2d` would have put its copies in.

    Raises
    ------
    ValueError, TypeError, MemoryError, BackendError
        As `conv2d`.

    Notes
    -----
    With the same arguments ``(unfold2d(x) * cols).sum() == (x * fold2d(cols)).sum()`` for every `x`, without a fill
    value. Modes that repeat pixels outside the image add the values there to the pixels that are repeated. Integers are
    summed exactly, float16 and bfloat16 in float32. Where windows see every pixel,
    ``fold2d(unfold2d(x)) / fold2d(unfold2d(ones))`` is `x`.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv import fold2d
    >>> fold2d(np.ones((4, 1, 2)), (2, 3), (2, 2))
    array([[[1., 2., 1.],
            [1., 2., 1.]]])
    """
    options = {
        "padding_mode": padding_mode, "fill_value": fill_value, "data_format": data_format,
        "weight_format": weight_format, "dtype": dtype,
    }  # fmt: skip
    arguments = (output_size, kernel_size, stride, padding, dilation)
    return call("fold2d", (cols,), arguments, options, out, backend, num_threads)
