"""conv3d and conv_transpose3d: definitions held against each other, NumPy and other libraries; how slices are read."""

import importlib
import itertools

import numpy as np
import pytest

import fastconv
from fastconv import Problem, conv2d, conv3d, conv_transpose3d
from fastconv.testing._operators import judge_operator, operator_calls

pytestmark = pytest.mark.semantics

slices = importlib.import_module("fastconv.backends._slices")


@pytest.mark.parametrize("mode", fastconv.PADDING_MODES)
def test_against_numpy(mode, integers):
    """Windows of the padded volume, one after another: as plain as it can be."""
    rng = np.random.default_rng(0)
    for stride, dilation, (front, back), flip in itertools.product(
        ((1, 1, 1), (2, 1, 3)), ((1, 1, 1), (2, 1, 1)), ((0, 0), (2, 1)), (False, True)
    ):
        x, weight = integers(rng, (2, 4, 5, 5, 6)), integers(rng, (6, 2, 2, 3, 2))
        padded = np.pad(x, ((0, 0), (0, 0), (front, back), (1, 0), (0, 2)), mode)
        spread = np.zeros((6, 2, *((k - 1) * d + 1 for k, d in zip((2, 3, 2), dilation, strict=True))), int)
        spread[:, :, :: dilation[0], :: dilation[1], :: dilation[2]] = weight
        windows = np.lib.stride_tricks.sliding_window_view(padded, spread.shape[2:], (2, 3, 4))
        windows = windows[:, :, :: stride[0], :: stride[1], :: stride[2]]
        halves = [
            np.einsum("ncijkdhw,ocdhw->noijk", windows[:, 2 * g : 2 * g + 2], spread[3 * g : 3 * g + 3])
            for g in range(2)
        ]
        options = {"padding": ((front, back), (1, 0), (0, 2)), "padding_mode": mode, "groups": 2, "flip": flip}
        given = weight[:, :, ::-1, ::-1, ::-1] if flip else weight
        y = conv3d(x, given, np.arange(6), stride, dilation=dilation, **options)
        np.testing.assert_array_equal(y, np.concatenate(halves, 1) + np.arange(6)[:, None, None, None])


def test_the_transpose_is_the_adjoint(backend, integers, unless_refused):
    for call in operator_calls("conv3d", range(100)):
        with unless_refused():
            rng = np.random.default_rng(call.of.seed)
            options = {key: value for key, value in call.options.items() if key != "fill_value"}
            x, weight = (integers(rng, array.shape) for array in call.operands[:2])
            if not weight.size:
                continue
            y = conv3d(x, weight, **options)
            grad = integers(rng, y.shape)
            size = dict(zip(options["data_format"][-x.ndim :], x.shape, strict=True))
            options["output_shape"] = tuple(size[letter] for letter in "DHW")
            transposed = conv_transpose3d(grad, weight, **options, backend=backend)
            assert (transposed * x).sum() == (grad * y).sum(), repr(call)


@pytest.mark.parametrize("data_format", ["NCDHW", "NDHWC", "NDCHW", "DWHCN"])
def test_the_bits_depend_on_the_kernels_shape_alone(data_format, monkeypatch):
    """Not on the layout, the batch, the threads, how many slices are copied at a time, or whether any are."""
    rng = np.random.default_rng(0)
    for weight_shape, groups in (
        ((4, 40, 3, 3, 3), 1),
        ((4, 20, 2, 1, 3), 2),
        ((4, 40, 1, 3, 3), 1),
        ((4, 1, 3, 2, 2), 4),
    ):
        x = rng.standard_normal((3, weight_shape[1] * groups, 7, 6, 9)).astype("f4")
        weight = rng.standard_normal(weight_shape).astype("f4")
        options = {"groups": groups, "padding": (1, 0, 1), "padding_mode": "edge", "stride": (1, 2, 1)}
        plain = conv3d(x, weight, **options, algorithm="direct")
        order = ["NCDHW".index(letter) for letter in data_format]
        view = {"data_format": data_format, "weight_format": "OIDHW", "algorithm": "direct"}
        back = np.argsort(order)
        for bytes_, threads in ((4 << 20, 1), (20000, 2)):
            monkeypatch.setattr(slices, "BYTES", bytes_)
            monkeypatch.setattr(slices, "FEWEST", 1)
            monkeypatch.setattr(fastconv._api, "_plans", {})
            laid_out = np.ascontiguousarray(x.transpose(order))
            y = conv3d(laid_out, weight, **options, **view, num_threads=threads)
            np.testing.assert_array_equal(y.transpose(back), plain)
            one = conv3d(x[1:2], weight, **options, algorithm="direct", num_threads=threads)
            np.testing.assert_array_equal(one, plain[1:2])
            many = conv3d(np.repeat(x, 4, 0), weight, **options, algorithm="direct")  # more images than slices
            np.testing.assert_array_equal(many[::4], plain)


@pytest.mark.semantics(False)
def test_auto_has_the_same_bits_for_every_batch():
    rng = np.random.default_rng(0)
    x, weight = (
        rng.standard_normal((9, 16, 4, 12, 12)).astype("f4"),
        rng.standard_normal((16, 16, 3, 3, 3)).astype("f4"),
    )
    assert fastconv.explain(x, weight, operator="conv3d", padding=1).details["algorithm"] == "winograd"
    whole = conv3d(x, weight, padding=1)
    np.testing.assert_array_equal(np.concatenate([conv3d(one[None], weight, padding=1) for one in x]), whole)


@pytest.mark.parametrize("turn", range(4))
def test_few_slices_at_a_time_come_out_right(turn, monkeypatch):
    monkeypatch.setattr(slices, "BYTES", 3000)
    monkeypatch.setattr(slices, "FEWEST", 2)
    monkeypatch.setattr(slices, "MOST_BYTES", 6000)
    monkeypatch.setattr(fastconv._api, "_plans", {})
    for call in operator_calls("conv3d", range(turn * 30, turn * 30 + 30)):
        judge_operator(call, call.run("cpu", algorithm="direct"))


def test_slices_are_read_in_place_where_they_can_be(monkeypatch):
    """One channel, kernels without depth, without height, and layouts with depth before channels: nothing is copied."""
    copied = []
    room = slices.Slices._room
    monkeypatch.setattr(slices.Slices, "_room", lambda self, shape: copied.append(shape) or room(self, shape))
    rng = np.random.default_rng(0)
    for shape, weight_shape, options in (
        ((2, 1, 9, 5, 6), (3, 1, 3, 2, 2), {"dilation": 2, "stride": (3, 1, 2)}),
        ((2, 4, 9, 5, 6), (3, 4, 1, 3, 3), {"padding": (0, 1, 1)}),
        ((2, 4, 9, 5, 6), (6, 2, 1, 3, 3), {"groups": 2, "stride": 2}),
        ((2, 4, 9, 5, 6), (3, 4, 3, 1, 1), {"padding": (1, 0, 0)}),
        ((2, 9, 4, 5, 6), (3, 4, 3, 3, 3), {"data_format": "NDCHW", "weight_format": "OIDHW"}),
        ((30, 4, 2, 5, 6), (3, 4, 1, 3, 3), {}),
    ):
        x, weight = rng.standard_normal(shape), rng.standard_normal(weight_shape)
        y = conv3d(x, weight, **options)
        np.testing.assert_allclose(y, conv3d(x, weight, **options, backend="reference"), rtol=1e-12, atol=1e-12)
        assert not copied, (shape, weight_shape)
        conv3d(x.astype("f2"), weight, **options)  # narrow floats are converted once, as slices are copied
        assert copied
        copied.clear()


@pytest.mark.semantics(False)
def test_memory_does_not_grow_with_padding_or_with_the_volume():
    far = {"stride": 2**30, "padding": 2**30}
    x = np.arange(1.0, 28.0).reshape(3, 3, 3)
    assert conv3d(x, [[[2.0]]], **far).ravel()[13] == 2
    y = conv_transpose3d(x, [[[2.0]]], **far, output_shape=1)
    assert y.tolist() == [[[28.0]]]
    p = Problem.of(np.zeros((1, 64, 100, 112, 112), "f4"), np.zeros((8, 64, 3, 3, 3), "f4"), **DEEP)
    composed = slices.Slices(p)
    assert max(step.slots for step in composed.steps) * composed.slice_bytes <= slices.MOST_BYTES


DEEP = {"data_format": "NCDHW", "space": fastconv._arguments.VOLUME}


def test_padding_is_a_value_and_nan_stays_in_its_windows():
    x, weight = np.zeros((1, 1, 4, 4, 4)), np.ones((1, 1, 3, 3, 3))
    x[0, 0, 1, 2, 0] = np.nan
    y = conv3d(x, weight, padding=1)
    reached = np.zeros((4, 4, 4), bool)
    reached[0:3, 1:4, 0:2] = True
    np.testing.assert_array_equal(np.isnan(y[0, 0]), reached)
    weight[0, 0, 0, 1, 1] = np.inf  # meets zeros everywhere, in front of the volume too
    assert np.isnan(conv3d(np.ones((1, 1, 4, 4, 4)), weight, padding=1)[0, 0, 0]).all()
    assert np.isposinf(conv3d(np.ones((1, 1, 4, 4, 4)), weight, padding=1)[0, 0, 1:]).all()


@pytest.mark.parametrize(
    ("x_shape", "weight_shape", "options", "y_shape"),
    [
        ((2, 3, 5, 6, 7), (4, 3, 2, 3, 4), {}, (2, 4, 4, 4, 4)),
        ((3, 5, 6, 7), (4, 3, 2, 3, 4), {}, (4, 4, 4, 4)),
        ((5, 6, 7), (2, 3, 4), {}, (4, 4, 4)),
        ((2, 5, 6, 7, 3), (2, 3, 4, 3, 4), {"data_format": "NDHWC"}, (2, 4, 4, 4, 4)),
        ((5, 6, 7, 3), (2, 3, 4, 3, 4), {"data_format": "NDHWC"}, (4, 4, 4, 4)),
        ((7, 6, 5, 3, 2), (4, 3, 2, 3, 4), {"data_format": "WHDCN", "weight_format": "WHDIO"}, (4, 4, 4, 4, 2)),
        ((2, 3, 5, 6, 7), (4, 3, 2, 3, 4), {"padding": "same", "stride": 2}, (2, 4, 3, 3, 4)),
        ((2, 3, 5, 6, 7), (4, 3, 2, 3, 4), {"padding": "full"}, (2, 4, 6, 8, 10)),
        ((2, 3, 5, 6, 7), (4, 3, 2, 3, 4), {"padding": (0, 1, 2)}, (2, 4, 4, 6, 8)),
        ((0, 3, 5, 6, 7), (4, 3, 2, 3, 4), {}, (0, 4, 4, 4, 4)),
        ((2, 3, 5, 6, 7), (0, 3, 2, 3, 4), {}, (2, 0, 4, 4, 4)),
    ],
)
def test_layouts_and_sizes(x_shape, weight_shape, options, y_shape, integers):
    rng = np.random.default_rng(0)
    x, weight = integers(rng, x_shape), integers(rng, weight_shape)
    y = conv3d(x, weight, **options)
    assert y.shape == y_shape
    assert y.flags.c_contiguous
    np.testing.assert_array_equal(y, conv3d(x, weight, **options, backend="reference"))
    out = np.zeros((*y_shape, 2), y.dtype)[..., 1]
    assert conv3d(x, weight, **options, out=out) is out
    np.testing.assert_array_equal(out, y)


def test_out_may_overlap_the_volume():
    x, weight = np.arange(125.0).reshape(1, 1, 5, 5, 5), np.ones((1, 1, 3, 3, 3))
    expected = conv3d(x, weight, padding=1)
    assert conv3d(x, weight, padding=1, out=x) is x
    np.testing.assert_array_equal(x, expected)


def test_a_kernel_without_depth_is_conv2d_of_each_slice():
    rng = np.random.default_rng(0)
    x, weight = rng.standard_normal((2, 16, 5, 20, 20)), rng.standard_normal((16, 16, 1, 3, 3))
    y = conv3d(x, weight, padding=(0, 1, 1))
    for i in range(5):
        np.testing.assert_array_equal(y[:, :, i], conv2d(x[:, :, i], weight[:, :, 0], padding=1))


@pytest.mark.parametrize("groups", [1, 2])
def test_against_torch(groups):
    torch = pytest.importorskip("torch")
    rng = np.random.default_rng(0)
    for k, stride, padding, dilation in itertools.product(((3, 3, 3), (1, 3, 2), (2, 1, 1)), (1, 2), (0, 1), (1, 2)):
        weight = rng.standard_normal((6, 4 // groups, *k))
        options = {"stride": stride, "padding": padding, "dilation": dilation, "groups": groups}
        for x in (rng.standard_normal((2, 4, 6, 7, 8)), rng.standard_normal((9, 4, 5, 5, 5))):
            y = conv3d(x, weight, np.arange(6.0), **options)
            expected = torch.nn.functional.conv3d(*map(torch.tensor, (x, weight, np.arange(6.0))), **options).numpy()
            np.testing.assert_allclose(y, expected, rtol=1e-10, atol=1e-10)
            extra = stride - 1
            back = conv_transpose3d(y, weight, **options, output_padding=extra)
            transposed = torch.nn.functional.conv_transpose3d(
                torch.tensor(y), torch.tensor(weight), **options, output_padding=extra
            )
            np.testing.assert_allclose(back, transposed.numpy(), rtol=1e-10, atol=1e-9)


@pytest.mark.parametrize(("name", "ours"), [("constant", "constant"), ("nearest", "edge"), ("mirror", "reflect")])
def test_against_scipy(name, ours):
    ndimage = pytest.importorskip("scipy.ndimage")
    rng = np.random.default_rng(0)
    x, weight = rng.standard_normal((6, 7, 8)), rng.standard_normal((3, 5, 3))
    expected = ndimage.correlate(x, weight, mode=name)
    np.testing.assert_allclose(conv3d(x, weight, padding="same", padding_mode=ours), expected, rtol=1e-10, atol=1e-10)


MALFORMED = [
    ({"stride": (1, 1)}, ValueError, r"stride must be an int or a triple \(depth, height, width\), got \(1, 1\)"),
    ({"padding": (1, 2)}, ValueError, r"padding must be an int, \(pd, ph, pw\), \(\(front, back\), \(top, bottom\)"),
    ({"padding": (1,) * 6}, ValueError, "flat sequences"),
    ({"padding": "valid_lower"}, ValueError, r"padding must be one of valid.*\(pd, ph, pw\)"),
    ({"data_format": "NCHW"}, ValueError, "data_format must be the letters of NCDHW or CDHW or DHW"),
    ({"weight_format": "OIHW"}, ValueError, "weight_format must be the letters of OIDHW or DHW"),
    ({"weight": np.ones((2, 2, 2, 3, 4))}, ValueError, "did you mean weight_format='DHWIO'"),
    ({"x": np.ones((3, 5))}, ValueError, "x must have 5 axes, 4 .one image. or 3"),
    ({"weight": np.ones((2, 2))}, ValueError, "weight must have 5 axes, or 3 where x has 3"),
    ({"dilation": (9, 1, 1)}, ValueError, "the kernel reaches over 10 pixels of depth"),
    ({"x": np.ones((2, 3, 0, 5, 5))}, ValueError, "x has an empty axis D"),
    ({"padding": 2**61}, ValueError, r"more than 2\*\*63 bytes"),
    ({"out": np.ones(3)}, ValueError, r"out has shape \(3,\)"),
    ({"backend": "cpu", "algorithm": "fft", "stride": 2}, fastconv.BackendUnsupportedError, "it needs stride 1"),
]


@pytest.mark.parametrize(("changes", "kind", "message"), MALFORMED)
def test_what_is_wrong_is_said_of_its_own_axes(changes, kind, message):
    arguments = {"x": np.ones((2, 3, 5, 5, 5)), "weight": np.ones((4, 3, 2, 2, 2))} | changes
    with pytest.raises(kind, match=message) as caught:
        conv3d(**arguments)
    assert len(str(caught.value)) <= 500


@pytest.mark.semantics(False)
def test_it_is_explained():
    x, weight = np.ones((2, 3, 8, 9, 10), "f4"), np.ones((4, 3, 2, 3, 3), "f4")
    report = fastconv.explain(x, weight, operator="conv3d")
    assert str(report).startswith("conv3d 2x3x8x9x10 * 4x3x2x3x3 -> 2x4x7x7x8 ")
    assert report.candidates["cpu"] == "chosen, composed from conv2d"
    assert report.details["composed"] == "from conv2d, 2 of them"
    assert report.problem.macs == 2 * 4 * 7 * 7 * 8 * 3 * 18
    assert fastconv.explain(x, weight, operator="conv3d", backend="reference").candidates["reference"] == "chosen"
    assert fastconv.backends(operator="conv_transpose3d")["cpu"] == "usable, composed from conv2d"


def test_weights_are_packed_once_a_call(monkeypatch):
    from fastconv.backends.cpu import CpuPlan

    packed, pack = [], CpuPlan.pack

    def spy(self, weight, shared, num_threads=0):
        known = len(shared)
        result = pack(self, weight, shared, num_threads)
        packed.append((len(shared) - known, num_threads, result is not None))
        return result

    monkeypatch.setattr(CpuPlan, "pack", spy)
    x, weight = np.ones((3, 32, 6, 14, 14), "f4"), np.ones((32, 32, 3, 3, 3), "f4")
    y = conv3d(x, weight, padding=1, num_threads=1)
    assert packed == [(1, 1, True), (0, 1, True), (0, 1, True)]
    assert y[0, 0, 1, 1, 1] == pytest.approx(32 * 27)
    conv3d(x[:1], weight, padding=1)  # one convolution packs as conv2d does
    assert len(packed) == 3
