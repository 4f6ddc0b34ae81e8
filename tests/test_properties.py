"""What defines the operator, as properties: linear, an impulse gives the kernel back, commutes with shifts.

After FFTW's self-test (linearity, impulse response, shift), plus the structure of channels and groups. Values are small
integers in float32, so every sum is exact and equality is the test.
"""

import numpy as np
import pytest
from hypothesis import given, reject, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

import fastconv

pytestmark = pytest.mark.semantics

settings.register_profile("fastconv", derandomize=True, deadline=None, max_examples=150)
settings.load_profile("fastconv")

ASKED = ["cpu"]


@pytest.fixture(autouse=True, scope="module")
def _asked(fastconv_backend):
    ASKED[0] = fastconv_backend


def conv2d(*arguments, **options):
    """By the backend that `--fastconv-backend` names, which may refuse what is not its own; `cpu` may not."""
    if ASKED[0] == "cpu":
        return fastconv.conv2d(*arguments, **options)
    try:
        return fastconv.conv2d(*arguments, **options, backend=ASKED[0])
    except fastconv.BackendUnsupportedError:
        reject()


sizes = st.integers(1, 6)
one_to_three = st.integers(1, 3)
values = st.integers(-8, 8).map(np.float32)


def lattice(*shape):
    return hnp.arrays(np.float32, shape, elements=values)


@st.composite
def problems(draw, groups=one_to_three):
    """x, weight and options of a valid call."""
    g, igc, ocg, kh, kw = draw(groups), draw(sizes), draw(sizes), draw(st.integers(1, 4)), draw(st.integers(1, 4))
    options = {
        "stride": (draw(st.integers(1, 3)), draw(st.integers(1, 3))),
        "padding": ((kh, draw(st.integers(0, 4))), (draw(st.integers(0, 4)), kw)),
        "dilation": draw(st.integers(1, 2)),
        "groups": g,
    }
    x = draw(lattice(draw(st.integers(1, 2)), g * igc, kh + draw(sizes), kw + draw(sizes)))
    return x, draw(lattice(g * ocg, igc, kh, kw)), options


@given(problems(), st.data())
def test_linear_in_x_and_in_the_kernel(problem, data):
    x, weight, options = problem
    other_x, other_weight = data.draw(lattice(*x.shape)), data.draw(lattice(*weight.shape))
    y = conv2d(x, weight, **options)
    np.testing.assert_array_equal(
        conv2d(x + 2 * other_x, weight, **options), y + 2 * conv2d(other_x, weight, **options)
    )
    np.testing.assert_array_equal(conv2d(x, weight + other_weight, **options), y + conv2d(x, other_weight, **options))


@given(lattice(3, 2, 3, 4), st.integers(0, 7), st.integers(0, 8), st.integers(0, 1))
def test_an_impulse_gives_the_kernel_back(weight, row, column, channel):
    x = np.zeros((1, 2, 8, 9), np.float32)
    x[0, channel, row, column] = 1
    around = conv2d(x, weight, padding="full", flip=True)
    np.testing.assert_array_equal(around[0, :, row : row + 3, column : column + 4], weight[:, channel])
    assert np.count_nonzero(around) == np.count_nonzero(weight[:, channel])


@given(lattice(1, 2, 6, 7), lattice(3, 2, 2, 3), st.integers(-4, 4), st.integers(-4, 4))
def test_commutes_with_shifts_of_a_periodic_image(x, weight, down, right):
    y = conv2d(x, weight, padding="same", padding_mode="wrap")
    shifted = conv2d(np.roll(x, (down, right), (2, 3)), weight, padding="same", padding_mode="wrap")
    np.testing.assert_array_equal(shifted, np.roll(y, (down, right), (2, 3)))


@given(problems())
def test_groups_are_separate_calls(problem):
    x, weight, options = problem
    g = options.pop("groups")
    parts = zip(np.split(x, g, axis=1), np.split(weight, g, axis=0), strict=True)
    apart = np.concatenate([conv2d(a, b, **options) for a, b in parts], axis=1)
    np.testing.assert_array_equal(conv2d(x, weight, **options, groups=g), apart)


@given(problems(st.just(1)), st.randoms(use_true_random=False))
def test_order_of_channels_does_not_matter(problem, random):
    x, weight, options = problem
    order = random.sample(range(x.shape[1]), x.shape[1])
    np.testing.assert_array_equal(conv2d(x[:, order], weight[:, order], **options), conv2d(x, weight, **options))


@given(problems())
def test_transposing_image_and_kernel_transposes_the_result(problem):
    x, weight, options = problem
    swapped = options | {"stride": options["stride"][::-1], "padding": options["padding"][::-1]}
    y = conv2d(x.transpose(0, 1, 3, 2), weight.transpose(0, 1, 3, 2), **swapped)
    np.testing.assert_array_equal(y.transpose(0, 1, 3, 2), conv2d(x, weight, **options))


@given(lattice(2, 5, 4, 3), lattice(6, 5, 1, 1), lattice(6))
def test_one_by_one_is_a_matrix_product(x, weight, bias):
    expected = np.einsum("nchw,oc->nohw", x, weight[:, :, 0, 0]) + bias[:, None, None]
    np.testing.assert_array_equal(conv2d(x, weight, bias), expected)
