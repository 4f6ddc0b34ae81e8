"""local_conv2d in terms of conv2d: strips of outputs, each output a group of its own.

Every weight is used once for an image, so reading the weights is what it costs. They are read where they lie, in strips
that stay in a core's cache, with what their windows see gathered beside them (docs/design/0011-operators.md).
"""

from __future__ import annotations

from typing import Any

import numpy as np

from .._problem import Problem
from ._convolve import Plans, convolve, on_views
from ._windows import Unfold

Array = np.ndarray[Any, Any]

STRIP_BYTES = 1 << 20  # of weights and pixels; 8 MiB take a quarter longer where weights have to be copied
BLOCK = 32  # input channels over which `direct` sums first, before the next tap (FC_CHANNEL_BLOCK)


class Local:
    """Outputs as groups, their windows side by side; the images beside one another, so that weights are read once.

    Or, where that would copy the weights, the two change places: for HWIO the weights of an output are an image of one
    row, whose channels are the taps and whose pixels are the output channels, and what the window sees is its kernel.
    The sums are the same chains, as long as one block of channels holds all.
    """

    def __init__(self, problem: Problem) -> None:
        p = self.problem = problem
        self.unfold = Unfold(p)
        self.turned = p.weight_axes == "HWIO" and p.groups == 1 and p.ic <= BLOCK and p.oc > 3 and not p.flip
        letters = p.weight_axes if "O" in p.weight_axes else "O" + p.weight_axes
        last = letters.index("O") + 2  # of axes to be one: OH, OW and O; a view where O stands first, as in OIHW
        axes = range(2, 2 + len(p.weight_axes))
        self.order = [*(axis for axis in axes if axis < last), 0, 1, *(axis for axis in axes if axis >= last)]
        self.sums = p.dtype if p.bias_dtype is None else p.compute  # rounded once, after the bias
        pixel = p.kh * p.kw * p.compute.itemsize * (p.oc * p.ic // p.groups + p.n * p.ic)
        pixels = max(STRIP_BYTES // max(pixel, 1), 1)
        self.height, self.width = max(min(pixels // p.ow, p.oh), 1), min(pixels, p.ow)
        heights = dict.fromkeys((self.height, p.oh % self.height or self.height))
        widths = dict.fromkeys((self.width, p.ow % self.width or self.width))
        self.of_pixels = {h * w: self._convolution(h * w) for h in heights for w in widths}
        self.problems: tuple[Problem, ...] = tuple(self.of_pixels.values())

    def _convolution(self, pixels: int) -> Problem:
        p = self.problem
        common = {"n": 1, "oh": 1, "dh": 1, "dw": 1, "pt": 0, "pb": 0, "pl": 0, "pr": 0, "dtype": self.sums}
        if self.turned:
            return on_views(
                p, **common, groups=pixels, ic=pixels * p.ic * p.kh * p.kw, ih=1, iw=p.oc, oc=pixels * p.n, kh=1, kw=1,
                ow=p.oc, x_dtype=p.weight_dtype, weight_dtype=p.compute, x_axes="NCHW",
            )  # fmt: skip
        # One row of outputs has no use for a vertical stride; with 3 the fast algorithms decline, which might otherwise
        # be chosen by the number of images, of which bits must not depend.
        return on_views(
            p, **common, groups=pixels * p.groups, ic=pixels * p.ic, ih=p.kh, iw=p.n * p.kw, oc=pixels * p.oc, ow=p.n,
            sh=1 if p.kh == p.kw == 1 else 3, sw=p.kw, flip=p.flip, x_dtype=p.compute, x_axes="NHWC",
            weight_axes=p.weight_axes if len(p.weight_axes) == 4 else "OIHW",
        )  # fmt: skip

    def __call__(self, plans: Plans, x: Array, weight: Any, bias: Any, out: Array, num_threads: int) -> None:
        """Write the result into `out`."""
        p = self.problem
        seen = self._seen(self._padded(p.nchw(x)))
        result = p.nchw(out).transpose(2, 3, 0, 1)
        if bias is not None:  # OH, OW, N, O
            bias = bias.astype(p.compute)
            bias = bias.reshape(*((p.oh, p.ow) if bias.ndim > 1 else (1, 1)), 1, p.oc)
            bias = np.broadcast_to(bias, (p.oh, p.ow, 1, p.oc))
        for top in range(0, p.oh, self.height):
            for left in range(0, p.ow, self.width):
                strip = slice(top, min(top + self.height, p.oh)), slice(left, min(left + self.width, p.ow))
                sums = self.convolve(plans, seen[:, :, :, strip[0], strip[1]], weight[strip], num_threads)
                with np.errstate(over="ignore", invalid="ignore"):
                    result[strip] = sums if bias is None else sums + bias[strip]

    def convolve(self, plans: Plans, seen: Array, weight: Array, num_threads: int) -> Array:
        """The sums of a strip, as OH, OW, N, O."""
        p, (h, w) = self.problem, weight.shape[:2]
        problem = self.of_pixels[h * w]
        if self.turned:
            kernel = seen.transpose(3, 4, 0, 1, 2, 5).reshape(h * w * p.n, -1, 1, 1)
            result = np.empty((1, h * w * p.n, 1, p.oc), self.sums)
            convolve(plans, problem, weight.reshape(1, -1, 1, p.oc), kernel, result, num_threads)
            return result.reshape(h, w, p.n, p.oc)
        image = seen.transpose(1, 0, 2, 3, 4, 5).reshape(1, p.kh, p.n * p.kw, h * w * p.ic)
        sizes = {"O": h * w * p.oc, "I": p.ic // p.groups, "H": p.kh, "W": p.kw}
        kernel = weight.transpose(self.order).reshape([sizes[letter] for letter in problem.weight_axes])
        result = np.empty((1, 1, p.n, h * w * p.oc), self.sums)
        convolve(plans, problem, image.transpose(0, 3, 1, 2), kernel, result.transpose(0, 3, 1, 2), num_threads)
        return result.reshape(p.n, h, w, p.oc).transpose(1, 2, 0, 3)

    def _padded(self, image: Array) -> Array:
        """The image as N, H, W, C in the arithmetic's dtype and padded: the image itself if it is that."""
        p, rows, columns = self.problem, self.unfold.rows, self.unfold.columns
        if not rows.outside and not columns.outside and p.x_axes.endswith("C") and image.dtype == p.compute:
            return image[:, :, rows.seen][..., columns.seen].transpose(0, 2, 3, 1)
        padded = np.empty((p.n, rows.size, columns.size, p.ic), p.compute)
        self.unfold.extend(image, padded.transpose(0, 3, 1, 2))
        return padded

    def _seen(self, padded: Array) -> Array:
        """What the windows see, as N, kh, kw, OH, OW, C: a view, unless padding is far away."""
        p, rows, columns = self.problem, self.unfold.rows, self.unfold.columns
        if rows.in_a_row and columns.in_a_row:
            windows = np.lib.stride_tricks.sliding_window_view(padded, (rows.reach, columns.reach), (1, 2))
            return windows[:, :: p.sh, :: p.sw, :, :: p.dh, :: p.dw].transpose(0, 4, 5, 1, 2, 3)
        above, left = (np.array([np.r_[tap] for tap in axis.taps]) for axis in (rows, columns))
        return padded[:, above[:, None, :, None], left[:, None]]
