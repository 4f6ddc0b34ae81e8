"""The bound on the error of each element: it holds, for what is drawn and for what is meant to break it."""

import itertools

import numpy as np
import pytest

import fastconv
from fastconv import conv2d, conv2d_error_bound
from fastconv.testing import random_call

# What Winograd's transforms of points +-1/sqrt(2) and +-sqrt(2) amplify most: pixels with the signs of their rows.
SIGNS = [(1, 1, 1, 1), (1, -1, -1, 1), (1, -1, -1, -1), (-1, -1, -1, 1), (1, 1, -1, 1), (1, -1, 1, -1), (1, 1, -1, -1)]
# With a stride of 2, where tiles are 8 pixels apart, the even ones have those for +-7/16, +-5/4 and infinity.
EVEN_SIGNS = np.repeat([(-1, -1, 1, 1), (1, -1, -1, 1), (1, 1, -1, -1), (1, -1, 1, -1), (1, 1, 1, 1)], 2, 1)


def excess(x, weight, bias=None, **options):
    """How far the error is above the bound, at most, as a share of it."""
    wide = [None if a is None else a.astype("f8") for a in (x, weight, bias)]
    exact = conv2d(*wide, **(options | {"algorithm": "direct"}))
    own = conv2d_error_bound(*wide, **(options | {"algorithm": "direct"})) if x.dtype != "f8" else 0
    bound = conv2d_error_bound(x, weight, bias, **options)
    error = abs(conv2d(x, weight, bias, **options) - exact) - own
    return float(np.where(bound > 0, error / np.where(bound > 0, bound, 1), np.where(error > 0, np.inf, 0)).max())


@pytest.mark.parametrize("algorithm", ["direct", "winograd"])
@pytest.mark.parametrize(("kernel", "stride"), [((3, 3), 1), ((5, 5), 1), ((1, 3), 1), ((3, 3), 2), ((5, 5), 2)])
def test_holds_for_data_chosen_against_it(algorithm, kernel, stride):
    rng = np.random.default_rng(6)
    worst = 0
    for number, (down, across) in enumerate(itertools.product(SIGNS if stride == 1 else EVEN_SIGNS, repeat=2)):
        rolled = np.roll(down, number), np.roll(across, number // 4)
        pattern = np.outer(*(np.resize(line, 22) for line in rolled))
        channels = int(rng.choice([16, 40, 130]))
        x = np.broadcast_to(pattern * rng.uniform(0.5, 1), (1, channels, 22, 22)).astype("f4")
        weight = np.zeros((12, channels, *kernel), "f4")
        for o in range(12):  # the same in all channels, so that roundings add up: one tap, or some
            taps = rng.standard_normal(kernel) * (rng.random(kernel) < rng.random())
            taps.flat[rng.integers(taps.size)] = 1
            weight[o] = taps * rng.uniform(0.5, 1)
        worst = max(worst, excess(x, weight, stride=stride, padding=1, algorithm=algorithm))
    assert worst <= 1
    assert worst > 0.01  # and it is of the size of what can happen


def test_of_a_plan_is_that_of_the_tiles_it_chose():
    """Prepared weights make larger tiles the cheaper ones here, in which a large pixel has more neighbours."""
    rng = np.random.default_rng(9)
    weight, options = rng.standard_normal((16, 37, 3, 3)), {"stride": 2, "groups": 2, "algorithm": "winograd"}
    plan, outside = fastconv.plan_conv2d(weight, **options), 0
    for row, column in itertools.product(range(12, 20), repeat=2):
        x = rng.standard_normal((1, 74, 31, 37))
        x[0, 3, row, column] = 1e30
        error = abs(plan(x) - conv2d(x, weight, **options | {"algorithm": "direct"}))
        assert (error <= 1.01 * plan.error_bound(x)).all(), (row, column)
        outside += (error > conv2d_error_bound(x, weight, **options)).any()
    assert outside
    with pytest.raises(TypeError, match="x has dtype"):
        plan.error_bound("an image")


def test_of_a_plan_for_every_kind_of_operand():
    x, weight, bias = np.ones((2, 3, 9, 9)), np.ones((4, 3, 3, 3)), np.ones(4)
    for dtype in "f2", "f4", "f8", "c8", "i4":
        operands = [array.astype(dtype) for array in (x, weight, bias)]
        bound = fastconv.plan_conv2d(*operands[1:]).error_bound(operands[0])
        assert (bound == conv2d_error_bound(*operands)).all()
        assert bound.any() == (dtype != "i4")
    bound = fastconv.plan_conv2d(weight, bias, backend="reference").error_bound(x)
    assert (bound == conv2d_error_bound(x, weight, bias, backend="reference")).all()
    assert fastconv.plan_conv2d(weight).error_bound(x[:0]).shape == (0, 4, 7, 7)


@pytest.mark.parametrize(
    ("k", "stride", "size"), [(3, 1, 26), (3, 1, 4), (5, 1, 26), (3, 2, 65), (3, 2, 5), (5, 2, 49)]
)
def test_holds_around_one_large_pixel(k, stride, size):
    """Its roundings reach all outputs of its tiles, and no others."""
    rng = np.random.default_rng(8)
    x = rng.standard_normal((1, 32, size, size)).astype("f4")
    weight = rng.standard_normal((64, 32, k, k)).astype("f4")
    for row, column in itertools.product(range(min(size, 10)), repeat=2):  # two tiles
        one = x.copy()
        one[0, 3, row, column] = 1e12
        assert excess(one, weight, stride=stride, padding=1, algorithm="winograd") <= 1, (row, column)


def amplification(points, outputs, taps):
    """What transforms with some points and infinity make of roundings, by Toom and Cook: products', pixels'."""
    size = outputs + taps - 1
    if size == outputs:
        return 1, 1
    others = [[q for q in points if q != p] for p in points]
    a = np.array([[p**i for p in points] + [float(i == outputs - 1)] for i in range(outputs)])
    g = np.array(
        [[p**t / np.prod(np.subtract(p, rest)) for t in range(taps)] for p, rest in zip(points, others, strict=True)]
    )
    g = np.vstack([g, np.eye(taps)[-1]])
    b = np.array([np.append(np.poly(rest)[::-1], 0) for rest in others] + [np.poly(points)[::-1]])
    pixels, kernel = np.random.default_rng(0).standard_normal(size), np.arange(1.0, taps + 1)
    np.testing.assert_allclose(a @ ((g @ kernel) * (b @ pixels)), np.correlate(pixels, kernel))
    corners = np.array(list(itertools.product((-1, 1), repeat=size)))
    by_tap = np.einsum("ip,pt->pit", abs(a), abs(g)).reshape(size, -1)
    return (abs(corners @ b.T) @ by_tap).max(), (abs(b).sum(1) @ by_tap).max()


ROOT = 2**0.5
SCHEMES = {  # taps and stride: of large and of small tiles, and with a stride of even and of odd taps
    (3, 1): ([([0, 1 / ROOT, -1 / ROOT, ROOT, -ROOT], 4, 3)], [([0, 1, -1], 2, 3)]),
    (5, 1): ([([0, 1 / ROOT, -1 / ROOT, ROOT, -ROOT], 2, 5)],),
    (3, 2): ([([7 / 16, -7 / 16, 5 / 4, -5 / 4], 4, 2), ([], 4, 1)], [([0, 1], 2, 2), ([], 2, 1)]),
    (5, 2): ([([0, 1, -1], 2, 3), ([0, 1], 2, 2)],),
}


@pytest.mark.parametrize(("k", "stride"), SCHEMES)
def test_constant_is_that_of_the_transforms(k, stride):
    expected = []
    for parts in SCHEMES[k, stride]:
        together, apart = np.max([amplification(*part) for part in parts], axis=0)
        expected.append(together * apart * (32 + 25) + apart**2 * 8)
    found = set()
    weight = np.zeros((64, 32, k, k), "f4")
    weight[:, 0, 0, 0] = 1
    for size in (3, 48):
        x = np.ones((1, 32, size * stride + k, size * stride + k), "f4")
        bound = conv2d_error_bound(x, weight, stride=stride, algorithm="winograd")[0, 0, 0, 0] * 2**24
        found |= {number for number, k in enumerate(expected) if abs(bound - k) < 1e-3 * k}
    assert found == set(range(len(expected)))


def test_holds_for_random_calls(request):
    for seed in range(request.config.getoption("--problems") // 40):
        call = random_call(seed)
        options = {name: value for name, value in call.options.items() if name != "num_threads"}
        y = conv2d(call.x, call.weight, call.bias, **options)
        bound = conv2d_error_bound(call.x, call.weight, call.bias, **options)
        assert bound.shape == y.shape
        assert bound.dtype == "f8"
        if y.dtype.kind in "iu":
            assert not bound.any()
        elif call.exact:
            assert (bound[np.isfinite(bound)] >= 0).all()


def waves(rng, shape):
    """One frequency of a tile, as Fourier transforms know them, or some of Winograd's signs."""
    rows, columns = np.arange(shape[-2])[:, None], np.arange(shape[-1])
    if rng.random() < 0.3:
        signs = [np.resize(np.roll(SIGNS[rng.integers(len(SIGNS))], rng.integers(4)), size) for size in shape[-2:]]
        return np.broadcast_to(np.outer(*signs), shape) * rng.uniform(0.5, 1)
    steps = [rng.integers(0, 49) / rng.choice([16, 32, 48, 64, 96]) * np.pi for _ in range(2)]
    return np.broadcast_to(np.cos(steps[0] * rows + steps[1] * columns + rng.uniform(0, 6)), shape)


def spots(rng, shape):
    """Zeros but for one or a few."""
    found = np.zeros(shape)
    for _ in range(rng.integers(1, 4)):
        found[tuple(map(rng.integers, shape))] = rng.standard_normal() * 10.0 ** rng.integers(-6, 7)
    return found


FILLINGS = {
    "normal": lambda rng, shape: rng.standard_normal(shape),
    "positive": lambda rng, shape: rng.random(shape),
    "constant": lambda rng, shape: np.full(shape, rng.standard_normal()),
    "integers": lambda rng, shape: rng.integers(-8, 9, shape).astype("f8"),
    "the same in all channels": lambda rng, shape: np.broadcast_to(rng.standard_normal(shape[-2:]), shape),
    "almost constant": lambda rng, shape: 1 + 2.0**-12 * rng.standard_normal(shape),
    "all magnitudes": lambda rng, shape: rng.standard_normal(shape) * 10.0 ** rng.uniform(-12, 12, shape),
    "a step": lambda rng, shape: rng.standard_normal(shape) * np.where(np.arange(shape[-1]) < shape[-1] // 2, 1, 1e6),
    "rounded to few bits": lambda rng, shape: (
        np.sign(rng.standard_normal(shape)) * (1 + 2.0**-23 * rng.integers(0, 2, shape))
    ),
    "waves": waves,
    "spots": spots,
}
KERNELS = {
    "direct": [1, 2, 3, 5, 9],
    "winograd": [(3, 3), (5, 5), (3, 1), (1, 3), (5, 1), (1, 5)],
    "fft": [5, 7, 9, 13, 21],
}
KERNELS["auto"] = [3, 5, 9, 15]
CHANNELS = {"direct": [1, 3, 40], "winograd": [16, 20, 40], "fft": [1, 1, 2, 7], "auto": [1, 4, 16, 40]}


def exact_sums(x, weight, bias, padding):
    """In extended precision, a tap at a time."""
    x = np.pad(x.astype("g"), ((0, 0), (0, 0), (padding, padding), (padding, padding)))
    kh, kw = weight.shape[2:]
    windows = np.lib.stride_tricks.sliding_window_view(x, (kh, kw), (2, 3))
    return (
        np.stack([(windows[0] * of[:, None, None]).sum((0, 3, 4)) for of in weight.astype("g")])[None]
        + bias[:, None, None]
    )


@pytest.mark.parametrize("algorithm", KERNELS)
def test_holds_for_random_problems_of_every_filling(algorithm, request):
    """A fifth of them in float64, against extended precision; `--problems` says how many, 1 for each 100."""
    first = request.config.getoption("--first-problem")
    for seed in range(first, first + request.config.getoption("--problems") // 100):
        rng = np.random.default_rng([seed, list(KERNELS).index(algorithm)])
        dtype = "f8" if rng.random() < 0.2 else "f4"
        kernel = KERNELS[algorithm][rng.integers(len(KERNELS[algorithm]))]
        kh, kw = kernel if isinstance(kernel, tuple) else (kernel, kernel)
        channels, filters = (
            int(rng.choice(CHANNELS[algorithm])),
            int(rng.choice([16, 18] if algorithm == "winograd" else [1, 3, 18])),
        )
        most = 8 if dtype == "f8" else 30
        fillings = [str(rng.choice(list(FILLINGS))) for _ in range(2)]
        scales = [10.0 ** rng.integers(-6, 7) if rng.random() < 0.2 else 1 for _ in range(2)]
        shapes = (1, channels, kh + rng.integers(0, most), kw + rng.integers(0, most)), (filters, channels, kh, kw)
        x, weight = (
            (FILLINGS[name](rng, shape) * scale).astype(dtype)
            for name, shape, scale in zip(fillings, shapes, scales, strict=True)
        )
        bias, padding = (rng.standard_normal(filters) * scales[0]).astype(dtype), int(rng.integers(0, 3))
        if dtype == "f4":
            worst = excess(x, weight, bias, padding=padding, algorithm=algorithm)
        else:
            bound = conv2d_error_bound(x, weight, bias, padding=padding, algorithm=algorithm)
            error = abs(
                conv2d(x, weight, bias, padding=padding, algorithm=algorithm) - exact_sums(x, weight, bias, padding)
            )
            worst = float((error / (bound * (1 + 2.0**-9))).max())  # the sums err too, in the 64th bit
        assert worst <= 1, (seed, fillings, worst)


@pytest.mark.parametrize("dtype", ["f2", "f4", "f8", "c8", "bfloat16"])
@pytest.mark.parametrize("algorithm", ["auto", "direct"])
def test_holds_for_every_dtype(dtype, algorithm):
    if dtype == "bfloat16":
        dtype = pytest.importorskip("ml_dtypes").bfloat16
    rng = np.random.default_rng(7)
    for seed in range(10):
        x, weight = (rng.standard_normal(shape) for shape in ((2, 24, 17, 18), (20, 24, 3, 3)))
        if dtype == "c8":
            x, weight = x + 1j * x[:, ::-1], weight - 1j * weight[::-1]
        x, weight = x.astype(dtype), weight.astype(dtype)
        wide = "c16" if dtype == "c8" else np.longdouble if dtype == "f8" else "f8"
        exact = sum(
            np.einsum("oc,nchw->nohw", weight.astype(wide)[:, :, a, b], x.astype(wide)[:, :, a : a + 15, b : b + 16])
            for a, b in itertools.product(range(3), range(3))
        )
        error = abs(conv2d(x, weight, algorithm=algorithm).astype(wide) - exact)
        assert (error <= conv2d_error_bound(x, weight, algorithm=algorithm)).all(), seed


def test_direct_counts_each_product_and_winograd_its_neighbourhood():
    x, weight = np.zeros((1, 32, 12, 12), "f4"), np.zeros((4, 32, 3, 3), "f4")
    x[0, 0, 6, 6], weight[:, 0, 1, 1] = 2, 3
    u = 2.0**-24
    k = 32 * 9 + 1
    direct = conv2d_error_bound(x, weight, padding=1, algorithm="direct")
    np.testing.assert_allclose(direct[0, 0, 6, 6], 6 * k * u / (1 - k * u), rtol=1e-8)
    assert (direct[0, 0, 5, 5], direct[0, 0, 6, 5]) < (1e-40, 1e-40)
    fast = conv2d_error_bound(x, weight, padding=1, algorithm="winograd")
    reached = np.argwhere(fast[0, 0] > 1e-20)
    assert (reached.min(), reached.max()) in ((6 - 1 - 3, 6 + 1 + 3), (6 - 1 - 1, 6 + 1 + 1))
    assert fast[0, 0, 6, 6] > direct[0, 0, 6, 6]


def test_is_not_finite_where_the_result_is_not():
    x, weight = np.ones((1, 16, 9, 9), "f4"), np.ones((2, 16, 3, 3), "f4")
    x[0, 0, 4, 4] = np.nan
    for algorithm in ("direct", "winograd"):
        y = conv2d(x, weight, algorithm=algorithm)
        assert not np.isfinite(conv2d_error_bound(x, weight, algorithm=algorithm)[~np.isfinite(y)]).any()


def test_other_backends_and_integers():
    x, weight = np.ones((1, 3, 9, 9), "f4"), np.ones((2, 3, 3, 3), "f4")
    assert conv2d_error_bound(x, weight, backend="reference").max() < 1e-6 * conv2d_error_bound(x, weight).max()
    assert not conv2d_error_bound(x.astype("i4"), weight.astype("i4")).any()
    assert conv2d_error_bound(x[:0], weight).shape == (0, 2, 7, 7)
    with pytest.raises(ValueError, match="channels"):
        conv2d_error_bound(x, weight[:, :2])
    with pytest.raises(fastconv.BackendUnsupportedError):
        conv2d_error_bound(x, weight, algorithm="winograd")
