"""Filter an image that does not fit into memory, from disk to disk, with a progress bar.

    python examples/large_image.py                              # 40,000 × 40,000 pixels, a .npy file, threads
    python examples/large_image.py --format zarr --processes 2  # a Zarr array, a cluster of two processes
    python examples/large_image.py --size 4000 --check          # small enough to compare with one call of conv2d

Needs `pip install 'fastconv[dask]'`, zarr for --format zarr, distributed for --processes, and 8 bytes of disk a pixel.
"""

import argparse
import contextlib
import resource
import sys
import tempfile
import time
from pathlib import Path

import dask
import dask.array as da
import numpy as np
from dask.diagnostics import ProgressBar

import fastconv


class NpyFile:
    """A .npy file as something that is sliced and assigned to, and mapped only for so long.

    `dask.array.from_array` copies a `numpy.memmap` into memory, and pickle would; this is a path, in any process.
    """

    def __init__(self, path, shape=None, dtype=None):
        if shape is not None:
            np.lib.format.open_memmap(path, "w+", dtype, shape)
        header = np.load(path, mmap_mode="r")
        self.path, self.shape, self.dtype, self.ndim = path, header.shape, header.dtype, header.ndim

    def __getitem__(self, index):
        return np.array(np.load(self.path, mmap_mode="r")[index])

    def __setitem__(self, index, values):
        np.load(self.path, mmap_mode="r+")[index] = values


def storage(path, form, shape, chunks):
    """An array on disk of that shape: a .npy file, or a Zarr array in chunks."""
    if form == "npy":
        return NpyFile(path, shape, np.float32)
    import zarr

    return zarr.create_array(store=path, shape=shape, chunks=chunks, dtype=np.float32, compressors=None, overwrite=True)


def picture(block, block_info=None):
    """Rings and stripes, with the noise of their own place, so that no two chunks are alike."""
    rows, columns = (np.arange(start, stop, dtype=np.float32) for start, stop in block_info[None]["array-location"])
    noise = np.random.default_rng(block_info[None]["chunk-location"]).random(block.shape, dtype=np.float32)
    return np.sin((rows[:, None] / 40) ** 2 + columns / 25) + noise


def peak():
    """The most memory that this process has used, in MiB."""
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss  # KiB, on macOS bytes
    return most / (2**20 if sys.platform == "darwin" else 2**10)


def main(arguments=None):
    """Make the picture, filter it, and say what that took."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", type=int, default=40_000, help="rows and columns of the image")
    parser.add_argument("--rows", type=int, default=256, help="rows of a chunk, which is as wide as the image")
    parser.add_argument("--kernel", type=int, default=15, help="side of the Gaussian kernel")
    parser.add_argument("--format", choices=("npy", "zarr"), default="npy")
    parser.add_argument(
        "--processes", type=int, default=0, help="workers of a local cluster; 0: threads of this process"
    )
    parser.add_argument("--folder", type=Path, help="where the files go; a temporary folder that is removed by default")
    parser.add_argument("--check", action="store_true", help="compare with conv2d of the whole image in memory")
    options = parser.parse_args(arguments)

    with contextlib.ExitStack() as stack:
        folder = options.folder or Path(stack.enter_context(tempfile.TemporaryDirectory()))
        bar = ProgressBar() if not options.processes else None
        client = stack.enter_context(cluster(options.processes)) if options.processes else None
        shape, chunks = (options.size, options.size), (options.rows, options.size)
        source, target = (
            storage(folder / f"{name}.{options.format}", options.format, shape, chunks) for name in ("a", "b")
        )

        print(f"making {shape[0]} x {shape[1]} pixels, {4 * shape[0] * shape[1] / 2**20:.0f} MiB, in {folder}")
        made = da.zeros(shape, chunks=chunks, dtype=np.float32).map_blocks(picture, dtype=np.float32)
        run(made, source, client, bar)

        kernel = fastconv.filters.gaussian(options.kernel).astype(np.float32)
        image = da.from_array(source, chunks=chunks)
        result = fastconv.conv2d(image, kernel, padding="same", padding_mode="reflect", algorithm="direct")
        print(fastconv.explain(image, kernel, padding="same", padding_mode="reflect", algorithm="direct"))

        start = time.perf_counter()
        run(result, target, client, bar)
        seconds = time.perf_counter() - start
        print(
            f"filtered in {seconds:.1f} s, {shape[0] * shape[1] / seconds / 1e6:.0f} million pixels a second, with disk"
        )
        used = {"this process": peak()} | (client.run(peak) if client else {})
        for name, most in used.items():
            print(f"peak memory of {name}: {most:.0f} MiB")

        if options.check:
            whole = fastconv.conv2d(source[:, :], kernel, padding="same", padding_mode="reflect", algorithm="direct")
            print(f"the same bits as one call: {np.array_equal(whole.view(np.uint32), target[:, :].view(np.uint32))}")


def run(array, target, client, bar):
    """Compute a Dask array, chunk by chunk into its place on disk."""
    stored = da.store(array, target, lock=False, compute=False)
    if client is None:
        with bar:
            dask.compute(stored, scheduler="threads")
    else:
        from distributed import progress

        future = client.compute(stored)
        progress(future, notebook=False)
        future.result()


def cluster(processes):
    """A client of a new cluster on this machine, one thread a process."""
    from distributed import Client

    return Client(n_workers=processes, threads_per_worker=1, dashboard_address=":0")


if __name__ == "__main__":
    main()
