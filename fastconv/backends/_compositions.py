"""Operators in terms of conv2d, the rows of the table of compositions. See docs/design/0011-operators.md.

A composition is an exact rewriting of one problem: it says which problems of conv2d it comes down to, and runs their
plans on views of the operands and of the result. Nothing is padded with zeros between pixels, and what is copied is
said.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from .._axes import Axis
from .._problem import Problem
from ._convolve import Array, Plans, convolve, convolve_all, on_views
from ._phases import Phase, folded, steps


class GradInput:
    """Gradient with respect to the image: of the gradient a convolution of stride 1 for each phase, kernels turned.

    Where padding is not constant, the gradient of the padded image is taken and folded back to where its pixels came
    from.
    """

    conjugates = True

    def __init__(self, problem: Problem) -> None:
        p = self.problem = problem
        self.folds = p.padding_mode != "constant" and any((p.pt, p.pb, p.pl, p.pr))
        self.sums = p.compute if self.folds or p.bias_dtype is not None else p.dtype  # rounded once, at the end
        axes = [Axis(p.ih, p.kh, p.sh, p.dh, p.pt, p.pb, p.oh), Axis(p.iw, p.kw, p.sw, p.dw, p.pl, p.pr, p.ow)]
        self.steps = [(self._convolution(rows, columns), rows, columns) for rows, columns in steps(axes, self.folds)]
        self.problems: tuple[Problem, ...] = tuple(step[0] for step in self.steps)

    def _convolution(self, rows: Phase, columns: Phase) -> Problem:
        p = self.problem
        kh, kw = len(range(p.kh)[rows.taps]), len(range(p.kw)[columns.taps])
        ih, iw = max(rows.cut.stop - rows.cut.start, 1), max(columns.cut.stop - columns.cut.start, 1)
        return on_views(
            p, n=p.n, groups=p.groups, ic=p.oc, oc=p.ic, ih=ih, iw=iw, kh=kh, kw=kw, oh=rows.size, ow=columns.size,
            dh=p.dh // math.gcd(p.sh, p.dh), dw=p.dw // math.gcd(p.sw, p.dw), pt=rows.before, pb=rows.after,
            pl=columns.before, pr=columns.after, dtype=self.sums,
        )  # fmt: skip

    def __call__(self, plans: Plans, x: Array, weight: Any, bias: Any, out: Array, num_threads: int) -> None:
        """Write the gradient into `out`."""
        p = self.problem
        grad, result = p.nchw(x), p.nchw(out)
        kernel = _turned(p, _conjugate(weight) if self.conjugates else weight)
        in_place = not self.folds and (bias is None or out.dtype == self.sums)
        if not in_place:
            result = np.zeros(result.shape, self.sums)
        elif sum(rows.size * columns.size for _, rows, columns in self.steps) < p.ih * p.iw:
            result[...] = 0  # pixels that no tap reaches
        parts = []
        for problem, rows, columns in self.steps:
            seen = grad[:, :, rows.cut, columns.cut]
            if 0 in seen.shape:
                seen = np.zeros((p.n, p.oc, problem.ih, problem.iw), grad.dtype)
            taps = kernel[:, :, rows.taps, columns.taps][:, :, ::-1, ::-1]
            if taps.shape[2:] == (1, 1) and taps.strides[1] > taps.itemsize:
                taps = _beside(taps)
            if self.folds:
                part = np.empty((p.n, p.ic, rows.size, columns.size), p.compute)
                convolve(plans, problem, seen, taps, part, num_threads)
                part = folded(part, 2, rows.pixels, p.pt, p.ih, p.padding_mode)
                part = folded(part, 3, columns.pixels, p.pl, p.iw, p.padding_mode)
                with np.errstate(over="ignore", invalid="ignore"):
                    result += part
            else:
                parts.append((problem, seen, taps, result[:, :, rows.pixels, columns.pixels]))
        if parts:
            convolve_all(plans, parts, num_threads)
        if bias is not None or not in_place:
            with np.errstate(over="ignore", invalid="ignore"):
                if bias is not None:
                    result += bias.astype(p.compute)[:, None, None]
                if not in_place:
                    p.nchw(out)[...] = result


class Transpose(GradInput):
    """Transposed convolution: the same without conjugation."""

    conjugates = False


class GradWeight:
    """Gradient with respect to the kernels: batch and channels exchanged, the gradient a kernel, dilation as stride.

    For kernels of one pixel, images are rows of one map. Images of several groups are convolved one by one, and added.
    """

    def __init__(self, problem: Problem) -> None:
        p = self.problem = problem
        self.flat = p.kh == p.kw == 1 < p.n and not any((p.pt, p.pb, p.pl, p.pr))
        self.rows = self._axis(p.ih, p.kh, p.sh, p.dh, p.pt, p.oh)
        self.columns = self._axis(p.iw, p.kw, p.sw, p.dw, p.pl, p.ow)
        (ih, pb, kh), (iw, pr, kw) = self.rows, self.columns
        self.fits = (kh, kw) == (p.kh, p.kw)
        self.images = p.n if p.groups == 1 or self.flat else 1  # of one convolution
        self.sums = p.dtype if self.images == p.n else p.compute
        sizes: dict[str, Any] = {"n": p.ic // p.groups, "groups": p.groups, "oc": p.oc, "dtype": self.sums}
        if self.flat:
            pixels = p.oh * p.ow
            self.convolution = on_views(
                p, ic=p.groups, ih=p.n, iw=pixels, kh=p.n, kw=pixels, oh=1, ow=1, dh=1, dw=1, pt=0, pb=0, pl=0, pr=0,
                **sizes,
            )  # fmt: skip
        else:
            self.convolution = on_views(
                p, ic=p.groups * self.images, ih=ih, iw=iw, kh=p.oh, kw=p.ow, oh=kh, ow=kw, sh=p.dh, sw=p.dw, dh=p.sh,
                dw=p.sw, pt=p.pt, pb=pb, pl=p.pl, pr=pr, padding_mode=p.padding_mode,
                fill_value=p.fill_value.conjugate(), **sizes,
            )  # fmt: skip
        self.problems: tuple[Problem, ...] = (self.convolution,)

    def _axis(self, size: int, k: int, s: int, d: int, before: int, out: int) -> tuple[int, int, int]:
        """How many pixels are read, padding after them, and how many sums come out."""
        after = (out - 1) * s + (k - 1) * d + 1 - before - size
        if after < 0 and (before == 0 or self.problem.padding_mode == "constant"):
            size = max(size + after, 1)  # the last pixels, which no window reaches
        after = max(after, 0)  # where they stay, for the padding before the image, there are sums to drop
        return size, after, (size + before + after - (out - 1) * s - 1) // d + 1

    def __call__(self, plans: Plans, x: Array, weight: Any, bias: Any, out: Array, num_threads: int) -> None:
        """Write the gradient into `out`."""
        p, conv = self.problem, self.convolution
        images, grad = _conjugate(p.nchw(x)), p.nchw(weight)
        result = p.oihw(out).transpose(1, 0, 2, 3)
        in_place = self.fits and out.dtype == self.sums
        sums = result if in_place else np.empty((conv.n, conv.oc, conv.oh, conv.ow), self.sums)
        if self.flat:  # views, unless pixels are apart: then those that are read are copied
            images = images[:, :, :: p.sh, :: p.sw][:, :, : p.oh, : p.ow]
            image = images.reshape(p.n, p.groups, conv.n, -1).transpose(2, 1, 0, 3)
            kernel = grad.reshape(p.n, 1, p.oc, -1).transpose(2, 1, 0, 3)
            convolve(plans, conv, image, kernel, sums, num_threads)
        for first in range(0, 0 if self.flat else p.n, self.images):
            some = slice(first, first + self.images)
            # Channels are those of a group, and then all images.
            image = images[some, :, : conv.ih, : conv.iw].reshape(self.images, p.groups, conv.n, conv.ih, conv.iw)
            image = image.transpose(2, 1, 0, 3, 4).reshape(conv.n, conv.ic, conv.ih, conv.iw)
            part = np.empty_like(sums) if first else sums
            convolve(plans, conv, image, grad[some].transpose(1, 0, 2, 3), part, num_threads)
            if first:
                with np.errstate(over="ignore", invalid="ignore"):
                    sums += part
        if not in_place:
            with np.errstate(over="ignore", invalid="ignore"):
                result[...] = sums[:, :, : p.kh, : p.kw]


class GradBias:
    """Gradient with respect to the bias: a sum, of floats in float64."""

    def __init__(self, problem: Problem) -> None:
        self.problem = problem
        self.problems: tuple[Problem, ...] = ()

    def __call__(self, plans: Plans, x: Array, weight: Any, bias: Any, out: Array, num_threads: int) -> None:
        """Write the sums into `out`."""
        p = self.problem
        wide = p.compute if p.compute.kind in "iu" else np.result_type(p.compute, np.float64)
        with np.errstate(over="ignore", invalid="ignore"):
            out[...] = p.nchw(x).sum((0, 2, 3), dtype=wide)


def _beside(kernel: Array) -> Array:
    """A copy of kernels of one pixel with the taps of a chain side by side, as products of such kernels read them.

    Turned ones lie apart, which took those products up to 2.7 times as long. Some columns at a time: all at once took
    the copy of 512 x 1024 of them three times as long, since steps of whole pages fall into few lines of the cache.
    """
    beside = np.empty(kernel.shape, kernel.dtype)
    for first in range(0, kernel.shape[1], 32):
        beside[:, first : first + 32] = kernel[:, first : first + 32]
    return beside


def _turned(p: Problem, weight: Array) -> Array:
    """The kernels with input and output channels of each group exchanged; a copy if there are several groups."""
    kernel = p.oihw(weight)
    grouped = kernel.reshape(p.groups, p.oc // p.groups, *kernel.shape[1:]).swapaxes(1, 2)
    return grouped.reshape(p.ic, p.oc // p.groups, p.kh, p.kw)


def _conjugate(array: Array) -> Array:
    return np.conj(array) if array.dtype.kind == "c" else array
