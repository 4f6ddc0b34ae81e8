"""The reference backend's definitions of the operators beside conv2d, as loops over taps in plain NumPy.

Operands come in the widest arithmetic. The compositions of `_compose`, of which nothing is known here, are held against
these. With g the gradient with respect to conv2d's result, zero outside of itself, and X the padded image, whose pixel
u of an axis is the image's pixel u − p:

* with respect to the padded image: dX[u] = Σ_a conj(w[a]) g[(u − a·d) / s], over the taps a that make this whole; each
  pixel outside the image is added to the pixel that it is a copy of, or dropped where it is a constant;
* with respect to the kernel: dw[a] = Σ_i g[i] conj(X[i·s + a·d]);
* with respect to the bias: the sum of g over images and pixels;
* the transposed convolution is the first without conjugation, with a bias.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from .._problem import Problem
from .reference import extend, pixels_at

Array = np.ndarray[Any, Any]


def grad_input(p: Problem, grad: Array, weight: Array, bias: None, out: Array) -> None:
    """Gradient with respect to the image."""
    transposed(p, grad, weight.conj(), None, out)


def transposed(p: Problem, grad: Array, weight: Array, bias: Array | None, out: Array) -> None:
    """Transposed convolution."""
    grad = p.nchw(grad).reshape(p.n, p.groups, p.oc // p.groups, p.oh, p.ow)
    weight = p.oihw(weight).reshape(p.groups, p.oc // p.groups, p.ic // p.groups, p.kh, p.kw)
    if p.padding_mode == "constant":  # pixels outside are none of the image's
        rows, columns = np.arange(p.ih) + p.pt, np.arange(p.iw) + p.pl
    else:
        rows, columns = np.arange(p.ih + p.pt + p.pb), np.arange(p.iw + p.pl + p.pr)
    padded = np.zeros((p.n, p.groups, p.ic // p.groups, len(rows), len(columns)), grad.dtype)
    for a in range(p.kh):
        for b in range(p.kw):
            (above, down), (left, right) = np.divmod(rows - a * p.dh, p.sh), np.divmod(columns - b * p.dw, p.sw)
            u, v = np.flatnonzero(down == 0), np.flatnonzero(right == 0)
            seen = pixels_at(grad, above[u], left[v], "constant", 0)
            padded[..., u[:, None], v] += np.einsum("goc,ngohw->ngchw", weight[..., a, b], seen)
    padded = padded.reshape(p.n, p.ic, len(rows), len(columns))
    inside_rows, rows = extend(rows - p.pt, p.ih, p.padding_mode)
    inside_columns, columns = extend(columns - p.pl, p.iw, p.padding_mode)
    image = np.zeros((p.n, p.ic, p.ih, p.iw), grad.dtype)
    for i, row in enumerate(rows):
        for j, column in enumerate(columns):
            if inside_rows[i] and inside_columns[j]:
                image[:, :, row, column] += padded[:, :, i, j]
    if bias is not None:
        image += bias[:, None, None]
    p.nchw(out)[...] = image


def grad_weight(p: Problem, x: Array, grad: Array, bias: None, out: Array) -> None:
    """Gradient with respect to the kernels."""
    x = p.nchw(x).reshape(p.n, p.groups, p.ic // p.groups, p.ih, p.iw)
    grad = p.nchw(grad).reshape(p.n, p.groups, p.oc // p.groups, p.oh, p.ow)
    rows, columns = np.arange(p.oh) * p.sh - p.pt, np.arange(p.ow) * p.sw - p.pl
    result = p.oihw(out)
    for a in range(p.kh):
        for b in range(p.kw):
            pixels = pixels_at(x, rows + a * p.dh, columns + b * p.dw, p.padding_mode, p.fill_value)
            sums = np.einsum("ngohw,ngchw->goc", grad, pixels.conj())
            result[:, :, a, b] = sums.reshape(p.oc, p.ic // p.groups)


def grad_bias(p: Problem, grad: Array, weight: None, bias: None, out: Array) -> None:
    """Gradient with respect to the bias."""
    out[...] = p.nchw(grad).sum((0, 2, 3), dtype=grad.dtype)
