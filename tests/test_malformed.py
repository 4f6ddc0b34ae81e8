"""Calls that must fail, and how; odd calls that must work.

The promise: whatever a caller passes, short of forged memory, the answer is the right result or a typed exception whose
message is one full sentence, within a millisecond, before anything is allocated, and with `out` as it was.

The ids are those of the evidence: A, advisories on other libraries' convolutions; B, crashes and wrong results in their
issues; C, NumPy, Python and process cases. A row of REFUSED is (id, exception, what the message says, what differs from
a good call), a row of ACCEPTED (id, arguments, and the result where the reference backend could not compute it). Rows
whose arguments have state are functions that make them anew for each call.
"""

import gc
import itertools
import os
import re
import subprocess
import sys
import tempfile
import time
import traceback
import tracemalloc
import weakref
from decimal import Decimal
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from numpy.lib.stride_tricks import as_strided, sliding_window_view

import fastconv
from fastconv import BackendNotFoundError, BackendUnsupportedError, conv2d, conv2d_output_shape, explain

pytestmark = pytest.mark.semantics

f32 = np.float32
INT_MAX, HUGE = 2**31 - 1, 2**63 - 1
NAN, INF = float("nan"), float("inf")
LONG = "x" * 10**7
MANY = (1,) * 10**6
FIELDS = [(f"f{i}", "u1") for i in range(10_000)]


def lattice(*shape, dtype=f32):
    """Small integers without a pattern: every sum of their products is exact."""
    n = np.arange(int(np.prod(shape)))
    return ((n * 7919 + n // 3) % 15 - 7).reshape(shape).astype(dtype)


def empty(*shape):
    return np.zeros(shape, f32)


def ones(*shape):
    """Ones of any shape in 4 bytes of memory."""
    return np.broadcast_to(f32(1), shape)


X, W, B = lattice(2, 3, 8, 8), lattice(4, 3, 3, 3), lattice(4)
GOOD_SHAPE = (2, 4, 6, 6)
ONE = {"x": ones(1, 1, 1, 1), "weight": ones(1, 1, 1, 1)}
for _array in (X, W, B):
    _array.flags.writeable = False  # no row changes what the others see


class BoomError(Exception):
    pass


class Index:
    """An integer as its __index__ says, which may do anything first."""

    def __init__(self, value, first=None):
        self.value, self.first = value, first

    def __index__(self):
        if self.first:
            self.first()
        return self.value


class Liar(int):
    """An int whose comparisons and conversions are not those of its value."""

    __lt__ = __le__ = __gt__ = __ge__ = lambda self, other: False
    __int__ = __index__ = lambda self: 1


class Complex(complex):
    pass


class ArrayLike:
    def __init__(self, answer):
        self.answer = answer

    def __array__(self, dtype=None, copy=None):
        return self.answer()


class HugeRepr:
    def __repr__(self):
        return LONG

    __str__ = __repr__


class BadLen:
    def __len__(self):
        raise BoomError("The length is not to be had.")

    def __getitem__(self, index):
        return 1.0


class LyingShape(np.ndarray):
    shape = property(lambda self: GOOD_SHAPE)


class SelfDtype:
    dtype = property(lambda self: self)


def boom(*_):
    raise BoomError("The caller's own code failed.")


def resizing(size):
    """A stride that resizes x while it is read."""
    x = lattice(2, 3, 8, 8)
    return {"x": x, "stride": Index(1, lambda: x.resize(size, refcheck=False)), "out": None}


def recursive():
    a = []
    a.append(a)
    return a


def masked(array):
    return np.ma.array(array, mask=np.arange(array.size).reshape(array.shape) == 1)


def nested(depth):
    value = 1.0
    for _ in range(depth):
        value = [value]
    return value


def readonly(shape=GOOD_SHAPE):
    out = np.zeros(shape, f32)
    out.flags.writeable = False
    return out


# What is not an integer, for every argument that wants one. Names and sequences have their own rows.
NOT_INTEGERS = {
    "true": True,
    "false": False,
    "numpy_bool": np.True_,
    "float": 2.0,
    "numpy_float": np.float64(2),
    "timedelta": np.timedelta64(1, "s"),
    "datetime": np.datetime64(1, "s"),
    "minus_zero": -0.0,
    "nan": NAN,
    "inf": INF,
    "complex": 1j,
    "bytes": b"1",
    "fraction": Fraction(1),
    "decimal": Decimal(1),
    "none": None,
    "ellipsis": ...,
    "object": object(),
    "set": {1},
    "dict": {1: 1},
    "range": range(2),
    "generator": (i for i in (1, 1)),
    "class": int,
    "array0_float": np.array(1.0),
    "array0_bool": np.array(True),
    "masked": np.ma.masked,
    "masked_integer": np.ma.array(2, mask=True),
    "huge_repr": HugeRepr(),
    "index_of_str": Index("1"),
    "index_of_float": Index(1.0),
}
INTEGERS = ("stride", "padding", "dilation", "groups", "num_threads")
PAIRS = ("stride", "padding", "dilation")

REFUSED = [
    # A, B22, B32: empty axes; only N and O may be.
    ("A01_empty_everything", ValueError, "x has an empty axis", {"x": empty(0, 0, 0, 0), "weight": empty(0, 0, 0, 0)}),
    ("A02_kernel_channels_0", ValueError, "weight has an empty axis I", {"weight": empty(4, 0, 3, 3)}),
    ("A02_kernel_height_0", ValueError, "weight has an empty axis H", {"weight": empty(4, 3, 0, 3)}),
    ("A02_kernel_width_0", ValueError, "weight has an empty axis W", {"weight": empty(4, 3, 3, 0)}),
    ("A04_no_channels_no_rows", ValueError, "empty axis", {"x": empty(2, 0, 2, 2), "weight": empty(2, 0, 0, 6)}),
    ("A05_kernel_1011", ValueError, "weight has an empty axis", {"weight": empty(1, 0, 1, 1)}),
    ("A06_bias_empty", ValueError, r"bias must have shape \(4,\).*got \(0,\)", {"bias": empty(0)}),
    ("A06_out_empty", ValueError, r"out has shape \(0,\)", {"out": empty(0)}),
    ("A07_one_column_no_channels", ValueError, "x has an empty axis", {"x": empty(0, 0, 1, 0), "stride": (66, 18)}),
    ("A08_everything_but_n_empty", ValueError, "x has an empty axis C", {"x": empty(2, 0, 0, 0)}),
    ("A09_channels_2_of_1", ValueError, "weight has 1 input channels.*x has 2 channels",
     {"x": empty(1, 2, 1, 2), "weight": empty(1, 1, 1, 1), "stride": (66, 49)}),
    ("A10_two_empty_axes", ValueError, "weight has an empty axis H",
     {"x": empty(52, 1, 1, 5), "weight": empty(1, 1, 0, 5)}),
    ("A12_width_0_stride_12", ValueError, "x has an empty axis W",
     {"x": empty(3, 1, 2, 0), "weight": empty(3, 1, 1, 1), "stride": (1, 2)}),
    ("A13_channels_0", ValueError, "x has an empty axis C", {"x": empty(2, 0, 8, 8), "weight": empty(4, 0, 3, 3)}),
    ("A14_inconsistent_shapes", ValueError, "channels",
     {"x": empty(2, 5, 4, 4), "weight": empty(3, 2, 9, 2), "stride": 89}),
    ("A15_height_0", ValueError, "x has an empty axis H", {"x": empty(2, 3, 0, 8)}),
    ("A15_width_0", ValueError, "x has an empty axis W", {"x": empty(2, 3, 8, 0)}),
    ("A15_height_0_padded", ValueError, "x has an empty axis H", {"x": empty(2, 3, 0, 8), "padding": 5}),
    ("A15_height_0_nhwc", ValueError, "x has an empty axis H",
     {"x": empty(2, 0, 8, 3), "weight": empty(3, 3, 3, 4), "data_format": "NHWC"}),
    ("A15_height_0_chw", ValueError, "x has an empty axis H", {"x": empty(3, 0, 8)}),
    ("A15_width_0_hw", ValueError, "x has an empty axis W", {"x": empty(8, 0), "weight": empty(3, 3)}),
    ("A15_kernel_0_hw", ValueError, "weight has an empty axis W", {"x": empty(8, 8), "weight": empty(3, 0)}),
    ("A18_stride_0", ValueError, "stride must be at least 1, got 0", {"stride": 0}),
    ("A18_stride_1_0", ValueError, "stride must be at least 1, got 0", {"stride": (1, 0)}),
    ("A18_stride_0_1", ValueError, "stride must be at least 1, got 0", {"stride": (0, 1)}),
    ("A20_dilation_0", ValueError, "dilation must be at least 1, got 0", {"dilation": 0}),
    ("A20_dilation_1_0", ValueError, "dilation must be at least 1, got 0", {"dilation": (1, 0)}),
    ("A20_dilation_0_1", ValueError, "dilation must be at least 1, got 0", {"dilation": (0, 1)}),
    ("A20_groups_0", ValueError, "groups must be at least 1, got 0", {"groups": 0}),
    ("A21_depthwise_no_channels", ValueError, "x has an empty axis C",
     {"x": empty(2, 0, 8, 8), "weight": empty(4, 1, 3, 3), "groups": 4}),
    ("A21_depthwise_no_input_channels", ValueError, "weight has an empty axis I",
     {"x": empty(2, 4, 8, 8), "weight": empty(4, 0, 3, 3), "groups": 4}),
    ("A22_bias_0d", ValueError, r"bias must have shape \(4,\).*got \(\)", {"bias": np.array(1, f32)}),
    ("A22_bias_number", ValueError, r"bias must have shape \(4,\)", {"bias": 1.0}),
    ("A22_bias_0", ValueError, r"bias must have shape \(4,\)", {"bias": []}),
    ("A22_bias_1", ValueError, r"bias must have shape \(4,\).*got \(1,\)", {"bias": empty(1)}),
    ("A22_bias_O_plus_1", ValueError, r"bias must have shape \(4,\).*got \(5,\)", {"bias": empty(5)}),
    ("A22_bias_O_1", ValueError, r"bias must have shape \(4,\).*got \(4, 1\)", {"bias": empty(4, 1)}),
    ("A22_bias_1_O", ValueError, r"bias must have shape \(4,\).*got \(1, 4\)", {"bias": empty(1, 4)}),
    ("A22_bias_O11", ValueError, r"bias must have shape \(4,\)", {"bias": empty(4, 1, 1)}),
    ("A22_bias_2_for_one_kernel", ValueError, r"bias must have shape \(1,\)",
     {"x": empty(8, 8), "weight": empty(3, 3), "bias": empty(2)}),
    ("A22_bias_for_O_0", ValueError, r"bias must have shape \(0,\)", {"weight": empty(0, 3, 3, 3), "bias": empty(4)}),
    ("A26_padding_1879048192", ValueError, r"more than 2\*\*63 bytes; use less padding",
     {"x": ones(1, 1, 3, 3), "weight": ones(1, 1, 3, 3), "padding": 1879048192}),
    ("A28_width_0_padding_0", ValueError, "x has an empty axis W", {"x": empty(1, 3, 32, 0)}),
    ("A31_padding_empty_list", ValueError, "padding must be an int", {"padding": []}),
    ("A31_padding_empty_tuple", ValueError, "padding must be an int", {"padding": ()}),
    ("A31_padding_empty_array", ValueError, "padding must be an int", {"padding": np.array([], int)}),
    # B02: every length from 0 to 5 for all three, independently.
    *(
        (f"B02_stride{s}_dilation{d}_padding{p}", ValueError, "(stride|dilation|padding) must be an int",
         {"stride": (1,) * s, "dilation": [1] * d, "padding": np.ones(p, int)})
        for s, d, p in itertools.product(range(6), repeat=3)
        if (s, d, p) != (2, 2, 2)
    ),
    # B03, B09, B21: every pair of ranks but the documented ones.
    *(
        (f"B03_x{i}_weight{j}", ValueError, "(x|weight) must have 4 axes.*got shape",
         {"x": np.ones((1,) * i, f32), "weight": np.ones((1,) * j, f32)})
        for i, j in itertools.product(range(9), repeat=2)
        if (i, j) not in ((4, 4), (3, 4), (2, 2))
    ),
    ("B03_rank_64", ValueError, "x must have 4 axes", {"x": np.ones((1,) * 64, f32)}),
    ("B04_padding_2_55", ValueError, r"more than 2\*\*63 bytes", {"padding": 2**55, "stride": 2**20}),
    ("B04_kernel_2_55", ValueError, "kernel reaches over", {"weight": ones(1, 1, 1, 2**55), "x": ones(1, 1, 8, 8)}),
    ("B05_dilation_INT_MAX", ValueError, f"kernel reaches over.*dilation {INT_MAX}", {"dilation": INT_MAX}),
    ("B05_dilation_2_31", ValueError, "kernel reaches over.*dilation 2147483648", {"dilation": 2**31}),
    ("B05_dilation_1879048192", ValueError, "kernel reaches over.*dilation 1879048192", {"dilation": 1879048192}),
    ("B05_dilation_2_63_minus_1", ValueError, f"kernel reaches over.*dilation {HUGE}", {"dilation": HUGE}),
    ("B05_dilation_2_63_full", ValueError, "padded height.*more than 2", {"dilation": HUGE, "padding": "full"}),
    ("B05_dilation_2_63_same", ValueError, "kernel reaches over|padded", {"dilation": (HUGE, 1), "padding": "same"}),
    ("B06_padding_INT_MAX", ValueError, r"more than 2\*\*63 bytes.*less padding", {"padding": INT_MAX}),
    ("B06_padding_2_31", ValueError, r"more than 2\*\*63 bytes", {"padding": 2**31}),
    ("B06_padding_6442450944", ValueError, r"more than 2\*\*63 bytes", {"padding": 6442450944}),
    ("B06_padding_2_63_minus_5", ValueError, "the padded height is 18446744073709551614", {"padding": 2**63 - 5}),
    ("B06_padding_2_63_minus_1", ValueError, "the padded height is", {"padding": HUGE}),
    ("B06_padding_2_63", ValueError, r"padding must be less than 2\*\*63, got 9223372036854775808", {"padding": 2**63}),
    ("B06_padding_2_64", ValueError, r"padding must be less than 2\*\*63, got 18446744073709551616",
     {"padding": 2**64}),
    ("B06_padding_one_side_2_63", ValueError, "the padded width is", {"padding": ((0, 0), (0, HUGE))}),
    ("B06_padding_sum_wraps", ValueError, "the padded width is", {"padding": ((0, 0), (2**62, 2**62))}),
    ("B07_product_wraps", ValueError, r"more than 2\*\*63 bytes",
     {"x": ones(2**16, 1, 1, 1), "weight": ones(2**16, 1, 1, 1), "padding": 2**16}),
    ("B07_bytes_wrap", ValueError, r"more than 2\*\*63 bytes", {**ONE, "padding": (2**30 - 1, 2**30 - 1)}),
    ("B07_wider_temporary_wraps", ValueError, r"more than 2\*\*63 bytes",
     {"x": np.ones((1, 1, 1, 1), np.uint8), "weight": np.ones((1, 1, 1, 1), np.uint8), "padding": 2**30 - 1,
      "dtype": np.uint8}),
    ("B07_memory", MemoryError, "memory.*shape", {**ONE, "padding": 2**29, "out": None}),
    # B11, B20: groups and channels.
    ("B11_groups_8_of_6_outputs", ValueError, "groups=8 does not divide weight's 6 output channels",
     {"x": empty(1, 8, 4, 4), "weight": empty(6, 1, 3, 3), "groups": 8}),
    ("B11_groups_2_of_3_channels", ValueError, "groups=2 does not divide x's 3 channels", {"groups": 2}),
    ("B11_groups_3_of_4_outputs", ValueError, "groups=3 does not divide weight's 4",
     {"groups": 3, "weight": empty(4, 1, 3, 3)}),
    ("B11_groups_minus_1", ValueError, "groups must be at least 1, got -1", {"groups": -1}),
    ("B11_groups_over_C", ValueError, "groups=6 does not divide x's 3 channels", {"groups": 6}),
    ("B11_groups_2_31", ValueError, "groups=2147483648 does not divide", {"groups": 2**31}),
    ("B11_groups_2_63_minus_1", ValueError, f"groups={HUGE} does not divide", {"groups": HUGE}),
    ("B11_groups_2_63", ValueError, r"groups must be less than 2\*\*63", {"groups": 2**63}),
    ("B11_groups_without_weight", ValueError, "weight has 3 input channels a group and groups=3.*expected 1",
     {"groups": 3, "weight": empty(3, 3, 3, 3)}),
    ("B11_groups_2_of_one_plane", ValueError, "groups=2 does not divide x's 1 channels",
     {"x": empty(8, 8), "weight": empty(3, 3), "groups": 2}),
    ("B20_channels_1_kernel_64", ValueError, "weight has 64 input channels.*x has 1 channels",
     {"x": empty(1, 1, 8, 8), "weight": empty(4, 64, 3, 3)}),
    ("B20_channels_64_kernel_1", ValueError, "weight has 1 input channels.*x has 64 channels",
     {"x": empty(1, 64, 8, 8), "weight": empty(4, 1, 3, 3)}),
    ("B20_channels_5_kernel_3", ValueError, "expected 5 a group", {"x": empty(1, 5, 8, 8)}),
    ("B20_hwio_weight", ValueError, "did you mean weight_format='HWIO'",
     {"weight": empty(3, 3, 3, 4), "x": empty(1, 3, 8, 8),
     "data_format": "NCHW", "groups": 1} | {"weight": empty(5, 5, 3, 4)}),
    ("B20_nhwc_x", ValueError, "is data_format right", {"x": empty(2, 8, 8, 3), "weight": empty(4, 3, 3, 3)}),
    # B17, B33: the kernel is larger than the padded image.
    ("B17_kernel_taller", ValueError, "kernel reaches over 9 pixels of height.*padded height is 8",
     {"weight": empty(4, 3, 9, 1)}),
    ("B17_kernel_wider", ValueError, "kernel reaches over 9 pixels of width.*padded width is 8",
     {"weight": empty(4, 3, 1, 9)}),
    *(
        (f"B17_kernel_larger_{mode}", ValueError, "kernel reaches over 11 pixels of height.*padded height is 10",
         {"weight": empty(4, 3, 11, 3), "padding": 1, "padding_mode": mode})
        for mode in ("constant", "reflect", "symmetric", "edge", "wrap")
    ),
    ("B33_dilation_4", ValueError, r"kernel reaches over 9 pixels.*dilation 4", {"dilation": 4}),
    ("B33_dilation_4_width", ValueError, r"kernel reaches over 9 pixels of width", {"dilation": (1, 4)}),
    ("B33_dilation_4_padded_short", ValueError, "kernel reaches over 17", {"dilation": 8, "padding": 4}),
    ("B33_valid", ValueError, "kernel reaches over", {"dilation": 4, "padding": "valid"}),
    # B28 to B31, C04 to C06, C17: out.
    ("B30_out_read_only", ValueError, "out is read-only; pass a writable array", {"out": readonly}),
    ("B30_out_from_bytes", ValueError, "out is read-only",
     {"out": np.frombuffer(bytes(4 * 288), f32).reshape(GOOD_SHAPE)}),
    ("C04_out_stride_0", ValueError, "out has elements that share memory",
     {"out": lambda: as_strided(np.zeros(6, f32), GOOD_SHAPE, (0, 0, 0, 4))}),
    ("C04_out_all_one_element", ValueError, "out has elements that share memory",
     {"out": lambda: as_strided(np.zeros(1, f32), GOOD_SHAPE, (0, 0, 0, 0))}),
    ("C04_out_rows_overlap", ValueError, "out has elements that share memory",
     {"out": lambda: as_strided(np.zeros(600, f32), GOOD_SHAPE, (864, 216, 20, 4))}),
    ("C04_out_half_an_element", ValueError, "out has elements that share memory",
     {"out": lambda: as_strided(np.zeros(600, f32), GOOD_SHAPE, (1152, 288, 24, 2))}),
    ("C06_out_one_column_less", ValueError, r"out has shape \(2, 4, 6, 5\), but the result has shape \(2, 4, 6, 6\)",
     {"out": empty(2, 4, 6, 5)}),
    ("C06_out_transposed_shape", ValueError, "out has shape", {"out": empty(2, 6, 6, 4)}),
    ("C06_out_flat", ValueError, r"out has shape \(288,\)", {"out": empty(288)}),
    ("C06_out_5d", ValueError, "out has shape", {"out": empty(1, 2, 4, 6, 6)}),
    ("C06_out_0d", ValueError, r"out has shape \(\)", {"out": empty()}),
    ("C06_out_broadcastable", ValueError, r"out has shape \(2, 4, 1, 6\)", {"out": empty(2, 4, 1, 6)}),
    ("C06_out_ones", ValueError, "out has shape", {"out": empty(1, 1, 1, 1)}),
    ("C06_out_for_empty_result", ValueError, r"out has shape \(1, 4, 6, 6\), but the result has shape \(0, 4, 6, 6\)",
     {"x": empty(0, 3, 8, 8), "out": empty(1, 4, 6, 6)}),
    ("C06_out_float64", TypeError, "out has dtype float64, but the result has dtype float32",
     {"out": np.zeros(GOOD_SHAPE)}),
    ("C06_out_float16", TypeError, "out has dtype float16", {"out": np.zeros(GOOD_SHAPE, np.float16)}),
    ("C06_out_int32", TypeError, "out has dtype int32", {"out": np.zeros(GOOD_SHAPE, np.int32)}),
    ("C06_out_complex", TypeError, "out has dtype complex64", {"out": np.zeros(GOOD_SHAPE, np.complex64)}),
    ("C06_out_object", TypeError, "out has dtype object", {"out": np.zeros(GOOD_SHAPE, object)}),
    ("C06_out_structured", TypeError, "out has dtype", {"out": np.zeros(GOOD_SHAPE, "f4,f4")}),
    ("C06_out_10000_fields", TypeError, "out has dtype", {"out": np.zeros(GOOD_SHAPE, FIELDS)}),
    ("C06_out_not_dtype", TypeError, "out has dtype float32, but the result has dtype float64", {"dtype": float}),
    ("C06_out_list", TypeError, "out must be a plain numpy.ndarray or None, got an object of type list",
     {"out": [1, 2]}),
    ("C06_out_number", TypeError, "out must be a plain numpy.ndarray", {"out": 3}),
    ("C06_out_false", TypeError, "out must be a plain numpy.ndarray", {"out": False}),
    ("C06_out_scalar", TypeError, "out must be a plain numpy.ndarray", {"out": f32(1)}),
    ("C06_out_string", TypeError, "out must be a plain numpy.ndarray", {"out": "out"}),
    ("C06_out_buffer", TypeError, "out must be a plain numpy.ndarray", {"out": bytearray(1152)}),
    ("C06_out_tuple", TypeError, "out must be a plain numpy.ndarray", {"out": (np.zeros(GOOD_SHAPE, f32),)}),
    ("C06_out_array_like", TypeError, "out must be a plain numpy.ndarray",
     {"out": ArrayLike(lambda: np.zeros(GOOD_SHAPE, f32))}),
    ("C06_out_type", TypeError, "out must be a plain numpy.ndarray", {"out": np.ndarray}),
    ("C06_out_masked", TypeError, "out must be a plain numpy.ndarray.*MaskedArray",
     {"out": np.ma.zeros(GOOD_SHAPE, f32)}),
    ("C06_out_matrix", TypeError, "out must be a plain numpy.ndarray.*matrix",
     {"x": lattice(4, 4), "weight": lattice(2, 2), "out": np.zeros((3, 3), f32).view(np.matrix)}),
    ("C12_out_lies", ValueError, "out has", {"out": lambda: np.zeros((1, 1), f32).view(LyingShape)}),
    # C07: broadcast inputs, whose size is nominal. The results do not fit any address space.
    ("C07_broadcast_batch", MemoryError, "memory.*shape",
     {"x": ones(10**9, 3, 8, 8), "weight": ones(10**6, 3, 3, 3), "out": None}),
    ("C07_broadcast_2_63", ValueError, r"more than 2\*\*63 bytes",
     {"x": ones(10**9, 3, 8, 8), "weight": ones(10**9, 3, 3, 3)}),
    ("C07_converted_copy", MemoryError, "memory.*shape",
     {"x": np.broadcast_to(np.float16(1), (1, 1, 2**25, 2**25)), "weight": np.ones((1, 1, 1, 1), np.float16),
      "stride": 2**25, "out": None}),
    # B29, C08, C10: what is not an array of numbers. Each as x, as weight and as bias.
    *(
        (f"{name}_{argument}", error, f"{argument} .*{words}", {argument: value})
        for argument, good in (("x", X), ("weight", W), ("bias", B))
        for name, error, words, value in (
            ("B29_masked", TypeError, "masked elements", masked(good)),
            ("B29_fully_masked", TypeError, "masked elements", np.ma.array(good, mask=True)),
            ("B29_masked_constant", TypeError, "masked elements", np.ma.masked),
            ("B29_matrix", TypeError, "numpy.matrix", np.zeros((3, 3)).view(np.matrix)),
            ("C08_object", TypeError, "dtype object; supported are", good.astype(object)),
            ("C08_str", TypeError, "dtype .*; supported are", good.astype(str)),
            ("C08_bytes", TypeError, "dtype .*; supported are", good.astype("S4")),
            ("C08_datetime", TypeError, "dtype datetime64.*; supported are", good.astype("M8[s]")),
            ("C08_timedelta", TypeError, "dtype timedelta64.*; supported are", good.astype("m8[s]")),
            ("C08_structured", TypeError, "dtype .*; supported are", np.zeros(good.shape, "f4,f4")),
            ("C08_structured_10000_fields", TypeError, "dtype .*; supported are",
             np.zeros(good.shape, FIELDS)),
            ("C08_void", TypeError, "dtype .*; supported are", np.zeros(good.shape, "V2")),
            ("C08_longdouble", TypeError, "dtype .*; supported are", good.astype(np.longdouble)),
            ("C08_clongdouble", TypeError, "dtype .*; supported are", good.astype(np.clongdouble)),
            ("C08_strings", TypeError, "dtype .*; supported are", np.full(good.shape, "1", np.dtypes.StringDType())),
            ("C10_string", TypeError, "dtype .*; supported are", "abc"),
            ("C10_number", ValueError, r"shape", 5.0),
            ("C10_scalar", ValueError, r"shape", f32(3)),
            ("C10_0d", ValueError, r"shape", np.array(3, f32)),
            ("C10_ragged", ValueError, "can't be converted to an array", [[1, 2], [3]]),
            ("C10_ragged_deep", ValueError, "can't be converted to an array", [[[1, 2]], [[3], 4]]),
            ("C10_generator", TypeError, "dtype object", (i for i in range(3))),
            ("C10_dict", TypeError, "dtype object", {1: 2}),
            ("C10_set", TypeError, "dtype object", {1, 2}),
            ("C10_object", TypeError, "dtype object", object()),
            ("C10_ellipsis", TypeError, "dtype object", ...),
            ("C10_class", TypeError, "dtype object", np.ndarray),
            ("C10_list_of_none", TypeError, "dtype object", [None]),
            ("C10_list_of_strings", TypeError, "dtype .*; supported are", ["1"]),
            ("C10_bytearray", ValueError, "shape", bytearray(0)),
            ("C12_recursive_list", (TypeError, ValueError), "", recursive()),
            ("C12_nested_100", (TypeError, ValueError), "", nested(100)),
            ("C12_nested_1000", (TypeError, ValueError), "", nested(1000)),
            ("C12_array_not_array", ValueError, "can't be converted to an array", ArrayLike(lambda: [1.0])),
            ("C12_array_of_objects", TypeError, "dtype object", ArrayLike(lambda: np.array([None]))),
            ("C12_huge_repr", TypeError, "dtype object", HugeRepr()),
            ("C29_thousand_digits", TypeError, "dtype object", 10**1000),
            ("C29_list_of_thousand_digits", TypeError, "dtype object", [10**1000]),
        )
    ),
    ("C10_none_x", TypeError, "x must be an array.*got None", {"x": None}),
    ("C10_none_weight", TypeError, "weight must be an array.*got None", {"weight": None}),
    # C11: what is not an integer.
    *(
        (f"C11_{argument}_{kind}", TypeError, f"{argument} must be an integer, got", {argument: value})
        for argument in INTEGERS
        for kind, value in NOT_INTEGERS.items()
        if (argument, kind) != ("num_threads", "none")
    ),
    *(
        (f"C11_{argument}_pair_{kind}", TypeError, f"{argument} must be an integer, got", {argument: (1, value)})
        for argument in PAIRS
        for kind, value in NOT_INTEGERS.items()
    ),
    *(
        (f"C11_padding_sides_{kind}", TypeError, "padding must be an integer, got", {"padding": ((0, 0), (1, value))})
        for kind, value in NOT_INTEGERS.items()
    ),
    *(
        (f"C11_{argument}_{kind}", error, f"{argument} must", {argument: value})
        for argument in INTEGERS
        for kind, error, value in (
            ("str", ValueError if argument == "padding" else TypeError, "1"),
            ("str_pair", TypeError, ("1", "1")),
            ("array1_float", ValueError if argument in PAIRS else TypeError, np.array([1.0])),
            ("array1_int", ValueError if argument in PAIRS else TypeError, np.array([1])),
            ("array2_float", TypeError, np.array([1.0, 1.0])),
            ("array2_bool", TypeError, np.array([True, True])),
            ("array2_object", TypeError, np.array([None, None])),
            ("minus_1", ValueError, -1),
            ("minus_2_63", ValueError, -(2**63)),
            ("numpy_minus_1", ValueError, np.int8(-1)),
            ("array0_minus_1", ValueError, np.array(-1)),
            ("index_minus_1", ValueError, Index(-1)),
            ("2_63", ValueError, 2**63),
            ("uint64_2_64", ValueError, np.uint64(2**64 - 1)),
            ("thousand_digits", ValueError, 10**1000),
            ("minus_thousand_digits", ValueError, -(10**1000)),
            ("index_thousand_digits", ValueError, Index(10**1000)),
            ("hundred_thousand_digits", ValueError, 10**100_000),
            ("million_items", ValueError if argument in PAIRS else TypeError, MANY),
            ("million_item_list", ValueError if argument in PAIRS else TypeError, list(MANY)),
            ("million_item_array", ValueError if argument in PAIRS else TypeError, np.ones(10**6, int)),
            ("recursive_list", ValueError if argument in PAIRS else TypeError, recursive()),
            ("long_class_name", TypeError, type("C" * 10**6, (), {})()),
        )
    ),
    *(
        (f"C11_{argument}_{kind}", error, f"{argument} must", {argument: value})
        for argument in ("stride", "dilation")
        for kind, error, value in (
            ("pair_minus_1", ValueError, (1, -1)),
            ("minus_1_pair", ValueError, (-1, 1)),
            ("numpy_0", ValueError, np.int64(0)),
            ("array2_0", ValueError, np.array([1, 0])),
            ("nested", TypeError, ((1, 1), (1, 1))),
            ("nested_array", TypeError, np.ones((2, 2), int)),
            ("name", TypeError, "same"),
            ("pair_2_63", ValueError, (1, 2**63)),
            ("4_flat", ValueError, (1, 1, 1, 1)),
        )
    ),
    ("C11_num_threads_0", ValueError, "num_threads must be at least 1, got 0", {"num_threads": 0}),
    ("C11_padding_4_flat", ValueError, "flat sequences of other lengths", {"padding": (1, 1, 1, 1)}),
    ("C11_padding_pair_minus_1", ValueError, "padding must be at least 0, got -1", {"padding": (0, -1)}),
    ("C11_padding_sides_minus_1", ValueError, "padding must be at least 0, got -1", {"padding": ((0, 0), (-1, 3))}),
    ("C11_padding_mixed", ValueError, r"padding must be \(ph, pw\) or", {"padding": (1, (1, 1))}),
    ("C11_padding_sides_of_3", ValueError, r"padding must be \(ph, pw\) or", {"padding": ((1, 1, 1), (1, 1, 1))}),
    ("C11_padding_sides_of_1", ValueError, r"padding must be \(ph, pw\) or", {"padding": ((1,), (1,))}),
    ("C11_padding_sides_of_0", ValueError, r"padding must be \(ph, pw\) or", {"padding": ((), ())}),
    ("C11_padding_numpy_pad_4", ValueError, "padding must be", {"padding": ((0, 0), (0, 0), (1, 1), (1, 1))}),
    ("C11_padding_too_deep", TypeError, "padding must be an integer, got", {"padding": (((1, 1), 1), (1, 1))}),
    ("C11_padding_million_items_a_side", ValueError, "padding must be", {"padding": (MANY, MANY)}),
    # Names and flags.
    ("C11_padding_name_unknown", ValueError, "padding must be one of valid, same, same_lower, full",
     {"padding": "SAME_UPPER"}),
    ("C11_padding_name_empty", ValueError, "padding must be one of valid", {"padding": ""}),
    ("C11_padding_name_space", ValueError, "padding must be one of valid.*got 'same '", {"padding": "same "}),
    ("C11_padding_name_null", ValueError, "padding must be one of valid", {"padding": "same\0"}),
    ("C11_padding_name_mode", ValueError, "padding must be one of valid.*got 'reflect'", {"padding": "reflect"}),
    ("C11_padding_names_pair", TypeError, "padding must be an integer", {"padding": ("same", "valid")}),
    ("C11_padding_name_bytes", TypeError, "padding must be an integer, got b'same'", {"padding": b"same"}),
    ("C11_padding_name_surrogate", ValueError, "padding must be one of valid", {"padding": "\ud800"}),
    ("C29_padding_name_long", ValueError, "padding must be one of valid", {"padding": LONG}),
    *(
        (f"C11_padding_mode_{kind}", error, "padding_mode must be", {"padding_mode": value})
        for kind, error, value in (
            ("unknown", ValueError, "mirror"), ("empty", ValueError, ""), ("numpy_linear_ramp", ValueError,
             "linear_ramp"),
            ("typo", ValueError, "reflct"), ("long", ValueError, LONG), ("surrogate", ValueError, "\ud800"),
            ("none", TypeError, None), ("number", TypeError, 0), ("bytes", TypeError, b"wrap"), ("list", TypeError,
             ["wrap"]),
            ("function", TypeError, len), ("huge_repr", TypeError, HugeRepr()),
        )
    ),
    *(
        (f"C11_algorithm_{kind}", error, "algorithm must be", {"algorithm": value})
        for kind, error, value in (
            ("unknown", ValueError, "strassen"), ("empty", ValueError, ""), ("long", ValueError, LONG),
            ("null", ValueError, "direct\0"), ("none", TypeError, None), ("number", TypeError, 1), ("bytes", TypeError,
             b"direct"),
            ("list", TypeError, ["direct"]), ("huge_repr", TypeError, HugeRepr()),
        )
    ),
    ("C11_algorithm_not_of_reference", ValueError,
     "algorithm must be one of auto with backend 'reference', got 'direct'",
     {"algorithm": "direct", "backend": "reference"}),
    ("C11_algorithm_unknown_for_empty", ValueError, "algorithm must be",
     {"x": empty(0, 3, 8, 8), "algorithm": "strassen",
     "out": None}),
    *(
        (f"C11_backend_{kind}", error, words, {"backend": value})
        for kind, error, words, value in (
            ("unknown", BackendNotFoundError, "no backend 'nope' is installed; there are cpu, reference", "nope"),
            ("typo", BackendNotFoundError, "no backend 'cpuu' is installed.*[Dd]id you mean 'cpu'", "cpuu"),
            ("upper", BackendNotFoundError, "no backend 'CPU' is installed", "CPU"),
            ("empty", BackendNotFoundError, "no backend '' is installed", ""),
            ("path", BackendNotFoundError, "no backend '../x' is installed", "../x"),
            ("surrogate", BackendNotFoundError, "no backend .* is installed", "\ud800"),
            ("long", BackendNotFoundError, "no backend 'xxx.* is installed", LONG),
            ("two_unknown", BackendUnsupportedError, "none of the backends.*'nope'.*'nada'", ("nope", "nada")),
            ("sixteen_unknown", BackendUnsupportedError, "none of the backends.*'n0",
             tuple(f"n{i}" * 20 for i in range(16))),
            ("hundred_times_unknown", (BackendNotFoundError, BackendUnsupportedError, ValueError), "backend",
             ("nope",) * 100),
            ("ten_thousand", (BackendUnsupportedError, ValueError), "backend", tuple(f"n{i}" for i in range(10**4))),
            ("no_names", TypeError, "backend must be a name", ()),
            ("number", TypeError, "backend must be a name", 1),
            ("false", TypeError, "backend must be a name", False),
            ("bytes", TypeError, "backend must be a name", b"cpu"),
            ("tuple_of_numbers", TypeError, "backend must be a name", ("cpu", 1)),
            ("tuple_of_none", TypeError, "backend must be a name", (None,)),
            ("set", TypeError, "backend must be a name", {"cpu"}),
            ("module", TypeError, "backend must be a name", np),
            ("huge_repr", TypeError, "backend must be a name", HugeRepr()),
        )
    ),
    *(
        (f"C11_flip_{kind}", TypeError, "flip must be True or False, got", {"flip": value})
        for kind, value in (
            ("number", 1), ("zero", 0), ("none", None), ("string", "yes"), ("float", 1.0), ("pair", (True, False)),
            ("array0", np.array(True)), ("array1", np.array([True])), ("huge_repr", HugeRepr()),
        )
    ),
    *(
        (f"C11_data_format_{kind}", error, "data_format", {"data_format": value})
        for kind, error, value in (
            ("unknown", ValueError, "channels_last"), ("empty", ValueError, ""), ("letters_missing", ValueError, "NHC"),
            ("no_channels", ValueError, "NHW"), ("repeated", ValueError, "NCWW"), ("foreign", ValueError, "NCDHW"),
            ("weights", ValueError, "OIHW"), ("blank", ValueError, "NCH "), ("too_long", ValueError, "NCHWN"),
            ("sharp_s", ValueError, "NCß"), ("long", ValueError, LONG), ("surrogate", ValueError, "\ud800"),
            ("chw_for_4", ValueError, "CHW"), ("hw_for_4", ValueError, "HW"),
            ("none", TypeError, None), ("number", TypeError, 4), ("bytes", TypeError, b"NCHW"), ("tuple", TypeError,
             tuple("NCHW")),
            ("huge_repr", TypeError, HugeRepr()),
        )
    ),
    *(
        (f"C11_weight_format_{kind}", error, "weight_format must be", {"weight_format": value})
        for kind, error, value in (
            ("unknown", ValueError, "RSCK"), ("empty", ValueError, ""), ("letters_missing", ValueError, "OHW"),
            ("repeated", ValueError, "OIHH"), ("images", ValueError, "NCHW"), ("too_long", ValueError, "OIHWO"),
            ("long", ValueError, LONG), ("number", TypeError, 4), ("false", TypeError, False), ("bytes", TypeError,
             b"OIHW"),
            ("tuple", TypeError, tuple("OIHW")), ("huge_repr", TypeError, HugeRepr()),
        )
    ),
    ("C11_weight_format_hw_for_4", ValueError, "weight must have 4 axes", {"weight_format": "HW"}),
    ("C11_weight_format_hw_for_2", ValueError, "weight must have 4 axes",
     {"weight_format": "HW", "weight": empty(3, 3)}),
    ("C11_weight_format_hwio_for_oihw", ValueError, "channels", {"weight_format": "HWIO", "weight": empty(4, 3, 5, 5)}),
    ("C11_data_format_nhwc_for_nchw", ValueError, "channels", {"data_format": "NHWC"}),
    # C08: dtype.
    *(
        (f"C08_dtype_{kind}", TypeError, "dtype", {"dtype": value})
        for kind, value in (
            ("unknown", "float33"), ("empty", ""), ("bool", bool), ("object", object), ("str", str), ("bytes", bytes),
            ("datetime", "M8[s]"), ("timedelta", "m8"), ("structured", "f4,f4"), ("structured_list", [("a", "f4")]),
            ("subarray", (f32, (2,))), ("void", "V4"), ("longdouble", np.longdouble), ("clongdouble", np.clongdouble),
            ("int_for_float", int), ("uint8_for_float", np.uint8), ("number", 4), ("true", True), ("float_value", 1.0),
            ("nan", NAN), ("array", np.zeros(2)), ("list", [1, 2]), ("empty_list", []), ("set", {"f4"}), ("dict",
             {"a": 1}),
            ("module", np), ("abstract", np.floating), ("long", LONG), ("syntax", "f4,(,"), ("surrogate", "\ud800"),
            ("huge_repr", HugeRepr()), ("self", SelfDtype()), ("recursive", recursive()), ("null", "f4\0"),
            ("long_list", "f4," * 10**5), ("million_items", list(MANY)),
        )
    ),
    ("C08_dtype_float_for_complex", TypeError, "dtype=float32 can't hold the result, which is complex64",
     {"x": X.astype(np.complex64), "dtype": f32}),
    ("C08_dtype_int_for_complex", TypeError, "dtype=int64 can't hold", {"x": X.astype(np.complex64), "dtype": int}),
    ("C08_dtype_int_for_float16", TypeError, "dtype=int64 can't hold",
     {"x": X.astype(np.float16), "weight": W.astype(np.float16), "dtype": int}),
    ("C08_dtype_int_for_float_bias", TypeError, "dtype=int64 can't hold",
     {"x": X.astype(int), "weight": W.astype(int), "bias": B, "dtype": int}),
    # fill_value.
    *(
        (f"C11_fill_value_{kind}_in_float32", error, "fill_value", {"fill_value": value})
        for kind, error, value in (
            ("none", TypeError, None), ("string", TypeError, "0"), ("bytes", TypeError, b"0"), ("list", TypeError, [0]),
            ("pair", TypeError, (0, 0)), ("array1", TypeError, np.array([1.0])), ("array_empty", TypeError,
             np.array([])),
            ("object", TypeError, object()), ("fraction", TypeError, Fraction(1, 2)), ("decimal", TypeError,
             Decimal(1)),
            ("datetime", TypeError, np.datetime64(0, "s")), ("timedelta", TypeError, np.timedelta64(1, "ns")),
            ("timedelta_s", TypeError, np.timedelta64(1, "s")), ("numpy_str", TypeError, np.str_("1")),
            ("masked", TypeError, np.ma.masked), ("masked_number", TypeError, np.ma.array(2.0, mask=True)),
            ("array0_object", TypeError, np.array(None)),
            ("huge_repr", TypeError, HugeRepr()), ("index", TypeError, Index(1)),
            ("complex", TypeError, 1j), ("complex_zero", TypeError, 0j),
            ("complex_subclass", TypeError, Complex(1)), ("numpy_complex", TypeError, np.complex64(1)),
            ("1e300", ValueError, 1e300), ("minus_1e300", ValueError, -1e300), ("1e39", ValueError, 1e39),
            ("thousand_digits", ValueError, 10**1000), ("minus_thousand_digits", ValueError, -(10**1000)),
            ("int_10_39", ValueError, 10**39),
        )
    ),
    *(
        (f"C11_fill_value_{kind}_in_{dtype}", error, "fill_value",
         {"x": X.astype(dtype), "weight": W.astype(dtype), "fill_value": value})
        for dtype, kind, error, value in (
            ("int8", "nan", ValueError, NAN), ("int64", "inf", ValueError, INF), ("int32", "1.5", ValueError, 1.5),
            ("int64", "1.0", ValueError, 1.0), ("int64", "complex", TypeError, 1j), ("int64", "2_63", ValueError,
             2**63),
            ("int64", "minus_2_63_minus_1", ValueError, -(2**63) - 1), ("uint8", "minus_1", ValueError, -1),
            ("uint64", "2_64", ValueError, 2**64), ("int16", "thousand_digits", ValueError, 10**1000),
            ("float64", "thousand_digits", ValueError, 10**1000), ("float16", "1e300", ValueError, 1e300),
            ("complex64", "1e300", ValueError, 1e300), ("complex64", "1e300j", ValueError, 1e300j),
        )
    ),
    *(
        (f"C11_fill_value_1_with_{mode}", ValueError, "fill_value=1 has no meaning with padding_mode",
         {"fill_value": 1, "padding_mode": mode, "padding": 1})
        for mode in ("reflect", "symmetric", "edge", "wrap", "replicate", "circular")
    ),
    ("C11_fill_value_nan_with_reflect", ValueError, "fill_value=nan has no meaning",
     {"fill_value": NAN, "padding_mode": "reflect"}),
    # C12: the caller's own code runs inside the call.
    *(
        (f"C12_index_raises_{argument}", BoomError, "caller's own code",
         {argument: Index(1, boom)}) for argument in INTEGERS
    ),
    *(
        (f"C12_array_raises_{argument}", BoomError, "caller's own code", {argument: ArrayLike(boom)})
        for argument in ("x", "weight", "bias")
    ),
    *((f"C12_liar_{argument}_{value}", ValueError, f"{argument} must be at least", {argument: Liar(value)})
      for argument in INTEGERS for value in (0, -1, -(2**70)) if (argument, value) != ("padding", 0)),
    *((f"C12_liar_{argument}_2_70", ValueError, rf"{argument} must be less than 2\*\*63", {argument: Liar(2**70)})
      for argument in INTEGERS),
    ("C12_length_raises", TypeError, "x has dtype object", {"x": BadLen()}),
    ("C12_index_resizes_x_to_0", ValueError, "x must have 4 axes", lambda: resizing((0,))),
    ("C12_index_resizes_x_to_one_row", ValueError, "x has|kernel reaches over", lambda: resizing((2, 3, 1, 8))),
    ("C12_index_empties_x", ValueError, "x has an empty axis", lambda: resizing((2, 3, 0, 8))),
    ("C12_index_adds_channels", ValueError, "channels", lambda: resizing((2, 4, 8, 8))),
    # A03, A25: shapes without arrays.
    *(
        (f"A25_output_shape_{kind}", error, words,
         {"call": conv2d_output_shape, "x_shape": x, "weight_shape": w, **options})
        for kind, error, words, x, w, options in (
            ("2_21", ValueError, r"more than 2\*\*63 bytes", (2**21, 1, 2**21, 2**21), (2**21, 1, 1, 1), {}),
            ("2_62", ValueError, r"more than 2\*\*63 bytes", (1, 1, 2**62, 2**62), (1, 1, 1, 1), {}),
            ("2_63", ValueError, r"size in x_shape must be less than 2\*\*63", (1, 1, 2**63, 1), (1, 1, 1, 1), {}),
            ("thousand_digits", ValueError, "size in x_shape must be less", (1, 1, 10**1000, 1), (1, 1, 1, 1), {}),
            ("negative", ValueError, "size in x_shape must be at least 0, got -1", (1, 1, -1, 1), (1, 1, 1, 1), {}),
            ("negative_weight", ValueError, "size in weight_shape must be at least 0", (1, 1, 1, 1), (1, 1, -1, 1), {}),
            ("float", TypeError, "size in x_shape must be an integer, got 2.0", (1, 1, 2.0, 1), (1, 1, 1, 1), {}),
            ("nan", TypeError, "size in x_shape must be an integer, got nan", (1, 1, NAN, 1), (1, 1, 1, 1), {}),
            ("bool", TypeError, "size in x_shape must be an integer, got the bool", (True, 1, 1, 1), (1, 1, 1, 1), {}),
            ("str", TypeError, "x_shape must be a tuple of sizes, got '1133'", "1133", (1, 1, 1, 1), {}),
            ("none", TypeError, "x_shape must be a tuple of sizes, got None", None, (1, 1, 1, 1), {}),
            ("none_weight", TypeError, "weight_shape must be a tuple of sizes", (1, 1, 1, 1), None, {}),
            ("none_size", TypeError, "size in weight_shape must be an integer", (1, 1, 1, 1), (1, 1, None, 1), {}),
            ("array", TypeError, "x_shape must be a tuple of sizes", X, (4, 3, 3, 3), {}),
            ("number", TypeError, "x_shape must be a tuple of sizes, got 5", 5, (1, 1, 1, 1), {}),
            ("nested", TypeError, "size in x_shape must be an integer", ((1, 1), (1, 1)), (1, 1, 1, 1), {}),
            ("generator", TypeError, "x_shape must be a tuple of sizes", (1 for _ in range(4)), (1, 1, 1, 1), {}),
            ("huge_repr", TypeError, "x_shape must be a tuple of sizes", HugeRepr(), (1, 1, 1, 1), {}),
            ("no_sizes", ValueError, "x must have 4 axes", (), (1, 1, 1, 1), {}),
            ("three_sizes_of_weight", ValueError, "weight must have 4 axes", (1, 1, 5), (1, 1, 1), {}),
            ("rank_64", ValueError, "x must have 4 axes", (1,) * 64, (1, 1, 1, 1), {}),
            ("rank_65", ValueError, "x", (1,) * 65, (1, 1, 1, 1), {}),
            ("million_sizes", ValueError, "x", MANY, (1, 1, 1, 1), {}),
            ("stride_0", ValueError, "stride must be at least 1", (1, 1, 4, 4), (1, 1, 1, 1), {"stride": 0}),
            ("stride_1110", ValueError, "stride must be an int", (1, 1, 4, 4), (1, 1, 1, 1), {"stride": (1, 1, 1, 0)}),
            ("2_32_plus_1", ValueError, "kernel reaches over 4294967297", (1, 1, 1, 2**32), (1, 1, 1, 2**32 + 1), {}),
            # The longest messages: every number has its 19 digits.
            ("all_2_63", ValueError, "kernel reaches over", (HUGE,) * 4, (HUGE,) * 4, {"dilation": HUGE}),
            ("all_2_63_padded", ValueError, "the padded height", (HUGE,) * 4, (HUGE,) * 4, {"padding": HUGE}),
            ("all_2_63_result", ValueError, r"more than 2\*\*63 bytes", (HUGE,) * 4, (HUGE, HUGE, 1, 1), {}),
            ("all_2_63_groups", ValueError, "groups", (HUGE,) * 4, (HUGE,) * 4, {"groups": HUGE - 1}),
            ("all_2_63_channels", ValueError, "channels", (HUGE,) * 4, (HUGE, HUGE - 1, HUGE, HUGE), {}),
            ("all_2_63_grouped_channels", ValueError, "channels", (HUGE,) * 4, (HUGE,) * 4, {"groups": HUGE}),
            ("all_2_63_empty", ValueError, "empty axis", (HUGE, 0, HUGE, HUGE), (HUGE,) * 4, {}),
            ("formats", ValueError, "x must have 4 axes", (HUGE,) * 7, (HUGE,) * 7, {"data_format": "CWNH"}),
        )
    ),
]  # fmt: skip
REFUSED_IDS = [row[0] for row in REFUSED]


def build(changes):
    """The function and the keyword arguments of a row, with an `out` of sentinels where the row has no other."""
    changes = changes() if callable(changes) else dict(changes)
    call = changes.pop("call", conv2d)
    if call is not conv2d:
        return call, changes
    arguments = {"x": X, "weight": W, "out": poisoned} | changes
    if type(arguments["out"]) is type(poisoned):
        arguments["out"] = arguments["out"]()
    return call, arguments


def poisoned(shape=GOOD_SHAPE, dtype=f32):
    return np.full(int(np.prod(shape)) * np.dtype(dtype).itemsize, 0xA5, np.uint8).view(dtype).reshape(shape)


def attempt(call, arguments):
    """The exception of a call, or None, without the frames that would keep its arguments alive."""
    try:
        call(**arguments)
    except Exception as error:
        return error.with_traceback(None)
    return None


@pytest.mark.parametrize(("error", "words", "changes"), [row[1:] for row in REFUSED], ids=REFUSED_IDS)
def test_refused_with_a_sentence(error, words, changes):
    call, arguments = build(changes)
    out = arguments.get("out")
    before = np.asarray(out).tobytes() if isinstance(out, np.ndarray) and not out.dtype.hasobject else None
    attempt(*build(changes))  # what is imported or cached once is no allocation of the call
    tracemalloc.start()
    try:
        caught = attempt(call, arguments)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()

    assert caught is not None, "the call was accepted"
    families = error if isinstance(error, tuple) else (error,)
    if isinstance(caught, BackendUnsupportedError) and BackendUnsupportedError not in families:
        raise caught  # of a backend that refuses more
    exact = type(caught) in families or (MemoryError in families and isinstance(caught, MemoryError))
    assert exact, f"{type(caught).__name__}: {caught!s:.300}"
    message = str(caught)
    assert len(message) <= 500
    assert message[:1].isalpha(), message
    assert message.endswith((".", "?")), message  # or with "Did you mean …?"
    assert "0x" not in message
    assert not re.search(r"\barray\(", message), message  # numpy.asarray(x) is advice
    assert re.search(words, message), message
    if not isinstance(caught, MemoryError):  # NumPy reports what it asked for in vain
        assert peak < 2**20, f"{peak} bytes were allocated"
    if before is not None:
        assert np.asarray(out).tobytes() == before, "out was written"


@pytest.mark.parametrize(
    ("error", "changes"),
    [
        pytest.param(row[1], row[3], id=row[0])
        for row in REFUSED
        if row[1] in (ValueError, TypeError, BoomError) and (callable(row[3]) or not {"call", "out"} & row[3].keys())
    ],
)  # fmt: skip
def test_explain_and_output_shape_refuse_alike(error, changes):
    # R1, A03: one validator for every entry. What is about arrays' contents or about backends is conv2d's own.
    arguments = build(changes)[1] | {"out": None}
    caught = attempt(conv2d, arguments)
    arguments = build(changes)[1]
    del arguments["out"]
    explained = attempt(explain, arguments)
    assert (type(explained), str(explained)) == (type(caught), str(caught))

    x, weight = arguments.pop("x"), arguments.pop("weight")
    of_shapes = {"stride", "padding", "dilation", "groups", "data_format", "weight_format"}
    if arguments.keys() <= of_shapes and all(type(a) is np.ndarray and a.dtype == f32 for a in (x, weight)):
        if callable(changes):
            return  # the arrays change during the call
        shaped = attempt(conv2d_output_shape, {"x_shape": x.shape, "weight_shape": weight.shape} | arguments)
        assert (type(shaped), str(shaped)) == (type(caught), str(caught))


def by_plan(arguments):
    """What `conv2d` does with the same arguments, through a plan."""
    arguments = dict(arguments)
    of_a_call = {name: arguments.pop(name) for name in ("x", "out", "num_threads") if name in arguments}
    return fastconv.plan_conv2d(**arguments)(**of_a_call)


@pytest.mark.parametrize(
    ("error", "changes"),
    [pytest.param(row[1], row[3], id=row[0]) for row in REFUSED if build(row[3])[0] is conv2d],
)
def test_a_plan_refuses_alike(error, changes):
    _, arguments = build(changes)
    out = arguments["out"]
    before = np.asarray(out).tobytes() if isinstance(out, np.ndarray) and not out.dtype.hasobject else None
    caught = attempt(by_plan, {"arguments": arguments})
    families = error if isinstance(error, tuple) else (error,)
    weight = arguments["weight"]
    if type(weight) is np.ndarray and np.prod(weight.shape, dtype=float) > 2**34:  # too many for a copy
        families = (MemoryError,)
    if isinstance(caught, BackendUnsupportedError) and BackendUnsupportedError not in families:
        raise caught
    assert type(caught) in families or (MemoryError in families and isinstance(caught, MemoryError)), repr(caught)[:300]
    message = str(caught)
    assert len(message) <= 500
    assert message[:1].isalpha(), message
    assert message.endswith((".", "?")), message
    if before is not None:
        assert np.asarray(out).tobytes() == before, "out was written"


def test_refused_within_a_millisecond():
    # A promise of the documentation, not a measure of speed: no message may cost a walk through what was passed. It is
    # this thread's processor time, so that a busy machine changes nothing.
    slow = {}
    for name, _, _, changes in REFUSED:
        best = INF
        for _ in range(5):
            call, arguments = build(changes)
            start = time.thread_time()
            attempt(call, arguments)
            best = min(best, time.thread_time() - start)
        if best >= 1e-3:
            slow[name] = f"{best * 1e3:.1f} ms"
    assert not slow


def test_failures_leave_nothing_behind():
    # R14: after a first round, which may fill caches, the same failures need no more memory.
    def round_of_failures():
        for _, _, _, changes in REFUSED:
            attempt(*build(changes))
        gc.collect()
        return tracemalloc.get_traced_memory()[0]

    tracemalloc.start(1)
    try:
        round_of_failures()
        before = round_of_failures()
        assert round_of_failures() - before < 16 * 1024
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("entry", [conv2d, explain])
def test_a_backend_that_fails_keeps_nothing_of_the_calls(entry, monkeypatch):
    # R14: the failure is remembered, the frames of those who met it, with their arrays, are not.
    table = sys.modules["fastconv.backends._table"]
    spec = fastconv.BackendSpec("broken", "fastconv.no_such_module:Backend")
    monkeypatch.setitem(table._registered, "broken", spec)
    monkeypatch.setattr(table, "_loaded", {})
    depths = []
    for _ in range(3):
        x = X.copy()
        alive = weakref.ref(x)
        try:
            entry(x, W, backend="broken")
        except fastconv.BackendLoadError as error:
            depths.append(len(traceback.extract_tb(error.__traceback__)))
        del x
        gc.collect()
        assert alive() is None
    assert depths[1:2] == depths[2:]  # nor does the traceback grow


def unaligned(array):
    """The same values one byte after an aligned address."""
    packed = np.empty(array.shape, [("pad", "u1"), ("value", array.dtype)])
    packed["value"] = array
    assert not packed["value"].flags.aligned
    return packed["value"]


def swapped(array):
    return array.astype(array.dtype.newbyteorder())


def strided(array, strides):
    """The same memory with other strides for the axes of length 1, where a stride means nothing."""
    return as_strided(array, array.shape, strides)


def mapped(shape, cut=...):
    """Lattice in a file of holes; the map outlives the file's name and handle."""
    with tempfile.TemporaryFile() as file:
        array = np.memmap(file, f32, "w+", shape=shape)[cut]
    array[...] = lattice(*array.shape)
    return array


def far_rows(*shape):
    """Rows more than 2**31 bytes apart."""
    return mapped((shape[0], 2**29 + 16), np.s_[:, -shape[1] :])


def read_only_map(array):
    with tempfile.TemporaryFile() as file:
        file.write(array.tobytes())
        file.flush()
        return np.memmap(file, array.dtype, "r", shape=array.shape)


def good(**changes):
    return {"x": X, "weight": W} | changes


def overlapping(view, weight=W, **options):
    """A call whose `out`, as `view` cuts it from the memory of x, is read and written."""
    buffer = lattice(4096)
    x = buffer[:384].reshape(2, 3, 8, 8)
    return {"x": x, "weight": weight, "out": view(buffer, x), **options}


def with_own_out(name, shape, **options):
    """A call whose `out` is one of its own inputs."""
    arguments = {"x": lattice(1, 4, 3, 3), "weight": lattice(4, 4, 3, 3), "bias": lattice(4), **options}
    arguments["out"] = arguments[name].reshape(shape)
    return arguments


BASE = lattice(2, 16, 16, 16)
PLANE = {"x": lattice(5, 7), "weight": lattice(3, 2)}

ACCEPTED = [
    # A02, A08, A13, B32: N = 0 and O = 0 are empty results.
    ("A02_no_outputs", good(weight=empty(0, 3, 3, 3))),
    ("A02_no_outputs_bias", good(weight=empty(0, 3, 3, 3), bias=empty(0))),
    ("A08_no_images_no_outputs", good(x=empty(0, 3, 8, 8), weight=empty(0, 3, 3, 3))),
    ("A13_no_images", good(x=empty(0, 3, 8, 8))),
    ("A13_no_images_bias_groups", good(x=empty(0, 3, 8, 8), weight=lattice(6, 1, 3, 3), bias=lattice(6), groups=3)),
    ("A13_no_images_nhwc", good(x=empty(0, 8, 8, 3), weight=lattice(3, 3, 3, 4), data_format="NHWC")),
    ("A13_no_images_integers", good(x=np.zeros((0, 3, 8, 8), np.int8), weight=W.astype(np.int8))),
    ("A13_no_images_out", good(x=empty(0, 3, 8, 8), out=empty(0, 4, 6, 6))),
    ("A13_no_outputs_one_image", good(x=lattice(3, 8, 8), weight=empty(0, 3, 3, 3))),
    ("A13_no_images_num_threads", good(x=empty(0, 3, 8, 8), num_threads=2)),
    # A04, B34: strides beyond the image.
    ("A04_stride_56", {"x": lattice(2, 2, 2, 2), "weight": lattice(6, 2, 1, 1), "stride": (56, 39)}),
    ("B34_stride_2_62", good(stride=2**62)),
    ("B34_stride_2_63_minus_1", good(stride=HUGE)),
    ("B34_stride_2_62_one_axis", good(stride=(1, 2**62))),
    ("B34_stride_2_62_rows", good(stride=(2**62, 2))),
    ("B34_stride_4634247419717959497", good(stride=4634247419717959497)),
    ("B34_stride_2_62_same", good(stride=2**62, padding="same")),
    ("B34_stride_2_62_planes", {**PLANE, "stride": 2**62}),
    ("B34_stride_2_62_float64", good(x=X.astype(float), weight=W.astype(float), stride=2**62)),
    ("B34_stride_2_62_integers", good(x=X.astype(int), weight=W.astype(int), stride=2**62)),
    # C26, R15: the work is that of the outputs, whatever the padding.
    ("C26_padding_2_30", {"x": lattice(1, 1, 1, 1) + 1, "weight": lattice(1, 1, 1, 1) + 1, "padding": 2**30,
     "stride": 2**30}),
    *(
        (f"C26_padding_2_30_{mode}", {"x": lattice(1, 2, 3, 2), "weight": lattice(2, 2, 2, 3), "padding": 2**30,
         "stride": 2**30 - 1, "padding_mode": mode})
        for mode in ("constant", "reflect", "symmetric", "edge", "wrap")
    ),
    ("C26_padding_2_61_before", {"x": lattice(1, 1, 3, 3), "weight": lattice(1, 1, 2, 2), "padding": ((2**61, 0), (0,
     2**61)),
     "stride": 2**60}),
    ("C26_full_dilation_2_61", {"x": lattice(1, 1, 3, 1) + 1, "weight": lattice(1, 1, 2, 2) + 1, "padding": "full",
     "dilation": 2**61, "stride": 2**61}),
    ("C26_fill_value", {"x": lattice(1, 1, 1, 1), "weight": lattice(3, 1, 2, 2), "padding": 2**30, "stride": 2**30,
     "fill_value": 3}),
    ("B05_dilation_2_63_minus_1_of_one_tap", good(weight=lattice(4, 3, 1, 1), dilation=HUGE)),
    ("B05_dilation_2_62_of_one_row", good(weight=lattice(4, 3, 1, 3), dilation=(2**62, 2))),
    ("B05_dilation_2_63_minus_1_flip", good(weight=lattice(4, 3, 1, 1), dilation=HUGE, flip=True)),
    # B13: an axis of length 1 may have any stride.
    *(
        (f"B13_stride_{name}_of_one", {
            "x": strided(lattice(1, 3, 7, 1), (stride, 28, 4, stride)),
            "weight": strided(lattice(1, 3, 5, 1), (stride, 20, 4, stride)),
            "bias": strided(lattice(1), (stride,)),
            "padding": 2,
        })
        for name, stride in (("0", 0), ("1", 1), ("minus_8", -8), ("2_40", 2**40), ("minus_2_62", -(2**62)))
    ),
    ("B13_k125", {"x": strided(lattice(1, 1, 130, 1), (2**40, 1, 4, 3)), "weight": lattice(3, 1, 125, 1),
     "bias": lattice(3),
     "padding": (63, 0)}),
    ("B13_out_stride_of_one", {"x": lattice(1, 3, 7, 7), "weight": lattice(1, 3, 7, 1),
     "out": strided(np.zeros((1, 1, 1, 7), f32), (3, -8, 2**40, 4))}),
    # B15, B16, B19: sizes and strides beyond 32 bits, in little memory.
    ("B15_4294967297_columns", {"x": ones(1, 1, 1, 2**32 + 1), "weight": ones(1, 1, 1, 1), "stride": 2**32},
     np.ones((1, 1, 1, 2), f32)),
    ("B15_1e9_square", {"x": ones(1, 1, 10**9, 10**9), "weight": ones(2, 1, 3, 3), "stride": 10**9 - 3},
     np.full((1, 2, 2, 2), 9, f32)),
    ("B16_2_31_columns", {"x": ones(1, 1, 2, 2**31), "weight": ones(1, 1, 2, 2), "stride": (1, 2**31 - 2),
     "padding": "same"},
     np.array([[[[4, 4], [2, 2]]]], f32)),
    ("B16_kernel_2_31_rows_stride", {"x": ones(2, 2**31 + 1), "weight": ones(1, 1), "stride": (1, 2**31)}, np.ones((2,
     2), f32)),
    ("B19_far_rows", lambda: {"x": far_rows(3, 4), "weight": lattice(2, 2)}),
    ("B19_far_rows_reversed", lambda: {"x": far_rows(3, 4)[::-1], "weight": lattice(2, 2)}),
    ("B19_far_kernel_rows", lambda: {"x": lattice(5, 7), "weight": far_rows(2, 2)}),
    ("B19_far_out_rows", lambda: {"x": lattice(4, 5), "weight": lattice(2, 2), "out": far_rows(3, 4)}),
    *((f"B19_crop_{i}", good(x=BASE[:, 2:5, rows, columns])) for i, (rows, columns) in enumerate(itertools.product(
        (slice(None, 8), slice(-8, None)), repeat=2))),
    # B17, B18, C27: kernels that see more padding than image.
    *((f"B18_one_pixel_k{k}", {"x": lattice(1, 1, 1, 1) + 9, "weight": lattice(2, 1, k, k), "padding": k // 2})
      for k in range(1, 32)),
    *((f"B17_kernel_over_image_{mode}", {"x": lattice(1, 2, 2, 3), "weight": lattice(2, 2, 7, 9), "padding": 6,
       "padding_mode": mode}) for mode in ("constant", "reflect", "symmetric", "edge", "wrap", "zeros", "replicate",
        "circular")),
    ("C27_ow100_pw100", {"x": lattice(1, 16, 1, 1), "weight": lattice(16, 16, 1, 3), "padding": (0, 100)}),
    ("C27_kernel_in_padding", good(padding=((7, 3), (0, 9)), bias=B)),
    ("C27_kernel_in_padding_fill", good(padding=9, fill_value=-2)),
    ("C27_kernel_is_image", good(weight=lattice(4, 3, 8, 8))),
    ("C27_kernel_is_padded_image", good(weight=lattice(4, 3, 10, 12), padding=(1, 2))),
    ("C27_full", good(padding="full")),
    # C01: byte order.
    *((f"C01_swapped_{dtype}", good(x=swapped(X.astype(dtype)), weight=swapped(W.astype(dtype)),
     bias=swapped(B.astype(dtype))))
      for dtype in ("f2", "f4", "f8", "i2", "i4", "i8", "u8", "c8", "c16")),
    ("C01_swapped_x", good(x=swapped(X))),
    ("C01_swapped_weight", good(weight=swapped(W))),
    ("C01_swapped_bias", good(bias=swapped(B))),
    ("C01_swapped_out", lambda: good(out=np.zeros(GOOD_SHAPE, swapped(X).dtype))),
    ("C01_swapped_dtype", good(dtype=np.dtype("f8").newbyteorder())),
    # C02: any layout is read in place.
    ("C02_every_other_column", good(x=BASE[:, :3, ::2, ::2])),
    ("C02_reversed_rows", good(x=X[:, :, ::-1])),
    ("C02_reversed_everything", good(x=X[::-1, ::-1, ::-1, ::-1], weight=W[::-1, ::-1, ::-1, ::-1], bias=B[::-1])),
    ("C02_reversed_and_skipped", good(x=BASE[::-1, 9:3:-2, ::-2, ::-1])),
    ("C02_transposed", good(x=X.transpose(0, 1, 3, 2), weight=W.transpose(0, 1, 3, 2))),
    ("C02_fortran", good(x=np.asfortranarray(X), weight=np.asfortranarray(W))),
    ("C02_nhwc_view", good(x=np.ascontiguousarray(X.transpose(0, 2, 3, 1)).transpose(0, 3, 1, 2))),
    ("C02_nhwc_of_nchw", good(x=X.transpose(0, 2, 3, 1), weight=W.transpose(2, 3, 1, 0), data_format="NHWC")),
    ("C02_broadcast_everything", good(x=ones(2, 3, 8, 8), weight=ones(4, 3, 3, 3), bias=ones(4))),
    ("C02_broadcast_channels", good(x=np.broadcast_to(X[:, :1], X.shape))),
    ("C02_broadcast_rows", good(x=np.broadcast_to(X[:, :, :1], X.shape))),
    ("C02_broadcast_weight", good(weight=np.broadcast_to(W[:1], W.shape))),
    ("C02_diagonal", {"x": BASE.diagonal(axis1=0, axis2=1).transpose(2, 0, 1), "weight": lattice(4, 2, 3, 3)}),
    ("C02_real_part", good(x=(X + 1j * X[::-1]).astype(np.complex64).imag)),
    # C03: overlapping inputs are read only.
    ("C03_windows", {"x": sliding_window_view(lattice(40), 9)[None, None], "weight": lattice(2, 1, 3, 3)}),
    ("C03_windows_of_weight", {"x": lattice(1, 1, 9, 9), "weight": sliding_window_view(lattice(9), (3,))[None, None,
     :4]}),
    ("C03_as_strided", {"x": as_strided(lattice(64), (1, 3, 8, 8), (0, 4, 8, 4)), "weight": W}),
    ("C03_half_elements", {"x": as_strided(lattice(64), (1, 3, 8, 8), (0, 16, 4, 4)), "weight": W}),
    ("C03_x_is_weight", {"x": X[:, :, :3, :3], "weight": X[:, :, :3, :3]}),
    # C05: out in any layout.
    ("C05_out_reversed", lambda: good(out=np.zeros(GOOD_SHAPE, f32)[::-1, :, ::-1, ::-1])),
    ("C05_out_skipped", lambda: good(out=np.zeros((4, 4, 6, 18), f32)[::2, :, :, 1::3])),
    ("C05_out_fortran", lambda: good(out=np.zeros(GOOD_SHAPE, f32, order="F"))),
    ("C05_out_transposed", lambda: good(out=np.zeros((6, 6, 4, 2), f32).T)),
    ("C05_out_unaligned", lambda: good(out=unaligned(np.zeros(GOOD_SHAPE, f32)))),
    ("C05_out_float64", lambda: good(out=np.zeros(GOOD_SHAPE), dtype=float)),
    ("C05_out_int32", lambda: good(x=X.astype(int), weight=W.astype(int), out=np.zeros(GOOD_SHAPE, "i4"), dtype="i4")),
    ("C05_out_complex", lambda: good(x=X + 1j, out=np.zeros(GOOD_SHAPE, complex)[..., ::-1], dtype=complex)),
    ("C05_out_memmap", lambda: good(out=mapped(GOOD_SHAPE))),
    # C08, C09: dtypes.
    *((f"C08_{dtype}", good(x=X.astype(dtype), weight=W.astype(dtype), bias=B.astype(dtype)))
      for dtype in ("?", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", "f2", "f4", "f8", "c8", "c16")),
    ("C08_float32_float64", good(weight=W.astype(float))),
    ("C08_int_float32", good(x=X.astype(np.int16))),
    ("C08_uint64_int64", good(x=X.astype(np.uint64), weight=W.astype(int))),
    ("C08_bool_uint8", good(x=X > 0, weight=W.astype(np.uint8))),
    ("C08_complex_float", good(x=X.astype(np.complex64))),
    ("C08_float64_bias", good(bias=B.astype(float))),
    ("C09_int8_extremes", good(x=np.full((1, 3, 5, 5), -128, np.int8), weight=np.full((2, 3, 3, 3), -128, np.int8))),
    ("C09_uint8_extremes", good(x=np.full((1, 3, 5, 5), 255, np.uint8), weight=np.full((2, 3, 3, 3), 255, np.uint8))),
    ("C09_int64_wraps", good(x=np.full((1, 3, 5, 5), -(2**63)), weight=np.full((2, 3, 3, 3), -(2**63)))),
    ("C09_int64_odd_wraps", good(x=np.full((1, 3, 5, 5), HUGE), weight=np.full((2, 3, 3, 3), HUGE))),
    ("C09_uint64_wraps", good(x=np.full((1, 3, 5, 5), 2**64 - 1), weight=np.full((2, 3, 3, 3), 2**64 - 1))),
    ("C09_narrow_result_wraps", good(x=np.full((1, 3, 5, 5), 255, "u1"), weight=np.full((2, 3, 3, 3), 255, "u1"),
     dtype="u1")),
    ("C09_fill_2_64_minus_1", good(x=X.astype("u8"), weight=W.astype("u8"), padding=1, fill_value=2**64 - 1)),
    # C10, C11, C12: what is converted.
    ("C10_lists", {"x": lattice(1, 2, 5, 5).tolist(), "weight": lattice(2, 2, 3, 3).tolist(), "bias": [1.0, 2.0]}),
    ("C10_tuples", {"x": tuple(map(tuple, lattice(5, 5).tolist())), "weight": ((1, 2), (3, 4))}),
    ("C10_memoryview", {"x": memoryview(lattice(5, 5)), "weight": lattice(2, 2)}),
    ("C10_lists_of_int", {"x": [[1, 2], [3, 4]], "weight": [[1]]}),
    ("C11_numpy_integers", good(stride=np.int64(2), padding=np.uint8(1), dilation=np.int8(1), groups=np.int16(1))),
    ("C11_array0", good(stride=np.array(2), padding=np.array(1), dilation=np.array(1), groups=np.array(1))),
    ("C11_array2", good(stride=np.array([1, 2]), padding=np.array([[1, 0], [2, 0]]), dilation=np.array([2, 1]))),
    ("C11_lists", good(stride=[1, 2], padding=[[1, 0], [2, 0]], dilation=[2, 1])),
    ("C11_numpy_pair", good(stride=(np.int64(1), np.array(2)), padding=((np.uint8(1), 0), [2, 0]))),
    ("C11_index", good(stride=Index(2), padding=(Index(1), 0), num_threads=Index(1))),
    ("C11_int_subclass", good(stride=Liar(2), padding=Liar(1), dilation=Liar(2), groups=Liar(1), num_threads=Liar(2))),
    ("C11_num_threads_2_31", good(num_threads=2**31)),
    ("C11_num_threads_2_62", good(num_threads=2**62)),
    ("C11_num_threads_2_63_minus_1", good(num_threads=HUGE)),
    ("C11_flip_numpy_bool", good(flip=np.True_)),
    ("C11_fill_value_0d", good(padding=1, fill_value=np.array(2, f32))),
    ("C11_fill_value_float32", good(padding=1, fill_value=f32(2))),
    ("C11_fill_value_bool", good(padding=1, fill_value=True)),
    ("C11_fill_value_thousand_digits_of_0", good(padding=1, fill_value=-0.0)),
    *((f"C11_padding_{name}", good(padding=name, stride=2)) for name in ("SAME", "Same_Lower", "FULL", "Valid")),
    ("C11_upper_and_lower_case", good(padding_mode="Reflect", padding=1, data_format="nchw", weight_format="oiHW")),
    ("C11_backend_list", good(backend=["nope", "cpu"])),
    ("C12_array_calls_conv2d", {"x": ArrayLike(lambda: conv2d(lattice(7, 7), lattice(3, 3))), "weight": lattice(2, 2)}),
    ("C12_index_calls_conv2d", good(stride=Index(2, lambda: conv2d(X, W)))),
    # B28: out overlaps the inputs.
    ("B28_out_is_x", lambda: overlapping(lambda buffer, x: x, weight=lattice(3, 3, 3, 3), padding=1)),
    ("B28_out_is_x_reversed", lambda: overlapping(lambda buffer, x: x[..., ::-1], weight=lattice(3, 3, 3, 3),
     padding="same")),
    ("B28_out_is_x_upside_down", lambda: overlapping(lambda buffer, x: x[::-1], weight=lattice(3, 3, 3, 3), padding=1)),
    ("B28_out_is_x_transposed", lambda: overlapping(lambda buffer, x: x.swapaxes(2, 3), weight=lattice(3, 3, 1, 1))),
    ("B28_out_one_row_on", lambda: overlapping(lambda buffer, x: buffer[8:392].reshape(2, 3, 8, 8), weight=lattice(3, 3,
     3, 3),
     padding=1)),
    ("B28_out_one_element_on", lambda: overlapping(lambda buffer, x: buffer[1:385].reshape(x.shape), weight=lattice(3,
     3, 3, 3),
     padding=1)),
    ("B28_out_bytes_of_x", lambda: overlapping(lambda buffer, x: buffer.view("f8")[:192].reshape(2, 4, 4, 6)[:, :, :,
     :6],
     weight=lattice(4, 3, 5, 3), dtype=float)),
    ("B28_out_inside_x", lambda: overlapping(lambda buffer, x: x[:, :, 1:7, 1:7], weight=lattice(3, 3, 3, 3))),
    ("B28_out_is_weight", lambda: with_own_out("weight", (1, 4, 6, 6), padding=((2, 3), (3, 2)))),
    ("B28_out_is_bias", lambda: with_own_out("bias", (1, 4, 1, 1))),
    ("B28_out_is_x_and_bias", lambda: {"x": (a := lattice(1, 4, 1, 1)), "weight": lattice(4, 4, 1, 1),
     "bias": a.reshape(4), "out": a}),
    ("B28_out_between_x", lambda: {"x": (a := lattice(1, 1, 8, 16))[..., ::2], "weight": lattice(1, 1, 1, 1),
     "out": a[..., 1::2]}),
    # B29 to B31: subclasses, read-only and unaligned memory.
    ("B29_no_mask", good(x=np.ma.array(X), weight=np.ma.array(W), bias=np.ma.array(B))),
    ("B29_mask_of_false", good(x=np.ma.array(X, mask=np.zeros(X.shape, bool)), weight=np.ma.array(W, mask=False))),
    ("B29_subclass", good(x=X.view(LyingShape))),
    ("B29_recarray", good(x=X.view(np.recarray))),
    ("B30_frombuffer", good(x=np.frombuffer(X.tobytes(), f32).reshape(X.shape), weight=np.frombuffer(W.tobytes(),
     f32).reshape(W.shape),
     bias=np.frombuffer(B.tobytes(), f32))),
    ("B30_memmap", lambda: good(x=read_only_map(X), weight=read_only_map(W), bias=read_only_map(B))),
    *((f"B31_unaligned_{dtype}", good(x=unaligned(X.astype(dtype)), weight=unaligned(W.astype(dtype)),
     bias=unaligned(B.astype(dtype))))
      for dtype in ("f2", "f4", "f8", "i4", "i8", "c8")),
    *((f"B31_frombuffer_offset_{offset}", good(x=np.frombuffer(bytes(offset) + X.tobytes(), f32,
     offset=offset).reshape(X.shape)))
      for offset in (1, 2, 3)),
    ("B31_unaligned_and_swapped", good(x=unaligned(swapped(X)), weight=unaligned(swapped(W)))),
]  # fmt: skip
ACCEPTED_IDS = [row[0] for row in ACCEPTED]
# Those without the reference's result ask for more than a backend owes, or for backends by name.
OWED = {row[0]: len(row) == 2 and row[0] != "C11_backend_list" for row in ACCEPTED}
ROWS = [pytest.param(row, id=row[0], marks=pytest.mark.semantics(OWED[row[0]])) for row in ACCEPTED]


def arguments_of(changes):
    return changes() if callable(changes) else dict(changes)


def plain(value):
    """A contiguous, aligned, native copy of an argument."""
    array = np.asarray(value.answer() if isinstance(value, ArrayLike) else value)
    return np.array(array, array.dtype.newbyteorder("="), order="C")


@pytest.mark.parametrize("algorithm", ["direct", "auto"])
@pytest.mark.parametrize("row", ROWS)
def test_accepted_and_right(row, algorithm):
    arguments = arguments_of(row[1])
    out = arguments.get("out")
    names = [name for name in ("x", "weight", "bias") if name in arguments]
    if len(row) > 2:
        expected, before = row[2], {}
    else:
        before = {name: plain(arguments[name]) for name in names}
        expected = conv2d(**(arguments | before | {"out": None, "num_threads": None, "backend": "reference"}))

    questions = {key: value for key, value in arguments.items() if key != "out"}
    assert explain(**questions, algorithm=algorithm).problem.out_shape == expected.shape
    y = conv2d(**arguments, algorithm=algorithm)
    assert y.shape == expected.shape
    if out is None:
        assert type(y) is np.ndarray
        assert y.dtype == expected.dtype
        assert y.flags.owndata  # A30: not a view of scratch memory
        assert y.flags.c_contiguous
    else:
        assert y is out
    if algorithm == "direct" or expected.dtype.kind in "iu":
        np.testing.assert_array_equal(y, expected)
    else:  # small integers or not, other algorithms may round
        np.testing.assert_allclose(y, expected, rtol=1e-3, atol=1e-4 * np.abs(expected).max(initial=0))
    for name, value in before.items():
        if out is None or not np.may_share_memory(out, np.asarray(arguments[name])):
            np.testing.assert_array_equal(plain(arguments[name]), value, err_msg=f"{name} was written")


@pytest.mark.parametrize("row", ROWS)
def test_a_plan_accepts_alike(row, direct):
    expected = conv2d(**arguments_of(row[1]), **direct)
    arguments = arguments_of(row[1]) | direct
    y = by_plan(arguments)
    assert (y.shape, y.dtype) == (expected.shape, expected.dtype)
    assert y is arguments["out"] if arguments.get("out") is not None else y.flags.owndata
    np.testing.assert_array_equal(y, expected)


@pytest.mark.parametrize(
    "cut",
    [
        np.s_[1:3, 1:5, 1:7, 1:7],
        np.s_[2:0:-1, 1:5, 6:0:-1, 6:0:-1],
        np.s_[::2, ::2, 1:7, 1:7],
        np.s_[1:3, 4:0:-1, 1:7, 0:6],
    ],
    ids=["inside", "reversed", "skipped", "edge"],
)
@pytest.mark.parametrize("order", ["C", "F"])
def test_nothing_around_out_is_written(cut, order):
    # C05: canaries all around and between.
    parent = np.full((4, 8, 8, 8), 1e30, f32, order=order)
    out = parent[cut]
    conv2d(X, W, B, out=out)
    np.testing.assert_array_equal(out, conv2d(X, W, B, backend="reference"))
    out[...] = 1e30
    assert (parent == f32(1e30)).all()


@pytest.mark.parametrize("size", [(1, 3, 8, 8), (2, 3, 16, 16), (3, 3, 4, 4)])
def test_x_resized_by_an_argument(size):
    # C12: what an __index__ leaves behind is what is convolved.
    arguments = build(lambda: resizing(size))[1]
    y = conv2d(**arguments)
    np.testing.assert_array_equal(y, conv2d(arguments["x"].copy(), W, backend="reference"))


def test_huge_padding_is_quick():
    # R15: a loop over 2**60 padded pixels would not end; a generous bound, so that no slow machine fails.
    arguments = dict(ACCEPTED[ACCEPTED_IDS.index("C26_padding_2_30")][1])
    start = time.thread_time()
    y = conv2d(**arguments)
    assert time.thread_time() - start < 1
    assert y.shape == (1, 1, 3, 3)


def test_ids_are_unique():
    for ids in (REFUSED_IDS, ACCEPTED_IDS):
        assert len(set(ids)) == len(ids)
    assert len(REFUSED) >= 130


def report():
    """Attempt every row of both tables, by every entry, and print what came of it; for a child process."""

    def outcome(*words):
        print(*words[:-2], end=" ", flush=True)  # before the attempt, which may be the last
        print(type(attempt(*words[-2:])).__name__)

    for name, _, _, changes in REFUSED:
        outcome("refused", name, *build(changes))
        call, arguments = build(changes)
        if call is conv2d:
            del arguments["out"]
            outcome("explain_refused", name, explain, arguments)
    for name, changes, *_ in ACCEPTED:
        for algorithm in ("auto", "direct"):
            outcome(algorithm, name, conv2d, arguments_of(changes) | {"algorithm": algorithm})
            arguments = arguments_of(changes) | {"algorithm": algorithm}
            arguments.pop("out", None)
            outcome(f"explain_{algorithm}", name, explain, arguments)
    sys.stdout.flush()


@pytest.fixture(scope="module")
def child():
    # -O, since validation must not be made of assertions (R13).
    command = [sys.executable, "-P", "-O", "-X", "faulthandler", "-W", "error", "-c",
               f"import runpy; runpy.run_path({str(Path(__file__))!r}, run_name='malformed')['report']()"]  # fmt: skip
    environment = os.environ | {
        "PYTHONPATH": os.pathsep.join([str(Path(fastconv.__file__).parents[1]), *filter(None, sys.path)])
    }
    return subprocess.run(command, capture_output=True, text=True, env=environment, timeout=300, check=False)


@pytest.fixture(scope="module", autouse=True)
def _survives(request):
    # First of all, and in another process, so that a crash is a failure with a name and not the end of the run.
    if request.config.getoption("--fastconv-backend"):
        return  # the child tries what is cpu's alone, too
    child = request.getfixturevalue("child")
    if child.returncode:
        last = child.stdout.rpartition("\n")[2] or "before the first"
        pytest.fail(f"the child ended with {child.returncode} at case: {last}\n{child.stderr[-4000:]}", pytrace=False)


@pytest.mark.semantics(False)
def test_no_case_crashes(child):
    assert child.returncode == 0
    assert "Exception ignored" not in child.stderr
    assert "runtime error" not in child.stderr  # of a sanitizer, where one is built in


@pytest.mark.semantics(False)
def test_validation_needs_no_assertions(child):
    # R13: the outcomes are the same under -O.
    outcomes = {tuple(line.split()[:2]): line.split()[2] for line in child.stdout.splitlines()}
    for name, _, _, changes in REFUSED:
        assert outcomes["refused", name] == type(attempt(*build(changes))).__name__, name
    for name in ACCEPTED_IDS:
        for entry in ("auto", "direct", "explain_auto", "explain_direct"):
            assert outcomes[entry, name] == "NoneType", f"{entry} {name}"
