"""conv1d and conv_transpose1d: conv2d and its transpose for images of one row."""

import itertools

import numpy as np
import pytest

import fastconv
from fastconv import _api, conv1d, conv2d, conv_transpose1d, conv_transpose2d
from fastconv.testing._operators import operator_calls

pytestmark = pytest.mark.semantics

SEEDS = range(120)


def as_rows(call):
    """The arrays and options of a call of one axis as those of two, H before W everywhere."""
    options = dict(call.options)
    axes, weight_axes = options["data_format"], options["weight_format"]
    arrays = [array.reshape([*array.shape]) for array in call.operands[:2]]
    x = np.expand_dims(arrays[0], axes.index("W"))
    weight = np.expand_dims(arrays[1], weight_axes.index("W"))
    for name in ("stride", "dilation"):
        options[name] = (1, *np.broadcast_to(options[name], 1).tolist())
    if not isinstance(options["padding"], str):
        sides = np.broadcast_to(np.array(options["padding"], int).reshape(1, -1), (1, 2)).tolist()
        options["padding"] = ((0, 0), *map(tuple, sides))
    options |= {"data_format": axes.replace("W", "HW"), "weight_format": weight_axes.replace("W", "HW")}
    return x, weight, options, axes.index("W")


@pytest.mark.parametrize("algorithm", ["auto", "direct"])
def test_it_is_conv2d_of_one_row_to_the_bit(algorithm, unless_refused):
    for call in operator_calls("conv1d", SEEDS):
        with unless_refused():
            x, weight, options, row = as_rows(call)
            expected = conv2d(x, weight, call.operands[2], **options, algorithm=algorithm)
            np.testing.assert_array_equal(call.run(algorithm=algorithm), expected.squeeze(row), repr(call))


def test_the_transpose_is_that_of_one_row_to_the_bit(unless_refused):
    for call in operator_calls("conv_transpose1d", SEEDS):
        with unless_refused():
            x, weight, options, row = as_rows(call)
            options["output_shape"] = (1, options["output_shape"])
            np.testing.assert_array_equal(call.run(), conv_transpose2d(x, weight, **options).squeeze(row), repr(call))


@pytest.mark.parametrize("mode", [None, *fastconv.PADDING_MODES[1:]])
def test_against_numpy(mode, integers):
    rng = np.random.default_rng(0)
    for size, k, stride, dilation, (left, right) in itertools.product(
        (5, 9), (1, 2, 3), (1, 2), (1, 2), ((0, 0), (1, 0), (3, 4))
    ):
        x, weight = integers(rng, size), integers(rng, k)
        padded = np.pad(x, (left, right), mode or "constant")
        if (k - 1) * dilation >= len(padded):
            continue
        spread = np.zeros((k - 1) * dilation + 1, int)
        spread[::dilation] = weight
        expected = np.correlate(padded, spread, "valid")[::stride]
        options = {"padding": ((left, right),), "padding_mode": mode or "constant"}
        np.testing.assert_array_equal(conv1d(x, weight, None, stride, dilation=dilation, **options), expected)
        flipped = conv1d(x, weight[::-1], None, (stride,), dilation=[dilation], flip=True, **options)
        np.testing.assert_array_equal(flipped, expected)
    np.testing.assert_array_equal(conv1d(x, weight, padding="full", flip=True), np.convolve(x, weight))


@pytest.mark.parametrize(
    ("x_shape", "weight_shape", "options", "y_shape"),
    [
        ((2, 3, 9), (4, 3, 2), {}, (2, 4, 8)),
        ((3, 9), (4, 3, 2), {}, (4, 8)),
        ((9,), (2,), {}, (8,)),
        ((2, 9, 3), (2, 3, 4), {"data_format": "NWC"}, (2, 8, 4)),
        ((9, 3), (2, 3, 4), {"data_format": "nwc"}, (8, 4)),
        ((9, 3), (4, 3, 2), {"data_format": "WC", "weight_format": "OIW"}, (8, 4)),
        ((9, 3, 2), (3, 4, 2), {"data_format": "WCN", "weight_format": "IOW"}, (8, 4, 2)),
        ((0, 3, 9), (4, 3, 2), {}, (0, 4, 8)),
    ],
)
def test_layouts(x_shape, weight_shape, options, y_shape, integers):
    rng = np.random.default_rng(0)
    x, weight = integers(rng, x_shape), integers(rng, weight_shape)
    bias = integers(rng, 4 if len(weight_shape) == 3 else 1)
    y = conv1d(x, weight, bias, **options)
    assert y.shape == y_shape
    assert y.flags.c_contiguous
    np.testing.assert_array_equal(y, conv1d(x, weight, bias, **options, backend="reference"))
    out = np.zeros((2, *y_shape), y.dtype)[1]
    assert conv1d(x, weight, bias, **options, out=out) is out
    np.testing.assert_array_equal(out, y)
    again = conv_transpose1d(y, weight, **options)
    assert again.shape == x_shape


def test_calls_of_conv1d_and_of_conv2d_are_not_taken_for_each_other():
    """Both remember calls, and arrays of three axes are signals to one and an image to the other."""
    signals, kernels = np.ones((2, 3, 8), "f4"), np.ones((4, 3, 2), "f4")
    kernels2d = np.ones((4, 2, 2, 2), "f4")
    for _ in range(2):
        assert conv1d(signals, kernels).shape == (2, 4, 7)
        assert conv2d(signals, kernels2d).shape == (4, 2, 7)
        with pytest.raises(ValueError, match="weight must have 4 axes"):
            conv2d(signals, kernels)
        with pytest.raises(ValueError, match="data_format must be the letters of NCHW"):
            conv2d(signals, kernels, data_format="NCW")
        with pytest.raises(ValueError, match="weight must have 3 axes"):
            conv1d(signals, kernels2d)
        with pytest.raises(ValueError, match="data_format must be the letters of NCW"):
            conv1d(signals, kernels, data_format="NCHW")


def test_a_call_made_before_skips_the_checks(monkeypatch):
    x, weight = np.ones((1, 2, 8), "f4"), np.ones((3, 2, 3), "f4")
    out = np.empty((1, 3, 8), "f4")
    first = conv1d(x, weight, padding=1)
    monkeypatch.setattr(_api, "_check_and_compute", None)
    np.testing.assert_array_equal(conv1d(x, weight, padding=1), first)
    assert conv1d(x, weight, padding=1, out=out) is out
    np.testing.assert_array_equal(out, first)


@pytest.mark.semantics(False)
def test_signals_of_dask_stay_lazy():
    da = pytest.importorskip("dask.array")
    rng = np.random.default_rng(0)
    x, weight = rng.standard_normal((2, 3, 40)), rng.standard_normal((4, 3, 5))
    options = {"padding": "same", "stride": 2, "padding_mode": "wrap", "algorithm": "direct"}
    y = conv1d(da.from_array(x, chunks=(1, 3, 7)), weight, **options)
    assert isinstance(y, da.Array)
    np.testing.assert_array_equal(y.compute(), conv1d(x, weight, **options))


MALFORMED = [
    ({"stride": (1, 1)}, ValueError, r"stride must be an int or \(width,\), got \(1, 1\)"),
    ({"dilation": 0}, ValueError, "dilation must be at least 1"),
    ({"padding": (1, 2)}, ValueError, r"padding must be an int, \(pw,\), \(\(left, right\),\) or a name.*flat"),
    ({"padding": ((1,),)}, ValueError, r"padding must be \(pw,\) or \(\(left, right\),\)"),
    ({"padding": "SAME_UPPER"}, ValueError, r"padding must be one of valid, .*\(pw,\)"),
    ({"data_format": "NHW"}, ValueError, "data_format must be the letters of NCW or CW or W in any order"),
    ({"weight_format": "OIHW"}, ValueError, "weight_format must be the letters of OIW or W"),
    ({"weight": np.ones((3, 4, 2)), "weight_format": "WIO"}, ValueError, "weight has 4 input channels a group"),
    ({"data_format": "NWC", "weight_format": "OIW"}, ValueError, "weight has 3 input.*is data_format right"),
    ({"weight": np.ones((4, 2, 3)), "weight_format": "OIW"}, ValueError, "weight has 2 input channels a group"),
    ({"weight": np.ones((2, 3, 4)), "weight_format": "OIW", "x": np.ones((2, 4, 8))}, ValueError, "expected 4 a group"),
    ({"weight": np.ones((3, 2, 4))}, ValueError, "weight has 2 input channels.*expected 3 a group"),
    ({"weight": np.ones((2, 4, 3)), "weight_format": "WIO"}, ValueError, "has 4 input channels"),
    ({"weight": np.ones((4, 3, 2)), "weight_format": "WOI"}, ValueError, "weight has 2 input channels"),
    ({"groups": 2}, ValueError, "groups=2 does not divide x's 3 channels"),
    ({"bias": np.ones(3)}, ValueError, r"bias must have shape \(4,\)"),
    ({"dilation": 9}, ValueError, "the kernel reaches over 10 pixels of width"),
    ({"out": np.ones((2, 4))}, ValueError, r"out has shape \(2, 4\), but the result has shape \(2, 4, 7\)"),
    ({"x": np.ones((2, 3, 8, 1))}, ValueError, "x must have 3 axes, 2 .one image. or 1 .one channel"),
    ({"x": np.ones((2, 3, 0))}, ValueError, "x has an empty axis W"),
    ({"weight": np.ones(2)}, ValueError, "weight must have 3 axes, or 1 where x has 1"),
    ({"algorithm": 3}, TypeError, "algorithm must be a string"),
]


@pytest.mark.parametrize(("changes", "kind", "message"), MALFORMED)
def test_what_is_wrong_is_said_of_its_own_axes(changes, kind, message):
    arguments = {"x": np.ones((2, 3, 8)), "weight": np.ones((4, 3, 2))} | changes
    with pytest.raises(kind, match=message) as caught:
        conv1d(**arguments)
    assert str(caught.value).endswith(".")
    assert len(str(caught.value)) <= 500


def test_the_transpose_says_what_is_wrong():
    with pytest.raises(ValueError, match=r"say which it is with output_shape: an int or \(width,\)"):
        conv_transpose1d([1.0], [1.0], padding="same")
    with pytest.raises(ValueError, match=r"output_padding must be less than the stride, \(1,\)"):
        conv_transpose1d([1.0], [1.0], output_padding=1)
    with pytest.raises(ValueError, match="the result would have -1 pixels along W"):
        conv_transpose1d([1.0], [1.0], padding=1)
    with pytest.raises(ValueError, match=r"x must have shape \(3,\)"):
        conv_transpose1d([1.0], [1.0], output_shape=(3,))


@pytest.mark.semantics(False)
def test_it_is_explained_as_what_it_is():
    x, weight = np.ones((2, 3, 8), "f4"), np.ones((4, 3, 2), "f4")
    report = fastconv.explain(x, weight, operator="conv1d", padding=1)
    assert (report.problem.operator, report.problem.ih, report.problem.kh) == ("conv2d", 1, 1)
    assert report.candidates["cpu"] == "chosen"
    assert (
        fastconv.explain(x, weight[:3], operator="conv_transpose1d", groups=3).candidates["cpu"].endswith("from conv2d")
    )
    assert fastconv.backends(operator="conv1d")["cpu"] == "usable"
    assert fastconv.backends(operator="conv1d")["dask"] == "usable"
    assert fastconv.backends(operator="conv_transpose1d")["cpu"] == "usable, composed from conv2d"
    with fastconv.trace() as calls:
        conv1d(x, weight)
    assert calls[0].problem.operator == "conv2d"
