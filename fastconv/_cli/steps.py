"""One step of ``fastconv demo``: a call of conv2d, timed, and the same by SciPy, timed and compared."""

from __future__ import annotations

import math
import time
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from scipy import ndimage, signal

from .._api import conv2d

if TYPE_CHECKING:
    from collections.abc import Callable

Array = np.ndarray[Any, Any]

TOLERANCE = 1e-4  # of the largest magnitude, or of 1: float32 on both sides
REPEATS, SECONDS = 7, 0.25  # a call is timed until either is reached, and the best counts


class Step(NamedTuple):
    """One call of conv2d: NCHW with OIHW, or NHWC with HWIO; same size (by `stride`), reflected at the border."""

    title: str
    x: Array
    weight: Array
    bias: Array | None = None
    stride: int = 1
    dilation: int = 1
    flip: bool = False
    data_format: str = "NCHW"
    scipy: str = "ndimage.correlate"


class Timed(NamedTuple):
    """A step that ran, with milliseconds on all threads, on one thread, and of SciPy, which has one."""

    step: Step
    y: Array
    ms: float
    ms_one: float
    ms_scipy: float
    difference: float

    @property
    def agrees(self) -> bool:
        """Whether the result is SciPy's up to rounding."""
        return self.difference <= TOLERANCE * max(1.0, float(np.abs(self.y).max()))


def run(step: Step) -> Timed:
    """Compute a step both ways."""
    y = compute(step)
    ms, ms_one = _best(step, None), _best(step, 1)
    x, weight = _for_scipy(step)
    start = time.perf_counter()
    expected = SCIPY[step.scipy](x, weight)[..., :: step.stride, :: step.stride]
    if step.bias is not None:
        expected = expected + step.bias[:, None, None]
    ms_scipy = (time.perf_counter() - start) * 1e3
    if step.data_format == "NHWC":
        expected = expected.transpose(0, 2, 3, 1)
    return Timed(step, y, ms, ms_one, ms_scipy, float(np.abs(y - expected).max()))


def compute(step: Step, num_threads: int | None = None) -> Array:
    """Call conv2d."""
    sizes = step.weight.shape[:2] if step.data_format == "NHWC" else step.weight.shape[2:]
    return conv2d(
        step.x, step.weight, step.bias, step.stride, tuple(step.dilation * (k // 2) for k in sizes), step.dilation,
        padding_mode="reflect", flip=step.flip, data_format=step.data_format, num_threads=num_threads,
    )  # fmt: skip


def _best(step: Step, num_threads: int | None) -> float:
    best, deadline = math.inf, time.perf_counter() + SECONDS
    for _ in range(REPEATS):
        start = time.perf_counter()
        compute(step, num_threads)
        end = time.perf_counter()
        best = min(best, end - start)
        if end > deadline:
            break
    return best * 1e3


def _for_scipy(step: Step) -> tuple[Array, Array]:
    """NCHW and OIHW, contiguous; the kernel flipped, and spread out with zeros, as SciPy has no option for either."""
    x, weight = step.x, step.weight
    if step.data_format == "NHWC":
        x, weight = np.ascontiguousarray(x.transpose(0, 3, 1, 2)), weight.transpose(3, 2, 0, 1)
    if step.flip:
        weight = weight[..., ::-1, ::-1]
    *outer, kh, kw = weight.shape
    spread = np.zeros((*outer, step.dilation * (kh - 1) + 1, step.dilation * (kw - 1) + 1), np.float32)
    spread[..., :: step.dilation, :: step.dilation] = weight
    return x, spread


def _ndimage(x: Array, weight: Array) -> Array:
    """Plane by plane, summed over the input channels; NumPy's "reflect" is its "mirror"."""
    y = np.zeros((len(x), len(weight), *x.shape[2:]), np.float32)
    plane = np.empty_like(y[0, 0])
    for n, o, c in np.ndindex(len(x), len(weight), weight.shape[1]):
        if weight[o, c].any():
            ndimage.correlate(x[n, c], weight[o, c], output=plane, mode="mirror")
            y[n, o] += plane
    return y


def _oaconvolve(x: Array, weight: Array) -> Array:
    """By FFT, on the padded image."""
    padded = np.pad(x, [(0, 0), (0, 0), *((side // 2, side // 2) for side in weight.shape[2:])], mode="reflect")
    flipped = weight[..., ::-1, ::-1]
    planes = [signal.oaconvolve(padded, kernel[None], mode="valid", axes=(2, 3)).sum(axis=1) for kernel in flipped]
    return np.stack(planes, axis=1)


SCIPY: dict[str, Callable[[Array, Array], Array]] = {
    "ndimage.correlate": _ndimage,
    "signal.oaconvolve": _oaconvolve,  # the faster one where the kernel is large and there is one channel
}
