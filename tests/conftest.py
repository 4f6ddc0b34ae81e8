"""Options of the suite, and the backends that every instruction set of this machine makes."""

import numpy as np

import fastconv
from fastconv import _kernels
from fastconv.backends.cpu import CpuBackend


def pytest_addoption(parser):
    parser.addoption("--problems", type=int, default=20_000, help="random problems that the sweep draws")
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
        metafunc.parametrize("variant", rows_for(groups=1))
    if "depthwise_variant" in metafunc.fixturenames:
        metafunc.parametrize("depthwise_variant", rows_for(groups=2))


def rows_for(groups):
    """Rows of the direct family that compute two channels in so many groups."""
    x, weight = np.ones((1, 2, 8, 8), "f4"), np.ones((2, 2 // groups, 3, 3), "f4")
    rows = [name for name, family in _kernels.algorithms().items() if family == "direct"]
    return [name for name in rows if fastconv.explain(x, weight, groups=groups, algorithm=name).backend]
