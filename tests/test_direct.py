"""The numerical contract of algorithm="direct": one chain of fused multiply-adds an output, to the bit."""

import ctypes
import functools
import itertools
import os
import subprocess
import sys
from fractions import Fraction

import numpy as np
import pytest

import fastconv
from fastconv import _kernels

conv2d = functools.partial(fastconv.conv2d, algorithm="direct")


def rounded(value, kind):
    """The Fraction `value` rounded to nearest even in float32 or float64, by integer arithmetic alone."""
    digits, lowest = {"f4": (24, -149), "f8": (53, -1074)}[kind]
    if value == 0:
        return Fraction(0)
    exponent = abs(value.numerator).bit_length() - value.denominator.bit_length()
    if abs(value) < Fraction(2) ** exponent:
        exponent -= 1
    ulp = Fraction(2) ** max(exponent - digits + 1, lowest)
    return round(value / ulp) * ulp  # Python rounds halves of a Fraction to even


def chain(x, weight, bias, kind):
    """What the contract says, one output at a time: channel blocks, then ky, kx and the channel; bias last."""
    channels, kh, kw = weight.shape[1:]
    block = _kernels.CHANNEL_BLOCK
    y = np.empty((len(weight), x.shape[1] - kh + 1, x.shape[2] - kw + 1), kind)
    for o, i, j in np.ndindex(*y.shape):
        total = Fraction(0)
        for start in range(0, channels, block):
            for a, b, c in itertools.product(range(kh), range(kw), range(start, min(start + block, channels))):
                product = Fraction(float(x[c, i + a, j + b])) * Fraction(float(weight[o, c, a, b]))
                total = rounded(total + product, kind)
        y[o, i, j] = float(rounded(total + Fraction(float(bias[o])), kind))
    return y


@pytest.mark.parametrize("kind", ["f4", "f8"])
@pytest.mark.parametrize("channels", [1, 3, 2 * _kernels.CHANNEL_BLOCK + 5])
def test_each_output_is_the_chain_of_the_contract(channels, kind, isa_backend, variant, conv2d_by):
    rng = np.random.default_rng(channels)
    x, weight, bias = (
        rng.standard_normal(shape).astype(kind) for shape in ((channels, 4, 5), (2, channels, 2, 3), (2,))
    )
    y = conv2d_by(variant, x, weight, bias, data_format="CHW", backend=isa_backend)
    if y is not None:
        np.testing.assert_array_equal(y, chain(x, weight, bias, kind))


def test_rounding_of_the_oracle():
    rng = np.random.default_rng(0)
    for value in (*rng.standard_normal(200), *(rng.standard_normal(50) * 1e-42)):
        assert float(rounded(Fraction(float(value)), "f4")) == float(np.float32(value))


def layer(kind="f4", n=3, c=37, h=13, w=17, o=11, k=3):
    rng = np.random.default_rng(7)
    return [rng.standard_normal(shape).astype(kind) for shape in ((n, c, h, w), (o, c, k, k), (o,))]


@pytest.mark.parametrize("kind", ["f4", "f8", "c8"])
def test_bits_for_any_number_of_threads(kind):
    x, weight, bias = layer(kind)
    results = {conv2d(x, weight, bias, padding=2, num_threads=threads).tobytes() for threads in (1, 2, 3, 7, 64)}
    assert len(results) == 1


def test_bits_for_any_batch_split_and_crop():
    x, weight, bias = layer(n=5)
    whole = conv2d(x, weight, bias, padding=1)
    for split in ([0, 1, 2, 3, 4, 5], [0, 2, 5], [0, 4, 5]):
        parts = [conv2d(x[a:b], weight, bias, padding=1) for a, b in itertools.pairwise(split)]
        np.testing.assert_array_equal(np.concatenate(parts), whole)
    inside = conv2d(x, weight, bias)
    for top, left in ((0, 0), (3, 5), (10, 14)):
        np.testing.assert_array_equal(conv2d(x[:, :, top:, left:], weight, bias), inside[:, :, top:, left:])
    for chosen in (slice(0, 1), slice(4, 9), slice(None, None, -1)):
        np.testing.assert_array_equal(conv2d(x, weight[chosen], bias[chosen]), inside[:, chosen])


def test_bits_for_any_layout():
    x, weight, bias = layer()
    expected = conv2d(x, weight, bias, stride=(1, 2), padding=2)
    for x_axes, weight_axes in itertools.product(
        itertools.permutations("NCHW"), [*itertools.permutations("OIHW")][::5]
    ):
        placed = np.ascontiguousarray(x.transpose(["NCHW".index(letter) for letter in x_axes]))
        weight_placed = np.ascontiguousarray(weight.transpose(["OIHW".index(letter) for letter in weight_axes]))
        y = conv2d(
            placed, weight_placed, bias, (1, 2), 2, data_format="".join(x_axes), weight_format="".join(weight_axes)
        )
        np.testing.assert_array_equal(y.transpose([x_axes.index(letter) for letter in "NCHW"]), expected)


@pytest.mark.parametrize("kind", ["f4", "f8"])
def test_bits_for_any_alignment(kind):
    x, weight, bias = layer(kind, n=1, c=3)
    expected = conv2d(x, weight, bias)
    for offset in range(0, 64, 1 if kind == "f4" else 7):
        shifted = []
        for array in (x, weight, bias, expected):
            raw = np.zeros(array.nbytes + 128, np.uint8)
            start = -raw.ctypes.data % 64 + offset
            view = raw[start : start + array.nbytes].view(array.dtype).reshape(array.shape)
            view[...] = array
            shifted.append(view)
        out = shifted.pop()
        out[...] = np.nan
        assert conv2d(*shifted, out=out) is out
        np.testing.assert_array_equal(out, expected)


@pytest.mark.parametrize("kind", ["f4", "f8"])
def test_products_of_images_that_begin_anywhere_in_a_line(kind):
    """Planes that are whole lines apart are read in vectors that do not cross them, all but the first."""
    rng = np.random.default_rng(5)
    weight, bias = rng.standard_normal((7, 5, 1, 1)).astype(kind), rng.standard_normal(7).astype(kind)
    image = rng.standard_normal((2, 5, 28, 28)).astype(kind)
    expected = conv2d(image, weight, bias, algorithm="gather")
    for offset in range(0, 64, image.itemsize):
        raw = np.zeros(image.nbytes + 128, np.uint8)
        start = -raw.ctypes.data % 64 + offset
        x = raw[start : start + image.nbytes].view(kind).reshape(image.shape)
        x[...] = image
        for out in (np.full(expected.shape, np.nan, kind), np.full((2, 28, 28, 7), np.nan, kind).transpose(0, 3, 1, 2)):
            conv2d(x, weight, bias, algorithm="pointwise", num_threads=2, out=out)
            np.testing.assert_array_equal(out, expected)


@pytest.mark.parametrize("kind", ["f4", "f8"])
@pytest.mark.parametrize("size", [(97, 101), (96, 100)], ids=["odd planes", "planes of whole lines"])
def test_products_of_few_channels_whose_results_outgrow_the_cache(kind, size):
    """Pixels that are read in place pass for a few output channels at a time; those that are copied, for all."""
    rng = np.random.default_rng(6)
    weight, bias = rng.standard_normal((61, 5, 1, 1)).astype(kind), rng.standard_normal(61).astype(kind)
    image = rng.standard_normal((1, 5, *size)).astype(kind)
    expected = conv2d(image, weight, bias, algorithm="gather")
    assert expected.nbytes > 2 << 20
    apart = np.repeat(image, 2, axis=3)[..., ::2]
    plan = fastconv.plan_conv2d(weight, bias, algorithm="pointwise")
    for x in (image, apart):
        for out in (np.full(expected.shape, np.nan, kind), np.full((1, *size, 61), np.nan, kind).transpose(0, 3, 1, 2)):
            for threads in (1, 2):
                conv2d(x, weight, bias, algorithm="pointwise", num_threads=threads, out=out)
                np.testing.assert_array_equal(out, expected)
                out[...] = np.nan
                plan(x, num_threads=threads, out=out)
                np.testing.assert_array_equal(out, expected)
                out[...] = np.nan


@pytest.mark.parametrize("relation", ["stride", "dilation", "padding", "flip", "scale"])
def test_metamorphic_relations_hold_to_the_bit(relation):
    x, weight, bias = layer(k=3)
    y = conv2d(x, weight, bias)
    pairs = {
        "stride": (conv2d(x, weight, bias, (2, 3)), y[:, :, ::2, ::3]),
        "flip": (conv2d(x, weight, bias, flip=True), conv2d(x, weight[:, :, ::-1, ::-1], bias)),
        "padding": (conv2d(x, weight, bias, 1, 4), conv2d(np.pad(x, ((0, 0), (0, 0), (4, 4), (4, 4))), weight, bias)),
        "scale": (conv2d(x * 8, weight, bias * 8), y * 8),
    }
    if relation == "dilation":
        stuffed = np.zeros((*weight.shape[:2], 5, 7), weight.dtype)
        stuffed[:, :, ::2, ::3] = weight
        pairs["dilation"] = conv2d(x, weight, bias, 1, 0, (2, 3)), conv2d(x, stuffed, bias)
    np.testing.assert_array_equal(*pairs[relation])


SWEEPS = {  # every remainder of every tile: channels, outputs, pixels, taps, and the edges of the blocks
    "channels": [((c, 3, 5), (o, c, 2, 2)) for c in range(1, 18) for o in range(1, 18)],
    "long chains": [((c, 2, 3), (3, c, 1, 2)) for c in (31, 32, 33, 63, 65, 127, 128, 129, 255, 256, 257, 513)],
    "many outputs": [((2, 3, 3), (o, 2, 2, 1)) for o in (*range(18, 71), 95, 96, 97, 98, 101, 191, 192, 193)],
    "widths": [((2, 2, w), (3, 2, 1, 2)) for w in (*range(2, 70), 127, 128, 129, 130, 131, 257, 513)],
    "heights": [((1, h, 3), (1, 1, 2, 3)) for h in range(2, 140, 3)],
    "kernels": [((2, 9, 11), (2, 2, kh, kw)) for kh in range(1, 10) for kw in range(1, 12)],
}


@functools.cache
def sweep_of(sweep, kind):
    """Operands of a sweep and what the reference makes of them, once for all rows and instruction sets: 50 ms each."""
    rng, cases = np.random.default_rng(len(sweep)), []
    for (c, h, w), weight_shape in SWEEPS[sweep]:
        x = rng.integers(-8, 9, (2, c, h, w)).astype(kind)
        weight = rng.integers(-8, 9, weight_shape).astype(kind)
        bias = rng.integers(-99, 99, len(weight)).astype(kind)
        cases.append((x, weight, bias, fastconv.conv2d(x, weight, bias, backend="reference")))
    return frozen(cases)


def frozen(cases):
    """Cases that many tests share, none of which may write to an array of them."""
    for array in itertools.chain.from_iterable(cases):
        if isinstance(array, np.ndarray):
            array.flags.writeable = False
    return cases


@pytest.mark.parametrize("kind", ["f4", "f8", "i8"])
@pytest.mark.parametrize("sweep", SWEEPS)
def test_remainders_are_exact(sweep, kind, isa_backend, variant, conv2d_by):
    for x, weight, bias, want in sweep_of(sweep, kind):
        got = conv2d_by(variant, x, weight, bias, backend=isa_backend)
        if got is not None:
            np.testing.assert_array_equal(got, want, err_msg=f"x {x.shape}, weight {weight.shape}")


@pytest.mark.parametrize("kind", ["f4", "f8", "i8"])
@pytest.mark.parametrize("groups", [1, 20])
def test_what_lies_between_results_stays(groups, kind, isa_backend, variant, conv2d_by):
    """Results of every length go to every other or every third pixel, as those of a phase do."""
    rng = np.random.default_rng(0)
    for width, k in itertools.product((*range(1, 36), 63, 64, 65, 130), (1, 3)):
        x = rng.integers(-4, 5, (20, 4, width + k - 1)).astype(kind)
        weight = rng.integers(-4, 5, (20, 20 // groups, k, k)).astype(kind)
        options = {"groups": groups, "data_format": "CHW", "backend": isa_backend}
        y = conv2d_by(variant, x, weight, **options)
        for step in (2, 3) if y is not None else ():
            room = np.full((20, y.shape[1], step * (width - 1) + 1), 77, kind)
            conv2d_by(variant, x, weight, out=room[:, :, ::step], **options)
            np.testing.assert_array_equal(room[:, :, ::step], y)
            room[:, :, ::step] = 77
            assert (room == 77).all()


@functools.cache
def depthwise_cases(kind):
    """Every number of channels up to past two blocks, of outputs past two tiles, multipliers, strides, dilations."""
    rng = np.random.default_rng(0)
    most = 2 * 64 + 3 if kind == "f4" else 40
    drawn = [(c, 1, 5, 3, {"padding": 1}) for c in range(1, most, 1 if kind == "f4" else 3)]
    drawn += [
        (c, m, w, 5, {"stride": 2, "padding": 2}) for c in (1, 2, 5, 33, 80) for m in (1, 2, 3) for w in (1, 4, 7)
    ]
    drawn += [(70, 1, w, 3, {"dilation": (1, 2)}) for w in range(5, 16)]
    drawn += [(64, 1, 9, k, {"padding": ((1, 0), (0, 2)), "padding_mode": "wrap"}) for k in (1, 2, 4, 7)]
    cases = []
    for c, m, w, k, options in drawn:
        x, weight = rng.integers(-8, 9, (2, c, 7, w)).astype(kind), rng.integers(-8, 9, (c * m, 1, k, k)).astype(kind)
        bias = rng.integers(-99, 99, c * m).astype(kind)
        want = fastconv.conv2d(x, weight, bias, **options, groups=c, backend="reference")
        cases.append((x, weight, bias, options | {"groups": c}, want))
    return frozen(cases)


@pytest.mark.parametrize("layout", ["NCHW", "NHWC"])
@pytest.mark.parametrize("kind", ["f4", "f8", "i8"])
def test_depthwise_is_exact(kind, layout, isa_backend, variant, conv2d_by):
    for x, weight, bias, options, want in depthwise_cases(kind):
        if layout == "NHWC":
            x, weight = (
                np.ascontiguousarray(x.transpose(0, 2, 3, 1)),
                np.ascontiguousarray(weight.transpose(2, 3, 1, 0)),
            )
            want = want.transpose(0, 2, 3, 1)
        got = conv2d_by(variant, x, weight, bias, **options, data_format=layout, backend=isa_backend)
        if got is None:
            assert len(bias) > options["groups"] or variant != "depthwise"
        else:
            np.testing.assert_array_equal(got, want, err_msg=f"{x.shape} {weight.shape} {options}")


def pixels(array, layout):
    """Images (N, C, H, W) with their channels side by side, in memory of another order, or padded between pixels."""
    if layout == "apart":
        room = np.zeros((*array.shape[:1], *array.shape[2:], array.shape[1] + 2), array.dtype)
        room[..., 1:-1] = array.transpose(0, 2, 3, 1)
        return room[..., 1:-1]
    return np.ascontiguousarray(array.transpose(["NCHW".index(letter) for letter in layout])).transpose(
        [layout.index(letter) for letter in "NHWC"]
    )


@pytest.mark.parametrize("kind", ["f4", "f8"])
def test_filters_on_the_pixels_of_image_files_have_the_bits_of_any_other_layout(kind, isa_backend, conv2d_by):
    """Two to four channels side by side: widths up to past two tiles, the same weights for all and not, bytes too."""
    rng = np.random.default_rng(0)
    widths = {c: (*range(1, 75, 1 if c == 3 else 5), 200, 1030) for c in (2, 3, 4)}
    cases = [(c, 6, w, (3, 3), {"padding": 1}) for c in widths for w in widths[c]]
    cases += [(3, h, 40, (2, 5), {"padding": ((3, 0), (1, 4))}) for h in range(1, 12)]
    cases += [(3, 9, 50, (4, 7), {"padding": 9, "padding_mode": mode}) for mode in fastconv.PADDING_MODES[1:]]
    cases += [(c, 40, 37, (3, 2), {"dilation": (7, 3), "padding": (5, 4), "fill_value": 2}) for c in (2, 3, 4)]
    cases += [(3, 17, 40, (3, 3), {"stride": (s, 1), "padding": 1}) for s in (2, 3, 5)]
    # Rows and columns in the middle that are read in place, with some all around that are not.
    cases += [(c, 23, 205, (5, 3), {"padding": (2, 1)}) for c in (2, 3, 4)]
    cases += [(3, 40, 205, (2, 7), {"padding": ((1, 3), (4, 2)), "stride": (s, 1)}) for s in (1, 2, 3)]
    cases += [(3, 50, 205, (3, 2), {"padding": 3, "dilation": (d, 4)}) for d in (2, 5)]
    for i, (c, h, w, (kh, kw), options) in enumerate(cases):
        image = rng.integers(0, 256, (2, c, h, w)).astype("u1")
        image = image if i % 2 else rng.standard_normal(image.shape).astype(kind)
        weight = rng.standard_normal((c, 1, kh, kw)).astype(kind)
        bias = rng.standard_normal(c).astype(kind)
        one = np.broadcast_to(weight[:1], weight.shape)
        for weights, biases in ((weight, bias), (one.copy(), np.repeat(bias[:1], c)), (one, bias), (one, None)):
            wanted = conv2d_by("gather", image.astype(kind), weights, biases, groups=c, **options).transpose(0, 2, 3, 1)
            for layout in ("NHWC", "NCHW", "apart"):
                y = conv2d_by(
                    "interleaved", pixels(image, layout), weights, biases, groups=c, **options,
                    data_format="NHWC", weight_format="OIHW", backend=isa_backend,
                )  # fmt: skip
                assert y is not None
                np.testing.assert_array_equal(y, wanted, err_msg=f"{image.shape} {weight.shape} {options} {layout}")
                if i % 10 == 0:
                    out = np.full((2, *wanted.shape[1:3], c + 1), np.nan, kind)[..., 1:]
                    conv2d(pixels(image, layout), weights, biases, groups=c, **options, data_format="NHWC",
                           weight_format="OIHW", backend=isa_backend, algorithm="interleaved", out=out)  # fmt: skip
                    np.testing.assert_array_equal(out, wanted)


@pytest.mark.parametrize("layout", ["NCHW", "NHWC"])
@pytest.mark.parametrize("kind", ["f4", "f8"])
def test_images_of_bytes_are_those_of_their_values(kind, layout, isa_backend, variant, conv2d_by):
    """Rows that convert bytes themselves, and rows that get them converted, at the ends of what they copy."""
    rng = np.random.default_rng(1)
    cases = [(1, 1, w, {"padding": 1}) for w in (1, 2, 5, 15, 16, 17, 40, 255, 256, 300, 1030)]
    cases += [(c, m, 21, {"padding": 2, "stride": s}) for c in (1, 3) for m in (1, 2) for s in (1, 2, (3, 1), (1, 3))]
    cases += [(2, 1, 30, {"padding": 3, "padding_mode": mode}) for mode in ("reflect", "wrap", "edge", "symmetric")]
    cases += [(1, 1, 30, {"padding": (2, 4), "dilation": 2, "fill_value": 7}), (3, 1, 30, {"padding": 0})]
    for c, m, w, options in cases:
        image = rng.integers(0, 256, (1, c, 9, w)).astype("u1")
        weight, bias = rng.standard_normal((c * m, 1, 3, 3)).astype(kind), rng.standard_normal(c * m).astype(kind)
        if layout == "NHWC":
            image, weight = np.ascontiguousarray(image.transpose(0, 2, 3, 1)), weight.transpose(2, 3, 1, 0)
        options = options | {"groups": c, "data_format": layout, "backend": isa_backend}
        y = conv2d_by(variant, image, weight, bias, **options)
        if y is not None:
            wanted = conv2d_by(variant, image.astype(kind), weight, bias, **options)
            np.testing.assert_array_equal(y, wanted, err_msg=f"{image.shape} {options}")
            np.testing.assert_array_equal(conv2d_by(variant, image, weight, bias, **options), wanted)  # by the cache
            assert y.dtype == kind


@pytest.mark.semantics
def test_integers_are_exact_at_their_limits(direct):
    big = 2**62 + 1
    assert fastconv.conv2d(np.array([[big]]), np.array([[1]]), **direct)[0, 0] == big
    x = np.full((1, 4), -(2**63), np.int64)
    assert fastconv.conv2d(x, np.array([[1, 0, -1, 1]]), **direct)[0, 0] == -(2**63)  # modulo 2**64
    top = np.array([[2**64 - 1]], np.uint64)
    assert fastconv.conv2d(top, np.array([[1]], np.uint64), **direct)[0, 0] == 2**64 - 1
    image = np.full((3, 3), 200, np.uint8)
    y = fastconv.conv2d(image, np.ones((3, 3), np.uint8), **direct)
    assert y.dtype == np.uint64
    assert y[0, 0] == 1800
    assert fastconv.conv2d(image, np.ones((3, 3), np.uint8), dtype=np.uint8, **direct)[0, 0] == 1800 % 256


@pytest.mark.semantics
def test_subnormals_are_kept(direct):
    tiny = np.float32(2**-149)
    assert fastconv.conv2d(np.array([[tiny]]), np.array([[1]], "f4"), **direct)[0, 0] == tiny
    assert fastconv.conv2d(np.array([[2.0**-1074]]), np.array([[1.0]]), **direct)[0, 0] == 2.0**-1074


def test_sums_of_nothing_are_positive_zero():
    y = conv2d(np.full((3, 3), -0.0), np.ones((2, 2)))
    assert not np.signbit(y).any()


def test_padding_is_a_value_like_any_other(isa_backend, variant, conv2d_by):
    x, weight = np.ones((1, 1, 3, 3), "f4"), np.full((1, 1, 3, 3), np.inf, "f4")
    y = conv2d_by(variant, x, weight, padding=1, backend=isa_backend)
    if y is None:
        return
    y = y[0, 0]
    assert np.isnan(y).tolist() == [[True, True, True], [True, False, True], [True, True, True]]
    y = conv2d_by(variant, x, weight, padding=1, fill_value=2, backend=isa_backend)
    assert np.isposinf(y).all()


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_non_finite_values_stay_in_their_windows(value, isa_backend, variant, conv2d_by):
    for i, j in np.ndindex(5, 6):
        x = np.ones((1, 2, 5, 6), "f4")
        x[0, 1, i, j] = value
        weight = np.ones((3, 2, 3, 3), "f4")
        y = conv2d_by(variant, x, weight, padding=1, stride=(1, 2), backend=isa_backend)
        if y is None:
            return
        touched = np.zeros((5, 3), bool)
        for oy, ox in np.ndindex(5, 3):
            touched[oy, ox] = abs(oy - i) <= 1 and abs(2 * ox - j) <= 1
        assert (np.isfinite(y[0]) == ~touched).all()


# --- the floating-point state of the calling thread -------------------------------------------------------------------

libm = ctypes.CDLL(None) if os.name == "posix" else None
ROUND_UP, MXCSR_OFFSET, FTZ_AND_DAZ, FLAGS = 0x800, 28, 0x8040, 0x3F  # of x86-64's fenv_t and MXCSR


@pytest.fixture
def environment():
    """Reads and changes this thread's floating-point environment, and puts it back."""
    if not hasattr(libm, "fegetenv") or os.uname().machine != "x86_64":
        pytest.skip("the layout of fenv_t is known for x86-64 with glibc alone")
    saved = ctypes.create_string_buffer(32)
    libm.fegetenv(saved)
    yield saved
    libm.fesetenv(saved)


def mxcsr():
    state = ctypes.create_string_buffer(32)
    libm.fegetenv(state)
    return int.from_bytes(state.raw[MXCSR_OFFSET:], "little")


def enter(state, environment):
    """Change how this thread rounds, what it takes for 0, or which operations end the process; with all flags raised.

    Python itself raises some, so that a call may only be asked not to lower any.
    """
    changed = bytearray(environment.raw)
    word = int.from_bytes(changed[MXCSR_OFFSET:], "little") | FLAGS
    if state == "traps":
        word &= ~(1 << 7)  # bit 7 masks the invalid operation
    elif state == "ftz":
        word |= FTZ_AND_DAZ
    changed[MXCSR_OFFSET:] = word.to_bytes(4, "little")
    libm.fesetenv(ctypes.create_string_buffer(bytes(changed), 32))
    if state == "upward":
        libm.fesetround(ROUND_UP)


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("state", ["upward", "ftz", "traps"])
def test_callers_floating_point_state_neither_matters_nor_changes(state, threads, environment):
    x, weight, bias = layer("f4")
    x *= np.float32(1e-38)
    bias *= 0
    expected = conv2d(x, weight, bias, num_threads=threads).tobytes()
    enter(state, environment)
    before = mxcsr()
    got = conv2d(x, weight, bias, num_threads=threads)
    after = mxcsr()
    libm.fesetenv(environment)
    assert got.tobytes() == expected
    assert before == after


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("state", ["upward", "ftz", "traps"])
@pytest.mark.parametrize(("algorithm", "size"), [("winograd", 3), ("fft", 9), ("split", 1), ("panel", 3)])
def test_callers_floating_point_state_does_not_matter_to_packed_weights(algorithm, size, state, threads, environment):
    """Transforms of weights round too, and of infinite ones make what is no number."""
    x, weight, _ = layer("f4", 1, 64, 40, 41, 64, size)
    weight *= np.float32(1e-38)
    weight[7, 5, 0, 0] = np.inf

    def both():
        plan = fastconv.plan_conv2d(weight, algorithm=algorithm, x_shape=x.shape)
        return plan(x, num_threads=threads), conv2d(x, weight, algorithm=algorithm, num_threads=threads)

    expected = both()
    enter(state, environment)
    before = mxcsr()
    got = both()
    after = mxcsr()
    libm.fesetenv(environment)
    assert [y.tobytes() for y in got] == [y.tobytes() for y in expected]
    assert before == after


def test_plan_is_a_pure_function_of_problem_and_instruction_set():
    """A plan for another instruction set can be made on any machine: nothing asks what runs here."""
    sizes = (1, 1, 64, 56, 56, 64, 3, 3, 56, 56, 1, 1, 1, 1, 1, 1, 1, 1)
    for isa, _ in _kernels.isas():
        plans = [
            _kernels.Plan(sizes, 0, "f32", False, False, (0, 1, 2, 3), (0, 1, 2, 3), isa, "auto") for _ in range(2)
        ]
        assert plans[0].n_tasks(2) == plans[1].n_tasks(2) > 1
        assert plans[0].isa == isa
        assert plans[0].scratch_bytes(2) < 1 << 20


@pytest.mark.parametrize(
    ("sizes", "algorithm"),
    [((256, 256, 14, 3), "winograd"), ((256, 1024, 14, 1), "pointwise"), ((256, 256, 14, 3), "panel")],
)
def test_one_thread_has_fewer_tasks_than_several(sizes, algorithm):
    c, o, size, k = sizes
    numbers = (1, 1, c, size, size, o, k, k, size, size, 1, 1, 1, 1, *(k // 2,) * 4)
    plan = _kernels.Plan(numbers, 0, "f32", False, False, (0, 1, 2, 3), (0, 1, 2, 3), "portable", algorithm)
    assert plan.n_tasks(1) < plan.n_tasks(2) == plan.n_tasks(3)


def test_scratch_does_not_grow_with_the_image(variant):
    def scratch(h):
        x = np.broadcast_to(np.float32(0), (1, 16, h, h))
        report = fastconv.explain(x, np.zeros((8, 16, 9, 9), "f4"), num_threads=1, algorithm=variant)
        return report.details["scratch_bytes"] if report.backend else 0

    assert max(scratch(h) for h in (16, 64, 256, 1024, 4096, 2**15)) < 1 << 20


def test_rows_of_the_direct_family_have_the_same_bits_whatever_they_are_fed(conv2d_by):
    """Strides, phases, strips of several channel groups, reading in place, and the shapes where these change over."""
    rng = np.random.default_rng(11)
    shapes = [  # x, weight, options
        ((1, 300, 9, 40), (7, 300, 3, 3), {"padding": 1}),  # several strips of channels
        ((1, 700, 12, 90), (13, 700, 3, 3), {"padding": (1, 2)}),
        ((2, 40, 9, 17), (9, 40, 1, 1), {}),  # in place, with an overlapping last tile
        ((1, 3, 8, 8), (9, 3, 1, 1), {}),
        ((1, 3, 7, 9), (9, 3, 1, 1), {}),  # a plane of less than a tile
        ((1, 5, 30, 41), (2, 5, 3, 4), {"dilation": (2, 3)}),
        ((1, 5, 64, 64), (2, 5, 1, 1), {}),  # planes 16 KiB apart
        ((1, 2600, 6, 13), (8, 2600, 1, 1), {}),  # several groups of channels in one chain, and a tile moved back,
        ((1, 96, 14, 14), (400, 96, 1, 1), {}),  # which is the task's alone
        ((2, 24, 33, 40), (30, 12, 1, 1), {"groups": 2, "stride": (2, 1)}),
        ((1, 33, 21, 22), (4, 33, 4, 3), {"stride": (4, 3), "padding": 2, "dilation": (2, 1)}),
        ((1, 4, 21, 22), (4, 4, 3, 5), {"stride": (2, 4), "padding": 3, "dilation": (3, 2)}),
        ((1, 1, 200, 300), (1, 1, 5, 5), {"padding": "same", "padding_mode": "reflect"}),
        ((1, 24, 10, 11), (48, 1, 3, 3), {"groups": 24, "padding": 1, "padding_mode": "wrap"}),
        ((1, 500, 7, 7), (400, 500, 1, 1), {}),
        ((2, 70, 9, 11), (70, 1, 3, 3), {"groups": 70, "padding": 1}),
        ((1, 64, 9, 11), (64, 1, 3, 3), {"groups": 64}),
        ((1, 8, 5, 600), (20, 8, 3, 3), {"padding": 1}),  # several blocks of columns,
        ((1, 1, 9, 2100), (2, 1, 3, 3), {"padding": 1}),
        ((1, 3, 12, 20), (3, 1, 9, 9), {"groups": 3, "padding": 4}),
        ((1, 3, 12, 40), (3, 1, 11, 11), {"groups": 3, "padding": 5, "stride": 2}),
        ((1, 2, 20, 1024), (2, 1, 7, 7), {"groups": 2, "padding": 3}),  # down all rows at once,
        ((1, 2, 20, 1025), (2, 1, 7, 7), {"groups": 2, "padding": 3}),  # and too wide for that
        ((1, 2, 9, 2051), (2, 1, 5, 5), {"groups": 2, "padding": 2, "stride": 2}),
        ((1, 1100, 5, 90), (65, 1100, 3, 3), {"padding": 1}),  # of channels and of the chain,
        ((6, 96, 8, 8), (80, 96, 3, 3), {"flip": True}),  # and of pixels that share their weights
        ((1, 2, 80, 40), (2, 1, 3, 3), {"groups": 2, "dilation": (7, 1)}),
        ((1, 3, 9, 700), (3, 1, 3, 3), {"groups": 3, "padding": 1}),  # several blocks of columns of a row of pixels
    ]
    for x_shape, weight_shape, options in shapes:
        for kind in ("f4", "f8", "i8"):
            x, weight = ((99 * rng.standard_normal(shape)).astype(kind) for shape in (x_shape, weight_shape))
            bias = (99 * rng.standard_normal(len(weight))).astype(kind)
            results = {}
            for name in (*(row for row, family in _kernels.algorithms().items() if family == "direct"), "direct"):
                for threads in (1, 3):
                    y = conv2d_by(name, x, weight, bias, **options, num_threads=threads)
                    if y is not None:
                        results[name, threads] = y.tobytes()
            assert len(results) >= 6
            assert len(set(results.values())) == 1, (x_shape, weight_shape, options, kind)


def test_rows_of_a_task_that_lie_below_the_image_are_padding(tmp_path):
    program = (
        "import numpy as np, fastconv\n"
        "x, w = np.full((1, 5, 1, 3), 7.0, 'f4'), np.ones((11, 5, 1, 2), 'f4')\n"
        "y = fastconv.conv2d(x, w, None, (3, 1), ((1, 4), (3, 4)), 2, fill_value=2, algorithm='panel')\n"
        "assert (y == 20).all(), y\n"
    )
    environment = os.environ | {"FASTCONV_ISA": "portable"}  # whose tasks are the smallest: one of them begins at row 2
    subprocess.run([sys.executable, "-c", program], check=True, env=environment, timeout=60, cwd=tmp_path)
