"""PyTorch as an oracle for what SciPy and NumPy do not have: unfold and fold, and depthwise kernels."""

import itertools

import numpy as np
import pytest

pytest.importorskip("torch", reason="PyTorch is the oracle")

import torch
from torch.nn import functional

import fastconv

pytestmark = pytest.mark.semantics
WINDOWS = list(itertools.product([(1, 1), (3, 2), (2, 4)], [1, (2, 3)], [0, (1, 2)], [1, (2, 1)]))


@pytest.mark.parametrize(("kernel", "stride", "padding", "dilation"), WINDOWS)
def test_unfold_and_fold(kernel, stride, padding, dilation, backend):
    rng = np.random.default_rng(0)
    x = rng.integers(-9, 9, (2, 3, 7, 6)).astype(np.float64)
    options = {"stride": stride, "padding": padding, "dilation": dilation}
    want = functional.unfold(torch.from_numpy(x), kernel, **options).numpy()
    cols = fastconv.unfold2d(x, kernel, **options, backend=backend)
    assert cols.shape[:2] == want.shape[:2]
    np.testing.assert_array_equal(cols.reshape(want.shape), want, strict=True)

    values = rng.integers(-9, 9, want.shape).astype(np.float64)
    want = functional.fold(torch.from_numpy(values), (7, 6), kernel, **options).numpy()
    image = fastconv.fold2d(values.reshape(cols.shape), (7, 6), kernel, **options, backend=backend)
    np.testing.assert_array_equal(image, want, strict=True)


@pytest.mark.parametrize("mode", ["reflect", "replicate", "circular"])
def test_fold_is_the_gradient_of_unfold_also_where_padding_repeats_pixels(mode):
    rng = np.random.default_rng(0)
    x = torch.from_numpy(rng.integers(-9, 9, (2, 3, 5, 6)).astype(np.float64)).requires_grad_()
    unfolded = functional.unfold(functional.pad(x, (2, 3, 1, 4), mode), (3, 2), stride=2)
    grad = rng.integers(-9, 9, unfolded.shape).astype(np.float64)
    (want,) = torch.autograd.grad(unfolded, x, torch.from_numpy(grad))
    options = {"stride": 2, "padding": ((1, 4), (2, 3)), "padding_mode": mode}
    cols = fastconv.unfold2d(x.detach().numpy(), (3, 2), **options)
    np.testing.assert_array_equal(cols.reshape(unfolded.shape), unfolded.detach().numpy())
    image = fastconv.fold2d(grad.reshape(cols.shape), (5, 6), (3, 2), **options)
    np.testing.assert_array_equal(image, want.numpy(), strict=True)


def test_depthwise_kernels():
    rng = np.random.default_rng(0)
    x, weight = rng.integers(-9, 9, (2, 4, 6, 7)), rng.integers(-9, 9, (3, 4, 3, 2))  # N, C, H, W and O, I, H, W
    theirs = torch.from_numpy(weight.transpose(1, 0, 2, 3).reshape(12, 1, 3, 2).astype(np.float64))
    want = functional.conv2d(torch.from_numpy(x.astype(np.float64)), theirs, groups=4, padding=1, stride=2).numpy()
    np.testing.assert_array_equal(fastconv.depthwise_conv2d(x, weight, padding=1, stride=2), want)
