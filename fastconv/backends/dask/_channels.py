"""What operators read and make, in a problem's sizes, and tiles along channels. Arithmetic alone."""

from __future__ import annotations

import itertools
from typing import NamedTuple

from ..._problem import Problem
from ._adjoint import Adjoint
from ._axis import Axis, Chunks, Read, bounds, cut_of, sizes_of


class Sides(NamedTuple):
    """Channels, height and width of what is read and of what is made, as fields of a problem."""

    read: tuple[str, str, str]
    made: tuple[str, str, str]


IMAGE, RESULT = ("ic", "ih", "iw"), ("oc", "oh", "ow")
FORWARD, ADJOINT = Sides(IMAGE, RESULT), Sides(RESULT, IMAGE)

# Operators whose tiles are cut from the result of conv2d, which kernels' gradients are sums over, or from its image.
SIDES = {
    "conv2d": FORWARD,
    "conv2d_grad_weight": FORWARD,
    "conv2d_grad_input": ADJOINT,
    "conv_transpose2d": ADJOINT,
}


def folds(p: Problem) -> bool:
    """Whether what belongs to pixels of padding is added to pixels of the image."""
    return SIDES[p.operator] is ADJOINT and p.padding_mode != "constant" and any((p.pt, p.pb, p.pl, p.pr))


def axes_of(p: Problem, rows: Chunks, columns: Chunks) -> tuple[Axis | Adjoint, Axis | Adjoint]:
    """Height and width of a problem of which what is read has these chunks."""
    if SIDES[p.operator] is FORWARD:
        return (
            Axis(rows, p.kh, p.sh, p.dh, p.pt, p.oh, p.padding_mode),
            Axis(columns, p.kw, p.sw, p.dw, p.pl, p.ow, p.padding_mode),
        )
    mode = p.padding_mode if folds(p) else "constant"
    return (
        Adjoint(rows, p.kh, p.sh, p.dh, p.pt, p.pb, p.ih, mode),
        Adjoint(columns, p.kw, p.sw, p.dw, p.pl, p.pr, p.iw, mode),
    )


def channel_tiles(p: Problem, channels: Chunks, wanted: Chunks) -> Chunks:
    """Sizes of tiles along the channels that are made: those wanted, cut where groups with chunks of their own begin.

    No tile has a part of one group beside another group, so that each is a convolution by itself; of an adjoint, whose
    kernels would have to be cut along two axes, none has a part of a group if there are several.
    """
    igc, ocg, made = _channels(p)
    cuts = set(bounds(wanted))
    if p.groups > 1:
        cuts |= {-(-bound // igc) * ocg for bound in bounds(channels)}
    for start, stop in itertools.pairwise(sorted(cuts)):
        cuts |= {cut for cut in (-(-start // ocg) * ocg, stop // ocg * ocg) if start < cut < stop}
    if p.groups > 1 and SIDES[p.operator] is ADJOINT:
        cuts = {cut for cut in cuts if cut % ocg == 0}
    return sizes_of(cuts, made)


def channel_read(p: Problem, channels: Chunks, o0: int, o1: int) -> tuple[int, Read]:
    """How many groups the made channels [o0, o1) are of, and what they read of the others."""
    igc, ocg, _ = _channels(p)
    g0, g1 = o0 // ocg, max(-(-o1 // ocg), o0 // ocg + 1)
    return g1 - g0, Read(cut_of(channels, g0 * igc, g1 * igc))


def kernel_chunks(p: Problem, tiles: Chunks) -> tuple[str, Chunks]:
    """The axis along which tiles of channels have kernels of their own, and its chunks."""
    if SIDES[p.operator] is FORWARD:
        return "O", tiles
    if p.groups == 1:
        return "I", tiles
    icg, ocg = p.ic // p.groups, p.oc // p.groups
    return "O", tuple(size // icg * ocg for size in tiles)


def _channels(p: Problem) -> tuple[int, int, int]:
    """Channels of a group that are read, those that are made, and all that are made."""
    read, made = (getattr(p, side[0]) for side in SIDES[p.operator])
    return read // p.groups, max(made // p.groups, 1), made
