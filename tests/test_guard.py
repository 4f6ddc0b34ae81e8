"""Fast algorithms where a sum may not stay finite: NaN, infinities and overflow are where `direct` has them."""

import itertools

import numpy as np
import pytest

from fastconv import _kernels, conv2d

# Of each family but direct: images, kernels and options, with several tiles and some that are not whole.
PROBLEMS = {
    "winograd": [
        ((1, 16, size, size), (18, 16, *kernel), {"padding": 1})
        for kernel in [(3, 3), (5, 5), (3, 1), (1, 3), (5, 1), (1, 5)]
        for size in (7, 18)
    ]
    + [((1, 32, 9, 10), (6, 16, 3, 3), {"padding": 2, "groups": 2, "dilation": (2, 1)})]
    + [((1, 16, size, size + 1), (18, 16, k, k), {"padding": 1, "stride": 2}) for k in (3, 5) for size in (7, 18)],
    "split": [
        ((1, 40, 6, 19), (35, 40, 3, 3), {"padding": 1}),
        ((1, 33, 5, 37), (40, 33, 1, 1), {}),
        ((1, 9, 8, 11), (18, 9, 5, 5), {"padding": 2, "stride": 2}),
        ((1, 32, 9, 10), (34, 16, 3, 2), {"padding": 2, "groups": 2, "dilation": (2, 1), "padding_mode": "wrap"}),
    ],
    "fft": [
        ((1, 2, 40, 20), (3, 2, 7, 9), {"padding": 4}),
        ((1, 3, 12, 90), (3, 1, 5, 11), {"padding": 4, "groups": 3}),
        ((1, 1, 60, 60), (3, 1, 21, 21), {"padding": 4}),
    ],
}
CASES = [(name, *problem) for name, problems in PROBLEMS.items() for problem in problems]
DTYPES = {"split": ["f4"]}  # of those that have not both
LARGE = {  # with room for large values in a few tiles
    "winograd": ((1, 20, 13, 30), (7, 20, 3, 3), {"padding": 1}),
    "split": ((1, 35, 7, 30), (36, 35, 3, 3), {"padding": 1}),
    "fft": ((1, 2, 43, 90), (5, 2, 9, 8), {"padding": 3}),
}
OF_EACH = [(name, dtype) for name in LARGE for dtype in DTYPES.get(name, ["f4", "f8"])]
MOST_PLACES = 900  # of a problem


def same_pattern(a, b):
    finite = np.isfinite(b)
    return np.array_equal(np.isfinite(a), finite) and np.array_equal(a[~finite], b[~finite], equal_nan=True)


def test_every_family_is_here():
    assert set(PROBLEMS) == set(LARGE) == set(_kernels.algorithms().values()) - {"direct"}


@pytest.mark.parametrize(("algorithm", "x_shape", "weight_shape", "options"), CASES)
def test_one_value_that_is_not_finite_reaches_what_its_window_reaches(algorithm, x_shape, weight_shape, options):
    rng = np.random.default_rng(2)
    operands = [rng.standard_normal(shape).astype("f4") for shape in (x_shape, weight_shape, weight_shape[:1])]
    channels = sorted({0, x_shape[1] - 1})
    places = [(0, (0, *place)) for place in itertools.product(channels, *map(range, x_shape[2:]))]
    places = places[:: -(-len(places) // MOST_PLACES)]
    last = [weight_shape[0] - 1, weight_shape[1] - 1]
    places += [(1, (o, last[1], *tap)) for o in (0, last[0]) for tap in np.ndindex(*weight_shape[2:])]
    places += [(2, (o,)) for o in range(weight_shape[0])]
    for number, (which, place) in zip(itertools.cycle([np.nan, np.inf, -np.inf]), places, strict=False):
        arguments = list(operands)
        arguments[which] = operands[which].copy()
        arguments[which][place] = number
        y = conv2d(*arguments, **options, algorithm=algorithm)
        expected = conv2d(*arguments, **options, algorithm="direct")
        assert same_pattern(y, expected), (which, place, number)
        finite = np.isfinite(expected)
        np.testing.assert_allclose(y[finite], expected[finite], rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize(("algorithm", "dtype"), OF_EACH)
@pytest.mark.parametrize("place", ["x", "weight", "bias", "fill"])
def test_values_near_the_largest_overflow_where_direct_does(algorithm, dtype, place):
    x_shape, weight_shape, options = LARGE[algorithm]
    rng = np.random.default_rng(3)
    largest = float(np.finfo(dtype).max)
    overflown = 0
    for scale in (1, 0.5, 0.1, 1e-2, 1e-4, 1e-8, largest**-0.25, largest**-0.5):
        x = rng.standard_normal(x_shape).astype(dtype)
        weight = rng.standard_normal(weight_shape).astype(dtype)
        bias = rng.standard_normal(weight_shape[0]).astype(dtype)
        fill = 0.0
        if place == "x":
            x[(0, *(rng.integers(size, size=9) for size in x_shape[1:]))] = largest * scale
        elif place == "weight":
            weight[tuple(rng.integers(size, size=3) for size in weight_shape[:2])] = largest * scale / 4
        elif place == "bias":
            bias[::2] = largest * scale
            weight[0] *= 1e30 if dtype == "f4" else 1e300
        else:
            fill = largest * scale
        options = options | {"fill_value": fill}
        expected = conv2d(x, weight, bias, **options, algorithm="direct")
        assert same_pattern(conv2d(x, weight, bias, **options, algorithm=algorithm), expected), scale
        overflown += not np.isfinite(expected).all()
    assert overflown or place == "bias"


# Images and kernels that a transform amplifies: the signs of a row of Winograd's, and the frequency 0.
SIGNS = np.array([1, -1, -1, 1, 1, 1])
AMPLIFIED = {
    "winograd": (np.tile(np.outer(SIGNS, SIGNS), (1, 16, 1, 1)), np.eye(9)[8].reshape(3, 3) * np.ones((4, 16, 1, 1))),
    "fft": (np.ones((1, 1, 64, 64)), np.ones((2, 1, 9, 9))),
}


@pytest.mark.parametrize("algorithm", AMPLIFIED)
@pytest.mark.parametrize("dtype", ["f4", "f8"])
def test_sums_on_the_way_may_overflow_where_none_of_direct_does(algorithm, dtype):
    """Sums of squares of the pixels and of the weights are just finite, so sums of direct are too."""
    largest = float(np.finfo(dtype).max)
    x, weight = AMPLIFIED[algorithm]
    x = (x * np.sqrt(0.9 * largest / (x**2).sum())).astype(dtype)
    weight = (weight * np.sqrt(0.9 * largest / (weight[0] ** 2).sum())).astype(dtype)
    expected = conv2d(x, weight, algorithm="direct")
    assert np.isfinite(expected).all()
    assert np.isfinite(conv2d(x, weight, algorithm=algorithm)).all()


@pytest.mark.parametrize(("algorithm", "dtype"), OF_EACH)
def test_a_sum_that_decides_whether_the_bias_overflows(algorithm, dtype):
    """Half a unit in the last place of the largest number, exactly: with it the sum is infinite, not with less."""
    _, (_, channels, kh, kw), _ = LARGE[algorithm]
    digits, highest = {"f4": (24, 128), "f8": (53, 1024)}[dtype]
    rng = np.random.default_rng(6)
    x = rng.integers(1, 4, (1, channels, kh, kw))
    x[0, -1, -1, -1] = 1
    weight = rng.integers(-9, 10, (100, channels, kh, kw))  # sums of integers are exact in direct, and not elsewhere
    weight[:, -1, -1, -1] += 2**12 - (weight * x).sum((1, 2, 3))
    scale = highest - digits - 1 - 12  # in halves, so that no square overflows
    x, weight = np.ldexp(x.astype(dtype), scale // 2), np.ldexp(weight.astype(dtype), scale - scale // 2)
    bias = np.full(100, np.finfo(dtype).max, dtype)
    expected = conv2d(x, weight, bias, algorithm="direct")
    assert np.isinf(expected).all()
    assert same_pattern(conv2d(x, weight, bias, algorithm=algorithm), expected)
