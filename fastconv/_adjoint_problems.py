"""Gradients and transposes: their arguments checked, as a `Problem` of the convolution that each belongs to.

The convolution's own checks say what is wrong with sizes, strides and padding; here is what an operator has besides.
"""

from __future__ import annotations

import functools
import math
from typing import Any

import numpy as np

from ._arguments import LIMIT, LINE, PLANE, VOLUME, Space, clip, read_each, read_integer, read_padding, show
from ._axes import axes_of, refuse
from ._dtypes import choose_dtypes, native
from ._problem import Described, Problem, check_shape

Array = np.ndarray[Any, Any] | Described


def grad_input(grad: Array, weight: Array, x_shape: Any, *geometry: Any, dtype: Any = None, **options: Any) -> Problem:
    """Return the problem of the gradient with respect to the image."""
    choose_dtypes({"grad": grad, "weight": weight}, dtype)
    x = Described(check_shape("x_shape", x_shape).shape, grad.dtype)
    problem = Problem.of(x, weight, None, *geometry, dtype=dtype, **options)
    return _of_grad(problem._replace(operator="conv2d_grad_input", fill_value=0), grad)


def grad_weight(x: Array, grad: Array, weight_shape: Any, *geometry: Any, dtype: Any = None, **options: Any) -> Problem:
    """Return the problem of the gradient with respect to the kernels."""
    choose_dtypes({"x": x, "grad": grad}, dtype)
    weight = Described(check_shape("weight_shape", weight_shape).shape, grad.dtype)
    problem = Problem.of(x, weight, None, *geometry, dtype=dtype, **options)
    return _of_grad(problem._replace(operator="conv2d_grad_weight"), grad)


def grad_bias(grad: Array, *_: Any, data_format: Any = "NCHW", dtype: Any = None) -> Problem:
    """Return the problem of the gradient with respect to the bias."""
    choose_dtypes({"grad": grad}, dtype)
    # It is the result of a convolution of one channel with kernels of one pixel, as of any other.
    planar = len(grad.shape) == 2
    axes, _weight_axes = axes_of(grad.shape, (1,) * (2 if planar else 4), data_format, None, "grad")
    sizes = dict(zip(axes, grad.shape, strict=True))
    x = Described(tuple(1 if letter == "C" else size for letter, size in sizes.items()), grad.dtype)
    kernel = {"O": sizes.get("C", 1), "I": 1, "H": 1, "W": 1}
    weight = Described((1, 1) if planar else tuple(kernel.values()), grad.dtype)
    problem = Problem.of(x, weight, data_format=data_format, weight_format=None if planar else "OIHW", dtype=dtype)
    return problem._replace(operator="conv2d_grad_bias")


def transpose(
    x: Array,
    weight: Array,
    bias: Array | None,
    stride: Any = 1,
    padding: Any = 0,
    dilation: Any = 1,
    *groups: Any,
    output_padding: Any = 0,
    output_shape: Any = None,
    data_format: Any = "NCHW",
    weight_format: Any = None,
    dtype: Any = None,
    space: Space = PLANE,
    **options: Any,
) -> Problem:
    """Return the problem of a transposed convolution."""
    choose_dtypes({"x": x, "weight": weight, "bias": bias}, dtype)
    strides, dilations = read_each("stride", stride, 1, space), read_each("dilation", dilation, 1, space)
    extra, pads = read_each("output_padding", output_padding, 0, space), read_padding(padding, space)
    axes, weight_axes = axes_of(x.shape, weight.shape, data_format, weight_format, "x", space)
    sizes = {"N": 1, "C": 1} | dict(zip(axes, x.shape, strict=True))
    kernel = {"O": 1, "I": 1} | dict(zip(weight_axes, weight.shape, strict=True))
    many = read_integer("groups", groups[0] if groups else 1, 1)
    shapes = f"x {show(x.shape)} {axes}, weight {show(weight.shape)} {weight_axes}"
    if sizes["C"] == 0:
        refuse("x has an empty axis C; only N may be empty", shapes)
    for letter, size in kernel.items():
        if size == 0:
            refuse(f"weight has an empty axis {letter}, and only N of x may be empty", shapes)
    if kernel["O"] % many:
        refuse(f"groups={show(many)} does not divide weight's {kernel['O']} kernels; expected a divisor", shapes)
    image = {"N": sizes["N"], "C": kernel["I"] * many}
    if output_shape is not None:
        if any(extra):
            raise ValueError(f"output_padding={show(output_padding)} has no meaning with output_shape; leave one out.")
        image |= zip(space.letters, read_each("output_shape", output_shape, 1, space), strict=True)
    else:
        for i, letter in enumerate(space.letters):
            reach = (kernel[letter] - 1) * dilations[i] + 1
            image[letter] = (sizes[letter] - 1) * strides[i] + reach - _pixels(pads, i, reach, space) + extra[i]
            if extra[i] >= strides[i]:
                raise ValueError(
                    f"output_padding must be less than the stride, {show(strides)}, got {show(output_padding)}."
                )
            if image[letter] < 1:
                raise ValueError(
                    f"the result would have {image[letter]} pixels along {letter}, since padding cuts off all of it; "
                    f"use less padding, or output_shape (x {show(x.shape)} {axes}, weight {show(weight.shape)})."
                )
    described = Described(tuple(image[letter] for letter in axes), x.dtype)
    problem = Problem.of(
        described, weight, None, stride, padding, dilation, *groups, data_format=data_format,
        weight_format=weight_format, dtype=dtype, space=space, **options,
    )  # fmt: skip
    compute, result = choose_dtypes({"x": x, "weight": weight, "bias": bias}, dtype)
    if bias is not None and bias.shape != (problem.ic,):
        raise ValueError(
            f"bias must have shape ({problem.ic},), one value for each output channel, got {show(bias.shape)}."
        )
    problem = problem._replace(
        operator="conv_transpose3d" if space is VOLUME else "conv_transpose2d", fill_value=0, dtype=result,
        compute=compute, bias_dtype=None if bias is None else native(bias.dtype),
    )  # fmt: skip
    return _of_grad(problem, x, "x")


transpose1d = functools.partial(transpose, data_format="NCW", space=LINE)
transpose3d = functools.partial(transpose, data_format="NCDHW", space=VOLUME)


def _pixels(pads: Any, axis: int, reach: int, space: Space) -> int:
    """Pixels that padding adds along an axis of the convolution's image."""
    if pads in ("same", "same_lower"):
        raise ValueError(
            f"padding={pads!r} depends on the size of the result; say which it is with output_shape: an int or "
            f"{space.each}."
        )
    return {"valid": 0, "full": 2 * (reach - 1)}[pads] if isinstance(pads, str) else sum(pads[axis])


def _of_grad(problem: Problem, grad: Array, name: str = "grad") -> Problem:
    """The problem, if `grad` has the shape of the convolution's result."""
    if grad.shape != problem.shape_of("y"):
        raise ValueError(
            clip(
                f"{name} must have shape {show(problem.shape_of('y'))}, that of the result of the convolution of an "
                f"image of shape {show(problem.shape_of('x'))} {problem.x_axes} and weight of shape "
                f"{show(problem.shape_of('weight'))} {problem.weight_axes}, got {show(grad.shape)}.",
                500,
            )
        )
    p = problem
    for size, k, d in ((p.depth.size, p.depth.k, p.depth.d), (p.ih, p.kh, p.dh), (p.iw, p.kw, p.dw)):
        if size + (k - 1) * d > LIMIT:  # what composes it moves the kernel over all of the image's pixels
            raise ValueError(
                f"the kernel reaches over {show((k - 1) * d + 1)} pixels (size {k}, dilation {show(d)}), which with "
                f"{show(size)} of the image are more than 2**63 - 1; use a smaller dilation."
            )
    shape = problem.out_shape
    if math.prod(shape) * max(problem.dtype.itemsize, problem.compute.itemsize) > LIMIT:
        raise ValueError(f"the result would have shape {show(shape)} and dtype {problem.dtype}, more than 2**63 bytes.")
    return problem
