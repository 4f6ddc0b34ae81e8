"""Dask arrays beside the same work undistributed: one worker and two, threads and processes, equal threads.

    python benchmarks/lazy.py [--processes] [--size 16384] [--chunk 4096] [--rounds 5] [--case NAME ...]

All in one run, interleaved, medians. The image is in memory, in chunks, and so is the result: `persist`,
not `compute`, which would put a copy of it together.
"""

import argparse
import os
import statistics
import time
from concurrent.futures import ThreadPoolExecutor

import dask
import dask.array as da
import numpy as np

import fastconv

CASES = {  # input channels, output channels, side of the kernel; the image has fewer pixels where it has more channels
    "3x3": (1, 1, 3),
    "7x7": (1, 1, 7),
    "15x15": (1, 1, 15),
    "3x3 3->16": (3, 16, 3),
    "3x3 32->32": (32, 32, 3),
}


def seconds(run):
    """What a call takes; its result is dropped afterwards."""
    start = time.perf_counter()
    result = run()
    taken = time.perf_counter() - start
    del result
    return taken


def noise(block, block_info=None):
    """Another chunk of noise for each place."""
    return np.random.default_rng(block_info[None]["chunk-location"]).random(block.shape, dtype=np.float32)


def on_threads(lazy, image):
    """One thread and two of this process."""
    pools = {count: ThreadPoolExecutor(count) for count in (1, 2)}
    lazy_image = image.persist()
    yield lambda count: lazy(lazy_image).persist(pool=pools[count], scheduler="threads")


def on_processes(lazy, image):
    """One process and two, each of one thread."""
    from distributed import Client, wait

    # Workers return freed memory to the system by default, this process does not: here what it is told, they are.
    malloc = {name: value for name, value in os.environ.items() if name.startswith("MALLOC_")}
    settings = {"threads_per_worker": 1, "dashboard_address": ":0", "set_as_default": False}
    with dask.config.set({"distributed.nanny.pre-spawn-environ": malloc}):
        clients = {count: Client(n_workers=count, **settings) for count in (1, 2)}
    images = {}
    for count, client in clients.items():
        with client.as_current():
            images[count] = client.persist(image)
            wait(images[count])

    def run(count):
        with clients[count].as_current():
            result = clients[count].persist(lazy(images[count]))
            wait(result)
        return result

    yield run
    for count, client in clients.items():
        del images[count]
        cluster = client.cluster
        client.close()
        cluster.close()


def main():
    """Print a line for each case."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--processes", action="store_true", help="a local cluster instead of threads")
    parser.add_argument("--size", type=int, default=16384)
    parser.add_argument("--chunk", type=int, default=4096)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--case", choices=CASES, nargs="+", default=list(CASES))
    options = parser.parse_args()
    print("case, image; plain and dask in ms with 1 and with 2 workers; dask: plain; dask with 2: with 1")
    for name in options.case:
        ic, oc, k = CASES[name]
        scale = 1 if ic == 1 else 2 if oc == 16 else 4
        side, chunk = options.size // scale, options.chunk // scale
        weight = np.random.default_rng(0).random((oc, ic, k, k), dtype=np.float32)
        zeros = da.zeros((1, ic, side, side), chunks=(1, ic, chunk, chunk), dtype=np.float32)
        image = zeros.map_blocks(noise, dtype=np.float32)
        plain = image.compute()
        arguments = {"padding": "same", "algorithm": "direct"}
        lazy = lambda x, weight=weight, arguments=arguments: fastconv.conv2d(x, weight, **arguments)  # noqa: E731
        for run in (on_processes if options.processes else on_threads)(lazy, image):
            times = []
            for _ in range(options.rounds + 1):
                row = []
                for count in (1, 2):
                    row.append(seconds(lambda: fastconv.conv2d(plain, weight, **arguments, num_threads=count)))  # noqa: B023
                    row.append(seconds(lambda: run(count)))  # noqa: B023
                times.append(row)
            plain1, dask1, plain2, dask2 = (1e3 * statistics.median(column) for column in zip(*times[1:], strict=True))
            print(
                f"{name}, {side}²: {plain1:.0f} {dask1:.0f}, {plain2:.0f} {dask2:.0f}; "
                f"{dask1 / plain1:.2f} {dask2 / plain2:.2f}; {dask1 / dask2:.2f} (plain {plain1 / plain2:.2f})"
            )


if __name__ == "__main__":
    main()
