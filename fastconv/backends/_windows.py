"""What windows see of an image, as copies and additions of views: pad2d, unfold2d and fold2d, which need no conv2d.

Of the padded image only those rows and columns are made that a tap meets, so neither time nor memory grows with padding
that no window reads.
"""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any

import numpy as np

from .._problem import Problem
from .reference import extend

if TYPE_CHECKING:
    from ._convolve import Plans

Array = np.ndarray[Any, Any]
Index = slice | Array


class Axis:
    """Pixels of one axis of the padded image that the taps of a kernel meet, in order; each is one of the image's.

    Which they are is kept as arrays where they are few or lie apart. Else these are made when there is a result, since
    padding may be more than memory holds.
    """

    def __init__(self, size: int, out: int, k: int, s: int, d: int, before: int, mode: str) -> None:
        span = (out - 1) * s + (k - 1) * d + 1
        self.image, self.before, self.mode = size, before, mode
        self.in_a_row = span <= 2 * out * k  # none is left out, or few are that no tap meets
        self.taps: list[Index]  # for each tap, where its pixels are
        self.seen: Index  # pixels of the image itself
        self.met: Array | None = None  # None for all pixels of the span
        if self.in_a_row:
            self.size = span
            self.taps = [slice(a * d, a * d + (out - 1) * s + 1, s) for a in range(k)]
            low, high = before, min(before + size, span)
            low, high = (low, high) if low < high else (0, 0)
            self.seen = slice(low - before, high - before) if high else slice(0, 0)
        else:
            self.met, places = np.unique(np.add.outer(np.arange(k) * d, np.arange(out) * s), return_inverse=True)
            self.size = len(self.met)
            self.taps = list(places.reshape(k, out))
            inside = np.flatnonzero((self.met >= before) & (self.met - before < size))
            low, high = (int(inside[0]), int(inside[-1]) + 1) if inside.size else (0, 0)
            self.seen = _run(self.met[low:high] - before)
        self.reach = (k - 1) * d + 1
        self.inside = slice(low, high)
        self.outside = [part for part in (slice(0, low), slice(high, self.size)) if part.start < part.stop]
        self.shows_all = self.in_a_row and high - low == size

    @functools.cached_property
    def repeated(self) -> list[tuple[slice, Index]]:
        """Which pixels of the image those outside of it repeat."""
        if self.mode == "constant":
            return []
        return [(part, _run(self.pixels(part))) for part in self.outside]

    def pixels(self, part: slice) -> Array:
        """The pixels of the image for some of these."""
        met = np.arange(part.start, part.stop) if self.met is None else self.met[part]
        return extend(met - self.before, self.image, self.mode)[1]


def axes_of(p: Problem) -> tuple[Axis, Axis]:
    """Rows and columns of a problem."""
    return (
        Axis(p.ih, p.oh, p.kh, p.sh, p.dh, p.pt, p.padding_mode),
        Axis(p.iw, p.ow, p.kw, p.sw, p.dw, p.pl, p.padding_mode),
    )


def taps_of(p: Problem, y: Array) -> Array:
    """View of an array of the result's axes as N, C, kh, kw, OH, OW: its channels stand as the weight's axes do."""
    y, letters = p.nchw(y), p.weight_axes.replace("O", "")
    split = y.reshape(p.n, *({"I": p.ic, "H": p.kh, "W": p.kw}[letter] for letter in letters), p.oh, p.ow)
    return np.moveaxis(split, [letters.index(letter) + 1 for letter in "IHW"], (1, 2, 3))


class Unfold:
    """pad2d and unfold2d: the padded image, and a view of it for all taps at once."""

    def __init__(self, problem: Problem) -> None:
        self.problem = problem
        self.problems: tuple[Problem, ...] = ()
        self.rows, self.columns = axes_of(problem)

    def __call__(self, plans: Plans, x: Array, weight: Any, bias: Any, out: Array, num_threads: int) -> None:
        """Write what the taps meet into `out`."""
        p, rows, columns = self.problem, self.rows, self.columns
        image, y = p.nchw(x), taps_of(p, out)
        if rows.size == p.oh and columns.size == p.ow and p.kh == p.kw == 1:
            self.extend(image, y[:, :, 0, 0])
            return
        if not rows.outside and not columns.outside:
            padded = image[:, :, rows.seen][..., columns.seen]
        else:
            padded = _blank(np.empty, p, rows, columns, out.dtype)
            self.extend(image, padded)
        if rows.in_a_row and columns.in_a_row:
            windows = np.lib.stride_tricks.sliding_window_view(padded, (rows.reach, columns.reach), (2, 3))
            windows = windows[:, :, :: p.sh, :: p.sw, :: p.dh, :: p.dw]
            y[...] = windows.transpose(0, 1, 4, 5, 2, 3)
            return
        for a, above in enumerate(rows.taps):
            for b, left in enumerate(columns.taps):
                y[:, :, a, b] = padded[:, :, above][..., left]

    def extend(self, image: Array, padded: Array) -> None:
        """Write the padded image."""
        p, rows, columns = self.problem, self.rows, self.columns
        fill = p.padding_mode == "constant"
        middle, seen = padded[:, :, rows.inside], image[:, :, rows.seen]
        middle[..., columns.inside] = seen[..., columns.seen]
        for part in columns.outside if fill else ():
            middle[..., part] = p.fill_value
        for part in rows.outside if fill else ():
            padded[:, :, part] = p.fill_value
        for part, repeated in columns.repeated:
            middle[..., part] = seen[..., repeated]
        for part, repeated in rows.repeated:
            if rows.shows_all:  # whole rows, which are there by now
                padded[:, :, part] = middle[:, :, repeated]
            else:
                padded[:, :, part] = image[:, :, repeated][..., columns.pixels(slice(0, columns.size))]


class Fold:
    """fold2d: the taps added to the padded image one after the other, and what is padding to where it came from."""

    def __init__(self, problem: Problem) -> None:
        self.problem = problem
        self.problems: tuple[Problem, ...] = ()
        self.rows, self.columns = axes_of(problem)

    def __call__(self, plans: Plans, x: Array, weight: Any, bias: Any, out: Array, num_threads: int) -> None:
        """Write the image into `out`."""
        p, rows, columns = self.problem, self.rows, self.columns
        y, padded = taps_of(p, x), _blank(np.zeros, p, rows, columns, p.compute)
        slices = rows.in_a_row and columns.in_a_row
        with np.errstate(over="ignore", invalid="ignore"):
            for a, above in enumerate(rows.taps):
                for b, left in enumerate(columns.taps):
                    where = (above, left) if slices else np.ix_(_places(above), _places(left))
                    padded[:, :, *where] += y[:, :, a, b]
            folded = self.fold(self.fold(padded, 2, rows, p.ih), 3, columns, p.iw)
            p.nchw(out)[...] = folded

    def fold(self, padded: Array, axis: int, along: Axis, size: int) -> Array:
        """The image's pixels of one axis, with what lies outside added to the pixels that it repeats."""
        if not along.outside and along.shows_all:
            return padded
        padded = np.moveaxis(padded, axis, 0)
        image = np.zeros_like(padded, shape=(size, *padded.shape[1:]))
        image[along.seen] = padded[along.inside]
        for part in along.outside if along.mode != "constant" else ():
            for place, pixel in zip(range(part.start, part.stop), along.pixels(part).tolist(), strict=True):
                image[pixel] += padded[place]
        return np.moveaxis(image, 0, axis)


def _blank(make: Any, p: Problem, rows: Axis, columns: Axis, dtype: np.dtype[Any]) -> Array:
    """A new padded image, as N, C, H, W, laid out in memory as the images are."""
    sizes = {"N": p.n, "C": p.ic, "H": rows.size, "W": columns.size}
    return p.nchw(make([sizes[letter] for letter in p.x_axes], dtype))


def _run(pixels: Array) -> Index:
    """An index of pixels: a slice, which is faster, where they follow one another, back or forth, or are one."""
    if not pixels.size:
        return slice(0, 0)
    steps = np.diff(pixels)
    first, step = int(pixels[0]), int(steps[0]) if steps.size else 1
    if abs(step) > 1 or (steps != step).any():
        return pixels
    if step == 0:
        return slice(first, first + 1)
    end = int(pixels[-1]) + step
    return slice(first, end if end >= 0 else None, step)


def _places(index: Index) -> Array:
    return np.arange(index.start, index.stop, index.step) if isinstance(index, slice) else index
