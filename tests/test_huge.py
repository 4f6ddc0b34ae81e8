"""Strides, dilations and padding up to 2**63 in small problems: every operator, against sums over Python's integers.

Time and memory follow the sizes of the arrays alone, so nothing here may hang or need memory.
"""

import math

import numpy as np
import pytest

import fastconv
from fastconv import conv2d, conv2d_grad_input, conv3d, conv_transpose2d, filter2d, pad2d

pytestmark = pytest.mark.semantics

MODES = ("constant", "reflect", "symmetric", "edge", "wrap")
SIZES = (1, 2, 3, 5, 17, 2**16, 2**31 - 1, 2**31, 2**32, 2**40, 2**55, 2**60)
SPATIAL = {"conv1d": 1, "conv_transpose1d": 1, "conv3d": 3, "conv_transpose3d": 3}
OPERATORS = (
    *("conv1d", "conv2d", "conv3d", "conv_transpose1d", "conv_transpose2d", "conv_transpose3d"),
    *("conv2d_grad_input", "conv2d_grad_weight", "unfold2d", "fold2d", "local_conv2d"),
)


def source(u, size, mode):
    """The pixel that is seen at u, or None."""
    if 0 <= u < size:
        return u
    if mode == "constant":
        return None
    if mode == "edge":
        return 0 if u < 0 else size - 1
    if mode == "wrap":
        return u % size
    period = 2 * size - 2 * (mode == "reflect") or 1
    u %= period
    return u if u < size else period - u - (mode == "symmetric")


def random_axis(rng):
    """Size, taps, stride, dilation, padding before and after, and outputs of an axis, few of each but of the middle."""
    while True:
        size, k, outputs = (int(rng.integers(1, most)) for most in (6, 4, 5))
        s, d = (SIZES[rng.integers(len(SIZES) if rng.random() < 0.6 else 3)] for _ in "sd")
        pad = max((outputs - 1) * s + (k - 1) * d + 1 - size, 0)
        before = (0, pad, int(rng.random() * pad))[rng.integers(3)]
        after = pad - before + int(rng.integers(3))
        padded = size + before + after
        if (k - 1) * d < padded < 2**62 and (padded - (k - 1) * d - 1) // s < 6:
            return size, k, s, d, before, after, (padded - (k - 1) * d - 1) // s + 1


def seen(axis, mode):
    """1 where a tap, at an output, sees a pixel."""
    size, k, s, d, before, _, outputs = axis
    table = np.zeros((k, outputs, size), int)
    for tap in range(k):
        for i in range(outputs):
            pixel = source(i * s + tap * d - before, size, mode)
            if pixel is not None:
                table[tap, i, pixel] = 1
    return table


@pytest.mark.parametrize("operator", OPERATORS)
def test_small_results_of_huge_geometry(operator, backend, unless_refused):
    adjoint = operator in ("conv2d_grad_input", "fold2d") or "transpose" in operator
    for seed in range(150):
        with unless_refused():
            rng = np.random.default_rng([seed, OPERATORS.index(operator)])
            axes = [random_axis(rng) for _ in range(SPATIAL.get(operator, 2))]
            mode = MODES[rng.integers(5)]
            if adjoint and backend == "reference" and mode != "constant":
                continue  # its definition is a loop over the padded image
            tables = [seen(axis, mode) for axis in axes]
            sizes, taps, strides, dilations, _, _, outputs = zip(*axes, strict=True)
            n, c, o = (int(rng.integers(1, 4)) for _ in range(3))
            geometry = {"stride": strides, "dilation": dilations, "padding_mode": mode}
            geometry["padding"] = tuple(axis[4:6] for axis in axes)
            dtype = ("f4", "f8", "i8")[rng.integers(3)]
            shapes = {"x": (n, c, *sizes), "w": (o, c, *taps), "y": (n, o, *outputs), "v": (*outputs, o, c, *taps)}
            shapes["cols"] = (n, c * math.prod(taps), *outputs)
            draw = {name: rng.integers(-3, 4, shape).astype(dtype) for name, shape in shapes.items()}
            x, w, y, v, cols = (draw[name].astype(int) for name in ("x", "w", "y", "v", "cols"))
            t, i, p = "tuv"[: len(axes)], "ijk"[: len(axes)], "pqr"[: len(axes)]
            see = ",".join(map("".join, zip(t, i, p, strict=True)))
            arguments, equation, numbers = {
                "conv2d_grad_input": (("y", "w", x.shape), f"no{i},oc{t},{see}->nc{p}", (y, w)),
                "conv2d_grad_weight": (("x", "y", w.shape), f"nc{p},no{i},{see}->oc{t}", (x, y)),
                "unfold2d": (("x", taps), f"nc{p},{see}->nc{t}{i}", (x,)),
                "fold2d": (("cols", sizes, taps), f"nc{t}{i},{see}->nc{p}", (cols.reshape(n, c, *taps, *outputs),)),
                "local_conv2d": (("x", "v"), f"nc{p},{i}oc{t},{see}->no{i}", (x, v)),
            }.get(operator) or (
                (("y", "w"), f"no{i},oc{t},{see}->nc{p}", (y, w))
                if adjoint
                else (("x", "w"), f"nc{p},oc{t},{see}->no{i}", (x, w))
            )
            expected = np.einsum(equation, *numbers, *tables, optimize=True)
            if "transpose" in operator:
                geometry["output_shape"] = sizes
            given = [draw[one] if isinstance(one, str) else one for one in arguments]
            result = getattr(fastconv, operator)(*given, **geometry, backend=backend)
            np.testing.assert_array_equal(result.reshape(expected.shape), expected, str((seed, axes, mode)))


@pytest.mark.parametrize("algorithm", ["auto", "planes", "interleaved"])
@pytest.mark.parametrize("dilation", [2**61, 2**62, 2**63 - 1])
def test_a_single_tap_has_no_dilation(algorithm, dilation):
    """Rows of outputs one dilation apart were counted in steps of four of them, which went round at 2**63."""
    x = np.arange(2.0 * 8 * 3).reshape(8, 3, 2)
    weight = np.ones((1, 2, 1, 2))
    options = {"groups": 2, "data_format": "HWC", "algorithm": algorithm}
    y = conv2d(x, weight, dilation=(dilation, 1), **options)
    np.testing.assert_array_equal(y, x[:, :-1] + x[:, 1:])
    y = conv2d(x.swapaxes(0, 1), weight.swapaxes(0, 1), dilation=(1, dilation), **options)
    np.testing.assert_array_equal(y, (x[:, :-1] + x[:, 1:]).swapaxes(0, 1))


def test_strides_of_one_window_in_depth():
    volume = np.arange(3.0 * 2 * 2).reshape(3, 2, 2)
    np.testing.assert_array_equal(conv3d(volume, np.ones((1, 1, 1)), stride=2**62), [[[0.0]]])


@pytest.mark.semantics(False)
def test_gradients_of_padding_that_taps_skip():
    options = {"padding": ((0, 0), (0, 2**62)), "dilation": (1, 2**62)}
    for mode, expected in (("edge", [1, 5]), ("wrap", [2, 4]), ("constant", [1, 2])):
        grad = conv2d_grad_input([[1, 2]], [[1, 1]], (1, 2), **options, padding_mode=mode)
        assert grad.tolist() == [expected], mode


def test_kernels_that_reach_too_far_for_a_gradient():
    options = {"padding": ((0, 0), (2**63 - 6, 0)), "dilation": (1, 2**62 - 2)}
    for call in (
        lambda: conv2d_grad_input(np.ones((1, 2)), np.ones((1, 3)), (1, 4), **options),
        lambda: conv_transpose2d(np.ones((1, 2)), np.ones((1, 3)), output_shape=(1, 4), **options),
    ):
        with pytest.raises(ValueError, match=r"reaches over 9223372036854775805 pixels .*use a smaller dilation\.$"):
            call()


def test_padding_that_no_memory_holds_is_said_to_be_the_results():
    for mode in MODES:
        with pytest.raises(MemoryError, match=r"there is no memory for a result of shape \(1, 1099511627777\)"):
            pad2d(np.ones((1, 1)), ((0, 0), (0, 2**40)), padding_mode=mode)


def test_images_without_memory_of_their_own():
    """Empty batches of huge images: what is no result needs no memory either."""
    images = np.broadcast_to(1.0, (0, 2, 4, 2**40))
    assert pad2d(images, 1).shape == (0, 2, 6, 2**40 + 2)
    many = np.broadcast_to(1.0, (0, 2**40, 4, 4))
    assert filter2d(many, np.ones((3, 3)), data_format="NCHW").shape == many.shape
