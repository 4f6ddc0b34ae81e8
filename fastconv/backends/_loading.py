"""From a spec to a backend, and from installed distributions to specs. Imported when the first backend is loaded."""

from __future__ import annotations

import importlib
from collections.abc import Callable

from .. import _config
from .._errors import (
    BackendLoadError,
    BackendNotFoundError,
    BackendUnavailableError,
    BackendVersionError,
    ConfigError,
)
from . import API, Backend, BackendSpec, specs

GROUP = "fastconv.backends"


def find(name: str) -> BackendSpec:
    """Return the spec of that name, without a scan where none is needed; say what there is if there is none."""
    if name in _config.get("FASTCONV_DISABLE_BACKENDS"):
        raise BackendUnavailableError(f"backend {name!r} is disabled by FASTCONV_DISABLE_BACKENDS.")
    known = specs(scan=False)
    if name not in known:
        known = specs()
    if name in known:
        return known[name]
    import difflib

    close = difflib.get_close_matches(name[:60], known, 1)
    hint = f" Did you mean {close[0]!r}?" if close else ""
    raise BackendNotFoundError(f"no backend {name[:60]!r} is installed; there are {', '.join(known)}.{hint}")


def make(spec: BackendSpec) -> Backend:
    """Import, instantiate and probe the implementation of a spec; raise what is wrong with it."""
    origin = f"backend {spec.name!r}" + (f" (from {spec.distribution})" if spec.distribution else "")
    if spec.api != API:
        raise BackendVersionError(f"{origin} speaks version {spec.api} of the protocol, and this fastconv {API}.")
    try:
        backend = _implementation(spec)()
        missing = [name for name in ("algorithms", "probe", "reject", "plan") if not hasattr(backend, name)]
        reason = None if missing else backend.probe()
    except ConfigError:
        raise  # the user's setting is wrong, not the backend
    except (Exception, SystemExit) as error:
        hint = f"; {spec.hint}" if spec.hint else ""
        raise BackendLoadError(f"{origin} can't be loaded: {type(error).__name__}: {error!s:.200}{hint}.") from error
    if missing:
        raise BackendLoadError(f"{origin} is not a backend: it has no {', '.join(missing)}.")
    if reason is not None:
        raise BackendUnavailableError(f"{origin} can't be used here: {reason}.")
    return backend


def _implementation(spec: BackendSpec) -> Callable[[], Backend]:
    if not isinstance(spec.implementation, str):
        return spec.implementation
    module, _, attribute = spec.implementation.partition(":")
    found: Callable[[], Backend] = getattr(importlib.import_module(module), attribute)
    return found


def installed(built_in: set[str]) -> dict[str, BackendSpec]:
    """Return the specs of all installed plugins by name. Imports their light modules, and no implementation.

    A spec that can't be had becomes one that says why when it is used. Built-in names can't be taken.
    """
    import importlib.metadata  # 20 to 60 ms, for those who ask for plugins

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
