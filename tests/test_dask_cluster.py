"""Dask arrays on a cluster of processes: the same bits, also when workers are killed."""

import os
import signal
import time

import dask
import dask.array as da
import numpy as np
import pytest

from fastconv import conv2d, conv2d_grad_input, conv2d_grad_weight, conv3d, local_conv2d

distributed = pytest.importorskip("distributed")

LIMIT = 120  # seconds for anything that waits: a hang is a failure

RNG = np.random.default_rng(5)
X = RNG.standard_normal((1, 3, 240, 320)).astype("f4")
W = RNG.standard_normal((4, 3, 5, 5)).astype("f4")
OPTIONS = {"padding": "same", "padding_mode": "reflect", "algorithm": "direct"}
EXPECTED = conv2d(X, W, **OPTIONS)


@pytest.fixture(scope="module")
def cluster(tmp_path_factory):
    with (
        dask.config.set(
            {
                "distributed.scheduler.allowed-failures": 1000,  # tasks are innocent of these deaths
                # After 15 s a cluster closes the nanny of a worker that died, if it happens to be dead again just then.
                "distributed.deploy.lost-worker-timeout": "1 hour",
            }
        ),
        distributed.LocalCluster(
            n_workers=2,
            threads_per_worker=1,
            processes=True,
            dashboard_address=":0",
            local_directory=str(tmp_path_factory.mktemp("workers")),
        ) as cluster,
    ):
        yield cluster


@pytest.fixture(scope="module")
def client(cluster):
    with distributed.Client(cluster) as client:
        yield client


def test_processes_give_the_same_bits(client):
    x = da.from_array(X, chunks=(1, 2, 50, 70))
    y = client.compute(conv2d(x, W, **OPTIONS)).result(timeout=LIMIT)
    assert y.tobytes() == EXPECTED.tobytes()


def test_chunks_in_the_memory_of_workers(client):
    x = client.persist(da.from_array(X, chunks=(1, 3, 60, 80)))
    distributed.wait(x, timeout=LIMIT)
    y = client.persist(conv2d(x, W, **OPTIONS))
    distributed.wait(y, timeout=LIMIT)
    assert y.compute().tobytes() == EXPECTED.tobytes()


def test_gradients_over_processes(client):
    """Of pixels the bits of the undistributed call, of kernels those of the same chunks in this thread."""
    x, grad = (client.persist(da.from_array(array, chunks=(1, 3, 60, 80))) for array in (X, EXPECTED))
    by_image, by_kernel = (
        conv2d_grad_input(grad, W, X.shape, **OPTIONS),
        conv2d_grad_weight(x, grad, W.shape, **OPTIONS),
    )
    image, kernel = (future.result(timeout=LIMIT) for future in client.compute([by_image, by_kernel]))
    assert image.tobytes() == conv2d_grad_input(EXPECTED, W, X.shape, **OPTIONS).tobytes()
    lazy = (da.from_array(array, chunks=(1, 3, 60, 80)) for array in (X, EXPECTED))
    with dask.config.set(scheduler="synchronous"):
        assert kernel.tobytes() == conv2d_grad_weight(*lazy, W.shape, **OPTIONS).compute().tobytes()


def test_volumes_and_kernels_of_each_pixels_own_over_processes(client):
    volume, kernel = (
        RNG.standard_normal((2, 20, 24, 28)).astype("f4"),
        RNG.standard_normal((3, 2, 3, 3, 3)).astype("f4"),
    )
    image, kernels = (
        RNG.standard_normal((2, 30, 40)).astype("f4"),
        RNG.standard_normal((30, 40, 3, 2, 3, 3)).astype("f4"),
    )
    for function, x, weight in ((conv3d, volume, kernel), (local_conv2d, image, kernels)):
        lazy = (
            da.from_array(x, chunks=(1, 7, 11, 13)[: x.ndim]),
            da.from_array(weight, chunks=(16, 13, 3, 2, 3, 3)[-weight.ndim :]),
        )
        y = client.compute(function(*lazy, **OPTIONS)).result(timeout=LIMIT)
        assert y.tobytes() == function(x, weight, **OPTIONS).tobytes()


def test_workers_killed_at_random(cluster, client, request):
    """SIGKILL, at random moments of a run, until there have been so many; another worker is started each time."""

    def slowly(block, run):  # in here, so that it travels by value: workers cannot import this module
        time.sleep(0.01)
        return block

    kills, killed, run = request.config.getoption("--kills"), set(), 0
    rng = np.random.default_rng()
    while len(killed) < kills:
        run += 1
        x = da.from_array(X, chunks=(1, 1, 20, 20)).map_blocks(slowly, run, dtype=X.dtype, meta=X[:0])
        result, deadline = client.compute(conv2d(x, W, **OPTIONS)), time.monotonic() + LIMIT
        while not result.done() and len(killed) < kills:
            time.sleep(rng.uniform(0.1, 1.0))
            assert time.monotonic() < deadline, "the run hangs"
            # Not one that is being started: a nanny whose worker dies then starts no other.
            processes = [nanny.process for nanny in cluster.workers.values() if nanny.process]
            alive = {each.pid for each in processes if each.status == distributed.core.Status.running} - killed - {None}
            if alive and not result.done():
                victim = int(rng.choice(sorted(alive)))
                os.kill(victim, signal.SIGKILL)
                killed.add(victim)
        assert result.result(timeout=LIMIT).tobytes() == EXPECTED.tobytes()
    assert run < 10 * kills
