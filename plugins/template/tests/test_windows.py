"""The plugin against fastconv's conformance kit, and what it says where it declines."""

import numpy as np
import pytest

import fastconv
from fastconv.testing import BackendConformance


class TestWindows(BackendConformance):
    backend = "windows"
    least_share = 0.7  # integers are declined


def test_declines_with_a_reason():
    with pytest.raises(fastconv.BackendUnsupportedError, match="not exact for 64-bit integers"):
        fastconv.conv2d(np.ones((3, 3), int), np.ones((2, 2), int), backend="windows")
    with pytest.raises(fastconv.BackendUnsupportedError, match="copies the padded image"):
        fastconv.conv2d(np.ones((3, 3)), np.ones((2, 2)), padding=2**20, stride=2**20, backend="windows")
