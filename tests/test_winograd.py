"""Winograd's algorithm: inside its bound everywhere, to the same bits always, and no further than a window reaches."""

import itertools
import re

import numpy as np
import pytest

import fastconv
from fastconv import conv2d, conv2d_error_bound, explain, plan_conv2d

KERNELS = [(3, 3), (5, 5), (3, 1), (1, 3), (5, 1), (1, 5), (3, 3, 2), (5, 5, 2)]  # and a stride
MODES = ["constant", "reflect", "symmetric", "edge", "wrap"]


def random_problem(seed, most=40):
    """Arguments and options of a call that the row takes; any layout, padding, bias, number of tiles and channels."""
    rng = np.random.default_rng(seed)
    kh, kw, *stride = KERNELS[rng.integers(len(KERNELS))]
    groups = int(rng.choice([1, 1, 1, 2, 3]))
    padding = tuple((int(a), int(b)) for a, b in rng.integers(0, 5, (2, 2)))
    mode = str(rng.choice(MODES))
    dilates = mode == "constant" and not stride and rng.random() < 0.5
    dilation = tuple(int(d) for d in rng.integers(1, 5, 2)) if dilates else (1, 1)
    sizes = {"N": rng.integers(1, 4), "C": groups * rng.integers(16, 50)}
    sizes |= {"H": (kh - 1) * dilation[0] + 1 + rng.integers(0, most)}
    sizes |= {"W": (kw - 1) * dilation[1] + 1 + rng.integers(0, most)}
    layout = str(rng.choice(["NCHW", "NHWC", "HWCN", "CHW", "NWHC"]))
    dtype = rng.choice(["f4", "f4", "f8"])
    if rng.random() < 0.2:
        sizes["W"] += 270  # more tiles than a block of columns has
    x = rng.standard_normal([sizes[letter] for letter in layout]).astype(dtype)
    if rng.random() < 0.3:
        x = np.repeat(x, 2, -1)[..., ::2]  # elements that are not side by side
    weight = rng.standard_normal((groups * int(rng.integers(1, 80)), sizes["C"] // groups, kh, kw)).astype(dtype)
    bias = rng.standard_normal(len(weight)).astype(dtype) if rng.random() < 0.5 else None
    options = {
        "stride": stride[0] if stride else 1,
        "padding": padding,
        "dilation": dilation,
        "groups": groups,
        "data_format": layout,
        "weight_format": "OIHW",
    }
    options |= {"padding_mode": mode, "flip": bool(rng.integers(2))}
    if mode == "constant":
        options["fill_value"] = float(rng.choice([0, 0, -1.5]))
    return (x, weight, bias), options


def test_random_problems_stay_inside_the_bound(isa_backend, request):
    count = request.config.getoption("--problems") // 100
    for seed in range(count if isa_backend in ("cpu_amx", "cpu_avx512") else count // 4):
        arguments, options = random_problem(seed)
        y = conv2d(*arguments, **options, algorithm="winograd", backend=isa_backend)
        wide = [None if a is None else a.astype("f8") for a in arguments]
        exact = conv2d(*wide, **options, algorithm="direct")
        bound = conv2d_error_bound(*arguments, **options, algorithm="winograd")
        bound += conv2d_error_bound(*wide, **options, algorithm="direct")
        assert (abs(y - exact) <= bound).all(), seed
        # The bound is proved for the worst of all data; errors of these are a hundredth of it, and a wrong tile is not.
        assert (abs(y - exact) <= bound / 20 + 40 * np.finfo(y.dtype).eps).all(), seed


def test_bits_depend_on_nothing_but_the_values(isa_backend):
    for seed in range(40):
        (x, weight, bias), options = random_problem(seed, most=60)
        options |= {"algorithm": "winograd"}
        y = conv2d(x, weight, bias, **options, backend=isa_backend, num_threads=1)
        for threads in (2, 3, 7):
            assert conv2d(x, weight, bias, **options, num_threads=threads).tobytes() == y.tobytes(), seed
        axis = options["data_format"].find("N")
        for n in range(x.shape[axis] if axis >= 0 else 0):
            one = conv2d(np.take(x, [n], axis), weight, bias, **options)
            assert one.tobytes() == np.take(y, [n], axis).tobytes(), seed
        order = [options["data_format"].index(letter) for letter in "NCHW" if letter in options["data_format"]]
        other = options | {"data_format": "NCHW"[4 - x.ndim :]}
        assert conv2d(x.transpose(order), weight, bias, **other).tobytes() == y.transpose(order).tobytes(), seed


@pytest.mark.parametrize("layout", ["NCHW", "NHWC"])
@pytest.mark.parametrize("kernel", KERNELS)
def test_results_smaller_than_a_tile(kernel, layout):
    rng = np.random.default_rng(9)
    kh, kw, *stride = kernel
    stride = stride[0] if stride else 1
    for rows, columns in itertools.product((1, 2, 3, 4, 5, 40), range(1, 6)):
        sizes = {"N": 2, "C": 17, "H": (rows - 1) * stride + kh, "W": (columns - 1) * stride + kw}
        x = rng.standard_normal([sizes[letter] for letter in layout])
        weight = rng.standard_normal((19, 17, kh, kw))
        options = {"stride": stride, "data_format": layout, "weight_format": "OIHW"}
        y, exact = (conv2d(x, weight, **options, algorithm=name) for name in ("winograd", "direct"))
        np.testing.assert_allclose(y, exact, atol=1e-11)


@pytest.mark.parametrize("stride", [1, 2])
def test_the_size_of_tiles_does_not_depend_on_the_batch(stride):
    rng = np.random.default_rng(10)
    options = {"stride": stride, "padding": 1, "algorithm": "winograd"}
    for channels, size in itertools.product((16, 64, 160, 320), (4, 5, 6, 7, 9, 11, 13)):
        x = rng.standard_normal((9, channels, stride * size, stride * size)).astype("f4")
        weight = rng.standard_normal((channels, channels, 3, 3)).astype("f4")
        y = conv2d(x, weight, **options)
        assert conv2d(x[4:5], weight, **options).tobytes() == y[4:5].tobytes(), (channels, size)


@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("shape", [(1, 64, 28, 28), (2, 32, 57, 40), (1, 200, 28, 28)])  # the last in chunks of weights
def test_prepared_weights_give_the_same_bits(shape, stride):
    rng = np.random.default_rng(1)
    x, weight = rng.standard_normal(shape).astype("f4"), rng.standard_normal((48, shape[1], 3, 3)).astype("f4")
    options = {"stride": stride, "padding": 1, "algorithm": "winograd"}
    plan = plan_conv2d(weight, **options)
    for image in (x, x[:1], x[:, :, :20]):  # one packing for all, whatever size of tile
        assert plan(image).tobytes() == conv2d(image, weight, **options).tobytes()
    small = plan(x[:, :, :5, :5])  # smaller tiles, other weights
    assert np.allclose(small, conv2d(x[:, :, :5, :5], weight, None, stride, 1), atol=1e-3)


def test_what_is_mended_is_direct_to_its_bits_and_its_neighbours_are_not_touched():
    rng = np.random.default_rng(4)
    x = rng.standard_normal((1, 32, 24, 24)).astype("f4")
    weight = rng.standard_normal((80, 32, 3, 3)).astype("f4")
    clean = conv2d(x, weight, algorithm="winograd")
    x[0, 5, 9, 9] = np.nan  # rows 7 to 9 of the result, so rows of tiles 4 to 7 and 8 to 11
    y = conv2d(x, weight, algorithm="winograd")
    assert y[:, :, 4:12].tobytes() == conv2d(x, weight, algorithm="direct")[:, :, 4:12].tobytes()
    assert y[:, :, :4].tobytes() == clean[:, :, :4].tobytes()
    assert y[:, :, 12:].tobytes() == clean[:, :, 12:].tobytes()
    x[0, 5, 9, 9] = 0
    expected = conv2d(x, weight, algorithm="winograd")
    weight[70, 3, 1, 1] = np.inf  # an output channel
    y = conv2d(x, weight, algorithm="winograd")
    assert y[:, 70].tobytes() == conv2d(x, weight, algorithm="direct")[:, 70].tobytes()
    assert np.delete(y, 70, 1).tobytes() == np.delete(expected, 70, 1).tobytes()


@pytest.mark.parametrize(
    ("words", "options", "shape"),
    [
        ("a kernel of 3x3, 5x5", {}, (16, 16, 7, 7)),
        ("stride 2 and 3x3 or 5x5", {"stride": 2}, (16, 16, 7, 7)),
        ("stride 2 and 3x3 or 5x5", {"stride": 2}, (16, 16, 1, 3)),
        ("stride 2 and 3x3 or 5x5", {"stride": (1, 2)}, (16, 16, 3, 3)),
        ("a kernel of 3x3, 5x5", {}, (16, 16, 3, 5)),
        ("16 input channels", {}, (16, 15, 3, 3)),
        ("stride 2", {"stride": 3}, (16, 16, 3, 3)),
        ("dilation it needs stride 1", {"stride": 2, "dilation": 2}, (16, 16, 3, 3)),
        ("'constant'", {"dilation": 2, "padding": 1, "padding_mode": "edge"}, (16, 16, 3, 3)),
        ("no integers", {"dtype": "i8"}, (16, 16, 3, 3)),
    ],
)
def test_what_it_cannot_do_is_refused_with_the_reason(words, options, shape):
    kind = options.get("dtype", "f4")
    x, weight = np.ones((1, shape[1], 20, 20), kind), np.ones(shape, kind)
    with pytest.raises(fastconv.BackendUnsupportedError, match=words):
        conv2d(x, weight, **options, algorithm="winograd")
    assert explain(x, weight, **options).details["algorithm"] == "direct"


def test_the_choice_does_not_depend_on_the_batch():
    rng = np.random.default_rng(5)
    chosen = set()
    for _ in range(60):
        c, o, size = (int(rng.choice(v)) for v in ([16, 32, 64, 256], [8, 32, 64, 256], [4, 7, 14, 28]))
        weight = np.zeros((o, c, 3, 3), "f4")
        plans = [
            explain(np.zeros((n, c, size, size), "f4"), weight, padding=1).details["algorithm"] for n in (1, 2, 64)
        ]
        assert len(set(plans)) == 1
        chosen.add(plans[0])
    assert chosen - {"split"} == {"direct", "winograd"}  # and where there are matrix tiles, that too


@pytest.mark.parametrize("channels", [1000, 4096])
def test_many_channels(channels):
    rng = np.random.default_rng(8)
    x = rng.standard_normal((1, channels, 9, 10)).astype("f4")
    weight = rng.standard_normal((5, channels, 3, 3)).astype("f4")
    expected = conv2d(x, weight, algorithm="direct")
    for y in (conv2d(x, weight, algorithm="winograd"), plan_conv2d(weight, algorithm="winograd")(x)):
        np.testing.assert_allclose(y, expected, atol=0.02)
    with pytest.raises(fastconv.BackendUnsupportedError, match="too many input channels"):
        conv2d(np.ones((1, 4097, 3, 3)), np.ones((1, 4097, 3, 3)), algorithm="winograd")


def test_scratch_memory_is_bounded():
    for c, o, size in itertools.product((16, 64, 512, 4096), (16, 64, 2048), (8, 56, 1000, 20000)):
        x = np.broadcast_to(np.zeros((), "f4"), (1, c, size, size))
        for k, stride in ((3, 1), (3, 2), (5, 2)):
            weight = np.broadcast_to(np.zeros((), "f4"), (o, c, k, k))
            details = explain(x, weight, None, stride, 1, algorithm="winograd", num_threads=1).details
            assert details["scratch_bytes"] <= 8 << 20, (c, o, size, k, stride, details["scratch_bytes"])


@pytest.mark.parametrize(("size", "most"), [(14, 4), (56, 14)])
def test_tasks_do_not_read_many_weights_again_and_again(size, most):
    """256 channels are 9 MiB of points; each row of tiles was a task, and took them all from a far cache.

    Of 14 tasks each takes half of them.
    """
    weight = np.ones((256, 256, 3, 3), np.float32)
    plan = plan_conv2d(weight, padding=1, algorithm="winograd", x_shape=(1, 256, size, size))
    tasks = int(re.search(r"^tasks: (\d+)$", str(plan), re.MULTILINE)[1])
    assert tasks <= most
