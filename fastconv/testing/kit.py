"""The conformance kit for the backend that ``--fastconv-backend`` names; what `fastconv.testing.plugin` runs."""

from __future__ import annotations

import pytest

from .conformance import BackendConformance


class TestBackend(BackendConformance):
    """The kit with its defaults, for a backend that works on NumPy arrays."""

    @pytest.fixture(autouse=True, scope="class")
    def _backend(self, request: pytest.FixtureRequest) -> None:
        request.cls.backend = request.config.getoption("--fastconv-backend")
        request.cls.problems = request.config.getoption("--fastconv-problems")
        request.cls.least_share = 0.0
