"""conv_transpose3d in terms of conv3d, whose slices are computed by conv2d. See docs/design/0013-three-axes.md."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from .._axes import Axis
from .._problem import Problem
from ._convolve import Plans
from ._phases import Phase, folded, steps
from ._slices import Slices

Array = np.ndarray[Any, Any]


class Transpose:
    """A convolution of stride 1 for each phase of each axis, padding folded back: `GradInput` with depth."""

    def __init__(self, problem: Problem) -> None:
        p, d = problem, problem.depth
        self.problem = p
        axes = [d, Axis(p.ih, p.kh, p.sh, p.dh, p.pt, p.pb, p.oh), Axis(p.iw, p.kw, p.sw, p.dw, p.pl, p.pr, p.ow)]
        self.axes = axes
        self.folds = p.padding_mode != "constant" and any(a.before or a.after for a in axes)
        self.sums = p.compute if self.folds or p.bias_dtype is not None else p.dtype  # rounded once, at the end
        self.steps = [(self._convolution(each), each) for each in steps(axes, self.folds)]
        self.problems: tuple[Problem, ...] = tuple({one for step, _ in self.steps for one in step.problems})
        self.calls = sum(step.calls for step, _ in self.steps)

    def _convolution(self, each: tuple[Phase, ...]) -> Slices:
        p = self.problem
        d, h, w = (
            Axis(
                max(phase.cut.stop - phase.cut.start, 1), len(range(axis.k)[phase.taps]), 1,
                axis.d // math.gcd(axis.s, axis.d), phase.before, phase.after, phase.size,
            )
            for axis, phase in zip(self.axes, each, strict=True)
        )  # fmt: skip
        return Slices(
            p._replace(
                ic=p.oc, oc=p.ic, depth=d, ih=h.size, kh=h.k, sh=1, dh=h.d, pt=h.before, pb=h.after, oh=h.out,
                iw=w.size, kw=w.k, sw=1, dw=w.d, pl=w.before, pr=w.after, ow=w.out, dtype=self.sums, bias_dtype=None,
                padding_mode="constant", flip=False, operator="conv3d",
            )
        )  # fmt: skip

    def __call__(self, plans: Plans, x: Array, weight: Any, bias: Any, out: Array, num_threads: int) -> None:
        """Write the result into `out`."""
        p = self.problem
        grad, result, kernel = p.ncdhw(x), p.ncdhw(out), p.oidhw(weight)
        kernel = kernel.reshape(p.groups, p.oc // p.groups, *kernel.shape[1:]).swapaxes(1, 2)
        kernel = kernel.reshape(p.ic, p.oc // p.groups, *kernel.shape[3:])
        in_place = not self.folds and (bias is None or out.dtype == self.sums)
        sizes = [axis.size for axis in self.axes]
        if not in_place:
            result = np.zeros(result.shape, self.sums)
        elif sum(math.prod(phase.size for phase in each) for _, each in self.steps) < math.prod(sizes):
            result[...] = 0  # voxels that no tap reaches
        for convolution, each in self.steps:
            seen = grad[:, :, each[0].cut, each[1].cut, each[2].cut]
            if 0 in seen.shape:
                c = convolution.problem
                seen = np.zeros((p.n, p.oc, c.depth.size, c.ih, c.iw), grad.dtype)
            taps = kernel[:, :, each[0].taps, each[1].taps, each[2].taps][:, :, ::-1, ::-1, ::-1]
            if self.folds:
                part = np.empty((p.n, p.ic, *(phase.size for phase in each)), self.sums)
                convolution.run(plans, seen, taps, None, part, num_threads)
                for i, (phase, axis) in enumerate(zip(each, self.axes, strict=True)):
                    part = folded(part, 2 + i, phase.pixels, axis.before, axis.size, p.padding_mode)
                with np.errstate(over="ignore", invalid="ignore"):
                    result += part
            else:
                written = result[:, :, each[0].pixels, each[1].pixels, each[2].pixels]
                convolution.run(plans, seen, taps, None, written, num_threads)
        with np.errstate(over="ignore", invalid="ignore"):
            if bias is not None:
                result += bias.astype(p.compute)[:, None, None, None]
            if not in_place:
                p.ncdhw(out)[...] = result
