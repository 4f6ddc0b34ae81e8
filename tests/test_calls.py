"""The memory of whole calls: what is remembered gives the same result, and nothing gets past the checks through it."""

import concurrent.futures
import ctypes
import functools
import sys
import tracemalloc
import weakref

import numpy as np
import pytest
from numpy._core import _multiarray_umath
from numpy._core.multiarray import get_handler_name

import fastconv
from fastconv import _api, conv2d, plan_conv2d
from fastconv.testing import random_call

X, W, B = np.arange(36, dtype="f4").reshape(1, 1, 6, 6), np.ones((2, 1, 2, 2), "f4"), np.ones(2, "f4")


@pytest.fixture
def remembered(monkeypatch):
    """A call in memory, and a spy that counts how many calls are answered from it."""
    conv2d(X, W, B)
    conv2d(X, W, B, 1, 1)
    hits = []
    calls = _api._calls

    class Spy:
        add = calls.add

        def run(self, *arguments):
            result = calls.run(*arguments)
            hits.append(result is not None)
            return result

    monkeypatch.setattr(_api, "_calls", Spy())
    return hits


def test_the_same_call_is_answered_from_memory_with_the_same_bits(remembered):
    for seed in range(400):
        call = random_call(seed)
        first, second = (conv2d(call.x, call.weight, call.bias, **call.options) for _ in range(2))
        assert first.tobytes() == second.tobytes()
        assert (first.shape, first.dtype) == (second.shape, second.dtype)
    conv2d(X, W, B)
    assert remembered[-1]
    assert sum(remembered) > 40


@pytest.mark.parametrize(
    "changes",
    [
        {"stride": True},
        {"stride": 1.0},
        {"stride": np.bool_(True)},
        {"stride": (1, True)},
        {"padding": False},
        {"padding": ((0, 0), (0, False))},
        {"dilation": 1.0},
        {"groups": True},
        {"groups": 1.0},
        {"flip": 0},
        {"fill_value": None},
        {"data_format": 5},
        {"algorithm": None},
        {"num_threads": 0},
        {"num_threads": True},
        {"num_threads": 1.0},
        {"x": X.tolist()[0][0][0][0]},
        {"x": np.ma.array(X, mask=X > 3)},
        {"x": X.astype(object)},
        {"bias": np.ones(3, "f4")},
    ],
)
def test_what_is_wrong_is_refused_after_its_twin_was_remembered(remembered, changes):
    arguments = {"x": X, "weight": W, "bias": B} | changes
    for _ in range(2):
        with pytest.raises((TypeError, ValueError)):
            conv2d(**arguments)
    assert not any(remembered)


@pytest.mark.parametrize(
    "changes",
    [
        {"x": X.astype("f8")},
        {"x": X.astype(">f4")},
        {"x": X.astype("i4")},
        {"x": X[..., ::-1]},
        {"x": X[:, :, 1:]},
        {"x": X[0]},
        {"x": X.view(np.recarray)},
        {"weight": W[:, :, ::-1]},
        {"weight": W[:1], "bias": B[:1]},
        {"bias": None},
        {"bias": B[::-1] * 3},
        {"stride": 2},
        {"stride": [1, 1]},
        {"padding": 1},
        {"padding": (1, 0)},
        {"padding": ((1, 0), (0, 1))},
        {"padding": "same"},
        {"padding": "full"},
        {"dilation": 2},
        {"padding": 1, "padding_mode": "edge"},
        {"padding": 1, "fill_value": 2},
        {"padding": 1, "fill_value": 2.5},
        {"padding": 1, "fill_value": np.nan},
        {"flip": True},
        {"dtype": "f8"},
        {"dtype": np.float32},
        {"dtype": np.dtype("f4")},
        {"algorithm": "gather"},
        {"num_threads": 2},
        {"data_format": "nchw"},
        {"data_format": "NWCH", "x": X.transpose(0, 3, 1, 2)},
    ],
)
def test_each_argument_is_part_of_the_key(remembered, changes):
    arguments = {"x": X, "weight": W, "bias": B} | changes
    expected = conv2d(**(arguments | {"algorithm": "auto"}), backend="reference")
    for _ in range(2):
        np.testing.assert_array_equal(conv2d(**arguments), expected)
        np.testing.assert_array_equal(conv2d(X, W, B), conv2d(X, W, B, backend="reference"))


def test_another_backend_is_asked_whatever_is_remembered(remembered):
    with fastconv.use_backend("reference"):
        conv2d(X, W, B)
    conv2d(X, W, B, backend="cpu")
    conv2d(X, W, B, backend="cpu", out=np.empty((1, 2, 5, 5), "f4"))
    assert not remembered


SHAPE = (1, 2, 5, 5)


def frame():
    return np.full((2, 9, 9, 9), 7, "f4")


@pytest.mark.parametrize(
    "out",
    [
        np.empty(SHAPE, "f4"),
        np.empty(SHAPE, "f4")[0][None],
        frame()[:1, 3:5, 2:7, 4:9],
        frame()[1:, ::5, ::2, ::2],
        np.ndarray(SHAPE, "f4", np.empty(50, "f4"), 0, (-12, 100, 20, 4)),  # no step is ever taken
    ],
)
def test_a_call_with_out_is_answered_from_memory_with_the_same_bits(remembered, out):
    x = np.random.default_rng(0).standard_normal(X.shape).astype("f4")
    expected = conv2d(x, W, B, backend="cpu")
    around = out if out.base is None else out.base
    before, touched = around.copy(), out.copy()
    assert conv2d(x, W, B, out=out) is out
    assert remembered == [True]
    assert out.tobytes() == expected.tobytes()
    out[...] = touched
    assert around.tobytes() == before.tobytes()


@pytest.mark.parametrize(
    "out",
    [
        np.empty(SHAPE, ">f4"),
        np.empty(SHAPE[::-1], "f4").T,
        np.empty(SHAPE, "f4")[..., ::-1],
        np.empty(SHAPE, "f4")[:, :, ::-1],
        np.frombuffer(bytearray(201), "f4", 50, 1).reshape(SHAPE),
        np.empty(SHAPE, "f4").view(np.recarray),
    ],
)
def test_an_unusual_out_is_checked_in_full(remembered, out):
    assert conv2d(X, W, B, out=out) is out
    assert remembered == [False]
    np.testing.assert_array_equal(np.asarray(out), conv2d(X, W, B))


@pytest.mark.parametrize(
    ("out", "error", "message"),
    [
        (np.empty((1, 2, 5, 6), "f4"), ValueError, r"out has shape \(1, 2, 5, 6\), but the result has"),
        (np.empty((2, 5, 5), "f4"), ValueError, r"out has shape \(2, 5, 5\), but the result has"),
        (np.empty((1, 1, 2, 5, 5), "f4"), ValueError, "out has shape"),
        (np.empty(SHAPE, "f8"), TypeError, "out has dtype float64, but the result has dtype float32"),
        (np.empty(SHAPE, "i4"), TypeError, "out has dtype int32"),
        (np.broadcast_to(np.empty(SHAPE, "f4"), SHAPE), ValueError, "out is read-only"),
        (np.lib.stride_tricks.as_strided(np.empty(99, "f4"), SHAPE, (0, 64, 8, 4)), ValueError, "share memory"),
        (np.lib.stride_tricks.as_strided(np.empty(99, "f4"), SHAPE, (0, 100, 20, 0)), ValueError, "share memory"),
        (np.ma.empty(SHAPE, "f4"), TypeError, "out must be a plain numpy.ndarray or None"),
        ([1.0], TypeError, "out must be a plain numpy.ndarray or None"),
    ],
)
def test_a_wrong_out_is_refused_after_its_twin_was_remembered(remembered, out, error, message):
    before = np.array(out)
    with pytest.raises(error, match=message):
        conv2d(X, W, B, out=out)
    with pytest.raises(error, match=message):
        conv2d(X, W, B, backend="cpu", out=out)
    assert remembered == [False]
    np.testing.assert_array_equal(np.array(out), before)


def test_a_call_whose_out_overlaps_an_operand_is_not_answered_from_memory(remembered):
    buffer = np.empty(400, "f4")
    conv2d(np.ones((8, 8), "f4"), np.ones((1, 1), "f4"))
    conv2d(np.ones((8, 8), "f4"), np.ones((1, 1), "f4"), padding=1)
    x, weight = buffer[100:164].reshape(8, 8), buffer[200:201].reshape(1, 1)

    def from_memory(x, first, size, **options):
        buffer[...] = np.arange(400)
        out = buffer[first : first + size * size].reshape(size, size)
        expected = conv2d(x, weight, backend="reference", **options)
        remembered.clear()
        assert conv2d(x, weight, out=out, **options) is out
        np.testing.assert_array_equal(out, expected)
        return remembered == [True]

    apart = {first for first in range(300) if from_memory(x, first, 8)}
    assert apart == {*range(37), *range(164, 300)} - set(range(137, 201))
    assert apart == {first for first in range(300) if from_memory(x[::-1, ::-1], first, 8)}
    assert from_memory(x, 0, 10, padding=1)
    assert not from_memory(x, 1, 10, padding=1)


def test_an_out_that_overlaps_the_bias(remembered):
    buffer = np.ones(100, "f4")
    out, bias = buffer[:50].reshape(SHAPE), buffer[49:51]
    expected = conv2d(X, W, bias.copy(), backend="reference")
    conv2d(X, W, bias, out=out)
    np.testing.assert_array_equal(out, expected)
    assert remembered == [False]


def test_results_are_new_arrays(remembered):
    first, second = conv2d(X, W, B), conv2d(X, W, B)
    assert not np.shares_memory(first, second)
    assert second.flags.owndata
    assert second.flags.c_contiguous


@pytest.mark.parametrize("call", ["call", "plan"])
def test_large_results_begin_with_a_line_of_the_cache(call):
    x, weight = np.ones((1, 4, 64, 64), "f4"), np.ones((8, 4, 3, 3), "f4")
    make = functools.partial(conv2d, x, weight) if call == "call" else functools.partial(plan_conv2d(weight), x)
    make()  # which is remembered
    results = [make() for _ in range(9)]
    if sys.platform != "win32":
        assert {y.ctypes.data % 64 for y in results} == {0}
        assert {get_handler_name(y) for y in results} == {"fastconv_lines"}
    assert all(y.flags.owndata and y.base is None for y in results)
    assert get_handler_name() != "fastconv_lines", "it is set for as long as a result is made"
    y, before = results.pop(), results[0].copy()
    y.resize((2, *y.shape[1:]), refcheck=False)
    np.testing.assert_array_equal(y, np.concatenate([before, np.zeros_like(before)]))


def test_small_results_are_as_numpy_makes_them():
    conv2d(X, W, B)
    assert get_handler_name(conv2d(X, W, B)) == get_handler_name()


@pytest.fixture
def other_handler():
    """NumPy's own memory handler by another name, set for this test."""
    pointer, capsule = ctypes.pythonapi.PyCapsule_GetPointer, ctypes.pythonapi.PyCapsule_New
    pointer.restype, pointer.argtypes = ctypes.c_void_p, [ctypes.py_object, ctypes.c_char_p]
    capsule.restype, capsule.argtypes = ctypes.py_object, [ctypes.c_void_p] * 3
    functions = ctypes.cast(pointer(_multiarray_umath._ARRAY_API, None), ctypes.POINTER(ctypes.c_void_p))
    set_handler = ctypes.PYFUNCTYPE(ctypes.py_object, ctypes.py_object)(functions[304])
    usual = ctypes.cast(functions[306], ctypes.POINTER(ctypes.py_object)).contents.value
    named = b"another"
    handler = ctypes.create_string_buffer(ctypes.string_at(pointer(usual, b"mem_handler"), 127 + 1 + 5 * 8))
    handler[: len(named) + 1] = named + b"\0"
    name = ctypes.create_string_buffer(b"mem_handler")
    before = set_handler(capsule(ctypes.addressof(handler), ctypes.addressof(name), None))
    yield named.decode()
    set_handler(before)


def test_another_memory_handler_is_left_alone(other_handler):
    x, weight = np.ones((1, 4, 64, 64), "f4"), np.ones((8, 4, 3, 3), "f4")
    assert [get_handler_name(conv2d(x, weight)) for _ in range(3)] == [other_handler] * 3
    assert get_handler_name() == other_handler


def test_large_results_count_for_tracemalloc():
    x, weight = np.ones((1, 4, 64, 64), "f4"), np.ones((8, 4, 3, 3), "f4")
    conv2d(x, weight)
    tracemalloc.start(1)
    try:
        before = tracemalloc.get_traced_memory()[0]
        y = conv2d(x, weight)
        assert tracemalloc.get_traced_memory()[0] - before >= y.nbytes
        del y
        assert tracemalloc.get_traced_memory()[0] - before < 10_000
    finally:
        tracemalloc.stop()


def test_memory_is_bounded_and_keeps_no_array():
    kept = []
    for size in range(2, 400):
        x = np.ones((size, size), "f4")
        conv2d(x, np.ones((2, 2), "f4"))
        kept.append(weakref.ref(x))
    del x
    assert len(_api._calls) <= _api._calls.most
    assert not any(reference() is not None for reference in kept)


def test_strings_that_are_equal_but_other_objects():
    for i in range(2000):  # many that come and go, at addresses that are used again
        name = "".join(["sa", "me"]) if i % 2 else "".join(["val", "id"])
        y = conv2d(X, W, B, padding=name)
        assert y.shape == ((1, 2, 6, 6) if i % 2 else (1, 2, 5, 5))


def test_concurrent_callers():
    weight = np.ones((1, 1), "f4")

    def call(i):
        size = 1 + i % 600
        return conv2d(np.full((1, size), 2, "f4"), weight).sum() == 2 * size

    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        assert all(pool.map(call, range(6000)))


def test_no_memory_for_the_result_is_said_in_full():
    x = np.broadcast_to(np.float32(0), (2**20, 1, 1, 2**30))
    for _ in range(2):
        with pytest.raises(
            MemoryError, match=r"there is no memory for a result of shape \(1048576, 1, 1, 1073741824\)"
        ):
            conv2d(x, np.ones((1, 1, 1, 1), "f4"))
