"""Dask arrays beside the same work undistributed: one worker and two, threads and processes, equal threads.

    python benchmarks/lazy.py [--processes] [--size 12000] [--chunk 6000] [--rounds 7] [--case NAME ...]

The image is in memory, in chunks, and so is the result: `persist`, not `compute`, which would put a copy of it
together. All in one run; a round has each once, in another order each time, after one that warms up. What is printed
are medians, of times and of the ratios of a round. The fixed time is that of tasks that do nothing, one a chunk.
"Chunk by chunk" is `map_blocks` of the same convolution, a task a chunk that gets nothing of the other chunks and is
wrong at their borders: what there is to pay if halos cost nothing.

Processes keep freed memory (glibc's), so that results lie in pages that the process has: to get new ones takes 0.1 to
1.3 s a GiB, by what the system and the machine below it happen to have, which is more than what is to be measured.
--fresh leaves it to the system, as a program does that sets nothing.

On a cluster half of the image is with each worker, and tasks stay where they are put. With --stealing Dask's scheduler
moves them, as it does by default: with few and large ones it takes what a worker has half done to the other.
"""

import argparse
import os
import random
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import dask
import dask.array as da
import numpy as np

import fastconv

CASES = {  # input channels, output channels, side of the kernel; the image has fewer pixels where it has more channels
    "3x3": (1, 1, 3),
    "5x5": (1, 1, 5),
    "7x7": (1, 1, 7),
    "15x15": (1, 1, 15),
    "3x3 3->16": (3, 16, 3),
    "3x3 32->32": (32, 32, 3),
}


KEEP = {
    "MALLOC_ARENA_MAX": "1",
    "MALLOC_MMAP_THRESHOLD_": str(2**33),
    "MALLOC_TRIM_THRESHOLD_": str(2**35),
    "MALLOC_TOP_PAD_": str(2**28),
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


def on_threads(image, options):
    """One thread and two of this process."""
    pools = {count: ThreadPoolExecutor(count) for count in (1, 2)}
    lazy_image = image.persist()
    yield lambda count, of: of(lazy_image).persist(pool=pools[count], scheduler="threads")


def on_processes(image, options):
    """One process and two, each of one thread."""
    from distributed import Client, wait

    # Dask tells workers to return freed memory to the system. Here they are told what this process is.
    malloc = {name: value for name, value in os.environ.items() if name.startswith("MALLOC_")}
    settings = {"threads_per_worker": 1, "dashboard_address": ":0", "set_as_default": False}
    stealing = {"distributed.scheduler.work-stealing": options.stealing}
    with dask.config.set({"distributed.nanny.pre-spawn-environ": malloc, **stealing}):
        clients = {count: Client(n_workers=count, **settings) for count in (1, 2)}
    images = {}
    for count, client in clients.items():
        with client.as_current(), dask.annotate(workers=in_halves(client, image.numblocks[2])):
            images[count] = client.persist(image, optimize_graph=False)
            wait(images[count])

    def run(count, of):
        with clients[count].as_current():
            result = clients[count].persist(of(images[count]))
            wait(result)
        return result

    yield run
    for count, client in clients.items():
        del images[count]
        cluster = client.cluster
        client.close()
        cluster.close()


def in_halves(client, rows):
    """By a chunk's key the worker that is to have it: as many rows of chunks for each."""
    workers = sorted(client.scheduler_info()["workers"])
    return lambda key: [workers[key[3] * len(workers) // rows]]


def corner(block):
    """Next to nothing."""
    return block[..., :1, :1]


def main():
    """Print a line for each case."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--processes", action="store_true", help="a local cluster instead of threads")
    parser.add_argument("--size", type=int, default=12000)
    parser.add_argument("--chunk", type=int, default=6000)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--case", choices=CASES, nargs="+", default=list(CASES))
    parser.add_argument("--stealing", action="store_true", help="let the scheduler move tasks between processes")
    parser.add_argument("--fresh", action="store_true", help="memory for results from the system each time")
    options = parser.parse_args()
    if not options.fresh and not KEEP.items() <= os.environ.items():
        os.execve(sys.executable, [sys.executable, *sys.argv], os.environ | KEEP)
    for name in options.case:
        ic, oc, k = CASES[name]
        scale = 1 if ic == 1 else 2 if oc == 16 else 4
        side, chunk = options.size // scale, options.chunk // scale
        weight = np.random.default_rng(0).random((oc, ic, k, k), dtype=np.float32)
        zeros = da.zeros((1, ic, side, side), chunks=(1, ic, chunk, chunk), dtype=np.float32)
        image = zeros.map_blocks(noise, dtype=np.float32)
        plain = image.compute()

        convolved = partial(convolve, weight=weight)
        for run in (on_processes if options.processes else on_threads)(image, options):
            runs = {("fixed", 2): partial(run, 2, nothing), ("blocks", 2): partial(run, 2, partial(by_chunk, weight))}
            for count in (1, 2):
                runs["conv2d", count] = partial(convolved, plain, num_threads=count)
                runs["dask", count] = partial(run, count, convolved)
            rounds = []
            for _ in range(options.rounds + 1):
                order = random.sample(list(runs), len(runs))
                rounds.append({one: 1e3 * seconds(runs[one]) for one in order})
            report(f"{name} on {side}², chunks of {chunk}²", rounds[1:])


def convolve(x, weight, **options):
    """What is measured."""
    return fastconv.conv2d(x, weight, padding="same", algorithm="direct", **options)


def by_chunk(weight, x):
    """The same without halos."""
    options = {"num_threads": 1, "chunks": (1, len(weight), *x.chunks[2:]), "dtype": x.dtype, "meta": x._meta}
    return x.map_blocks(convolve, weight, **options)


def nothing(x):
    """As many tasks."""
    return x.map_blocks(corner, chunks=(1, x.shape[1], 1, 1), dtype=np.float32, meta=x._meta)


def report(title, rounds):
    """Print medians, of times and of ratios."""
    columns = {one: np.array([row[one] for row in rounds]) for one in rounds[0]}
    print(title)
    for count, who in ((1, "1 thread or worker"), (2, "2 threads or workers")):
        plain, lazy = columns["conv2d", count], columns["dask", count]
        times = f"conv2d {np.median(plain):.0f} dask {np.median(lazy):.0f}"
        print(f"  {who}: {times} ms, overhead {np.median(lazy / plain) - 1:+.0%}")
    faster = (f"{name} {np.median(columns[name, 1] / columns[name, 2]):.2f}" for name in ("conv2d", "dask"))
    print(f"  two are faster than one: {' '.join(faster)}")
    blocks, plain = columns["blocks", 2], columns["conv2d", 2]
    of_dask = f"chunk by chunk {np.median(blocks):.0f} ms, overhead {np.median(blocks / plain) - 1:+.0%}"
    print(f"  two: {of_dask}; fixed {np.median(columns['fixed', 2]):.0f} ms")


if __name__ == "__main__":
    main()
