"""What this installation is and what it would use here."""

from __future__ import annotations

import os
import platform
from typing import Any

import numpy as np

from . import _config
from ._version import __version__
from .backends._table import backends, load


def show_config() -> dict[str, Any]:
    """Describe this installation: version, backends, instruction sets, threads, compiler, environment.

    Returns
    -------
    dict
        Plain data, as ``python -m fastconv info --json`` prints it.

    Examples
    --------
    >>> import fastconv
    >>> fastconv.show_config()["fastconv"] == fastconv.__version__
    True
    """
    isa = getattr(load("cpu"), "isa", "")  # says what is wrong where the extension is not compiled
    from . import _kernels

    threads, why = _kernels.threads()
    return {
        "fastconv": __version__,
        "python": platform.python_version(),
        "numpy": np.__version__,
        "platform": f"{platform.system()} {platform.machine()}",
        "compiler": _kernels.COMPILER,
        "openmp": _kernels.OPENMP or None,
        "threads": {"count": threads, "from": why},
        "instruction_sets": {
            name: "used" if name == isa else "found" if here else "not on this processor"
            for name, here in _kernels.isas()
        },
        "algorithms": {name: f"of {family}" for name, family in _kernels.algorithms().items()},
        "backends": backends(),
        "environment": {
            name: {"value": os.environ.get(name), "meaning": row.meaning} for name, row in _config.VARIABLES.items()
        },
    }
