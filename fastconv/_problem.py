"""Problem: one convolution, checked and in numbers.

Everything a caller can get wrong is found here, with `_arguments`, and nowhere else: all validation, all shape
arithmetic and all messages. Python integers do not overflow, so sizes are computed exactly and then compared with the
limits of the 64-bit arithmetic that the kernels use. Backends receive a `Problem` and never look at the user's
arguments again.
"""

from __future__ import annotations

import cmath
import math
from typing import Any, NamedTuple, NoReturn, cast

import numpy as np

from ._arguments import (
    LIMIT,
    clip,
    kind_of,
    read_axes,
    read_flag,
    read_integer,
    read_name,
    read_number,
    read_padding,
    read_padding_mode,
    read_pair,
    show,
)
from ._dtypes import choose_dtypes, native, read_dtype
from ._operators import OPERATORS


class Problem(NamedTuple):
    """One convolution, or its derivative, fully checked: integers, dtypes and names, but no arrays.

    Sizes are those of the canonical layout whatever the arrays' own: `n` images of `ic` channels and `ih` × `iw`
    pixels, `oc` kernels in `groups` groups, `kh` × `kw` taps, `oh` × `ow` outputs; stride `sh, sw`, dilation
    `dh, dw`, padding `pt, pb, pl, pr` (top, bottom, left, right). Equal problems are computed alike, so a problem is
    the key of a plan. Whatever the `operator`, sizes are those of the convolution that it belongs to: a gradient with
    respect to the image takes `n` × `oc` × `oh` × `ow` numbers and gives `n` × `ic` × `ih` × `iw`.
    """

    n: int
    groups: int
    ic: int
    ih: int
    iw: int
    oc: int
    kh: int
    kw: int
    oh: int
    ow: int
    sh: int
    sw: int
    dh: int
    dw: int
    pt: int
    pb: int
    pl: int
    pr: int
    padding_mode: str
    fill_value: complex  # int, float or complex: a value of `compute`
    flip: bool
    x_axes: str  # the letters of x's axes in order, e.g. "NHWC", "CHW" or "HW"; the result has the same
    weight_axes: str  # e.g. "OIHW" or "HW"
    x_dtype: np.dtype[Any]  # of the first operand, which is x in conv2d
    weight_dtype: np.dtype[Any]  # of the second
    bias_dtype: np.dtype[Any] | None  # of the third, None if there is none
    dtype: np.dtype[Any]  # of the result
    compute: np.dtype[Any]  # of the arithmetic: (u)int64, float32, float64, complex64 or complex128
    algorithm: str
    operator: str = "conv2d"  # what is to be computed, a name of `OPERATORS`

    @property
    def out_shape(self) -> tuple[int, ...]:
        """Shape of the result, in the order of its axes."""
        return self.shape_of(OPERATORS[self.operator].result)

    @property
    def is_empty(self) -> bool:
        """Whether there are no images, or no kernels: then the result has no elements, or is zero."""
        return not (self.n and self.oc)

    @property
    def macs(self) -> int:
        """Multiply-accumulates of the direct algorithm."""
        return self.n * self.oc * self.oh * self.ow * (self.ic // self.groups) * self.kh * self.kw

    def shape_of(self, array: str) -> tuple[int, ...]:
        """Shape of the convolution's `x`, `weight`, `bias` or result `y`, in the order of its axes."""
        if array == "bias":
            return (self.oc,)
        if array == "weight":
            kernel = {"O": self.oc, "I": self.ic // self.groups, "H": self.kh, "W": self.kw}
            return tuple(kernel[letter] for letter in self.weight_axes)
        c, h, w = (self.oc, self.oh, self.ow) if array == "y" else (self.ic, self.ih, self.iw)
        sizes = {"N": self.n, "C": c, "H": h, "W": w}
        return tuple(sizes[letter] for letter in self.x_axes)

    def nchw(self, array: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
        """View of an array with the axes of `x`, or of conv2d's result, as N, C, H, W whatever its layout."""
        return _canonical(array, self.x_axes, "NCHW")

    def oihw(self, weight: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
        """View of `weight` with the axes O, I, H, W whatever its layout, flipped if the kernel is to be flipped."""
        view = _canonical(weight, self.weight_axes, "OIHW")
        return view[:, :, ::-1, ::-1] if self.flip else view

    @classmethod
    def of(
        cls,
        x: np.ndarray[Any, Any] | Described,
        weight: np.ndarray[Any, Any] | Described,
        bias: np.ndarray[Any, Any] | Described | None = None,
        stride: object = 1,
        padding: object = 0,
        dilation: object = 1,
        groups: object = 1,
        *,
        padding_mode: object = "constant",
        fill_value: object = 0,
        flip: object = False,
        data_format: object = "NCHW",
        weight_format: object = None,
        dtype: object = None,
        algorithm: object = "auto",
    ) -> Problem:
        """Check one call of `conv2d` and describe it.

        Only shapes and dtypes of the arrays are read. The arguments are those of `conv2d`.

        Raises
        ------
        ValueError
            A shape or a value is wrong.
        TypeError
            An argument is of the wrong kind.
        """
        # Everything that may run the caller's code (__index__, __complex__) comes before the shapes are read.
        sh, sw = read_pair("stride", stride, 1)
        dh, dw = read_pair("dilation", dilation, 1)
        groups = read_integer("groups", groups, 1)
        pads = read_padding(padding)
        mode = read_padding_mode(padding_mode)
        flip = read_flag("flip", flip)
        algorithm = read_name("algorithm", algorithm)
        fill = read_number("fill_value", fill_value)
        compute, result = choose_dtypes({"x": x, "weight": weight, "bias": bias}, dtype)

        x_shape, weight_shape = x.shape, weight.shape
        x_axes, weight_axes = axes_of(x_shape, weight_shape, data_format, weight_format)
        x_sizes = {"N": 1, "C": 1} | dict(zip(x_axes, x_shape, strict=True))
        weight_sizes = {"O": 1, "I": 1} | dict(zip(weight_axes, weight_shape, strict=True))
        n, ic, ih, iw = (x_sizes[letter] for letter in "NCHW")
        oc, igc, kh, kw = (weight_sizes[letter] for letter in "OIHW")
        shapes = f"x {show(x_shape)} {x_axes}, weight {show(weight_shape)} {weight_axes}"

        for letter, size in x_sizes.items():
            if size == 0 and letter != "N":
                _refuse(f"x has an empty axis {letter}; only N may be empty", shapes)
        for letter, size in weight_sizes.items():
            if size == 0 and letter != "O":
                _refuse(f"weight has an empty axis {letter}; only O may be empty", shapes)
        if ic % groups:
            _refuse(f"groups={show(groups)} does not divide x's {ic} channels; expected a divisor", shapes)
        if oc % groups:
            _refuse(f"groups={show(groups)} does not divide weight's {oc} output channels; expected a divisor", shapes)
        if igc * groups != ic:
            _refuse_channels(ic, igc, groups, x_sizes, weight_shape, weight_axes, shapes)
        if bias is not None and bias.shape != (oc,):
            _refuse(f"bias must have shape ({oc},), one value for each output channel, got {show(bias.shape)}", shapes)

        pt, pb, oh = _extent("height", ih, kh, sh, dh, pads, 0, shapes)
        pl, pr, ow = _extent("width", iw, kw, sw, dw, pads, 1, shapes)
        problem = cls(
            n, groups, ic, ih, iw, oc, kh, kw, oh, ow, sh, sw, dh, dw, pt, pb, pl, pr,
            mode, _fill(fill, mode, compute), flip, x_axes, weight_axes,
            native(x.dtype), native(weight.dtype), None if bias is None else native(bias.dtype),
            result, compute, algorithm,
        )  # fmt: skip
        # The bound holds for the result and for the wider temporary that a narrow result is rounded from.
        if n * oc * oh * ow * max(result.itemsize, compute.itemsize) > LIMIT:
            _refuse(
                f"the result would have shape {show(problem.out_shape)} and dtype {result}, more than 2**63 bytes; "
                "use less padding or a larger stride",
                shapes,
            )
        return problem


def check_array(name: str, value: object) -> np.ndarray[Any, Any]:
    """Return `value` as a plain array, or say why it cannot be one.

    Lists and objects with `__array__` or a buffer are converted. Subclasses lose their class, except those whose
    extra meaning would be lost with it: masked arrays with a mask and `numpy.matrix` are refused.
    """
    if type(value) is np.ndarray:
        return value
    if value is None:
        raise TypeError(f"{name} must be an array or something that numpy.asarray converts, got None.")
    if isinstance(value, np.ma.MaskedArray) and value.mask is not np.ma.nomask and value.mask.any():
        raise TypeError(
            f"{name} is a masked array with masked elements, and a convolution has no way to leave them out; "
            f"pass {name}.filled(value), or its data."
        )
    if isinstance(value, np.matrix):
        raise TypeError(f"{name} is a numpy.matrix, whose axes are not those of an array; pass numpy.asarray({name}).")
    try:
        return np.asarray(value)
    except ValueError as error:  # a ragged list
        raise ValueError(f"{name} can't be converted to an array: {clip(str(error).rstrip('.'))}.") from error


class Described(NamedTuple):
    """An array that is its shape and dtype alone, for questions that need no data."""

    shape: tuple[int, ...]
    dtype: np.dtype[Any] = np.dtype(np.float32)


def check_shape(name: str, shape: object) -> Described:
    """Return an array's description, or say why there is no array of that shape."""
    sizes = shape if isinstance(shape, tuple | list) else None
    if sizes is None:
        raise TypeError(f"{name} must be a tuple of sizes, got {show(shape)}.")
    if len(sizes) > 64:
        raise ValueError(f"{name} must have 4 sizes, 3 or 2, got {show(shape)}.")
    return Described(tuple(read_integer(f"each size in {name}", size, 0) for size in sizes))


def describe(name: str, array: Any) -> Described:
    """Return the shape and dtype of an array that is not NumPy's, without touching its data."""
    shape = check_shape(f"{name}.shape", getattr(array, "shape", None)).shape
    return Described(shape, read_dtype(f"{name}.dtype", getattr(array, "dtype", None)))


def check_out(problem: Problem, out: object) -> np.ndarray[Any, Any]:
    """Return `out` if the result can be written into it, or say why not."""
    if not isinstance(out, np.ndarray) or isinstance(out, np.ma.MaskedArray | np.matrix):
        raise TypeError(f"out must be a plain numpy.ndarray or None, got {kind_of(out)}.")
    out = np.asarray(out)  # what is written into, whatever a subclass says of itself
    if out.shape != problem.out_shape:
        raise ValueError(f"out has shape {show(out.shape)}, but the result has shape {show(problem.out_shape)}.")
    if native(out.dtype) != problem.dtype:
        raise TypeError(
            f"out has dtype {clip(out.dtype.name, 40)}, but the result has dtype {problem.dtype}; "
            "pass an out of that dtype, or choose the result's dtype with dtype=."
        )
    if not out.flags.writeable:
        raise ValueError("out is read-only; pass a writable array.")
    if not _disjoint_elements(out):
        raise ValueError(f"out has elements that share memory (strides {show(out.strides)}); pass an ordinary array.")
    return out


def _canonical(array: np.ndarray[Any, Any], axes: str, order: str) -> np.ndarray[Any, Any]:
    present = [axes.index(letter) for letter in order if letter in axes]
    absent = [i for i, letter in enumerate(order) if letter not in axes]
    return np.expand_dims(array.transpose(present), tuple(absent))


def _disjoint_elements(array: np.ndarray[Any, Any]) -> bool:
    # Sufficient, and true of every slice, transpose, reshape and diagonal of an ordinary array: each axis steps over
    # all that the axes with smaller strides cover. (The exact question is NP-complete.)
    covered = array.itemsize
    for step, size in sorted((abs(step), size) for step, size in zip(array.strides, array.shape, strict=True)):
        if size == 0:
            return True
        if size > 1:
            if step < covered:
                return False
            covered += step * (size - 1)
    return True


def _refuse(sentence: str, context: str) -> NoReturn:
    raise ValueError(clip(f"{sentence} ({context}).", 500))


def _refuse_channels(
    ic: int, igc: int, groups: int, x_sizes: dict[str, int], weight_shape: tuple[int, ...], axes: str, shapes: str
) -> NoReturn:
    other = "HWIO" if axes == "OIHW" else "OIHW"
    hint = ""
    if len(weight_shape) == 4 and weight_shape[other.index("I")] * groups == ic:
        hint = f"; did you mean weight_format={other!r}?"
    elif igc * groups in (x_sizes["H"], x_sizes["W"]) and igc * groups != ic:
        hint = "; is data_format right?"
    _refuse(
        f"weight has {igc} input channels a group and groups={show(groups)}, which makes {show(igc * groups)}, "
        f"but x has {ic} channels; expected {show(ic // groups)} a group{hint}",
        shapes,
    )


def _extent(
    name: str, size: int, k: int, s: int, d: int, pads: str | tuple[tuple[int, int], ...], axis: int, shapes: str
) -> tuple[int, int, int]:
    """Padding before and after one axis, and the output's size there."""
    reach = (k - 1) * d + 1
    if pads == "full":
        before = after = reach - 1
    elif pads in ("same", "same_lower"):
        # TensorFlow's, JAX's and ONNX's rule: ceil(size / s) outputs, the odd pad after (SAME_UPPER) or before.
        total = max((-(-size // s) - 1) * s + reach - size, 0)
        before, after = total // 2, total - total // 2
        if pads == "same_lower":
            before, after = after, before
    elif pads == "valid":
        before = after = 0
    else:
        before, after = cast("tuple[int, int]", pads[axis])
    padded = size + before + after
    if padded > LIMIT:
        _refuse(f"the padded {name} is {show(padded)}, more than 2**63 - 1", shapes)
    if reach > padded:
        _refuse(
            f"the kernel reaches over {show(reach)} pixels of {name} (size {k}, dilation {show(d)}), but the padded "
            f"{name} is {show(padded)}; use a smaller kernel or dilation, or more padding",
            shapes,
        )
    return before, after, (padded - reach) // s + 1


def axes_of(
    x_shape: tuple[int, ...], weight_shape: tuple[int, ...], data_format: object, weight_format: object, name: str = "x"
) -> tuple[str, str]:
    """The letters of x's and of weight's axes, in order."""
    axes = read_axes("data_format", data_format, "NCHW", ("NCHW", "CHW", "HW"))
    if weight_format is None:
        weight_axes = "OIHW" if axes.find("C") < axes.find("H") else "HWIO"
    else:
        weight_axes = read_axes("weight_format", weight_format, "OIHW", ("OIHW", "HW"))
    # N may be left out, and a 2-D image with a 2-D kernel is one channel in and one out: by rank, never by size.
    for optional in ("N", "C"):
        if len(x_shape) < len(axes):
            axes = axes.replace(optional, "")
    if len(x_shape) == len(weight_shape) == 2:
        weight_axes = weight_axes.replace("O", "").replace("I", "")
    if len(x_shape) != len(axes):
        raise ValueError(
            f"{name} must have 4 axes, 3 (one image) or 2 (one channel of one image), and no more than data_format="
            f"{show(data_format)} names, got shape {show(x_shape)}."
        )
    if len(weight_shape) != len(weight_axes) or (len(axes) == 2) != (len(weight_axes) == 2):
        raise ValueError(
            f"weight must have 4 axes, or 2 where x has 2, got shape {show(weight_shape)} with x of shape "
            f"{show(x_shape)}; one kernel k for one channel is k[None, None] in OIHW."
        )
    return axes, weight_axes


def _fill(fill: complex, mode: str, compute: np.dtype[Any]) -> complex:
    """`fill_value` as a value of the arithmetic's dtype, exactly or rounded once, never wrapped."""
    if mode != "constant":
        if fill != 0:
            raise ValueError(f"fill_value={show(fill)} has no meaning with padding_mode={mode!r}; leave it out.")
        return 0
    if type(fill) is complex and compute.kind != "c":
        raise TypeError(f"fill_value={show(fill)} is complex, but the computation is in {compute}; pass a real number.")
    if compute.kind in "iu":
        bounds = np.iinfo(compute)
        if not isinstance(fill, int) or not bounds.min <= fill <= bounds.max:
            raise ValueError(
                f"fill_value must be an integer from {bounds.min} to {bounds.max}, since the computation is in "
                f"{compute}, got {show(fill)}."
            )
        return fill
    try:
        with np.errstate(over="ignore"):
            value: complex = compute.type(fill).item()
        overflowed = cmath.isinf(value) and not cmath.isinf(fill)
    except OverflowError:
        overflowed = True
    if overflowed:
        raise ValueError(f"fill_value={show(fill)} is too large for {compute}; pass numpy.inf to mean infinity.")
    if type(value) is float and math.isnan(value):
        return math.nan  # one object, so that problems with it compare equal
    return value + 0  # one zero: -0.0 becomes 0.0
