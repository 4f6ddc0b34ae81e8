"""Options of the suite, the backends that every instruction set of this machine makes, and the suite on any backend."""

import collections
import contextlib
import gc
import os
from pathlib import Path

import numpy as np
import pytest

import fastconv
from fastconv import _config, _kernels
from fastconv.backends import _selection, _table
from fastconv.backends.cpu import CpuBackend


def pytest_addoption(parser):
    parser.addoption("--problems", type=int, default=20_000, help="random problems that the sweep draws")
    parser.addoption("--kills", type=int, default=2, help="workers of a cluster that are killed while they compute")
    parser.addoption("--first-problem", type=int, default=0, help="seed of the first of them")


def isa_backends():
    """Names of backends that are `cpu` with one instruction set each, best first; all that run here."""
    names = []
    for isa, here in _kernels.isas():
        if here:
            fastconv.register_backend(
                fastconv.BackendSpec(f"cpu_{isa}", BACKENDS.setdefault(isa, lambda isa=isa: CpuBackend(isa)))
            )
            names.append(f"cpu_{isa}")
    return names


BACKENDS = {}
SAME = {"cpu_avx512": "cpu_amx"}  # names of those that have another one's kernels, but for tiles


def pytest_generate_tests(metafunc):
    """Run a test once for every instruction set with kernels of its own, or each, each direct row, or each backend."""
    if "backend" in metafunc.fixturenames:
        asked = metafunc.config.getoption("--fastconv-backend")
        metafunc.parametrize("backend", [asked] if asked else ["cpu", "reference"])
    if "isa_backend" in metafunc.fixturenames:
        names = isa_backends()
        metafunc.parametrize("isa_backend", [name for name in names if SAME.get(name) not in names])
    if "each_isa_backend" in metafunc.fixturenames:
        metafunc.parametrize("each_isa_backend", isa_backends())
    if "variant" in metafunc.fixturenames:
        rows = [name for name, family in _kernels.algorithms().items() if family == "direct"]
        metafunc.parametrize("variant", rows)


GENERAL = {"gather", "strip"}  # rows that must take every problem of the tests; others may decline what is not theirs


@pytest.fixture
def conv2d_by():
    """A conv2d that computes with one row of the algorithm table, or returns None if the row declines the problem."""

    def conv2d_by(row, *arguments, **options):
        try:
            return fastconv.conv2d(*arguments, **options, algorithm=row)
        except fastconv.BackendUnsupportedError:
            assert row not in GENERAL
            return None

    return conv2d_by


@pytest.fixture
def table(monkeypatch):
    """The table as a new process has it; what a test registers, scans or loads is forgotten."""
    monkeypatch.setattr(_table, "_registered", {})
    monkeypatch.setattr(_table, "_published", None)
    monkeypatch.setattr(_table, "_installed", {})
    monkeypatch.setattr(_table, "_loaded", {})
    monkeypatch.setattr(_selection, "_process_default", None)
    monkeypatch.setattr(fastconv._api, "_plans", {})
    monkeypatch.delenv("FASTCONV_BACKEND", raising=False)
    _config.reload()
    yield _table
    _config.reload()


# --- The suite on the backend that `--fastconv-backend=NAME` names: tests with the marker `semantics` alone, where NAME
# --- is the environment's choice. What it rejects counts as refused, and in each test that computes it is seen to.

INSIDE = {"isa_backend", "variant", "conv2d_by", "table", "monkeypatch"}  # fixtures that are about the cpu backend
_tally = collections.Counter()
_refusals, _refused_calls = collections.Counter(), collections.Counter()  # by reason: tests, calls in loops of tests


def _is_owed(item, algorithms):
    mark = item.get_closest_marker("semantics")
    algorithm = item.callspec.params.get("algorithm", "auto") if hasattr(item, "callspec") else "auto"
    return mark and mark.args != (False,) and not INSIDE & set(item.fixturenames) and algorithm in algorithms


def pytest_collection_finish(session):
    """Leave what was collected out of the garbage collector's rounds: a million objects that stay, 0.4 s a full one."""
    gc.collect()
    gc.freeze()


def pytest_collection_modifyitems(config, items):
    if name := config.getoption("--fastconv-backend"):
        try:
            algorithms = _table.load(name).algorithms
        except fastconv.BackendError as error:
            raise pytest.UsageError(str(error)) from None
        ours = [item for item in items if item.path.is_relative_to(Path(__file__).parent)]  # the kit is another's
        left = {item for item in ours if not _is_owed(item, algorithms)}
        config.hook.pytest_deselected(items=list(left))
        items[:] = [item for item in items if item not in left]


@pytest.fixture(autouse=True, scope="session")
def _chosen(pytestconfig):
    """The environment's choice, which child processes have too."""
    if name := pytestconfig.getoption("--fastconv-backend"):
        os.environ["FASTCONV_BACKEND"] = name
        _config.reload()


@pytest.fixture(scope="session")
def direct(fastconv_backend):
    """Options that ask for sums of products, where the backend has to be asked."""
    return {"algorithm": "direct"} if "direct" in _table.load(fastconv_backend).algorithms else {}


@pytest.fixture(scope="session")
def integers(fastconv_backend):
    """Small integers, in a dtype that the backend takes: in float64 too sums of their products are exact."""
    one = np.ones((1, 1), int)
    dtype = np.dtype(int if fastconv.explain(one, one, backend=fastconv_backend).backend else float)
    return lambda rng, shape, low=-4, high=5: rng.integers(low, high, shape).astype(dtype)


@pytest.fixture
def unless_refused(request):
    """Pass over what the backend rejects, in loops whose calls are each a test."""
    name = request.config.getoption("--fastconv-backend")

    @contextlib.contextmanager
    def passing():
        try:
            yield
        except fastconv.BackendUnsupportedError as error:
            if not _is_refusal(error, name):
                raise
            request.node.user_properties.append((REFUSED, str(error)))

    return passing


@pytest.fixture(autouse=True)
def _computed(request):
    """See that the backend ran, in this thread at least."""
    name = request.config.getoption("--fastconv-backend")
    if not name:
        yield
        return
    with fastconv.trace() as calls:
        yield
    own, properties = sum(call.backend == name for call in calls), request.node.user_properties
    if calls and not own and not any(row[0] == REFUSED for row in properties):
        assert request.node.stash[FAILED], f"{len(calls)} calls were computed, none of them by {name!r}"
    properties.append((COMPUTED, own))


def _is_refusal(error, name):
    unsupported = isinstance(error, fastconv.BackendUnsupportedError) and f"backend {name!r}" in str(error)
    return name and (unsupported or (isinstance(error, ValueError) and f"with backend {name!r}, got" in str(error)))


FAILED = pytest.StashKey()
COMPUTED, REFUSED = "computed by the backend", "refused by the backend"  # properties of a report


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item, call):
    report = yield
    error = call.excinfo and call.excinfo.value
    item.stash[FAILED] = error is not None
    if _is_refusal(error, item.config.getoption("--fastconv-backend")):
        report.outcome, report.longrepr = "skipped", (str(item.path), item.location[1], str(error))
        report.refusal = str(error)
    return report


def pytest_report_teststatus(report):
    return ("refused", "r", "REFUSED") if hasattr(report, "refusal") else None


def pytest_runtest_logreport(report):
    if hasattr(report, "refusal"):
        _refusals[report.refusal] += 1
    elif report.when == "teardown":
        own = dict(report.user_properties).get(COMPUTED, 0)
        _tally["tests"] += 1
        _tally["computing"] += own > 0
        _tally["calls"] += own
        _refused_calls.update(value for key, value in report.user_properties if key == REFUSED)


def pytest_sessionfinish(session, exitstatus):
    """A run in which the backend computed nothing proves nothing."""
    if session.config.getoption("--fastconv-backend") and _tally["tests"] and not _tally["calls"] and exitstatus == 0:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def pytest_terminal_summary(terminalreporter, config):
    if (name := config.getoption("--fastconv-backend")) and _tally["tests"]:
        terminalreporter.section(f"backend {name!r}")
        terminalreporter.write_line(
            f"It computed {_tally['calls']} calls in {_tally['computing']} of {_tally['tests']} tests, and refused "
            f"{_refusals.total()} tests and {_refused_calls.total()} calls in others:"
        )
        for reason, count in (_refusals + _refused_calls).most_common(10):
            terminalreporter.write_line(f"{count:6} {reason}")
