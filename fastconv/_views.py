"""Functions that are conv2d of other arguments: its operands seen as they are meant here, and nothing computed besides.

So they run on every backend and on arrays of other libraries, and `trace` shows them as the conv2d that they are.
"""

from __future__ import annotations

import re
from typing import Any

import numpy as np

from ._api import conv2d
from ._arguments import clip, read_axes, read_name, read_number, show
from ._axes import axes_of
from ._receive import receive_named
from .backends._selection import selection

Array = np.ndarray[Any, Any]

# Names, and what conv2d knows them by: always the same string, which its memory of earlier calls knows by address.
SAME = {"same": "same", "same_lower": "same_lower"}
# SciPy's "same" of correlate2d and of convolve2d differ in where the odd pixel goes (scipy#1968).
MODES = {
    False: {"full": "full", "valid": "valid", "same": "same"},
    True: {"full": "full", "valid": "valid", "same": "same_lower"},
}
FEW = 4096  # weights that are copied sooner than NumPy makes a view of them, which takes 5 us; more are not copied
BOUNDARIES = {
    "fill": "constant",
    "pad": "constant",
    "wrap": "wrap",
    "circular": "wrap",
    "symm": "symmetric",
    "symmetric": "symmetric",
}


def depthwise_conv2d(
    x: Any,
    weight: Any,
    bias: Any = None,
    stride: Any = 1,
    padding: Any = 0,
    dilation: Any = 1,
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
    """Cross-correlation of each channel with kernels of its own, with nothing summed over channels.

    Parameters
    ----------
    x : array_like
        Images, as for `conv2d`.
    weight : array_like
        Kernels: axis I counts the channels of `x`, axis O the kernels of each. Their shape is ``(O, C, kh, kw)``, or
        ``(kh, kw, C, O)`` where channels are last; O may be left out where each channel has one.
    bias : array_like, optional
        Added to each channel of the result.
    weight_format : str, optional
        The axes of `weight`: any order of O, I, H and W, or of I, H and W. By default OIHW where C stands before H in
        `data_format`, HWIO otherwise (TensorFlow's and Keras's), without O where `weight` has three axes.
    stride, padding, dilation, padding_mode, fill_value, flip, data_format, dtype, out, algorithm, backend, num_threads
        As for `conv2d`.

    Returns
    -------
    numpy.ndarray
        The result, with ``C * O`` channels: those of the first channel of `x`, those of the second, and so on.

    Raises
    ------
    ValueError, TypeError, MemoryError, BackendError
        As `conv2d`.

    See Also
    --------
    conv2d : with ``groups=C`` the same, for weights with the axes ``(C * O, 1, kh, kw)``, which are PyTorch's.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv import depthwise_conv2d
    >>> x = np.stack([np.arange(4.0), np.ones(4)])[:, None]  # two channels of one row
    >>> depthwise_conv2d(x, [[[1.0, -1.0]], [[1.0, 1.0]]])
    array([[[-1., -1., -1.]],
    <BLANKLINE>
           [[ 2.,  2.,  2.]]])
    """
    options: dict[str, Any] = {
        "padding_mode": padding_mode, "fill_value": fill_value, "flip": flip, "data_format": data_format,
        "dtype": dtype, "out": out, "algorithm": algorithm, "backend": backend, "num_threads": num_threads,
    }  # fmt: skip
    (x, weight), seen = _operands({"x": x, "weight": weight}, out, backend)
    x_shape, shape = (array.shape for array in seen)
    if len(x_shape) == 2:
        if len(shape) != 2:
            raise ValueError(
                f"weight must have 2 axes where x has 2, got shape {show(shape)} with x of shape {show(x_shape)}; one "
                "channel of one image is x[None] with data_format='CHW'."
            )
        return conv2d(x, weight, bias, stride, padding, dilation, weight_format=weight_format, **options)
    axes, kernel_axes = axes_of(x_shape, (1,) * 4, data_format, None)
    if weight_format is not None:
        kernel_axes = read_axes("weight_format", weight_format, "OIHW", ("OIHW", "IHW", "HW"))
    if len(shape) == 3:
        kernel_axes = kernel_axes.replace("O", "")
    if len(shape) != len(kernel_axes):
        raise ValueError(
            f"weight must have the axes {kernel_axes}, or 3 without O, got shape {show(shape)} with x of shape "
            f"{show(x_shape)} {axes}."
        )
    sizes = {"O": 1} | dict(zip(kernel_axes, shape, strict=True))
    channels = x_shape[axes.index("C")]
    if sizes["I"] != channels:
        raise ValueError(
            f"weight has kernels for {sizes['I']} channels, but x has {channels}; expected one kernel or more for each "
            f"(x {show(x_shape)} {axes}, weight {show(shape)} {kernel_axes}); where axis O of weight counts the "
            f"channels of the result, call conv2d with groups={channels}."
        )
    order = [kernel_axes.index(letter) for letter in "IOHW" if letter in kernel_axes]
    weight = weight.transpose(order).reshape(channels * sizes["O"], 1, sizes["H"], sizes["W"])
    return conv2d(x, weight, bias, stride, padding, dilation, max(channels, 1), weight_format="OIHW", **options)


def filter2d(
    image: Any,
    kernel: Any,
    *,
    padding: str = "same",
    padding_mode: str = "reflect",
    fill_value: complex = 0,
    flip: bool = False,
    data_format: str | None = None,
    dtype: Any = None,
    out: Array | None = None,
    algorithm: str = "auto",
    backend: Any = None,
    num_threads: int | None = None,
) -> Array:
    """Filter an image: every channel cross-correlated with one kernel, at the image's size.

    Parameters
    ----------
    image : array_like
        An image of shape (H, W), or with channels, or a batch of them, in the order of `data_format`.
    kernel : array_like of shape (kh, kw)
        The kernel, such as those that `filters` makes.
    padding : {"same", "same_lower"}
        Where the centre of a kernel of even size is: half a pixel before the pixel that it gives, or (as in OpenCV and
        `scipy.ndimage.correlate`) half a pixel after it.
    padding_mode, fill_value
        What lies outside the image, as for `conv2d`.
    flip, dtype, out, algorithm, backend, num_threads
        As for `conv2d`.
    data_format : str, optional
        The axes of `image`, as for `conv2d`. Images with channels come both as HWC and as CHW, so there is no default
        for them.

    Returns
    -------
    numpy.ndarray
        The result, of the shape of `image`.

    Raises
    ------
    ValueError, TypeError, MemoryError, BackendError
        As `conv2d`.

    Notes
    -----
    This is one call of `conv2d`, with the kernel once for each channel in a group of its own; so the result's dtype
    follows its rule: float64 for a float32 image and a kernel of `filters`, which is float64; pass
    ``kernel.astype("float32")`` to stay in float32.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv import filter2d, filters
    >>> photo = np.ones((4, 6, 3))
    >>> photo[:, 3:] = 9
    >>> filter2d(photo, filters.box(3), data_format="HWC")[0, :, 0].round(2)
    array([1.  , 1.  , 3.67, 6.33, 9.  , 9.  ])
    """
    (image, kernel), seen = _operands({"image": image, "kernel": kernel}, out, backend)
    shape, (kh, kw) = seen[0].shape, _two_axes("kernel", seen[1].shape)
    padding = _known("padding", padding, SAME, ", since the result has the image's size; conv2d has every other")
    groups, axes = 1, "HW"
    if len(shape) != 2:
        if data_format is None and len(shape) in (3, 4):
            raise ValueError(
                f"image has {len(shape)} axes, shape {show(shape)}; say which they are with data_format='HWC', 'CHW', "
                "'NHWC', 'NCHW' or another order."
            )
        axes, _ = axes_of(shape, (1,) * 4, "NCHW" if data_format is None else data_format, None, "image")
        groups = shape[axes.index("C")]
        # Channels last are read side by side, so the weights are: half the time of channels as a batch for 3 × 3 and
        # three channels, a ninth for 64. With channels first both take the same.
        last = axes[-1] == "C"
        taps = (kh, kw, 1, groups) if last else (groups, 1, kh, kw)
        once = kernel[..., None, None] if last else kernel
        if type(kernel) is np.ndarray and kernel.size * groups <= FEW:
            kernel = np.empty(taps, kernel.dtype)
            kernel[...] = once
        else:
            kernel = np.broadcast_to(once, taps)
    try:
        return conv2d(
            image, kernel, None, 1, padding, 1, max(groups, 1), padding_mode=padding_mode, fill_value=fill_value,
            flip=flip, data_format="NCHW" if data_format is None else data_format,
            weight_format="HWIO" if axes[-1] == "C" else "OIHW",
            dtype=dtype, out=out, algorithm=algorithm, backend=backend, num_threads=num_threads,
        )  # fmt: skip
    except (TypeError, ValueError, RuntimeError) as error:
        _say(error, {"x": "image", "weight": "kernel"})
        raise


def correlate2d(
    in1: Any,
    in2: Any,
    mode: str = "full",
    boundary: str = "fill",
    fillvalue: complex = 0,
    *,
    dtype: Any = None,
    out: Array | None = None,
    algorithm: str = "auto",
    backend: Any = None,
    num_threads: int | None = None,
) -> Array:
    """Cross-correlate two-dimensional arrays, as `scipy.signal.correlate2d`.

    Parameters
    ----------
    in1, in2 : array_like
        The image and the kernel. A complex kernel is conjugated.
    mode : {"full", "valid", "same"}
        Every position where the two overlap; those where they overlap whole, one of the two being at least as large as
        the other along both axes; or as many as `in1` has pixels.
    boundary : {"fill", "wrap", "symm"}
        What lies outside of `in1`: `fillvalue`; copies of it; copies, each turned over. ``"pad"``, ``"circular"`` and
        ``"symmetric"`` are other names of these.
    fillvalue : number
        The value outside with ``boundary="fill"``; without meaning otherwise.
    dtype, out, algorithm, backend, num_threads
        As for `conv2d`.

    Returns
    -------
    numpy.ndarray
        The result, of the dtype that `conv2d` gives it: SciPy's for floats and complex numbers; int64 for integers, or
        uint64, where SciPy's stays as narrow as the operands and its sums wrap around. ``dtype=in1.dtype`` gives those.

    Raises
    ------
    ValueError, TypeError, MemoryError, BackendError
        As `conv2d`; unlike SciPy's also for empty arrays, and for a `fillvalue` that is not of the result's kind.

    Notes
    -----
    Sizes, positions and edges are SciPy's. So is what happens with ``mode="valid"`` where `in2` is the larger: the two
    are exchanged and the result turned round, and of complex arrays it is then `in1` that is conjugated.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv import correlate2d
    >>> correlate2d(np.arange(6.0).reshape(2, 3), [[1.0, 2.0]], mode="same")
    array([[ 2.,  5.,  2.],
           [11., 14.,  5.]])
    """
    return _scipy(in1, in2, mode, boundary, fillvalue, False, dtype, out, algorithm, backend, num_threads)


def convolve2d(
    in1: Any,
    in2: Any,
    mode: str = "full",
    boundary: str = "fill",
    fillvalue: complex = 0,
    *,
    dtype: Any = None,
    out: Array | None = None,
    algorithm: str = "auto",
    backend: Any = None,
    num_threads: int | None = None,
) -> Array:
    """Convolve two-dimensional arrays, as `scipy.signal.convolve2d`.

    Parameters
    ----------
    in1, in2 : array_like
        The image and the kernel, which is flipped along both axes, and not conjugated.
    mode, boundary, fillvalue, dtype, out, algorithm, backend, num_threads
        As for `correlate2d`. Of a kernel of even size ``mode="same"`` takes other positions, as it does in SciPy.

    Returns
    -------
    numpy.ndarray
        The result, as from `correlate2d`.

    Raises
    ------
    ValueError, TypeError, MemoryError, BackendError
        As `correlate2d`.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv import convolve2d
    >>> convolve2d([[1, 2, 3]], [[0, 1]])
    array([[0, 1, 2, 3]])
    """
    return _scipy(in1, in2, mode, boundary, fillvalue, True, dtype, out, algorithm, backend, num_threads)


def _scipy(
    in1: Any, in2: Any, mode: Any, boundary: Any, fillvalue: Any, flip: bool, dtype: Any, out: Any, algorithm: Any,
    backend: Any, num_threads: Any,
) -> Array:  # fmt: skip
    (in1, in2), (image, kernel) = _operands({"in1": in1, "in2": in2}, out, backend)
    padding = _known("mode", mode, MODES[flip])
    padding_mode = _known("boundary", boundary, BOUNDARIES, "; conv2d's padding_mode has others")
    fillvalue = read_number("fillvalue", fillvalue) if padding_mode == "constant" else 0
    sizes = [*zip(_two_axes("in1", image.shape), _two_axes("in2", kernel.shape), strict=True)]
    smaller = padding == "valid" and any(a < b for a, b in sizes)
    if smaller:
        if any(a > b for a, b in sizes):
            raise ValueError(
                f"mode='valid' needs one array that is at least as large as the other along both axes, got in1 of "
                f"shape {show(image.shape)} and in2 of shape {show(kernel.shape)}."
            )
        in1, in2, kernel = in2, in1, image
    if not flip:
        in2 = np.conj(in2) if kernel.dtype.kind == "c" else in2
        if smaller:  # both turned round, as is then the result
            in1, flip = in1[::-1, ::-1], True
    try:
        return conv2d(
            in1, in2, padding=padding, padding_mode=padding_mode, fill_value=fillvalue, flip=flip, dtype=dtype,
            out=out, algorithm=algorithm, backend=backend, num_threads=num_threads,
        )  # fmt: skip
    except (TypeError, ValueError, RuntimeError) as error:
        _say(error, {"x": "in1", "weight": "in2", "fill_value": "fillvalue"})
        raise


def _operands(named: dict[str, Any], out: Any, backend: Any) -> tuple[Any, Any]:
    """Two operands as conv2d takes them, and what may be read of them: shape and dtype."""
    operands = tuple(named.values())
    if all(type(operand) is np.ndarray for operand in operands):
        return operands, operands
    return receive_named({**named, "out": out}, *selection(backend))[:2]


def _known(name: str, value: Any, names: dict[str, str], way_on: str = "") -> str:
    found = names.get(read_name(name, value))
    if found is None:
        raise ValueError(f"{name} must be one of {', '.join(names)}, got {show(value)}{way_on}.")
    return found


def _two_axes(name: str, shape: tuple[int, ...]) -> tuple[int, ...]:
    if len(shape) != 2:
        raise ValueError(f"{name} must have 2 axes, got shape {show(shape)}.")
    return shape


def _say(error: Exception, names: dict[str, str]) -> None:
    """Name arguments in a refusal of conv2d as the caller knows them; what is quoted is theirs, and stays."""
    if len(error.args) == 1 and isinstance(error.args[0], str):
        words = "|".join(names)
        text = re.sub(rf"(?<![\w'\"])({words})(?![\w'\"])", lambda found: names[found[1]], error.args[0])
        error.args = (clip(text, 500),)
