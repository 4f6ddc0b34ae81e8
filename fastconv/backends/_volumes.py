"""The reference backend's definitions of the operators with three axes, as loops over taps in plain NumPy.

Operands come in the widest arithmetic. The compositions of `_slices`, of which nothing is known here, are held against
these.
"""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np

from .._problem import Problem
from .reference import extend

Array = np.ndarray[Any, Any]


def correlate(p: Problem, x: Array, weight: Array, bias: Array | None, out: Array) -> None:
    """conv3d: for each tap of the kernel, its weights times the voxels that it meets."""
    d = p.depth
    x = p.ncdhw(x).reshape(p.n, p.groups, p.ic // p.groups, d.size, p.ih, p.iw)
    weight = p.oidhw(weight).reshape(p.groups, p.oc // p.groups, p.ic // p.groups, d.k, p.kh, p.kw)
    axes = ((d.out, d.s, d.before), (p.oh, p.sh, p.pt), (p.ow, p.sw, p.pl))
    starts = [np.arange(out) * s - before for out, s, before in axes]
    y = np.zeros((p.n, p.groups, p.oc // p.groups, d.out, p.oh, p.ow), x.dtype)
    for tap in itertools.product(range(d.k), range(p.kh), range(p.kw)):
        apart = (tap[0] * d.d, tap[1] * p.dh, tap[2] * p.dw)
        at = [start + offset for start, offset in zip(starts, apart, strict=True)]
        y += np.einsum("goc,ngcdhw->ngodhw", weight[(..., *tap)], _voxels_at(x, at, p.padding_mode, p.fill_value))
    y = y.reshape(p.n, p.oc, d.out, p.oh, p.ow)
    if bias is not None:
        y += bias[:, None, None, None]
    p.ncdhw(out)[...] = y


def transposed(p: Problem, grad: Array, weight: Array, bias: Array | None, out: Array) -> None:
    """Transposed convolution: voxel u of the padded image gets Σ_a w[a] g[(u − a·d) / s], over whole quotients."""
    d = p.depth
    grad = p.ncdhw(grad).reshape(p.n, p.groups, p.oc // p.groups, d.out, p.oh, p.ow)
    weight = p.oidhw(weight).reshape(p.groups, p.oc // p.groups, p.ic // p.groups, d.k, p.kh, p.kw)
    sizes = (d.size, p.ih, p.iw)
    before = (d.before, p.pt, p.pl)
    if p.padding_mode == "constant":  # voxels outside are none of the image's
        places = [np.arange(size) + low for size, low in zip(sizes, before, strict=True)]
    else:
        after = (d.after, p.pb, p.pr)
        places = [np.arange(size + low + high) for size, low, high in zip(sizes, before, after, strict=True)]
    padded = tuple(map(len, places))
    result = np.zeros((p.n, p.groups, p.ic // p.groups, *padded), grad.dtype)
    for tap in itertools.product(range(d.k), range(p.kh), range(p.kw)):
        apart = (tap[0] * d.d, tap[1] * p.dh, tap[2] * p.dw)
        quotients = [
            np.divmod(place - offset, s) for place, offset, s in zip(places, apart, (d.s, p.sh, p.sw), strict=True)
        ]
        whole = [np.flatnonzero(rest == 0) for _, rest in quotients]
        at = [quotient[u] for (quotient, _), u in zip(quotients, whole, strict=True)]
        seen = _voxels_at(grad, at, "constant", 0)
        u, v, w = whole
        result[..., u[:, None, None], v[:, None], w] += np.einsum("goc,ngodhw->ngcdhw", weight[(..., *tap)], seen)
    result = result.reshape(p.n, p.ic, *padded)
    image = np.zeros((p.n, p.ic, *sizes), grad.dtype)
    sources = [
        extend(place - low, size, p.padding_mode) for place, low, size in zip(places, before, sizes, strict=True)
    ]
    (in_d, at_d), (in_h, at_h), (in_w, at_w) = sources  # padding goes back to where it came from, constants nowhere
    kept = result[:, :, in_d][:, :, :, in_h][..., in_w]
    into: Any = (..., at_d[in_d][:, None, None], at_h[in_h][:, None], at_w[in_w])
    np.add.at(image, into, kept)
    if bias is not None:
        image += bias[:, None, None, None]
    p.ncdhw(out)[...] = image


def _voxels_at(x: Array, at: list[Array], mode: str, fill_value: complex) -> Array:
    """Return x at the places named along its last three axes, which may lie outside, where `mode` extends it."""
    extended = [extend(index, size, mode) for index, size in zip(at, x.shape[-3:], strict=True)]
    (in_d, d), (in_h, h), (in_w, w) = extended
    inside = in_d[:, None, None] & in_h[:, None] & in_w
    return np.where(inside, x[..., d[:, None, None], h[:, None], w], x.dtype.type(fill_value))
