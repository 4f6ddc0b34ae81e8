"""Options of the suite, and the backends that every instruction set of this machine makes."""

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


def pytest_generate_tests(metafunc):
    """Run a test once for every instruction set of this machine, and for every row that keeps the bits of `direct`."""
    if "isa_backend" in metafunc.fixturenames:
        metafunc.parametrize("isa_backend", isa_backends())
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
