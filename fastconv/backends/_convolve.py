"""What compositions share: problems of conv2d on views of operands, and running them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from .._arguments import kind_of
from .._errors import BackendResultError
from .._problem import Problem

Array = np.ndarray[Any, Any]
Plans = Mapping[Problem, Callable[..., Any]]


def on_views(p: Problem, **changes: Any) -> Problem:
    """Return a problem of conv2d on views, C last where `p` has it last; what is not named is as simple as can be."""
    simple: dict[str, Any] = {"sh": 1, "sw": 1, "padding_mode": "constant", "fill_value": 0, "flip": False}
    axes = "NHWC" if p.x_axes.endswith("C") else "NCHW"
    simple |= {"x_axes": axes, "weight_axes": "OIHW", "bias_dtype": None, "operator": "conv2d"}
    return p._replace(**(simple | changes))


def convolve_all(plans: Plans, parts: list[tuple[Problem, Array, Array, Array]], num_threads: int) -> None:
    """Run several convolutions, each a problem, image, kernel and result as for `convolve`, at once if the backend can.

    Results share no elements with each other, nor with an image or a kernel.
    """
    together = getattr(plans[parts[0][0]], "together", None) if len(parts) > 1 else None
    if together is not None:
        operands = []
        for problem, image, kernel, result in parts:
            operands.append((_in_order(image, problem.x_axes), kernel, _in_order(result, problem.x_axes)))
        if together([plans[problem] for problem, *_ in parts], operands, num_threads):
            return
    for problem, image, kernel, result in parts:
        convolve(plans, problem, image, kernel, result, num_threads)


def convolve(
    plans: Plans,
    problem: Problem,
    image: Array,
    kernel: Array,
    result: Array,
    num_threads: int,
    bias: Any = None,
    shared: dict[Any, Any] | None = None,
) -> None:
    """Run the plan of a convolution on views with the axes N, C, H, W and O, I, H, W.

    `shared` is for what plans make of a kernel that several are run with.
    """
    plan = plans[problem]
    packed = () if shared is None or not hasattr(plan, "pack") else (plan.pack(kernel, shared, num_threads),)
    written = _in_order(result, problem.x_axes)
    given = plan(_in_order(image, problem.x_axes), kernel, bias, written, num_threads, *packed)
    if given is not written:
        if type(given) is not np.ndarray or given.shape != written.shape or given.dtype != problem.dtype:
            raise BackendResultError(
                f"conv2d of the backend returned {kind_of(given)} that is not its result, as a part of this."
            )
        written[...] = given


def _in_order(array: Array, axes: str) -> Array:
    """An array with the axes N, C, H, W in the order of a problem of `on_views`."""
    return array if axes == "NCHW" else array.transpose(["NCHW".index(letter) for letter in axes])
