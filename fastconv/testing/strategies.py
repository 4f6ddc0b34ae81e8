"""Strategies of Hypothesis for calls of `conv2d`: structure is drawn and shrinks, values come from a seed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from hypothesis import strategies as st

from fastconv import PADDING_MODES

from ._calls import DTYPES, Call, make_array

ORDERS = ["NCHW", "NHWC", "CHWN", "CNHW"]
KERNEL_ORDERS = ["OIHW", "HWIO", "IOHW"]


@st.composite
def calls(draw: Callable[..., Any], dtypes: tuple[str, ...] | None = None) -> Call:
    """Return a strategy for valid calls, small ones first.

    Parameters
    ----------
    dtypes : tuple of str, optional
        NumPy's codes of x's and weight's dtypes to draw from, such as ``("f4", "f8")``; by default those of
        `random_call`, mixed.

    Returns
    -------
    SearchStrategy of Call
        A failure shrinks to few pixels, channels and options.

    Examples
    --------
    >>> from hypothesis import given, settings
    >>> from fastconv.testing import check_call, strategies
    >>> @settings(max_examples=5, database=None)
    ... @given(strategies.calls())
    ... def test(call):
    ...     check_call(call, "cpu")
    >>> test()
    """
    small = st.integers(1, 4)
    n, groups, igc, ocg = draw(st.integers(0, 2)), draw(st.integers(1, 3)), draw(small), draw(st.integers(0, 4))
    kernel = draw(st.tuples(small, small))
    dilation = draw(st.tuples(*[st.integers(1, 3)] * 2))
    widths = st.tuples(*[st.integers(0, 5)] * 2)
    padding = draw(st.one_of(st.integers(0, 3), widths, st.tuples(widths, widths), st.sampled_from(NAMED)))
    mode = draw(st.sampled_from(PADDING_MODES))
    reach = [(k - 1) * d + 1 for k, d in zip(kernel, dilation, strict=True)]
    image = [draw(st.integers(0, 8)) + extent for extent in reach]
    if dtypes is None:
        kinds = draw(st.sampled_from([row[:4] for row in DTYPES]))
    else:
        kinds = (*(draw(st.sampled_from(dtypes)) for _ in "xwb"), None)
    exact = draw(st.booleans()) or all(np.dtype(kind).kind in "biu" for kind in kinds[:3])
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    axes, kernel_axes = draw(st.sampled_from(ORDERS)), draw(st.sampled_from(KERNEL_ORDERS))
    x = make_array(rng, axes, {"N": n, "C": groups * igc, "H": image[0], "W": image[1]}, kinds[0], exact)
    sizes = {"O": groups * ocg, "I": igc, "H": kernel[0], "W": kernel[1]}
    weight = make_array(rng, kernel_axes, sizes, kinds[1], exact)
    bias = make_array(rng, "O", sizes, kinds[2], exact) if draw(st.booleans()) else None
    options = {
        "stride": draw(st.tuples(*[st.integers(1, 3)] * 2)),
        "padding": padding,
        "dilation": dilation,
        "groups": groups,
        "padding_mode": mode,
        "fill_value": draw(st.integers(0, 3)) if mode == "constant" else 0,
        "flip": draw(st.booleans()),
        "data_format": axes,
        "weight_format": kernel_axes,
    }
    if kinds[3] is not None:
        options["dtype"] = kinds[3]
    return Call(x, weight, bias, options, None, exact)


NAMED = ["valid", "same", "same_lower", "full"]
