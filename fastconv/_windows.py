"""What windows see of an image: pad2d, unfold2d, fold2d; and a convolution with kernels of each window's own."""

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
    output_size : int or (int, int)
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


def local_conv2d(
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
    data_format: str = "NCHW",
    weight_format: str | None = None,
    dtype: Any = None,
    out: Array | None = None,
    algorithm: str = "auto",
    backend: Any = None,
    num_threads: int | None = None,
) -> Array:
    r"""Locally connected layer: `conv2d` whose kernels are others for each output.

    .. math:: y_{n,o,i,j} = b_{i,j,o} +
        \sum_{c,a,b} w_{i,j,o,c,a,b} \, x_{n,c,\; i s_h + a d_h - p_t,\; j s_w + b d_w - p_l}

    Parameters
    ----------
    x : array_like
        Images, as for `conv2d`.
    weight : array_like
        Kernels, shape ``(OH, OW, O, C / groups, kh, kw)``: height and width of the result, and then the axes of
        `weight_format`; ``(OH, OW, kh, kw)`` for `x` of shape ``(H, W)``.
    bias : array_like, optional
        Of shape ``(O,)``, added to each output channel, or ``(OH, OW, O)``, to each output; for `x` of shape ``(H, W)``
        also ``(OH, OW)``.
    stride, padding, dilation, groups, padding_mode, fill_value, flip, data_format, weight_format
        As for `conv2d`.
    dtype, out, algorithm, backend, num_threads
        As for `conv2d`.

    Returns
    -------
    numpy.ndarray
        The result, as from `conv2d`.

    Raises
    ------
    ValueError, TypeError, MemoryError, BackendError
        As `conv2d`.

    See Also
    --------
    expand.local : the weights of a `conv2d` as weights of this.
    expand.dense : these weights as those of a dense layer.

    Notes
    -----
    Each sum is computed as that of a `conv2d` with ``algorithm="direct"``, whose numerical properties it has: where all
    outputs have the same kernel, the bits are those of that `conv2d`. Each weight is read once for all images; those in
    OIHW are read where they lie, and so are those in HWIO of up to 32 channels in one group.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv import local_conv2d
    >>> x = np.array([[1.0, 2.0, 3.0]])
    >>> weight = np.array([[[[1.0, 1.0]], [[0.0, 10.0]]]])  # the first output is a sum, the second ten times a pixel
    >>> local_conv2d(x, weight)
    array([[ 3., 30.]])
    """
    options = {
        "padding_mode": padding_mode, "fill_value": fill_value, "flip": flip, "data_format": data_format,
        "weight_format": weight_format, "dtype": dtype, "algorithm": algorithm,
    }  # fmt: skip
    arguments = (stride, padding, dilation, groups)
    return call("local_conv2d", (x, weight, bias), arguments, options, out, backend, num_threads)
