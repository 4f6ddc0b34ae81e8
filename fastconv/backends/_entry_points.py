"""Backends that other distributions publish, found in their metadata; imported when somebody first asks for one."""

from __future__ import annotations

import importlib.metadata
from collections.abc import Callable

from .. import _config
from . import Backend, BackendSpec

GROUP = "fastconv.backends"


def scan(built_in: set[str]) -> dict[str, BackendSpec]:
    """Return the specs of all installed plugins by name. Imports their light modules, and no implementation.

    A spec that can't be had becomes one that says why when it is used. Built-in names can't be taken.
    """
    found: dict[str, BackendSpec] = {}
    try:
        points = sorted(importlib.metadata.entry_points(group=GROUP), key=lambda point: (point.name, point.value))
    except Exception:  # one malformed distribution must not hide the built-in backends
        return found
    disabled = _config.get("FASTCONV_DISABLE_BACKENDS")
    for point in points:
        origin = point.dist.name if point.dist else "?"
        if point.name in disabled or point.name in built_in:
            continue
        try:
            spec = point.load()
            if not isinstance(spec, BackendSpec) or spec.name != point.name:
                raise TypeError(f"{point.value} is not a fastconv.BackendSpec named {point.name!r}")
            spec = spec._replace(distribution=origin)
        except (Exception, SystemExit) as error:
            spec = BackendSpec(point.name, _broken(error), distribution=origin)
        if point.name in found and found[point.name].implementation != spec.implementation:
            both = f"{found[point.name].distribution} and {origin}"
            spec = BackendSpec(point.name, _broken(RuntimeError(f"{both} both publish that name")), distribution=both)
        found[point.name] = spec
    return found


def _broken(error: BaseException) -> Callable[[], Backend]:
    def implementation() -> Backend:
        raise error

    return implementation
