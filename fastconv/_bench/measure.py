"""How it is timed: calls in turn, in one process, after the last one's threads have come to rest; outputs compared."""

from __future__ import annotations

import gc
import os
import platform
import re
import statistics
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from .. import _kernels

if TYPE_CHECKING:
    from collections.abc import Callable

    from .problems import Array, Case

    Calls = dict[str, Callable[[], Any]]

LEAST_ROUNDS = 3
SAMPLE = 2e-4  # seconds that one sample of a shorter call is repeated for
WARM = 0.005  # seconds of calls before those that count, or one; none before a call that takes LONG
LONG = 0.02
NOISY_LOAD, NOISY_SPREAD = 0.25, 0.05  # of the processors; of the median


def noise(seconds: float = 0.2) -> dict[str, Any]:
    """Look at the load and at how much the time of one same loop varies; say what speaks against measuring now."""
    processors = os.cpu_count() or 1
    load = os.getloadavg()[0] if hasattr(os, "getloadavg") else 0.0
    isa = best_isa()
    rates = sorted(_kernels.measure_peak(isa, "f32", seconds / 50) for _ in range(50))
    spread = (rates[45] - rates[5]) / rates[25]
    warnings = []
    if load > NOISY_LOAD * processors:
        warnings.append(f"the load average is {load:.2f} on {processors} processors")
    if spread > NOISY_SPREAD:
        warnings.append(f"the time of one same loop varies by {spread:.0%}")
    return {"load": load, "processors": processors, "model": _model(), "spread": spread, "warnings": warnings}


def _model() -> str:
    """The processor as Linux names it, or as the platform does."""
    try:
        named = re.search(r"^model name\s*:\s*(.+)$", Path("/proc/cpuinfo").read_text(), re.MULTILINE)
    except OSError:
        named = None
    return named[1] if named else platform.processor() or platform.machine()


def best_isa() -> str:
    """Return the name of the best instruction set of this processor."""
    return next(name for name, here in _kernels.isas() if here)


def peak(dtype: str) -> float:
    """Measure the floating-point operations a second of one thread's multiply-adds."""
    kind = {"float32": "f32", "float64": "f64"}[dtype]
    return max(_kernels.measure_peak(name, kind, 0.1) for name, here in _kernels.isas() if here)


def difference(case: Case, y: Array, expected: Array) -> str | None:
    """Say how a result differs from ours by more than rounding, or None.

    Operands have unit variance, so rounding errors of a sum of n products grow like n u, in any order; algorithms
    that trade multiplications for additions (Winograd's, Fourier's) lose a small factor more. One wrong product is 1;
    with images of bytes all of this is 256 times as large.
    """
    if y.shape != expected.shape:
        return f"its shape is {y.shape}, not {expected.shape}"
    worst = float(np.abs(y - expected).max())
    limit = 64 * max(case.terms, 16) * float(np.finfo(case.dtype).eps) / 2 * (256 if case.layer.bytes else 1)
    return None if worst <= limit else f"it differs by {worst:.3g}, and rounding explains {limit:.3g}"


def race(calls: Calls, repeats: int, seconds: float, threads: int) -> dict[str, list[float]]:
    """Time the calls in turn, so that drift of the machine falls on all alike; return seconds of each, by round.

    The turn is another in each round, the same in each run: what a call leaves behind, in caches and in threads that
    have yet to come to rest, falls on no other alone.
    """
    samples: dict[str, list[float]] = {name: [] for name in calls}
    inner = {}
    turns = np.random.default_rng(0)
    turn = list(calls)
    collecting = gc.isenabled()
    gc.collect()
    gc.disable()
    try:
        for name, call in calls.items():
            inner[name] = max(1, min(1000, int(SAMPLE / sample(call, 1, threads, warm=True))))
        deadline = time.perf_counter() + seconds
        for done in range(repeats):
            if done >= LEAST_ROUNDS and time.perf_counter() > deadline:
                break
            turns.shuffle(turn)
            for name in turn:
                warm = not samples[name] or samples[name][-1] < LONG
                samples[name].append(sample(calls[name], inner[name], threads, warm))
    finally:
        if collecting:
            gc.enable()
    return samples


def sample(call: Callable[[], Any], inner: int, threads: int, warm: bool) -> float:
    """Return the seconds of one call, the mean of `inner`; others before wake threads, fill caches, raise the clock.

    After the pause that `settle` takes, the first call of 0.5 ms takes twice the time of the sixth, on one thread too.
    """
    if threads > 1:
        settle()
    deadline = time.perf_counter() + WARM
    while warm:
        call()
        warm = time.perf_counter() < deadline
    begin = time.perf_counter()
    for _ in range(inner):
        call()
    return (time.perf_counter() - begin) / inner


def settle(most: float = 0.1) -> None:
    """Wait until the threads of the last call sleep.

    Idle workers spin on (libgomp 4 ms, ONNX Runtime 30 ms), and what comes next would share the processors with them.
    """
    deadline = time.perf_counter() + most
    while time.perf_counter() < deadline:
        used = time.process_time()
        time.sleep(0.004)
        if time.process_time() - used < 0.0005:
            return


def summary(values: list[float]) -> dict[str, Any]:
    """Median, quartiles and the best of the seconds."""
    q1, median, q3 = statistics.quantiles(values, n=4, method="inclusive") if len(values) > 1 else values * 3
    return {"median": median, "q1": q1, "q3": q3, "best": min(values), "rounds": len(values)}
