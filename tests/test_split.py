"""Products of split numbers: inside the bound everywhere, to the same bits always, and `direct` where they can't be."""

import ctypes
import itertools
import mmap
import os
import platform
import subprocess
import sys

import numpy as np
import pytest

import fastconv
from fastconv import _kernels, conv2d, conv2d_error_bound, explain, plan_conv2d

U = 2.0**-24
KERNELS = [(1, 1), (3, 3), (5, 5), (1, 7), (7, 1), (2, 3), (7, 7)]
CHANNELS = [8, 9, 15, 16, 17, 31, 32, 33, 63, 64, 65]  # of a group
FILTERS = [1, 15, 16, 17, 31, 32, 33, 40, 65]
MODES = ["constant", "reflect", "symmetric", "edge", "wrap"]
RUNS = [name for name, here in _kernels.isas() if here]
TILES = [name for name in RUNS if name == "amx"]


def random_problem(seed, most=24, kernels=KERNELS):
    """Arguments and options of a call that the row takes: any layout, padding, stride, bias, and views."""
    rng = np.random.default_rng(seed)
    kh, kw = kernels[rng.integers(len(kernels))]
    groups = int(rng.choice([1, 1, 1, 2, 3]))
    stride, dilation = (tuple(int(v) for v in rng.choice([1, 1, 2, 3], 2)) for _ in range(2))
    channels, filters = (groups * int(rng.choice(of)) for of in (CHANNELS, FILTERS))
    sizes = {"N": rng.integers(1, 4), "C": channels}
    sizes |= {"H": (kh - 1) * dilation[0] + 1 + rng.integers(0, most)}
    sizes |= {"W": (kw - 1) * dilation[1] + 1 + rng.integers(0, most)}
    layout = str(rng.choice(["NCHW", "NHWC", "HWCN", "CHW", "NWHC"]))
    x = rng.standard_normal([sizes[letter] for letter in layout]).astype("f4")
    if rng.random() < 0.3:
        x = np.repeat(x, 2, -1)[..., ::2]  # elements that are not side by side
    weight = rng.standard_normal((filters, channels // groups, kh, kw)).astype("f4")
    if rng.random() < 0.3:
        weight = np.ascontiguousarray(weight.transpose(2, 3, 1, 0)).transpose(3, 2, 0, 1)
    elif rng.random() < 0.3:
        weight = weight[::-1, :, :, ::-1]
    bias = rng.standard_normal(filters).astype("f4") if rng.random() < 0.5 else None
    options = {"stride": stride, "dilation": dilation, "groups": groups, "flip": bool(rng.integers(2))}
    options |= {"padding": tuple((int(a), int(b)) for a, b in rng.integers(0, 4, (2, 2)))}
    options |= {"padding_mode": str(rng.choice(MODES)), "data_format": layout, "weight_format": "OIHW"}
    if options["padding_mode"] == "constant":
        options["fill_value"] = float(rng.choice([0, 0, -1.5]))
    return (x, weight, bias), options


def exact(*arguments, **options):
    """What direct computes in float64."""
    wide = [None if a is None else a.astype("f8") for a in arguments]
    return conv2d(*wide, **options, algorithm="direct")


def sizes_of(x, weight, bias, options):
    """Sums of the absolute values of all products."""
    absolute = [None if a is None else abs(a) for a in (x, weight, bias)]
    return exact(*absolute, **options | {"fill_value": abs(options.get("fill_value", 0))})


def test_random_problems_stay_inside_the_bound(each_isa_backend, request):
    count = request.config.getoption("--problems") // 100
    count, most, kernels = (count, 24, KERNELS) if each_isa_backend == "cpu_amx" else (count // 20, 6, KERNELS[:2])
    for seed in range(count):
        arguments, options = random_problem(seed, most, kernels)
        y = conv2d(*arguments, **options, algorithm="split", backend=each_isa_backend)
        error = abs(y - exact(*arguments, **options))
        assert (error <= conv2d_error_bound(*arguments, **options, algorithm="split")).all(), seed
        # The bound is of the worst of all data: of these direct errs by 4.7 roundings of all sizes, this by 4.5.
        assert (error <= 8 * U * sizes_of(*arguments, options)).all(), seed


@pytest.mark.parametrize("algorithm", ["split", "direct", "winograd"])
def test_weights_are_packed_from_any_layout(algorithm, each_isa_backend):
    """Whole blocks of channels whose output channels lie side by side are copied, by as many vectors as a tile has."""
    rng = np.random.default_rng(8)
    x, weight = rng.standard_normal((2, 9, 10, 72)).astype("f4"), rng.standard_normal((96, 72, 3, 3)).astype("f4")
    options = {"data_format": "NHWC", "padding": 1, "algorithm": algorithm, "backend": each_isa_backend}
    expected = conv2d(x, weight, **options, weight_format="OIHW")
    by_columns = np.ascontiguousarray(weight.transpose(2, 3, 1, 0))
    np.testing.assert_array_equal(conv2d(x, by_columns, **options, weight_format="HWIO"), expected)
    plan = plan_conv2d(by_columns, **options, weight_format="HWIO")
    np.testing.assert_array_equal(plan(x), plan_conv2d(weight, **options, weight_format="OIHW")(x))


@pytest.mark.parametrize("layout", ["NCHW", "NHWC"])
def test_each_product_is_rounded_a_few_times(layout, each_isa_backend):
    """One channel at a time is not 0; without a product of parts one would be off by 64 roundings, and more."""
    rng = np.random.default_rng(0)
    x, weight = np.zeros((32, 32, 3, 7), "f4"), rng.uniform(1, 2, (16, 32, 1, 1)).astype("f4")
    for channel in range(32):
        x[channel, channel] = rng.uniform(1, 2, (3, 7))
    x = x if layout == "NCHW" else x.transpose(0, 2, 3, 1)
    options = {"data_format": layout, "weight_format": "OIHW"}
    y, right = conv2d(x, weight, **options, algorithm="split", backend=each_isa_backend), exact(x, weight, **options)
    assert (abs(y - right) <= 2.5 * U * abs(right)).all(), float((abs(y - right) / abs(right)).max() / U)


def orders_of(x):
    """The same array with its axes in other orders of memory, and with gaps and turned around in it."""
    for order in itertools.permutations(range(x.ndim)):
        yield np.ascontiguousarray(x.transpose(order)).transpose(np.argsort(order))
    yield np.repeat(x, 2, -1)[..., ::2]
    yield x[..., ::-1].copy()[..., ::-1]
    wide = np.zeros([size + 3 for size in x.shape], x.dtype)[tuple(slice(1, size + 1) for size in x.shape)]
    wide[...] = x
    yield wide


def test_bits_depend_on_nothing_but_the_values(each_isa_backend):
    fast = each_isa_backend == "cpu_amx"
    for seed in range(40 if fast else 3):
        (x, weight, bias), options = random_problem(seed, *((40,) if fast else (8, KERNELS[:2])))
        options |= {"algorithm": "split", "backend": each_isa_backend}
        y = conv2d(x, weight, bias, **options, num_threads=1)
        for threads in (2, 3):
            assert conv2d(x, weight, bias, **options, num_threads=threads).tobytes() == y.tobytes(), seed
        plan = plan_conv2d(weight, bias, **options)
        assert plan(x).tobytes() == y.tobytes(), seed
        axis = options["data_format"].find("N")
        for n in range(x.shape[axis] if axis >= 0 else 0):
            image, expected = np.take(x, [n], axis), np.take(y, [n], axis)
            assert conv2d(image, weight, bias, **options).tobytes() == expected.tobytes(), seed
            assert plan(image).tobytes() == expected.tobytes(), seed


@pytest.mark.parametrize("layout", ["NCHW", "NHWC"])
@pytest.mark.parametrize("options", [{}, {"padding": 1}, {"stride": 2}], ids=str)
@pytest.mark.parametrize("kernel", [1, 3])
def test_bits_do_not_depend_on_where_elements_lie(kernel, options, layout):
    rng = np.random.default_rng(3)
    options = options | {"data_format": layout, "weight_format": "OIHW", "algorithm": "split"}
    x = rng.standard_normal((2, 33, 9, 11) if layout == "NCHW" else (2, 9, 11, 33)).astype("f4")
    weight = rng.standard_normal((35, 33, kernel, kernel)).astype("f4")
    bias = rng.standard_normal(35).astype("f4")
    y = conv2d(x, weight, bias, **options)
    for image in orders_of(x):
        assert conv2d(image, weight, bias, **options).tobytes() == y.tobytes(), image.strides
    for other in orders_of(weight):
        assert conv2d(x, other, np.repeat(bias, 3)[::3], **options).tobytes() == y.tobytes(), other.strides
    for number, out in enumerate(orders_of(np.zeros_like(y))):
        if number == 0:
            continue
        base = out.base if out.base is not None and out.base.size > out.size else None
        out[...] = np.nan
        before = None if base is None else base.copy()
        assert conv2d(x, weight, bias, **options, out=out) is out
        assert out.tobytes() == y.tobytes(), out.strides
        if base is not None:  # nothing between its elements was touched
            out[...] = np.nan
            assert base.tobytes() == before.tobytes(), out.strides


PROGRAM = """
import hashlib, runpy, fastconv
problem = runpy.run_path({path!r})["random_problem"]
found = hashlib.sha256()
for seed in range(100, 103):
    arguments, options = problem(seed, 5, [(1, 1), (3, 3)])
    found.update(fastconv.conv2d(*arguments, **options, algorithm="split").tobytes())
    assert fastconv.explain(*arguments, **options).details["isa"] == {isa!r}
print(found.hexdigest())
"""


def test_every_instruction_set_computes_the_same_bits(tmp_path):
    children = [
        subprocess.Popen(
            [sys.executable, "-c", PROGRAM.format(path=__file__, isa=isa)],
            stdout=subprocess.PIPE, text=True, cwd=tmp_path, env=os.environ | {"FASTCONV_ISA": isa},
        )
        for isa in RUNS
    ]  # fmt: skip
    found = {isa: child.communicate(timeout=60)[0] for isa, child in zip(RUNS, children, strict=True)}
    assert [child.returncode for child in children] == [0] * len(RUNS)
    assert len(set(found.values())) == 1, found


@pytest.mark.parametrize("layout", ["NCHW", "NHWC"])
def test_every_padding_at_every_stride(layout):
    rng = np.random.default_rng(1)
    kernels = [(1, 1), (3, 3), (5, 5), (3, 1), (1, 3)]
    for mode, stride, dilation, (kh, kw) in itertools.product(MODES, (1, 2, 3), (1, 2), kernels):
        x = rng.standard_normal((1, 9, 7, 8) if layout == "NCHW" else (1, 7, 8, 9)).astype("f4")
        x = x if dilation == 1 else np.concatenate([x, x[:, :4] if layout == "NCHW" else x[..., :4]], layout.find("C"))
        weight = rng.standard_normal((17, x.shape[layout.find("C")], kh, kw)).astype("f4")
        bias = rng.standard_normal(17).astype("f4")
        options = {"stride": stride, "dilation": dilation, "padding": ((1, 2), (3, 0)), "padding_mode": mode}
        options |= {"data_format": layout, "weight_format": "OIHW"}
        options |= {"fill_value": 1.5} if mode == "constant" else {}
        expected = conv2d(x, weight, bias, **options, backend="reference")
        y = conv2d(x, weight, bias, **options, algorithm="split")
        bound = conv2d_error_bound(x, weight, bias, **options, algorithm="split") + U * abs(expected)
        assert (abs(y.astype("f8") - expected) <= bound).all(), (mode, stride, dilation, kh, kw)
        # Rows that were computed again by direct would hide what is wrong.
        again = y == conv2d(x, weight, bias, **options, algorithm="direct")
        assert not again.all((1, 3) if layout == "NCHW" else (2, 3)).any(), (mode, stride, dilation, kh, kw)


@pytest.mark.parametrize("layout", ["NCHW", "NHWC"])
@pytest.mark.parametrize("kernel", [1, 3])
def test_results_of_few_pixels(kernel, layout):
    rng = np.random.default_rng(9)
    for rows, columns in itertools.product((1, 2, 3, 17), range(1, 18)):
        for channels, filters in [(31, 33), (9, 15)]:
            sizes = {"N": 2, "C": channels, "H": rows + kernel - 1, "W": columns + kernel - 1}
            x = rng.standard_normal([sizes[letter] for letter in layout]).astype("f4")
            weight = rng.standard_normal((filters, channels, kernel, kernel)).astype("f4")
            options = {"data_format": layout, "weight_format": "OIHW"}
            y, direct = (conv2d(x, weight, **options, algorithm=name) for name in ("split", "direct"))
            np.testing.assert_allclose(y, direct, rtol=0, atol=2e-6 * abs(direct).max())


@pytest.mark.parametrize("layout", ["NCHW", "NHWC"])
def test_all_counts_of_channels(layout):
    rng = np.random.default_rng(10)
    for channels, filters, groups in itertools.product(CHANNELS, FILTERS, (1, 2)):
        x = rng.standard_normal((1, groups * channels, 3, 6)).astype("f4")
        weight = rng.standard_normal((groups * filters, channels, 1, 3)).astype("f4")
        x = x if layout == "NCHW" else np.ascontiguousarray(x.transpose(0, 2, 3, 1))
        options = {"groups": groups, "padding": 1, "data_format": layout, "weight_format": "OIHW"}
        y, direct = (conv2d(x, weight, **options, algorithm=name) for name in ("split", "direct"))
        np.testing.assert_allclose(y, direct, rtol=0, atol=2e-6 * abs(direct).max())


@pytest.mark.parametrize("dtype", ["f2", "c8", "u1"])
def test_dtypes_that_are_computed_in_float32(dtype):
    rng = np.random.default_rng(11)
    x, weight = rng.integers(0, 9, (1, 16, 7, 9)).astype(dtype), rng.integers(-4, 5, (20, 16, 3, 3))
    weight = weight.astype("f4" if dtype == "u1" else dtype)
    if dtype == "c8":
        x, weight = x + np.complex64(1j) * x[:, ::-1], weight - np.complex64(1j) * weight[::-1]
    y = conv2d(x, weight, padding=1, algorithm="split")
    assert y.tobytes() == conv2d(x, weight, padding=1, algorithm="direct").tobytes()  # sums of small integers


# --- numbers that products of tiles make 0 of -------------------------------------------------------------------------


def in_both_orders(x, weight, bias=None, **options):
    """Results for channels that lie apart and side by side, both as NCHW."""
    yield conv2d(x, weight, bias, **options, algorithm="split")
    options |= {"data_format": "NHWC", "weight_format": "OIHW", "algorithm": "split"}
    last = np.ascontiguousarray(x.transpose(0, 2, 3, 1))
    yield conv2d(last, weight, bias, **options).transpose(0, 3, 1, 2)


def assert_within_the_contract(x, weight, bias=None, padding=0):
    """Roundings of the largest pixel of a window's rows times the sum of weights, and a subnormal number a product.

    The bound of `conv2d_error_bound` allows for what is made 0 besides: what is computed again needs none of that.
    """
    padded = np.pad(abs(x).max((1, 3)), ((0, 0), (padding, padding)))
    largest = np.lib.stride_tricks.sliding_window_view(padded, weight.shape[2], 1).max(2)[:, None, :, None].astype("f8")
    size = largest * abs(weight.astype("f8")).sum((1, 2, 3))[:, None, None]
    size += 0 if bias is None else abs(bias.astype("f8"))[:, None, None]
    constant = 6 * -(-weight.shape[1] // 32) * weight[0, 0].size + 24
    allowed = constant * U * size + (weight[0].size + 1) * 2.0**-149
    right = exact(x, weight, bias, padding=padding)
    bound = conv2d_error_bound(x, weight, bias, padding=padding, algorithm="split")
    for y in in_both_orders(x, weight, bias, padding=padding):
        error = abs(y - right)
        assert (error <= allowed).all(), float((error / allowed).max())
        assert (error <= bound).all(), float((error / bound).max())


TINY = [1e-30, 1e-38, 1e-40, 3e-45]


@pytest.mark.parametrize("kernel", [1, 3])
@pytest.mark.parametrize("of_x", [1, 1e-10, *TINY])
@pytest.mark.parametrize("of_w", [1, 1e10, 1e-10, 1e-20, *TINY])
def test_tiny_pixels_and_tiny_weights(of_x, of_w, kernel):
    rng = np.random.default_rng(12)
    for channels in (9, 70):
        x = (rng.standard_normal((1, channels, 6, 19)) * of_x).astype("f4")
        weight = (rng.standard_normal((34, channels, kernel, kernel)) * of_w).astype("f4")
        assert_within_the_contract(x, weight)


def mixtures():
    """Where not everything is tiny: {what: what it makes of pixels and of weights}."""

    def change(which, place, factor):
        def changed(*operands):
            operands[which][place] *= np.float32(factor)

        return changed

    for factor in (0, 1e-20, 1e-30, 1e-38, 1e-42):
        yield f"an output channel by {factor}", change(1, 5, factor)
        yield f"all output channels but one by {factor}", change(1, slice(1, None), factor)
        yield f"an input channel of the weights by {factor}", change(1, (slice(None), 3), factor)
        yield f"all its input channels but one by {factor}", change(1, (slice(None), slice(1, None)), factor)
        yield f"a tap by {factor}", change(1, (..., 1, 1), factor)
        yield f"all taps but one by {factor}", change(1, (..., slice(1, None), slice(None)), factor)
        yield f"an input channel of the pixels by {factor}", change(0, (slice(None), 3), factor)
        yield f"rows by {factor}", change(0, (..., slice(2, 8), slice(None)), factor)
        yield f"all pixels but one by {factor}", change(0, (..., slice(1, None)), factor)
        yield f"columns by {factor}", change(0, (..., slice(4, 17)), factor)


@pytest.mark.parametrize("change", [pytest.param(change, id=name) for name, change in mixtures()])
@pytest.mark.parametrize("padding", [0, 1])
def test_mixtures_of_tiny_and_other_numbers(change, padding):
    rng = np.random.default_rng(13)
    for of_x, of_w, kernel in [(1, 1, 3), (1e-20, 1, 3), (1e-20, 1e-12, 3), (1e-37, 1e3, 3), (1e-30, 1e5, 3)]:
        x = (rng.standard_normal((1, 35, 11, 19)) * of_x).astype("f4")
        weight = (rng.standard_normal((34, 35, kernel, kernel)) * of_w).astype("f4")
        change(x, weight)
        bias = (rng.standard_normal(34) * of_x * of_w).astype("f4")
        assert_within_the_contract(x, weight, None if padding else bias, padding)


@pytest.mark.parametrize("zeros", ["x", "weight", "both", "a channel", "negative"])
def test_zeros(zeros):
    rng = np.random.default_rng(14)
    x, weight = rng.standard_normal((2, 33, 5, 9)).astype("f4"), rng.standard_normal((35, 33, 3, 3)).astype("f4")
    bias = rng.standard_normal(35).astype("f4")
    if zeros in ("x", "both"):
        x[:] = 0
    if zeros in ("weight", "both"):
        weight[:] = 0
    if zeros == "a channel":
        weight[7] = 0
    if zeros == "negative":
        x[:], weight[:] = -0.0, abs(weight)
    none = [7] if zeros == "a channel" else slice(None)
    for with_bias in (None, bias):
        expected = conv2d(x, weight, with_bias, padding=1, algorithm="direct")
        for y in in_both_orders(x, weight, with_bias, padding=1):
            assert (y[:, none] == expected[:, none]).all()
            np.testing.assert_allclose(y, expected, rtol=0, atol=1e-4)


# --- what is not finite -----------------------------------------------------------------------------------------------

PAYLOADS = [0x7FFFFFFF, 0xFFFFFFFF, 0x7F800001, 0xFF800001, 0x7FC00000, 0x7F80FFFF, 0x7F808000, 0x7FFF8000, 0x7F800000]


@pytest.mark.parametrize("bits", PAYLOADS, ids=hex)
@pytest.mark.parametrize("kernel", [1, 3])
def test_every_nan_is_one_where_direct_has_it(bits, kernel):
    """Rounded to bfloat16 as other numbers are, the largest of the two would become 0, and the smallest infinite."""
    rng = np.random.default_rng(15)
    number = np.array(bits, "u4").view("f4")
    x, weight = rng.standard_normal((1, 33, 5, 20)).astype("f4"), rng.standard_normal((40, 33, kernel, kernel))
    weight = weight.astype("f4")
    for which, channel, place in itertools.product(range(2), (0, 7, 31, 32), range(4)):
        operands = [x.copy(), weight.copy()]
        at = (0, channel, place, 5 * place) if which == 0 else (13 * place, channel, place % kernel, 0)
        operands[which].view("u4")[at] = bits
        assert np.array_equal(operands[which][at], number, equal_nan=True)
        direct = conv2d(*operands, padding=1, algorithm="direct")
        finite = np.isfinite(direct)
        assert not finite.all()
        for y in in_both_orders(*operands, padding=1):
            assert (np.isfinite(y) == finite).all(), (which, channel, place)
            np.testing.assert_array_equal(y[~finite], direct[~finite])
            np.testing.assert_allclose(y[finite], direct[finite], rtol=0, atol=1e-4)


ROUNDED_UP = [0x7F7FFFFF, 0x7F7F8000, 0x7F7F7FFF, 0x7F7F0000, 0xFF7FFFFF, 0xFF7F8000]  # all finite, some not to 8 bits


@pytest.mark.parametrize("bits", ROUNDED_UP, ids=hex)
def test_numbers_that_are_infinite_to_eight_bits(bits):
    rng = np.random.default_rng(16)
    number = np.array(bits, "u4").view("f4")
    for which, small in itertools.product(range(2), (1e-3, 1e-30)):
        operands = [rng.standard_normal(shape).astype("f4") for shape in ((1, 33, 5, 20), (40, 33, 3, 3))]
        operands[1 - which] *= np.float32(small)
        operands[which][0, 9, 2, 2] = number
        direct, right = conv2d(*operands, padding=1, algorithm="direct"), exact(*operands, padding=1)
        assert np.isfinite(direct).all()
        bound = conv2d_error_bound(*operands, padding=1, algorithm="split")
        for y in in_both_orders(*operands, padding=1):
            assert np.isfinite(y).all()
            assert (abs(y - right) <= bound).all()


def test_what_is_mended_is_direct_to_its_bits_and_its_neighbours_are_not_touched():
    rng = np.random.default_rng(4)
    x, weight = rng.standard_normal((2, 40, 12, 13)).astype("f4"), rng.standard_normal((80, 40, 3, 3)).astype("f4")
    clean = conv2d(x, weight, algorithm="split")
    x[1, 5, 6, 6] = np.nan  # rows 4 to 6 of the result
    y = conv2d(x, weight, algorithm="split")
    assert y[1, :, 4:7].tobytes() == conv2d(x, weight, algorithm="direct")[1, :, 4:7].tobytes()
    assert np.delete(y[1], [4, 5, 6], 1).tobytes() == np.delete(clean[1], [4, 5, 6], 1).tobytes()
    assert y[0].tobytes() == clean[0].tobytes()
    x[1, 5, 6, 6] = 0
    expected = conv2d(x, weight, algorithm="split")
    weight[33, 3, 1, 1] = np.inf  # of the pair of tiles 32 to 63
    y = conv2d(x, weight, algorithm="split")
    assert y[:, 32:64].tobytes() == conv2d(x, weight, algorithm="direct")[:, 32:64].tobytes()
    assert np.delete(y, np.s_[32:64], 1).tobytes() == np.delete(expected, np.s_[32:64], 1).tobytes()


# --- the state of a thread --------------------------------------------------------------------------------------------

libm = ctypes.CDLL(None) if os.name == "posix" else None
MXCSR_OFFSET, FTZ_AND_DAZ, DOWNWARD = 28, 0x8040, 0x2000  # of x86-64's fenv_t and MXCSR


@pytest.mark.skipif(platform.machine() != "x86_64" or not hasattr(libm, "fegetenv"), reason="of glibc's fenv_t")
@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("bits", [FTZ_AND_DAZ, DOWNWARD], ids=["ftz", "downward"])
def test_callers_floating_point_state_does_not_matter(bits, threads):
    rng = np.random.default_rng(17)
    x, weight = rng.standard_normal((1, 33, 9, 21)).astype("f4"), rng.standard_normal((40, 33, 3, 3)).astype("f4")
    for scale in (1, 1e-30, 1e-38):
        pixels = x * np.float32(scale)
        options = {"algorithm": "split", "num_threads": threads}
        expected = conv2d(pixels, weight, **options)
        saved = ctypes.create_string_buffer(32)
        libm.fegetenv(saved)
        changed = bytearray(saved.raw)
        changed[MXCSR_OFFSET : MXCSR_OFFSET + 2] = (
            int.from_bytes(changed[MXCSR_OFFSET : MXCSR_OFFSET + 2], "little") | bits
        ).to_bytes(2, "little")
        libm.fesetenv(ctypes.create_string_buffer(bytes(changed), 32))
        y = conv2d(pixels, weight, **options)
        libm.fesetenv(saved)
        assert y.tobytes() == expected.tobytes(), scale


XGETBV_1 = bytes([0xB9, 1, 0, 0, 0, 0x0F, 0x01, 0xD0, 0xC3])  # mov ecx, 1; xgetbv; ret: the state that is in use
LDTILECFG = bytes([0xC4, 0xE2, 0x78, 0x49, 0x07, 0xC3])  # [rdi]; ret
TILE_STATE = 3 << 17


@pytest.mark.skipif(not TILES, reason="this processor has no matrix tiles")
def test_tasks_leave_the_tiles_released():
    """A thread whose tiles are in use has 8 KiB more to be saved at each switch, and its core does not sleep deeply."""
    code = mmap.mmap(-1, 4096, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)
    code.write(XGETBV_1)
    address = ctypes.addressof(ctypes.c_char.from_buffer(code))
    in_use = ctypes.CFUNCTYPE(ctypes.c_uint32)(address)
    code[16 : 16 + len(LDTILECFG)] = LDTILECFG
    shapes = ctypes.create_string_buffer(bytes([1, 0] + [0] * 14 + [64, 0] * 8 + [0] * 16 + [16] * 8 + [0] * 8), 64)
    rng = np.random.default_rng(18)
    x, weight = rng.standard_normal((4, 33, 9, 21)).astype("f4"), rng.standard_normal((40, 33, 3, 3)).astype("f4")
    expected = conv2d(x, weight, algorithm="split", backend="cpu", num_threads=1)
    assert not in_use() & TILE_STATE
    ctypes.CFUNCTYPE(None, ctypes.c_void_p)(address + 16)(ctypes.addressof(shapes))
    assert in_use() & TILE_STATE  # as tiles that are left shaped would be
    for threads in (1, 2, 2):  # on workers, in turn
        y = conv2d(x, weight, algorithm="split", num_threads=threads)
        assert not in_use() & TILE_STATE
        assert y.tobytes() == expected.tobytes()
    x[:] = np.nan  # where all rows are computed again, too
    conv2d(x, weight, algorithm="split", num_threads=1)
    assert not in_use() & TILE_STATE


# --- what the row takes -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("words", "x_shape", "weight_shape", "dtype"),
    [
        ("fewer than 8 input channels", (1, 7, 9, 9), (16, 7, 3, 3), "f4"),
        ("fewer than 8 input channels", (1, 14, 9, 9), (16, 7, 3, 3), "f4"),
        ("at most 49 taps", (1, 16, 9, 9), (16, 16, 8, 7), "f4"),
        ("at most 49 taps", (1, 16, 60, 60), (16, 16, 1, 50), "f4"),
        ("too many input channels", (1, 14593, 3, 3), (1, 14593, 3, 3), "f4"),
        ("a row of outputs reads is too much", (1, 64, 1, 30000), (16, 64, 1, 1), "f4"),
        ("64-bit floats", (1, 16, 9, 9), (16, 16, 3, 3), "f8"),
        ("64-bit floats", (1, 16, 9, 9), (16, 16, 3, 3), "c16"),
        ("integers", (1, 16, 9, 9), (16, 16, 3, 3), "i4"),
    ],
)
def test_what_it_cannot_do_is_refused_with_the_reason(words, x_shape, weight_shape, dtype):
    x, weight = np.zeros(x_shape, dtype), np.zeros(weight_shape, dtype)
    options = {"groups": x_shape[1] // weight_shape[1]}
    with pytest.raises(fastconv.BackendUnsupportedError, match=words):
        conv2d(x, weight, **options, algorithm="split")
    assert explain(x, weight, **options).details["algorithm"] != "split"


@pytest.mark.parametrize(("channels", "kernel"), [(1000, 3), (200, 7), (4096, 1)])
def test_many_channels(channels, kernel):
    rng = np.random.default_rng(8)
    x = rng.standard_normal((1, channels, kernel, kernel + 1)).astype("f4")
    weight = rng.standard_normal((5, channels, kernel, kernel)).astype("f4")
    right, bound = exact(x, weight), 4 * U * sizes_of(x, weight, None, {})
    for y in (*in_both_orders(x, weight), plan_conv2d(weight, algorithm="split")(x)):
        assert (abs(y - right) <= bound).all()


@pytest.mark.parametrize("isa", RUNS)
def test_it_is_chosen_where_there_are_matrix_tiles_and_nowhere_else(isa, each_isa_backend):
    if each_isa_backend != f"cpu_{isa}":
        return
    chosen = set()
    for channels, filters, size, k, stride in itertools.product((16, 64, 512), (64, 512), (7, 56), (1, 3), (1, 2)):
        x, weight = np.zeros((1, channels, size, size), "f4"), np.zeros((filters, channels, k, k), "f4")
        for layout in ("NCHW", "NHWC"):
            images = x if layout == "NCHW" else x.transpose(0, 2, 3, 1)
            options = {"data_format": layout, "weight_format": "OIHW", "backend": each_isa_backend, "stride": stride}
            found = explain(images, weight, **options, padding=k // 2)
            chosen.add(found.details["algorithm"])
            assert "split" in found.details["algorithms"]
    assert ("split" in chosen) == (isa == "amx")


def test_the_choice_does_not_depend_on_the_batch():
    for channels, filters, size, k in itertools.product((16, 64, 256), (32, 256), (4, 7, 14, 28), (1, 3)):
        weight = np.zeros((filters, channels, k, k), "f4")
        images = (np.broadcast_to(np.float32(0), (n, channels, size, size)) for n in (1, 2, 64))
        assert len({explain(x, weight, padding=k // 2).details["algorithm"] for x in images}) == 1


def test_scratch_memory_is_bounded():
    taken = 0
    for c, o, size in itertools.product((16, 64, 512, 4096), (16, 64, 2048), (8, 56, 1000)):
        for layout, k, stride in itertools.product(("NCHW", "NHWC"), (1, 3, 5), (1, 2)):
            x = np.broadcast_to(np.zeros((), "f4"), (1, c, size, size) if layout == "NCHW" else (1, size, size, c))
            weight = np.broadcast_to(np.zeros((), "f4"), (o, c, k, k))
            options = {"data_format": layout, "weight_format": "OIHW", "algorithm": "split"}
            details = explain(x, weight, None, stride, k // 2, **options, num_threads=1).details
            if details:  # else it is refused
                taken += 1
                assert details["scratch_bytes"] <= 4 << 20, (c, o, size, k, stride)
    assert taken > 200


@pytest.mark.parametrize("layout", ["NCHW", "NHWC"])
@pytest.mark.parametrize(
    "large", [np.arange(64) % 32 < 16, np.arange(64) % 32 >= 16, np.arange(64) % 2 == 0, np.arange(64) % 2 == 1]
)
def test_all_weights_tell_how_large_pixels_must_be(isa_backend, layout, large):
    """Where some weights are large, results are too, though pixels are so small that their last parts count as 0."""
    rng = np.random.default_rng(3)
    x = np.ldexp(rng.standard_normal((1, 6, 6, 64)), -110).astype("f4")
    weight = rng.standard_normal((64, 20)).astype("f4")
    weight[large] *= 2.0**40
    weight = weight[None, None]
    if layout == "NCHW":
        x, weight = x.transpose(0, 3, 1, 2).copy(), weight.transpose(3, 2, 0, 1).copy()
    options = {"data_format": layout, "backend": isa_backend}
    y = conv2d(x, weight, **options, algorithm="split")
    assert y.tobytes() == conv2d(x, weight, **options, algorithm="direct").tobytes()
