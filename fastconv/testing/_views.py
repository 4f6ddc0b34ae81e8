"""The same values in other memory."""

from __future__ import annotations

from typing import Any

import numpy as np

Array = np.ndarray[Any, Any]


def frozen(array: Array) -> Array:
    """A read-only view."""
    array = array.view()
    array.flags.writeable = False
    return array


def views(array: Array, writable: bool = False) -> dict[str, Array]:
    """The same values in other memory layouts, by name."""
    wide = np.zeros((*array.shape[:-1], 2 * array.shape[-1] + 1), array.dtype)[..., 1::2]
    wide[...] = array
    found = {
        "contiguous": array.copy(),
        "in Fortran's order": np.asfortranarray(array),
        "every other element": wide,
        "reversed": array[..., ::-1].copy()[..., ::-1],
        "axes permuted": array.T.copy().T,
        "swapped bytes": array.astype(array.dtype.newbyteorder("S")),
    }
    if not writable:
        found["one row again and again"] = np.broadcast_to(array[:1], array.shape)
    return found
