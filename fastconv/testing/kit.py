"""The conformance kit for the backend that ``--fastconv-backend`` names; what `fastconv.testing.plugin` runs."""

from __future__ import annotations

import pytest

from .conformance import BackendConformance


class TestBackend(BackendConformance):
    """The kit with its defaults, for a backend that works on NumPy arrays."""

    least_share = 0.0

    @pytest.fixture(autouse=True, scope="class")
    @classmethod
    def _backend(cls, pytestconfig: pytest.Config) -> None:
        cls.backend = pytestconfig.getoption("--fastconv-backend")
        cls.problems = pytestconfig.getoption("--fastconv-problems")
