"""Tiles whose image would be copied before it is computed: in bands of rows, to the same bits, in little memory."""

import tracemalloc

import dask
import dask.array as da
import numpy as np
import pytest

from fastconv import conv2d
from fastconv.backends.dask import _bands, _compute
from fastconv.testing import random_call

RNG = np.random.default_rng(23)


@pytest.fixture(autouse=True)
def in_this_thread():
    with dask.config.set(scheduler="synchronous"):
        yield


@pytest.fixture
def problems(monkeypatch):
    """The problems that tasks computed."""
    found, run = [], _compute.run
    monkeypatch.setattr(_compute, "run", lambda inner, p, *rest: found.append(p) or run(inner, p, *rest))
    return found


@pytest.fixture
def small(monkeypatch):
    """Bands of as few rows as can be."""
    monkeypatch.setattr(_bands, "BYTES", 1)
    monkeypatch.setattr(_bands, "KERNELS", 0)
    monkeypatch.setattr(_bands, "REACHES", 1)


def unaligned(block):
    """The same values one byte after an aligned address, as messages have them."""
    memory = np.empty(block.nbytes + 16, np.uint8)
    start = -memory.ctypes.data % 16 + 1
    moved = memory[start : start + block.nbytes].view(block.dtype).reshape(block.shape)
    moved[...] = block
    assert moved.flags.aligned == (block.itemsize == 1 or not block.size)
    return moved


def lazily(x, chunks=-1):
    """A Dask array whose chunks are unaligned in memory, which they are when tasks get them."""
    given = da.from_array(x, chunks=chunks).map_blocks(unaligned, dtype=x.dtype, meta=x[:0])
    return given.persist()


@pytest.mark.parametrize("algorithm", ["direct", "auto"])
@pytest.mark.parametrize("dtype", ["f4", "f2", "i4", ">f8"])
def test_no_copy_of_a_chunk(dtype, algorithm):
    x, w = RNG.integers(-9, 9, (1, 1, 3000, 1024)).astype(dtype), RNG.integers(-9, 9, (1, 1, 3, 3)).astype(dtype)
    expected = conv2d(x, w, padding="same", algorithm=algorithm)
    y = conv2d(lazily(x), w, padding="same", algorithm=algorithm)
    tracemalloc.start()
    try:
        got = y.persist()
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < expected.nbytes + 4 * 2**20  # a copy has 12 MiB, or 24
    assert got.compute().tobytes() == expected.tobytes()


@pytest.mark.parametrize("seed", range(300))
def test_bands_give_the_same_bits(seed, small):
    call = random_call(seed)
    x, *others = call.x, call.weight, call.bias
    y = conv2d(lazily(x, 7), *others, **call.options, algorithm="direct")
    assert y.compute().tobytes() == conv2d(x, *others, **call.options, algorithm="direct").tobytes()


@pytest.mark.parametrize(
    "options",
    [
        {"padding": "same"},
        {"stride": (2, 1), "padding": ((3, 0), (1, 2)), "fill_value": 0.25},
        {"dilation": 3, "padding": "full", "flip": True},
        {"stride": 3, "padding": "same", "padding_mode": "reflect"},
        {"padding": 50, "padding_mode": "wrap"},
    ],
)
@pytest.mark.parametrize("data_format", ["NCHW", "NHWC", "HWCN"])
def test_bands_of_every_layout(options, data_format, small, problems):
    x = RNG.standard_normal([{"N": 2, "C": 3, "H": 40, "W": 20}[letter] for letter in data_format]).astype("f4")
    w = RNG.standard_normal((4, 3, 3, 2)).astype("f4")
    options = {**options, "data_format": data_format, "weight_format": "OIHW", "algorithm": "direct"}
    expected = conv2d(x, w, **options)
    assert conv2d(lazily(x), w, **options).compute().tobytes() == expected.tobytes()
    assert len(problems) > 3
    assert sum(p.oh for p in problems) == expected.shape[data_format.index("H")]


def test_a_chunk_that_is_read_in_place_is_computed_as_a_whole(small, problems):
    x, w = RNG.standard_normal((1, 1, 40, 20)).astype("f4"), RNG.standard_normal((1, 1, 3, 3)).astype("f4")
    conv2d(da.from_array(x, chunks=-1).map_blocks(np.copy, dtype="f4"), w, algorithm="direct").compute()
    assert [p.oh for p in problems] == [38]


def test_other_algorithms_get_the_whole(small, problems):
    """Since their bits are those of one problem: with a chunk's place in memory they would change."""
    x, w = RNG.standard_normal((1, 16, 40, 40)).astype("f4"), RNG.standard_normal((16, 16, 3, 3)).astype("f4")
    expected = conv2d(x, w, algorithm="winograd")
    assert conv2d(lazily(x), w, algorithm="winograd").compute().tobytes() == expected.tobytes()
    assert [p.oh for p in problems] == [38]
