"""The conformance kit: our own backends pass it, and it refuses those that are wrong in one thing each."""

import os
import subprocess
import sys
import textwrap
import time
import types
import warnings

import numpy as np
import pytest

import fastconv
from fastconv.backends.reference import ReferenceBackend
from fastconv.testing import BackendConformance, MismatchError, conformance


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
}  # fmt: skip


@pytest.mark.parametrize("what", WRONG)
def test_a_wrong_backend_fails(table, monkeypatch, what):
    members, test, words = WRONG[what]
    monkeypatch.setattr(conformance, "FORK_SECONDS", 0.5)
    fastconv.register_backend(fastconv.BackendSpec("wrong", type("Wrong", (ReferenceBackend,), members)))
    kit = type("Kit", (BackendConformance,), {"backend": "wrong", "problems": 60})()
    before, environment = np.geterr(), dict(os.environ)
    state = np.random.get_state()  # noqa: NPY002
    try:
        with warnings.catch_warnings(), pytest.raises((MismatchError, Warning, FloatingPointError), match=words):
            getattr(kit, test)()
    finally:
        np.seterr(**before)
        np.random.set_state(state)  # noqa: NPY002
        for name in set(os.environ) - set(environment):
            del os.environ[name]


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
        tmp_path, "-p", "fastconv.testing.plugin", "--fastconv-backend=reference", "--fastconv-problems=40"
    )
    assert done.returncode == 0, done.stdout
    assert "passed" in done.stdout
    wrong = pytest_run(tmp_path, "-p", "fastconv.testing.plugin", "--fastconv-backend=refrence", "-k", "usable")
    assert wrong.returncode == 1
    assert "Did you mean 'reference'" in wrong.stdout


def test_plugin_gives_its_fixture_to_other_tests(tmp_path):
    (tmp_path / "test_name.py").write_text("def test(fastconv_backend): assert fastconv_backend == 'reference'\n")
    plugin = ("-p", "fastconv.testing.plugin", "test_name.py")
    assert pytest_run(tmp_path, *plugin, "--fastconv-backend=reference").returncode == 0
    assert pytest_run(tmp_path, *plugin).returncode == 1


def test_heavy_description_of_an_installed_plugin_is_found(tmp_path):
    (tmp_path / "heavy_part.py").write_text("from fastconv.backends.reference import ReferenceBackend as Backend\n")
    (tmp_path / "framework.py").write_text("")
    light = "import fastconv\nBACKEND = fastconv.BackendSpec('bulky', 'heavy_part:Backend')\n"
    (tmp_path / "bulky_spec.py").write_text(light)
    metadata = tmp_path / "bulky-1.0.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: bulky\nVersion: 1.0\n")
    (metadata / "entry_points.txt").write_text("[fastconv.backends]\nbulky = bulky_spec:BACKEND\n")
    (tmp_path / "test_it.py").write_text(
        textwrap.dedent("""
            from fastconv.testing import BackendConformance
            class TestBulky(BackendConformance):
                backend = "bulky"
                problems = 30
        """)
    )
    assert pytest_run(tmp_path, "test_it.py").returncode == 0
    for module in ("framework", "heavy_part"):
        (tmp_path / "bulky_spec.py").write_text(f"import {module}\n{light}")
        done = pytest_run(tmp_path, "test_it.py", "-k", "early")
        assert done.returncode == 1
        assert f"its description imports {module}" in done.stdout


def test_testing_imports_neither_pytest_nor_hypothesis_until_asked():
    code = "import sys, fastconv.testing; print([m for m in ('pytest', 'hypothesis') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-P", "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
