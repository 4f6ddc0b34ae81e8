"""conv3d in terms of conv2d: slice by slice. See docs/design/0013-three-axes.md.

A slice of conv3d's result is a convolution of the slices that its kernel meets: conv2d, whose input channels are pairs
of a tap in depth and a channel, depth first. The slices of a result are the batch of that conv2d. It reads the image
in place where one stride leads through its channels; else slices are copied beside each other first, each once for all
the windows that overlap there.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
from numpy.lib.stride_tricks import as_strided

from .._axes import Axis
from .._problem import POINT, Problem
from ._convolve import Plans, convolve
from .reference import extend

Array = np.ndarray[Any, Any]

# Bytes of slices that are copied at a time: that is what the next cache holds, and 32 MiB took a fourth longer for
# groups; more where these are the windows of fewer than FEWEST outputs, each of which would begin with copies anew.
BYTES, FEWEST, MOST_BYTES = 4 << 20, 4, 32 << 20


class Copy(NamedTuple):
    """Slices that are copied at a time."""

    window: int
    slots: slice  # of the window, whither
    read: slice | None  # of the image, an ascending run; None is padding


class Step(NamedTuple):
    """Slices of the result, and the windows of slices of the image that they are made of."""

    outputs: slice
    windows: int
    apart: int  # the next window begins so many slices after this one, and ends after it
    slots: int  # slices of all windows, those that they share once
    first: int  # where the first of them is in the image
    inside: bool  # whether all are in it
    copies: tuple[Copy, ...]  # where they are not read in place


class Slices:
    """conv3d. Where the kernel has a depth and no height, rows are taken for slices, and slices for rows."""

    def __init__(self, problem: Problem) -> None:
        p = self.problem = problem
        rows = Axis(p.ih, p.kh, p.sh, p.dh, p.pt, p.pb, p.oh)
        self.turned = p.depth.k > 1 and p.kh == 1
        self.axis, rows = (rows, p.depth) if self.turned else (p.depth, rows)
        self.by_image = p.n <= self.axis.out  # the batch is slices of an image; else images, slice by slice
        # Slices of one channel a group are copied as planes: with channels last no row is quick for a few of a group.
        beside = p.x_axes.endswith("C") and (self.axis.k == 1 or p.ic > p.groups or p.ic == 1)
        self.convolution = p._replace(
            n=0, ic=self.axis.k * p.ic, ih=rows.size, kh=rows.k, sh=rows.s, dh=rows.d, pt=rows.before, pb=rows.after,
            oh=rows.out, flip=False, x_axes="NHWC" if beside else "NCHW", weight_axes="OIHW",
            x_dtype=p.compute, weight_dtype=p.compute, operator="conv2d", depth=POINT,
        )  # fmt: skip
        self.slice_bytes = p.ic * rows.size * p.iw * p.compute.itemsize
        self.images = list(_pieces(p.n, 1 if self.by_image else self._most(self.axis.k)))
        self.steps = list(self._steps())
        self.calls = len(self.images) * len(self.steps)
        batches = {step.windows for step in self.steps} if self.by_image else {len(range(p.n)[i]) for i in self.images}
        self.problems: tuple[Problem, ...] = tuple(self.convolution._replace(n=n) for n in sorted(batches))

    def _steps(self) -> Iterator[Step]:
        """Windows of outputs `turns` apart overlap in slices one dilation apart, if they do."""
        a = self.axis
        common = math.gcd(a.s, a.d)
        turns, s = a.d // common, a.s // common
        apart = min(s, a.k) if self.problem.groups == 1 else a.k  # each group of a window has its slices together
        most = self._most(apart) if self.by_image else 1
        for first in range(min(turns, a.out)):
            for piece in _pieces(len(range(first, a.out, turns)), most):
                count = piece.stop - piece.start
                slots = np.arange((count - 1) * apart + a.k)
                window = np.minimum(slots // apart, count - 1)
                start, stop = first + piece.start * turns, first + (piece.stop - 1) * turns + 1
                reads = start * a.s - a.before + a.d * (window * s + slots - window * apart)
                inside = bool(reads.min() >= 0 and reads.max() < a.size)
                copies = tuple(self._copies(reads, len(reads) if self.problem.groups == 1 else a.k))
                yield Step(slice(start, stop, turns), count, apart, len(reads), int(reads[0]), inside, copies)

    def _copies(self, reads: Array, together: int) -> Iterator[Copy]:
        """Slices in as few copies as can be, those of a window (`together` of them) for themselves."""
        inside, places = extend(reads, self.axis.size, self.problem.padding_mode)
        at: list[int] = np.where(inside, places, -1).tolist()
        for window in range(0, len(at), together):
            start, end = window, window + together
            while start < end:
                stop, padding = start + 1, at[start] < 0
                step = at[stop] - at[start] if stop < end and not padding else 0
                while (step > 0 or padding) and stop < end and at[stop] == at[stop - 1] + step:
                    stop += 1
                read = None if padding else slice(at[start], at[stop - 1] + 1, max(step, 1))
                yield Copy(window // together, slice(start - window, stop - window), read)
                start = stop

    def _most(self, apart: int) -> int:
        """How many windows are copied at a time."""
        fits = [(size // self.slice_bytes - self.axis.k) // apart + 1 for size in (BYTES, MOST_BYTES)]
        return max(fits[0], min(fits[1], FEWEST), 1)

    def __call__(self, plans: Plans, x: Array, weight: Any, bias: Any, out: Array, num_threads: int) -> None:
        """Write the result into `out`."""
        p = self.problem
        self.run(plans, p.ncdhw(x), p.oidhw(weight), bias, p.ncdhw(out), num_threads)

    def run(self, plans: Plans, x: Array, weight: Array, bias: Any, result: Array, num_threads: int) -> None:
        """Write the result, of views with the axes N, C, D, H, W and O, I, D, H, W."""
        if self.turned:
            x, weight, result = x.swapaxes(2, 3), weight.swapaxes(2, 3), result.swapaxes(2, 3)
        kernel = weight.swapaxes(1, 2).reshape(weight.shape[0], -1, *weight.shape[3:])
        kernel = kernel.astype(self.problem.compute, copy=False)
        shared: dict[Any, Any] | None = {} if self.calls > 1 else None
        room = None
        for images, step in itertools.product(self.images, self.steps):
            seen = self._in_place(x[images], step)
            if seen is None:
                room = self._room(x.shape) if room is None else room
                seen = self._copied(x[images], step, room)
            written = result[images, :, step.outputs]
            written = written[0].swapaxes(0, 1) if self.by_image else written[:, :, 0]
            convolve(plans, self.convolution._replace(n=len(written)), seen, kernel, written, num_threads, bias, shared)

    def _in_place(self, x: Array, step: Step) -> Array | None:
        """The windows as a view of the image, if there is one that needs no conversion."""
        a, c = self.axis, x.shape[1]
        sn, sc, sd, *strides = x.strides
        single = a.k == 1 or (self.problem.groups == 1 and (c == 1 or a.d * sd == c * sc))
        if not single or not step.inside or x.dtype != self.problem.compute or not x.flags.aligned:
            return None
        apart = step.outputs.step * a.s * sd if step.windows > 1 else 0  # else the stride may exceed 64 bits
        batch = (step.windows, apart) if self.by_image else (len(x), sn)
        channels = (a.k * c, a.d * sd if a.k > 1 and c == 1 else sc)
        return _view(x[:, :, step.first :], batch, channels, *zip(x.shape[3:], strides, strict=True))

    def _room(self, shape: tuple[int, ...]) -> Array:
        """Memory for the slices of one step, with the axes batch, groups, slices, channels of a group, H, W."""
        p, k = self.problem, self.axis.k
        _, c, _, h, w = shape
        if not self.by_image:
            sizes = (max(len(range(p.n)[images]) for images in self.images), p.groups, k)
        elif p.groups == 1:
            sizes = (1, 1, max(step.slots for step in self.steps))
        else:
            sizes = (max(step.windows for step in self.steps), p.groups, k)
        n, groups, slices, c = *sizes, c // p.groups
        if self.convolution.x_axes.endswith("C"):
            return np.empty((n, h, w, groups, slices, c), p.compute).transpose(0, 3, 4, 5, 1, 2)
        return np.empty((n, groups, slices, c, h, w), p.compute)

    def _copied(self, x: Array, step: Step, room: Array) -> Array:
        """The windows as a view of slices that are copied beside each other."""
        p, a = self.problem, self.axis
        _, groups, _, c, *sizes = room.shape
        split = x.reshape(len(x), groups, c, *x.shape[2:]).swapaxes(2, 3)  # a view: an axis becomes two
        for window, slots, read in step.copies:
            place = room[window : window + 1, :, slots] if self.by_image else room[: len(x), :, slots]
            place[...] = p.fill_value if read is None else split[:, :, read]
        sn, _, sd, *strides = room.strides
        batch = (step.windows, sn if groups > 1 else step.apart * sd) if self.by_image else (len(x), sn)
        memory = room if room.base is None else room.base  # which is contiguous; `_view` takes ten times as long
        shape, steps = (batch[0], groups * a.k * c, *sizes), (batch[1], *strides)
        return np.ndarray(shape, room.dtype, memory, 0, steps)


def _pieces(size: int, most: int) -> Iterator[slice]:
    """Cut a range into as few pieces of at most so many as there can be, of nearly the same size."""
    count = -(-size // most)
    for i in range(count):
        yield slice(size * i // count, size * (i + 1) // count)


def _view(array: Array, *axes: tuple[int, int]) -> Array:
    """What lies at the beginning of an array, in axes of these sizes and strides."""
    sizes, strides = zip(*axes, strict=True)
    return as_strided(array, sizes, strides, writeable=False)
