"""What operators read and make, in a problem's sizes, and tiles along channels. Arithmetic alone."""

from __future__ import annotations

import functools
import itertools
import math
from typing import NamedTuple

from ... import _axes
from ..._problem import Problem
from ._adjoint import Adjoint
from ._axis import Axis, Chunks, Read, bounds, cut_of, sizes_of

IMAGE, RESULT = "image", "result"  # of the convolution that an operator belongs to

# What an operator's tiles read; the other is what they are cut from. Of a gradient of kernels they are added up.
READS = {
    "conv2d": IMAGE,
    "conv2d_grad_weight": IMAGE,
    "conv2d_grad_input": RESULT,
    "conv_transpose2d": RESULT,
    "conv3d": IMAGE,
    "conv_transpose3d": RESULT,
    "local_conv2d": IMAGE,
    "pad2d": IMAGE,
    "unfold2d": IMAGE,
    "fold2d": RESULT,
}
WINDOWS = ("pad2d", "unfold2d", "fold2d")  # those without kernels: their taps are channels, and stand together
MOST_FOLDED = 2**24  # numbers that padding gives back to a small image: 128 MiB in float64

Follows = tuple[int | None, ...]  # of an operand's axes: which of N, C, D, H and W of the tiles each is cut with


class Unit(NamedTuple):
    """Channels that are read and made together: those of a group, or of several whose results are not side by side."""

    groups: int
    read: int
    made: int
    several: bool  # whether there are more units than this
    divisible: bool  # whether a tile may have a part of one


def extents(p: Problem) -> tuple[_axes.Axis, _axes.Axis, _axes.Axis]:
    """Depth, height and width of a problem; one that it does not have is a single pixel."""
    rows = _axes.Axis(p.ih, p.kh, p.sh, p.dh, p.pt, p.pb, p.oh)
    return p.depth, rows, _axes.Axis(p.iw, p.kw, p.sw, p.dw, p.pl, p.pr, p.ow)


def sides(p: Problem) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Channels, depth, height and width of what is read and of what is made."""
    image, result = (p.ic, *(a.size for a in extents(p))), (p.oc, *(a.out for a in extents(p)))
    return (image, result) if READS[p.operator] is IMAGE else (result, image)


def with_channels(p: Problem, groups: int, read: int, made: int) -> Problem:
    """A problem with other channels."""
    ic, oc = (read, made) if READS[p.operator] is IMAGE else (made, read)
    return p._replace(groups=groups, ic=ic, oc=oc)


@functools.lru_cache(1024)  # most tiles have the same
def with_sizes(p: Problem, *sizes: tuple[int, int, int, int]) -> Problem:
    """A problem with other sizes along D, H and W: what is made, what is read, padding before and after that."""

    def sized(axis: _axes.Axis, made: int, read: int, before: int, after: int) -> _axes.Axis:
        size, out = (read, made) if READS[p.operator] is IMAGE else (made, read)
        return axis._replace(size=size, out=out, before=before, after=after)

    d, h, w = (sized(axis, *each) for axis, each in zip(extents(p), sizes, strict=True))
    return p._replace(
        depth=d, ih=h.size, oh=h.out, pt=h.before, pb=h.after, iw=w.size, ow=w.out, pl=w.before, pr=w.after
    )


def folds(p: Problem) -> bool:
    """Whether what belongs to pixels of padding is added to pixels of the image."""
    padded = any(axis.before or axis.after for axis in extents(p))
    return READS.get(p.operator) is RESULT and p.padding_mode != "constant" and padded


def too_much_padding(p: Problem) -> str | None:
    """Why a problem's padding is too much, if it is: a tile computes all that is given back to its pixels."""
    image = p.n * p.ic * math.prod(axis.size for axis in extents(p))
    padded = p.n * p.ic * math.prod(axis.size + axis.before + axis.after for axis in extents(p))
    if folds(p) and padded > 4 * image + MOST_FOLDED:
        return f"it computes what padding gives back, which is more than {MOST_FOLDED} numbers and 4 times the image"
    return None


def axes_of(p: Problem, chunks: tuple[Chunks, ...]) -> tuple[Axis | Adjoint, ...]:
    """Depth, height and width of a problem of which what is read has these chunks."""
    pairs = zip(extents(p), chunks, strict=True)
    if READS[p.operator] is IMAGE:
        return tuple(Axis(sizes, a.k, a.s, a.d, a.before, a.out, p.padding_mode) for a, sizes in pairs)
    mode = p.padding_mode if folds(p) else "constant"
    by_phase = p.operator not in WINDOWS
    return tuple(Adjoint(sizes, a.k, a.s, a.d, a.before, a.after, a.size, mode, by_phase) for a, sizes in pairs)


def channel_tiles(p: Problem, channels: Chunks, wanted: Chunks) -> Chunks:
    """Sizes of tiles along the channels that are made: those wanted, cut where groups with chunks of their own begin.

    No tile has a part of one group beside another group, so that each is a convolution by itself; of an adjoint, whose
    kernels would have to be cut along two axes, none has a part of a group if there are several.
    """
    unit = unit_of(p)
    cuts = set(bounds(wanted))
    if unit.several:
        cuts |= {-(-bound // unit.read) * unit.made for bound in bounds(channels)}
    for start, stop in itertools.pairwise(sorted(cuts)):
        edges = (-(-start // unit.made) * unit.made, stop // unit.made * unit.made)
        cuts |= {cut for cut in edges if start < cut < stop}
    if not unit.divisible:
        cuts = {cut for cut in cuts if cut % unit.made == 0}
    return sizes_of(cuts, sides(p)[1][0])


def channel_read(p: Problem, channels: Chunks, o0: int, o1: int) -> tuple[int, Read]:
    """How many groups the made channels [o0, o1) are of, and what they read of the others."""
    unit = unit_of(p)
    first, last = o0 // unit.made, max(-(-o1 // unit.made), o0 // unit.made + 1)
    return (last - first) * unit.groups, Read(cut_of(channels, first * unit.read, last * unit.read))


def kernel_chunks(p: Problem, tiles: Chunks) -> tuple[str, Chunks]:
    """The axis along which tiles of channels have kernels of their own, and its chunks."""
    if READS[p.operator] is IMAGE:
        return "O", tiles
    if p.groups == 1:
        return "I", tiles
    icg, ocg = p.ic // p.groups, p.oc // p.groups
    return "O", tuple(size // icg * ocg for size in tiles)


def follows(p: Problem, operand: str, ndim: int) -> Follows:
    """Which axes of tiles the chunks of an operand follow, if it is not the one that is read in pieces."""
    if operand == "grad":
        return tuple("NCDHW".index(letter) for letter in p.x_axes)
    of_pixels = (3, 4) if p.operator == "local_conv2d" and (operand == "weight" or ndim > 1) else ()
    if operand == "bias":
        return (*of_pixels, 1)[:ndim]
    letter, _ = kernel_chunks(p, ())
    return (*of_pixels, *(1 if axis == letter else None for axis in p.weight_axes))


def unit_of(p: Problem) -> Unit:
    """Groups, unless taps stand before channels: then all are one unit."""
    windows = p.operator in WINDOWS
    groups = p.groups if windows and p.weight_axes.replace("O", "")[0] != "I" else 1
    (read, *_), (made, *_) = sides(p)
    count = p.groups // groups
    divisible = not windows and (count == 1 or READS[p.operator] is IMAGE)
    return Unit(groups, read // count, max(made // count, 1), count > 1, divisible)
