"""The table at work: every spec by name, each loaded once and late, and the first of those asked for that can."""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Callable

from .. import _config
from .._arguments import clip, kind_of, show, told
from .._errors import (
    BackendError,
    BackendNotFoundError,
    BackendResultError,
    BackendUnavailableError,
    BackendUnsupportedError,
    ConfigError,
)
from .._problem import Problem
from . import BUILT_IN, DISTRIBUTIONS, Backend, BackendPlan, BackendSpec, _compose
from ._types import Kinds, refuse_types

_registered: dict[str, BackendSpec] = {}
_published: dict[str, Callable[[], BackendSpec]] | None = None  # by entry points, once scanned: what imports a spec
_installed: dict[str, BackendSpec] = {}  # those of them that have been imported
_loaded: dict[str, Backend | BackendError] = {}
_locks: dict[str, threading.RLock] = {}  # one a name: a slow backend keeps those waiting who asked for it, alone

if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_locks.clear)  # their holders are not in the child


def choose(names: tuple[str, ...], problem: Problem, kinds: Kinds | None = ()) -> tuple[str, Backend]:
    """Return the first of the named backends that can compute the problem, and its name; raise its reason if none.

    An operator that it does not have is composed from its conv2d: what is returned is then a `Composed`.

    `kinds` are the operands' types, as `_types.route` gives them; None for a question that is not about arrays.
    """
    refusals: list[BackendError] = []
    for name in names:
        try:
            spec = find(name)
            refuse_types(spec, kinds)
            backend = backend_for(name, problem.operator, bool(kinds))
            _refuse_algorithm(name, backend, problem, strict=len(names) == 1)
            reason: object = backend.reject(problem)
            if reason is None:
                return name, backend
            if not isinstance(reason, str) or not (why := told(reason, 250)).strip():
                raise BackendResultError(f"reject of backend {name!r} returned {show(reason)}, not None or a sentence.")
            other = problem._replace(algorithm="auto")
            by_auto = other != problem and backend.reject(other) is None
            way_on = "algorithm='auto' finds one that can" if by_auto else "backend='reference' can"
            way_on = "convert the arrays for another backend" if kinds else way_on
            raise BackendUnsupportedError(f"backend {name!r} can't compute this problem: {why}; {way_on}.")
        except BackendError as error:
            refusals.append(error)
        except BaseException as error:
            refuse_exit(name, error)
            raise
    if len(refusals) == 1:
        raise refusals[0]
    share = 440 // len(refusals) - 3
    reasons = " | ".join(f"{error!s:.{share}}".rstrip(".") for error in refusals)
    raise BackendUnsupportedError(f"none of the backends asked for can compute this: {reasons}.")


def backend_for(name: str, operator: str, owned: bool = False) -> Backend:
    """Return the backend of that name for an operator that it has, or that is composed from its conv2d."""
    spec = find(name)
    if operator in spec.operators:
        return load(name)
    _compose.refuse(spec, operator, owned)
    return _compose.Composed(load(name))


def plan(names: tuple[str, ...], problem: Problem, kinds: Kinds | None = ()) -> tuple[str, BackendPlan]:
    """Return the plan of the first of the named backends that can compute the problem, and its name."""
    name, backend = choose(names, problem, kinds)
    return name, plan_of(name, backend, problem)


def plan_of(name: str, backend: Backend, problem: Problem) -> BackendPlan:
    """Return a backend's plan of a problem that it did not reject."""
    try:
        made: object = backend.plan(problem)
    except BaseException as error:
        refuse_exit(name, error)
        raise
    if not callable(made):
        raise BackendResultError(f"plan of backend {name!r} returned {kind_of(made)}, which can't be called.")
    return made


def refuse_exit(name: str, error: BaseException) -> None:
    """Raise an error in place of one that would end the process or its task: a backend has no say in that."""
    if not isinstance(error, Exception | KeyboardInterrupt):
        kind = clip(type(error).__name__, 60)
        raise BackendResultError(f"backend {name!r} tried to end the process instead of computing: {kind}.") from error


def _refuse_algorithm(name: str, backend: Backend, problem: Problem, strict: bool) -> None:
    """Raise if the backend has no such algorithm: the argument is wrong if it was meant for this backend alone."""
    algorithms: object = backend.algorithms
    if not isinstance(algorithms, tuple) or "auto" not in algorithms:
        raise BackendResultError(f"algorithms of backend {name!r} must be a tuple with 'auto' in it.")
    if problem.algorithm in algorithms:
        return
    known = ", ".join(map(str, algorithms))
    message = f"algorithm must be one of {known} with backend {name!r}, got {problem.algorithm[:60]!r}."
    raise ValueError(message) if strict else BackendUnsupportedError(message)


def find(name: str) -> BackendSpec:
    """Return the spec of that name, without a scan where none is needed; say what there is if there is none."""
    if name in _config.get("FASTCONV_DISABLE_BACKENDS"):
        raise BackendUnavailableError(f"backend {name!r} is disabled by FASTCONV_DISABLE_BACKENDS.")
    known = specs(scan=False)
    if name not in known:  # of the plugins it is the one asked for that is imported
        if name in published():
            _installed[name] = published()[name]()
        known = specs(scan=False)
    if name in known:
        return known[name]
    import difflib

    names = dict.fromkeys((*known, *published()))
    close = "".join(difflib.get_close_matches(name[:60].lower(), (*names, *DISTRIBUTIONS), 1))
    hint = f"Did you mean {close!r}?" if close else "A plugin's distribution has to be installed first."
    if close not in names and close in DISTRIBUTIONS:
        provider = f"The distribution {DISTRIBUTIONS[close]} provides it: pip install {DISTRIBUTIONS[close]}."
        hint = provider if close == name else f"{hint} {provider}"
    with contextlib.suppress(ConfigError):
        if name in _config.get("FASTCONV_BACKEND"):
            hint = f"FASTCONV_BACKEND names it. {hint}"
    raise BackendNotFoundError(f"no backend {name[:60]!r} is installed; there are {', '.join(names):.250}. {hint}")


def load(name: str) -> Backend:
    """Return the implementation of that name, imported and probed on its first use; its failure is remembered."""
    found = _loaded.get(name)
    if found is None:
        from ._loading import make

        spec = find(name)
        with _locks.setdefault(name, threading.RLock()):
            if name not in _loaded:
                try:
                    _loaded[name] = make(spec)
                except BackendError as error:
                    # Kept as a new object: the one raised would keep the frames that it met, and their arrays.
                    _loaded[name] = type(error)(*error.args)
                    raise
        found = _loaded[name]
    if isinstance(found, BackendError):
        raise type(found)(*found.args)
    return found


def is_loaded(name: str) -> bool:
    """Whether a backend has been loaded, so that asking it something imports nothing."""
    return name in _loaded and not isinstance(_loaded[name], BackendError)


def published() -> dict[str, Callable[[], BackendSpec]]:
    """Return what imports each installed plugin's spec, by name. Distributions are looked through once."""
    global _published
    if _published is None:
        from ._loading import published as look

        _published = look({spec.name for spec in BUILT_IN})
    return _published


def specs(scan: bool = True) -> dict[str, BackendSpec]:
    """Return every spec by name: built in, registered and installed; of these, without `scan`, what is imported."""
    late: dict[str, BackendSpec] = {}
    if scan and not published().keys() <= _installed.keys():
        from ._loading import import_spec

        for name, spec in published().items():
            if name not in _installed:
                found, answered = import_spec(name, spec)
                (_installed if answered else late)[name] = found
    return {spec.name: spec for spec in BUILT_IN} | _installed | late | _registered
