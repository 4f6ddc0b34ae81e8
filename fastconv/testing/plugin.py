"""A pytest plugin, for those who ask for it: ``pytest -p fastconv.testing.plugin --fastconv-backend=NAME``.

Without paths it runs the conformance kit on that backend. With paths it runs those tests, which get the backend's name
from the fixture `fastconv_backend`; fastconv's own tests take it from there.
"""

from __future__ import annotations

from pathlib import Path

import pytest

OPTION = "--fastconv-backend"


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the options."""
    group = parser.getgroup("fastconv")
    group.addoption(OPTION, metavar="NAME", help="the backend of fastconv to test")
    group.addoption(
        "--fastconv-may-call", metavar="NAME", nargs="+", default=(), help="other backends that it may call"
    )
    group.addoption("--fastconv-problems", type=int, default=300, help="random calls that each test of the kit draws")


def pytest_configure(config: pytest.Config) -> None:
    """Run the kit where a backend is named and no path is."""
    if config.getoption(OPTION) and config.args_source is not pytest.Config.ArgsSource.ARGS:
        config.args[:] = [str(Path(__file__).with_name("kit.py"))]


@pytest.fixture(scope="session")
def fastconv_backend(pytestconfig: pytest.Config) -> str:
    """Return the name of the backend to test, `cpu` if none is asked for."""
    return pytestconfig.getoption(OPTION) or "cpu"
