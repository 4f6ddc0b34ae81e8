"""The axes of a convolution's arrays: which letter is which, and what stride, dilation and padding make of one.

Layouts are told by letters and ranks, never guessed from sizes.
"""

from __future__ import annotations

import functools
from typing import Any, NamedTuple, NoReturn, cast

import numpy as np

from ._arguments import LIMIT, PLANE, Space, clip, read_axes, show


class Axis(NamedTuple):
    """One axis that a kernel moves along; by default one of a single pixel, as if it were not there."""

    size: int = 1  # of the image
    k: int = 1  # of the kernel
    s: int = 1  # stride
    d: int = 1  # dilation
    before: int = 0  # padding
    after: int = 0
    out: int = 1  # of the result


def axes_of(
    x_shape: tuple[int, ...],
    weight_shape: tuple[int, ...],
    data_format: object,
    weight_format: object,
    name: str = "x",
    space: Space = PLANE,
) -> tuple[str, str]:
    """The letters of x's and of weight's axes, in order."""
    letters, rank = space.letters, len(space.letters)
    axes = read_axes("data_format", data_format, f"NC{letters}", (f"NC{letters}", f"C{letters}", letters))
    if weight_format is None:
        weight_axes = f"OI{letters}" if axes.find("C") < axes.find(letters[0]) else f"{letters}IO"
    else:
        weight_axes = read_axes("weight_format", weight_format, f"OI{letters}", (f"OI{letters}", letters))
    # N may be left out, and an image with a kernel of as many axes is one channel in and one out: by rank, not by size.
    for optional in ("N", "C"):
        if len(x_shape) < len(axes):
            axes = axes.replace(optional, "")
    if len(x_shape) == len(weight_shape) == rank:
        weight_axes = weight_axes.replace("O", "").replace("I", "")
    if len(x_shape) != len(axes):
        raise ValueError(
            f"{name} must have {rank + 2} axes, {rank + 1} (one image) or {rank} (one channel of one image), and no "
            f"more than data_format={show(data_format)} names, got shape {show(x_shape)}."
        )
    if len(weight_shape) != len(weight_axes) or (len(axes) == rank) != (len(weight_axes) == rank):
        raise ValueError(
            f"weight must have {rank + 2} axes, or {rank} where x has {rank}, got shape {show(weight_shape)} with x of "
            f"shape {show(x_shape)}; one kernel k for one channel is k[None, None] in OI{letters}."
        )
    return axes, weight_axes


def extent(name: str, axis: Axis, padding: object, shapes: str) -> Axis:
    """An axis with its padding, which is a name or (before, after), and the result's size there."""
    size, k, s, d = axis[:4]
    reach = (k - 1) * d + 1
    if padding == "full":
        before = after = reach - 1
    elif padding in ("same", "same_lower"):
        # TensorFlow's, JAX's and ONNX's rule: ceil(size / s) outputs, the odd pad after (SAME_UPPER) or before.
        total = max((-(-size // s) - 1) * s + reach - size, 0)
        before, after = total // 2, total - total // 2
        if padding == "same_lower":
            before, after = after, before
    elif padding == "valid":
        before = after = 0
    else:
        before, after = cast("tuple[int, int]", padding)
    padded = size + before + after
    if padded > LIMIT:
        refuse(f"the padded {name} is {show(padded)}, more than 2**63 - 1", shapes)
    if reach > padded:
        refuse(
            f"the kernel reaches over {show(reach)} pixels of {name} (size {k}, dilation {show(d)}), but the padded "
            f"{name} is {show(padded)}; use a smaller kernel or dilation, or more padding",
            shapes,
        )
    return axis._replace(before=before, after=after, out=(padded - reach) // s + 1)


def canonical(array: np.ndarray[Any, Any], axes: str, order: str) -> np.ndarray[Any, Any]:
    """View of an array with other letters in another order; axes that it does not have are of size 1."""
    if axes == order:
        return array
    present, absent = _places(axes, order)
    view = array.transpose(present)
    return np.expand_dims(view, absent) if absent else view


@functools.cache
def _places(axes: str, order: str) -> tuple[tuple[int, ...], tuple[int, ...]]:
    present = tuple(axes.index(letter) for letter in order if letter in axes)
    return present, tuple(i for i, letter in enumerate(order) if letter not in axes)


def refuse(sentence: str, context: str) -> NoReturn:
    """Raise a sentence, with the shapes that it is about."""
    raise ValueError(clip(f"{sentence} ({context}).", 500))


def refuse_channels(
    ic: int, igc: int, groups: int, x_sizes: dict[str, int], weight_shape: tuple[int, ...], axes: str, shapes: str
) -> NoReturn:
    """Refuse input channels that do not fit, and say what may have been meant."""
    letters = axes.replace("O", "").replace("I", "")
    other = f"{letters}IO" if axes == f"OI{letters}" else f"OI{letters}"
    hint = ""
    if len(weight_shape) == len(other) and weight_shape[other.index("I")] * groups == ic:
        hint = f"; did you mean weight_format={other!r}?"
    elif igc * groups in [x_sizes[letter] for letter in letters] and igc * groups != ic:
        hint = "; is data_format right?"
    refuse(
        f"weight has {igc} input channels a group and groups={show(groups)}, which makes {show(igc * groups)}, "
        f"but x has {ic} channels; expected {show(ic // groups)} a group{hint}",
        shapes,
    )
