"""The conformance kit: our own backends pass it, and it refuses those that are wrong in one thing each."""

import ctypes
import gc
import inspect
import io
import logging
import os
import platform
import subprocess
import sys
import textwrap
import time
import types
import warnings

import numpy as np
import pytest
import threadpoolctl

import fastconv
from fastconv.backends.reference import ReferenceBackend
from fastconv.testing import BackendConformance, MismatchError, _process


class TestCpu(BackendConformance):
    backend = "cpu"
    least_share = 1.0


class TestReference(BackendConformance):
    backend = "reference"
    least_share = 1.0


# --- a backend that is wrong in one thing does not pass, and the test for that thing says so


def right(problem):
    return ReferenceBackend().plan(problem)


def result(change):
    """A plan that makes a change to the right result."""

    def plan(self, problem):
        def run(x, weight, bias, out, num_threads):
            y = np.empty(out.shape, out.dtype)
            out[...] = change(right(problem)(x, weight, bias, y, num_threads), x, weight)
            return out

        return run

    return {"plan": plan}


def aside(act):
    """A plan that is right, and does something else besides."""

    def plan(self, problem):
        def run(*arguments):
            act()
            return right(problem)(*arguments)

        return run

    return {"plan": plan}


def noisy(y, x, weight):
    if y.dtype != np.float32 or not np.isfinite(y).all():
        return y
    return np.nextafter(y, np.float32(np.random.default_rng().choice([-np.inf, np.inf])))


def smeared(y, x, weight):
    return np.full_like(y, np.nan) if y.dtype.kind == "f" and np.isnan(y).any() else y


def fallback(name):
    def plan(self, problem):
        def run(x, weight, bias, out, num_threads):
            options = {"data_format": problem.x_axes, "weight_format": problem.weight_axes, "flip": problem.flip}
            if "C" not in problem.x_axes:
                options = {"flip": problem.flip}
            options["padding"] = ((problem.pt, problem.pb), (problem.pl, problem.pr))
            options |= {"padding_mode": problem.padding_mode, "fill_value": problem.fill_value}
            options |= {"stride": (problem.sh, problem.sw), "dilation": (problem.dh, problem.dw)}
            options |= {"groups": problem.groups, "dtype": problem.dtype, "backend": name}
            out[...] = fastconv.conv2d(x, weight, bias, **options)
            return out

        return run

    return {"plan": plan}


def late(self, problem):
    def run(*arguments):
        raise fastconv.BackendUnsupportedError("not this one, after all")

    return run


def shared_scratch(self, problem):
    def run(x, weight, bias, out, num_threads):
        SCRATCH[0] = right(problem)(x, weight, bias, np.empty(out.shape, out.dtype), num_threads)
        time.sleep(1e-3)
        out[...] = SCRATCH[0] if SCRATCH[0].shape == out.shape else 0
        return out

    return run


SCRATCH = [None]


def flat(self, problem):
    def run(x, weight, bias, out, num_threads):
        y = np.empty(out.shape, out.dtype)
        out.reshape(-1)[...] = right(problem)(x, weight, bias, y, num_threads).reshape(-1)
        return out

    return run


def raw_bytes(self, problem):
    def run(x, weight, bias, out, num_threads):
        return right(problem)(x.view(x.dtype.newbyteorder("=")), weight, bias, out, num_threads)

    return run


def own_errstate(self, problem):
    def run(x, weight, bias, out, num_threads):
        (np.float32(1e30) * np.ones(2, np.float32) ** 2 * np.float32(1e30)).sum()
        return right(problem)(x, weight, bias, out, num_threads)

    return run


def altered(**changes):
    """A plan for another problem than the one asked for."""

    def plan(self, problem):
        return right(problem._replace(**{key: change(problem) for key, change in changes.items()}))

    return {"plan": plan}


def running(run):
    """A plan that does something of its own: with the problem and a plan's arguments."""

    def plan(self, problem):
        return lambda *arguments: run(problem, *arguments)

    return {"plan": plan}


def one_precision(p, x, weight, bias, out, num_threads):
    if p.compute != np.float64:
        return right(p)(x, weight, bias, out, num_threads)
    single = np.dtype(np.float32)
    operands = [None if a is None else a.astype(single) for a in (x, weight, bias)]
    out[...] = right(p._replace(compute=single, dtype=single))(*operands, np.empty(out.shape, single), num_threads)
    return out


def by_floats(p, x, weight, bias, out, num_threads):
    if p.compute.kind not in "iu":
        return right(p)(x, weight, bias, out, num_threads)
    double = np.dtype(np.float64)
    operands = [None if a is None else a.astype(double) for a in (x, weight, bias)]
    y = right(p._replace(compute=double, dtype=double))(*operands, np.empty(out.shape, double), num_threads)
    with np.errstate(invalid="ignore"):
        out[...] = y
    return out


def overwrites(p, x, weight, bias, out, num_threads):
    right(p)(x, weight, bias, out, num_threads)
    if x.base is not None and x.base.flags.writeable:
        x.flags.writeable = True
        x[...] = 0
    return out


def beside(p, x, weight, bias, out, num_threads):
    right(p)(x, weight, bias, out, num_threads)
    if out.base is not None and out.base.size > out.size:
        result = out.copy()
        out.base[...] = 5
        out[...] = result
    return out


def adds(p, x, weight, bias, out, num_threads):
    with np.errstate(all="ignore"):
        out += right(p)(x, weight, bias, np.empty(out.shape, out.dtype), num_threads)
    return out


def no_padding(p, x, weight, bias, out, num_threads):
    """Taps on zero padding are left out: what an infinite weight makes of them is lost."""
    right(p)(x, weight, bias, out, num_threads)
    if p.padding_mode == "constant" and not p.fill_value and out.dtype.kind == "f" and np.isinf(weight).any():
        out[np.isnan(out)] = 0
    return out


def keeps_weights(self, problem):
    kept = []

    def run(x, weight, bias, out, num_threads):
        kept[:] = kept or [weight.copy()]
        return right(problem)(x, kept[0], bias, out, num_threads)

    return run


def tires(self, problem):
    calls = []

    def run(x, weight, bias, out, num_threads):
        calls.append(1)
        right(problem)(x, weight, bias, out, num_threads)
        out[...] = 0 if len(calls) == 3 else out
        return out

    return run


def first_image(y, x, weight):
    return y[:1] if y.ndim == 4 else y


def late_error(p, x, weight, bias, out, num_threads):
    if p.dh > 1:
        raise KeyError("no dilation")
    return right(p)(x, weight, bias, out, num_threads)


COUNT = [0]


def moody(self, problem):
    COUNT[0] += 1
    return "not today" if COUNT[0] % 2 else None


PARENT = os.getpid()
NOT_RIGHT = "outside the bound|not exact"

WRONG = {  # members of a backend that is otherwise the reference, and the test of the kit that must fail
    "falls back": (fallback("cpu"), "test_agrees_with_the_reference", r"backends \['cpu', 'wrong'\] ran"),
    "falls back in plans": (fallback("cpu"), "test_plans", r"backends .* ran a plan"),
    "off by a little": (result(lambda y, x, w: y * (1 + 1e-4)), "test_agrees_with_the_reference", NOT_RIGHT),
    "off by one": (result(lambda y, x, w: y + 1), "test_any_call", NOT_RIGHT),
    "smears": (result(smeared), "test_non_finite_values_stay_where_they_belong", "another pattern of NaN"),
    "not the same twice": (result(noisy), "test_same_call_same_result", "other bits the second time"),
    "errstate": (aside(lambda: np.seterr(over="ignore", invalid="raise")), "test_global_state_is_restored", "errstate"),
    "environment": (aside(lambda: os.environ.update(LEFT="1")), "test_global_state_is_restored", "environ"),
    "filters": (aside(lambda: warnings.simplefilter("ignore")), "test_global_state_is_restored", "warnings.filters"),
    "random": (aside(lambda: np.random.random()), "test_global_state_is_restored", "random"),  # noqa: NPY002
    "warns": (aside(lambda: warnings.warn("look", stacklevel=1)), "test_settings_of_the_caller_do_no_harm", "look"),
    "overflows": ({"plan": own_errstate}, "test_settings_of_the_caller_do_no_harm", "overflow"),
    "unsupported late": ({"plan": late}, "test_agrees_with_the_reference", "reject had nothing to say"),
    "moody": ({"reject": moody}, "test_agrees_with_the_reference", "reject answers now"),
    "takes little": ({"reject": lambda self, p: "no"}, "test_agrees_with_the_reference", "takes 0% of random calls"),
    "shared scratch": ({"plan": shared_scratch}, "test_threads", "for fastconv"),
    "flat out": ({"plan": flat}, "test_out", "for fastconv"),
    "raw bytes": ({"plan": raw_bytes}, "test_strides", "for a call"),
    "no empties": ({"reject": lambda self, p: None if p.n else "empty"}, "test_empty_results", "unlike a full one"),
    "hangs": (aside(lambda: os.getpid() == PARENT or time.sleep(60)), "test_fork", "a forked child hangs"),
    "dies": (aside(lambda: os.getpid() == PARENT or os._exit(9)), "test_fork", "a forked child fails"),
    "not there": ({"probe": lambda self: "no device"}, "test_is_usable", "no device"),
    "pads the other side": (altered(pt=lambda p: p.pb, pb=lambda p: p.pt), "test_any_call_of_floats", "bound|pattern"),
    "pads left for right": (altered(pl=lambda p: p.pr, pr=lambda p: p.pl), "test_agrees_with_the_reference", "bound"),
    "no dilation": (altered(dh=lambda p: 1, dw=lambda p: 1), "test_agrees_with_the_reference", NOT_RIGHT),
    "no stride": (altered(sw=lambda p: 1), "test_agrees_with_the_reference", NOT_RIGHT),
    "no flip": (altered(flip=lambda p: False), "test_agrees_with_the_reference", NOT_RIGHT),
    "no fill value": (altered(fill_value=lambda p: 0), "test_agrees_with_the_reference", NOT_RIGHT),
    "wraps as edge": (
        altered(padding_mode=lambda p: "edge" if p.padding_mode == "wrap" else p.padding_mode),
        "test_agrees_with_the_reference", NOT_RIGHT,
    ),
    "no bias": (running(lambda p, x, w, b, *rest: right(p)(x, w, None, *rest)), "test_any_call", NOT_RIGHT),
    "conjugates": (
        running(lambda p, x, w, *rest: right(p)(x, w.conj(), *rest)), "test_agrees_with_the_reference", NOT_RIGHT,
    ),
    "first image for all": (result(first_image), "test_agrees_with_the_reference", NOT_RIGHT),
    "NaN swallowed": (
        result(lambda y, x, w: np.nan_to_num(y, posinf=np.inf, neginf=-np.inf) if y.dtype.kind == "f" else y),
        "test_non_finite_values_stay_where_they_belong", "another pattern of NaN",
    ),
    "padding is nothing": (running(no_padding), "test_non_finite_values_stay_where_they_belong", "another pattern"),
    "one precision": (running(one_precision), "test_agrees_with_the_reference", "outside the bound"),
    "integers by floats": (running(by_floats), "test_large_integers", "not exact"),
    "keeps weights": ({"plan": keeps_weights}, "test_non_finite_values_stay_where_they_belong", "bound|pattern"),
    "tires": ({"plan": tires}, "test_plans", "bound|not exact|pattern"),
    "adds to out": (running(adds), "test_out", NOT_RIGHT),
    "writes beside out": (running(beside), "test_out", "writes beside out"),
    "overwrites": (running(overwrites), "test_operands_are_left_alone", "changed operands|not exact|bound"),
    "raises late": (running(late_error), "test_agrees_with_the_reference", "no dilation"),
    "cost is none": ({"cost": lambda self, p: -1.0}, "test_agrees_with_the_reference", "cost is to be seconds"),
    "default": (aside(lambda: fastconv.set_default_backend("cpu")), "test_global_state_is_restored", "choice of"),
    "scope": (aside(lambda: LEFT.use("cpu")), "test_global_state_is_restored", "choice of a backend"),
    "rounding": (aside(lambda: LEFT.rounding(-1)), "test_global_state_is_restored", "floating-point state"),
    "collector": (aside(gc.disable), "test_global_state_is_restored", "gc.isenabled"),
    "output": (aside(lambda: setattr(sys, "stdout", io.StringIO())), "test_global_state_is_restored", "sys.stdout"),
    "logging": (aside(lambda: logging.root.setLevel(7)), "test_global_state_is_restored", "logging"),
    "library": (aside(lambda: LEFT.__setattr__("threads", 1)), "test_global_state_is_restored", "setting of numexpr"),
}  # fmt: skip
if len(os.sched_getaffinity(0)) > 1:
    limits = aside(lambda: threadpoolctl.threadpool_limits(1))
    WRONG["threads"] = (limits, "test_global_state_is_restored", "the number of threads")


class Left:
    """Settings that wrong backends leave changed."""

    threads = 4
    scope = None

    def use(self, name):
        self.scope = fastconv.use_backend(name)
        self.scope.__enter__()

    def rounding(self, direction):
        modes = {"x86_64": (0, 0x400), "aarch64": (0, 0x800000)}[platform.machine()]
        ctypes.CDLL(None).fesetround(modes[direction < 0])


LEFT = Left()


@pytest.fixture
def restored(monkeypatch):
    """Settings as they were, whatever a backend leaves."""
    monkeypatch.setattr(_process, "FORK_SECONDS", 0.5)
    monkeypatch.setattr(sys, "stdout", sys.stdout)
    monkeypatch.setattr(LEFT, "threads", 4)
    monkeypatch.setitem(sys.modules, "numexpr", types.SimpleNamespace(get_num_threads=lambda: LEFT.threads))
    environment, state, level = dict(os.environ), np.random.get_state(), logging.root.level  # noqa: NPY002
    with warnings.catch_warnings(), np.errstate(), threadpoolctl.threadpool_limits(None):
        yield
    if LEFT.scope is not None:
        LEFT.scope.__exit__(None, None, None)
        LEFT.scope = None
    LEFT.rounding(0)
    gc.enable()
    logging.root.setLevel(level)
    np.random.set_state(state)  # noqa: NPY002
    for name in set(os.environ) - set(environment):
        del os.environ[name]


@pytest.mark.parametrize("what", WRONG)
def test_a_wrong_backend_fails(table, restored, what):
    members, test, words = WRONG[what]
    fastconv.register_backend(fastconv.BackendSpec("wrong", type("Wrong", (ReferenceBackend,), members)))
    kit = type("Kit", (BackendConformance,), {"backend": "wrong", "problems": 60})()
    with pytest.raises((MismatchError, Warning, FloatingPointError, KeyError), match=words) as caught:
        getattr(kit, test)()
    if what == "raises late":
        assert "in fastconv.testing.random_call(" in caught.value.__notes__[0]


def test_settings_that_each_call_leaves_alike_are_seen(table, restored):
    members = aside(lambda: fastconv.set_default_backend("cpu"))
    fastconv.register_backend(fastconv.BackendSpec("alike", type("Alike", (ReferenceBackend,), members)))
    kit = type("Kit", (BackendConformance,), {"backend": "alike", "problems": 60})()
    kit.test_agrees_with_the_reference()
    with pytest.raises(MismatchError, match="since the first call fastconv's choice of a backend changed"):
        kit.test_global_state_is_restored()


TESTS = sorted(name for name in dir(BackendConformance) if name.startswith("test_"))


@pytest.mark.parametrize("test", TESTS)
def test_every_test_of_the_kit_passes_for_what_is_right(table, test):
    """The same base as above with nothing wrong: so it is the one change that fails."""
    fastconv.register_backend(fastconv.BackendSpec("right", ReferenceBackend))
    kit = type("Kit", (BackendConformance,), {"backend": "right", "problems": 60})()
    getattr(kit, test)()


class Box:
    """An array of another library."""

    def __init__(self, values):
        self.values, self.shape, self.dtype = values, values.shape, values.dtype


class BoxBackend(ReferenceBackend):
    """The reference, for boxes too."""

    def plan(self, problem):
        def run(x, weight, bias, out, num_threads):
            operands = [a.values if isinstance(a, Box) else a for a in (x, weight, bias)]
            if isinstance(out, np.ndarray):
                return right(problem)(*operands, out, num_threads)
            return self.wrap(right(problem)(*operands, np.empty(problem.out_shape, problem.dtype), num_threads))

        return run

    def wrap(self, y):
        return Box(y)


class BoxKit(BackendConformance):
    backend = "box"
    problems = 40

    def make_array(self, array):
        return Box(array)

    def to_numpy(self, array):
        return array.values


@pytest.fixture(params=[("numpy:ndarray",), ()], ids=["NumPy's too", "boxes alone"])
def boxes(table, monkeypatch, request):
    monkeypatch.setitem(sys.modules, "boxes", types.SimpleNamespace(Box=Box))
    return fastconv.BackendSpec("box", BoxBackend, owns=("boxes:Box",), accepts=request.param)


@pytest.mark.parametrize("test", TESTS)
def test_kit_works_on_arrays_that_a_backend_owns(boxes, test):
    fastconv.register_backend(boxes)
    getattr(BoxKit(), test)()


def test_kit_of_owned_arrays_sees_what_is_wrong(boxes):
    fastconv.register_backend(boxes)
    with pytest.raises(NotImplementedError, match="'box' owns arrays: its kit needs make_array and to_numpy"):
        type("Kit", (BackendConformance,), {"backend": "box"})().test_agrees_with_the_reference()
    fastconv.register_backend(boxes._replace(name="naked", implementation=Naked))
    kit = type("Kit", (BoxKit,), {"backend": "naked"})()
    with pytest.raises(fastconv.BackendResultError, match="not an array of a type it owns"):
        kit.test_agrees_with_the_reference()
    fastconv.register_backend(boxes._replace(name="off", implementation=Off))
    kit = type("Kit", (BoxKit,), {"backend": "off"})()
    with pytest.raises(MismatchError, match=NOT_RIGHT):
        kit.test_agrees_with_the_reference()
    fastconv.register_backend(boxes._replace(name="shapeless", implementation=Shapeless))
    with pytest.raises(fastconv.BackendResultError, match="not an array of a type it owns of shape"):
        type("Kit", (BoxKit,), {"backend": "shapeless"})().test_empty_results()
    fastconv.register_backend(boxes._replace(name="scribbler", implementation=Scribbler))
    with pytest.raises(MismatchError, match="it changed operands"):
        type("Kit", (CopyingKit,), {"backend": "scribbler"})().test_operands_are_left_alone()


def test_kit_sees_operators_that_are_wrong_or_unknown(table):
    class Own(ReferenceBackend):
        def plan(self, problem):
            run = super().plan(problem)
            if problem.operator == "conv2d":
                return run
            return lambda x, weight, bias, out, n: np.add(run(x, weight, bias, out, n), out.dtype.type(1), out=out)

    fastconv.register_backend(fastconv.BackendSpec("own", Own, operators=("conv2d", "conv2d_grad_input")))
    kit = type("Kit", (BackendConformance,), {"backend": "own", "problems": 30})()
    kit.test_agrees_with_the_reference()
    with pytest.raises(MismatchError, match="conv2d_grad_input"):
        kit.test_other_operators()
    misspelt = fastconv.BackendSpec("misspelt", ReferenceBackend, operators=("conv2d", "conv2d_grad_imput"))
    fastconv.register_backend(misspelt)
    kit = type("Kit", (BackendConformance,), {"backend": "misspelt"})()
    with pytest.raises(MismatchError, match="operators that fastconv does not have: conv2d_grad_imput"):
        kit.test_is_usable()


class Shapeless(BoxBackend):
    def plan(self, problem):
        run = super().plan(problem)
        return lambda *operands: Box(np.zeros(0, problem.dtype)) if problem.is_empty else run(*operands)


class Scribbler(BoxBackend):
    def plan(self, problem):
        run = super().plan(problem)

        def scribble(x, weight, bias, out, num_threads):
            y = run(x, weight, bias, out, num_threads)
            if isinstance(x, Box):
                x.values[...] = 0
            return y

        return scribble


class CopyingKit(BoxKit):
    def make_array(self, array):
        return Box(array.copy())


class Naked(BoxBackend):
    def wrap(self, y):
        return y


class Off(BoxBackend):
    def wrap(self, y):
        return Box(y + y.dtype.type(1))


def pytest_run(folder, *arguments, **environment):
    path = os.pathsep.join([str(folder), *filter(None, [os.environ.get("PYTHONPATH")])])
    return subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-W", "error", *arguments],
        cwd=folder, capture_output=True, text=True, check=False, env=os.environ | {"PYTHONPATH": path} | environment,
    )  # fmt: skip


def test_plugin_runs_the_kit_on_a_backend_by_name(tmp_path):
    done = pytest_run(
        tmp_path, "-p", "fastconv.testing.plugin", "--fastconv-backend=reference", "--fastconv-problems=15"
    )
    assert done.returncode == 0, done.stdout
    assert "passed" in done.stdout
    wrong = pytest_run(tmp_path, "-p", "fastconv.testing.plugin", "--fastconv-backend=refrence", "-k", "usable")
    assert wrong.returncode == 1
    assert "Did you mean 'reference'" in wrong.stdout


def test_plugin_runs_the_kit_on_numpys_arrays_alone(tmp_path):
    named = ("-p", "fastconv.testing.plugin", "--fastconv-backend=dask", "--fastconv-problems=10")
    named = (*named, "-k", "usable or operands or other_backend")
    done = pytest_run(tmp_path, *named, "--fastconv-may-call", "cpu")
    assert done.returncode == 0, done.stdout
    assert "3 passed" in done.stdout
    done = pytest_run(tmp_path, *named)
    assert "1 failed, 2 passed" in done.stdout
    assert "'cpu' is disabled" in done.stdout


def test_plugin_gives_its_fixture_to_other_tests(tmp_path):
    (tmp_path / "test_name.py").write_text("def test(fastconv_backend): assert fastconv_backend == 'reference'\n")
    plugin = ("-p", "fastconv.testing.plugin", "test_name.py")
    assert pytest_run(tmp_path, *plugin, "--fastconv-backend=reference").returncode == 0
    assert pytest_run(tmp_path, *plugin).returncode == 1


def publish(folder, name):
    """Write the metadata of a distribution whose description of a backend is in NAME_spec.py."""
    metadata = folder / f"{name}-1.0.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
    (metadata / "entry_points.txt").write_text(f"[fastconv.backends]\n{name} = {name}_spec:BACKEND\n")


OUTSIDE = {  # modules of installed backends; what a test in a new process says of each, nothing where it is right
    "right": (
        "print('loaded')\nfrom fastconv.backends.reference import ReferenceBackend\n"
        "class Backend(ReferenceBackend): pass",
        "test_needs_no_other_backend", None,
    ),
    "thread": (
        f"""
import threading
import fastconv
{inspect.getsource(fallback)}
class Backend:
    algorithms = ("auto",)
    def probe(self): return None
    def reject(self, p): return None
    def plan(self, p):
        work = fallback("cpu")["plan"](self, p)
        def run(*arguments):
            thread = threading.Thread(target=work, args=arguments)
            thread.start()
            thread.join()
            return arguments[3]
        return run
""",
        "test_needs_no_other_backend", "not exact|pattern|outside",
    ),
    "other": (  # on a plugin, which may call cpu; so may the kit's
        f"""
import fastconv
{inspect.getsource(fallback)}
class Helper:
    algorithms = ("auto",)
    def probe(self): return None
    def reject(self, p): return None
    plan = fallback("cpu")["plan"]
fastconv.register_backend(fastconv.BackendSpec("helper", Helper))
class Backend(Helper):
    def plan(self, p):
        work = fallback("helper")["plan"](self, p)
        def run(*arguments):
            with concurrent.futures.ThreadPoolExecutor(1) as pool:
                return pool.submit(work, *arguments).result()
        return run
import concurrent.futures
""",
        "test_needs_no_other_backend", "'helper' is disabled by FASTCONV_DISABLE_BACKENDS",
    ),
    "inside": (
        """
from fastconv.backends.cpu import CpuBackend
class Backend:
    algorithms = ("auto",)
    def probe(self): return None
    def reject(self, p): return None
    def plan(self, p): return CpuBackend().plan(p)
""",
        "test_needs_no_other_backend", "it has another backend compute",
    ),
    "rounds": (
        "import ctypes, platform\nmode = {'x86_64': 0x400, 'aarch64': 0x800000}[platform.machine()]\n"
        "ctypes.CDLL(None).fesetround(mode)\nfrom fastconv.backends.reference import ReferenceBackend as Backend",
        "test_loading_leaves_the_process_as_it_is", "loading it changed floating-point state",
    ),
    "probes": (
        "import fastconv\nfrom fastconv.backends.reference import ReferenceBackend\nclass Backend(ReferenceBackend):\n"
        "    def probe(self): fastconv.set_default_backend('reference')",
        "test_loading_leaves_the_process_as_it_is", "loading it changed fastconv's choice of a backend",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", OUTSIDE)
def test_what_an_installed_backend_does_elsewhere(table, tmp_path, monkeypatch, name):
    text, test, words = OUTSIDE[name]
    publish(tmp_path, name)
    (tmp_path / f"{name}_part.py").write_text(text)
    (tmp_path / f"{name}_spec.py").write_text(
        f"import fastconv\nBACKEND = fastconv.BackendSpec({name!r}, '{name}_part:Backend')\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(filter(None, [str(tmp_path), os.environ.get("PYTHONPATH")])))
    members = {"backend": name, "problems": 200, "may_call": ("cpu",) * (name == "other")}
    kit = type("Kit", (BackendConformance,), members)()
    if words is None:
        getattr(kit, test)()
        return
    with pytest.raises(MismatchError, match=words):
        getattr(kit, test)()


def test_heavy_description_of_an_installed_plugin_is_found(tmp_path):
    (tmp_path / "heavy_part.py").write_text("from fastconv.backends.reference import ReferenceBackend as Backend\n")
    (tmp_path / "framework.py").write_text("")
    light = "import fastconv\nBACKEND = fastconv.BackendSpec('bulky', 'heavy_part:Backend')\n"
    (tmp_path / "bulky_spec.py").write_text(light)
    publish(tmp_path, "bulky")
    (tmp_path / "test_it.py").write_text(
        textwrap.dedent("""
            from fastconv.testing import BackendConformance
            class TestBulky(BackendConformance):
                backend = "bulky"
                problems = 30
        """)
    )
    # In a new process it is found by its metadata; all else of the kit is the same for backends that are registered.
    found = pytest_run(tmp_path, "test_it.py", "-k", "early or loading or other_backend or agrees")
    assert found.returncode == 0, found.stdout
    assert "4 passed" in found.stdout
    for module in ("framework", "heavy_part"):
        (tmp_path / "bulky_spec.py").write_text(f"import {module}\n{light}")
        done = pytest_run(tmp_path, "test_it.py", "-k", "early")
        assert done.returncode == 1
        assert f"its description imports {module}" in done.stdout


def test_testing_imports_neither_pytest_nor_hypothesis_until_asked():
    code = "import sys, fastconv.testing; print([m for m in ('pytest', 'hypothesis') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-P", "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
