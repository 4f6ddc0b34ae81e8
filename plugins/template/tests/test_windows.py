"""The plugin against fastconv's own judge: random problems, the reference backend, the proved bound."""

import numpy as np
import pytest

import fastconv
from fastconv.testing import check_call, random_call


def test_is_installed_and_usable():
    assert fastconv.backends()["windows"] == "usable"


def test_agrees_with_the_reference_on_all_it_takes():
    """backend= is strict, so each result is this backend's own."""
    taken, refusals = 0, set()
    for seed in range(600):
        call = random_call(seed)
        try:
            check_call(call, "windows")
            taken += 1
        except fastconv.BackendUnsupportedError as refusal:
            refusals.add(str(refusal))
    assert taken > 300
    assert len(refusals) == 1


def test_declines_with_a_reason():
    with pytest.raises(fastconv.BackendUnsupportedError, match="not exact for 64-bit integers"):
        fastconv.conv2d(np.ones((3, 3), int), np.ones((2, 2), int), backend="windows")
    with pytest.raises(fastconv.BackendUnsupportedError, match="copies the padded image"):
        fastconv.conv2d(np.ones((3, 3)), np.ones((2, 2)), padding=2**20, stride=2**20, backend="windows")
