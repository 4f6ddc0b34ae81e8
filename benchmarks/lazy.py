"""Dask arrays beside the same work undistributed: one worker and two, threads and processes, equal threads.

    python benchmarks/lazy.py [--on threads] [--case NAME ...] [--size 12000] [--chunk 6000] [--rounds 7]

prints the table of docs/dask.md, a line for each case on threads and on processes. All columns of a line are of one
run: a round has each once, in another order each time, after one that warms up, and what is printed are medians, of
times and of the ratios of a round. What is the machine's stands beside what is Dask's and this backend's:

- `conv2d` is that of the whole NumPy array, on one thread and on two, and how much faster two are;
- "by hand" is `conv2d` of each chunk by itself, half of them for each of two threads, or for each of the cluster's two
  processes, called without a task: no Dask, no halos, and wrong at the chunks' borders;
- `map_blocks` is the same as Dask's tasks: what there is to pay if halos cost nothing;
- "no work" is a task for each chunk that does nothing;
- the last line says how much faster two threads are at multiply-adds in cache and at copies of memory.

The image is in memory, in chunks, and so is the result: `persist`, not `compute`, which would put a copy of it
together. Before each call there is a pause, since workers drop what the last one left after it has returned.

Processes keep freed memory (glibc's), so that results lie in pages that the process has: to get new ones takes 0.1 to
7 s a GiB, by what the system and the machine below it happen to have, which is more than what is to be measured.
--fresh leaves it to the system, as a program does that sets nothing.

Clusters of one worker and of two stand beside each other, and with Dask's settings they take 29 % of a core when they
have nothing to do: of two cores that is a part of what is to be measured. So they are told to watch themselves less
often, which leaves 6 %. --watched keeps Dask's settings.

On a cluster half of the image is with each worker, and tasks stay where they are put. With --stealing Dask's scheduler
moves them, as it does by default: with few and large ones it takes what a worker has half done to the other.

Memory: six times the image and its result, or 14 GB for 24,000² pixels on processes.
"""

import argparse
import logging
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

CASES = {  # input channels, output channels, side of the kernel, of the image and of its chunks
    "5x5": (1, 1, 5, 12000, 6000),
    "5x5 large": (1, 1, 5, 24000, 12000),
    "15x15": (1, 1, 15, 12000, 6000),
    "15x15 large": (1, 1, 15, 24000, 12000),
    "7x7 3->16": (3, 16, 7, 4800, 2400),
}

KEEP = {
    "MALLOC_ARENA_MAX": "1",
    "MALLOC_MMAP_THRESHOLD_": str(2**33),
    "MALLOC_TRIM_THRESHOLD_": str(2**35),
    "MALLOC_TOP_PAD_": str(2**28),
}

QUIET = {  # what idle schedulers, nannies and workers do: watch their event loops, sample their threads
    "distributed.admin.tick.interval": "1s",
    "distributed.admin.system-monitor.interval": "5s",
    "distributed.worker.memory.monitor-interval": "1s",
    "distributed.worker.profile.enabled": False,
}

PAUSE = 0.05  # seconds before each call

HEAD = (
    "| kernel, image, chunks | two | `conv2d`: 1 and 2 threads | by hand | `map_blocks` | Dask: 1 and 2 "
    "| more than `conv2d` | no work |\n| --- | --- | --- | --- | --- | --- | --- | --- |"
)


def seconds(run):
    """What a call takes; its result is dropped afterwards."""
    time.sleep(PAUSE)
    start = time.perf_counter()
    result = run()
    taken = time.perf_counter() - start
    del result
    return taken


def noise(block, block_info=None):
    """Another chunk of noise for each place."""
    return np.random.default_rng(block_info[None]["chunk-location"]).random(block.shape, dtype=np.float32)


def on_threads(image, options):
    """Yield what runs a lazy function of the image, and one of each chunk by hand, on threads of this process."""
    pools = {count: ThreadPoolExecutor(count) for count in (1, 2)}
    image = image.persist()
    chunks = [image.dask[key] for key in image.dask]
    halves = (chunks[: len(chunks) // 2], chunks[len(chunks) // 2 :])

    def by_hand(of):
        return list(pools[2].map(lambda half: [of(chunk) for chunk in half], halves))

    yield lambda count, of: of(image).persist(pool=pools[count], scheduler="threads"), by_hand


def on_processes(image, options):
    """Yield the same, on one process and two, each of one thread."""
    from distributed import Client, wait

    # Dask tells workers to return freed memory to the system. Here they are told what this process is.
    malloc = {name: value for name, value in os.environ.items() if name.startswith("MALLOC_")}
    settings = {"threads_per_worker": 1, "dashboard_address": ":0", "set_as_default": False}
    settings["silence_logs"] = logging.CRITICAL
    stealing = {"distributed.scheduler.work-stealing": options.stealing}
    quiet = {} if options.watched else QUIET
    with dask.config.set({"distributed.nanny.pre-spawn-environ": malloc, **stealing, **quiet}):
        clients = {count: Client(n_workers=count, **settings) for count in (1, 2)}
    images = {}
    for count, client in clients.items():
        client.wait_for_workers(count)
        with client.as_current(), dask.annotate(workers=in_halves(client, image.numblocks[2])):
            images[count] = client.persist(image, optimize_graph=False)
            wait(images[count])

    def run(count, of):
        with clients[count].as_current():
            result = clients[count].persist(of(images[count]))
            wait(result)
        return result

    def by_hand(of):
        clients[2].run(of_all, of, images[2].name)

    yield run, by_hand
    for count, client in clients.items():
        del images[count]
        cluster = client.cluster
        client.close()
        cluster.close()


def of_all(of, name, dask_worker):
    """What a worker does by hand with the chunks that it has."""
    results = [of(dask_worker.data[key]) for key in list(dask_worker.data) if key[0] == name]
    del results


def in_halves(client, rows):
    """By a chunk's key the worker that is to have it: as many rows of chunks for each."""
    workers = sorted(client.scheduler_info()["workers"])
    return lambda key: [workers[key[3] * len(workers) // rows]]


def corner(block):
    """Next to nothing."""
    return block[..., :1, :1]


def main():
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--on", choices=("threads", "processes"), nargs="+", default=["threads", "processes"])
    parser.add_argument("--case", choices=CASES, nargs="+", default=list(CASES))
    parser.add_argument("--size", type=int, help="side of the image, instead of the case's own")
    parser.add_argument("--chunk", type=int, help="side of its chunks")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--stealing", action="store_true", help="let the scheduler move tasks between processes")
    parser.add_argument("--watched", action="store_true", help="let idle processes watch themselves as they do")
    parser.add_argument("--fresh", action="store_true", help="memory for results from the system each time")
    options = parser.parse_args()
    if not options.fresh and not KEEP.items() <= os.environ.items():
        os.execve(sys.executable, [sys.executable, *sys.argv], os.environ | KEEP)
    of_machine = machine()
    print(HEAD, flush=True)
    every = []
    for name in options.case:
        ic, oc, k, side, chunk = CASES[name]
        side, chunk = options.size or side, options.chunk or chunk
        weight = np.random.default_rng(0).random((oc, ic, k, k), dtype=np.float32)
        zeros = da.zeros((1, ic, side, side), chunks=(1, ic, chunk, chunk), dtype=np.float32)
        image = zeros.map_blocks(noise, dtype=np.float32)
        plain = image.compute()
        convolved = partial(convolve, weight=weight)
        for on in options.on:
            for run, by_hand in (on_threads if on == "threads" else on_processes)(image, options):
                runs = {
                    ("nothing", 2): partial(run, 2, nothing),
                    ("blocks", 2): partial(run, 2, partial(by_chunk, weight)),
                    ("hand", 2): partial(by_hand, partial(convolved, num_threads=1)),
                    **of_machine,
                }
                for count in (1, 2):
                    runs["conv2d", count] = partial(convolved, plain, num_threads=count)
                    runs["dask", count] = partial(run, count, convolved)
                rounds = [in_turn(runs) for _ in range(options.rounds + 1)][1:]
                every += rounds
                channels = f" {ic}→{oc}" if ic * oc > 1 else ""
                print(line(f"{k} × {k}{channels}, {side:,}² in {chunk:,}²", on, rounds), flush=True)
        del plain
    two = (f"{median(every, lambda row, what=what: row[what, 1] / row[what, 2]):.2f}" for what in ("fma", "copy"))
    print("\nTwo threads are {} times as fast as one at multiply-adds, {} times at copies of memory.".format(*two))


def machine():
    """What shows the machine alone, on one thread and on two: multiply-adds in cache, and copies of memory."""
    pools = {count: ThreadPoolExecutor(count) for count in (1, 2)}
    generator = np.random.default_rng(0)
    small = [generator.random((1, 1, 256, 128), dtype=np.float32) for _ in range(2)]
    taps = generator.random((1, 1, 15, 15), dtype=np.float32)
    sums = [np.empty((1, 1, 242, 114), np.float32) for _ in range(2)]
    source = [generator.random(2**25, dtype=np.float32) for _ in range(2)]
    target = [array.copy() for array in source]

    def multiply_add(i):
        for _ in range(500):
            fastconv.conv2d(small[i], taps, algorithm="direct", num_threads=1, out=sums[i])

    def copy(i):
        np.copyto(target[i], source[i])

    works = {"fma": multiply_add, "copy": copy}
    return {
        (name, count): lambda work=work, count=count: list(pools[count].map(work, range(2)))
        for name, work in works.items()
        for count in pools
    }


def in_turn(runs):
    """Milliseconds of each, in random order."""
    return {one: 1e3 * seconds(runs[one]) for one in random.sample(list(runs), len(runs))}


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


def median(rounds, of):
    """The median of a number of each round."""
    return float(np.median([of(row) for row in rounds]))


def line(title, on, rounds):
    """A line of the table: medians, of times and of ratios."""

    def time_of(*what):
        return f"{median(rounds, lambda row: row[what]):.0f}"

    def both(what):
        faster = median(rounds, lambda row: row[what, 1] / row[what, 2])
        return f"{time_of(what, 1)}, {time_of(what, 2)} ms: {faster:.2f} ×"

    over = (f"{median(rounds, lambda row, w=w: row[w, 2] / row['conv2d', 2]) - 1:+.0%}" for w in ("hand", "blocks"))
    ours = (f"{median(rounds, lambda row, n=n: row['dask', n] / row['conv2d', n]) - 1:+.0%}" for n in (1, 2))
    hand, blocks = (f"{time_of(w, 2)} ms, {more}" for w, more in zip(("hand", "blocks"), over, strict=True))
    cells = (title, on, both("conv2d"), hand, blocks, both("dask"), ", ".join(ours), f"{time_of('nothing', 2)} ms")
    return f"| {' | '.join(cells)} |".replace("-", "−").replace("%", " %")


if __name__ == "__main__":
    main()
