"""Time conv2d beside its peers: interleaved in one process, medians, equal threads, results compared.

python benchmarks/conv2d.py                         every suite, as a table
python benchmarks/conv2d.py --suite layers --json results.json
python benchmarks/conv2d.py --smoke                 seconds, to see that it runs; its times mean nothing
"""

import argparse
import json
import statistics
import time
from pathlib import Path

import numpy as np
from suites import SUITES

import fastconv


def fastconv_call(x, weight, options, threads):
    """Return a call of fastconv without arguments."""
    return lambda: fastconv.conv2d(x, weight, **options, num_threads=threads)


def scipy_call(x, weight, options, threads):
    """Return SciPy's way, one thread: correlate2d summed over channels and sliced; None where it has none."""
    try:
        from scipy.signal import correlate2d
    except ImportError:
        return None
    if options.get("groups", 1) > 1 or options.get("dilation", 1) > 1 or x[0].size * weight.size > 1e9:
        return None  # no such operation, or minutes
    p = fastconv.Problem.of(x, weight, **options)
    padded = np.pad(x, ((0, 0), (0, 0), (p.pt, p.pb), (p.pl, p.pr)))

    def call():
        maps = [
            [sum(correlate2d(plane, kernel, "valid") for plane, kernel in zip(image, o, strict=True)) for o in weight]
            for image in padded
        ]
        return np.array(maps)[:, :, :: p.sh, :: p.sw]

    return call


PEERS = {"fastconv": fastconv_call, "scipy": scipy_call}


def measure(calls, repeats):
    """Return the median seconds of each call, taken in turn so that drift falls on all alike."""
    times = {name: [] for name in calls}
    for _ in range(repeats):
        for name, call in calls.items():
            begin = time.perf_counter()
            call()
            times[name].append(time.perf_counter() - begin)
    return {name: statistics.median(values) for name, values in times.items()}


def run(suite, threads, repeats):
    """Yield a row for each problem of a suite."""
    rng = np.random.default_rng(0)
    for name, x_shape, weight_shape, options in SUITES[suite]:
        x, weight = (rng.standard_normal(shape).astype("f4") for shape in (x_shape, weight_shape))
        calls = {peer: make(x, weight, options, threads) for peer, make in PEERS.items()}
        calls = {peer: call for peer, call in calls.items() if call is not None}
        results = {peer: call() for peer, call in calls.items()}  # warm, and compared
        for peer, y in results.items():
            worst = np.abs(y - results["fastconv"]).max()
            assert worst < 1e-4 * np.abs(y).max() + 1e-5, f"{peer} disagrees by {worst} on {name}"
        macs = fastconv.Problem.of(x, weight, **options).macs
        yield {"suite": suite, "name": name, "gflop": 2e-9 * macs, "seconds": measure(calls, repeats)}


def main():
    """Run the command."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--suite", choices=SUITES, action="append", help="by default all")
    parser.add_argument("--threads", type=int, default=None)
    parser.add_argument("--repeats", type=int, default=15)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--smoke", action="store_true", help="the tiny suite, twice")
    arguments = parser.parse_args()
    suites = ["tiny"] if arguments.smoke else arguments.suite or list(SUITES)
    repeats = 2 if arguments.smoke else arguments.repeats
    rows = []
    print(f"{'problem':<24}{'GFLOP':>10}{'fastconv ms':>14}{'GFLOP/s':>10}{'scipy ms':>12}{'ratio':>9}")
    for suite in suites:
        for row in run(suite, arguments.threads, repeats):
            rows.append(row)
            ours, theirs = row["seconds"]["fastconv"], row["seconds"].get("scipy")
            beside = f"{theirs * 1e3:>12.3f}{theirs / ours:>8.1f}x" if theirs else f"{'-':>12}{'-':>9}"
            print(f"{row['name']:<24}{row['gflop']:>10.4f}{ours * 1e3:>14.3f}{row['gflop'] / ours:>10.1f}{beside}")
    if arguments.json:
        arguments.json.write_text(json.dumps({"config": fastconv.show_config(), "rows": rows}, indent=1))


if __name__ == "__main__":
    main()
