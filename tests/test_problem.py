"""Problem: shape arithmetic, padding by name, layouts, dtypes. Refusals are in test_malformed.py."""

import itertools

import numpy as np
import pytest

import fastconv
from fastconv import Problem, conv2d, conv2d_output_shape

pytestmark = pytest.mark.semantics


def problem(x_shape=(1, 1, 9, 8), weight_shape=(1, 1, 3, 2), *args, x_dtype="f4", weight_dtype="f4", **options):
    return Problem.of(np.zeros(x_shape, x_dtype), np.zeros(weight_shape, weight_dtype), *args, **options)


def pads(p):
    return (p.pt, p.pb), (p.pl, p.pr)


def outputs(size, k, s, d, before, after):
    """By walking over the padded axis."""
    return len([i for i in range(0, size + before + after, s) if i + (k - 1) * d < size + before + after])


def test_output_sizes_against_brute_force():
    for size, k, s, d, before, after in itertools.product((1, 5, 8), (1, 2, 3), (1, 2, 5), (1, 2), (0, 1, 3), (0, 2)):
        if (k - 1) * d + 1 > size + before + after:
            continue
        p = problem((1, 1, size, 4), (1, 1, k, 1), None, (s, 1), ((before, after), (0, 0)), (d, 1))
        assert p.oh == outputs(size, k, s, d, before, after)
        assert p.ow == 4


@pytest.mark.parametrize("n", [1, 2, 7, 8, 9])
def test_same_is_that_of_tensorflow_and_onnx(n):
    for k, s, d in itertools.product(range(1, 6), (1, 2, 3), (1, 2)):
        total = max((-(-n // s) - 1) * s + (k - 1) * d + 1 - n, 0)
        upper = problem((1, 1, n, n), (1, 1, k, k), None, s, "same", d)
        lower = problem((1, 1, n, n), (1, 1, k, k), None, s, "SAME_LOWER", d)
        assert upper.oh == lower.ow == -(-n // s)
        assert pads(upper)[0] == (total // 2, total - total // 2)
        assert pads(lower)[0] == (total - total // 2, total // 2)


def test_documented_padding_traps():
    assert pads(problem((1, 1, 8, 8), (1, 1, 3, 3), None, 2, "same"))[0] == (0, 1)  # not PyTorch's (1, 1) of k // 2
    assert pads(problem((1, 1, 8, 8), (1, 1, 2, 2), None, 3, "same"))[0] == (0, 0)  # k < s skips pixels
    assert pads(problem(padding=(1, 2))) == ((1, 1), (2, 2))  # not numpy.pad's (before, after) of every axis


@pytest.mark.parametrize(
    ("padding", "expected"),
    [
        (2, ((2, 2), (2, 2))),
        (np.int64(2), ((2, 2), (2, 2))),
        (np.array(2), ((2, 2), (2, 2))),
        ((1, 2), ((1, 1), (2, 2))),
        ([1, 2], ((1, 1), (2, 2))),
        (np.array([1, 2]), ((1, 1), (2, 2))),
        (((1, 2), (3, 4)), ((1, 2), (3, 4))),
        ([[1, 2], (3, 4)], ((1, 2), (3, 4))),
        (np.array([[1, 2], [3, 4]]), ((1, 2), (3, 4))),
        ("valid", ((0, 0), (0, 0))),
        ("VALID", ((0, 0), (0, 0))),
        ("Full", ((2, 2), (1, 1))),
        ("same", ((1, 1), (0, 1))),
        ("same_lower", ((1, 1), (1, 0))),
    ],
)
def test_forms_of_padding(padding, expected):
    assert pads(problem(padding=padding)) == expected


def test_calls_that_mean_the_same_are_equal_problems():
    same = [
        problem(padding=((1, 1), (0, 1))),
        problem(padding="same", padding_mode="ZEROS", fill_value=-0.0, stride=[1, 1], dilation=np.int8(1)),
        problem(padding="SAME", data_format="nchw", weight_format="OIHW", flip=np.False_, dtype="float32"),
    ]
    assert len(set(same)) == 1
    assert len({problem(padding=1, fill_value=float("nan")), problem(padding=1, fill_value=np.float32("nan"))}) == 1


@pytest.mark.parametrize(
    ("x_shape", "weight_shape", "options", "axes"),
    [
        ((1, 1, 5, 6), (1, 1, 3, 3), {}, ("NCHW", "OIHW")),
        ((1, 5, 6, 2), (3, 3, 2, 4), {"data_format": "NHWC"}, ("NHWC", "HWIO")),
        ((5, 6, 2, 1), (3, 3, 2, 4), {"data_format": "HWCN"}, ("HWCN", "HWIO")),
        ((2, 5, 6, 1), (4, 2, 3, 3), {"data_format": "CHWN"}, ("CHWN", "OIHW")),
        ((2, 5, 6), (4, 2, 3, 3), {}, ("CHW", "OIHW")),
        ((2, 5, 6), (4, 2, 3, 3), {"data_format": "CHW"}, ("CHW", "OIHW")),
        ((5, 6, 2), (3, 3, 2, 4), {"data_format": "NHWC"}, ("HWC", "HWIO")),
        ((5, 6, 2), (4, 2, 3, 3), {"data_format": "HWC", "weight_format": "OIHW"}, ("HWC", "OIHW")),
        ((5, 6), (3, 3), {}, ("HW", "HW")),
        ((5, 6), (3, 3), {"data_format": "NHWC", "weight_format": "HWIO"}, ("HW", "HW")),
        ((6, 5), (3, 3), {"data_format": "WH"}, ("WH", "HW")),
    ],
)
def test_layouts(x_shape, weight_shape, options, axes):
    p = problem(x_shape, weight_shape, **options)
    assert (p.x_axes, p.weight_axes) == axes
    assert (p.ih, p.iw, p.oh, p.ow) == (5, 6, 3, 4)
    assert len(p.out_shape) == len(x_shape)


INTEGERS = ("i1", "u1", "i2", "u2", "i4", "u4", "i8", "u8")


def test_default_dtypes():
    for a, b in itertools.product(INTEGERS, INTEGERS):
        p = problem(x_dtype=a, weight_dtype=b)
        assert p.dtype == p.compute == ("u8" if a[0] == b[0] == "u" else "i8")
    assert problem(x_dtype="?", weight_dtype="?").dtype == np.int64
    assert problem(x_dtype="?", weight_dtype="u1").dtype == np.uint64
    for a, b in itertools.product((*INTEGERS, "f2", "f4", "f8", "c8", "c16"), ("f2", "f4", "f8", "c8", "c16")):
        p = problem(x_dtype=a, weight_dtype=b)
        assert p.dtype == np.result_type(a, b)
        assert p.compute == (np.float32 if p.dtype == np.float16 else p.dtype)
    with_bias = Problem.of(np.zeros((2, 2), "f4"), np.zeros((1, 1), "f4"), np.zeros(1, "f8"))
    assert with_bias.dtype == np.float64


@pytest.mark.parametrize(
    ("inputs", "asked", "compute"),
    [
        ("i4", "f4", "i8"),  # exact, then rounded once
        ("u1", "u1", "u8"),
        ("f4", "f8", "f8"),
        ("f8", "f4", "f8"),
        ("f4", "f2", "f4"),
        ("f2", "f8", "f8"),
        ("f4", "c16", "c16"),
        ("c8", "c8", "c8"),
    ],
)
def test_dtype_asked_for(inputs, asked, compute):
    p = problem(x_dtype=inputs, weight_dtype=inputs, dtype=asked)
    assert (p.dtype, p.compute) == (np.dtype(asked), np.dtype(compute))
    y = conv2d(np.ones((3, 3), inputs), np.ones((2, 2), inputs), dtype=asked)
    assert y.dtype == asked
    assert (y == 4).all()


def test_byte_order_of_the_inputs_does_not_reach_the_result():
    p = problem(x_dtype=">f4", weight_dtype=">f4", dtype=">f8")
    assert p.dtype.isnative
    assert p == problem(dtype="f8")


def test_bfloat16():
    bfloat16 = pytest.importorskip("ml_dtypes").bfloat16
    x, weight = np.full((40, 40), 1.0, bfloat16), np.full((32, 32), 1.0, bfloat16)
    y = conv2d(x, weight)
    assert y.dtype == bfloat16
    assert (y == 1024).all()  # in bfloat16 the sum would stay at 256
    assert conv2d(x, weight.astype("f4")).dtype == np.float32
    assert conv2d(x, weight, backend="reference").dtype == bfloat16


def test_float16_is_accumulated_in_float32():
    x = np.full((64, 64), 0.1, np.float16)
    y = conv2d(x, np.full((64, 64), 1.0, np.float16))
    assert y.dtype == np.float16
    assert y[0, 0] == np.float16(4096 * np.float32(np.float16(0.1)))
    assert np.isinf(conv2d(np.full((2, 2), 60000, "f2"), np.ones((2, 2), "f2")))


def test_problem_is_immutable_hashable_and_holds_no_array():
    p = problem()
    with pytest.raises(AttributeError):
        p.n = 2
    assert hash(p) == hash(problem())
    assert not any(isinstance(value, np.ndarray) for value in p)


def test_macs():
    p = problem((2, 6, 10, 10), (8, 3, 3, 3), groups=2)
    assert p.macs == 2 * 8 * 8 * 8 * 3 * 9


def test_output_shape_is_that_of_the_result_and_checks_the_same():
    assert conv2d_output_shape((5, 4), (2, 3)) == (4, 2)
    assert conv2d_output_shape((0, 3, 5, 5), (7, 3, 1, 1)) == (0, 7, 5, 5)
    shape = conv2d_output_shape((2, 2**30, 2**30, 3), (1, 1, 3, 8), data_format="NHWC", stride=2**29)
    assert shape == (2, 2, 2, 8)
    with pytest.raises(ValueError, match="stride must be at least 1"):
        conv2d_output_shape((5, 5), (2, 2), stride=0)
    assert conv2d_output_shape((2**40, 2**40, 1, 1), (1, 2**40, 1, 1), stride=2**62) == (2**40, 1, 1, 1)
    with pytest.raises(ValueError, match="x_shape must have 4 sizes, 3 or 2"):
        conv2d_output_shape((1,) * 65, (2, 2))
    for wrong in (None, "a", 3.0):
        with pytest.raises(TypeError, match="x_shape must be a tuple of sizes"):
            conv2d_output_shape(wrong, (2, 2))
    with pytest.raises(ValueError, match="each size in weight_shape must be at least 0, got -1"):
        conv2d_output_shape((2, 2), (2, -1))
    with pytest.raises(TypeError, match=r"each size in x_shape must be an integer, got 1\.5"):
        conv2d_output_shape((1.5, 2), (2, 2))


def test_out_is_returned_and_its_surroundings_stay():
    x, weight = np.arange(12.0).reshape(3, 4), np.ones((2, 2))
    expected = conv2d(x, weight)
    canvas = np.full((8, 12), -1.0)
    for view in (canvas[1:3, 2:5], canvas[6:2:-2, 9:0:-3], canvas.T[3:5, 1:7:2]):
        canvas[...] = -1
        assert conv2d(x, weight, out=view) is view
        np.testing.assert_array_equal(view, expected)
        assert (canvas == -1).sum() == canvas.size - 6
    swapped = np.empty((2, 3), ">f8")
    conv2d(x, weight, out=swapped)
    np.testing.assert_array_equal(swapped, expected)


def test_out_may_overlap_the_arguments(backend):
    base = np.arange(60.0).reshape(6, 10)
    weight = np.array([[1.0, 2, 3]])
    expected = conv2d(base, weight, padding="same")
    for make in (lambda a: a, lambda a: a[::-1], lambda a: a[:, ::-1]):
        x = base.copy()
        out = make(x)
        conv2d(x, weight, padding="same", out=out, backend=backend)
        np.testing.assert_array_equal(out, expected)
    kernel = np.ones((6, 10))
    conv2d(base, kernel, padding="same", out=kernel, backend=backend)
    np.testing.assert_array_equal(kernel, conv2d(base, np.ones((6, 10)), padding="same"))


def test_arguments_are_never_changed():
    rng = np.random.default_rng(0)
    x, weight, bias = rng.standard_normal((1, 2, 5, 5)), rng.standard_normal((3, 2, 2, 2)), rng.standard_normal(3)
    before = [a.tobytes() for a in (x, weight, bias)]
    for array in (x, weight, bias):
        array.flags.writeable = False
    for backend in fastconv.backends():
        conv2d(x, weight, bias, backend=backend)
    assert [a.tobytes() for a in (x, weight, bias)] == before


def test_result_owns_its_memory():
    y = conv2d(np.ones((1, 4, 4, 1)), np.ones((1, 1, 1, 2)), data_format="NHWC")
    assert y.flags.owndata
    assert y.flags.c_contiguous
    assert y.shape == (1, 4, 4, 2)
