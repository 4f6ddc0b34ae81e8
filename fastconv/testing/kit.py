"""The conformance kit for the backend that ``--fastconv-backend`` names; what `fastconv.testing.plugin` runs."""

from __future__ import annotations

import pytest

from .conformance import BackendConformance


class TestBackend(BackendConformance):
    """The kit with its defaults, on NumPy's arrays: making others takes a class of the backend's author."""

    least_share = 0.0

    def ways(self) -> list[bool]:
        """Return those of the kit's without arrays that the backend owns."""
        return [owned for owned in super().ways() if not owned]

    @pytest.fixture(autouse=True, scope="class")
    @classmethod
    def _backend(cls, pytestconfig: pytest.Config) -> None:
        cls.backend = pytestconfig.getoption("--fastconv-backend")
        cls.problems = pytestconfig.getoption("--fastconv-problems")
        cls.may_call = tuple(pytestconfig.getoption("--fastconv-may-call"))
