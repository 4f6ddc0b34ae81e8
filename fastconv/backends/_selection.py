"""Which backend the user chose: argument, scope, process default, environment, in this order."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from contextvars import ContextVar
from typing import Any, NamedTuple

from .. import _config

DEFAULT = "cpu"


class Scope(NamedTuple):
    """What holds in a `with` block, in this thread or asynchronous task alone."""

    names: tuple[str, ...] | None = None  # backends for NumPy arrays, None where no `use_backend` says
    traces: tuple[list[Any], ...] = ()  # who wants to know of each call


_scope: ContextVar[Scope | None] = ContextVar("fastconv_scope", default=None)
_process_default: tuple[str, ...] | None = None


def selection(argument: object = None) -> tuple[tuple[str, ...], str]:
    """Return the names of the backends to try, in order, and where that choice comes from."""
    if argument is not None:
        return _names(argument), "backend="
    scope = _scope.get()
    if scope is not None and scope.names is not None:
        return scope.names, "use_backend"
    if _process_default is not None:
        return _process_default, "set_default_backend"
    names = _config.get("FASTCONV_BACKEND")
    return (names, "FASTCONV_BACKEND") if names else ((DEFAULT,), "default")


def is_default() -> bool:
    """Whether nothing and nobody has chosen a backend, and nobody traces."""
    return _scope.get() is None and _process_default is None and not _config.get("FASTCONV_BACKEND")


def traces() -> tuple[list[Any], ...]:
    """Return the lists that want to know of each call here."""
    scope = _scope.get()
    return () if scope is None else scope.traces


@contextlib.contextmanager
def trace_into(records: list[Any]) -> Iterator[None]:
    """Collect calls in a list, inside a `with` block."""
    scope = _scope.get() or Scope()
    token = _scope.set(scope._replace(traces=(*scope.traces, records)))
    try:
        yield
    finally:
        _scope.reset(token)


@contextlib.contextmanager
def use_backend(backend: str | tuple[str, ...]) -> Iterator[None]:
    """Compute with another backend inside a `with` block, or in a function that this decorates.

    Parameters
    ----------
    backend : str or tuple of str
        The backend's name; a tuple is tried in order.

    Notes
    -----
    The choice lives in a `contextvars.ContextVar`: it holds for this thread or asynchronous task, and for tasks that
    are created inside the block. Threads, those of pools too, and processes do not have it; pass `backend=` there, or
    call `set_default_backend`.

    Examples
    --------
    >>> import numpy as np, fastconv
    >>> with fastconv.use_backend("reference"):
    ...     fastconv.conv2d(np.ones((3, 3)), np.ones((2, 2)))
    array([[4., 4.],
           [4., 4.]])
    """
    names = _names(backend)
    token = _scope.set((_scope.get() or Scope())._replace(names=names))
    try:
        yield
    finally:
        _scope.reset(token)


def set_default_backend(backend: str | tuple[str, ...] | None) -> None:
    """Set the backend of the whole process, in every thread; for applications, not for libraries.

    Parameters
    ----------
    backend : str, tuple of str or None
        The backend's name; a tuple is tried in order. None goes back to FASTCONV_BACKEND or `cpu`.

    Examples
    --------
    >>> import fastconv
    >>> fastconv.set_default_backend("cpu")
    >>> fastconv.set_default_backend(None)
    """
    global _process_default
    _process_default = None if backend is None else _names(backend)


def _names(value: object) -> tuple[str, ...]:
    names = value if isinstance(value, tuple | list) else (value,)
    if len(names) > 16:
        raise ValueError(f"backend must be a name or a tuple of at most 16 names, got {len(names)}.")
    if not names or not all(isinstance(name, str) for name in names):
        raise TypeError("a backend must be a name, such as 'cpu', or a tuple of names to try in order.")
    return tuple(names)
