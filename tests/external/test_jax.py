"""JAX as an oracle for local_conv2d, which hardly any other library has."""

import numpy as np
import pytest

pytest.importorskip("jax", reason="JAX is the oracle")

from jax import lax

import fastconv

pytestmark = pytest.mark.semantics


@pytest.mark.parametrize("padding", ["VALID", "SAME", ((1, 2), (0, 3))], ids=str)
@pytest.mark.parametrize(("stride", "dilation"), [((1, 1), (1, 1)), ((2, 3), (1, 2))])
def test_locally_connected(stride, dilation, padding, backend):
    rng = np.random.default_rng(0)
    x = rng.integers(-9, 9, (2, 7, 8, 3)).astype(np.float32)
    options = {"stride": stride, "padding": padding, "dilation": dilation, "data_format": "NHWC"}
    size = fastconv.conv2d_output_shape(x.shape, (3, 2, 3, 5), **options)[1:3]
    weight = rng.integers(-9, 9, (*size, 3, 2, 3, 5)).astype(np.float32)  # kh, kw, I, O
    theirs = weight.transpose(0, 1, 4, 2, 3, 5).reshape(*size, -1, 5)
    want = lax.conv_general_dilated_local(
        x, theirs, stride, padding, (3, 2), rhs_dilation=dilation, dimension_numbers=("NHWC", "HWIO", "NHWC")
    )
    y = fastconv.local_conv2d(x, weight, **options, backend=backend)
    np.testing.assert_array_equal(y, np.asarray(want), strict=True)
