"""What a call must leave as it was: settings of the process and of the thread that others rely on."""

from __future__ import annotations

import gc
import locale
import logging
import operator
import os
import signal
import sys
import warnings
from pathlib import Path
from typing import Any

import numpy as np

import fastconv

# Settings of libraries that a backend may be made of, read where the library is imported.
LIBRARIES = {
    "torch": ("get_num_threads", "get_default_dtype", "is_grad_enabled"),
    "cupy": ("cuda.runtime.getDevice",),
    "numexpr": ("get_num_threads",),
    "cv2": ("getNumThreads",),
}


def snapshot(loading: bool = False) -> dict[str, Any]:
    """Return the settings, each under a name that a message can use; those alone that `loading` may not change."""
    settings = {
        "floating-point state (rounding, subnormals)": _arithmetic(),
        "numpy.errstate": (np.geterr(), np.geterrcall()),
        "numpy.get_printoptions": str(np.get_printoptions()),
        "numpy.random's global state": _random_state(),
        "the working directory": str(Path.cwd()),
        "sys.getrecursionlimit": sys.getrecursionlimit(),
        "sys.getswitchinterval": sys.getswitchinterval(),
        "gc.isenabled": gc.isenabled(),
        "the locale": locale.setlocale(locale.LC_ALL),
        "the processors it may use": sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else None,
        "fastconv's choice of a backend": _choice(),
        "the number of threads": _threads(),
    }
    if loading:  # what follows libraries change when they are imported, for good reasons and bad
        return settings
    return settings | {
        "warnings.filters": list(warnings.filters),
        "os.environ": dict(os.environ),
        "sys.path": list(sys.path),
        "sys.stdout and sys.stderr": (sys.stdout, sys.stderr),
        "signal handlers": [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)],
        "logging": (logging.root.level, list(logging.root.handlers), logging.root.manager.disable),
        **{f"a setting of {name}": _of_library(name, getters) for name, getters in LIBRARIES.items()},
    }


def _arithmetic() -> list[str]:
    """What the processor makes of sums that show its rounding mode, and of subnormal operands and results."""
    one, tiny = np.ones(64, np.float32), np.full(64, 2.0**-149, np.float32)
    with np.errstate(all="ignore"):
        rows = [one / 3, -one / 3, one + one * np.float32(2**-24), tiny * 2, np.full(64, 2.0**-126, np.float32) / 4]
    return [row.tobytes().hex()[:16] for row in rows] + [(1.0 / 3.0).hex(), (2.0**-1074 * 3).hex()]


def _random_state() -> str:
    kind, keys, *rest = np.random.get_state()  # noqa: NPY002 - it is the legacy state that others share
    return f"{kind} {hash(np.asarray(keys).tobytes())} {rest}"


def _choice() -> tuple[str, tuple[str, ...]]:
    """Who computes NumPy's arrays and where that comes from: an argument's absence, a scope, the process."""
    report = fastconv.explain(np.ones((1, 1)), np.ones((1, 1)))
    return report.source, tuple(name for name, verdict in report.candidates.items() if "not asked" not in verdict)


def _threads() -> Any:
    """As many as a large call would take: what OpenMP's settings of this thread say."""
    image, kernel = (np.broadcast_to(np.float32(0), shape) for shape in ((64, 128, 128), (64, 64, 3, 3)))
    try:
        return fastconv.explain(image, kernel, data_format="CHW", backend="cpu").details.get("threads")
    except fastconv.BackendError:  # it is disabled
        return None


def _of_library(name: str, getters: tuple[str, ...]) -> list[str] | None:
    module = sys.modules.get(name)
    return None if module is None else [str(operator.attrgetter(getter)(module)()) for getter in getters]
