"""The public functions for three axes: conv3d, from slices of which conv2d computes each, and its transpose."""

from __future__ import annotations

from typing import Any

import numpy as np

from ._api import call

Array = np.ndarray[Any, Any]


def conv3d(
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
    data_format: str = "NCDHW",
    weight_format: str | None = None,
    dtype: Any = None,
    out: Array | None = None,
    algorithm: str = "auto",
    backend: Any = None,
    num_threads: int | None = None,
) -> Array:
    r"""Three-dimensional cross-correlation, summed over input channels: `conv2d` with depth.

    .. math:: y_{n,o,k,i,j} = b_o + \sum_{c,a,b,e} w_{o,c,a,b,e} \,
        x_{n,c,\; k s_d + a d_d - p_f,\; i s_h + b d_h - p_t,\; j s_w + e d_w - p_l}

    Parameters
    ----------
    x : array_like
        Volumes, or films, shape ``(N, C, D, H, W)`` in the order of `data_format`; ``(C, D, H, W)``, one volume; or
        ``(D, H, W)``, one channel of one volume.
    weight : array_like
        Kernels, shape ``(O, C / groups, kd, kh, kw)`` in the order of `weight_format`; ``(kd, kh, kw)`` for
        ``(D, H, W)``.
    bias : array_like of shape (O,), optional
        Added to each output channel.
    stride, dilation : int or (int, int, int)
        As for `conv2d`: depth, height, width.
    padding : int, (int, int, int), three pairs of int, or str
        On all sides; (depth, height, width) on both sides each; ((front, back), (top, bottom), (left, right)); or a
        name, as for `conv2d`.
    flip : bool
        Flip the kernel in all three axes: true convolution instead of cross-correlation.
    data_format : str
        The axes of `x` and of the result: any order of N, C, D, H and W. N may be left out.
    weight_format : str, optional
        The axes of `weight`: any order of O, I, D, H and W. By default OIDHW where C stands before D in `data_format`,
        DHWIO otherwise.
    groups, padding_mode, fill_value, dtype, out, algorithm, backend, num_threads
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
    A backend that has conv2d computes the slices of the result by it, from slices of `x` which it reads in place, or
    copies beside each other, 32 MiB of them at a time: a tap in depth and a channel make one channel of that conv2d.
    What `conv2d` promises for as many channels holds here: with ``algorithm="direct"`` each output is one chain of
    fused multiply-adds, which goes through depth before channels, in an order that depends on the kernel's shape alone;
    integers are exact; padding is a value like any other; NaN and infinities reach exactly the outputs whose window
    touches them.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv import conv3d
    >>> volume = np.arange(27).reshape(3, 3, 3)
    >>> conv3d(volume, np.ones((2, 3, 3), int))
    array([[[153]],
    <BLANKLINE>
           [[315]]])

    Two films of 8 pictures in colour, and 16 kernels over 3 pictures each:

    >>> films = np.ones((2, 3, 8, 32, 32), np.float32)
    >>> conv3d(films, np.ones((16, 3, 3, 5, 5), np.float32), stride=(1, 2, 2), padding="same").shape
    (2, 16, 8, 16, 16)
    """
    options = {
        "padding_mode": padding_mode, "fill_value": fill_value, "flip": flip, "data_format": data_format,
        "weight_format": weight_format, "dtype": dtype, "algorithm": algorithm,
    }  # fmt: skip
    arguments = (stride, padding, dilation, groups)
    return call("conv3d", (x, weight, bias), arguments, options, out, backend, num_threads)


def conv_transpose3d(
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
    data_format: str = "NCDHW",
    weight_format: str | None = None,
    dtype: Any = None,
    out: Array | None = None,
    algorithm: str = "auto",
    backend: Any = None,
    num_threads: int | None = None,
) -> Array:
    """Transposed convolution of volumes: `conv3d` with the same arguments, as a matrix, transposed; and a bias.

    Parameters
    ----------
    x : array_like
        Volumes, of the shape that `conv3d` gives.
    weight : array_like
        The kernels of that `conv3d`: in OIDHW, O is the channels of `x` and I those of the result, a group. This is
        PyTorch's layout.
    bias : array_like, optional
        Added to each channel of the result.
    output_padding : int or (int, int, int)
        Voxels that the result has more at the end of each axis, less than the stride.
    output_shape : int or (int, int, int), optional
        Depth, height and width of the result, in place of `output_padding`.
    stride, padding, dilation, groups, padding_mode, fill_value, flip, data_format, weight_format
        As for the `conv3d` that this is the transpose of. `padding` by the names same and same_lower needs
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
    What is said of `conv_transpose2d` holds here. It comes down to a `conv3d` of stride 1 for each of the voxels that
    lie one stride apart.

    Examples
    --------
    >>> from fastconv import conv_transpose3d
    >>> conv_transpose3d([[[1.0, 2.0]]], [[[1.0, 1.0, 1.0]]], stride=2)
    array([[[1., 1., 3., 2., 2.]]])
    """
    options = {
        "padding_mode": padding_mode, "fill_value": fill_value, "flip": flip, "data_format": data_format,
        "weight_format": weight_format, "dtype": dtype, "algorithm": algorithm, "output_padding": output_padding,
        "output_shape": output_shape,
    }  # fmt: skip
    arguments = (stride, padding, dilation, groups)
    return call("conv_transpose3d", (x, weight, bias), arguments, options, out, backend, num_threads)
