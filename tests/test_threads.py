"""Threads, processes and signals: how many threads run, that any mix of them gives the same bits, and nothing hangs."""

import concurrent.futures
import os
import signal
import subprocess
import sys
import textwrap
import threading
import time

import numpy as np
import pytest

import fastconv
from fastconv import _api, _kernels, conv2d
from fastconv._cpus import cgroup_quota
from fastconv.backends._table import load

openmp = pytest.mark.skipif(not _kernels.OPENMP, reason="this build has no OpenMP: every call is serial")


def problem(c=16, size=40):
    rng = np.random.default_rng(3)
    return rng.standard_normal((2, c, size, size)).astype("f4"), rng.standard_normal((c, c, 3, 3)).astype("f4")


def run_python(code, timeout=60, **environment):
    """Run a script in a new interpreter (-P: the installed package); its output, or an error with all it printed."""
    variables = {name: value for name, value in os.environ.items() if not name.startswith(("OMP_", "FASTCONV_"))}
    done = subprocess.run(
        [sys.executable, "-P", "-W", "error", "-c", textwrap.dedent(code)],
        capture_output=True, text=True, timeout=timeout, env=variables | environment, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout.strip()


COUNT = "import fastconv; print(fastconv.show_config()['threads']['count'])"


@openmp
@pytest.mark.parametrize(
    ("environment", "expected"),
    [
        ({"OMP_NUM_THREADS": "1"}, {1}),
        ({"FASTCONV_NUM_THREADS": "3"}, {3}),
        ({"FASTCONV_NUM_THREADS": "3", "OMP_NUM_THREADS": "1"}, {3}),
        ({"OMP_NUM_THREADS": "99999"}, set(range(1, os.cpu_count() + 1))),
        ({"FASTCONV_NUM_THREADS": "99999"}, set(range(64, max(64, os.cpu_count()) + 1))),
        ({}, set(range(1, os.cpu_count() + 1))),
    ],
)
def test_environment_sets_the_thread_count(environment, expected):
    assert int(run_python(COUNT, **environment)) in expected


@pytest.mark.parametrize("value", ["0", "-1", "two", "1.5", "2,3"])
def test_malformed_thread_count_is_an_error_with_the_variables_name(value):
    code = """
        import numpy as np, fastconv
        try:
            fastconv.conv2d(np.ones((2, 2)), np.ones((1, 1)))
        except ValueError as error:
            print(error)
    """
    message = run_python(code, FASTCONV_NUM_THREADS=value)
    assert "FASTCONV_NUM_THREADS must be a whole number of at least 1" in message
    assert repr(value) in message


@openmp
@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="this system has no processor affinity")
def test_affinity_is_respected():
    code = """
        import os, fastconv
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
        print(fastconv.show_config()["threads"]["count"])
    """
    assert run_python(code) == "1"


@openmp
@pytest.mark.parametrize("in_worker", [False, True])
def test_threadpoolctl_limits_the_calling_thread(in_worker):
    threadpoolctl = pytest.importorskip("threadpoolctl")
    conv2d(*problem())

    def count():
        with threadpoolctl.threadpool_limits(1, "openmp"):
            return _kernels.threads()[0]

    if in_worker:
        with concurrent.futures.ThreadPoolExecutor(1) as pool:
            assert pool.submit(count).result() == 1
    else:
        before = _kernels.threads()
        assert count() == 1
        assert _kernels.threads() == before


@openmp
def test_thread_count_of_a_call():
    x, weight = problem()
    for asked in (1, 2, 5):
        details = fastconv.explain(x, weight, num_threads=asked).details
        assert (details["threads"], details["threads_from"]) == (asked, "num_threads")
    tiny = fastconv.explain(x[:, :, :3, :3], weight).details
    assert (tiny["threads"], tiny["threads_from"]) == (1, "too little work for more")
    assert fastconv.explain(x, weight, num_threads=10**9).details["threads"] <= max(64, os.cpu_count())


def test_cgroup_quota(tmp_path):
    own = tmp_path / "own"
    own.write_text("0::/a/b\n")
    inner = tmp_path / "a" / "b"
    inner.mkdir(parents=True)
    assert cgroup_quota(str(tmp_path), str(own)) == 0
    (tmp_path / "a" / "cpu.max").write_text("150000 100000\n")
    (inner / "cpu.max").write_text("max 100000\n")
    assert cgroup_quota(str(tmp_path), str(own)) == 2
    (inner / "cpu.max").write_text("20000 100000\n")
    assert cgroup_quota(str(tmp_path), str(own)) == 1
    (inner / "cpu.max").write_text("nonsense\n")
    assert cgroup_quota(str(tmp_path), str(own)) == 2
    v1 = tmp_path / "v1" / "cpu"
    v1.mkdir(parents=True)
    (v1 / "cpu.cfs_quota_us").write_text("300000")
    (v1 / "cpu.cfs_period_us").write_text("100000")
    assert cgroup_quota(str(tmp_path / "v1"), str(tmp_path / "missing")) == 3


@openmp
def test_quota_caps_the_thread_count():
    code = """
        from fastconv import _kernels, backends
        backends()
        _kernels.configure_threads(0, 1)
        print(*_kernels.threads(), sep="|")
    """
    count, why = run_python(code).split("|")
    assert count == "1"
    assert why in ("control group quota", "processors this process may use")


def test_concurrent_callers_get_the_same_bits():
    x, weight = problem()
    expected = conv2d(x, weight).tobytes()
    with concurrent.futures.ThreadPoolExecutor(16) as pool:
        results = list(pool.map(lambda i: conv2d(x, weight, num_threads=1 + i % 3).tobytes(), range(200)))
    assert set(results) == {expected}


@openmp
@pytest.mark.parametrize(("algorithm", "size"), [("winograd", 3), ("split", 1)])
def test_few_weights_are_packed_by_each_of_two_threads_for_itself(algorithm, size):
    rng = np.random.default_rng(4)
    x = rng.standard_normal((3, 48, 23, 26)).astype("f4")
    weight, bias = rng.standard_normal((40, 48, size, size)).astype("f4"), rng.standard_normal(40).astype("f4")
    packed = [
        fastconv.explain(x, weight, bias, algorithm=algorithm, num_threads=n).details["packed_bytes"] for n in (2, 3)
    ]
    assert packed[0] == 2 * packed[1] > 0
    expected = fastconv.plan_conv2d(weight, bias, algorithm=algorithm)(x, num_threads=1)
    for threads in (1, 2, 3, 2):
        for _ in range(20):  # either thread may come first, or do all
            y = conv2d(x, weight, bias, algorithm=algorithm, num_threads=threads)
            assert y.tobytes() == expected.tobytes()


def test_few_weights_of_convolutions_that_are_computed_together():
    """Phases of a transposed convolution, each with weights of its own, which each of two threads packs."""
    rng = np.random.default_rng(5)
    x, weight = rng.standard_normal((1, 24, 40, 41)).astype("f4"), rng.standard_normal((24, 32, 5, 5)).astype("f4")
    explained = fastconv.explain(x, weight, stride=2, operator="conv_transpose2d", num_threads=2)
    assert explained.details["packed_bytes"] > 0
    expected = fastconv.conv_transpose2d(x, weight, stride=2, num_threads=1)
    for threads in (2, 3):
        for _ in range(20):
            y = fastconv.conv_transpose2d(x, weight, stride=2, num_threads=threads)
            assert y.tobytes() == expected.tobytes()


def test_plan_cache_is_bounded_and_survives_concurrent_use():
    weight = np.ones((1, 1))

    def call(i):
        return conv2d(np.ones((1, 1 + i % 300)), weight).shape

    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        shapes = list(pool.map(call, range(3000)))
    assert shapes == [(1, 1 + i % 300) for i in range(3000)]
    assert len(_api._plans) <= _api.PLANS


def test_the_gil_is_released():
    """A second Python thread goes on while a call computes."""
    x, weight = problem(c=64, size=128)
    ticks, stop = [], threading.Event()

    def tick():
        while not stop.is_set():
            ticks.append(time.perf_counter())
            time.sleep(0.0005)

    ticker = threading.Thread(target=tick)
    ticker.start()
    begin = time.perf_counter()
    for _ in range(5):
        conv2d(x, weight, num_threads=1)
    end = time.perf_counter()
    stop.set()
    ticker.join()
    assert sum(begin < t < end for t in ticks) > 5


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
@pytest.mark.parametrize("used_before", [False, True])
def test_forked_child_computes_serially_and_does_not_hang(used_before):
    code = f"""
        import os, sys, numpy as np
        from fastconv import _kernels, conv2d
        x, weight = np.ones((1, 16, 64, 64), "f4"), np.ones((16, 16, 3, 3), "f4")
        if {used_before}:
            conv2d(x, weight, num_threads=4, algorithm="direct")
        pid = os.fork()
        y = conv2d(x, weight, num_threads=4, algorithm="direct")
        grandchild = 0 if pid else os.fork()
        if not pid:
            y = conv2d(x, weight, num_threads=4, algorithm="direct")
            why = "a forked child runs serially" if _kernels.OPENMP else "built without OpenMP"
            assert _kernels.threads(4) == (1, why)
            if grandchild:
                assert os.waitpid(grandchild, 0)[1] == 0
            os._exit(0 if (y == 144).all() else 1)
        assert os.waitpid(pid, 0)[1] == 0
        print((y == 144).all())
    """
    assert run_python(code, timeout=30) == "True"


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
def test_forked_child_finds_every_lock_open():
    """Another thread of the parent is in the middle of making plans; the child makes its own."""
    code = """
        import os, threading, numpy as np, fastconv
        from fastconv import _api, _forks, conv2d, plan_conv2d
        x, weight = np.ones((1, 1, 9, 9), "f4"), np.ones((1, 1, 3, 3), "f4")
        plan = plan_conv2d(weight)
        assert {_api._plans_lock, plan._lock} <= set(_forks._every)
        here, done = threading.Event(), threading.Event()
        def hold():
            with _api._plans_lock.held(), plan._lock.held():
                here.set()
                done.wait()
        thread = threading.Thread(target=hold)
        thread.start()
        here.wait()
        pid = os.fork()
        if not pid:
            right = conv2d(x, weight)[0, 0, 0, 0] == plan(x)[0, 0, 0, 0] == 9
            os._exit(0 if right else 1)
        status = os.waitpid(pid, 0)[1]
        done.set()
        thread.join()
        print(status, plan(x)[0, 0, 0, 0] == 9)
    """
    assert run_python(code, timeout=30) == "0 True"


def test_a_lock_keeps_others_out():
    from fastconv._forks import Lock

    lock, came = Lock(), threading.Event()

    def enter():
        with lock.held():
            came.set()

    thread = threading.Thread(target=enter)
    with lock.held():
        thread.start()
        assert not came.wait(0.2)
    thread.join()
    assert came.is_set()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
def test_fork_while_the_lock_is_held_by_the_thread_itself():
    code = """
        import os
        from fastconv._forks import Lock
        lock = Lock()
        with lock.held():
            pid = os.fork()
        with lock.held():
            pass
        if not pid:
            os._exit(0)
        print(os.waitpid(pid, 0)[1])
    """
    assert run_python(code, timeout=30) == "0"


@pytest.mark.skipif(os.name != "posix", reason="signals are delivered to a process on POSIX systems alone")
def test_interrupt_stops_a_long_call():
    code = """
        import os, signal, threading, time, numpy as np
        from fastconv import conv2d
        x, weight = np.ones((8, 128, 256, 256), "f4"), np.ones((256, 128, 5, 5), "f4")
        signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background jobs inherit that it is ignored
        threading.Timer(0.3, os.kill, (os.getpid(), signal.SIGINT)).start()
        try:
            conv2d(x, weight)
            print("finished")
        except KeyboardInterrupt:
            print("interrupted")
        print(conv2d(np.ones((2, 2)), np.ones((2, 2)))[0, 0])
    """
    assert run_python(code, timeout=120).split() == ["interrupted", "4.0"]


def test_signal_handler_that_raises_is_passed_on():
    if not hasattr(signal, "setitimer"):
        pytest.skip("this system has no interval timers")

    def handler(signum, frame):
        raise ZeroDivisionError("from the handler")

    before = signal.signal(signal.SIGALRM, handler)
    try:
        x, weight = problem(c=96, size=200)
        signal.setitimer(signal.ITIMER_REAL, 0.02)
        with pytest.raises(ZeroDivisionError):
            for _ in range(100):
                conv2d(x, weight)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    assert conv2d(np.ones((2, 2)), np.ones((2, 2)))[0, 0] == 4


def test_array_that_another_thread_reshapes_is_refused_not_overrun():
    """The plan compares what it reads with what it was made for: a change between the check and the run is an error."""
    x, weight = problem()
    p = fastconv.Problem.of(x, weight)
    ready = load("cpu").plan(p)
    out = np.empty(p.out_shape, p.dtype)
    with pytest.raises(ValueError, match="x has another shape"):
        ready(x[:, :, :-1], weight, None, out, 0)
    with pytest.raises(ValueError, match="weight has another shape"):
        ready(x, weight[:, :-1], None, out, 0)
    with pytest.raises(ValueError, match="out has another shape"):
        ready(x, weight, None, out[:, :-1], 0)
    with pytest.raises(ValueError, match="x has another shape"):
        ready(x[0], weight, None, out, 0)


def test_arrays_are_kept_alive_during_the_call():
    """References that the caller drops while a call runs do not free what it reads."""

    def call(_):
        return conv2d(np.ones((4, 16, 64, 64), "f4"), np.ones((16, 16, 3, 3), "f4"), algorithm="direct")[0, 0, 0, 0]

    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        assert set(pool.map(call, range(40))) == {144}
