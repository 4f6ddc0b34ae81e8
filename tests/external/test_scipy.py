"""scipy.signal, scipy.ndimage and NumPy's own 1-D functions and np.pad as oracles: geometry, edges, dtypes, errors.

Geometry is compared in integers, where right means equal. Images are not square and kernels are neither symmetric nor
all odd: a square image hides a transpose, a symmetric kernel the flip, an odd one the anchor.
"""

import numpy as np
import pytest

pytest.importorskip("scipy", reason="SciPy is the oracle")

from scipy import ndimage, signal

import fastconv

pytestmark = pytest.mark.semantics

IMAGE = (7, 6)
KERNELS = [(1, 1), (2, 1), (1, 4), (2, 2), (3, 2), (2, 5), (4, 4), (4, 3), (3, 3), (5, 5), (6, 6), (7, 1)]
TINY = [(1, 1), (1, 5), (4, 1), (2, 3), (5, 7)]  # most of them smaller than the kernels below
NDIMAGE_MODES = {
    "reflect": "mirror",
    "symmetric": "reflect",
    "edge": "nearest",
    "wrap": "grid-wrap",
    "constant": "constant",
}
SIGNAL_MODES = {"constant": "fill", "symmetric": "symm", "wrap": "wrap"}


@pytest.fixture
def integers(integers):
    def draw(shape, seed=0, low=-99, high=99):
        return integers(np.random.default_rng([seed, *shape]), shape, low, high)

    return draw


def fill(padding_mode):
    return -7 if padding_mode == "constant" else 0


def equal(got, want):
    np.testing.assert_array_equal(got, want, strict=True)


# Where each function puts the odd pad of an even kernel. SciPy disagrees with itself (scipy#1968), so each row is one
# function: correlate2d and ndimage.convolve are "same", all others "same_lower".
SAME = {
    "signal.correlate2d": ("same", False, lambda x, w: signal.correlate2d(x, w, "same")),
    "ndimage.convolve": ("same", True, lambda x, w: ndimage.convolve(x, w, mode="constant")),
    "signal.correlate": ("same_lower", False, lambda x, w: signal.correlate(x, w, "same", "direct")),
    "ndimage.correlate": ("same_lower", False, lambda x, w: ndimage.correlate(x, w, mode="constant")),
    "signal.convolve2d": ("same_lower", True, lambda x, w: signal.convolve2d(x, w, "same")),
    "signal.convolve": ("same_lower", True, lambda x, w: signal.convolve(x, w, "same", "direct")),
    "signal.fftconvolve": ("same_lower", True, lambda x, w: rounded(signal.fftconvolve(x, w, "same"), x.dtype)),
}


def rounded(floats, dtype):
    return np.rint(floats).astype(dtype)


@pytest.mark.parametrize("kernel", KERNELS, ids=str)
@pytest.mark.parametrize("name", SAME)
def test_same(conv2d, name, kernel, integers):
    padding, flip, function = SAME[name]
    x, w = integers(IMAGE), integers(kernel)
    equal(conv2d(x, w, padding=padding, flip=flip), function(x, w))


@pytest.mark.parametrize("name", SAME)
def test_same_is_not_the_other_same(conv2d, name, integers):
    """The table above would say nothing if both names gave the same result."""
    padding, flip, function = SAME[name]
    other = {"same": "same_lower", "same_lower": "same"}[padding]
    x, w = integers(IMAGE), integers((2, 4))
    assert not np.array_equal(conv2d(x, w, padding=other, flip=flip), function(x, w))


@pytest.mark.parametrize("flip", [False, True])
@pytest.mark.parametrize("mode", ["full", "valid", "same"])
@pytest.mark.parametrize("k", range(1, 7))
def test_numpy_1d(conv2d, k, mode, flip, integers):
    x, w = integers((9,)), integers((k,))
    padding = "same_lower" if mode == "same" else mode
    want = (np.convolve if flip else np.correlate)(x, w, mode)
    equal(conv2d(x[None], w[None], padding=padding, flip=flip)[0], want)
    equal(conv2d(x[:, None], w[:, None], padding=padding, flip=flip)[:, 0], want)


@pytest.mark.parametrize("kernel", [*KERNELS, (7, 9), (8, 10)], ids=str)
@pytest.mark.parametrize("shape", [IMAGE, *TINY], ids=str)
@pytest.mark.parametrize("padding_mode", SIGNAL_MODES)
@pytest.mark.parametrize("flip", [False, True])
def test_signal_boundaries(conv2d, flip, padding_mode, shape, kernel, integers):
    x, w = integers(shape), integers(kernel)
    function = signal.convolve2d if flip else signal.correlate2d
    boundary, value = SIGNAL_MODES[padding_mode], fill(padding_mode)
    same = "same_lower" if flip else "same"
    for mode, padding in [("full", "full"), ("same", same), ("valid", "valid")]:
        # "valid" with a kernel larger than the image is refused here, while SciPy swaps the two (scipy#12685).
        if mode == "valid" and (kernel[0] > shape[0] or kernel[1] > shape[1]):
            continue
        want = function(x, w, mode, boundary, value)
        equal(conv2d(x, w, padding=padding, padding_mode=padding_mode, fill_value=value, flip=flip), want)


# No kernel reaches 4 times the image's size, where ndimage's "reflect" reads memory outside it (SciPy 1.17).
@pytest.mark.parametrize("kernel", [(1, 1), (3, 3), (1, 5), (7, 3), (9, 11), (15, 1)], ids=str)
@pytest.mark.parametrize("shape", [IMAGE, *TINY], ids=str)
@pytest.mark.parametrize("padding_mode", NDIMAGE_MODES)
def test_ndimage_edges(conv2d, padding_mode, shape, kernel, integers):
    x, w = integers(shape), integers(kernel)
    mode, value = NDIMAGE_MODES[padding_mode], fill(padding_mode)
    for flip, function in [(False, ndimage.correlate), (True, ndimage.convolve)]:
        want = function(x, w, mode=mode, cval=value)
        for padding in ("same", "same_lower", tuple(k // 2 for k in kernel)):  # all the same thing for an odd kernel
            equal(conv2d(x, w, padding=padding, padding_mode=padding_mode, fill_value=value, flip=flip), want)


@pytest.mark.parametrize("pads", [((0, 0), (1, 2)), ((1, 0), (0, 0)), ((5, 3), (7, 11)), ((23, 14), (9, 31))], ids=str)
@pytest.mark.parametrize("shape", [IMAGE, *TINY], ids=str)
@pytest.mark.parametrize("padding_mode", NDIMAGE_MODES)
def test_np_pad(conv2d, padding_mode, shape, pads, integers):
    """Padding inside the operator is np.pad before it, for every mode, at widths many times the image's."""
    x, value = integers((2, 4, *shape)), fill(padding_mode)
    constant = {"constant_values": value} if padding_mode == "constant" else {}
    padded = np.pad(x, ((0, 0), (0, 0), *pads), padding_mode, **constant)
    for kernel, stride, dilation in [((1, 1), 1, (1, 1)), ((1, 3), (1, 2), (1, 1)), ((2, 3), (3, 1), (1, 2))]:
        if any((k - 1) * d >= size for size, k, d in zip(padded.shape[2:], kernel, dilation, strict=True)):
            continue
        w = integers((6, 2, *kernel))
        inside = {"padding": pads, "padding_mode": padding_mode}
        options = {"stride": stride, "dilation": dilation, "groups": 2}
        equal(conv2d(x, w, **inside, fill_value=value, **options), conv2d(padded, w, **options))
        if conv2d.keywords.get("algorithm") == "direct":  # one chain an output, whatever brought its pixels there
            x32, padded32, w32 = (array.astype(np.float32) / 97 for array in (x, padded, w))
            value32 = (np.float32(value) / 97).item()
            equal(conv2d(x32, w32, **inside, fill_value=value32, **options), conv2d(padded32, w32, **options))


# Floats and complex numbers, with everything at once, against correlate2d summed over channels.


def dilated(weight, dilation):
    sizes = ((k - 1) * d + 1 for k, d in zip(weight.shape[2:], dilation, strict=True))
    y = np.zeros((*weight.shape[:2], *sizes), weight.dtype)
    y[:, :, :: dilation[0], :: dilation[1]] = weight
    return y


def summed_over_channels(mode, boundary, stride, dilation, groups, flip):
    """conv2d's oracle: one image and one channel at a time."""

    def oracle(x, weight, bias, fill_value):
        weight = dilated(weight, dilation)
        ocg = len(weight) // groups
        options = {"mode": mode, "boundary": boundary} | ({"fillvalue": fill_value} if boundary == "fill" else {})

        def plane(image, kernel):
            if flip:
                return signal.convolve2d(image, kernel, **options)
            return signal.correlate2d(image, kernel.conj(), **options)  # it conjugates, as conv2d does not

        y = [
            [
                sum(plane(image[o // ocg * weight.shape[1] + c], kernel) for c, kernel in enumerate(kernels)) + bias[o]
                for o, kernels in enumerate(weight)
            ]
            for image in x
        ]
        return np.array(y)[:, :, :: stride[0], :: stride[1]]

    return oracle


def random(rng, shape, dtype):
    dtype = np.dtype(dtype)
    if dtype.kind in "iu":
        return rng.integers(0 if dtype.kind == "u" else -100, 100, shape, dtype)
    x = rng.standard_normal(shape) * np.exp2(rng.integers(-8, 8, shape))  # components of very different sizes
    return (x + 1j * rng.standard_normal(shape) if dtype.kind == "c" else x).astype(dtype)


DTYPES = {  # of x, of weight, of the result
    "float32": ("f4", "f4", "f4"),
    "float64": ("f8", "f8", "f8"),
    "uint8 and float32": ("u1", "f4", "f4"),
    "float32 and float64": ("f4", "f8", "f8"),
    "complex64": ("c8", "c8", "c8"),
    "complex128": ("c16", "c16", "c16"),
    "float32 and complex64": ("f4", "c8", "c8"),
    "complex128 and float64": ("c16", "f8", "c16"),
    "int64": ("i8", "i8", "i8"),
    "int8 and uint8": ("i1", "u1", "i8"),
    "uint8": ("u1", "u1", "u8"),
}


@pytest.mark.parametrize("seed", range(12))
@pytest.mark.parametrize("dtypes", DTYPES)
def test_random_problems(conv2d, assert_right, dtypes, seed):
    rng = np.random.default_rng([seed, *dtypes.encode()])
    x_dtype, w_dtype, result = (np.dtype(name) for name in DTYPES[dtypes])
    groups, igc, ocg, sh, sw = rng.integers(1, 4, 5).tolist()
    kh, kw = rng.integers(1, 6, 2).tolist()
    ih, iw = rng.integers(1, 14, 2).tolist()
    dh, dw = rng.integers(1, 3, 2).tolist()
    flip, mode = bool(rng.integers(2)), ("full", "same", "valid")[seed % 3]
    padding = mode
    if mode == "same":
        sh = sw = 1  # SciPy has no stride, and every s-th output of its "same" is not what "same" is with a stride
        padding = "same_lower" if flip else "same"
    if mode == "valid":
        ih, iw = ih + (kh - 1) * dh, iw + (kw - 1) * dw
    padding_mode = str(rng.choice(list(SIGNAL_MODES)))
    fill_value = 0
    if padding_mode == "constant":
        fill_value = {"i": -3, "u": 3, "f": -2.75, "c": 1.5 - 0.25j}[result.kind]

    x = random(rng, (2, groups * igc, ih, iw), x_dtype)
    w = random(rng, (groups * ocg, igc, kh, kw), w_dtype)
    b = random(rng, (groups * ocg,), w_dtype) if rng.integers(2) else None
    args = {"padding_mode": padding_mode, "fill_value": fill_value, "flip": flip}
    y = conv2d(x, w, b, (sh, sw), padding, (dh, dw), groups, **args)
    assert y.dtype == result
    oracle = summed_over_channels(mode, SIGNAL_MODES[padding_mode], (sh, sw), (dh, dw), groups, flip)
    assert_right(y, oracle, x, w, b, fill_value)


@pytest.mark.parametrize("dtype", ["f4", "f8"])
def test_long_sums(conv2d, assert_right, dtype):
    """Thousands of terms of one sign, where a careless order of summation loses digits."""
    rng = np.random.default_rng(0)
    x, w = rng.random((1, 40, 20, 17)).astype(dtype), rng.random((2, 40, 11, 9)).astype(dtype)
    oracle = summed_over_channels("valid", "fill", (1, 1), (1, 1), 1, False)
    assert_right(conv2d(x, w), oracle, x, w)


def exact(x, weight, bias, fill_value):
    """Padding of one pixel, in Python's integers, which do not overflow."""
    x = np.pad(x, ((0, 0), (0, 0), (1, 1), (1, 1)), constant_values=fill_value).astype(object)
    windows = np.lib.stride_tricks.sliding_window_view(x, weight.shape[2:], (2, 3))[:, None]
    return (windows * weight.astype(object)[:, :, None, None]).sum((2, -2, -1)) + bias.astype(object)[:, None, None]


def reduced(y, dtype):
    """Python's integers modulo the range of `dtype`."""
    low, size = int(np.iinfo(dtype).min), 2 ** np.iinfo(dtype).bits
    return ((y - low) % size + low).astype(dtype)


INTEGERS = ["i8 i8", "u8 u8", "i8 u8", "u8 i4", "i8 i1", "u1 u1", "u1 i1", "i4 u4", "i2 i2"]


@pytest.mark.parametrize("dtype", [None, "i8", "u8", "i4", "u4", "i2", "u2", "i1", "u1"])
@pytest.mark.parametrize("dtypes", INTEGERS)
def test_integers_to_the_limits(conv2d, dtypes, dtype):
    """Sums are exact; those beyond the result's range come back modulo it, as with numpy.sum."""
    rng = np.random.default_rng(1)
    limits = [np.iinfo(name) for name in dtypes.split()]
    x, w = (
        rng.integers(limit.min, limit.max, shape, limit.dtype, endpoint=True)
        for limit, shape in zip(limits, [(2, 3, 6, 5), (4, 3, 3, 2)], strict=True)
    )
    x[..., 0, :], w[:, 0] = limits[0].max, limits[1].min  # the extremes themselves
    x[..., -1, :], w[:, -1] = limits[0].min, limits[1].max
    b = rng.integers(limits[1].min, limits[1].max, 4, limits[1].dtype, endpoint=True)
    fill_value = min(limits[0].max, 2**63 - 1)  # in the range of the arithmetic, or it is refused
    y = conv2d(x, w, b, padding=1, fill_value=fill_value, dtype=dtype)
    assert y.dtype == (dtype or ("i8" if "i" in dtypes else "u8"))
    equal(y, reduced(exact(x, w, b, fill_value), y.dtype))


@pytest.mark.parametrize("value", [2**62 + 1, -(2**62) - 1, 2**63 - 1, -(2**63)])
def test_integers_that_a_float64_cannot_hold(conv2d, value, integers):
    x = integers((3, 4)) * 0
    x[1, 2] = value
    equal(conv2d(x, np.array([[0, 0], [1, 0]])), x[1:, :-1])


# SciPy's own signatures.

SHAPES = [(1, 1), (1, 5), (4, 1), (2, 3), (5, 7), (7, 6)]


@pytest.mark.parametrize("kind", ["i8", "f8", "c16", "f4", "c8"])
@pytest.mark.parametrize("boundary", ["fill", "pad", "wrap", "circular", "symm", "symmetric"])
@pytest.mark.parametrize("name", ["correlate2d", "convolve2d"])
def test_signatures(name, boundary, kind, direct, integers):
    """Every pair of shapes, so also kernels larger than the image; exact, since the numbers are small integers."""
    ours, theirs = getattr(fastconv, name), getattr(signal, name)
    value = 2 if kind[0] != "c" else 2 - 1j
    for shape in SHAPES:
        for other in SHAPES:
            x, w = integers(shape, 1, -9, 9).astype(kind), integers(other, 2, -9, 9).astype(kind)
            if kind[0] == "c":
                x, w = x + 1j * integers(shape, 3, -9, 9), w + 1j * integers(other, 4, -9, 9)
            for mode in ("full", "same", "valid"):
                arguments = (x.astype(kind), w.astype(kind), mode, boundary, value)
                try:
                    want = theirs(*arguments)
                except ValueError:
                    assert mode == "valid"
                    with pytest.raises(ValueError, match="at least as large as the other"):
                        ours(*arguments)
                    continue
                equal(ours(*arguments, **direct), want)


@pytest.mark.parametrize("kind", ["u1", "i1", "i2", "u4", "i4"])
def test_narrow_integers_as_scipy_has_them(kind):
    """Its results are as narrow as its operands; ours are where that is asked for."""
    rng, limits = np.random.default_rng(0), np.iinfo(kind)
    x, w = (rng.integers(limits.min, limits.max, shape, kind, endpoint=True) for shape in ((7, 6), (3, 4)))
    for ours, theirs in ((fastconv.correlate2d, signal.correlate2d), (fastconv.convolve2d, signal.convolve2d)):
        want = theirs(x, w, "full", "fill", 3)
        assert want.dtype == kind
        equal(ours(x, w, "full", "fill", 3, dtype=kind), want)
        wide = ours(x, w, "full", "fill", 3)
        assert wide.dtype.itemsize == 8
        equal(wide.astype(kind), want)


@pytest.mark.parametrize("padding_mode", NDIMAGE_MODES)
@pytest.mark.parametrize("kernel", [(3, 3), (2, 5), (4, 1)], ids=str)
def test_filter2d(kernel, padding_mode, integers):
    image, w, value = integers((6, 7, 3)), integers(kernel), fill(padding_mode)
    mode = NDIMAGE_MODES[padding_mode]
    want = np.stack([ndimage.correlate(image[..., c], w, mode=mode, cval=value) for c in range(3)], axis=-1)
    options = {"padding_mode": padding_mode, "fill_value": value, "data_format": "HWC"}
    equal(fastconv.filter2d(image, w, padding="same_lower", **options), want)
    want = np.stack([ndimage.convolve(image[..., c], w, mode=mode, cval=value) for c in range(3)], axis=-1)
    equal(fastconv.filter2d(image, w, flip=True, **options), want)


@pytest.mark.parametrize("pads", [((0, 0), (1, 2)), ((1, 0), (0, 0)), ((5, 3), (7, 11)), ((23, 14), (9, 31))], ids=str)
@pytest.mark.parametrize("shape", [IMAGE, *TINY], ids=str)
@pytest.mark.parametrize("padding_mode", NDIMAGE_MODES)
def test_pad2d(padding_mode, shape, pads, integers):
    value = int(padding_mode == "constant")
    constant = {"constant_values": value} if value else {}
    options = {"padding_mode": padding_mode, "fill_value": value}
    for kind in ("i8", "u1", "?", "f2", "c16"):
        x = integers((2, 4, *shape), 0, 0, 2 if kind == "?" else 99).astype(kind)
        want = np.pad(x, ((0, 0), (0, 0), *pads), padding_mode, **constant)
        equal(fastconv.pad2d(x, pads, **options), want)
        equal(fastconv.pad2d(x, pads, **options, backend="reference"), want)
        last = fastconv.pad2d(np.moveaxis(x, 1, 3), pads, data_format="NHWC", **options)
        equal(np.moveaxis(last, 3, 1), want)
