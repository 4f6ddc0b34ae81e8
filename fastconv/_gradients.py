"""The public functions beside conv2d: its gradients, and transposed convolution."""

from __future__ import annotations

from typing import Any

import numpy as np

from ._api import call

Array = np.ndarray[Any, Any]


def conv2d_grad_input(
    grad: Any,
    weight: Any,
    x_shape: tuple[int, ...],
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
    r"""Gradient of `conv2d` with respect to its image: what a gradient of the result comes to for each pixel.

    Parameters
    ----------
    grad : array_like
        Gradient with respect to the result of `conv2d`, of the result's shape.
    weight : array_like
        The kernels.
    x_shape : tuple of int
        Shape of the image.
    stride, padding, dilation, groups, padding_mode, flip, data_format, weight_format
        As for the `conv2d` whose gradient it is.
    dtype, out, algorithm, backend, num_threads
        As for `conv2d`. `algorithm` is that of the convolutions that this comes down to.
    fill_value : number
        Checked as in `conv2d`; what lies outside the image is no part of it, so the gradient does not depend on it.

    Returns
    -------
    numpy.ndarray
        The gradient, of shape `x_shape`.

    Raises
    ------
    ValueError, TypeError, MemoryError, BackendError
        As `conv2d`.

    Notes
    -----
    This is the adjoint of `conv2d` as a function of the image: with the inner product :math:`\langle a, b \rangle =
    \sum a \bar b` and without bias and fill value, ``<conv2d(x, w), grad> == <x, conv2d_grad_input(grad, w)>``. Complex
    kernels are conjugated, as PyTorch's gradients have it; JAX's are those of ``w.conj()``. Modes that repeat pixels
    outside the image add the gradient there to the pixels that it repeats.

    A pixel's value is a sum over the taps that reach it, of integers exactly, of floats with the error bound of
    `conv2d` with the same `algorithm` for the convolution of `grad` that it is; where padding is folded back, one
    addition more for each time that a pixel is repeated. With ``algorithm="direct"`` its bits are the same for every
    number of threads, batch and layout. Outside of itself `grad` is zero, and zero counts: NaN and infinities in
    `grad` reach exactly the pixels of their windows, and those of a kernel's tap also pixels near the border, since 0
    times Inf is NaN; but not those that repeat padding which taps skip, where that is most of a large image.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv import conv2d, conv2d_grad_input
    >>> x, weight = np.arange(16.0).reshape(4, 4), np.array([[1.0, 2.0], [3.0, 4.0]])
    >>> grad = np.ones(conv2d(x, weight, stride=2).shape)
    >>> conv2d_grad_input(grad, weight, x.shape, stride=2)
    array([[1., 2., 1., 2.],
           [3., 4., 3., 4.],
           [1., 2., 1., 2.],
           [3., 4., 3., 4.]])
    """
    options = {
        "padding_mode": padding_mode, "fill_value": fill_value, "flip": flip, "data_format": data_format,
        "weight_format": weight_format, "dtype": dtype, "algorithm": algorithm,
    }  # fmt: skip
    arguments = (x_shape, stride, padding, dilation, groups)
    return call("conv2d_grad_input", (grad, weight), arguments, options, out, backend, num_threads)


def conv2d_grad_weight(
    x: Any,
    grad: Any,
    weight_shape: tuple[int, ...],
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
    r"""Gradient of `conv2d` with respect to its kernels, summed over images and pixels.

    Parameters
    ----------
    x : array_like
        The images.
    grad : array_like
        Gradient with respect to the result of `conv2d`, of the result's shape.
    weight_shape : tuple of int
        Shape of the kernels.
    stride, padding, dilation, groups, padding_mode, fill_value, flip, data_format, weight_format
        As for the `conv2d` whose gradient it is.
    dtype, out, algorithm, backend, num_threads
        As for `conv2d`. `algorithm` is that of the convolution that this is.

    Returns
    -------
    numpy.ndarray
        The gradient, of shape `weight_shape`; zero where there are no images.

    Raises
    ------
    ValueError, TypeError, MemoryError, BackendError
        As `conv2d`.

    Notes
    -----
    It is the adjoint of `conv2d` as a function of the kernels, the image padded as there: pixels outside count with
    `fill_value` or as what `padding_mode` repeats. Of complex numbers the image is conjugated, as PyTorch has it.

    Each value is one sum over images and outputs, exact for integers; for floats it has the error bound of `conv2d`
    with the same `algorithm`, with as many terms as `grad` has images and pixels, and a rounding more for each image
    after the first where there are several groups. NaN and infinities, in `grad` and in
    padding too, reach exactly the values that they are factors of.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv import conv2d_grad_weight
    >>> x, grad = np.arange(16.0).reshape(4, 4), np.ones((2, 2))
    >>> conv2d_grad_weight(x, grad, (2, 2), stride=2)
    array([[20., 24.],
           [36., 40.]])
    """
    options = {
        "padding_mode": padding_mode, "fill_value": fill_value, "flip": flip, "data_format": data_format,
        "weight_format": weight_format, "dtype": dtype, "algorithm": algorithm,
    }  # fmt: skip
    arguments = (weight_shape, stride, padding, dilation, groups)
    return call("conv2d_grad_weight", (x, grad), arguments, options, out, backend, num_threads)


def conv2d_grad_bias(
    grad: Any,
    *,
    data_format: str = "NCHW",
    dtype: Any = None,
    out: Array | None = None,
    backend: Any = None,
    num_threads: int | None = None,
) -> Array:
    """Gradient of `conv2d` with respect to its bias: the sum over images and pixels, for each channel.

    Parameters
    ----------
    grad : array_like
        Gradient with respect to the result of `conv2d`.
    data_format, dtype, out, backend, num_threads
        As for `conv2d`.

    Returns
    -------
    numpy.ndarray of shape (O,)
        The gradient; zero where there are no images.

    Raises
    ------
    ValueError, TypeError, MemoryError, BackendError
        As `conv2d`.

    Notes
    -----
    Integers are summed exactly. Floats are summed in float64 in the order of `numpy.sum`, which depends on the layout,
    so the bits of float64 sums may too; the error is at most that of any order, (n - 1) roundings of float64.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv import conv2d_grad_bias
    >>> conv2d_grad_bias(np.ones((2, 3, 4, 4)))
    array([32., 32., 32.])
    """
    options = {"data_format": data_format, "dtype": dtype}
    return call("conv2d_grad_bias", (grad,), (), options, out, backend, num_threads)


def conv_transpose2d(
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
    data_format: str = "NCHW",
    weight_format: str | None = None,
    dtype: Any = None,
    out: Array | None = None,
    algorithm: str = "auto",
    backend: Any = None,
    num_threads: int | None = None,
) -> Array:
    """Transposed convolution: `conv2d` with the same arguments, as a matrix, transposed; and a bias.

    Parameters
    ----------
    x : array_like
        Images, of the shape that `conv2d` gives.
    weight : array_like
        The kernels of that `conv2d`: in OIHW, O is the channels of `x` and I those of the result, a group. This is
        PyTorch's layout.
    bias : array_like, optional
        Added to each channel of the result.
    stride, padding, dilation, groups, padding_mode, flip, data_format, weight_format
        As for the `conv2d` that this is the transpose of. `padding` by the names same and same_lower needs
        `output_shape`.
    dtype, out, algorithm, backend, num_threads
        As for `conv2d`.
    output_padding : int or (int, int)
        Pixels that the result has more at the end of each axis, less than the stride: `conv2d` gives images of `stride`
        different sizes the same size.
    output_shape : int or (int, int), optional
        Height and width of the result, in place of `output_padding`.
    fill_value : number
        Checked as in `conv2d`; it has no part in a transpose.

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
    ``conv_transpose2d(grad, weight)`` is ``conv2d_grad_input(grad, weight, ...)`` for real numbers; its numerical
    properties are that function's. Complex kernels are not conjugated.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv import conv_transpose2d
    >>> conv_transpose2d([[1.0, 2.0]], [[1.0, 1.0, 1.0]], stride=2)
    array([[1., 1., 3., 2., 2.]])
    """
    options = {
        "padding_mode": padding_mode, "fill_value": fill_value, "flip": flip, "data_format": data_format,
        "weight_format": weight_format, "dtype": dtype, "algorithm": algorithm,
    }  # fmt: skip
    options |= {"output_padding": output_padding, "output_shape": output_shape}
    arguments = (stride, padding, dilation, groups)
    return call("conv_transpose2d", (x, weight, bias), arguments, options, out, backend, num_threads)
