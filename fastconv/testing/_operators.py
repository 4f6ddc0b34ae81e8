"""Calls of the operators beside conv2d, made of calls of conv2d, and what the conformance kit asks of them.

`DRAWN` says how a call of each is drawn; all else here is the same for every operator.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

import fastconv

from ._calls import Call, make_array, random_call
from ._judge import expect

Array = np.ndarray[Any, Any]


class OperatorCall(NamedTuple):
    """A call of another operator: its arrays, the rest of its arguments, and the call of conv2d that it belongs to."""

    operator: str
    operands: tuple[Array | None, ...]
    shape: tuple[Any, ...]  # that of the image or of the kernels, for an operator that is told
    options: dict[str, Any]
    of: Call

    def __repr__(self) -> str:
        """Arrays by shape and dtype: it is part of messages that are made whether they are raised or not."""
        arrays = ", ".join("None" if a is None else f"{a.dtype} {a.shape}" for a in self.operands)
        return f"{self.operator} of {arrays}, {self.shape}, {self.options}, made of {self.of}"

    def run(self, backend: str | None = None, **changes: Any) -> Any:
        """Return the result."""
        function = getattr(fastconv, self.operator)
        return function(*self.operands, *self.shape, **(self.options | changes), backend=backend)

    def explain(self, backend: str, **changes: Any) -> fastconv.Explanation:
        """Return what would compute it."""
        options = self.options | changes
        operands: tuple[Any, ...] = (*self.operands, *self.shape)
        return fastconv.explain(*operands, **options, operator=self.operator, backend=backend)


def _grad_input(call: Call, options: dict[str, Any]) -> OperatorCall:
    return OperatorCall("conv2d_grad_input", (_grad(call, options), call.weight), (call.x.shape,), options, call)


def _grad_weight(call: Call, options: dict[str, Any]) -> OperatorCall:
    return OperatorCall("conv2d_grad_weight", (call.x, _grad(call, options)), (call.weight.shape,), options, call)


def _grad_bias(call: Call, options: dict[str, Any]) -> OperatorCall:
    kept = {key: value for key, value in options.items() if key in ("data_format", "num_threads")}
    return OperatorCall("conv2d_grad_bias", (_grad(call, options),), (), kept, call)


def _transpose(call: Call, options: dict[str, Any]) -> OperatorCall | None:
    if not call.weight.size:  # its image has no channels
        return None
    grad = _grad(call, options)
    axes = options.get("data_format", "NCHW")[-call.x.ndim :] if call.x.ndim != 2 else "HW"
    size = dict(zip(axes, call.x.shape, strict=True))
    channels = size.get("C", 1)
    bias = np.arange(channels).astype(grad.dtype) if channels % 2 else None
    options = options | {"output_shape": (size["H"], size["W"])}
    return OperatorCall("conv_transpose2d", (grad, call.weight, bias), (), options, call)


def _grad(call: Call, options: dict[str, Any]) -> Array:
    """A gradient with respect to the result of a call of conv2d."""
    return _like(fastconv.conv2d(call.x, call.weight, **options, backend="reference"), call)


def _like(y: Array, call: Call) -> Array:
    """An array of the shape and dtype of a result, exact if the call is."""
    rng = np.random.default_rng(0 if call.seed is None else call.seed)
    whole = rng.integers(0 if y.dtype.kind == "u" else -3, 4, y.shape)
    values = whole if call.exact else np.asarray(rng.standard_normal(y.shape))
    return np.asarray(values.astype(y.dtype) * (y.dtype.type(1 - 2j) if y.dtype.kind == "c" else y.dtype.type(1)))


def _conv1d(call: Call, options: dict[str, Any]) -> OperatorCall:
    row = _row(call, options)
    return OperatorCall("conv1d", (row.x, row.weight, row.bias), (), row.options, row)


def _transpose1d(call: Call, options: dict[str, Any]) -> OperatorCall | None:
    row = _row(call, options)
    if not row.weight.size:
        return None
    y = fastconv.conv1d(row.x, row.weight, **row.options, backend="reference")
    width = row.x.shape[row.options["data_format"].index("W")] if row.x.ndim > 1 else row.x.size
    return OperatorCall(
        "conv_transpose1d", (_like(y, row), row.weight, None), (), row.options | {"output_shape": width}, row
    )


def _row(call: Call, options: dict[str, Any]) -> Call:
    """A call of conv1d made of the first rows of a call of conv2d's arrays."""
    x_axes, weight_axes = options.get("data_format", "HW"), options.get("weight_format", "HW")
    x, weight = (array.take(0, axes.index("H")) for array, axes in ((call.x, x_axes), (call.weight, weight_axes)))
    last = {key: value[-1:] for key, value in options.items() if isinstance(value, tuple)}
    formats = {"data_format": x_axes.replace("H", ""), "weight_format": weight_axes.replace("H", "")}
    return call._replace(x=x, weight=weight, options=options | last | formats)


def _pad(call: Call, options: dict[str, Any]) -> OperatorCall:
    padding = options["padding"]
    kept = _kept(call, options, "padding_mode", "data_format", "num_threads", "fill_value")
    return OperatorCall("pad2d", (call.x,), (3 if isinstance(padding, str) else padding,), kept, call)


WINDOWS = ("stride", "padding", "dilation", "padding_mode", "fill_value", "data_format", "weight_format", "num_threads")


def _unfold(call: Call, options: dict[str, Any]) -> OperatorCall | None:
    if call.x.ndim == 2:  # it wants an axis for channels
        return None
    size = dict(zip(options["weight_format"], call.weight.shape, strict=True))
    return OperatorCall("unfold2d", (call.x,), ((size["H"], size["W"]),), _kept(call, options, *WINDOWS), call)


def _fold(call: Call, options: dict[str, Any]) -> OperatorCall | None:
    unfolded = _unfold(call, options)
    if unfolded is None:
        return None
    axes = [letter for letter in options["data_format"] if letter != "N" or call.x.ndim == 4]
    size = dict(zip(axes, call.x.shape, strict=True))
    cols = unfolded.run("reference")
    if call.exact:  # and not of numbers that are the same in every window
        rng = np.random.default_rng(0 if call.seed is None else call.seed)
        cols = rng.integers(0, 4, cols.shape).astype(cols.dtype)
    return OperatorCall("fold2d", (cols,), ((size["H"], size["W"]), *unfolded.shape), unfolded.options, call)


def _local(call: Call, options: dict[str, Any]) -> OperatorCall:
    axes = [letter for letter in options.get("data_format", "NCHW") if letter != "N" or call.x.ndim == 4]
    y = fastconv.conv2d(call.x, call.weight, **options, backend="reference")
    size = dict(zip(axes if call.x.ndim > 2 else "HW", y.shape, strict=True))
    rng = np.random.default_rng(0 if call.seed is None else call.seed)

    def elsewhere(array: Array) -> Array:
        """As many numbers for each output, drawn from those of an array."""
        shape = (size["H"], size["W"], *array.shape)
        return rng.choice(array.ravel(), shape) if array.size else np.empty(shape, array.dtype)

    bias = None if call.bias is None else elsewhere(call.bias) if rng.random() < 0.5 else call.bias
    return OperatorCall("local_conv2d", (call.x, elsewhere(call.weight), bias), (), options, call)


def _kept(call: Call, options: dict[str, Any], *names: str) -> dict[str, Any]:
    """Options that an operator which copies has; a fill value is one of the image's."""
    kept = {key: value for key, value in options.items() if key in names}
    if "fill_value" in kept and call.x.dtype.kind == "b":
        kept["fill_value"] %= 2
    return kept


def _conv3d(call: Call, options: dict[str, Any]) -> OperatorCall:
    volume = _volume(call, options)
    return OperatorCall("conv3d", (volume.x, volume.weight, volume.bias), (), volume.options, volume)


def _transpose3d(call: Call, options: dict[str, Any]) -> OperatorCall | None:
    if not call.weight.size:
        return None
    volume = _volume(call, options)
    grad = _like(fastconv.conv3d(volume.x, volume.weight, **volume.options, backend="reference"), volume)
    size = dict(zip(volume.options["data_format"][-volume.x.ndim :], volume.x.shape, strict=True))
    channels = size.get("C", 1)
    bias = np.arange(channels).astype(grad.dtype) if channels % 2 else None
    options = volume.options | {"output_shape": tuple(size[letter] for letter in "DHW")}
    return OperatorCall("conv_transpose3d", (grad, volume.weight, bias), (), options, volume)


def _volume(call: Call, options: dict[str, Any]) -> Call:
    """A call of conv3d like a call of conv2d, with a depth that is drawn for it."""
    rng = np.random.default_rng([3, 0 if call.seed is None else call.seed])
    k, size, stride, dilation, before, after = (int(rng.integers(low, high)) for low, high in DEPTHS)
    padding = options["padding"]
    if not isinstance(padding, str):
        each = (padding, padding) if isinstance(padding, int) else padding
        padding = ((before, after), *((p, p) if isinstance(p, int) else p for p in each))
    size = max(size, (k - 1) * dilation + 1 - (0 if isinstance(padding, str) else before + after))
    arrays, formats = [], []
    for array, axes, depth in (
        (call.x, options.get("data_format", "HW"), size),
        (call.weight, options.get("weight_format", "HW"), k),
    ):
        place = int(rng.integers(len(axes) + 1))
        letters = axes[:place] + "D" + axes[place:]
        sizes = dict(zip(axes, array.shape, strict=True)) | {"D": depth}
        arrays.append(make_array(rng, letters, sizes, array.dtype.newbyteorder("=").str, call.exact))
        formats.append(letters)
    of_three = {
        "stride": (stride, *np.broadcast_to(options["stride"], 2).tolist()),
        "dilation": (dilation, *np.broadcast_to(options["dilation"], 2).tolist()),
        "padding": padding,
    }
    of_three |= {"data_format": formats[0], "weight_format": formats[1]}
    return call._replace(x=arrays[0], weight=arrays[1], options=options | of_three)


DEPTHS = ((1, 4), (1, 6), (1, 4), (1, 3), (0, 3), (0, 3))  # ranges of kernel, size, stride, dilation, padding

# How a call of an operator is drawn: from a call of conv2d and its options but for dtype; None where it has none.
DRAWN: dict[str, Callable[[Call, dict[str, Any]], OperatorCall | None]] = {
    "conv2d_grad_input": _grad_input,
    "conv2d_grad_weight": _grad_weight,
    "conv2d_grad_bias": _grad_bias,
    "conv_transpose2d": _transpose,
    "conv1d": _conv1d,
    "conv_transpose1d": _transpose1d,
    "pad2d": _pad,
    "unfold2d": _unfold,
    "fold2d": _fold,
    "local_conv2d": _local,
    "conv3d": _conv3d,
    "conv_transpose3d": _transpose3d,
}

SUMS_ALONE = {"conv2d_grad_bias", "pad2d", "unfold2d", "fold2d"}  # operators without `algorithm`


def judge_operator(call: OperatorCall, result: Array) -> None:
    """Compare the result of a call that is summed in any order with the reference backend's."""
    expected = call.run("reference")
    same = result.shape == expected.shape and result.dtype.newbyteorder("=") == expected.dtype
    expect(same, f"shape {result.shape}, dtype {result.dtype}, expected {expected.shape}, {expected.dtype} for {call}")
    if np.array_equal(result, expected):
        return
    expect(result.dtype.kind not in "iu" and not call.of.exact, f"not exact for {call}")
    got, want = _wide(result), _wide(expected)
    finite = np.isfinite(want)
    expect(np.array_equal(np.isnan(got), np.isnan(want)), f"another pattern of NaN for {call}")
    expect(np.array_equal(finite, np.isfinite(got)), f"another pattern of infinities for {call}")
    with np.errstate(invalid="ignore"):
        excess = np.abs(got - want)[finite] - _bound(call)[finite]
    expect(not (excess > 0).any(), f"outside the bound, worst by {excess.max(initial=0):.3g}, for {call}")


def _bound(call: OperatorCall) -> Array:
    """Most by which two results may differ whose sums are taken in any order, each rounded once to the result's dtype.

    The operator itself says how many terms a sum has, if all numbers are 1, and what their sizes add up to.
    """
    problem = call.explain("reference").problem
    filled = call.options.get("fill_value", 0)
    terms = _of_sizes(call, [None if a is None else np.ones(a.shape) for a in call.operands], int(bool(filled)))
    sums = _of_sizes(call, [None if a is None else np.abs(_wide(a)) for a in call.operands], abs(filled))
    parts = 3 if problem.compute.kind == "c" else 1  # each part of a complex product is a sum of twice the terms
    info = np.finfo(problem.compute)
    k = parts * (2 * terms + 2) * float(info.eps) / 2  # as many additions again where padding is folded back
    bound = 2 * (k / (1 - k)) * sums + parts * (2 * terms + 2) * float(info.smallest_subnormal)
    if problem.dtype.itemsize == 2:
        bound += 2.0**-9 * sums + 2.0**-23 if problem.dtype.name == "float16" else 2.0**-7 * sums
    return np.asarray(bound)


def _of_sizes(call: OperatorCall, operands: list[Array | None], fill: float) -> Array:
    changes = {"fill_value": fill} if "fill_value" in call.options else {}
    result: Array = call._replace(operands=tuple(operands)).run("reference", **changes)
    return result


def _wide(array: Array) -> Array:
    return array.astype(np.complex128 if array.dtype.kind == "c" else np.float64)


def operator_calls(operator: str, seeds: Iterable[int]) -> Iterator[OperatorCall]:
    """Yield the calls of an operator that belong to random calls of conv2d, where there are such."""
    for seed in seeds:
        call = random_call(seed)
        drawn = DRAWN[operator](call, {key: value for key, value in call.options.items() if key != "dtype"})
        if drawn is not None:
            yield drawn


class OperatorConformance:
    """What a backend makes of the operators beside conv2d: those that it has, and those composed from its conv2d."""

    backend: str = ""
    problems: int = 300
    exact: bool = True
    may_call: tuple[str, ...] = ()

    if TYPE_CHECKING:  # `BackendConformance` has them

        def ways(self) -> list[bool]: ...
        def make_array(self, array: Array) -> Any: ...
        def to_numpy(self, array: Any) -> Array: ...

    def test_other_operators(self) -> None:
        """Gradients and transposed convolutions come out right, the backend's own or composed, or are refused."""
        spec = fastconv.backend_spec(self.backend)
        if not self.exact:
            return
        direct = self._direct(np.ones((1, 1)) if "numpy:ndarray" in spec.accepts else self.make_array(np.ones((1, 1))))
        for operator in DRAWN:
            calls = list(operator_calls(operator, range(self.problems // 3)))
            own = calls[0].explain("reference").problem.operator in spec.operators
            for owned in self.ways():
                if owned and not own:  # what is composed is for NumPy's arrays alone
                    continue
                taken = sum(self._check(call, own, direct, owned) for call in calls)
                expect(taken > 0, f"it takes none of {len(calls)} random calls of {operator}, owned: {owned}")

    def _direct(self, one: Any) -> dict[str, Any]:
        """What asks for sums of products, if the backend has to be asked."""
        try:
            fastconv.explain(one, one, backend=self.backend, algorithm="direct")
        except (ValueError, fastconv.BackendError):
            return {}
        return {"algorithm": "direct"}

    def _check(self, call: OperatorCall, own: bool, direct: dict[str, Any], owned: bool) -> bool:
        changes = {} if call.operator in SUMS_ALONE else direct
        given = call
        if owned:
            given = call._replace(operands=tuple(None if a is None else self.make_array(a) for a in call.operands))
        verdict = given.explain(self.backend, **changes).candidates[self.backend].split(" (about")[0]
        try:
            with fastconv.trace() as traced:
                result = given.run(self.backend, **changes)
        except fastconv.BackendUnsupportedError as refusal:
            expect(not verdict.startswith("chosen"), f"reject had nothing to say, and then: {refusal} ({call})")
            return False
        expected = "chosen" if own else "chosen, composed from conv2d"
        expect(verdict == expected, f"it was to be {expected!r}, and was {verdict!r}: {call}")
        ran = [record.backend for record in traced]
        expect(ran[-1:] == [self.backend] and not {*ran} - {self.backend, *self.may_call}, f"backends {ran} ran {call}")
        expect(isinstance(result, np.ndarray) != owned, f"it made a {type(result).__name__} of {call}")
        judge_operator(call, self.to_numpy(result) if owned else result)
        return True
