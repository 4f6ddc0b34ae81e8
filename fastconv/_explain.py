"""Explanation: which backend, algorithm, instruction set and thread count a call gets, and why not the others."""

from __future__ import annotations

from typing import Any

from ._errors import BackendError
from ._problem import Problem
from .backends._table import choose, load, specs
from .backends._types import Kinds


class Explanation:
    """What a call would do. Made by `explain`.

    Attributes
    ----------
    problem : Problem
        The call in numbers.
    backend : str or None
        The backend that would compute it; None if none can.
    source : str
        Where the choice of backend comes from: an argument, a scope, the process, the environment or the default.
    candidates : dict of str to str
        For each backend known, "chosen", "not asked for", or why it can't.
    details : dict
        What the backend's plan says of itself, such as algorithm, instruction set and threads.
    """

    def __init__(
        self, problem: Problem, backend: str | None, source: str, candidates: dict[str, str], details: dict[str, Any]
    ) -> None:
        self.problem = problem
        self.backend = backend
        self.source = source
        self.candidates = candidates
        self.details = details

    @classmethod
    def of(
        cls,
        problem: Problem,
        names: tuple[str, ...],
        source: str,
        kinds: Kinds = (),
        num_threads: int = 0,
        plan: Any = None,
    ) -> Explanation:
        """Ask the backends named, and only those, and record every answer; `plan` is the first's, if it is at hand."""
        candidates = dict.fromkeys((*names, *specs()), "not asked for")
        for name in names:
            try:
                choose((name,), problem, kinds)
            except BackendError as error:
                candidates[name] = str(error)
                continue
            candidates[name] = "chosen"
            plan = load(name).plan(problem) if plan is None else plan
            details = plan.explain(num_threads) if hasattr(plan, "explain") else {}
            return cls(problem, name, source, candidates, details)
        return cls(problem, None, source, candidates, {})

    def to_dict(self) -> dict[str, Any]:
        """Return the same as plain data."""
        problem = {
            name: value if isinstance(value, bool | int | float | complex | None) else str(value)
            for name, value in self.problem._asdict().items()
        }
        return {
            "problem": problem | {"macs": self.problem.macs},
            "backend": self.backend,
            "source": self.source,
            "candidates": self.candidates,
            "details": self.details,
        }

    def __str__(self) -> str:
        p = self.problem
        lines = [
            f"conv2d {p.n}x{p.ic}x{p.ih}x{p.iw} * {p.oc}x{p.ic // p.groups}x{p.kh}x{p.kw} -> {p.n}x{p.oc}x{p.oh}x{p.ow}"
            f" ({p.dtype}, computed in {p.compute}, {p.macs:.3g} multiply-adds)",
            f"backend: {self.backend or 'none can'} (from {self.source})",
            *(f"  {name}: {verdict}" for name, verdict in self.candidates.items()),
        ]
        for key, value in self.details.items():
            if isinstance(value, dict):
                lines += [f"{key}:", *(f"  {name}: {verdict}" for name, verdict in value.items())]
            else:
                lines.append(f"{key}: {value}")
        return "\n".join(lines)

    def __repr__(self) -> str:
        return f"<Explanation: backend {self.backend}, from {self.source}>"
