"""Convolution by Fourier transforms: inside its bound, to the same bits always, no further than a window reaches."""

import itertools

import numpy as np
import pytest

import fastconv
from fastconv import _kernels, conv2d, conv2d_error_bound, explain, plan_conv2d
from fastconv.backends.cpu import CpuPlan

KERNELS = [(5, 5), (7, 9), (13, 4), (31, 31), (1, 29), (40, 1), (17, 33)]
MODES = ["constant", "reflect", "symmetric", "edge", "wrap"]


def random_problem(seed, most=60):
    """Arguments and options of a call that the row takes; any layout, padding, bias, number of tiles and channels."""
    rng = np.random.default_rng(seed)
    kh, kw = KERNELS[rng.integers(len(KERNELS))]
    groups = int(rng.choice([1, 1, 2, 5]))
    padding = tuple((int(a), int(b)) for a, b in rng.integers(0, 20, (2, 2)))
    sizes = {"N": rng.integers(1, 4), "C": groups * rng.choice([1, 1, 2, 7])}
    sizes |= {"H": kh + rng.integers(0, most), "W": kw + rng.integers(0, most)}
    layout = str(rng.choice(["NCHW", "NHWC", "HWCN", "CHW", "NWHC"]))
    dtype = rng.choice(["f4", "f4", "f8"])
    if rng.random() < 0.2:
        sizes["W"] += 300
    x = rng.standard_normal([sizes[letter] for letter in layout]).astype(dtype)
    if rng.random() < 0.3:
        x = np.repeat(x, 2, -1)[..., ::2]  # elements that are not side by side
    weight = rng.standard_normal((groups * int(rng.choice([1, 2, 5])), sizes["C"] // groups, kh, kw)).astype(dtype)
    bias = rng.standard_normal(len(weight)).astype(dtype) if rng.random() < 0.5 else None
    mode = str(rng.choice(MODES))
    options = {"padding": padding, "groups": groups, "data_format": layout, "weight_format": "OIHW"}
    options |= {"padding_mode": mode, "flip": bool(rng.integers(2))}
    if mode == "constant":
        options["fill_value"] = float(rng.choice([0, 0, -1.5]))
    return (x, weight, bias), options


def test_random_problems_stay_inside_the_bound(isa_backend, request):
    count = request.config.getoption("--problems") // 200
    for seed in range(count if isa_backend in ("cpu_amx", "cpu_avx512") else count // 4):
        arguments, options = random_problem(seed)
        y = conv2d(*arguments, **options, algorithm="fft", backend=isa_backend)
        wide = [None if a is None else a.astype("f8") for a in arguments]
        exact = conv2d(*wide, **options, algorithm="direct")
        bound = conv2d_error_bound(*arguments, **options, algorithm="fft", backend=isa_backend)
        bound += conv2d_error_bound(*wide, **options, algorithm="direct")
        assert (abs(y - exact) <= bound).all(), seed
        # The bound is proved for the worst of all data; errors of these are far below, and a wrong tile is not.
        assert (abs(y - exact) <= bound / 20 + 4 * np.finfo(y.dtype).eps).all(), seed


@pytest.mark.parametrize("kernel", [(6, 5), (24, 70), (100, 90), (192, 192)])
def test_every_size_of_transform(kernel, isa_backend):
    """Images from smaller than a tile to several of them, whose sizes the choice changes with."""
    rng = np.random.default_rng(0)
    for size in (1, 3, 12, 30, 31, 60, 110, 200):
        x = rng.integers(-8, 9, (kernel[0] + size - 1, kernel[1] + 2 * size)).astype("f4")
        weight = rng.integers(-8, 9, kernel).astype("f4")
        if size > 60 and (isa_backend == "cpu_portable" or kernel[0] > 99):
            continue
        y = conv2d(x, weight, algorithm="fft", backend=isa_backend)
        exact = conv2d(x.astype("f8"), weight.astype("f8"), algorithm="direct")
        assert abs(y - exact).max() <= 6e-7 * 64 * kernel[0] * kernel[1], size


def test_bits_depend_on_nothing_but_the_values():
    for seed in range(60):
        (x, weight, bias), options = random_problem(seed)
        options |= {"algorithm": "fft"}
        y = conv2d(x, weight, bias, **options, num_threads=1)
        for threads in (2, 3, 7):
            assert conv2d(x, weight, bias, **options, num_threads=threads).tobytes() == y.tobytes(), seed
        axis = options["data_format"].find("N")
        for n in range(x.shape[axis] if axis >= 0 else 0):
            one = conv2d(np.take(x, [n], axis), weight, bias, **options)
            assert one.tobytes() == np.take(y, [n], axis).tobytes(), seed
        order = [options["data_format"].index(letter) for letter in "NCHW" if letter in options["data_format"]]
        other = options | {"data_format": "NCHW"[4 - x.ndim :]}
        assert conv2d(x.transpose(order), weight, bias, **other).tobytes() == y.transpose(order).tobytes(), seed


def test_prepared_weights_give_the_same_bits_for_images_of_any_size():
    rng = np.random.default_rng(1)
    weight = rng.standard_normal((6, 3, 15, 11)).astype("f4")
    plan = plan_conv2d(weight, padding=5, algorithm="fft")
    packings, isa = set(), plan.explain((1, 3, 90, 90)).details["isa"]
    for height, width in itertools.product((12, 30, 90, 300), (9, 40, 100, 400)):
        x = rng.standard_normal((2, 3, height, width)).astype("f4")
        expected = conv2d(x, weight, padding=5, algorithm="fft")
        problem = explain(x, weight, padding=5, algorithm="fft").problem
        call, prepared = (CpuPlan(problem, isa, "fft", prepared=way).kernel.packing for way in (False, True))
        packings.add(prepared)
        if call == prepared:  # weights that cost nothing may choose larger tiles
            assert plan(x).tobytes() == expected.tobytes()
        assert np.allclose(plan(x), expected, atol=1e-3)
    assert len(packings) > 4


@pytest.mark.parametrize("dtype", ["f4", "f8"])
def test_values_near_the_smallest(dtype):
    rng = np.random.default_rng(4)
    least = float(np.finfo(dtype).smallest_normal)
    for scale in (1e-6, 1, 1e6, least**-0.5):
        x = (rng.standard_normal((50, 60)) * scale * (least if scale < 1e10 else 1)).astype(dtype)
        weight = (rng.standard_normal((9, 9)) * (1 if scale < 1e10 else least)).astype(dtype)
        bound = conv2d_error_bound(x, weight, algorithm="fft") + conv2d_error_bound(x, weight, algorithm="direct")
        assert (abs(conv2d(x, weight, algorithm="fft") - conv2d(x, weight, algorithm="direct")) <= bound).all()


def test_what_is_mended_is_direct_to_its_bits_and_its_neighbours_are_not_touched():
    rng = np.random.default_rng(4)
    x = rng.standard_normal((3, 700, 700)).astype("f4")
    weight = rng.standard_normal((3, 1, 15, 15)).astype("f4")
    clean = conv2d(x, weight, groups=3, algorithm="fft")
    direct = conv2d(x, weight, groups=3, algorithm="direct")
    x[1, 300, 500] = np.nan
    y, exact = (conv2d(x, weight, groups=3, algorithm=name) for name in ("fft", "direct"))
    assert np.array_equal(np.isnan(y), np.isnan(exact))
    near = np.isnan(exact)
    touched = y != clean
    assert (y[touched] == exact[touched])[~near[touched]].all()
    assert touched.sum() < 512 * 256  # a tile at the most
    assert not touched[[0, 2]].any()
    assert (clean != direct).any()


@pytest.mark.parametrize(
    ("words", "options", "shape"),
    [
        ("at most 192 rows", {}, (1, 1, 193, 3)),
        ("25 taps", {}, (1, 1, 3, 3)),
        ("stride 1", {"stride": 2}, (1, 1, 9, 9)),
        ("dilation 1", {"dilation": 2}, (1, 1, 9, 9)),
        ("no integers", {"dtype": "i8"}, (1, 1, 9, 9)),
    ],
)
def test_what_it_cannot_do_is_refused_with_the_reason(words, options, shape):
    kind = options.get("dtype", "f4")
    x, weight = np.ones((1, shape[1], 200, 30), kind), np.ones(shape, kind)
    with pytest.raises(fastconv.BackendUnsupportedError, match=words):
        conv2d(x, weight, **options, algorithm="fft")
    assert explain(x, weight, **options).details["algorithm"] == "direct"


def test_the_choice_does_not_depend_on_the_batch():
    chosen = set()
    for c, k, size in itertools.product((1, 32), (5, 9, 15, 31), (40, 64, 300)):
        weight = np.zeros((c, c, k, k), "f4")
        plans = [explain(np.zeros((n, c, size, size), "f4"), weight).details["algorithm"] for n in (1, 2, 64)]
        assert len(set(plans)) == 1
        chosen.add(plans[0])
    assert {"direct", "fft"} <= chosen


@pytest.mark.parametrize(
    ("channels", "filters", "groups", "size", "k"),
    [(301, 301, 301, 33, 47), (3, 100, 1, 40, 60), (6, 194, 2, 40, 60), (40, 7, 1, 20, 70), (66, 44, 11, 33, 47)],
)
def test_kernels_in_rounds(channels, filters, groups, size, k):
    """More spectra than are held at a time: rounds of whole groups, the last of fewer, or of a part of a group."""
    rng = np.random.default_rng(5)
    x = rng.integers(-8, 9, (2, channels, size, size)).astype("f4")
    weight = rng.integers(-8, 9, (filters, channels // groups, k, k)).astype("f4")
    weight[3, 0, 2, 2] = np.inf
    options = {"padding": k // 2, "groups": groups}
    y = conv2d(x, weight, **options, algorithm="fft", num_threads=2)
    explained = explain(x, weight, **options, algorithm="fft")
    whole = CpuPlan(explained.problem, explained.details["isa"], "fft", prepared=True)
    assert explained.details["packed_bytes"] < 4.5 * 2**20 < whole.kernel.packed_bytes(2)
    for threads in (1, 3):
        assert conv2d(x, weight, **options, algorithm="fft", num_threads=threads).tobytes() == y.tobytes()
    exact = conv2d(x.astype("f8"), weight.astype("f8"), **options, algorithm="fft")
    assert np.array_equal(np.isfinite(exact), np.isfinite(y))
    assert abs(y[:, 4:] - exact[:, 4:]).max() <= 1e-5 * 64 * k * np.sqrt(channels // groups)
    plan = plan_conv2d(weight, **options, algorithm="fft")
    np.testing.assert_allclose(plan(x)[:, 4:], exact[:, 4:], atol=1e-5 * 64 * k * np.sqrt(channels // groups))


def test_scratch_memory_is_bounded():
    for c, o, size, k in itertools.product((1, 64, 4096), (1, 64, 2048), (80, 1000, 20000), (5, 31, 80)):
        for kind in ("f4", "f8"):
            x = np.broadcast_to(np.zeros((), kind), (1, c, size, size))
            weight = np.broadcast_to(np.zeros((), kind), (o, c, k, k))
            details = explain(x, weight, padding=1, algorithm="fft", num_threads=1).details
            assert details["scratch_bytes"] <= 8 << 20, (c, o, size, details["scratch_bytes"])
            one = c * 2 * 96**2 * np.dtype(kind).itemsize  # output channel's, in the smallest size of all these
            assert details["packed_bytes"] <= max(4.5 * 2**20, one + 2**18), (c, o, size, details["packed_bytes"])


WIDE = [name for name, _ in _kernels.isas() if name in ("avx512", "avx2")]


@pytest.mark.skipif(not WIDE, reason="with four lanes it is the products that take long")
def test_a_plan_does_not_keep_spectra_that_take_longer_to_read_than_to_do_without():
    """They would be 96 MiB for 2.3 of weights, and took three times as long as Winograd's points."""
    sizes = (1, 1, 96, 27, 27, 256, 5, 5, 27, 27, 1, 1, 1, 1, 2, 2, 2, 2)
    for isa in WIDE:
        plan = _kernels.Plan(sizes, 0, "f32", False, False, (0, 1, 2, 3), (0, 1, 2, 3), isa, "auto", True)
        assert plan.algorithm == "winograd"
