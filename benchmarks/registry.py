"""Time what the backend table costs those who use none of it: the import, and a call on NumPy arrays.

python benchmarks/registry.py               half a minute, on a quiet machine
python benchmarks/registry.py --smoke       seconds, to see that it runs; its times mean nothing

The bars are the design's: an import of 15 ms beyond NumPy's, 0.2 us in a call. Each figure is a median; the two sides
of a difference are timed in turn, in one process.
"""

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time

import numpy as np

import fastconv
from fastconv import _api
from fastconv._arguments import check_num_threads
from fastconv._execute import execute
from fastconv._problem import check_array, check_out
from fastconv.backends._selection import is_default
from fastconv.backends._table import load

IMPORT = "import time, numpy; t = time.perf_counter(); import fastconv; print(time.perf_counter() - t)"


def seconds_to_import(runs):
    """The import of fastconv where NumPy is imported already, in new processes, from byte code as pip leaves it."""
    times = []
    with tempfile.TemporaryDirectory() as folder:
        environment = os.environ | {"PYTHONDONTWRITEBYTECODE": "", "PYTHONPYCACHEPREFIX": folder}
        for _ in range(runs + 1):
            done = subprocess.run(
                [sys.executable, "-c", IMPORT], capture_output=True, text=True, check=True, env=environment
            )
            times.append(float(done.stdout))
    return statistics.median(times[1:])


def difference(after, before, runs, calls):
    """Seconds that a call of `after` takes beyond one of `before`."""
    differences = []
    for i in range(runs):
        times = {}
        for function in (after, before) if i % 2 else (before, after):
            start = time.perf_counter()
            for _ in range(calls):
                function()
            times[function] = (time.perf_counter() - start) / calls
        differences.append(times[after] - times[before])
    return statistics.median(differences)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--smoke", action="store_true", help="as few repetitions as show that it runs")
    smoke = parser.parse_args().smoke
    runs, calls = (3, 10) if smoke else (31, 2000)

    x, weight, out = np.ones((8, 8), np.float32), np.ones((3, 3), np.float32), np.empty((6, 6), np.float32)
    fastconv.conv2d(x, weight)
    problem = fastconv.Problem.of(x, weight)
    plans = {problem: load("cpu").plan(problem)}
    options = {"padding_mode": "constant", "fill_value": 0, "flip": False, "data_format": "NCHW"}
    options |= {"weight_format": None, "dtype": None, "algorithm": "auto"}

    def remembered():
        return fastconv.conv2d(x, weight, num_threads=1)

    def remembered_without():
        arguments = (x, weight, None, 1, 0, 1, 1, "constant", 0, False, "NCHW", None, None, "auto")
        return _api._calls.run(*arguments, 1, None)

    def remembered_out():
        return fastconv.conv2d(x, weight, out=out, num_threads=1)

    def checked():  # lists are never remembered
        return fastconv.conv2d(x, weight, None, [1, 1], out=out, num_threads=1)

    def checked_without():
        threads = check_num_threads(1)
        images, kernels = check_array("x", x), check_array("weight", weight)
        described = fastconv.Problem.of(images, kernels, None, [1, 1], 0, 1, 1, **options)
        check_out(described, out)
        if 0 in described.out_shape:
            return None
        return execute("cpu", described, plans[described], (images, kernels, None), out, threads)

    def chosen():
        return is_default()

    def nothing():
        return True

    rows = [
        ("import fastconv, beyond NumPy", seconds_to_import(3 if smoke else 21) * 1e3, "ms", 15),
        ("conv2d, remembered: has anybody chosen?", difference(chosen, nothing, runs, calls) * 1e6, "us", 0.2),
        (
            "conv2d, remembered: all of its Python",
            difference(remembered, remembered_without, runs, calls) * 1e6,
            "us",
            None,
        ),
        ("conv2d, remembered: out=", difference(remembered_out, remembered, runs, calls) * 1e6, "us", 0.2),
        (
            "conv2d, checked: all but checks and kernel",
            difference(checked, checked_without, runs, calls) * 1e6,
            "us",
            None,
        ),
    ]
    for what, value, unit, bar in rows:
        print(f"{what:42} {value:7.3f} {unit}" + (f"   bar {bar} {unit}" if bar else ""))


if __name__ == "__main__":
    main()
