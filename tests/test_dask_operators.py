"""Dask arrays of three axes and of one, what windows see of them, kernels of each pixel's own: in any chunks."""

import itertools
import pickle

import dask
import dask.array as da
import numpy as np
import pytest
from dask.task_spec import Task

import fastconv
from fastconv import conv3d, conv_transpose3d, expand, fold2d, local_conv2d, pad2d, unfold2d, use_backend
from fastconv._operators import OPERATORS
from fastconv.backends.dask._channels import READS
from fastconv.backends.dask._compute import compute

RNG = np.random.default_rng(3)


@pytest.fixture(autouse=True)
def in_this_thread():
    with dask.config.set(scheduler="synchronous"):
        yield


def no_scheduler(*arguments, **options):
    raise AssertionError("a scheduler was asked")


def floats(*shape):
    return RNG.standard_normal(shape).astype("f4")


def lazily(array, chunks=None):
    return da.from_array(array, chunks=tuple(max(size // 2, 1) for size in array.shape) if chunks is None else chunks)


def same(lazy, expected):
    """The bits, and what the lazy array said of itself before it was computed."""
    assert isinstance(lazy, da.Array)
    assert (lazy.shape, lazy.dtype, lazy._meta.dtype) == (expected.shape, expected.dtype, expected.dtype)
    got = lazy.compute()
    assert (type(got), got.shape, got.dtype) == (np.ndarray, expected.shape, expected.dtype)
    assert got.tobytes() == expected.tobytes()


# --- every function that takes arrays ---------------------------------------------------------------------------------

X, W, B = floats(2, 4, 9, 10), floats(6, 4, 3, 2), floats(6)
X1, W1 = floats(2, 4, 12), floats(6, 4, 3)
X3, W3 = floats(2, 4, 5, 6, 7), floats(6, 4, 3, 2, 3)
Y, Y1, Y3 = fastconv.conv2d(X, W), fastconv.conv1d(X1, W1), fastconv.conv3d(X3, W3)
DIRECT = {"algorithm": "direct"}

CALLS = {  # a function: its arrays, its other arguments, its options
    "conv1d": ((X1, W1, B), (), DIRECT),
    "conv2d": ((X, W, B), (), DIRECT),
    "conv3d": ((X3, W3, B), (), DIRECT),
    "conv_transpose1d": ((Y1, W1), (), DIRECT),
    "conv_transpose2d": ((Y, W), (), DIRECT),
    "conv_transpose3d": ((Y3, W3), (), DIRECT),
    "conv2d_grad_input": ((Y, W), (X.shape,), DIRECT),
    "conv2d_grad_weight": ((X, Y), (W.shape,), DIRECT),
    "conv2d_grad_bias": ((Y,), (), {}),
    "local_conv2d": ((X, expand.local(W, X.shape) * np.float32(0.3), B), (), DIRECT),
    "depthwise_conv2d": ((X, W[:2]), (), DIRECT),
    "filter2d": ((X, W[0, 0]), (), DIRECT | {"data_format": "NCHW"}),
    "correlate2d": ((X[0, 0], W[0, 0]), (), DIRECT),
    "convolve2d": ((X[0, 0], W[0, 0]), (), DIRECT),
    "pad2d": ((X, 3), (), {"padding_mode": "reflect"}),
    "unfold2d": ((X, (3, 2)), (), {}),
    "fold2d": ((unfold2d(X, (3, 2)), (9, 10), (3, 2)), (), {}),
    "conv2d_error_bound": ((X, W), (), DIRECT),
}


def test_every_function_is_called_here():
    views = {"depthwise_conv2d", "filter2d", "correlate2d", "convolve2d", "conv2d_error_bound"}
    own = fastconv.backend_spec("dask").operators
    assert set(own) == {*READS, "conv2d_grad_bias"}
    assert set(CALLS) == {*own, *(name for name, row in OPERATORS.items() if row.case_of in own), *views}


@pytest.mark.parametrize("name", CALLS)
def test_every_function_is_lazy_and_its_names_are_made_of_its_inputs(name):
    """Of Dask arrays alone, and of one beside NumPy's; nothing is computed, and equal calls are one array."""
    arrays, rest, options = CALLS[name]
    function = getattr(fastconv, name)

    def call(*which, change=0):
        given = [lazily(a + change) if isinstance(a, np.ndarray) and i in which else a for i, a in enumerate(arrays)]
        with dask.config.set(scheduler=no_scheduler):
            return function(*given, *rest, **options)

    names = [call(0).name, call(0, 1, 2).name, call(0, change=1).name]
    assert names == [call(0).name, call(0, 1, 2).name, call(0, change=1).name]
    expected = function(*arrays, *rest, **options)
    for which in ((0,), (0, 1, 2)):
        if name in ("conv2d_grad_weight", "conv2d_grad_bias", "conv2d_error_bound"):  # whose bits depend on the chunks
            np.testing.assert_allclose(call(*which).compute(), expected, rtol=1e-3, atol=1e-5)
        else:
            same(call(*which), expected)
    if name != "conv2d_error_bound":
        with use_backend("reference"):
            names.append(
                function(
                    lazily(arrays[0]), *arrays[1:], *rest, **{k: options[k] for k in options if k != "algorithm"}
                ).name
            )
    first = arrays[0]
    names.append(function(lazily(first, -1), *arrays[1:], *rest, **options).name)
    lonely = sum(isinstance(a, np.ndarray) for a in arrays) == 1
    assert len({*names}) == len(names) - lonely


# --- three axes -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", fastconv.PADDING_MODES)
@pytest.mark.parametrize("shape", [(1, 2, 3), (4, 1, 5), (5, 6, 4)])
def test_padding_of_volumes_many_times_wider_than_they_are(mode, shape):
    x, w = floats(1, 2, *shape), floats(3, 2, 2, 3, 2)
    options = DIRECT | {
        "padding": ((7, 3), (2, 9), (0, 11)), "padding_mode": mode, "stride": (1, 2, 3), "dilation": (2, 1, 3)
    }  # fmt: skip
    if mode == "constant":
        options["fill_value"] = 0.25
    y, bias = conv3d(x, w, **options), np.array([1, -2], "f4")
    back = options | {"output_shape": shape, "fill_value": 0}
    x_of_y = conv_transpose3d(y, w, bias, **back)
    for chunks in (-1, (1, 2, 1, 1, 1), (1, 1, 2, 2, 2), (1, 2, -1, 1, -1)):
        same(conv3d(lazily(x, chunks), w, **options), y)
        same(conv_transpose3d(lazily(y, chunks), w, bias, **back), x_of_y)


@pytest.mark.parametrize("axis", range(3))
def test_padding_of_one_axis_alone_is_given_back(axis):
    padding = [(0, 0)] * 3
    padding[axis] = (2, 1)
    grad, w = floats(2, 3, 4, 5, 6), floats(3, 2, 2, 2, 2)
    size = tuple(out + 1 - sum(pads) for out, pads in zip(grad.shape[2:], padding, strict=True))
    options = DIRECT | {"padding": tuple(padding), "padding_mode": "reflect", "output_shape": size}
    same(conv_transpose3d(lazily(grad), w, **options), conv_transpose3d(grad, w, **options))


@pytest.mark.parametrize("size", [1, 2, 3])
@pytest.mark.parametrize("padding", ["same", "same_lower", "full", "valid", ((0, 3), (2, 0), (1, 1))])
def test_chunks_of_volumes_smaller_than_the_halo(size, padding):
    x, w = floats(1, 2, 7, 4, 5), floats(2, 2, 6, 3, 4)
    for mode in ("constant", "reflect"):
        options = DIRECT | {"padding": padding, "padding_mode": mode}
        same(conv3d(lazily(x, (1, 1, size, size, size)), w, **options), conv3d(x, w, **options))
        same(conv3d(lazily(x, (1, 2, size, -1, -1)), w, **options), conv3d(x, w, **options))


@pytest.mark.parametrize("data_format", ["NCDHW", "NDHWC", "NDCHW", "DWHCN", "CDHW", "DHWC"])
@pytest.mark.parametrize("groups", [1, 2, 4])
def test_layouts_and_groups_of_volumes(data_format, groups):
    sizes = dict(zip("NCDHW", (2, 4, 5, 6, 7), strict=True))
    x = floats(*(sizes[letter] for letter in data_format))
    kernel = dict(zip("OIDHW", (8, 4 // groups, 3, 1, 2), strict=True))
    for weight_format in ("OIDHW", "DHWIO"):
        w, bias = floats(*(kernel[letter] for letter in weight_format)), floats(8)
        options = DIRECT | {"data_format": data_format, "weight_format": weight_format, "groups": groups}
        options |= {"stride": (2, 1, 1), "padding": 1, "flip": groups == 2}
        y = conv3d(x, w, bias, **options)
        back = options | {"output_shape": (5, 6, 7)}
        x_of_y = conv_transpose3d(y, w, **back)
        for chunks in (2, 3, (1, 2, 3, 1, 2)[: x.ndim]):
            same(conv3d(lazily(x, chunks), lazily(w), lazily(bias), **options), y)
            same(conv_transpose3d(lazily(y, chunks), lazily(w), **back), x_of_y)


def test_tiles_of_volumes_follow_the_chunks():
    x = da.zeros((2, 4, 30, 40, 60), chunks=((1, 1), 4, (7, 20, 3), (25, 15), 30), dtype="f4")
    assert conv3d(x, np.ones((5, 4, 3, 3, 3), "f4"), padding="same").chunks == (
        (1, 1),
        (5,),
        (7, 20, 3),
        (25, 15),
        (30, 30),
    )
    y = conv3d(x, np.ones((4, 4, 2, 2, 2), "f4"), stride=(1, 2, 2))
    assert conv_transpose3d(y, np.ones((4, 4, 2, 2, 2), "f4"), stride=(1, 2, 2)).shape == x.shape


def test_a_volumes_tile_is_one_task_which_gets_its_chunk_and_of_the_others_what_was_cut():
    x = da.zeros((1, 2, 90, 90, 90), chunks=(1, 2, 30, 30, 30), dtype="f4")
    for mode in fastconv.PADDING_MODES:
        y = conv3d(x, np.ones((1, 2, 3, 3, 3), "f4"), padding="same", padding_mode=mode)
        tasks = {key: task for key, task in y.dask.items() if key[0].startswith("conv3d")}
        assert len(tasks) == 27 + 27, "one a tile, one a chunk"
        for key in itertools.product([y.name], [0], [0], range(3), range(3), range(3)):
            whole = [name for name in tasks[key].dependencies if name[0] == x.name]
            assert whole == [(x.name, *key[1:])], "of the others only what is cut out travels"
            assert max(part.size for part in tasks[key].args[0].parts) >= 28**3
        block = np.zeros((1, 2, 30, 30, 30), "f4")
        halos = [task for key, task in tasks.items() if key[0].startswith("conv3d-halo")]
        assert max(task.func(block, *task.args[1:]).nbytes for task in halos) < 0.75 * block.nbytes


def test_a_slice_of_a_volume_computes_its_tiles_alone():
    loaded = []

    def load(block, block_info=None):
        loaded.append(block_info[0]["chunk-location"])
        return block

    x = da.zeros((1, 1, 50, 50, 50), chunks=(1, 1, 10, 10, 10), dtype="f4")
    x = x.map_blocks(load, dtype="f4", meta=np.empty((0,) * 5, "f4"))
    conv3d(x, np.ones((1, 1, 3, 3, 3), "f4"), padding="same")[0, 0, 25, 42:45, 0].compute()
    assert sorted(loaded) == sorted({(0, 0, d, h, w) for d in (1, 2, 3) for h in (3, 4) for w in (0, 1)})


@pytest.mark.parametrize("shapes", [((0, 2, 4, 5, 6), (3, 2, 2, 2, 2)), ((2, 2, 4, 5, 6), (0, 2, 2, 2, 2))])
def test_no_volumes_or_no_kernels(shapes):
    x, w = (np.ones(shape, "f4") for shape in shapes)
    same(conv3d(lazily(x), w, **DIRECT), conv3d(x, w, **DIRECT))


def test_tasks_of_volumes_are_small():
    x = da.zeros((1, 1, 200, 200, 200), chunks=(1, 1, 50, 50, 50), dtype="f4")
    y = conv3d(x, np.ones((1, 1, 3, 3, 3), "f4"), padding="same", padding_mode="reflect")
    tasks = [task for task in y.dask.values() if isinstance(task, Task)]
    assert len(tasks) > 150
    for task in tasks:
        assert len(pickle.dumps(task)) < 5000


def test_volumes_are_explained():
    x = da.zeros((1, 2, 60, 70, 80), chunks=(1, 2, 30, 35, 80), dtype="f4")
    details = fastconv.explain(x, np.ones((4, 2, 3, 5, 7), "f4"), None, 1, "same", operator="conv3d").details
    assert (details["tiles"], details["largest_tile"]) == ("1 x 1 x 2 x 2 x 1", "1 x 4 x 30 x 35 x 80")
    assert details["halo"] == "2 slices, 4 rows, 6 columns"
    assert details["of_the_largest_tile"]["composed"].startswith("from conv2d")
    assert float(details["pixels_read"].split()[0]) == pytest.approx(62 * 74 / (60 * 70), abs=1e-3)


def test_volumes_of_numpy_are_cut_where_dask_is_selected():
    with dask.config.set({"array.chunk-size": "2 KiB"}):
        for name in ("conv3d", "local_conv2d", "pad2d", "unfold2d", "fold2d"):
            arrays, rest, options = CALLS[name]
            y = getattr(fastconv, name)(*arrays, *rest, **options, backend="dask")
            assert type(y) is np.ndarray
            assert y.tobytes() == getattr(fastconv, name)(*arrays, *rest, **options).tobytes()


# --- windows ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", fastconv.PADDING_MODES)
def test_pixels_of_padding_and_of_windows_are_copied_bit_for_bit(mode):
    """Negative zero, NaN with a payload, bools; through padding wider than the image."""
    x = floats(2, 3, 5, 4)
    x[0, 0, 0] = -0.0
    x[1, 2, 4, 3] = np.array(0x7FC12345, "u4").view("f4")
    for image in (x, x > 0, RNG.integers(-9, 9, x.shape).astype("i1")):
        padded = pad2d(image, ((7, 1), (0, 13)), padding_mode=mode)
        windows = unfold2d(image, (3, 2), stride=(1, 2), dilation=(2, 1), padding=((7, 1), (0, 13)), padding_mode=mode)
        for chunks in (1, (1, 2, 2, 3), (2, 1, 5, 1), -1):
            lazy = lazily(image, chunks)
            same(pad2d(lazy, ((7, 1), (0, 13)), padding_mode=mode), padded)
            options = {"stride": (1, 2), "dilation": (2, 1), "padding": ((7, 1), (0, 13)), "padding_mode": mode}
            same(unfold2d(lazy, (3, 2), **options), windows)


def test_padded_images_keep_their_chunks():
    x = da.zeros((2, 6, 40, 60), chunks=(1, 2, (15, 25), 20), dtype="u1")
    assert pad2d(x, ((3, 1), (0, 2))).chunks == ((1, 1), (2, 2, 2), (18, 26), (20, 20, 22))
    assert unfold2d(x, 3, padding=1).chunks == ((1, 1), (18, 18, 18), (15, 25), (20, 20, 20))
    last = da.zeros((40, 60, 6), chunks=(20, 20, 2), dtype="u1")  # its taps stand before its channels
    assert unfold2d(last, 3, padding=1, data_format="HWC").chunks == ((20, 20), (20, 20, 20), (54,))
    assert fold2d(unfold2d(x, 3, padding=1), (40, 60), 3, padding=1).chunks == x.chunks


@pytest.mark.parametrize("data_format", ["NCHW", "NHWC"])
def test_windows_that_are_many_are_cut_to_what_fits(data_format):
    """81 taps of each channel: whole channels, and of one channel rows."""
    shape = (1, 6, 64, 64) if data_format == "NCHW" else (1, 64, 64, 6)
    x = RNG.integers(0, 9, shape).astype("u1")
    with dask.config.set({"array.chunk-size": "25 KiB"}):
        y = unfold2d(lazily(x, -1), 9, padding=4, data_format=data_format)
        size = dict(zip(data_format, y.chunks, strict=True))
        assert max(size["C"]) == (81 if data_format == "NCHW" else 486)
        assert np.prod([max(sizes) for sizes in y.chunks]) <= 100 * 2**10
        same(y, unfold2d(x, 9, padding=4, data_format=data_format))


@pytest.mark.parametrize("mode", fastconv.PADDING_MODES)
def test_sums_of_windows_are_taken_in_one_order(mode):
    """Floats, with padding from the far end, so that each pixel is the sum of copies in several chunks."""
    for weight_format in ("OIHW", "HWIO"):
        options = {"stride": (1, 2), "dilation": (2, 1), "padding": ((4, 6), (7, 3)), "padding_mode": mode}
        options["weight_format"] = weight_format
        cols = unfold2d(floats(2, 3, 5, 6), (3, 2), **options)
        cols += floats(*cols.shape)
        image = fold2d(cols, (5, 6), (3, 2), **options)
        for chunks in (1, (1, 4, 3, 2), (2, 5, 4, 9), -1):
            same(fold2d(lazily(cols, chunks), (5, 6), (3, 2), **options), image)


# --- kernels of each pixel's own --------------------------------------------------------------------------------------


@pytest.mark.parametrize("weight_format", ["OIHW", "HWIO", "IHOW"])
@pytest.mark.parametrize("groups", [1, 2])
def test_kernels_of_each_pixels_own_in_any_chunks(weight_format, groups):
    x = floats(2, 4, 4, 5)
    sizes = {"O": 6, "I": 4 // groups, "H": 3, "W": 2}
    options = DIRECT | {"padding": ((1, 1), (0, 1)), "groups": groups, "weight_format": weight_format}
    weight = floats(4, 5, *(sizes[letter] for letter in weight_format))
    for bias in (None, floats(6), floats(4, 5, 6)):
        expected = local_conv2d(x, weight, bias, **options)
        for chunks in (-1, (3, 2, 2, 2, 2, 2), (1, 5, 1, 4, 3, 2)):
            kernels = lazily(weight, chunks)
            same(local_conv2d(x, kernels, bias, **options), expected)
            same(
                local_conv2d(lazily(x, (1, 2, 3, 2)), kernels, None if bias is None else lazily(bias), **options),
                expected,
            )
        same(local_conv2d(lazily(x, (2, 1, 1, 2)), weight, bias, **options), expected)


def test_a_bias_of_each_pixels_own_without_channels():
    x, weight, bias = floats(5, 6), floats(3, 5, 3, 2), floats(3, 5)
    for chunks in (-1, 2, (1, 4)):
        y = local_conv2d(lazily(x, chunks), lazily(weight), lazily(bias), **DIRECT)
        same(y, local_conv2d(x, weight, bias, **DIRECT))


def test_tiles_follow_the_kernels_chunks_where_each_pixel_has_its_own():
    """A task has the kernels of its own pixels, which are most of what there is."""
    weight = da.zeros((40, 60, 8, 4, 3, 3), chunks=(10, 30, 4, 4, 3, 3), dtype="f4")
    x = da.zeros((2, 4, 40, 60), chunks=(1, 4, 40, 20), dtype="f4")
    y = local_conv2d(x, weight, padding="same")
    assert y.chunks == ((1, 1), (4, 4), (10, 10, 10, 10), (30, 30))
    assert not [key for key in y.dask if "rechunk" in key[0]]
    y = local_conv2d(x, weight.compute(), padding="same")
    assert y.chunks == ((1, 1), (8,), (40,), (20, 20, 20))
    for task in y.dask.values():
        if isinstance(task, Task) and task.func is compute:
            kernels = [name for name in task.dependencies if name[0].startswith("rechunk")]
            assert len(kernels) == 1, "a slice of what is in memory"


def test_the_same_kernel_everywhere_is_a_lazy_view():
    x, weight = floats(3, 20, 30), floats(4, 3, 5, 3)
    options = {"padding": "same"}
    with dask.config.set(scheduler=no_scheduler):
        everywhere = expand.local(lazily(weight), x.shape, **options)
        y = local_conv2d(lazily(x), everywhere, **options)
    assert everywhere.shape == (20, 30, *weight.shape)
    np.testing.assert_array_equal(everywhere[4, 5].compute(), weight)
    same(y, fastconv.conv2d(x, weight, **options, **DIRECT))
    with pytest.raises(
        TypeError, match=r"^weight must be a NumPy array.* got a dask\.array\.core\.Array; .*compute it"
    ):
        expand.dense(everywhere, x.shape, **options)


@pytest.mark.parametrize("operator", ["conv2d_grad_input", "conv_transpose2d", "conv_transpose3d", "fold2d"])
def test_padding_without_bounds_that_is_given_back_is_refused(operator):
    """It took 24 GB for one pixel of 2**31: each tile lists and computes what is given back to it."""
    axes = 3 if "3d" in operator else 2
    options = {"stride": 2**31, "padding": 2**31, "padding_mode": "wrap", "backend": "dask"}
    operands = (np.ones((1, 1, *(3,) * axes)), *([] if operator == "fold2d" else [np.ones((1, 1, *(1,) * axes))]))
    told = {"conv2d_grad_input": ((1, 1, 1, 1),), "fold2d": ((1, 1), 1)}.get(operator, ())
    if "transpose" in operator:
        options["output_shape"] = (1,) * axes
    with pytest.raises(fastconv.BackendUnsupportedError, match="computes what padding gives back, which is more than"):
        getattr(fastconv, operator)(*operands, *told, **options)
    del options["padding_mode"]
    middle = getattr(fastconv, operator)(*operands, *told, **options)
    assert middle.ravel().tolist() == [1.0]
