"""The bound on the error of each element: it holds, for what is drawn and for what is meant to break it."""

import itertools

import numpy as np
import pytest

import fastconv
from fastconv import conv2d, conv2d_error_bound
from fastconv.testing import random_call

# What Winograd's transforms of points +-1/sqrt(2) and +-sqrt(2) amplify most: pixels with the signs of their rows.
SIGNS = [(1, 1, 1, 1), (1, -1, -1, 1), (1, -1, -1, -1), (-1, -1, -1, 1), (1, 1, -1, 1), (1, -1, 1, -1), (1, 1, -1, -1)]


def excess(x, weight, bias=None, **options):
    """How far the error is above the bound, at most, as a share of it."""
    wide = [None if a is None else a.astype("f8") for a in (x, weight, bias)]
    exact = conv2d(*wide, **(options | {"algorithm": "direct"}))
    own = conv2d_error_bound(*wide, **(options | {"algorithm": "direct"})) if x.dtype != "f8" else 0
    bound = conv2d_error_bound(x, weight, bias, **options)
    error = abs(conv2d(x, weight, bias, **options) - exact) - own
    return float(np.where(bound > 0, error / np.where(bound > 0, bound, 1), np.where(error > 0, np.inf, 0)).max())


@pytest.mark.parametrize("algorithm", ["direct", "winograd"])
@pytest.mark.parametrize("kernel", [(3, 3), (5, 5), (1, 3)])
def test_holds_for_data_chosen_against_it(algorithm, kernel):
    rng = np.random.default_rng(6)
    worst = 0
    for number, (down, across) in enumerate(itertools.product(SIGNS, SIGNS)):
        pattern = np.outer(np.resize(np.roll(down, number), 22), np.resize(np.roll(across, number // 4), 22))
        channels = int(rng.choice([16, 40, 130]))
        x = np.broadcast_to(pattern * rng.uniform(0.5, 1), (1, channels, 22, 22)).astype("f4")
        weight = np.zeros((12, channels, *kernel), "f4")
        for o in range(12):  # the same in all channels, so that roundings add up: one tap, or some
            taps = rng.standard_normal(kernel) * (rng.random(kernel) < rng.random())
            taps.flat[rng.integers(taps.size)] = 1
            weight[o] = taps * rng.uniform(0.5, 1)
        worst = max(worst, excess(x, weight, padding=1, algorithm=algorithm))
    assert worst <= 1
    assert worst > 0.01  # and it is of the size of what can happen


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
