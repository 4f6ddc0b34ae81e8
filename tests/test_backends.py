"""The backend table: selection, loading, refusals, plugins, and that none of it happens before it is asked for."""

import concurrent.futures
import re
import sys
import time

import numpy as np
import pytest

import fastconv
from fastconv import BackendSpec, _config, _kernels, conv2d
from fastconv import backends as list_backends
from fastconv.backends import DISTRIBUTIONS
from fastconv.backends._table import choose as choose_backend
from fastconv.backends.reference import ReferenceBackend

IMAGE, KERNEL = np.arange(12.0).reshape(3, 4), np.ones((2, 2))
EXPECTED = conv2d(IMAGE, KERNEL)


class Doubled:
    """A backend whose results tell that it ran."""

    algorithms = ("auto",)
    loads = 0

    def __init__(self):
        type(self).loads += 1

    def probe(self):
        return None

    def reject(self, problem):
        return "it computes no strided problems" if problem.sh > 1 else None

    def plan(self, problem):
        right = ReferenceBackend().plan(problem)

        def run(x, weight, bias, out, num_threads):
            right(x, weight, bias, out, num_threads)
            out *= 2
            return out

        return run


@pytest.fixture
def doubled(table):
    Doubled.loads = 0
    fastconv.register_backend(BackendSpec("doubled", Doubled))
    return table


def test_default_is_cpu(table):
    assert list(list_backends())[:2] == ["cpu", "reference"]
    assert fastconv.explain(IMAGE, KERNEL).backend == "cpu"
    assert fastconv.explain(IMAGE, KERNEL).source == "default"


def test_selection_order(doubled, monkeypatch):
    """Argument, scope, process default, environment, in this order; each level is seen once those above are gone."""
    monkeypatch.setenv("FASTCONV_BACKEND", "reference")
    _config.reload()
    assert fastconv.explain(IMAGE, KERNEL).source == "FASTCONV_BACKEND"
    assert fastconv.explain(IMAGE, KERNEL).backend == "reference"
    fastconv.set_default_backend("cpu")
    assert fastconv.explain(IMAGE, KERNEL).source == "set_default_backend"
    with fastconv.use_backend("doubled"):
        assert fastconv.explain(IMAGE, KERNEL).source == "use_backend"
        np.testing.assert_array_equal(conv2d(IMAGE, KERNEL), 2 * EXPECTED)
        np.testing.assert_array_equal(conv2d(IMAGE, KERNEL, backend="cpu"), EXPECTED)
        with fastconv.use_backend("reference"):
            np.testing.assert_array_equal(conv2d(IMAGE, KERNEL), EXPECTED)
        np.testing.assert_array_equal(conv2d(IMAGE, KERNEL), 2 * EXPECTED)
    np.testing.assert_array_equal(conv2d(IMAGE, KERNEL), EXPECTED)
    fastconv.set_default_backend(None)
    assert fastconv.explain(IMAGE, KERNEL).source == "FASTCONV_BACKEND"


def test_environment_may_name_several(doubled, monkeypatch):
    monkeypatch.setenv("FASTCONV_BACKEND", "doubled, cpu")
    _config.reload()
    np.testing.assert_array_equal(conv2d(IMAGE, KERNEL), 2 * EXPECTED)
    np.testing.assert_array_equal(conv2d(IMAGE, KERNEL, stride=2), EXPECTED[::2, ::2])


def test_scope_is_left_after_an_error_and_decorates(doubled):
    with pytest.raises(ZeroDivisionError), fastconv.use_backend("doubled"):
        raise ZeroDivisionError
    assert fastconv.explain(IMAGE, KERNEL).backend == "cpu"

    @fastconv.use_backend("doubled")
    def call():
        return conv2d(IMAGE, KERNEL)

    np.testing.assert_array_equal(call(), 2 * EXPECTED)
    np.testing.assert_array_equal(call(), 2 * EXPECTED)


def test_threads_see_the_process_default_and_not_the_scope(doubled):
    def elsewhere():
        with concurrent.futures.ThreadPoolExecutor(1) as pool:
            return pool.submit(conv2d, IMAGE, KERNEL).result()

    with fastconv.use_backend("doubled"):
        expected = 2 * EXPECTED if getattr(sys.flags, "thread_inherit_context", 0) else EXPECTED
        np.testing.assert_array_equal(elsewhere(), expected)
    fastconv.set_default_backend("doubled")
    np.testing.assert_array_equal(elsewhere(), 2 * EXPECTED)


def test_implementation_is_loaded_once_and_late(doubled):
    assert Doubled.loads == 0
    conv2d(IMAGE, KERNEL)
    assert Doubled.loads == 0
    for _ in range(3):
        conv2d(IMAGE, KERNEL, backend="doubled")
    assert Doubled.loads == 1


def test_implementation_is_loaded_once_by_many_threads(doubled):
    class Slow(Doubled):
        def __init__(self):
            super().__init__()
            time.sleep(0.1)

    fastconv.register_backend(BackendSpec("slow", Slow))
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        results = list(pool.map(lambda _: conv2d(IMAGE, KERNEL, backend="slow"), range(8)))
    assert Slow.loads == 1
    np.testing.assert_array_equal(results, [2 * EXPECTED] * 8)


def test_explicit_choice_is_strict(doubled):
    with pytest.raises(fastconv.BackendUnsupportedError, match=r"'doubled' can't compute .* no strided problems"):
        conv2d(IMAGE, KERNEL, stride=2, backend="doubled")
    np.testing.assert_array_equal(conv2d(IMAGE, KERNEL, stride=2, backend=("doubled", "cpu")), EXPECTED[::2, ::2])
    with pytest.raises(fastconv.BackendUnsupportedError, match=r"none of the backends .* strided .* no backend 'gpu'"):
        conv2d(IMAGE, KERNEL, stride=2, backend=("doubled", "gpu"))


def test_unsupported_is_refused_for_empty_results_too(doubled):
    with pytest.raises(fastconv.BackendUnsupportedError):
        conv2d(np.ones((0, 1, 3, 3)), np.ones((1, 1, 2, 2)), stride=2, backend="doubled")


def test_unknown_backend_names_those_there_are(table, monkeypatch):
    said = r"no backend 'refrence' .* cpu, reference.* Did you mean 'reference'"
    with pytest.raises(fastconv.BackendNotFoundError, match=said):
        conv2d(IMAGE, KERNEL, backend="refrence")
    with pytest.raises(LookupError):
        conv2d(IMAGE, KERNEL, backend="refrence")
    monkeypatch.setenv("FASTCONV_BACKEND", "gone")
    _config.reload()
    with pytest.raises(fastconv.BackendNotFoundError, match=r"no backend 'gone' .*\. FASTCONV_BACKEND names it\."):
        conv2d(IMAGE, KERNEL)
    monkeypatch.setenv("FASTCONV_BACKEND", "not a name")
    _config.reload()
    with pytest.raises(fastconv.BackendNotFoundError, match=said):
        conv2d(IMAGE, KERNEL, backend="refrence")


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("cuda", r"dask\. The distribution fastconv-cuda provides it: pip install fastconv-cuda\.$"),
        ("cudda", r"Did you mean 'cuda'\? The distribution fastconv-cuda provides it: pip install fastconv-cuda\.$"),
        ("CUDA", r"Did you mean 'cuda'\? The distribution fastconv-cuda"),
        ("CPU", r"dask\. Did you mean 'cpu'\?$"),
    ],
)
def test_what_to_install_is_said_of_a_backend_that_is_not(table, monkeypatch, name, said):
    monkeypatch.setattr(table, "_published", {})
    for ask in (fastconv.backend_spec, lambda name: conv2d(IMAGE, KERNEL, backend=name)):
        with pytest.raises(fastconv.BackendNotFoundError, match=said):
            ask(name)


def test_nothing_is_said_to_install_that_is_not_of_this_project(table, monkeypatch):
    monkeypatch.setattr(table, "_published", {})
    for name in ("tensorrt", "fastconv_cuda_plugin", "requests"):
        with pytest.raises(fastconv.BackendNotFoundError) as caught:
            conv2d(IMAGE, KERNEL, backend=name)
        assert "pip install" not in str(caught.value)
    for name, distribution in DISTRIBUTIONS.items():
        assert distribution.startswith("fastconv-")
        fastconv.register_backend(BackendSpec(name, Doubled))  # whoever has it, it is there
        assert fastconv.explain(IMAGE, KERNEL, backend=name).backend == name


def test_the_way_on_is_one(table):
    """That another algorithm can is said where it can."""

    class Picky(ReferenceBackend):
        algorithms = ("auto", "direct")

        def reject(self, problem):
            return "no strides" if problem.sh > 1 or (problem.algorithm == "direct" and problem.sw > 1) else None

    fastconv.register_backend(BackendSpec("picky", Picky))
    for stride, way_on in (((1, 2), "algorithm='auto' finds one that can"), (2, "backend='reference' can")):
        with pytest.raises(fastconv.BackendUnsupportedError, match=f"no strides; {way_on}"):
            conv2d(IMAGE, KERNEL, stride=stride, algorithm="direct", backend="picky")


@pytest.mark.parametrize("wrong", [1, (), ("cpu", 2), b"cpu", []])
def test_backend_of_the_wrong_kind(table, wrong):
    with pytest.raises(TypeError, match="a backend must be a name"):
        conv2d(IMAGE, KERNEL, backend=wrong)


def test_unknown_algorithm_names_those_there_are(table):
    rows = _kernels.algorithms()
    names = ", ".join(dict.fromkeys(("auto", *rows.values(), *rows)))
    with pytest.raises(ValueError, match=f"algorithm must be one of {names} with backend 'cpu', got 'dirct'"):
        conv2d(IMAGE, KERNEL, algorithm="dirct")


class Unreadable:
    def __repr__(self):
        raise AssertionError("read")

    __str__ = __repr__


@pytest.mark.parametrize("field", BackendSpec._fields[1:])
@pytest.mark.parametrize("value", [3.5, b"x", ["a:B"], Unreadable(), (1,), None])
def test_each_field_of_a_spec_is_checked(table, field, value):
    with pytest.raises(ValueError, match=f"^{field} of backend 'bad' must be .*, got ") as caught:
        fastconv.register_backend(BackendSpec("bad", Doubled)._replace(**{field: value}))
    assert len(str(caught.value)) <= 500


class Broken:
    algorithms = ("auto",)

    def __init__(self, error=None):
        if error:
            raise error

    def probe(self):
        return "there is no device"

    def reject(self, problem):
        return None

    def plan(self, problem):
        raise AssertionError("never reached")


@pytest.mark.parametrize(
    ("implementation", "error", "words"),
    [
        (Broken, fastconv.BackendUnavailableError, "can't be used here: there is no device"),
        (lambda: Broken(KeyError("lost")), fastconv.BackendLoadError, "KeyError: 'lost'"),
        (lambda: Broken(SystemExit(3)), fastconv.BackendLoadError, "SystemExit: 3; pip install more"),
        (lambda: 5, fastconv.BackendLoadError, "is not a backend: it has no algorithms, probe, reject, plan"),
        ("no_such_module:Backend", fastconv.BackendLoadError, "No module named 'no_such_module'"),
        ("math:no_such_attribute", fastconv.BackendLoadError, "no_such_attribute"),
    ],
)
def test_broken_backend_breaks_itself_alone(table, implementation, error, words):
    fastconv.register_backend(BackendSpec("broken", implementation, hint="pip install more"))
    for _ in range(2):  # the failure is remembered
        with pytest.raises(error) as caught:
            conv2d(IMAGE, KERNEL, backend="broken")
        assert words in str(caught.value)
    assert words in list_backends()["broken"]
    assert list_backends()["cpu"] == "usable"
    np.testing.assert_array_equal(conv2d(IMAGE, KERNEL, backend=("broken", "cpu")), EXPECTED)


def test_load_error_keeps_its_cause(table):
    fastconv.register_backend(BackendSpec("broken", lambda: Broken(KeyError("lost"))))
    with pytest.raises(ImportError) as caught:
        conv2d(IMAGE, KERNEL, backend="broken")
    assert isinstance(caught.value.__cause__, KeyError)


def test_what_a_plugin_says_with_a_full_stop_has_one(table):
    class Ends(Doubled):
        def probe(self):
            return "there is no device."

    class Raises(Doubled):
        def __init__(self):
            raise ValueError("It is broken.")

    for kind, said in ((Ends, "there is no device; ask"), (Raises, "ValueError: It is broken; ask")):
        fastconv.register_backend(BackendSpec(kind.__name__.lower(), kind, hint="ask"))
        with pytest.raises(fastconv.BackendError, match=rf"{said}\.$"):
            conv2d(IMAGE, KERNEL, backend=kind.__name__.lower())


def test_other_version_of_the_protocol(table):
    fastconv.register_backend(BackendSpec("old", Doubled, api=0))
    with pytest.raises(fastconv.BackendVersionError, match="speaks version 0 of the protocol, and this fastconv 1"):
        conv2d(IMAGE, KERNEL, backend="old")


@pytest.mark.parametrize("wrong", [None, 3, [[1.0]], np.ones((1, 1)), EXPECTED.astype("f4"), np.ma.array(EXPECTED)])
def test_wrong_result_is_caught(table, wrong):
    class Wrong(Doubled):
        def plan(self, problem):
            return lambda x, weight, bias, out, num_threads: wrong

    fastconv.register_backend(BackendSpec("wrong", Wrong))
    out = np.full(EXPECTED.shape, 7.0)
    with pytest.raises(fastconv.BackendResultError, match=r"'wrong' returned .* not an array of shape \(2, 3\)"):
        conv2d(IMAGE, KERNEL, backend="wrong", out=out)
    assert (out == 7).all()


def test_result_in_an_array_of_the_backends_own_is_copied(table):
    class Own(Doubled):
        def plan(self, problem):
            return lambda x, weight, bias, out, num_threads: EXPECTED

    fastconv.register_backend(BackendSpec("own", Own))
    out = np.empty(EXPECTED.shape)
    assert conv2d(IMAGE, KERNEL, backend="own", out=out) is out
    np.testing.assert_array_equal(out, EXPECTED)
    assert not np.shares_memory(conv2d(IMAGE, KERNEL, backend="own"), EXPECTED)


def test_register_backend_refuses(doubled):
    fastconv.register_backend(BackendSpec("doubled", Doubled))  # equal: nothing new
    with pytest.raises(ValueError, match="there already is a backend 'doubled'"):
        fastconv.register_backend(BackendSpec("doubled", Broken))
    with pytest.raises(ValueError, match="there already is a backend 'cpu'"):
        fastconv.register_backend(BackendSpec("cpu", Doubled))
    for name in ("Doubled", "1a", "a-b", "", "a b", "a" * 41, "a\n", 3, None, Unreadable()):
        with pytest.raises(ValueError, match="must be lower-case letters"):
            fastconv.register_backend(BackendSpec(name, Doubled))
    with pytest.raises(TypeError, match=r"must be a fastconv\.BackendSpec"):
        fastconv.register_backend("doubled")


def test_disabled_backend_is_not_loaded(doubled, monkeypatch):
    monkeypatch.setenv("FASTCONV_DISABLE_BACKENDS", "doubled")
    _config.reload()
    with pytest.raises(fastconv.BackendUnavailableError, match="disabled by FASTCONV_DISABLE_BACKENDS"):
        conv2d(IMAGE, KERNEL, backend="doubled")
    assert Doubled.loads == 0


def test_configuration_is_told_with_a_disabled_default_too(doubled, monkeypatch):
    monkeypatch.setenv("FASTCONV_DISABLE_BACKENDS", "cpu")
    monkeypatch.setenv("FASTCONV_BACKEND", "doubled")
    _config.reload()
    config = fastconv.show_config()
    assert "is disabled" in config["backends"]["cpu"]
    assert config["backend"] == {"names": ["doubled"], "from": "FASTCONV_BACKEND"}
    assert config["specs"]["doubled"]["operators"] == ["conv2d"]
    assert config["specs"]["doubled"]["version"] is None
    assert "used" not in config["instruction_sets"].values()
    assert config["operators"]["conv2d"]["doubled"] == "its own"
    assert "cpu" not in config["operators"]["conv2d"]  # which can't be asked for it


def test_configuration_tells_of_a_choice_that_is_not_there(table, monkeypatch):
    from fastconv._cli.info import as_text

    monkeypatch.setattr(table, "_published", {})
    monkeypatch.setenv("FASTCONV_BACKEND", "cuda,cpu")
    _config.reload()
    config = fastconv.show_config()
    assert "pip install fastconv-cuda" in config["backends"]["cuda"]
    assert "cuda" not in config["operators"]["conv2d"]
    assert re.search(
        r"^  cuda +- +- +no backend 'cuda' is installed; .* FASTCONV_BACKEND names it", as_text(config), re.M
    )
    monkeypatch.delenv("FASTCONV_BACKEND")
    _config.reload()
    assert "cuda" not in fastconv.show_config()["backends"]


def test_explain_records_every_verdict(doubled):
    report = fastconv.explain(IMAGE, KERNEL, stride=2, backend=("doubled", "cpu"), num_threads=1)
    assert report.backend == "cpu"
    assert "no strided problems" in report.candidates["doubled"]
    assert report.candidates["reference"] == "not asked for"
    assert report.details["algorithm"] == "direct"
    verdicts = report.details["algorithms"]
    assert verdicts.pop(report.details["variant"]) == "chosen"
    assert all(reason.startswith(("slower", "it ", "the ", "one row")) for reason in verdicts.values())
    text = str(report)
    for words in ("backend: cpu (from backend=)", "algorithm: direct", "threads: 1", "no strided problems", "float64"):
        assert words in text
    data = report.to_dict()
    assert data["problem"]["oh"] == 1
    assert data["backend"] == "cpu"
    nobody = fastconv.explain(IMAGE, KERNEL, stride=2, backend="doubled")
    assert nobody.backend is None
    assert "none can" in str(nobody)
    assert Doubled.loads == 1


def test_choose_returns_the_first_that_can(doubled):
    problem = fastconv.Problem.of(IMAGE, KERNEL)
    assert choose_backend(("reference", "cpu"), problem)[0] == "reference"


def test_a_spec_is_asked_for_by_name():
    for name in (1, None, ["cpu"], np.int64(1)):
        with pytest.raises(TypeError, match=r"name must be that of a backend, such as 'cpu', got .*\.$"):
            fastconv.backend_spec(name)
