"""What every comparison with another library needs: who computes, and how far apart two right answers may be."""

import functools

import numpy as np
import pytest

import fastconv

RUNS = {
    "cpu-direct": {"backend": "cpu", "algorithm": "direct"},
    "auto": {"algorithm": "auto"},  # of the backend that is chosen: `cpu`, or what `--fastconv-backend` names
    "reference": {"backend": "reference"},
}

# algorithm="auto" may be a fast one, whose error is a constant times u · max|x| · Σ|weight|. This constant is above
# that of any algorithm in use, and far below what a wrong index, pad or weight does.
FAST = 1000


@pytest.fixture(params=[pytest.param(name, marks=pytest.mark.semantics(name == "auto")) for name in RUNS])
def conv2d(request):
    """`fastconv.conv2d`, from each backend."""
    return functools.partial(fastconv.conv2d, **RUNS[request.param])


@pytest.fixture
def assert_right(conv2d):
    """Compare a result with an oracle, element by element, within the bound of the algorithm that computed it.

    `oracle(x, weight, bias, fill_value)` computes the same convolution of the arrays it is given: of the arguments in
    float64 for the value, of their magnitudes for the bound. `bias` has shape (oc,), and is 0 where there is none.
    """
    return functools.partial(_assert_right, conv2d.keywords.get("algorithm") == "auto")


def _assert_right(fast, got, oracle, x, weight, bias=None, fill_value=0):
    oc = weight.shape[0] if weight.ndim == 4 else 1
    if bias is None:
        bias = np.zeros(oc, np.int64)
    if got.dtype.kind in "iu":
        x, weight, bias = (array.astype(got.dtype) for array in (x, weight, bias))
        np.testing.assert_array_equal(got, oracle(x, weight, bias, fill_value), strict=True)
        return
    wide = np.result_type(got.dtype, np.float64)
    x, weight, bias = (array.astype(wide) for array in (x, weight, bias))
    want = oracle(x, weight, bias, fill_value)
    assert got.shape == want.shape
    products = [(np.real, [(np.real, np.real)])]
    if wide.kind == "c":
        products = [
            (np.real, [(np.real, np.real), (np.imag, np.imag)]),
            (np.imag, [(np.real, np.imag), (np.imag, np.real)]),
        ]
    n = weight.size // oc
    for part, factors in products:
        bound = 0
        for i, (of_x, of_weight) in enumerate(factors):
            pixels, fill = abs(of_x(x)), abs(of_x(fill_value))
            if fast:
                fill = max(pixels.max(), fill)
                pixels = np.full_like(pixels, fill)
            bound = bound + oracle(pixels, abs(of_weight(weight)), abs(part(bias)) * (i == 0), fill)
        # γ(n + 1): n products and sums, then the bias; one more sum joins the two halves of a complex part. The second
        # γ is the oracle's own error, in its float64.
        steps = n + len(factors)
        unit = np.finfo(got.dtype).eps / 2
        bound = bound * (gamma(steps, unit) + gamma(steps, 2**-53) + fast * FAST * unit)
        error = abs(part(got).astype(np.float64) - part(want))
        worst = np.unravel_index(np.argmax(error - bound), error.shape)
        assert (error <= bound).all(), (
            f"{worst}: {got[worst]} is {error[worst]} from {want[worst]}, over {bound[worst]}"
        )


def gamma(n, unit):
    """Higham's γ, the most that n roundings do to a product of n factors."""
    return n * unit / (1 - n * unit)
