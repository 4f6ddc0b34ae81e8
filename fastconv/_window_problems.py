"""What windows see of an image: pad2d, unfold2d, fold2d and local_conv2d, their arguments checked, as a `Problem`.

The convolution that pad2d, unfold2d and fold2d belong to has a group for each channel, and in it a kernel for each of
its taps, which is 1 there and 0 elsewhere: unfold2d is its result, fold2d its transpose.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ._arguments import LIMIT, read_axes, read_each, read_number, show
from ._axes import axes_of
from ._dtypes import choose_dtypes, native
from ._problem import Described, Problem, fill_of

Array = np.ndarray[Any, Any] | Described


def pad(
    x: Array, padding: Any, *_: Any, padding_mode: Any = "constant", fill_value: Any = 0, data_format: Any = "NCHW"
) -> Problem:
    """Return the problem of a padded image."""
    if isinstance(padding, str):
        raise ValueError(
            f"padding must be an int, (ph, pw) or ((top, bottom), (left, right)), got {show(padding)}; what a name "
            "means depends on a kernel."
        )
    return _copy("pad2d", x, (1, 1), (1, padding, 1), padding_mode, fill_value, data_format, "OIHW")


def unfold(
    x: Array,
    kernel_size: Any,
    _: Any = None,
    stride: Any = 1,
    padding: Any = 0,
    dilation: Any = 1,
    groups: Any = 1,
    *,
    padding_mode: Any = "constant",
    fill_value: Any = 0,
    data_format: Any = "NCHW",
    weight_format: Any = None,
) -> Problem:
    """Return the problem of an unfolded image."""
    kernel = read_each("kernel_size", kernel_size, 1)
    axes, weight_axes = _axes("x", x.shape, data_format, weight_format)
    geometry = (stride, padding, dilation)
    return _copy("unfold2d", x, kernel, geometry, padding_mode, fill_value, axes, weight_axes)


def fold(
    cols: Array,
    output_size: Any,
    kernel_size: Any,
    stride: Any = 1,
    padding: Any = 0,
    dilation: Any = 1,
    groups: Any = 1,
    *,
    padding_mode: Any = "constant",
    fill_value: Any = 0,
    data_format: Any = "NCHW",
    weight_format: Any = None,
    dtype: Any = None,
) -> Problem:
    """Return the problem of an image that is folded from what was unfolded."""
    kh, kw = read_each("kernel_size", kernel_size, 1)
    size = dict(zip("HW", read_each("output_size", output_size, 1), strict=True))
    fill = read_number("fill_value", fill_value)
    compute, result = choose_dtypes({"cols": cols}, dtype)
    axes, weight_axes = _axes("cols", cols.shape, data_format, weight_format)
    sizes = dict(zip(axes, cols.shape, strict=True))
    if sizes["C"] % (kh * kw) or not sizes["C"]:
        raise ValueError(
            f"cols has {sizes['C']} channels, which must be those of the image, times the {kh * kw} taps of "
            f"kernel_size={show((kh, kw))} (cols {show(cols.shape)} {axes})."
        )
    image = {"N": 1} | sizes | size | {"C": sizes["C"] // (kh * kw)}
    x = Described(tuple(image[letter] for letter in axes), cols.dtype)
    weight = Described((sizes["C"], 1, kh, kw), cols.dtype)
    problem = Problem.of(
        x, weight, None, stride, padding, dilation, image["C"], padding_mode=padding_mode, data_format=axes,
        weight_format="OIHW", dtype=dtype,
    )  # fmt: skip
    expected = problem.shape_of("y")
    if cols.shape != expected:
        raise ValueError(
            f"cols must have shape {show(expected)} {axes}, that of the result of unfold2d for an image of "
            f"{show((problem.ih, problem.iw))} pixels and kernel_size={show((kh, kw))}, got {show(cols.shape)}."
        )
    fill_of(fill, problem.padding_mode, compute)
    shape = problem.shape_of("x")
    if math.prod(shape) * max(result.itemsize, compute.itemsize) > LIMIT:
        raise ValueError(f"the result would have shape {show(shape)} and dtype {result}, more than 2**63 bytes.")
    return problem._replace(operator="fold2d", weight_axes=weight_axes, dtype=result, compute=compute)


def local(
    x: Array,
    weight: Array,
    bias: Array | None,
    *geometry: Any,
    data_format: Any = "NCHW",
    weight_format: Any = None,
    dtype: Any = None,
    **options: Any,
) -> Problem:
    """Return the problem of a convolution with other weights for each output."""
    choose_dtypes({"x": x, "weight": weight, "bias": bias}, dtype)
    if len(weight.shape) != (4 if len(x.shape) == 2 else 6):
        raise ValueError(
            f"weight must have 6 axes, (OH, OW) and then those of weight_format, or 4 where x has 2, got shape "
            f"{show(weight.shape)} with x of shape {show(x.shape)}."
        )
    kernel = Described(weight.shape[2:], weight.dtype)
    axes = axes_of(x.shape, kernel.shape, data_format, weight_format)[1]
    oc = dict(zip(axes, kernel.shape, strict=True)).get("O", 1)
    one = None if bias is None else Described((oc,), bias.dtype)
    problem = Problem.of(
        x, kernel, one, *geometry, data_format=data_format, weight_format=weight_format, dtype=dtype, **options
    )
    size = (problem.oh, problem.ow)
    if weight.shape != (*size, *kernel.shape):  # whole, since reading arguments may have run the caller's code
        raise ValueError(
            f"weight must begin with the axes (OH, OW), {show(size)} for x of shape {show(x.shape)} and kernels of "
            f"{show((problem.kh, problem.kw))}, got shape {show(weight.shape)}."
        )
    allowed = [(oc,), (*size, oc), *([size] if axes == "HW" else [])]
    if bias is not None and bias.shape not in allowed:
        known = " or ".join(map(show, allowed))
        raise ValueError(f"bias must have shape {known}, got {show(bias.shape)}.")
    return problem._replace(operator="local_conv2d")


def _copy(
    operator: str, x: Array, kernel: tuple[int, ...], geometry: tuple[Any, Any, Any], padding_mode: Any,
    fill_value: Any, data_format: Any, weight_axes: str,
) -> Problem:  # fmt: skip
    """The problem of an operator that copies pixels, so that nothing is computed, and every value is one of x's."""
    fill = read_number("fill_value", fill_value)
    stride, padding, dilation = geometry
    choose_dtypes({"x": x}, None)
    axes, _ = axes_of(x.shape, (1,) * (2 if len(x.shape) == 2 else 4), data_format, None)
    channels = dict(zip(axes, x.shape, strict=True)).get("C", 1)
    shape = (channels * kernel[0] * kernel[1], 1, *kernel)
    planar = "C" not in axes
    problem = Problem.of(
        x, Described(kernel if planar else shape, x.dtype), None, stride, padding, dilation, max(channels, 1),
        padding_mode=padding_mode, data_format=data_format, weight_format=None if planar else "OIHW",
    )  # fmt: skip
    dtype = native(x.dtype)
    return problem._replace(
        operator=operator, fill_value=fill_of(fill, problem.padding_mode, dtype), weight_axes=weight_axes,
        dtype=dtype, compute=dtype,
    )  # fmt: skip


def _axes(name: str, shape: tuple[int, ...], data_format: Any, weight_format: Any) -> tuple[str, str]:
    """The letters of an array's axes, of which C is one, and of the kernels'."""
    if len(shape) == 2:
        raise ValueError(
            f"{name} must have 4 axes, or 3 (one image), got shape {show(shape)}; one channel of one image is "
            f"{name}[None] with data_format='CHW'."
        )
    axes, weight_axes = axes_of(shape, (1,) * 4, data_format, None, name)
    if weight_format is not None:
        weight_axes = read_axes("weight_format", weight_format, "OIHW", ("OIHW",))
    return axes, weight_axes
