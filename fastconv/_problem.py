"""Problem: one convolution, checked and in numbers.

Everything a caller can get wrong is found here, with `_arguments`, and nowhere else: all validation, all shape
arithmetic and all messages. Python integers do not overflow, so sizes are computed exactly and then compared with the
limits of the 64-bit arithmetic that the kernels use. Backends receive a `Problem` and never look at the user's
arguments again.
"""

from __future__ import annotations

import cmath
import functools
import math
from typing import Any, NamedTuple

import numpy as np

from ._arguments import (
    LIMIT,
    LINE,
    PLANE,
    VOLUME,
    Space,
    clip,
    kind_of,
    read_each,
    read_flag,
    read_integer,
    read_name,
    read_number,
    read_padding,
    read_padding_mode,
    show,
)
from ._axes import Axis, axes_of, canonical, extent, refuse, refuse_channels
from ._dtypes import choose_dtypes, native, read_dtype
from ._operators import OPERATORS

POINT = Axis()


class Problem(NamedTuple):
    """One convolution, or its derivative, fully checked: integers, dtypes and names, but no arrays.

    Sizes are those of the canonical layout whatever the arrays' own: `n` images of `ic` channels and `ih` × `iw`
    pixels, `oc` kernels in `groups` groups, `kh` × `kw` taps, `oh` × `ow` outputs; stride `sh, sw`, dilation
    `dh, dw`, padding `pt, pb, pl, pr` (top, bottom, left, right). Arrays may lack axes, which are then of size 1: N, C,
    and H in conv1d, which is conv2d of one row. Equal problems are computed alike, so a problem is
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
    x_axes: str  # the letters of x's axes in order, e.g. "NHWC", "CHW", "HW" or "NCW"; the result has the same
    weight_axes: str  # e.g. "OIHW" or "HW"
    x_dtype: np.dtype[Any]  # of the first operand, which is x in conv2d
    weight_dtype: np.dtype[Any]  # of the second
    bias_dtype: np.dtype[Any] | None  # of the third, None if there is none
    dtype: np.dtype[Any]  # of the result
    compute: np.dtype[Any]  # of the arithmetic: (u)int64, float32, float64, complex64 or complex128
    algorithm: str
    operator: str = "conv2d"  # what is to be computed, a name of `OPERATORS`
    depth: Axis = POINT  # the third axis of conv3d and its transpose; no other operator has one

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
        taps = (self.ic // self.groups) * self.depth.k * self.kh * self.kw
        return self.n * self.oc * self.depth.out * self.oh * self.ow * taps

    def shape_of(self, array: str) -> tuple[int, ...]:
        """Shape of the convolution's `x`, `weight`, `bias` or result `y`, in the order of its axes."""
        if array == "bias":
            return (self.oc,)
        if array == "weight":
            kernel = {"O": self.oc, "I": self.ic // self.groups, "D": self.depth.k, "H": self.kh, "W": self.kw}
            return tuple(kernel[letter] for letter in self.weight_axes)
        of_y = array == "y"
        d, h, w = (self.depth.out, self.oh, self.ow) if of_y else (self.depth.size, self.ih, self.iw)
        sizes = {"N": self.n, "C": self.oc if of_y else self.ic, "D": d, "H": h, "W": w}
        return tuple(sizes[letter] for letter in self.x_axes)

    def nchw(self, array: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
        """View of an array with the axes of `x`, or of conv2d's result, as N, C, H, W whatever its layout."""
        return canonical(array, self.x_axes, "NCHW")

    def oihw(self, weight: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
        """View of `weight` with the axes O, I, H, W whatever its layout, flipped if the kernel is to be flipped."""
        view = canonical(weight, self.weight_axes, "OIHW")
        return view[:, :, ::-1, ::-1] if self.flip else view

    def ncdhw(self, array: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
        """The same view as N, C, D, H, W, for operators with three axes."""
        return canonical(array, self.x_axes, "NCDHW")

    def oidhw(self, weight: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
        """The same view of `weight` as O, I, D, H, W, flipped along all three."""
        view = canonical(weight, self.weight_axes, "OIDHW")
        return view[:, :, ::-1, ::-1, ::-1] if self.flip else view

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
        space: Space = PLANE,
    ) -> Problem:
        """Check one call of `conv2d` and describe it.

        Only shapes and dtypes of the arrays are read. The arguments are those of `conv2d`, or those of its like for
        one or three axes, by `space`.

        Raises
        ------
        ValueError
            A shape or a value is wrong.
        TypeError
            An argument is of the wrong kind.
        """
        # Everything that may run the caller's code (__index__, __complex__) comes before the shapes are read.
        strides = read_each("stride", stride, 1, space)
        dilations = read_each("dilation", dilation, 1, space)
        groups = read_integer("groups", groups, 1)
        pads = read_padding(padding, space)
        mode = read_padding_mode(padding_mode)
        flip = read_flag("flip", flip)
        algorithm = read_name("algorithm", algorithm)
        fill = read_number("fill_value", fill_value)
        compute, result = choose_dtypes({"x": x, "weight": weight, "bias": bias}, dtype)

        x_shape, weight_shape = x.shape, weight.shape
        x_axes, weight_axes = axes_of(x_shape, weight_shape, data_format, weight_format, "x", space)
        x_sizes = {"N": 1, "C": 1} | dict(zip(x_axes, x_shape, strict=True))
        weight_sizes = {"O": 1, "I": 1} | dict(zip(weight_axes, weight_shape, strict=True))
        n, ic, oc, igc = x_sizes["N"], x_sizes["C"], weight_sizes["O"], weight_sizes["I"]
        shapes = f"x {show(x_shape)} {x_axes}, weight {show(weight_shape)} {weight_axes}"

        for letter, size in x_sizes.items():
            if size == 0 and letter != "N":
                refuse(f"x has an empty axis {letter}; only N may be empty", shapes)
        for letter, size in weight_sizes.items():
            if size == 0 and letter != "O":
                refuse(f"weight has an empty axis {letter}; only O may be empty", shapes)
        if ic % groups:
            refuse(f"groups={show(groups)} does not divide x's {ic} channels; expected a divisor", shapes)
        if oc % groups:
            refuse(f"groups={show(groups)} does not divide weight's {oc} output channels; expected a divisor", shapes)
        if igc * groups != ic:
            refuse_channels(ic, igc, groups, x_sizes, weight_shape, weight_axes, shapes)
        if bias is not None and bias.shape != (oc,):
            refuse(f"bias must have shape ({oc},), one value for each output channel, got {show(bias.shape)}", shapes)

        axes = {}
        for i, letter in enumerate(space.letters):
            axis = Axis(x_sizes[letter], weight_sizes[letter], strides[i], dilations[i])
            axes[letter] = extent(space.names[i], axis, pads if isinstance(pads, str) else pads[i], shapes)
        d, h, w = (axes.get(letter, POINT) for letter in "DHW")
        problem = cls(
            n, groups, ic, h.size, w.size, oc, h.k, w.k, h.out, w.out, h.s, w.s, h.d, w.d,
            h.before, h.after, w.before, w.after,
            mode, fill_of(fill, mode, compute), flip, x_axes, weight_axes,
            native(x.dtype), native(weight.dtype), None if bias is None else native(bias.dtype),
            result, compute, algorithm, "conv3d" if space is VOLUME else "conv2d", d,
        )  # fmt: skip
        # The bound holds for the result and for the wider temporary that a narrow result is rounded from.
        if n * oc * d.out * h.out * w.out * max(result.itemsize, compute.itemsize) > LIMIT:
            refuse(
                f"the result would have shape {show(problem.out_shape)} and dtype {result}, more than 2**63 bytes; "
                "use less padding or a larger stride",
                shapes,
            )
        return problem


of_conv1d = functools.partial(Problem.of, data_format="NCW", space=LINE)
of_conv3d = functools.partial(Problem.of, data_format="NCDHW", space=VOLUME)


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
    shape = getattr(array, "shape", None)
    if isinstance(shape, tuple) and any(isinstance(size, float) and size != size for size in shape):  # NaN, as Dask's
        raise ValueError(
            f"{name} has sizes that are not known yet, got shape {show(shape)}; let its library find them first, "
            f"as {name}.compute_chunk_sizes() of a Dask array does."
        )
    shape = check_shape(f"{name}.shape", shape).shape
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


def fill_of(fill: complex, mode: str, compute: np.dtype[Any]) -> complex:
    """`fill_value` as a value of the arithmetic's dtype, exactly or rounded once, never wrapped."""
    if mode != "constant":
        if fill != 0:
            raise ValueError(f"fill_value={show(fill)} has no meaning with padding_mode={mode!r}; leave it out.")
        return 0
    if type(fill) is complex and compute.kind != "c":
        raise TypeError(f"fill_value={show(fill)} is complex, but the computation is in {compute}; pass a real number.")
    if compute.kind in "biu":
        low, high = (0, 1) if compute.kind == "b" else (np.iinfo(compute).min, np.iinfo(compute).max)
        if not isinstance(fill, int) or not low <= fill <= high:
            raise ValueError(
                f"fill_value must be an integer from {low} to {high}, since the computation is in {compute}, got "
                f"{show(fill)}."
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
