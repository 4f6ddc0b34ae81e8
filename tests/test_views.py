"""Functions that are conv2d of other arguments: what they come down to, on every backend, and what they refuse."""

import numpy as np
import pytest

import fastconv
from fastconv import conv2d, convolve2d, correlate2d, depthwise_conv2d, filter2d, filters

pytestmark = pytest.mark.semantics

LAYOUTS = ["NCHW", "NHWC", "HWCN", "CWNH"]


@pytest.fixture
def integers(integers):
    def draw(shape, seed=0):
        return integers(np.random.default_rng([seed, *shape]), shape, -9, 10)

    return draw


def arranged(array, axes, wanted):
    """The same array with its axes in another order."""
    return array.transpose([axes.index(letter) for letter in wanted])


@pytest.mark.parametrize("weight_format", [None, "OIHW", "HWIO", "IWOH"])
@pytest.mark.parametrize("layout", LAYOUTS)
def test_depthwise_is_conv2d_with_a_group_for_each_channel(layout, weight_format, backend, integers):
    x, kernels, bias = integers((2, 3, 6, 5)), integers((3, 4, 3, 2)), integers((12,))  # NCHW, IOHW
    options = {"stride": (2, 1), "padding": "same", "dilation": (1, 2), "padding_mode": "wrap", "flip": True}
    expected = conv2d(x, kernels.reshape(12, 1, 3, 2), bias, groups=3, **options)
    axes = weight_format or ("OIHW" if layout.index("C") < layout.index("H") else "HWIO")
    weight = arranged(kernels, "IOHW", axes)
    options |= {"data_format": layout, "weight_format": weight_format, "backend": backend}
    y = depthwise_conv2d(arranged(x, "NCHW", layout), weight, bias, **options)
    np.testing.assert_array_equal(arranged(y, layout, "NCHW"), expected, strict=True)
    one = arranged(kernels[:, 0], "IHW", axes.replace("O", ""))  # one kernel for each channel, with no axis for it
    y = depthwise_conv2d(arranged(x, "NCHW", layout), one, **options)
    del options["data_format"], options["weight_format"]
    np.testing.assert_array_equal(
        arranged(y, layout, "NCHW"),
        conv2d(
            x,
            kernels[:, :1],
            groups=3,
            **{k: v for k, v in options.items() if k not in ("data_format", "weight_format")},
        ),
        strict=True,
    )


def test_depthwise_of_one_image_and_of_one_channel(integers):
    x, kernels = integers((3, 6, 5)), integers((3, 2, 2))
    np.testing.assert_array_equal(depthwise_conv2d(x, kernels), depthwise_conv2d(x[None], kernels)[0])
    np.testing.assert_array_equal(depthwise_conv2d(x[0], kernels[0]), conv2d(x[0], kernels[0]))
    assert depthwise_conv2d(x, np.ones((0, 3, 2, 2))).shape == (0, 5, 4)
    out = np.empty((3, 5, 4), x.dtype)
    assert depthwise_conv2d(x, kernels, out=out) is out
    with fastconv.trace() as calls:
        depthwise_conv2d(x, kernels, num_threads=1)
    assert [(call.problem.operator, call.problem.groups) for call in calls] == [("conv2d", 3)]


@pytest.mark.parametrize("kernel", [(1, 1), (3, 3), (2, 5), (9, 8)], ids=str)
@pytest.mark.parametrize("layout", [*LAYOUTS, "CHW", "HWC", "HW"])
def test_filter2d_filters_every_channel(layout, kernel, backend, integers):
    sizes = {"N": 2, "C": 3, "H": 5, "W": 7}
    image, kernel = integers([sizes[letter] for letter in layout]), integers(kernel)
    planes = image.transpose([layout.index(letter) for letter in "NCHW" if letter in layout]).reshape(-1, 5, 7)
    for padding in ("same", "SAME_LOWER"):
        options = {"padding": padding, "padding_mode": "symmetric", "flip": True}
        y = filter2d(image, kernel, data_format=layout, backend=backend, **options)
        assert y.shape == image.shape
        expected = np.stack([conv2d(plane, kernel, **options) for plane in planes])
        shape = [sizes[letter] for letter in "NCHW" if letter in layout]
        inverse = [[letter for letter in "NCHW" if letter in layout].index(letter) for letter in layout]
        np.testing.assert_array_equal(y, expected.reshape(shape).transpose(inverse), strict=True)


def test_filter2d_is_one_conv2d():
    image, kernel = np.ones((8, 9, 3), np.float32), filters.box(3).astype(np.float32)
    out = np.empty_like(image)
    with fastconv.trace() as calls:
        assert filter2d(image, kernel, data_format="HWC", out=out) is out
    assert [call.problem.operator for call in calls] == ["conv2d"]
    np.testing.assert_allclose(out, 1, rtol=1e-6)
    assert filter2d(image[..., 0], filters.box(3)).dtype == np.float64
    edge = filter2d(image[..., 0], kernel, padding_mode="constant", fill_value=10)[0, 0]
    np.testing.assert_allclose(edge, (4 + 5 * 10) / 9, rtol=1e-6)


@pytest.mark.parametrize("function", [correlate2d, convolve2d])
def test_scipys_functions_go_to_every_backend(function, direct, integers):
    x, w = integers((4, 5)), integers((6, 7))
    for mode in ("full", "same", "valid"):
        expected = function(x, w, mode)
        np.testing.assert_array_equal(function(x.tolist(), w, mode.upper(), backend="reference"), expected, strict=True)
        out = np.empty_like(expected)
        assert function(x, w, mode, out=out, num_threads=1, **direct) is out
        np.testing.assert_array_equal(out, expected)
    assert function(x.astype("u1"), w.astype("u1")).dtype == np.uint64
    assert function(x.astype("u1"), w.astype("u1"), dtype="u1").dtype == np.uint8
    assert function(x, w, boundary="wrap", fillvalue=3).shape == (9, 11)


def test_one_array_in_both_places(integers):
    x = integers((3, 4)) + 1j * integers((3, 4), 1)
    assert correlate2d(x, x, "valid")[0, 0] == (x * x.conj()).sum()
    assert convolve2d(x, x, "valid")[0, 0] == (x * x[::-1, ::-1]).sum()


@pytest.mark.semantics(False)
def test_arrays_of_other_libraries_stay_what_they_are(integers):
    da = pytest.importorskip("dask.array")
    x, w = integers((3, 12, 11)), integers((3, 3, 2)) + 1j
    lazy, kernels = da.from_array(x, chunks=(2, 5, 4)), da.from_array(w, chunks=2)
    for function, ours, theirs, options in (
        (depthwise_conv2d, (x, w), (lazy, w), {"padding": "same"}),
        (filter2d, (x, w[0]), (lazy, w[0]), {"data_format": "CHW"}),
        (correlate2d, (x[0], w[0]), (lazy[0], kernels[0]), {"mode": "same", "boundary": "symm"}),
        (correlate2d, (w[0], x[0]), (w[0], lazy[0]), {"mode": "valid"}),
        (convolve2d, (x[0], w[0]), (lazy[0], w[0]), {"mode": "full", "fillvalue": 3}),
    ):
        y = function(*theirs, **options)
        assert isinstance(y, da.Array)
        np.testing.assert_array_equal(y.compute(scheduler="sync"), function(*ours, **options), strict=True)


IMAGE, KERNEL = np.ones((3, 6, 5)), np.ones((3, 3))
MALFORMED = [
    (depthwise_conv2d, (IMAGE, np.ones((3, 1, 3, 3))), {}, ValueError, "weight has kernels for 1 channels, but x"),
    (depthwise_conv2d, (IMAGE, np.ones((3, 1, 3, 3))), {}, ValueError, "call conv2d with groups=3"),
    (depthwise_conv2d, (IMAGE, KERNEL), {}, ValueError, "weight must have the axes OIHW, or 3 without O"),
    (depthwise_conv2d, (KERNEL, IMAGE), {}, ValueError, r"weight must have 2 axes where x has 2, got.* \(3, 6, 5\)"),
    (depthwise_conv2d, (IMAGE, np.ones((3, 3, 3))), {"weight_format": "HWX"}, ValueError, "weight_format must be"),
    (depthwise_conv2d, (IMAGE, np.ones((3, 3, 3)), [1.0]), {}, ValueError, r"bias must have shape \(3,\)"),
    (depthwise_conv2d, (np.ones((0, 6, 5)), np.ones((0, 3, 3))), {}, ValueError, "x has an empty axis C"),
    (filter2d, (IMAGE, KERNEL), {}, ValueError, "image has 3 axes.*say which they are with data_format='HWC'"),
    (filter2d, (IMAGE[0, 0], KERNEL), {}, ValueError, r"image must have 4 axes, 3 .*, got shape \(5,\)"),
    (filter2d, (IMAGE, KERNEL[None]), {"data_format": "CHW"}, ValueError, "kernel must have 2 axes"),
    (filter2d, (IMAGE, KERNEL), {"padding": "valid"}, ValueError, "padding must be one of same, same_lower"),
    (filter2d, (IMAGE, KERNEL), {"padding": 1}, TypeError, "padding must be a string"),
    (filter2d, (IMAGE, [["a"]]), {"data_format": "CHW"}, TypeError, "kernel has dtype"),
    (filter2d, (IMAGE[:, :0], KERNEL), {"data_format": "CHW"}, ValueError, "image has an empty axis H"),
    (filter2d, (IMAGE[0], KERNEL[:0]), {}, ValueError, "kernel has an empty axis H"),
    (filter2d, (None, KERNEL), {}, TypeError, "image must be an array"),
    (filter2d, (IMAGE[0], KERNEL), {"data_format": "x"}, ValueError, "data_format must be the letters.*got 'x'"),
    (filter2d, (IMAGE[0], KERNEL), {"fill_value": 1}, ValueError, "fill_value=1 has no meaning with padding_mode='ref"),
    (correlate2d, (IMAGE, KERNEL), {}, ValueError, "in1 must have 2 axes"),
    (correlate2d, (KERNEL, IMAGE), {}, ValueError, "in2 must have 2 axes"),
    (convolve2d, (KERNEL, KERNEL, "some"), {}, ValueError, "mode must be one of full, valid, same"),
    (convolve2d, (KERNEL, KERNEL, 1), {}, TypeError, "mode must be a string"),
    (convolve2d, (KERNEL, KERNEL, "full", "reflect"), {}, ValueError, "boundary must be one of fill, pad, wrap"),
    (convolve2d, (KERNEL, KERNEL, "full", "fill", "a"), {}, TypeError, "fillvalue must be a number"),
    (convolve2d, ([[1]], [[1]], "full", "fill", 0.5), {}, ValueError, "fillvalue must be an integer"),
    (correlate2d, (KERNEL[:2], KERNEL[:, :2], "valid"), {}, ValueError, "at least as large as the other along both"),
    (correlate2d, (KERNEL.astype("O"), KERNEL), {}, TypeError, "in1 has dtype object"),
    (correlate2d, (KERNEL, KERNEL.astype("O")), {}, TypeError, "in2 has dtype object"),
    (correlate2d, (KERNEL, KERNEL[:0]), {}, ValueError, "in2 has an empty axis H"),
    (correlate2d, (KERNEL, KERNEL), {"out": KERNEL}, ValueError, r"out has shape \(3, 3\)"),
    (correlate2d, (KERNEL, KERNEL), {"backend": "none"}, fastconv.BackendError, "no backend 'none'"),
    (correlate2d, (KERNEL, np.ma.masked_array(KERNEL, KERNEL > 0)), {}, TypeError, "in2 is a masked array"),
]  # fmt: skip


@pytest.mark.parametrize(("function", "arguments", "options", "kind", "message"), MALFORMED)
def test_what_is_wrong_is_said_in_a_sentence_about_what_was_given(function, arguments, options, kind, message):
    with pytest.raises(kind, match=message) as caught:
        function(*arguments, **options)
    assert len(str(caught.value)) <= 500
    assert str(caught.value).endswith(".")
