"""One random call of `conv2d`: arguments over the whole space, arrays in every memory layout."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from fastconv import PADDING_MODES

Array = np.ndarray[Any, Any]

# (x, weight, bias, result) with the share of draws; None: no dtype asked for.
DTYPES = [
    ("f4", "f4", "f4", None, 10),
    ("f8", "f8", "f8", None, 6),
    ("f4", "f8", "f4", None, 1),
    ("f4", "f4", "f8", None, 1),
    ("u1", "f4", "f4", None, 2),
    ("u1", "f8", "i4", None, 1),
    ("i4", "f4", "f4", None, 1),
    ("f4", "i2", "i8", None, 1),
    ("f8", "f8", "f8", "f4", 1),
    ("f4", "f4", "f4", "f8", 1),
    ("f2", "f2", "f2", None, 2),
    ("f2", "f4", "f2", None, 1),
    ("f4", "f4", "f4", "f2", 1),
    ("u1", "i1", "i4", None, 2),
    ("u1", "u1", "u2", None, 1),
    ("i8", "i8", "i8", None, 1),
    ("u8", "u8", "u8", None, 1),
    ("u8", "i4", "i4", None, 1),
    ("i4", "i4", "i4", "i4", 1),
    ("u1", "i1", "i4", "u1", 1),
    ("i2", "i2", "i2", "f4", 1),
    ("?", "i4", "?", None, 1),
    ("c8", "c8", "c8", None, 2),
    ("c16", "c16", "c16", None, 1),
    ("f4", "c8", "f4", None, 1),
    ("c8", "f8", "c16", None, 1),
    ("f4", "f4", "f4", "c8", 1),
]


class Call(NamedTuple):
    """A call of `conv2d`: positional and keyword arguments, and how it was drawn."""

    x: Array
    weight: Array
    bias: Array | None
    options: dict[str, Any]
    seed: int | None  # of `random_call`, None if that did not draw it
    exact: bool  # small integers alone: every partial sum is exact in every arithmetic

    def __repr__(self) -> str:
        arrays = ", ".join(
            f"{name}: {a.dtype} {a.shape} strides {a.strides}"
            for name, a in (("x", self.x), ("weight", self.weight), ("bias", self.bias))
            if a is not None
        )
        drawn = "a call" if self.seed is None else f"fastconv.testing.random_call({self.seed})"
        return f"{drawn}: {arrays}; {self.options}"


def random_call(seed: int) -> Call:
    """Return the call of a seed, the same on every machine.

    Parameters
    ----------
    seed : int
        At least 0.

    Returns
    -------
    Call
        Sizes are small (some thousand multiply-adds on average), so that many can be drawn; they cross the kernels'
        tiles and channel blocks now and then. Every call is valid.

    Examples
    --------
    >>> import fastconv
    >>> from fastconv.testing import random_call
    >>> call = random_call(1)
    >>> y = fastconv.conv2d(call.x, call.weight, call.bias, **call.options)
    """
    rng = np.random.default_rng([20261123, seed])
    exact = bool(rng.random() < 0.4)
    n = int(rng.choice([1, 1, 1, 2, 3, 0], p=[0.3, 0.2, 0.18, 0.2, 0.1, 0.02]))
    groups, igc, ocg = (_size(rng, 1, 4, 0), _size(rng, 1, 6, 70), _size(rng, 1, 9, 20))
    if rng.random() < 0.2:  # depthwise, with its multiplier
        groups, igc, ocg = groups + _size(rng, 1, 5, 20), 1, int(rng.integers(1, 4))
    if rng.random() < 0.02:
        ocg = 0
    planar = bool(rng.random() < 0.1)
    if planar:
        n = groups = igc = ocg = 1
    kernel = [_size(rng, 1, 5, 9) for _ in "hw"]
    stride, dilation = ([int(rng.integers(1, 4)) if rng.random() < 0.4 else 1 for _ in "hw"] for _ in "sd")
    padding = _padding(rng)
    mode = str(rng.choice(PADDING_MODES)) if rng.random() < 0.6 else "constant"
    image = [_size(rng, 1, 13, 70) for _ in "hw"]
    for axis in range(2):  # as large as the kernel needs
        before_and_after = _pairs(padding)[axis]
        reach = (kernel[axis] - 1) * dilation[axis] + 1
        image[axis] = max(image[axis], reach - sum(before_and_after), 1)

    x_axes, weight_axes = _axes(rng, planar)
    kinds = _dtypes(rng)
    lattice = exact or all(np.dtype(kind).kind in "biu" for kind in kinds[:3])
    x = make_array(rng, x_axes, {"N": n, "C": groups * igc, "H": image[0], "W": image[1]}, kinds[0], lattice)
    weight = make_array(
        rng, weight_axes, {"O": groups * ocg, "I": igc, "H": kernel[0], "W": kernel[1]}, kinds[1], lattice
    )
    bias = make_array(rng, "O", {"O": groups * ocg}, kinds[2], lattice) if rng.random() < 0.5 else None
    options: dict[str, Any] = {"stride": _pair(rng, stride), "padding": padding, "dilation": _pair(rng, dilation)}
    options |= {"groups": groups, "padding_mode": mode, "flip": bool(rng.random() < 0.3)}
    if mode == "constant" and rng.random() < 0.4:
        options["fill_value"] = int(rng.integers(0, 4))
    if not planar:
        # An axis less in x means that N is left out; the format may leave it out as well.
        options |= {"data_format": x_axes, "weight_format": weight_axes}
    if kinds[3] is not None:
        options["dtype"] = kinds[3]
    if rng.random() < 0.3:
        options["num_threads"] = int(rng.integers(1, 4))
    return Call(x, weight, bias, options, seed, lattice)


def _size(rng: np.random.Generator, low: int, high: int, rare: int) -> int:
    """A size up to `high`, now and then up to `rare`."""
    if rare and rng.random() < 0.06:
        return int(rng.integers(low, rare + 1))
    return int(rng.integers(low, high + 1))


def _padding(rng: np.random.Generator) -> Any:
    width = int(rng.choice([2, 4, 40], p=[0.6, 0.35, 0.05]))
    form = rng.integers(0, 8)
    if form < 4:
        return ["valid", "SAME", "same_lower", "Full"][form]
    if form == 4:
        return int(rng.integers(0, width))
    if form == 5:
        return tuple(int(p) for p in rng.integers(0, width, 2))
    return tuple(tuple(int(p) for p in rng.integers(0, width, 2)) for _ in "hw")


def _pairs(padding: Any) -> Any:
    """Pixels that are sure to be added on each axis, as pairs."""
    if isinstance(padding, str):
        return ((0, 0), (0, 0))
    if isinstance(padding, int):
        return ((padding, padding), (padding, padding))
    return tuple((p, p) if isinstance(p, int) else p for p in padding)


def _pair(rng: np.random.Generator, values: list[int]) -> Any:
    return values[0] if values[0] == values[1] and rng.random() < 0.5 else tuple(values)


def _axes(rng: np.random.Generator, planar: bool) -> tuple[str, str]:
    if planar:
        return "HW", "HW"
    if rng.random() < 0.5:
        x_axes, weight_axes = ("NCHW", "OIHW") if rng.random() < 0.5 else ("NHWC", "HWIO")
    else:
        x_axes, weight_axes = ("".join(map(str, rng.permutation(list(letters)))) for letters in ("NCHW", "OIHW"))
    return x_axes, weight_axes


def _dtypes(rng: np.random.Generator) -> tuple[Any, Any, Any, Any]:
    shares = np.array([row[4] for row in DTYPES], float)
    return DTYPES[rng.choice(len(DTYPES), p=shares / shares.sum())][:4]


def make_array(rng: np.random.Generator, axes: str, sizes: dict[str, int], kind: str, lattice: bool) -> Array:
    """An array of that shape with random values, in a random memory layout."""
    shape = tuple(sizes[letter] for letter in axes)
    dtype = np.dtype(kind)
    values: Array
    if dtype.kind == "b":
        values = rng.integers(0, 2, shape)
    elif dtype.kind in "iu" and not lattice:
        bounds = np.iinfo(dtype)
        values = rng.integers(bounds.min, bounds.max, shape, dtype, endpoint=True)
    elif lattice:
        values = rng.integers(0 if dtype.kind == "u" else -3, 4, shape)
        if dtype.kind == "c":
            values = values + 1j * rng.integers(-3, 4, shape)
    else:
        values = rng.standard_normal(shape)
        if dtype.kind == "c":
            values = values + 1j * rng.standard_normal(shape)
        if values.size and rng.random() < 0.1:
            values.flat[rng.integers(values.size)] = rng.choice([np.nan, np.inf, -np.inf])
    with np.errstate(invalid="ignore"):
        return _lay_out(rng, values.astype(dtype))


def _lay_out(rng: np.random.Generator, array: Array) -> Array:
    """The same values in another memory layout."""
    layout = rng.integers(0, 12)
    if layout == 0:
        array = np.asfortranarray(array)
    elif layout == 1:
        array = array[::-1].copy()[::-1]
    elif layout == 2:
        array = array[..., ::-1].copy()[..., ::-1]
    elif layout == 3:  # every other element of a larger array
        larger = np.full(tuple(2 * size for size in array.shape), 99, array.dtype)
        view = larger[tuple(slice(None, None, 2) for _ in array.shape)]
        view[...] = array
        array = view
    elif layout == 4:
        array = array.astype(array.dtype.newbyteorder("S"))
    elif layout == 5 and array.size:  # one byte off
        raw = np.zeros(array.nbytes + 1, np.uint8)[1:]
        raw[:] = np.frombuffer(array.tobytes(), np.uint8)
        array = raw.view(array.dtype).reshape(array.shape)
    elif layout == 6:
        array.flags.writeable = False
    elif layout == 7 and array.ndim > 1 and array.shape[0]:  # one slice again and again, with stride 0
        array = np.broadcast_to(array[:1], array.shape)
    return array
