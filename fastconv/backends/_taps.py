"""The reference backend's definitions of pad2d, unfold2d, fold2d and local_conv2d, as loops over taps in plain NumPy.

Operands come in the widest arithmetic. With X the padded image, whose pixel u of an axis is the image's pixel u − p:

* unfold2d: Y[c, a, b, i, j] = X[c, i·s + a·d, j·s + b·d], the taps of a channel in the order of the weight's axes;
* pad2d is that for kernels of one pixel and a stride of 1, X itself;
* fold2d: each Y[c, a, b, i, j] added to the pixel that it is, or is a copy of, and dropped where that is a constant;
* local_conv2d: conv2d with other weights for each output.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from .._problem import Problem
from .reference import extend, pixels_at

Array = np.ndarray[Any, Any]


def by_taps(p: Problem, y: Array) -> Array:
    """View of y, (N, C · kh · kw, OH, OW), as (N, C, kh, kw, OH, OW), the taps in the order of the weight's axes."""
    order = p.weight_axes.replace("O", "")
    sizes = {"I": p.ic, "H": p.kh, "W": p.kw}
    y = y.reshape(p.n, *(sizes[letter] for letter in order), p.oh, p.ow)
    return y.transpose(0, *(1 + order.index(letter) for letter in "IHW"), 4, 5)


def unfold(p: Problem, x: Array, weight: None, bias: None, out: Array) -> None:
    """Every pixel that a tap meets; of taps of one pixel, the padded image."""
    x, y = p.nchw(x), by_taps(p, p.nchw(out))
    rows, columns = np.arange(p.oh) * p.sh - p.pt, np.arange(p.ow) * p.sw - p.pl
    for a in range(p.kh):
        for b in range(p.kw):
            y[:, :, a, b] = pixels_at(x, rows + a * p.dh, columns + b * p.dw, p.padding_mode, p.fill_value)


def fold(p: Problem, y: Array, weight: None, bias: None, out: Array) -> None:
    """Adjoint of the former."""
    y = by_taps(p, p.nchw(y))
    image = np.zeros((p.n, p.ic, p.ih, p.iw), y.dtype)
    for a in range(p.kh):
        inside_rows, rows = extend(np.arange(p.oh) * p.sh - p.pt + a * p.dh, p.ih, p.padding_mode)
        for b in range(p.kw):
            inside_columns, columns = extend(np.arange(p.ow) * p.sw - p.pl + b * p.dw, p.iw, p.padding_mode)
            for i in np.flatnonzero(inside_rows):
                for j in np.flatnonzero(inside_columns):
                    image[:, :, rows[i], columns[j]] += y[:, :, a, b, i, j]
    p.nchw(out)[...] = image


def local(p: Problem, x: Array, weight: Array, bias: Array | None, out: Array) -> None:
    """conv2d with other weights, and perhaps another bias, for each output."""
    order = [2 + p.weight_axes.index(letter) for letter in "OIHW" if letter in p.weight_axes]
    weight = weight.transpose(0, 1, *order)
    weight = weight.reshape(p.oh, p.ow, p.groups, p.oc // p.groups, p.ic // p.groups, p.kh, p.kw)
    weight = weight[..., ::-1, ::-1] if p.flip else weight
    x = p.nchw(x).reshape(p.n, p.groups, p.ic // p.groups, p.ih, p.iw)
    y = np.zeros((p.n, p.groups, p.oc // p.groups, p.oh, p.ow), x.dtype)
    rows, columns = np.arange(p.oh) * p.sh - p.pt, np.arange(p.ow) * p.sw - p.pl
    for a in range(p.kh):
        for b in range(p.kw):
            pixels = pixels_at(x, rows + a * p.dh, columns + b * p.dw, p.padding_mode, p.fill_value)
            y += np.einsum("hwgoc,ngchw->ngohw", weight[..., a, b], pixels)
    y = y.reshape(p.n, p.oc, p.oh, p.ow)
    if bias is not None:
        y += bias[:, None, None] if bias.ndim == 1 else bias.reshape(p.oh, p.ow, p.oc).transpose(2, 0, 1)
    p.nchw(out)[...] = y
