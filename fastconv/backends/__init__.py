"""THE BACKEND TABLE: what a backend is, which there are, and which one computes a call.

A backend author needs this file alone. A backend is two things:

* a *spec*, a light object (`BackendSpec`) that names the implementation as "module:attribute". It is built in (the
  rows of `BUILT_IN`), registered by `register_backend`, or published by a distribution as an entry point of the group
  "fastconv.backends", in a module that imports nothing heavy;
* an *implementation* (`Backend`), a class that is imported and instantiated when the backend is first asked for.

Importing fastconv scans nothing and loads no plugin. Installing one changes no result: a backend computes NumPy arrays
only if the user names it, by `backend=`, `use_backend`, `set_default_backend` or FASTCONV_BACKEND, in this order. A
choice is strict: the backend runs, or the call raises and says why; a tuple of names is tried in order.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, NamedTuple, Protocol

from .._errors import (
    BackendError,
    BackendNotFoundError,
    BackendUnsupportedError,
)
from .._problem import Problem

API = 1  # version of the protocol below; a spec states the one it was written for


class BackendPlan(Protocol):
    """One problem, ready to run any number of times, from any thread.

    A plan may have more: ``explain(num_threads)``, a dict of what it would do; and ``prepare(weight, bias, shared)``,
    for `plan_conv2d`, which returns the same problem's plan for weights that stay the same, called as ``plan(x, out,
    num_threads)``. `shared` is a dict of the user's plan, where what is made of the weights is kept for other images.
    """

    def __call__(self, x: Any, weight: Any, bias: Any, out: Any, num_threads: int) -> Any:
        """Write the result into `out` and return it. Inputs are checked, in any layout, and are not modified."""


class Backend(Protocol):
    """An implementation. It never sees a user's argument: a `Problem` is all there is to know."""

    algorithms: tuple[str, ...]  # what `algorithm=` may name; "auto" is always among them

    def probe(self) -> str | None:
        """Return None if the backend can be used on this machine, or why not. Called once."""

    def reject(self, problem: Problem) -> str | None:
        """Return None if the problem can be computed, or why not, as a sentence. Looks at no array."""

    def plan(self, problem: Problem) -> BackendPlan:
        """Return the plan of a problem that was not rejected."""


class BackendSpec(NamedTuple):
    """A light description of a backend.

    Parameters
    ----------
    name : str
        Lower-case letters, digits and underscores.
    implementation : str or callable
        "module:attribute" of a class, or a callable; called without arguments it gives a `Backend`.
    api : int
        Version of the protocol that it was written for.
    hint : str
        How to install what it needs.
    distribution : str
        Where it comes from; filled in for entry points.
    """

    name: str
    implementation: str | Callable[[], Backend]
    api: int = API
    hint: str = ""
    distribution: str = ""


BUILT_IN = (
    BackendSpec(
        "cpu",
        "fastconv.backends.cpu:CpuBackend",
        hint="sources that are not compiled? run from another folder, or compile them in place: pip install -e .",
        distribution="fastconv",
    ),
    BackendSpec("reference", "fastconv.backends.reference:ReferenceBackend", distribution="fastconv"),
)

_registered: dict[str, BackendSpec] = {}
_installed: dict[str, BackendSpec] | None = None  # from entry points, once scanned
_loaded: dict[str, Backend | BackendError] = {}


def choose(names: tuple[str, ...], problem: Problem) -> tuple[str, Backend]:
    """Return the first of the named backends that can compute the problem, and its name; raise its reason if none."""
    refusals: list[BackendError] = []
    for name in names:
        try:
            backend = load(name)
            if problem.algorithm not in backend.algorithms:
                known = ", ".join(backend.algorithms)
                raise ValueError(
                    f"algorithm must be one of {known} with backend {name!r}, got {problem.algorithm[:60]!r}."
                )
            reason = backend.reject(problem)
            if reason is None:
                return name, backend
            way_on = "backend='reference' can" if problem.algorithm == "auto" else "algorithm='auto' finds one that can"
            raise BackendUnsupportedError(f"backend {name!r} can't compute this problem: {reason}; {way_on}.")
        except BackendError as error:
            refusals.append(error)
    if len(refusals) == 1:
        raise refusals[0]
    share = 440 // len(refusals) - 3
    reasons = " | ".join(f"{error!s:.{share}}".rstrip(".") for error in refusals)
    raise BackendUnsupportedError(f"none of the backends asked for can compute this: {reasons}.")


def load(name: str) -> Backend:
    """Return the implementation of that name, imported and probed on its first use; its failure is remembered."""
    if name not in _loaded:
        from ._loading import find, make

        try:
            _loaded[name] = make(find(name))
        except BackendNotFoundError:
            raise
        except BackendError as error:
            _loaded[name] = type(error)(*error.args)  # a raised one would keep the frames it met, and their arrays
            raise
    found = _loaded[name]
    if isinstance(found, BackendError):
        raise type(found)(*found.args)
    return found


def specs(scan: bool = True) -> dict[str, BackendSpec]:
    """Return every spec by name: built in, registered and, once entry points have been scanned, installed."""
    global _installed
    if _installed is None and scan:
        from ._loading import installed

        _installed = installed({spec.name for spec in BUILT_IN})
    return {spec.name: spec for spec in BUILT_IN} | (_installed or {}) | _registered


def backends() -> dict[str, str]:
    """Return every backend that is built in, registered or installed, with "usable" or why it can't be used.

    Loads and probes each of them; a broken one breaks nothing but its own line.

    Examples
    --------
    >>> import fastconv
    >>> fastconv.backends()["cpu"]
    'usable'
    """
    verdicts = {}
    for name in specs():
        try:
            load(name)
            verdicts[name] = "usable"
        except BackendError as error:
            verdicts[name] = str(error)
    return verdicts


def register_backend(spec: BackendSpec) -> None:
    """Add a backend to the table of this process, as an installed plugin's entry point does.

    Parameters
    ----------
    spec : BackendSpec
        Its name must be new; registering an equal spec again does nothing.

    Raises
    ------
    ValueError
        The name is not well formed, or is that of another backend.

    Examples
    --------
    >>> import fastconv
    >>> from fastconv.backends.reference import ReferenceBackend
    >>> fastconv.register_backend(fastconv.BackendSpec("mine", ReferenceBackend))
    >>> fastconv.conv2d([[1, 2]], [[3]], backend="mine")
    array([[3, 6]])
    """
    if not isinstance(spec, BackendSpec):
        raise TypeError(f"spec must be a fastconv.BackendSpec, got an object of type {type(spec).__name__}.")
    if not re.fullmatch(r"[a-z][a-z0-9_]*", spec.name):
        raise ValueError(f"a backend's name must be lower-case letters, digits and underscores, got {spec.name!r:.60}.")
    other = {row.name: row for row in BUILT_IN}.get(spec.name) or _registered.get(spec.name)
    if other is not None and other != spec:
        raise ValueError(f"there already is a backend {spec.name!r} ({other.implementation}); choose another name.")
    _registered[spec.name] = spec
