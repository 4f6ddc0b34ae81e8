"""Dask arrays: a lazy graph of tiles whose bits are those of the same call on NumPy arrays, for any chunks."""

import itertools
import math
import pickle
import re
import subprocess
import sys
from pathlib import Path

import dask
import dask.array as da
import numpy as np
import pytest
from dask.callbacks import Callback
from dask.task_spec import Task
from hypothesis import given, settings
from hypothesis import strategies as st

import fastconv
from fastconv import BackendSpec, conv2d, explain, plan_conv2d, use_backend
from fastconv._operators import OPERATORS as ROWS
from fastconv.backends import _table
from fastconv.backends.reference import ReferenceBackend
from fastconv.testing import BackendConformance, random_call
from fastconv.testing._operators import SUMS_ALONE, judge_operator, operator_calls

RNG = np.random.default_rng(11)
X = RNG.standard_normal((2, 6, 17, 23)).astype("f4")
W = RNG.standard_normal((8, 6, 3, 5)).astype("f4")
B = RNG.standard_normal(8).astype("f4")


@pytest.fixture(autouse=True)
def in_this_thread():
    with dask.config.set(scheduler="synchronous"):
        yield


def same(lazy, expected):
    """The bits, and what the lazy array said of itself before it was computed."""
    assert isinstance(lazy, da.Array)
    assert (lazy.shape, lazy.dtype) == (expected.shape, expected.dtype)
    assert (type(lazy._meta), lazy._meta.dtype, lazy._meta.ndim) == (np.ndarray, expected.dtype, expected.ndim)
    got = lazy.compute()
    assert (got.shape, got.dtype) == (expected.shape, expected.dtype)
    assert got.tobytes() == expected.tobytes()
    return got


def direct(*arrays, **options):
    return conv2d(*arrays, **options, algorithm="direct")


# --- the same bits ----------------------------------------------------------------------------------------------------


@st.composite
def chunks_of(draw, array):
    """Chunks along every axis: one, a few anywhere, some of them empty, or single elements."""
    chunks = []
    for size in array.shape:
        cuts = draw(st.lists(st.integers(0, size), max_size=5) if size < 40 else st.lists(st.integers(0, size)))
        if draw(st.integers(0, 5)) == 0 and size * math.prod(map(len, chunks)) < 1000:  # 0.1 to 1 ms a task
            cuts = range(1, size)
        chunks.append(tuple(b - a for a, b in itertools.pairwise([0, *sorted(cuts), size])))
    return tuple(chunks)


@settings(derandomize=True, deadline=None, max_examples=120)
@given(st.integers(0, 10**6), st.data())
def test_any_call_in_any_chunks(seed, data):
    call = random_call(seed)
    arrays = [call.x, call.weight, call.bias]
    lazy = [da.from_array(call.x, chunks=data.draw(chunks_of(call.x)))]
    for array in arrays[1:]:
        is_lazy = array is not None and data.draw(st.booleans())
        lazy.append(da.from_array(array, chunks=data.draw(chunks_of(array))) if is_lazy else array)
    if data.draw(st.integers(0, 9)) == 0 and isinstance(lazy[1], da.Array):
        lazy[0] = call.x  # NumPy's image, with Dask's kernels
    same(direct(*lazy, **call.options), direct(*arrays, **call.options))


@pytest.mark.parametrize("mode", fastconv.PADDING_MODES)
@pytest.mark.parametrize("shape", [(1, 1), (2, 5), (5, 2), (7, 9)])
def test_padding_many_times_wider_than_the_image(mode, shape):
    x, w = RNG.standard_normal((1, 2, *shape)).astype("f4"), RNG.standard_normal((3, 2, 3, 2)).astype("f4")
    options = {"padding": ((23, 8), (0, 31)), "padding_mode": mode, "stride": (1, 3), "dilation": (2, 1)}
    if mode == "constant":
        options["fill_value"] = 0.25
    expected = direct(x, w, **options)
    for chunks in [(1, 1), (2, 3), (-1, 1), (3, -1), -1]:
        chunks = chunks if chunks == -1 else (1, 2, *chunks)
        same(direct(da.from_array(x, chunks=chunks), w, **options), expected)


def test_padding_alone_in_a_tile():
    """Tiles that see no pixel, of an image of integers with padding that is none."""
    x, w = RNG.integers(0, 9, (3, 4, 4)).astype("u1"), RNG.standard_normal((2, 3, 2, 2)).astype("f4")
    options = {"padding": 700, "fill_value": 0.5}
    y = direct(da.from_array(x, chunks=(3, 2, 2)), w, **options)
    assert len(y.chunks[1]) > 4
    same(y, direct(x, w, **options))
    options["fill_value"] = np.nan
    same(direct(da.from_array(x, chunks=(3, 2, 2)), w, **options), direct(x, w, **options))


@pytest.mark.parametrize("size", [1, 2, 3, 7])
@pytest.mark.parametrize("mode", ["constant", "wrap", "reflect"])
def test_chunks_smaller_than_the_halo(size, mode):
    w = RNG.standard_normal((2, 6, 9, 11)).astype("f4")
    options = {"padding": "same", "padding_mode": mode}
    x = X[:1, :, :10, :12]
    same(direct(da.from_array(x, chunks=(1, 2, size, size)), w, **options), direct(x, w, **options))


@pytest.mark.parametrize("groups", [2, 3, 6])
def test_groups_in_chunks_that_cut_them(groups):
    w = RNG.standard_normal((12, 6 // groups, 3, 3)).astype("f4")
    bias = RNG.standard_normal(12).astype("f4")
    expected = direct(X, w, bias, groups=groups)
    for channels, outputs in [(1, 12), (6, 1), ((4, 2), (5, 7)), ((1, 5), (1, 2, 4, 5)), (2, (11, 1))]:
        x, weight = da.from_array(X, chunks=(1, channels, 8, 9)), da.from_array(w, chunks=(outputs, 1, 2, 3))
        same(direct(x, weight, da.from_array(bias, chunks=5), groups=groups), expected)


def test_non_finite_values_stay_where_they_belong():
    x = X.copy()
    x[0, 1, 5, 7], x[1, 2, 16, 22], x[1, 0, 0, 0] = np.nan, np.inf, -np.inf
    same(direct(da.from_array(x, chunks=(1, 3, 5, 7)), W, padding=2), direct(x, W, padding=2))


def test_threads_give_the_same_bits():
    x = da.from_array(X, chunks=(1, 3, 4, 5))
    expected = direct(X, W, B, padding=3, padding_mode="reflect")
    with dask.config.set(scheduler="threads", num_workers=8):
        for _ in range(5):
            same(direct(x, W, B, padding=3, padding_mode="reflect"), expected)


def test_auto_is_the_same_from_run_to_run():
    x = da.from_array(X, chunks=(1, 3, 4, 5))
    first, second = (conv2d(x, W, B, padding=1).compute() for _ in "ab")
    assert first.tobytes() == second.tobytes()


# --- other operators --------------------------------------------------------------------------------------------------

OPERATORS = [name for name in fastconv.backend_spec("dask").operators if name != "conv2d"]
SUMS = ("conv2d_grad_weight", "conv2d_grad_bias")  # of what tiles give, so their bits depend on the chunks


@pytest.mark.parametrize("operator", OPERATORS)
@settings(derandomize=True, deadline=None, max_examples=40)
@given(seed=st.integers(0, 10**6), data=st.data())
def test_any_operator_in_any_chunks(operator, seed, data):
    call = next(operator_calls(operator, [seed]), None)
    if call is None:
        return
    lazy = [da.from_array(call.operands[0], chunks=data.draw(chunks_of(call.operands[0])))]
    for array in call.operands[1:]:
        is_lazy = array is not None and data.draw(st.booleans())
        lazy.append(da.from_array(array, chunks=data.draw(chunks_of(array))) if is_lazy else array)
    if data.draw(st.integers(0, 9)) == 0 and any(isinstance(array, da.Array) for array in lazy[1:]):
        lazy[0] = call.operands[0]
    options = {} if operator in SUMS_ALONE else {"algorithm": "direct"}
    expected, result = call.run("cpu", **options), call._replace(operands=tuple(lazy)).run(**options)
    if operator not in SUMS or expected.dtype.kind in "iu" or call.of.exact:
        same(result, expected)
    else:
        assert (result.shape, result.dtype, result._meta.dtype) == (expected.shape, expected.dtype, expected.dtype)
        judge_operator(call, result.compute())


@pytest.mark.parametrize("mode", fastconv.PADDING_MODES)
@pytest.mark.parametrize("stride", [1, 2, (3, 4)])
def test_padding_is_given_back_across_chunks(mode, stride):
    """Through padding wider than the image, from the far end of it too, and beside kernels that leave gaps."""
    weight = RNG.standard_normal((3, 2, 3, 2)).astype("f4")
    for shape, padding in (((7, 9), ((5, 2), (0, 3))), ((2, 5), ((7, 3), (4, 11))), ((11, 10), 0)):
        options = {"stride": stride, "padding": padding, "dilation": (1, 2), "padding_mode": mode}
        out = fastconv.conv2d_output_shape((2, 2, *shape), weight.shape, stride, padding, (1, 2))
        grad, bias = RNG.standard_normal(out).astype("f4"), np.array([1, -2], "f4")
        image = {**options, "output_shape": shape}
        expected = fastconv.conv2d_grad_input(grad, weight, (2, 2, *shape), **options, algorithm="direct")
        transposed = fastconv.conv_transpose2d(grad, weight, bias, **image, algorithm="direct")
        for chunks in (-1, (1, 2, 2, 3), (2, 1, 1, 1)):
            lazy = da.from_array(grad, chunks=chunks)
            same(
                fastconv.conv2d_grad_input(lazy, weight, (2, 2, *shape), **options, algorithm="direct"),
                expected,
            )
            same(fastconv.conv_transpose2d(lazy, weight, bias, **image, algorithm="direct"), transposed)


@pytest.mark.parametrize("groups", [1, 2, 3])
def test_channels_of_adjoints_in_chunks(groups):
    grad, weight = RNG.standard_normal((1, 6, 9, 8)), RNG.standard_normal((6, 4, 3, 3))
    expected = fastconv.conv2d_grad_input(grad, weight, (1, 4 * groups, 9, 8), 1, 1, 1, groups, algorithm="direct")
    for channels, inputs in ((6, 4), (1, 1), ((2, 4), (1, 3)), (4, 2)):
        lazy, kernels = da.from_array(grad, chunks=(1, channels, 4, 5)), da.from_array(weight, chunks=(5, inputs, 2, 3))
        same(fastconv.conv2d_grad_input(lazy, kernels, expected.shape, 1, 1, 1, groups, algorithm="direct"), expected)
    lazy = da.from_array(grad, chunks=(1, 1, 4, 5))
    with dask.config.set({"array.chunk-size": "20 B"}):  # so that tiles are cut along channels
        y = fastconv.conv2d_grad_input(lazy, weight, expected.shape, 1, 1, 1, groups, algorithm="direct")
        assert len(y.chunks[1]) == (groups if groups > 1 else 4)
        same(y, expected)


def gradients_of(x, weight, grad):
    """The gradients of conv2d(x, weight, padding=1), and the transposed convolution of its result."""
    yield fastconv.conv2d_grad_input(grad, weight, x.shape, padding=1)
    yield fastconv.conv2d_grad_input(grad, weight, x.shape, padding=1, padding_mode="wrap")
    yield fastconv.conv2d_grad_weight(x, grad, weight.shape, padding=1)
    yield fastconv.conv2d_grad_bias(grad)
    yield fastconv.conv_transpose2d(grad, weight, padding=1)


def test_gradients_are_not_computed_while_their_graph_is_built_and_have_names_made_of_the_inputs():
    def no_scheduler(*arguments, **options):
        raise AssertionError("a scheduler was asked")

    x, grad, w = explosive(), explosive((1, 6, 40, 60), (1, 3, 20, 20)), explosive((6, 4, 3, 3), (3, 2, 3, 3))
    with dask.config.set(scheduler=no_scheduler):
        lazy = list(gradients_of(x, w, grad))
    for result in lazy:
        with pytest.raises(AssertionError, match="computed"):
            result.compute()
    arrays = da.from_array(X, chunks=(1, 6, 9, 9)), RNG.standard_normal((4, 6, 3, 3)).astype("f4")
    grad = da.from_array(RNG.standard_normal((2, 4, 17, 23)).astype("f4"), chunks=(2, 2, 9, 9))
    names = [result.name for result in gradients_of(*arrays, grad)]
    assert names == [result.name for result in gradients_of(*arrays, grad)]
    with use_backend("reference"):
        others = [result.name for result in gradients_of(*arrays, grad)]
    others += [result.name for result in gradients_of(*arrays, grad + 1)]
    assert len({*names, *others}) == len(names) + len(others)


def test_gradients_are_lazy_all_the_way():
    """Forward and back: the chunks of each are those of the one before, so that nothing is put together."""
    x = da.from_array(RNG.standard_normal((1, 6, 80, 120)).astype("f4"), chunks=(1, 6, 20, 40))
    y = conv2d(x, W, padding="same")
    dx = fastconv.conv2d_grad_input(y, W, x.shape, padding="same")
    dw = fastconv.conv2d_grad_weight(x, y, W.shape, padding="same")
    assert dx.chunks == x.chunks
    for lazy in (dx, dw, fastconv.conv2d_grad_bias(y)):
        assert not [key for key in lazy.dask if "rechunk" in key[0]]
    with dask.config.set(scheduler="threads", num_workers=4):
        bits = {dask.compute(dx, dw)[1].tobytes() for _ in range(4)}
    assert bits == {dw.compute().tobytes()}


def test_partial_sums_of_narrow_floats_are_rounded_once():
    x, grad = np.ones((1, 1, 1, 4097), np.float16), np.ones((1, 1, 1, 4097), np.float16)
    x[..., 1], grad[..., 0] = 3, 0
    expected = fastconv.conv2d_grad_weight(x, grad, (1, 1, 1, 1), algorithm="direct")
    lazy = da.from_array(x, chunks=(1, 1, 1, 100)), da.from_array(grad, chunks=(1, 1, 1, 64))
    same(fastconv.conv2d_grad_weight(*lazy, (1, 1, 1, 1), algorithm="direct"), expected)
    same(fastconv.conv2d_grad_bias(lazy[1]), fastconv.conv2d_grad_bias(grad))
    assert fastconv.conv2d_grad_bias(lazy[1]).compute() == [4096]


def test_many_partial_sums_are_added_in_few_tasks():
    x = da.ones((1, 1, 400, 10), chunks=(1, 1, 1, 10), dtype="i8")
    dw = fastconv.conv2d_grad_weight(x, x, (1, 1, 3, 1), padding=((1, 1), (0, 0)))
    adding = [task for key, task in dw.dask.items() if key[0].startswith(("conv2d_grad_weight-sum", dw.name))]
    assert len(adding) == 25 + 2 + 1
    assert max(len(task.dependencies) for task in adding) == 16
    assert dw.compute().ravel().tolist() == [3990, 4000, 3990]


@pytest.mark.parametrize("operator", OPERATORS)
def test_an_operator_says_that_it_is_its_own(operator):
    assert fastconv.backends(operator=operator)["dask"] == "usable"
    call = next(operator_calls(operator, [6]))
    report = call.explain("dask")
    assert report.candidates["dask"] == "chosen"
    assert report.details["inner_backend"] == "cpu"
    lazy = call._replace(operands=tuple(a if a is None else da.from_array(a, chunks=2) for a in call.operands))
    details = lazy.explain(None).details
    assert details["chunks"] == f"those of {ROWS[operator].operands[0]}"
    assert ("of_the_largest_tile" in details) == (operator != "conv2d_grad_bias")
    with pytest.raises(TypeError, match="out must be None for dask arrays"):
        lazy.run(out=lazy.run())
    with pytest.raises(TypeError, match="out must"):
        lazy.run(out=call.run("cpu"))
    with use_backend("reference"):
        assert lazy.explain(None).details["inner_backend"] == "reference"
        judge_operator(call, lazy.run().compute())


@pytest.mark.parametrize("operator", OPERATORS)
def test_operators_of_arrays_of_no_known_library_in_the_chunks_are_refused(operator):
    call = next(operator_calls(operator, [6]))
    first = call.operands[0]
    masked = da.from_array(np.ma.masked_array(first, first > 0), asarray=False)
    with pytest.raises(TypeError, match=rf"^{ROWS[operator].operands[0]} is a dask array of numpy\.ma\..*MaskedArray"):
        call._replace(operands=(masked, *call.operands[1:])).run()


# --- the graph --------------------------------------------------------------------------------------------------------


def explosive(shape=(1, 4, 40, 60), chunks=(1, 2, 10, 15)):
    """A Dask array that can't be computed."""

    def fail(block):
        raise AssertionError("computed")

    return da.zeros(shape, chunks=chunks, dtype="f4").map_blocks(fail, dtype="f4", meta=np.empty((0,) * 4, "f4"))


def test_nothing_is_computed_while_the_graph_is_built():
    def no_scheduler(*arguments, **options):
        raise AssertionError("a scheduler was asked")

    x, w = explosive(), explosive((6, 4, 3, 3), (3, 2, 3, 3))
    with dask.config.set(scheduler=no_scheduler):
        for mode in fastconv.PADDING_MODES:
            y = conv2d(x, w, padding=70, padding_mode=mode, stride=2)
            z = conv2d(y, np.ones((2, 6, 5, 5), "f4"))
            str(explain(x, w, padding=70, padding_mode=mode))
        plan = plan_conv2d(w, padding=1)
        plan(x)
        str(plan)
    for lazy in (y, z):
        with pytest.raises(AssertionError, match="computed"):
            lazy.compute()


def test_names_are_made_of_the_inputs():
    def name(x=X, w=W, b=None, chunks=(1, 6, 9, 9), **options):
        x = da.from_array(x, chunks=chunks)
        return conv2d(x, w, b, **options).name

    assert name() == name()
    assert name(b=B) == name(b=B)
    assert name(fill_value=np.nan, padding=1) == name(fill_value=float("nan"), padding=1)
    with use_backend("reference"):
        reference = name()
    different = [
        name(), name(x=X + 1), name(w=W + 1), name(b=B), name(b=B + 1), name(chunks=(2, 6, 9, 9)), name(stride=2),
        name(padding=1), name(padding=1, padding_mode="wrap"), name(padding=1, fill_value=1), name(dilation=2),
        name(flip=True), name(dtype="f8"), name(algorithm="direct"), name(num_threads=2), reference,
        name(w=da.from_array(W, chunks=(4, -1, -1, -1))),
    ]  # fmt: skip
    assert len(set(different)) == len(different)


def test_tasks_can_be_pickled_and_are_small():
    x = da.zeros((1, 1, 4000, 4000), chunks=(1, 1, 500, 500), dtype="f4")
    y = conv2d(x, np.ones((1, 1, 3, 3), "f4"), padding="same", padding_mode="reflect")
    tasks = [task for task in y.dask.values() if isinstance(task, Task)]
    assert len(tasks) > 150
    for task in tasks:
        assert len(pickle.dumps(task)) < 5000


def test_tiles_follow_the_chunks():
    x = da.zeros((3, 4, 40, 60), chunks=((2, 1), (3, 1), (7, 20, 13), (30, 30)), dtype="f4")
    y = conv2d(x, np.ones((5, 4, 3, 3), "f4"), padding="same")
    assert y.chunks == ((2, 1), (5,), (7, 20, 13), (30, 30))
    y = conv2d(x, np.ones((5, 4, 3, 3), "f4"), stride=2, padding=1)
    assert y.chunks == ((2, 1), (5,), (4, 10, 6), (15, 15))
    y = conv2d(x, da.ones((5, 4, 3, 3), chunks=((2, 3), 4, 1, 1), dtype="f4"), padding="same")
    assert y.chunks[1] == (2, 3)
    y = conv2d(x, np.ones((8, 1, 1, 1), "f4"), groups=4)
    assert y.chunks[1] == (6, 2)


def test_a_tile_is_not_much_larger_than_the_chunks():
    x = da.zeros((1, 3, 2048, 2048), chunks=(1, 3, 1024, 1024), dtype="f4")
    assert conv2d(x, np.ones((16, 3, 3, 3), "f4"), padding="same").chunks[1] == (16,)
    y = conv2d(x, np.ones((512, 3, 3, 3), "f4"), padding="same")
    assert max(np.prod([max(sizes) for sizes in y.chunks]) * 4, 0) <= 512 * 2**20
    with dask.config.set({"array.chunk-size": "1 MiB"}):
        assert max(conv2d(x, np.ones((512, 3, 3, 3), "f4"), padding="same").chunks[1]) == 3  # as large as x's chunks
    y = conv2d(x[:, :, :100, :100], np.ones((1, 3, 1, 1), "f4"), padding=3000)
    assert max(y.chunks[2]) <= 384


def test_a_slice_computes_its_tiles_alone():
    computed = []

    def load(block, block_info=None):
        computed.append(block_info[0]["chunk-location"])
        return block

    meta = np.empty((0,) * 4, "f4")
    x = da.zeros((1, 1, 80, 80), chunks=(1, 1, 10, 10), dtype="f4").map_blocks(load, dtype="f4", meta=meta)
    conv2d(x, np.ones((1, 1, 3, 3), "f4"), padding="same")[:, :, 25:28, 75].compute()
    assert {(h, w) for _, _, h, w in computed} == {(h, w) for h in (1, 2, 3) for w in (6, 7)}
    assert len(computed) == len(set(computed)), "each chunk is loaded once"


def test_chunks_are_used_in_place():
    """No task gets a copy of a whole chunk: what is cut is the halo."""
    x = da.from_array(RNG.standard_normal((1, 2, 300, 300)).astype("f4"), chunks=(1, 2, 100, 100))
    for mode in fastconv.PADDING_MODES:
        y = conv2d(x, np.ones((1, 2, 5, 5), "f4"), padding="same", padding_mode=mode)
        halos = [task for key, task in y.dask.items() if key[0].startswith("conv2d-halo")]
        assert len(halos) == 9, "one task a chunk"
        for task in halos:
            assert task.func(x.blocks[0, 0, 0, 0].compute(), *task.args[1:]).nbytes < 0.25 * 80_000


def test_a_tile_is_one_task_which_gets_its_chunk_and_of_the_others_what_was_cut():
    """A task costs a scheduler and a worker a millisecond each."""
    x = da.zeros((1, 2, 300, 300), chunks=(1, 2, 100, 100), dtype="f4")
    for mode in fastconv.PADDING_MODES:
        y = conv2d(x, np.ones((4, 2, 5, 5), "f4"), padding="same", padding_mode=mode)
        tasks = {key: task for key, task in y.dask.items() if key[0].startswith("conv2d")}
        assert len(tasks) == 9 + 9, "one a tile, one a chunk"
        for key in itertools.product([y.name], [0], [0], range(3), range(3)):
            task = tasks[key]
            whole = [name for name in task.dependencies if name[0] == x.name]
            assert whole == [(x.name, *key[1:])], "and kernels are little: who has the chunk has what is large"
            assert all(name in tasks for name in task.dependencies - set(whole))
            sizes = [part.problem.oh * part.problem.ow for part in task.args[0].parts]
            assert max(sizes) >= 0.9 * 100 * 100, "most of it is computed from the chunk where it lies"


def test_little_kernels_travel_with_tasks():
    """As an input they would draw tiles to the worker that has them. Larger ones are an input, and sent once."""
    x, bias = da.from_array(RNG.standard_normal((1, 1, 60, 60)), chunks=(1, 1, 30, 30)), np.array([0.5])
    for side, inputs in ((5, 0), (23, 1)):
        w = RNG.standard_normal((1, 1, side, side))
        y = conv2d(x, w, bias, padding="same", algorithm="direct")
        tasks = [task for key, task in y.dask.items() if key[0] == y.name]
        made = ("conv2d-", x.name)
        kernels = {key for task in tasks for key in task.dependencies if not key[0].startswith(made)}
        assert len(kernels) == inputs
        expected = direct(x.compute(), w, bias, padding="same")
        if not inputs:
            w[...] = 0  # what tasks have is a copy
        same(y, expected)


# --- who computes the tiles -------------------------------------------------------------------------------------------


class Recorder(ReferenceBackend):
    """A backend that tells what it was asked for."""

    calls = ()

    def plan(self, problem):
        right = super().plan(problem)

        def run(x, weight, bias, out, num_threads):
            Recorder.calls += ((problem, num_threads),)
            return right(x, weight, bias, out, num_threads)

        return run


@pytest.fixture
def recorder(monkeypatch):
    monkeypatch.setattr(_table, "_registered", {})
    monkeypatch.setattr(Recorder, "calls", ())
    fastconv.register_backend(BackendSpec("recorder", Recorder))
    yield Recorder
    _table._loaded.pop("recorder", None)


def test_the_inner_backend_is_fixed_when_the_graph_is_built(recorder):
    x = da.from_array(X, chunks=(1, 6, 9, 9))
    y = conv2d(x, W)
    with use_backend("recorder"):
        z = conv2d(x, W)
        y.compute()
    assert not recorder.calls
    z.compute()
    assert len(recorder.calls) > 8
    assert {threads for _, threads in recorder.calls} == {1}
    recorder.calls = ()
    with use_backend(("dask", "recorder")):
        conv2d(x, W, num_threads=3).compute()
    assert {threads for _, threads in recorder.calls} == {3}


def test_what_the_inner_backend_cannot_do_is_said_when_the_graph_is_built():
    x = da.from_array(X, chunks=(1, 6, 9, 9))
    with pytest.raises(fastconv.BackendUnsupportedError, match="cpu, which computes its tiles: algorithm 'depthwise'"):
        conv2d(x, W, algorithm="depthwise")
    with pytest.raises(ValueError, match="algorithm must be one of auto, direct"):
        conv2d(x, W, algorithm="fastest")
    with use_backend("reference"), pytest.raises(ValueError, match="algorithm must be one of auto with"):
        conv2d(x, W, algorithm="direct")


class Device(np.ndarray):
    """What a GPU's array is to Dask: another type in the chunks, with NumPy's functions."""


class DeviceBackend(ReferenceBackend):
    def plan(self, problem):
        right = super().plan(problem)

        def run(x, weight, bias, out, num_threads):
            out = np.empty(problem.out_shape, problem.dtype).view(Device) if out is None else out
            assert type(x) is type(out) is Device
            weight = None if weight is None else np.asarray(weight)
            right(np.asarray(x), weight, bias, np.asarray(out), num_threads)
            return out

        return run


def test_arrays_of_other_libraries_in_the_chunks_go_to_their_backend(recorder):
    fastconv.register_backend(
        BackendSpec("device", DeviceBackend, owns=(f"{__name__}:Device",), operators=("conv2d", *OPERATORS))
    )
    sys.modules.setdefault(__name__, sys.modules[Device.__module__])
    try:
        x = da.from_array(X, chunks=(1, 3, 9, 9)).map_blocks(lambda block: block.view(Device), meta=X[:0].view(Device))
        report = explain(x, W, B, padding=30, padding_mode="wrap")
        assert (report.details["inner_backend"], report.details["inner_backend_from"]) == ("device", "the type of x")
        for mode in ("constant", "wrap"):
            y = conv2d(x[:1, :2], W[:2, :2], padding=300, padding_mode=mode)
            assert type(y._meta) is Device
            got = y.compute()
            expected = conv2d(X[:1, :2], W[:2, :2], padding=300, padding_mode=mode, backend="reference")
            assert got.tobytes() == expected.tobytes()
        for operator in OPERATORS:
            call = next(operator_calls(operator, [6]))
            first, *others = call.operands
            lazy = da.from_array(first, chunks=3).map_blocks(
                lambda block: block.view(Device), meta=first[:0].view(Device)
            )
            y = call._replace(operands=(lazy, *others)).run()
            assert type(y._meta) is Device
            judge_operator(call, np.asarray(y.compute()))
        with pytest.raises(TypeError, match="the bound is computed of NumPy's arrays alone"):
            fastconv.conv2d_error_bound(x, W)
    finally:
        _table._loaded.pop("device", None)


@pytest.mark.parametrize("where", ["x", "weight", "bias"])
def test_masked_arrays_in_the_chunks_are_refused(where):
    arrays = {"x": X, "weight": W, "bias": B}
    masked = np.ma.masked_array(arrays[where], arrays[where] > 0)
    arrays["x"] = da.from_array(X)
    arrays[where] = da.from_array(masked, asarray=False)
    with pytest.raises(
        TypeError, match=rf"^{where} is a dask array of numpy\.ma\..*MaskedArray, which no backend takes"
    ):
        conv2d(**arrays)


def test_matrices_in_the_chunks_are_refused_and_other_subclasses_are_taken_as_arrays():
    class Subclass(np.ndarray):
        pass

    image, kernel = X[0, 0], W[0, 0]
    with pytest.warns(PendingDeprecationWarning):
        matrix = da.from_array(np.asmatrix(image), asarray=False)
    with pytest.raises(TypeError, match=r"^x is a dask array of numpy\.\S*matrix, which no backend takes"):
        conv2d(matrix, kernel)
    y = conv2d(da.from_array(image.view(Subclass), chunks=9, asarray=False), kernel, algorithm="direct")
    same(y, direct(image, kernel))
    assert type(y.blocks[0, 0].compute()) is np.ndarray


def test_chunks_that_are_not_what_they_say():
    x = da.from_array(X, chunks=(1, 6, 17, 23)).map_blocks(lambda block: block[..., :1], dtype="f4", meta=X[:0])
    said = r"a chunk has shape \(1, 6, 17, 1\), but `chunks` of its array says \(1, 6, 17, 23\)"
    with pytest.raises(ValueError, match=said):
        conv2d(x, W).compute()


def test_chunks_of_unknown_size():
    x, w, b = (da.from_array(array, chunks=2) for array in (X, W, B))
    for name, arrays in {
        "x": (x[:, :, x[0, 0, :, 0] > 0], W),
        "weight": (X, w[w[:, 0, 0, 0] < np.inf]),
        "bias": (X, W, b[b < np.inf]),
    }.items():
        with pytest.raises(
            ValueError, match=rf"{name} has sizes that are not known yet, .* {name}\.compute_chunk_sizes"
        ):
            conv2d(*arrays)
    known = w[w[:, 0, 0, 0] < np.inf].compute_chunk_sizes()
    same(conv2d(x, known, algorithm="direct"), direct(X, W))


# --- the public functions ---------------------------------------------------------------------------------------------


def test_out_is_refused():
    x = da.from_array(X, chunks=(1, 6, 9, 9))
    y = conv2d(x, W)
    with pytest.raises(TypeError, match="out must be None for dask arrays"):
        conv2d(x, W, out=y)
    with pytest.raises(TypeError, match="out must"):
        conv2d(x, W, out=np.empty(y.shape, y.dtype))
    with pytest.raises(TypeError, match="out must be None for dask arrays"):
        conv2d(X, W, out=y)


def test_selected_for_numpy_arrays_it_computes():
    y = conv2d(X, W, B, backend="dask", algorithm="direct")
    assert type(y) is np.ndarray
    assert y.tobytes() == direct(X, W, B).tobytes()
    out = np.empty_like(y)
    with use_backend("dask"):
        assert conv2d(X, W, B, out=out) is out
    assert explain(X, W, backend="dask").details["inner_backend"] == "cpu"
    assert out.tobytes() == y.tobytes()


def test_other_backends_do_not_take_dask_arrays():
    with pytest.raises(fastconv.BackendUnsupportedError, match=r"'cpu' takes numpy\.ndarray, but x is a dask"):
        conv2d(da.from_array(X), W, backend="cpu")


def test_plans():
    x = da.from_array(X, chunks=(1, 6, 9, 9))
    plan = plan_conv2d(W, B, padding=1, algorithm="direct")
    expected = direct(X, W, B, padding=1)
    same(plan(x), expected)
    assert plan(X).tobytes() == expected.tobytes()
    assert plan(x).name == plan(x).name == pickle.loads(pickle.dumps(plan))(x).name
    assert "backend: dask (from the type of x)" in str(plan)
    with pytest.raises(TypeError, match="out must be None for dask arrays"):
        plan(x, out=plan(x))
    lazy = plan_conv2d(da.from_array(W, chunks=(4, 3, 3, 5)), B, padding=1, algorithm="direct")
    same(lazy(x), expected)
    same(lazy(X), expected)


def test_explain_says_tiles_halo_and_who_computes_them():
    x = da.zeros((2, 8, 3000, 4000), chunks=(1, 4, 1000, 1500), dtype="f4")
    report = explain(x, np.ones((4, 8, 5, 7), "f4"), stride=2, padding="same")
    assert (report.backend, report.source) == ("dask", "the type of x")
    details = report.details
    assert details["tiles"] == "2 x 1 x 3 x 3"
    assert details["largest_tile"] == "1 x 4 x 500 x 750"
    assert details["halo"] == "4 rows, 6 columns"
    assert details["inner_backend"] == "cpu"
    assert details["threads"] == 1
    assert details["of_the_largest_tile"]["algorithm"] == "direct"
    assert "advice" not in details
    for words in ("chunks: those of x", "tiles: 2 x 1 x 3 x 3", "inner_backend: cpu"):
        assert words in str(report)
    small = da.zeros((1, 8, 100, 100), chunks=(1, 8, 10, 10), dtype="f4")
    assert "rechunk" in explain(small, np.ones((4, 8, 5, 5), "f4")).details["advice"]
    with use_backend("reference"):
        inner = explain(x, np.ones((4, 8, 5, 7), "f4")).details
        assert (inner["inner_backend"], inner["inner_backend_from"]) == ("reference", "use_backend")
    assert report.to_dict()["details"] == details


def test_trace_tells_of_lazy_calls_and_not_of_tiles():
    x = da.from_array(X, chunks=(1, 6, 9, 9))
    with fastconv.trace() as calls:
        y = conv2d(x, W)
        plan_conv2d(W)(x)
        y.compute()
    assert [(call.backend, call.details["chunks"]) for call in calls] == [("dask", "those of x")] * 2


@pytest.mark.parametrize("algorithm", ["auto", "direct"])
def test_error_bound_is_that_of_what_computes_each_tile(algorithm):
    x, w = RNG.standard_normal((1, 16, 64, 64)).astype("f4"), RNG.standard_normal((32, 16, 3, 3)).astype("f4")
    exact = conv2d(x.astype("f8"), w.astype("f8"), padding=1, algorithm="direct")
    lazy = da.from_array(x, chunks=(1, 16, 32, 20))
    bound = fastconv.conv2d_error_bound(lazy, w, padding=1, algorithm=algorithm)
    y = conv2d(lazy, w, padding=1, algorithm=algorithm)
    assert (bound.chunks, bound.dtype) == (y.chunks, np.float64)
    assert bound.name == fastconv.conv2d_error_bound(lazy, w, padding=1, algorithm=algorithm).name != y.name
    assert (np.abs(y.compute() - exact) <= bound.compute()).all()
    if algorithm == "direct":
        whole = fastconv.conv2d_error_bound(x, w, padding=1, algorithm="direct")
        np.testing.assert_allclose(bound.compute(), whole, rtol=1e-12)
        of_numpy = fastconv.conv2d_error_bound(x, w, padding=1, algorithm="direct", backend="dask")
        np.testing.assert_array_equal(of_numpy, whole)
        assert type(of_numpy) is np.ndarray
    plan = plan_conv2d(w, padding=1, algorithm=algorithm)
    np.testing.assert_array_equal(plan.error_bound(lazy).compute(), bound.compute())


def test_error_bound_reaches_as_far_as_the_tiles_do():
    """Products of spectra mix pixels of a tile, which may be taller in a chunk than in the whole image."""
    x, w = np.zeros((1, 1, 1000, 1000), "f4"), RNG.standard_normal((1, 1, 9, 9)).astype("f4")
    x[:, :, 300] = 1e6  # a row whose errors reach some hundred rows further
    lazy = da.from_array(x, chunks=(1, 1, 512, 512))
    bound = fastconv.conv2d_error_bound(lazy, w, algorithm="fft").compute()
    y = conv2d(lazy, w, algorithm="fft").compute()
    exact = conv2d(x.astype("f8"), w.astype("f8"), algorithm="direct")
    assert (np.abs(y - exact) <= bound).all()
    far = np.abs(y - exact)[0, 0, :292].max(axis=1).nonzero()[0]
    assert far.size
    assert 292 - far[0] > 247, "further than the tiles of the whole image"


def test_error_bound_computes_no_dask_array():
    x, w = np.ones((1, 4, 9, 9)), np.ones((1, 4, 3, 3))
    for name, arrays in (("x", (explosive(), w)), ("weight", (x, explosive((6, 4, 3, 3))))):
        assert isinstance(fastconv.conv2d_error_bound(*arrays), da.Array)
        with pytest.raises(TypeError, match=rf"^{name} must be a NumPy array, .* got a dask\.array\.core\.Array; "):
            fastconv.conv2d_error_bound(*arrays, backend="cpu")


@pytest.mark.parametrize("form", ["npy", "zarr"])
def test_the_example_filters_an_image_from_disk_to_disk(form):
    if form == "zarr":
        pytest.importorskip("zarr")
    example = Path(__file__).parent.parent / "examples/large_image.py"
    command = [sys.executable, "-W", "error", example, "--size", "500", "--rows", "60", "--check", "--format", form]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=120)
    assert "the same bits as one call: True" in done.stdout
    assert re.search(r"peak memory of this process: \d+ MiB", done.stdout)
    assert "100% Completed" in done.stdout


def test_xarray_users_get_it_through_apply_ufunc():
    xarray = pytest.importorskip("xarray")
    array = xarray.DataArray(da.from_array(X, chunks=(1, 6, 9, 9)), dims=("time", "band", "y", "x"))
    y = xarray.apply_ufunc(
        conv2d,
        array,
        kwargs={"weight": W, "padding": "same", "algorithm": "direct"},
        input_core_dims=[["band", "y", "x"]],
        output_core_dims=[["band", "y", "x"]],
        exclude_dims={"band"},
        dask="allowed",
    )
    assert y.dims == ("time", "band", "y", "x")
    same(y.data, direct(X, W, padding="same"))


def test_dask_is_not_imported_by_fastconv_or_by_a_call_on_numpy_arrays():
    code = """
        import sys, numpy as np, fastconv
        image, kernel = np.ones((9, 9)), np.ones((3, 3))
        fastconv.conv2d(image, kernel)
        fastconv.plan_conv2d(kernel)(image)
        fastconv.explain(image, kernel)
        fastconv.conv2d(image, kernel, backend="reference")
        with fastconv.use_backend("cpu"):
            fastconv.conv2d(image, kernel)
        print([name for name in sys.modules if name.split(".")[0] in ("dask", "distributed")])
    """
    lines = "\n".join(line.strip() if not line.startswith(" " * 12) else line[8:] for line in code.splitlines())
    done = subprocess.run([sys.executable, "-P", "-c", lines], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


class TestDask(BackendConformance):
    """The conformance kit, on NumPy's arrays and on Dask's, both in small chunks."""

    backend = "dask"
    may_call = ("cpu",)
    least_share = 1.0
    problems = 60

    @pytest.fixture(autouse=True)
    def small_chunks(self):
        with dask.config.set({"array.chunk-size": "4 KiB"}):
            yield

    def make_array(self, array):
        return da.from_array(array, chunks=tuple(max(size // 2, 1) for size in array.shape))

    def to_numpy(self, array):
        return array.compute()


def test_tasks_leave_their_inputs_alone():
    """Which Dask asks for; and what came from another process may be read-only."""
    frozen = []

    def freeze(key, result, *_):
        if isinstance(result, np.ndarray):
            result.flags.writeable = False
            frozen.append(key)

    x, weight = np.arange(400.0).reshape(20, 20), np.arange(9.0).reshape(3, 3)
    x.flags.writeable = False  # and so its chunks
    with Callback(posttask=freeze):
        y = conv2d(da.from_array(x, chunks=10), weight, padding=1).compute(scheduler="sync")
    assert sum("halo" in key[0] for key in frozen) == 4
    assert y.tobytes() == conv2d(x, weight, padding=1, algorithm="direct").tobytes()
