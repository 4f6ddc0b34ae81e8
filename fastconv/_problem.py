"""Problem: one convolution, checked and in numbers.

Everything a caller can get wrong is found here and nowhere else: this module owns all validation, all shape arithmetic
and all messages. Python integers do not overflow, so sizes are computed exactly and then compared with the limits of
the 64-bit arithmetic that the kernels use. Backends receive a `Problem` and never look at the user's arguments again.
"""

from __future__ import annotations

import cmath
import math
import operator
from typing import Any, NamedTuple, NoReturn, cast

import numpy as np

LIMIT = 2**63 - 1  # the kernels count elements and bytes in int64

# NumPy's name of a padding mode, and what the same extension is called elsewhere (PyTorch, TensorFlow).
PADDING_MODES = ("constant", "reflect", "symmetric", "edge", "wrap")
PADDING_MODE_ALIASES = {"zeros": "constant", "replicate": "edge", "circular": "wrap"}

PADDING_NAMES = ("valid", "same", "same_lower", "full")


class Problem(NamedTuple):
    """One convolution, fully checked: integers, dtypes and names, but no arrays.

    Sizes are those of the canonical layout whatever the arrays' own: `n` images of `ic` channels and `ih` × `iw`
    pixels, `oc` kernels in `groups` groups, `kh` × `kw` taps, `oh` × `ow` outputs; stride `sh, sw`, dilation
    `dh, dw`, padding `pt, pb, pl, pr` (top, bottom, left, right). Equal problems are computed alike, so a problem is
    the key of a plan.
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
    x_dtype: np.dtype[Any]
    weight_dtype: np.dtype[Any]
    bias_dtype: np.dtype[Any] | None
    dtype: np.dtype[Any]  # of the result
    compute: np.dtype[Any]  # of the arithmetic: (u)int64, float32, float64, complex64 or complex128
    algorithm: str

    @property
    def out_shape(self) -> tuple[int, ...]:
        """Shape of the result, in the order of `x_axes`."""
        sizes = {"N": self.n, "C": self.oc, "H": self.oh, "W": self.ow}
        return tuple(sizes[letter] for letter in self.x_axes)

    @property
    def macs(self) -> int:
        """Multiply-accumulates of the direct algorithm."""
        return self.n * self.oc * self.oh * self.ow * (self.ic // self.groups) * self.kh * self.kw

    def nchw(self, array: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
        """View of `x`, or of an array of the result's shape, with the axes N, C, H, W whatever its layout."""
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
        bias: np.ndarray[Any, Any] | None = None,
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
        sh, sw = _pair("stride", stride, 1)
        dh, dw = _pair("dilation", dilation, 1)
        groups = _integer("groups", groups, 1)
        pads = _padding(padding)
        mode = _padding_mode(padding_mode)
        flip = _flag("flip", flip)
        algorithm = _name("algorithm", algorithm)
        fill = _number("fill_value", fill_value)
        compute, result = _dtypes(x.dtype, weight.dtype, None if bias is None else bias.dtype, dtype)

        x_shape, weight_shape = x.shape, weight.shape
        x_axes, weight_axes = _axes(x_shape, weight_shape, data_format, weight_format)
        x_sizes = {"N": 1, "C": 1} | dict(zip(x_axes, x_shape, strict=True))
        weight_sizes = {"O": 1, "I": 1} | dict(zip(weight_axes, weight_shape, strict=True))
        n, ic, ih, iw = (x_sizes[letter] for letter in "NCHW")
        oc, igc, kh, kw = (weight_sizes[letter] for letter in "OIHW")
        shapes = f"x {_show(x_shape)} {x_axes}, weight {_show(weight_shape)} {weight_axes}"

        for letter, size in x_sizes.items():
            if size == 0 and letter != "N":
                _refuse(f"x has an empty axis {letter}; only N may be empty", shapes)
        for letter, size in weight_sizes.items():
            if size == 0 and letter != "O":
                _refuse(f"weight has an empty axis {letter}; only O may be empty", shapes)
        if ic % groups:
            _refuse(f"groups={_show(groups)} does not divide x's {ic} channels; expected a divisor", shapes)
        if oc % groups:
            _refuse(f"groups={_show(groups)} does not divide weight's {oc} output channels; expected a divisor", shapes)
        if igc * groups != ic:
            _refuse_channels(ic, igc, groups, x_sizes, weight_shape, weight_axes, shapes)
        if bias is not None and bias.shape != (oc,):
            _refuse(f"bias must have shape ({oc},), one value for each output channel, got {_show(bias.shape)}", shapes)

        pt, pb, oh = _extent("height", ih, kh, sh, dh, pads, 0, shapes)
        pl, pr, ow = _extent("width", iw, kw, sw, dw, pads, 1, shapes)
        problem = cls(
            n, groups, ic, ih, iw, oc, kh, kw, oh, ow, sh, sw, dh, dw, pt, pb, pl, pr,
            mode, _fill(fill, mode, compute), flip, x_axes, weight_axes,
            _native(x.dtype), _native(weight.dtype), None if bias is None else _native(bias.dtype),
            result, compute, algorithm,
        )  # fmt: skip
        # The bound holds for the result and for the wider temporary that a narrow result is rounded from.
        if n * oc * oh * ow * max(result.itemsize, compute.itemsize) > LIMIT:
            _refuse(
                f"the result would have shape {_show(problem.out_shape)} and dtype {result}, more than 2**63 bytes; "
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
        raise ValueError(f"{name} can't be converted to an array: {_clip(str(error))}") from error


class Described(NamedTuple):
    """A float32 array that is its shape alone, for questions that need no data."""

    shape: tuple[int, ...]
    dtype: np.dtype[Any] = np.dtype(np.float32)


def check_shape(name: str, shape: object) -> Described:
    """Return an array's description, or say why there is no array of that shape."""
    sizes = shape if isinstance(shape, tuple | list) else None
    if sizes is None or len(sizes) > 64:
        raise TypeError(f"{name} must be a tuple of sizes, got {_show(shape)}.")
    return Described(tuple(_integer(f"each size in {name}", size, 0) for size in sizes))


def check_out(problem: Problem, out: object) -> np.ndarray[Any, Any]:
    """Return `out` if the result can be written into it, or say why not."""
    if not isinstance(out, np.ndarray) or isinstance(out, np.ma.MaskedArray | np.matrix):
        raise TypeError(f"out must be a plain numpy.ndarray or None, got {_kind(out)}.")
    if out.shape != problem.out_shape:
        raise ValueError(f"out has shape {_show(out.shape)}, but the result has shape {_show(problem.out_shape)}.")
    if _native(out.dtype) != problem.dtype:
        raise TypeError(
            f"out has dtype {_clip(str(out.dtype), 40)}, but the result has dtype {problem.dtype}; "
            "pass an out of that dtype, or choose the result's dtype with dtype=."
        )
    if not out.flags.writeable:
        raise ValueError("out is read-only; pass a writable array.")
    if not _disjoint_elements(out):
        raise ValueError(f"out has elements that share memory (strides {_show(out.strides)}); pass an ordinary array.")
    return out


def check_num_threads(num_threads: object) -> int:
    """Return the thread count asked for, 0 where the choice is the library's."""
    return 0 if num_threads is None else _integer("num_threads", num_threads, 1)


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
    raise ValueError(_clip(f"{sentence} ({context}).", 500))


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
        f"weight has {igc} input channels a group and groups={_show(groups)}, which makes {_show(igc * groups)}, "
        f"but x has {ic} channels; expected {_show(ic // groups)} a group{hint}",
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
        _refuse(f"the padded {name} is {_show(padded)}, more than 2**63 - 1", shapes)
    if reach > padded:
        _refuse(
            f"the kernel reaches over {_show(reach)} pixels of {name} (size {k}, dilation {_show(d)}), but the padded "
            f"{name} is {_show(padded)}; use a smaller kernel or dilation, or more padding",
            shapes,
        )
    return before, after, (padded - reach) // s + 1


def _axes(
    x_shape: tuple[int, ...], weight_shape: tuple[int, ...], data_format: object, weight_format: object
) -> tuple[str, str]:
    """The letters of x's and of weight's axes, in order."""
    axes = _letters("data_format", data_format, "NCHW", ("NCHW", "CHW", "HW"))
    if weight_format is None:
        weight_axes = "OIHW" if axes.find("C") < axes.find("H") else "HWIO"
    else:
        weight_axes = _letters("weight_format", weight_format, "OIHW", ("OIHW", "HW"))
    # N may be left out, and a 2-D image with a 2-D kernel is one channel in and one out: by rank, never by size.
    for optional in ("N", "C"):
        if len(x_shape) < len(axes):
            axes = axes.replace(optional, "")
    if len(x_shape) == len(weight_shape) == 2:
        weight_axes = weight_axes.replace("O", "").replace("I", "")
    if len(x_shape) != len(axes):
        raise ValueError(
            f"x must have 4 axes, 3 (one image) or 2 (one channel of one image), and no more than data_format="
            f"{_show(data_format)} names, got shape {_show(x_shape)}."
        )
    if len(weight_shape) != len(weight_axes) or (len(axes) == 2) != (len(weight_axes) == 2):
        raise ValueError(
            f"weight must have 4 axes, or 2 where x has 2, got shape {_show(weight_shape)} with x of shape "
            f"{_show(x_shape)}; one kernel k for one channel is k[None, None] in OIHW."
        )
    return axes, weight_axes


def _letters(name: str, value: object, letters: str, choices: tuple[str, ...]) -> str:
    if not isinstance(value, str):
        raise TypeError(f"{name} must be a string such as {letters!r}, got {_kind(value)}.")
    upper = value.upper() if len(value) <= 4 else value
    if sorted(upper) not in [sorted(choice) for choice in choices]:
        raise ValueError(f"{name} must be the letters of {' or '.join(choices)} in any order, got {_show(value)}.")
    return upper


def _padding(value: object) -> str | tuple[tuple[int, int], ...]:
    if isinstance(value, str):
        if value.lower() in PADDING_NAMES:
            return value.lower()
        raise ValueError(
            f"padding must be one of {', '.join(PADDING_NAMES)}, an int, (ph, pw) or ((top, bottom), (left, right)), "
            f"got {_show(value)}."
        )
    items = _items(value)
    if items is None:
        p = _integer("padding", value, 0)
        return (p, p), (p, p)
    if len(items) != 2:
        raise ValueError(
            f"padding must be an int, (ph, pw), ((top, bottom), (left, right)) or a name, got {_show(value)}; flat "
            "sequences of other lengths are ordered differently by every library and are not accepted."
        )
    pairs = [_items(item) for item in items]
    if pairs == [None, None]:
        ph, pw = (_integer("padding", item, 0) for item in items)
        return (ph, ph), (pw, pw)
    if any(pair is None or len(pair) != 2 for pair in pairs):
        raise ValueError(f"padding must be (ph, pw) or ((top, bottom), (left, right)), got {_show(value)}.")
    (pt, pb), (pl, pr) = ((_integer("padding", item, 0) for item in pair or ()) for pair in pairs)
    return (pt, pb), (pl, pr)


def _padding_mode(value: object) -> str:
    name = _name("padding_mode", value)
    name = PADDING_MODE_ALIASES.get(name, name)
    if name not in PADDING_MODES:
        known = ", ".join((*PADDING_MODES, *PADDING_MODE_ALIASES))
        raise ValueError(f"padding_mode must be one of {known}, got {_show(value)}.")
    return name


def _fill(fill: complex, mode: str, compute: np.dtype[Any]) -> complex:
    """`fill_value` as a value of the arithmetic's dtype, exactly or rounded once, never wrapped."""
    if mode != "constant":
        if fill != 0:
            raise ValueError(f"fill_value={_show(fill)} has no meaning with padding_mode={mode!r}; leave it out.")
        return 0
    if type(fill) is complex and compute.kind != "c":
        raise TypeError(
            f"fill_value={_show(fill)} is complex, but the computation is in {compute}; pass a real number."
        )
    if compute.kind in "iu":
        bounds = np.iinfo(compute)
        if not isinstance(fill, int) or not bounds.min <= fill <= bounds.max:
            raise ValueError(
                f"fill_value must be an integer from {bounds.min} to {bounds.max}, since the computation is in "
                f"{compute}, got {_show(fill)}."
            )
        return fill
    try:
        with np.errstate(over="ignore"):
            value: complex = compute.type(fill).item()
        overflowed = cmath.isinf(value) and not cmath.isinf(fill)
    except OverflowError:
        overflowed = True
    if overflowed:
        raise ValueError(f"fill_value={_show(fill)} is too large for {compute}; pass numpy.inf to mean infinity.")
    if type(value) is float and math.isnan(value):
        return math.nan  # one object, so that problems with it compare equal
    return value + 0  # one zero: -0.0 becomes 0.0


def _dtypes(
    x: np.dtype[Any], weight: np.dtype[Any], bias: np.dtype[Any] | None, asked: object
) -> tuple[np.dtype[Any], np.dtype[Any]]:
    """The dtypes of the arithmetic and of the result."""
    inputs = {"x": x, "weight": weight} | ({} if bias is None else {"bias": bias})
    for name, dtype in inputs.items():
        if not _is_supported(dtype):
            raise TypeError(
                f"{name} has dtype {_clip(str(dtype), 60)}; supported are bool, the integers, float16, bfloat16, "
                "float32, float64, complex64 and complex128, in either byte order."
            )
    kinds = {dtype.kind for dtype in inputs.values()}
    if kinds <= set("biu"):
        # As numpy.sum does: 64 bits, unsigned where every integer is (a bool counts 0 or 1 and decides nothing).
        natural = np.dtype(np.uint64 if kinds - {"b"} == {"u"} else np.int64)
    else:
        try:
            natural = np.result_type(*inputs.values())
        except TypeError as error:
            given = ", ".join(f"{name} {dtype}" for name, dtype in inputs.items())
            raise TypeError(f"NumPy has no common dtype for {given}; convert one of them.") from error
    result = natural
    if asked is not None:
        try:
            result = _native(np.dtype(asked))  # type: ignore[call-overload]
        except (TypeError, ValueError, SyntaxError) as error:
            raise TypeError(f"dtype must be a NumPy dtype or its name, got {_show(asked)}.") from error
        if not _is_supported(result) or result.kind == "b":
            raise TypeError(
                f"dtype must be an integer, float16, bfloat16, float32, float64 or complex dtype, got {_show(asked)}."
            )
        if _rank(natural) > _rank(result):
            raise TypeError(
                f"dtype={result} can't hold the result, which is {natural} by promotion; leave dtype out and convert "
                "the result with astype if that is what you mean."
            )
    # Integers are summed exactly (modulo 2**64) and rounded once; float16 and bfloat16 are storage alone.
    compute = _accumulator(natural)
    if compute.kind not in "iu":
        compute = np.result_type(compute, _accumulator(result))
    return compute, result


def _is_supported(dtype: np.dtype[Any]) -> bool:
    return (dtype.kind in "biufc" and dtype.itemsize <= (16 if dtype.kind == "c" else 8)) or dtype.name == "bfloat16"


def _rank(dtype: np.dtype[Any]) -> int:
    return {"i": 0, "u": 0, "f": 1, "V": 1, "c": 2}[dtype.kind]


def _accumulator(dtype: np.dtype[Any]) -> np.dtype[Any]:
    return np.dtype(np.float32) if dtype.itemsize == 2 and dtype.kind in "fV" else dtype


def _native(dtype: np.dtype[Any]) -> np.dtype[Any]:
    return dtype if dtype.isnative else dtype.newbyteorder("=")


def _pair(name: str, value: object, minimum: int) -> tuple[int, int]:
    items = _items(value)
    if items is None:
        both = _integer(name, value, minimum)
        return both, both
    if len(items) != 2:
        raise ValueError(f"{name} must be an int or a pair (height, width), got {_show(value)}.")
    return _integer(name, items[0], minimum), _integer(name, items[1], minimum)


def _items(value: object) -> list[object] | tuple[object, ...] | None:
    """The items of a sequence of arguments, or None if `value` is a single one."""
    if isinstance(value, np.ndarray) and value.ndim:
        return list(value[:5])  # of a longer one only the length matters, and five is already wrong
    return value if isinstance(value, list | tuple) else None


def _integer(name: str, value: object, minimum: int) -> int:
    """An integer through `__index__`; a bool is not one, whatever Python says."""
    if type(value) is not int:
        if isinstance(value, bool | np.bool_):
            raise TypeError(f"{name} must be an integer, got the bool {value}.")
        try:
            value = operator.index(value)  # type: ignore[arg-type]
        except TypeError as error:
            raise TypeError(f"{name} must be an integer, got {_show(value)}.") from error
    if value < minimum:
        raise ValueError(f"{name} must be at least {minimum}, got {_show(value)}.")
    if value > LIMIT:
        raise ValueError(f"{name} must be less than 2**63, got {_show(value)}.")
    return int(value)


def _number(name: str, value: object) -> complex:
    """A Python int, float or complex, from any numeric scalar."""
    if isinstance(value, np.ndarray) and value.ndim == 0:
        value = value[()]
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, int | float | complex):
        return int(value) if isinstance(value, bool) else value
    raise TypeError(f"{name} must be a number, got {_show(value)}.")


def _flag(name: str, value: object) -> bool:
    if isinstance(value, bool | np.bool_):
        return bool(value)
    raise TypeError(f"{name} must be True or False, got {_show(value)}.")


def _name(name: str, value: object) -> str:
    if isinstance(value, str):
        return value.lower() if len(value) <= 40 else value
    raise TypeError(f"{name} must be a string, got {_show(value)}.")


def _kind(value: object) -> str:
    return "None" if value is None else f"an object of type {_clip(type(value).__name__, 60)}"


def _show(value: object, depth: int = 2) -> str:
    """A short, safe text for a message: never an array's contents, a foreign repr, or a thousand digits."""
    if type(value) is int and abs(value) >= 10**24:
        return f"an integer of {value.bit_length()} bits"
    if type(value) in (tuple, list) and depth:
        items = [_show(item, depth - 1) for item in value[:6]]  # type: ignore[index]
        more = len(value) - len(items)  # type: ignore[arg-type]
        inner = ", ".join(items) + (f", … {more} more" if more else "")
        if type(value) is list:
            return f"[{inner}]"
        return f"({inner},)" if len(items) == 1 else f"({inner})"
    if value is None or type(value) in (bool, int, float, complex):
        return repr(value)
    if type(value) in (str, bytes):
        return _clip(repr(value[:60]), 60)  # type: ignore[index]
    return _kind(value)


def _clip(text: str, length: int = 200) -> str:
    return text if len(text) <= length else text[: length - 1] + "…"
