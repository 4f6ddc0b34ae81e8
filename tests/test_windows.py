"""pad2d, unfold2d, fold2d: what they mean for conv2d, each other's adjoints, and what they refuse."""

import numpy as np
import pytest

import fastconv
from fastconv import PADDING_MODES, conv2d, fold2d, pad2d, unfold2d
from fastconv.testing import random_call

pytestmark = pytest.mark.semantics

DTYPES = ["?", "u1", "i2", "i8", "u8", "f2", "f4", "f8", "c8", "c16", ">f4", "<i4"]
WINDOWS = ("stride", "padding", "dilation", "padding_mode", "data_format", "weight_format")


def random_windows(seed, integers):
    """A random image in any layout, windows on it, and the arguments that say which."""
    call, rng = random_call(seed), np.random.default_rng(seed)
    if call.x.ndim == 2:
        return None
    size = dict(zip(call.options["weight_format"], call.weight.shape, strict=True))
    options = {key: value for key, value in call.options.items() if key in WINDOWS}
    return integers(rng, call.x.shape), (size["H"], size["W"]), options, rng


@pytest.mark.parametrize("chunk", range(4))
def test_unfold_and_fold_are_adjoint(chunk, backend, integers, unless_refused):
    """<unfold(x), y> = <x, fold(y)>, exactly, over the whole argument space."""
    for seed in range(chunk * 60, (chunk + 1) * 60):
        with unless_refused():
            drawn = random_windows(seed, integers)
            if drawn is None:
                continue
            x, kernel_size, options, rng = drawn
            cols = unfold2d(x, kernel_size, **options, backend=backend)
            y = integers(rng, cols.shape)
            axes = [letter for letter in options["data_format"] if letter != "N" or x.ndim == 4]
            size = tuple(x.shape[axes.index(letter)] for letter in "HW")
            image = fold2d(y, size, kernel_size, **options, backend=backend)
            assert image.dtype == x.dtype
            assert image.shape == x.shape
            assert (cols * y).sum() == (x * image).sum(), (seed, options)


@pytest.mark.parametrize("layout", ["NCHW", "NHWC", "CWNH"])
@pytest.mark.parametrize("weight_format", [None, "OIHW", "HWIO", "WOIH"])
def test_kernels_times_what_is_unfolded_are_a_convolution(weight_format, layout, integers):
    rng = np.random.default_rng(0)
    sizes = {"N": 2, "C": 3, "H": 7, "W": 6}
    x = integers(rng, [sizes[letter] for letter in layout])
    options = {"stride": (2, 1), "padding": ((1, 0), (2, 3)), "dilation": (1, 2), "padding_mode": "reflect"}
    options |= {"data_format": layout, "weight_format": weight_format}
    axes = weight_format or ("OIHW" if layout.index("C") < layout.index("H") else "HWIO")
    weight = integers(rng, [{"O": 4, "I": 3, "H": 3, "W": 2}[letter] for letter in axes])
    matrix = np.moveaxis(weight, axes.index("O"), 0).reshape(4, -1)
    channel = layout.index("C")
    cols = unfold2d(x, (3, 2), **options)
    y = np.moveaxis(np.tensordot(matrix, cols, (1, channel)), 0, channel)
    np.testing.assert_array_equal(y, conv2d(x, weight, **options))


@pytest.mark.parametrize("mode", PADDING_MODES)
def test_padding_before_is_padding_inside(mode, backend, integers):
    rng = np.random.default_rng(1)
    x, weight = integers(rng, (2, 3, 4, 5)), integers(rng, (2, 3, 3, 2))
    for padding in (0, 1, (2, 3), ((0, 9), (13, 1))):
        padded = pad2d(x, padding, padding_mode=mode, backend=backend)
        np.testing.assert_array_equal(conv2d(padded, weight), conv2d(x, weight, None, 1, padding, padding_mode=mode))
        np.testing.assert_array_equal(pad2d(x[0, 0], padding, padding_mode=mode, backend=backend), padded[0, 0])
        last = pad2d(np.moveaxis(x, 1, 3), padding, padding_mode=mode, data_format="NHWC", backend=backend)
        np.testing.assert_array_equal(np.moveaxis(last, 3, 1), padded)


@pytest.mark.parametrize("kind", DTYPES)
def test_dtypes_are_kept_and_values_copied(kind, backend):
    x = np.arange(12).reshape(1, 3, 4).astype(kind)
    for mode in PADDING_MODES:
        padded = pad2d(x, 2, padding_mode=mode, backend=backend)
        expected = np.pad(x, ((0, 0), (2, 2), (2, 2)), mode)
        np.testing.assert_array_equal(padded, expected.astype(kind.strip("<>")), strict=True)
        cols = unfold2d(x, 2, padding=2, padding_mode=mode, backend=backend)
        assert cols.dtype == padded.dtype
        np.testing.assert_array_equal(cols[0], padded[0, :-1, :-1])
        np.testing.assert_array_equal(cols[3], padded[0, 1:, 1:])


def test_values_that_arithmetic_would_lose(backend):
    """Negative zero, NaN and infinities are copied, beside a fill value of any kind."""
    x = np.array([[-0.0, np.nan, np.inf, -np.inf]], np.float32)
    for fill in (np.nan, -np.inf, 3):
        padded = pad2d(x, (0, 1), fill_value=fill, backend=backend)
        np.testing.assert_array_equal(padded[0, 1:-1].view("u4"), x[0].view("u4"))
        np.testing.assert_array_equal(padded[0, [0, -1]], np.float32([fill, fill]))
        cols = unfold2d(x[None], 1, padding=(0, 1), fill_value=fill, backend=backend)
        np.testing.assert_array_equal(cols[0], padded)


def test_bfloat16(backend):
    kind = pytest.importorskip("ml_dtypes").bfloat16
    x = np.arange(-3, 3).reshape(1, 2, 3).astype(kind)
    padded = pad2d(x, 1, fill_value=1.5, backend=backend)
    assert padded.dtype == kind
    np.testing.assert_array_equal(padded[0, 1:-1, 1:-1], x[0])
    assert padded[0, 0, 0] == 1.5
    cols = unfold2d(x, 2, padding=1, padding_mode="edge", backend=backend)
    np.testing.assert_array_equal(fold2d(cols, (2, 3), 2, padding=1, backend=backend), 4 * x)


def test_sums_are_exact_or_rounded_once(backend):
    full = np.full((4, 1, 2), 255, np.uint8)  # two windows of 2 × 2, which share a column
    image = fold2d(full, (2, 3), 2, backend=backend)
    assert image.dtype == np.uint64
    assert image.tolist() == [[[255, 510, 255]] * 2]
    assert fold2d(full, (2, 3), 2, dtype="u1", backend=backend).tolist() == [[[255, 254, 255]] * 2]
    cols = np.array([2048, 1, 1], np.float16)[:, None, None]  # the taps of one window, folded into one pixel
    image = fold2d(cols, (1, 1), (1, 3), padding=((0, 0), (1, 1)), padding_mode="edge", backend=backend)
    assert image.dtype == np.float16
    assert image.tolist() == [[[2050]]]


def test_folding_back_what_was_unfolded():
    x = np.random.default_rng(0).random((2, 3, 9, 8))
    for options in ({}, {"padding": "same", "dilation": 2}, {"padding": 2, "padding_mode": "wrap"}):
        folded, count = (fold2d(unfold2d(array, 3, **options), (9, 8), 3, **options) for array in (x, np.ones_like(x)))
        np.testing.assert_allclose(folded / count, x, rtol=1e-14)
    stripes = fold2d(unfold2d(x, 2, stride=3), (9, 8), 2, stride=3)  # windows apart: the pixels between are zero
    np.testing.assert_array_equal(stripes, np.where((np.arange(9) % 3 < 2)[:, None] & (np.arange(8) % 3 < 2), x, 0))


def test_padding_as_wide_as_it_may_be(backend):
    """Neither time nor memory grows with padding that no window reads."""
    far, x = {"stride": 2**30, "padding": 2**30}, np.array([[[3, 5]]])
    assert unfold2d(x, 1, **far, fill_value=7, backend=backend).tolist() == [[[7] * 3, [7, 3, 7], [7] * 3]]
    wrapped = unfold2d(x, 2, **far, dilation=(1, 2**31), padding_mode="wrap", backend=backend)
    assert wrapped.tolist() == [[[3], [3]]] * 4
    ones = np.ones((1, 3, 3), int)
    assert fold2d(ones, (1, 2), 1, **far, backend=backend).tolist() == [[[1, 0]]]
    assert fold2d(ones, (1, 2), 1, **far, padding_mode="edge", backend=backend).tolist() == [[[6, 3]]]


def test_out_is_written_in_any_layout_also_over_the_operand(backend):
    x = np.arange(24.0).reshape(1, 4, 6)
    expected = unfold2d(x, 1)
    wide = np.zeros((1, 8, 12))[:, ::2, ::-2]
    assert pad2d(x, 0, out=wide, backend=backend) is wide
    np.testing.assert_array_equal(wide, expected)
    turned = x.copy()
    pad2d(turned[:, ::-1], 0, out=turned, backend=backend)
    np.testing.assert_array_equal(turned, x[:, ::-1])
    out = np.empty((4, 4, 6), ">f8")
    assert unfold2d(x, 2, padding="same", out=out, backend=backend) is out
    np.testing.assert_array_equal(out, unfold2d(x, 2, padding="same"))
    sums = np.empty((6, 4)).T[None]
    assert fold2d(out, (4, 6), 2, padding="same", out=sums, backend=backend) is sums
    np.testing.assert_array_equal(sums, fold2d(out, (4, 6), 2, padding="same"))


def test_no_images(backend):
    assert pad2d(np.ones((0, 2, 3, 4)), 1, backend=backend).shape == (0, 2, 5, 6)
    assert unfold2d(np.ones((0, 2, 3, 4)), 2, backend=backend).shape == (0, 8, 2, 3)
    assert fold2d(np.ones((0, 8, 2, 3)), (3, 4), 2, backend=backend).shape == (0, 2, 3, 4)


@pytest.mark.semantics(False)
def test_how_they_are_computed_is_said():
    x = np.ones((1, 3, 4))
    for operator, arguments in (("pad2d", (1,)), ("unfold2d", (2,)), ("fold2d", ((4, 5), 1))):
        operand = np.ones((1, 4, 5)) if operator == "fold2d" else x
        report = fastconv.explain(operand, *arguments, operator=operator)
        assert report.details["composed"] == "in NumPy"
        with fastconv.trace() as calls:
            getattr(fastconv, operator)(operand, *arguments, backend="reference")
        assert [call.problem.operator for call in calls] == [operator]
    assert fastconv.explain(x, 2, operator="unfold2d", stride=2, padding=3).problem.out_shape == (4, 4, 5)


X = np.ones((2, 3, 4))
MALFORMED = [
    (pad2d, (X, "same"), {}, ValueError, "padding must be an int.*what a name means depends on a kernel"),
    (pad2d, (X, -1), {}, ValueError, "padding must be at least 0"),
    (pad2d, (X, (1, 2, 3, 4)), {}, ValueError, "padding must be an int"),
    (pad2d, (None, 1), {}, TypeError, "x must be an array"),
    (pad2d, (X.astype("O"), 1), {}, TypeError, "x has dtype object"),
    (pad2d, (X[0, 0], 1), {}, ValueError, "x must have 4 axes"),
    (pad2d, (X[:0], 1), {}, ValueError, "x has an empty axis C"),
    (pad2d, (X, 1), {"padding_mode": "mean"}, ValueError, "padding_mode must be one of"),
    (pad2d, (X, 1), {"padding_mode": "edge", "fill_value": 1}, ValueError, "has no meaning with padding_mode='edge'"),
    (pad2d, (X, 1), {"fill_value": 1j}, TypeError, "fill_value=1j is complex"),
    (pad2d, (X.astype("f2"), 1), {"fill_value": 1e6}, ValueError, "is too large for float16"),
    (pad2d, (X.astype("u1"), 1), {"fill_value": 256}, ValueError, "fill_value must be an integer from 0 to 255"),
    (pad2d, (X.astype("?"), 1), {"fill_value": 2}, ValueError, "fill_value must be an integer from 0 to 1"),
    (pad2d, (X, 2**62), {}, ValueError, "more than 2\\*\\*63"),
    (pad2d, (X, 1), {"out": np.ones((2, 5, 6), "f4")}, TypeError, "out has dtype float32"),
    (unfold2d, (X[0], 2), {}, ValueError, r"x must have 4 axes, or 3.*x\[None\] with data_format='CHW'"),
    (unfold2d, (X, 0), {}, ValueError, "kernel_size must be at least 1"),
    (unfold2d, (X, 2.0), {}, TypeError, "kernel_size must be an integer"),
    (unfold2d, (X, 5), {}, ValueError, "the kernel reaches over 5 pixels of height"),
    (unfold2d, (X, 2), {"weight_format": "HW"}, ValueError, "weight_format must be the letters of OIHW"),
    (unfold2d, (X, 2), {"stride": 0}, ValueError, "stride must be at least 1"),
    (unfold2d, (X, 2), {"num_threads": 0}, ValueError, "num_threads must be at least 1"),
    (fold2d, (X, (3, 4), 2), {}, ValueError, r"cols has 2 channels, which must be .* times the 4 taps"),
    (fold2d, (X, (4, 5), (1, 2)), {}, ValueError, r"cols must have shape \(2, 4, 4\) CHW.*unfold2d.*got \(2, 3, 4\)"),
    (fold2d, (X[0], (3, 4), 1), {}, ValueError, "cols must have 4 axes, or 3"),
    (fold2d, (X, (0, 4), 1), {}, ValueError, "output_size must be at least 1"),
    (fold2d, (X, (3, 4), 1), {"fill_value": "a"}, TypeError, "fill_value must be a number"),
    (fold2d, (X, (3, 4), 1), {"fill_value": 1, "padding_mode": "wrap"}, ValueError, "fill_value=1 has no meaning"),
    (fold2d, (X, (3, 4), 1), {"dtype": "i4"}, TypeError, "dtype=int32 can't hold"),
    (fold2d, (X.astype("S1"), (3, 4), 1), {}, TypeError, "cols has dtype"),
    (fold2d, (X[:1, :1, :1], (2**40, 2**40), 1), {"stride": 2**41}, ValueError, r"more than 2\*\*63 bytes"),
]  # fmt: skip


@pytest.mark.parametrize(("function", "arguments", "options", "kind", "message"), MALFORMED)
def test_what_is_wrong_is_said_in_a_sentence(function, arguments, options, kind, message):
    with pytest.raises(kind, match=message) as caught:
        function(*arguments, **options)
    assert len(str(caught.value)) <= 500
    assert str(caught.value).endswith(".")
