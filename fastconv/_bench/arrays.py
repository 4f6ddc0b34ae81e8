"""How fastconv, OpenCV and SciPy are asked for a convolution, on NumPy arrays; rows of `peers` name these."""

from __future__ import annotations

import contextlib
import importlib
from typing import TYPE_CHECKING, Any

import numpy as np

from .. import plan_conv2d
from .peer import Made, UnableError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from .problems import Array, Case


# Beyond these SciPy would take about a second a call: floating-point operations, and pairs of planes, 0.1 ms each.
SLOW = {"correlate2d": 4e8, "oaconvolve": 8e9}
MANY = 5000


def fastconv(case: Case, second: Array, prepared: bool = False) -> Made:
    """Plain arrays, both with each call, or weights prepared."""
    package, operator, threads = importlib.import_module("fastconv"), case.operator, case.threads
    data_format = f"N{operator.axes}C" if case.layout == "nhwc" else f"NC{operator.axes}"
    orders = [case.order(array) for array in operator[:3]]
    stride, padding, dilation, groups = case.arguments
    b = np.ascontiguousarray(second.transpose(orders[1]))
    plan = plan_conv2d(b, None, *case.arguments, data_format=data_format) if prepared else None
    function, third = getattr(package, case.layer.operator), None
    if "_grad_" in case.layer.operator:  # these get the shape of their result where the others get a bias
        third = tuple(case.shapes[operator.result][i] for i in orders[2])

    def feed(first: Array) -> Any:
        a = np.ascontiguousarray(first.transpose(orders[0]))
        if plan is not None:
            return lambda: plan(a, num_threads=threads)
        return lambda: function(
            a, b, third, stride, padding, dilation, groups, data_format=data_format, num_threads=threads
        )

    return Made(feed, lambda result: np.asarray(result.transpose(np.argsort(orders[2]))))


@contextlib.contextmanager
def opencv_limited(threads: int) -> Iterator[None]:
    """Set OpenCV's number of threads, and put it back."""
    cv2 = importlib.import_module("cv2")
    before = cv2.getNumThreads()
    cv2.setNumThreads(threads)
    try:
        yield
    finally:
        cv2.setNumThreads(before)


def opencv(case: Case, weight: Array) -> Made:
    """filter2D on each plane, or on whole pixels where all channels have one kernel."""
    cv2, layer = importlib.import_module("cv2"), case.layer
    if layer.ic != layer.groups or layer.oc != layer.ic:
        raise UnableError("filter2D has one kernel for each plane")
    if layer.stride > 1 or layer.dilation > 1 or layer.k % 2 == 0 or layer.padding != layer.k // 2:
        raise UnableError("filter2D has no stride, no dilation and one size of result")
    filter2d, border = cv2.filter2D, cv2.BORDER_CONSTANT
    depth = {"float32": cv2.CV_32F, "float64": cv2.CV_64F}[case.dtype] if layer.bytes else -1

    if layer.pixels:

        def feed_pixels(x: Array) -> Any:
            images, kernel = np.ascontiguousarray(x.transpose(0, 2, 3, 1)), weight[0, 0]
            return lambda: [filter2d(image, depth, kernel, borderType=border) for image in images]

        return Made(feed_pixels, lambda images: np.stack(images).transpose(0, 3, 1, 2))

    def feed(x: Array) -> Any:
        pairs = [(plane, kernel) for image in x for plane, (kernel,) in zip(image, weight, strict=True)]
        return lambda: [filter2d(plane, depth, kernel, borderType=border) for plane, kernel in pairs]

    return Made(feed, lambda planes: np.reshape(planes, (case.batch, layer.oc, *planes[0].shape)))


def scipy_limited(threads: int) -> Any:
    """Set the threads of SciPy's FFTs; the rest of it has one."""
    return importlib.import_module("scipy.fft").set_workers(threads)


def scipy(case: Case, weight: Array, function: str) -> Made:
    """A two-dimensional correlation of each plane, summed over planes and stepped through."""
    signal, layer, side = importlib.import_module("scipy.signal"), case.layer, case.layer.padding
    if layer.groups not in (1, layer.ic) or layer.dilation > 1:
        raise UnableError("SciPy has no dilation and no groups")
    if case.flop > SLOW[function] or case.batch * weight.shape[0] * weight.shape[1] > MANY:
        raise UnableError("it would take about a second a call")
    correlate = getattr(signal, function)
    kernels = weight[..., ::-1, ::-1] if function == "oaconvolve" else weight
    depthwise, each = layer.groups > 1, layer.oc // layer.groups

    def feed(x: Array) -> Any:
        padded = np.pad(x, ((0, 0), (0, 0), (side, side), (side, side)))

        def one(image: Array, o: int) -> Array:
            planes = image[o // each : o // each + 1] if depthwise else image
            total: Array = sum(correlate(p, k, mode="valid") for p, k in zip(planes, kernels[o], strict=True))
            return total[:: layer.stride, :: layer.stride]

        return lambda: np.array([[one(image, o) for o in range(layer.oc)] for image in padded])

    return Made(feed)
