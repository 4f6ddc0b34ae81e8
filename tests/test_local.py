"""Dense, locally connected, convolution: three ways to compute one thing, and what each alone can say."""

import numpy as np
import pytest

import fastconv
from fastconv import PADDING_MODES, conv2d, expand, local_conv2d
from fastconv.testing import random_call

pytestmark = pytest.mark.semantics


def geometry(call):
    """What of a call's options says where its windows are."""
    return {key: call.options[key] for key in ("stride", "padding", "dilation", "groups") if key in call.options}


def formats(call):
    return {key: call.options[key] for key in ("data_format", "weight_format") if key in call.options}


@pytest.mark.semantics(False)
@pytest.mark.parametrize("chunk", range(4))
def test_the_same_kernel_everywhere_is_a_convolution_bit_for_bit(chunk):
    """Over the whole argument space: dtypes, layouts, groups, padding, bias, NaN and infinities."""
    for seed in range(chunk * 60, (chunk + 1) * 60):
        call = random_call(seed)
        everywhere = expand.local(call.weight, call.x.shape, **geometry(call), **formats(call))
        expected = conv2d(call.x, call.weight, call.bias, **call.options, algorithm="direct")
        y = local_conv2d(call.x, everywhere, call.bias, **call.options)
        np.testing.assert_array_equal(y, expected, repr(call), strict=True)


@pytest.mark.parametrize("chunk", range(4))
def test_a_dense_layer_with_the_same_weights(chunk, backend, integers, unless_refused):
    for seed in range(chunk * 25, (chunk + 1) * 25):
        with unless_refused():
            call, rng = random_call(seed), np.random.default_rng(seed)
            options = geometry(call) | formats(call) | {k: call.options[k] for k in ("padding_mode", "flip")}
            x, weight = integers(rng, call.x.shape), integers(rng, call.weight.shape)
            shape = conv2d(x, weight, **options).shape
            axes = [a for a in options.get("data_format", "NCHW") if a != "N" or x.ndim == 4] if x.ndim > 2 else "HW"
            size = [shape[axes.index(letter)] for letter in "HW"]
            if np.prod(shape) * np.prod(x.shape) > 1e6 or not shape:
                continue
            local = integers(rng, (*size, *weight.shape))
            dense = expand.dense(local, x.shape, **options)
            batch = "N" in axes
            images = np.moveaxis(x, axes.index("N"), 0) if batch else x[None]
            expected = [np.tensordot(dense, image, image.ndim) for image in images]
            y = local_conv2d(x, local, **options, backend=backend)
            got = np.moveaxis(y, axes.index("N"), 0) if batch else y[None]
            np.testing.assert_array_equal(got, np.array(expected).reshape(got.shape), repr(call))


def test_the_chain_from_dense_to_shared():
    """W[i, j, k, l] is V[i, j, a, b] with k = i + a, l = j + b, and V the same at every position a convolution."""
    x, kernel = np.arange(9).reshape(3, 3), np.array([[1, 2], [3, 4]])
    options = {"padding": "same"}  # from the position itself on
    local = expand.local(kernel, x.shape, **options)
    dense = expand.dense(local, x.shape, **options)
    assert local.shape == (3, 3, 2, 2)
    assert dense.shape == (3, 3, 3, 3)
    for i, j, a, b in np.ndindex(2, 2, 2, 2):
        assert dense[i, j, i + a, j + b] == local[i, j, a, b]
    assert np.count_nonzero(dense) == 4 * 4 + 2 * 4 + 1  # windows that the border cuts off
    expected = conv2d(x, kernel, **options)
    np.testing.assert_array_equal(local_conv2d(x, local, **options), expected)
    np.testing.assert_array_equal(np.tensordot(dense, x, 2), expected)
    assert not local.flags.writeable
    assert np.shares_memory(local, kernel)


def weights_in(weight, wanted):
    """Weights (OH, OW) + OIHW with their axes in another order, and in that order in memory."""
    return np.ascontiguousarray(weight.transpose(0, 1, *(2 + "OIHW".index(letter) for letter in wanted)))


@pytest.mark.semantics(False)
@pytest.mark.parametrize("channels", [1, 3, 32, 33, 70])
@pytest.mark.parametrize("outputs", [1, 4, 17])
def test_bits_do_not_depend_on_layout_batch_or_threads(channels, outputs):
    rng = np.random.default_rng([channels, outputs])
    x = rng.standard_normal((3, channels, 7, 6)).astype(np.float32)
    weight = rng.standard_normal((5, 4, outputs, channels, 3, 3)).astype(np.float32)
    bias = rng.standard_normal((5, 4, outputs)).astype(np.float32)
    expected = local_conv2d(x, weight, bias, algorithm="direct")
    for weight_format in ("OIHW", "HWIO", "IHWO", "WOIH"):
        there = weights_in(weight, weight_format)
        for layout in ("NCHW", "NHWC", "HWCN"):
            image = x.transpose(["NCHW".index(letter) for letter in layout])
            for algorithm in ("auto", "direct"):
                options = {"data_format": layout, "weight_format": weight_format, "algorithm": algorithm}
                y = local_conv2d(image, there, bias, **options, num_threads=2)
                np.testing.assert_array_equal(y.transpose([layout.index(a) for a in "NCHW"]), expected)
        one = local_conv2d(x[1], there, bias, data_format="CHW", weight_format=weight_format, num_threads=1)
        np.testing.assert_array_equal(one, expected[1])


@pytest.mark.parametrize("strip", [1, 3000, 20_000])
@pytest.mark.parametrize("weight_format", ["OIHW", "HWIO"])
@pytest.mark.parametrize("images", [1, 5])
def test_strips_of_every_length(monkeypatch, images, weight_format, strip, integers):
    """An output at a time, parts of rows, whole rows and a rest: the same numbers."""
    from fastconv.backends import _local

    rng = np.random.default_rng(0)
    x, weight = integers(rng, (images, 2, 8, 9)), integers(rng, (7, 7, 5, 2, 2, 3))
    monkeypatch.setattr(fastconv._api, "_plans", {})
    monkeypatch.setattr(_local, "STRIP_BYTES", strip)
    y = local_conv2d(x, weights_in(weight, weight_format), np.arange(5), weight_format=weight_format)
    monkeypatch.setattr(fastconv._api, "_plans", {})
    np.testing.assert_array_equal(y, local_conv2d(x, weight, np.arange(5), backend="reference"))


@pytest.mark.semantics(False)
@pytest.mark.parametrize("images", [1, 40])
@pytest.mark.parametrize("kernel", [(1, 1), (3, 3), (5, 5), (3, 1), (1, 5), (30, 1), (2, 20)], ids=str)
def test_no_fast_algorithm_is_chosen(kernel, images):
    """What would be fast for one number of images might not be for another, and bits must not depend on it."""
    weight = np.broadcast_to(np.float32(1), (2, 2, 32, 32, *kernel))
    x = np.broadcast_to(np.float32(1), (images, 32, kernel[0] + 1, kernel[1] + 1))
    for weight_format in ("OIHW", "HWIO"):
        there = weight.transpose(0, 1, *(2 + "OIHW".index(letter) for letter in weight_format))
        report = fastconv.explain(x, there, operator="local_conv2d", weight_format=weight_format)
        assert report.details["algorithm"] == "direct"
        assert report.candidates["cpu"] == "chosen, composed from conv2d"


@pytest.mark.parametrize("mode", PADDING_MODES)
def test_padding_as_wide_as_it_may_be(mode, backend):
    far = {"stride": 2**30, "padding": 2**30, "padding_mode": mode, "fill_value": 2 * (mode == "constant")}
    weight = np.arange(9).reshape(3, 3, 1, 1)
    y = local_conv2d([[5]], weight, np.ones((3, 3), int), **far, backend=backend)
    outside = np.full((3, 3), 2 if mode == "constant" else 5)
    outside[1, 1] = 5
    np.testing.assert_array_equal(y, outside * weight[..., 0, 0] + 1)


def test_bias_for_each_channel_or_for_each_output(backend, integers):
    rng = np.random.default_rng(0)
    x, weight = integers(rng, (2, 3, 5, 6)), integers(rng, (4, 5, 7, 3, 2, 2))
    y = local_conv2d(x, weight, backend=backend)
    channels, outputs = integers(rng, 7), integers(rng, (4, 5, 7))
    with_channels = local_conv2d(x, weight, channels, backend=backend)
    np.testing.assert_array_equal(with_channels, y + channels[:, None, None])
    with_outputs = local_conv2d(x, weight, outputs, backend=backend)
    np.testing.assert_array_equal(with_outputs, y + outputs.transpose(2, 0, 1))
    plane, kernels = x[0, 0], weight[:, :, 0, 0]
    y = local_conv2d(plane, kernels, backend=backend)
    for bias in (outputs[..., 0], outputs[..., :1]):
        with_bias = local_conv2d(plane, kernels, bias, backend=backend)
        np.testing.assert_array_equal(with_bias, y + outputs[..., 0])


def test_narrow_results_are_rounded_once(backend):
    x, weight = np.full((1, 3), 1, np.float16), np.array([2048, 1, 1], np.float16).reshape(1, 1, 1, 3)
    assert local_conv2d(x, weight, backend=backend).tolist() == [[2050]]
    assert local_conv2d(x, weight, np.float16([[-2047]]), backend=backend).tolist() == [[3]]
    y = local_conv2d(x.astype("u1"), weight.astype("i2"), dtype="u1", backend=backend)
    assert y.tolist() == [[2050 % 256]]


def test_no_images_or_no_outputs(backend):
    assert local_conv2d(np.ones((0, 2, 3, 3)), np.ones((2, 2, 4, 2, 2, 2)), backend=backend).shape == (0, 4, 2, 2)
    assert local_conv2d(np.ones((1, 2, 3, 3)), np.ones((2, 2, 0, 2, 2, 2)), backend=backend).shape == (1, 0, 2, 2)


def test_out_may_be_an_operand():
    x, weight = np.arange(12.0).reshape(3, 4), np.arange(12.0).reshape(3, 4, 1, 1)
    assert local_conv2d(x, weight, out=x) is x
    np.testing.assert_array_equal(x, np.arange(12.0).reshape(3, 4) ** 2)


X, V = np.ones((2, 5, 5)), np.ones((3, 3, 4, 2, 3, 3))
MALFORMED = [
    (local_conv2d, (X, V[0]), {}, ValueError, "weight must have 6 axes"),
    (local_conv2d, (X[0], V), {}, ValueError, r"weight must have 6 axes.*or 4 where x has 2, got shape \(3, 3, "),
    (local_conv2d, (X, V[:, :, 0, 0]), {}, ValueError, r"weight must have 6 axes, .*, got shape \(3, 3, 3, 3\)"),
    (local_conv2d, (X, V[:2]), {}, ValueError, r"weight must begin with the axes \(OH, OW\), \(3, 3\)"),
    (local_conv2d, (X, V), {"padding": 1}, ValueError, r"\(OH, OW\), \(5, 5\)"),
    (local_conv2d, (X, V, np.ones(3)), {}, ValueError, r"bias must have shape \(4,\) or \(3, 3, 4\), got \(3,\)"),
    (local_conv2d, (X, V, np.ones((3, 3))), {}, ValueError, r"bias must have shape \(4,\) or \(3, 3, 4\), got"),
    (local_conv2d, (X, V.astype("O")), {}, TypeError, "weight has dtype object"),
    (local_conv2d, (X, V, ["a"]), {}, TypeError, "bias has dtype"),
    (local_conv2d, (X, V[:, :, :, :1]), {}, ValueError, "weight has 1 input channels a group"),
    (local_conv2d, (X, V), {"groups": 3}, ValueError, "groups=3 does not divide"),
    (local_conv2d, (X, V), {"fill_value": 1j}, TypeError, "fill_value=1j is complex"),
    (local_conv2d, (X, V), {"algorithm": "winograd"}, fastconv.BackendUnsupportedError, "algorithm 'winograd'"),
    (expand.local, (None, (3, 3)), {}, TypeError, "weight must be an array"),
    (expand.local, (X[0], 3), {}, TypeError, "x_shape must be a tuple of sizes"),
    (expand.local, (X[0], (3, 3)), {}, ValueError, "the kernel reaches over 5 pixels of height"),
    (expand.dense, (V, (2, 6, 5)), {}, ValueError, r"weight must begin with the axes \(OH, OW\), \(4, 3\)"),
    (expand.dense, (V, (2, 5)), {}, ValueError, "weight must have 6 axes.*or 4 where x has 2"),
    (expand.dense, (V, (2, 5, 5)), {"padding_mode": "x"}, ValueError, "padding_mode must be one of"),
    (
        expand.dense, (np.ones((1, 1, 1, 1)), (2**31, 2**31)), {"stride": 2**32}, ValueError,
        r"the result would have \d+ numbers, more than 2\*\*63 bytes",
    ),
]  # fmt: skip


@pytest.mark.parametrize(("function", "arguments", "options", "kind", "message"), MALFORMED)
def test_what_is_wrong_is_said_in_a_sentence(function, arguments, options, kind, message):
    with pytest.raises(kind, match=message) as caught:
        function(*arguments, **options)
    assert len(str(caught.value)) <= 500
    assert str(caught.value).endswith(".")


@pytest.mark.parametrize("kind", ["i1", "f2", "c8"])
def test_dense_weights_have_the_dtype_of_a_result(kind):
    local = np.ones((1, 5, 1, 3)).astype(kind)
    dense = expand.dense(local, (1, 3), padding=(0, 2), padding_mode="edge")
    assert dense.dtype == (np.int64 if kind == "i1" else kind)
    assert dense[0, :, 0].real.tolist() == [[3, 0, 0], [2, 1, 0], [1, 1, 1], [0, 1, 2], [0, 0, 3]]


def test_weights_that_an_argument_turns_are_seen():
    weight = np.arange(16.0).reshape(2, 2, 1, 4).copy()

    class Turning:
        def __index__(self):
            weight.resize((2, 2, 4, 1), refcheck=False)
            return 1

    with pytest.raises(ValueError, match=r"weight must begin with the axes \(OH, OW\)"):
        local_conv2d(np.ones((2, 5)), weight, stride=Turning())
