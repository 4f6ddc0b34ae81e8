"""The classic kernels: their values, their sums, and what they say of an image."""

import numpy as np
import pytest

from fastconv import conv2d, filters

pytestmark = pytest.mark.semantics

MAKERS = {name: getattr(filters, name) for name in filters.__all__}
DEFAULTS = {"box": (5,), "gaussian": (5,), "gabor": (7, 4.0, 0.5)}


@pytest.mark.parametrize("name", MAKERS)
def test_every_kernel_is_an_odd_float64_array_with_the_documented_sum(name):
    kernel = MAKERS[name](*DEFAULTS.get(name, ()))
    assert type(kernel) is np.ndarray
    assert kernel.dtype == np.float64
    assert kernel.ndim == 2
    assert all(size % 2 for size in kernel.shape)
    assert kernel.flags.c_contiguous
    expected = 0 if name.endswith(("_x", "_y")) or name in ("laplacian", "gabor") else 1
    assert kernel.sum() == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("stem", ["sobel", "prewitt", "scharr"])
def test_derivatives_point_along_their_axis(stem):
    ramp = np.tile(np.arange(6.0), (5, 1))
    along = conv2d(ramp, MAKERS[f"{stem}_x"]())
    assert (along > 0).all()
    assert (conv2d(ramp, MAKERS[f"{stem}_y"]()) == 0).all()
    np.testing.assert_array_equal(conv2d(ramp.T, MAKERS[f"{stem}_y"]()), along.T)


def test_values():
    np.testing.assert_allclose(filters.box(3), 1 / 9)
    np.testing.assert_array_equal(filters.identity(3) * 9, [[0, 0, 0], [0, 9, 0], [0, 0, 0]])
    np.testing.assert_array_equal(filters.sharpen(2.0), [[0, -2, 0], [-2, 9, -2], [0, -2, 0]])
    np.testing.assert_array_equal(filters.scharr_y(), [[-3, -10, -3], [0, 0, 0], [3, 10, 3]])
    np.testing.assert_array_equal(filters.prewitt_x(), [[-1, 0, 1]] * 3)
    image = np.random.default_rng(0).standard_normal((7, 9))
    np.testing.assert_array_equal(conv2d(image, filters.identity(3), padding="same"), image)
    spot = np.zeros((3, 3))
    spot[1, 1] = -1
    assert conv2d(spot, filters.laplacian())[0, 0] == 4


def test_gaussian():
    kernel = filters.gaussian(7, 1.5)
    np.testing.assert_allclose(kernel, kernel.T)
    np.testing.assert_allclose(kernel, kernel[::-1, ::-1])
    assert np.linalg.matrix_rank(kernel) == 1
    np.testing.assert_allclose(kernel[3, 4] / kernel[3, 3], np.exp(-0.5 / 1.5**2))
    np.testing.assert_array_equal(filters.gaussian(9), filters.gaussian(9, 1.5))
    for sigma in (0, -1, np.inf, np.nan):
        with pytest.raises(ValueError, match="sigma must be a positive finite number"):
            filters.gaussian(3, sigma)


def test_gabor():
    kernel = filters.gabor(21, 6.0, 0.3)
    np.testing.assert_allclose(np.abs(kernel).sum(), 1)
    np.testing.assert_allclose(kernel, kernel[::-1, ::-1], atol=1e-15)
    np.testing.assert_allclose(filters.gabor(21, 6.0, np.pi / 2), filters.gabor(21, 6.0).T, atol=1e-15)
    np.testing.assert_allclose(filters.gabor(21, 6.0, np.pi / 2 - 0.3), kernel.T, atol=1e-15)
    # It answers to its own wave, and to none that runs across.
    rows, columns = np.mgrid[:64, :64]
    wave = np.cos(2 * np.pi * (columns * np.cos(0.3) + rows * np.sin(0.3)) / 6)
    across = np.cos(2 * np.pi * (rows * np.cos(0.3) - columns * np.sin(0.3)) / 6)
    assert conv2d(wave, kernel).max() > 0.7
    assert np.abs(conv2d(across, kernel)).max() < 1e-2
    edge = filters.gabor(9, 8.0, 0.0, -np.pi / 2)
    assert conv2d(np.tile(np.arange(9.0), (9, 1)), edge)[0, 0] > 0  # brightness that grows to the right
    np.testing.assert_allclose(edge, -edge[:, ::-1], atol=1e-15)
    for arguments, message in (
        ((4, 3.0), "size must be odd"),
        ((5, 0), "wavelength must be a positive finite number"),
        ((5, 3.0, np.nan), "angle must be a finite number, got nan"),
        ((5, 3.0, 0, np.inf), "phase must be a finite number, got inf"),
        ((5, 3.0, 0, 0, -1), "sigma must be a positive finite number"),
        ((1, 3.0), "is flat at the pixels of size=1"),
    ):
        with pytest.raises(ValueError, match=message):
            filters.gabor(*arguments)


@pytest.mark.parametrize("maker", [filters.box, filters.gaussian, filters.identity])
def test_sizes_are_odd(maker):
    for size in (0, 2, -3):
        with pytest.raises(ValueError, match="size must be odd and at least 1"):
            maker(size)
    with pytest.raises(TypeError, match=r"size must be an integer, got 3\.0"):
        maker(3.0)
    with pytest.raises(TypeError, match="size must be an integer, got the bool True"):
        maker(True)
    with pytest.raises(ValueError, match=r"would make a kernel of more than 2\*\*63 bytes"):
        maker(2**31 - 1)
    assert maker(np.int64(3)).shape == (3, 3)


@pytest.mark.parametrize(
    ("maker", "arguments", "name"),
    [
        (filters.gaussian, (3,), "sigma"),
        (filters.gabor, (5,), "wavelength"),
        (filters.gabor, (5, 4.0), "angle"),
        (filters.gabor, (5, 4.0, 0.0), "phase"),
        (filters.sharpen, (), "amount"),
    ],
)
def test_numbers_are_refused_in_a_sentence(maker, arguments, name):
    for value, kind, words in (
        ("1", TypeError, f"{name} must be a number, got '1'"),
        (1j, TypeError, f"{name} must be a real number, got 1j"),
        (np.ma.masked, TypeError, f"{name} must be a number, got an object of type MaskedConstant"),
        (10**1000, ValueError, f"{name} must be a number that a float can hold, got an integer of 3322 bits"),
        (np.nan, ValueError, f"{name} must be a .*finite number"),
    ):
        with pytest.raises(kind, match=words) as caught:
            maker(*arguments, value)
        assert str(caught.value).endswith(".")


def test_extreme_lengths_make_no_warnings():
    np.testing.assert_array_equal(filters.gaussian(3, 5e-324), filters.identity())
    with pytest.raises(ValueError, match="is flat at the pixels"):
        filters.gabor(5, 5e-324)
