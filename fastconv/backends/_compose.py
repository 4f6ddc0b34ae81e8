"""Compositions at work: operators that a backend does not have, from its own conv2d, or why not.

Which class composes an operator is said by its row of the operator table (`_operators`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from .._arguments import clip
from .._errors import BackendResultError, BackendUnsupportedError
from .._operators import OPERATORS, find
from .._problem import Problem
from . import Backend, BackendPlan, BackendSpec

if TYPE_CHECKING:
    from ._convolve import Plans

Array = np.ndarray[Any, Any]


class Composition(Protocol):
    """One problem of an operator in terms of conv2d: a class, called with the problem."""

    problems: tuple[Problem, ...]  # of conv2d; none where it is done without
    # `calls`: how many convolutions it comes down to, if some of them are the same problem

    def __call__(self, plans: Plans, x: Array, weight: Any, bias: Any, out: Array, num_threads: int) -> None:
        """Write the result into `out`, with a plan for each of `problems`."""


def composition(problem: Problem) -> Composition:
    """Return a problem of an operator that is composed in terms of conv2d."""
    composed: Composition = find(OPERATORS[problem.operator].composition)(problem)
    return composed


def refuse(spec: BackendSpec, operator: str, owned: bool) -> None:
    """Raise if an operator that a backend does not have can't be composed from what it has."""
    has = clip(f"it has {', '.join(spec.operators) or 'none'}")
    if not OPERATORS[operator].composition:
        raise BackendUnsupportedError(f"backend {spec.name!r} has no {operator}; {has}.")
    if "conv2d" not in spec.operators:
        raise BackendUnsupportedError(
            f"backend {spec.name!r} has no {operator}, nor conv2d to compose it from; {has}; backend='reference' can."
        )
    if owned:
        raise BackendUnsupportedError(
            f"backend {spec.name!r} has no {operator} for arrays of its own; {has}, and what is composed from conv2d "
            "is for NumPy's arrays alone; convert them."
        )


def how(spec: BackendSpec, operator: str) -> str:
    """Return "its own", "composed from conv2d", or why a backend can't compute an operator."""
    operator = OPERATORS[operator].case_of or operator
    if operator in spec.operators:
        return "its own"
    try:
        refuse(spec, operator, "numpy:ndarray" not in spec.accepts)
    except BackendUnsupportedError as error:
        return str(error)
    return "composed from conv2d"


class Composed:
    """A backend's conv2d as a backend for operators that are composed from it."""

    def __init__(self, backend: Backend) -> None:
        self.backend = backend
        self.algorithms = backend.algorithms

    def probe(self) -> str | None:
        """Return what the backend returns."""
        return self.backend.probe()

    def reject(self, problem: Problem) -> str | None:
        """Return None, or why the backend rejects a convolution that this comes down to."""
        problem = problem._replace(n=max(problem.n, 1), oc=max(problem.oc, problem.groups))  # empty: as one that is not
        reasons = map(self.backend.reject, dict.fromkeys(composition(problem).problems))
        return next((reason for reason in reasons if reason is not None), None)

    def plan(self, problem: Problem) -> ComposedPlan:
        """Return the plan of a problem."""
        return ComposedPlan(self.backend, problem)


class ComposedPlan:
    """One problem of another operator, as plans of conv2d."""

    def __init__(self, backend: Backend, problem: Problem) -> None:
        self.composition = composition(problem)
        self.plans: dict[Problem, BackendPlan] = {one: backend.plan(one) for one in set(self.composition.problems)}
        if not all(map(callable, self.plans.values())):
            raise BackendResultError(f"a plan of conv2d, of which {problem.operator} is composed, can't be called.")

    def explain(self, num_threads: int) -> dict[str, Any]:
        """Return how it is composed, and what the largest convolution of it would do."""
        several = self.composition.problems
        calls = getattr(self.composition, "calls", len(several))
        details: dict[str, Any] = {"composed": f"from conv2d, {calls} of them" if several else "in NumPy"}
        largest: Any = self.plans[max(several, key=lambda one: one.macs)] if several else None
        return details | (largest.explain(num_threads) if hasattr(largest, "explain") else {})

    def __call__(self, x: Array, weight: Any, bias: Any, out: Array, num_threads: int) -> Array:
        """Write the result into `out`."""
        self.composition(self.plans, x, weight, bias, out, num_threads)
        return out
