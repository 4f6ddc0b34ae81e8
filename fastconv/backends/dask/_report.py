"""What `explain` says of a call on Dask arrays: tiles, what they read, who computes them."""

from __future__ import annotations

from typing import Any

from ..._errors import BackendError
from ..._operators import OPERATORS
from ..._problem import Problem
from .._table import choose
from ._channels import READS, extents
from ._layout import pixels_read
from ._operands import chunked, described, inner_of, layout_of
from ._tiles import largest

MUCH = 1.25  # times that tiles may read the image before `explain` advises larger chunks


def report(p: Problem, num_threads: int, operands: tuple[Any, ...]) -> dict[str, Any]:
    """Return what a call on these operands would do; on what they may be, if they are not known."""
    arrays = chunked(p, operands) if operands else described(p)
    layout = layout_of(p, arrays)
    inner, source = inner_of(p, arrays, num_threads)
    first = OPERATORS[p.operator].operands[0]
    made = [sizes for letter, sizes in zip("NCDHW", layout.made, strict=True) if letter in "NCHW" + p.x_axes]
    details: dict[str, Any] = {
        "chunks": f"those of {first}" if operands else "as dask.array.from_array cuts a NumPy array",
        "tiles": " x ".join(str(len(sizes)) for sizes in made),
        "largest_tile": " x ".join(str(max(sizes)) for sizes in made),
        "inner_backend": inner.backend,
        "inner_backend_from": source,
        "threads": inner.num_threads,
        "threads_from": "num_threads=" if num_threads else "one a task, of which Dask runs many",
    }
    if p.operator not in READS:
        return details
    read = pixels_read(p, layout)
    named = zip("DHW", extents(p), ("slices", "rows", "columns"), strict=True)
    halos = [(axis, name) for letter, axis, name in named if letter in "HW" + p.x_axes]
    details |= {
        "halo": ", ".join(f"{(axis.k - 1) * axis.d} {name}" for axis, name in halos),
        "pixels_read": f"{read:.4g} times those of the image",
    }
    if read > MUCH:
        details["advice"] = "chunks are small beside the kernel and pixels are read often; rechunk to larger ones"
    try:
        problem = largest(p, layout)
        plan = choose((inner.backend,), problem, inner.kinds)[1].plan(problem)
        verdict = plan.explain(inner.num_threads) if hasattr(plan, "explain") else {}
        details["of_the_largest_tile"] = {key: value for key, value in verdict.items() if not isinstance(value, dict)}
    except BackendError as error:
        details["of_the_largest_tile"] = str(error)
    return details
