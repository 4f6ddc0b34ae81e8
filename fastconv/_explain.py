"""Explanation: which backend, algorithm, instruction set and thread count a call gets, and why not the others."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from math import inf
from typing import Any

from ._arguments import clip, show, told
from ._errors import BackendError, ConfigError
from ._problem import Problem
from .backends._compose import Composed
from .backends._selection import trace_into, traces
from .backends._table import choose, is_loaded, plan_of, specs
from .backends._types import Kinds


class Explanation:
    """What a call would do, or did. Made by `explain`, and by `trace` for each call.

    Attributes
    ----------
    problem : Problem
        The call in numbers.
    backend : str or None
        The backend that computes it; None if none can.
    source : str
        Where the choice of backend comes from: an argument, a scope, the process, the environment, an array's type or
        the default.
    candidates : dict of str to str
        For each backend known, "chosen", "not needed", "not asked for", or why it can't.
    details : dict
        What the backend's plan says of itself, such as algorithm, instruction set and threads, and where each comes
        from.
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
        operands: tuple[Any, ...] = (),
        scan: bool = True,
    ) -> Explanation:
        """Ask the backends named, and record every answer; `plan` is that of the first that can, if it is at hand.

        Others are asked if they are loaded already. Owned `operands` are shown to the plan, which may have more to say
        of them than their shapes. `scan` looks for installed backends.
        """
        candidates = dict.fromkeys((*names, *specs(scan)), "not asked for")
        chosen = None
        for name in candidates:
            if chosen is not None and name in names:
                candidates[name] = "not needed"
            elif name in names:
                try:
                    _, backend = choose((name,), problem, kinds)
                except BackendError as error:
                    candidates[name] = str(error)
                except ValueError as error:  # an algorithm that this backend does not have
                    if len(names) == 1 or isinstance(error, ConfigError):
                        raise
                    candidates[name] = str(error)
                else:
                    chosen = name
                    candidates[name] = "chosen" + _how(backend, problem)
            elif is_loaded(name):
                candidates[name] = f"not asked for; {_answer(name, problem, kinds)}"
        details: dict[str, Any] = {}
        if chosen is not None and not problem.is_empty:
            plan = plan_of(chosen, backend, problem) if plan is None else plan
            details = _details(plan, num_threads, operands)
        return cls(problem, chosen, source, candidates, details)

    def to_dict(self) -> dict[str, Any]:
        """Return the same as plain data."""
        problem = {
            name: value if isinstance(value, bool | int | float | complex | None) else str(value)
            for name, value in self.problem._asdict().items()
        }
        return {
            "operator": self.problem.operator,
            "problem": problem | {"macs": self.problem.macs},
            "backend": self.backend,
            "source": self.source,
            "candidates": self.candidates,
            "details": self.details,
        }

    def __str__(self) -> str:
        p = self.problem
        d = (p.depth.size, p.depth.k, p.depth.out) if p.operator.endswith("3d") else ()
        lines = [
            f"{p.operator} {_sizes(p.n, p.ic, *d[:1], p.ih, p.iw)} * "
            f"{_sizes(p.oc, p.ic // p.groups, *d[1:2], p.kh, p.kw)} -> {_sizes(p.n, p.oc, *d[2:], p.oh, p.ow)} "
            f"({p.dtype}, computed in {p.compute}, {p.macs:.3g} multiply-adds)",
            f"backend: {self.backend or 'none can'} (from {self.source})",
            *(f"  {name}: {verdict}" for name, verdict in self.candidates.items()),
        ]
        for key, value in self.details.items():
            if isinstance(value, dict):
                lines += [f"{key}:", *(f"  {name}: {verdict}" for name, verdict in value.items())]
            elif key.removesuffix("_from") not in self.details or not key.endswith("_from"):
                source = self.details.get(f"{key}_from")
                lines.append(f"{key}: {value}" + (f" (from {source})" if source else ""))
        return "\n".join(lines)

    def __repr__(self) -> str:
        return f"<Explanation: backend {self.backend}, from {self.source}>"


def _sizes(*sizes: int) -> str:
    return "x".join(map(str, sizes))


def _details(plan: Any, num_threads: int, operands: tuple[Any, ...]) -> dict[str, Any]:
    """What a plan says of itself; one that fails to spoils neither an explanation nor a traced call."""
    try:
        return dict(plan.explain(num_threads, *operands)) if hasattr(plan, "explain") else {}
    except KeyboardInterrupt:
        raise
    except BaseException as error:
        return {"explain": f"the plan's explain failed: {type(error).__name__}: {told(error)}"}


def _answer(name: str, problem: Problem, kinds: Kinds) -> str:
    try:
        _, backend = choose((name,), problem, kinds)
    except Exception as error:  # whatever is wrong with a backend that nobody asked for
        return told(error, 500)
    return "it could" + _how(backend, problem)


def _how(backend: Any, problem: Problem) -> str:
    """Whether the operator is composed, and what the backend says that it costs."""
    if isinstance(backend, Composed):
        return ", composed from conv2d"
    if not hasattr(backend, "cost"):
        return ""
    try:
        seconds: object = backend.cost(problem)
        if seconds is None:  # it has none for this
            return ""
        if isinstance(seconds, str) or not 0 <= (number := float(seconds)) < inf:  # type: ignore[arg-type]
            return f", but its cost is {show(seconds)}, not seconds"
        return f" (about {number:.2g} s)"
    except KeyboardInterrupt:
        raise
    except BaseException as error:
        return f", but its cost failed: {clip(type(error).__name__, 60)}: {told(error)}"


@contextlib.contextmanager
def trace() -> Iterator[list[Explanation]]:
    """Collect, for each call inside a `with` block, which backend computed it, how, and why not the others.

    Yields
    ------
    list of Explanation
        Grows by one for each call of `conv2d`, of another operator or of a plan that has returned.

    Notes
    -----
    As the choice of `use_backend`, this holds for this thread or asynchronous task alone. Calls inside take the long
    way past the memory of earlier calls, which costs microseconds and changes no result.

    Examples
    --------
    >>> import numpy as np, fastconv
    >>> with fastconv.trace() as calls:
    ...     y = fastconv.conv2d(np.ones((8, 8)), np.ones((3, 3)))
    >>> calls[0].backend, calls[0].details["algorithm"]
    ('cpu', 'direct')
    """
    records: list[Explanation] = []
    with trace_into(records):
        yield records


def record(
    problem: Problem,
    names: tuple[str, ...],
    source: str,
    kinds: Kinds,
    num_threads: int,
    plan: Any = None,
    operands: tuple[Any, ...] = (),
) -> None:
    """Tell those who trace of a call that was computed."""
    explanation = Explanation.of(problem, names, source, kinds, num_threads, plan, operands, scan=False)
    for records in traces():
        records.append(explanation)
