"""From a spec to a backend, and from installed distributions to specs. Imported when the first backend is loaded."""

from __future__ import annotations

import importlib
import re
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from .. import _config
from .._arguments import kind_of
from .._errors import (
    BackendError,
    BackendLoadError,
    BackendUnavailableError,
    BackendVersionError,
    ConfigError,
)
from . import API, Backend, BackendSpec
from ._types import UNOWNED

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

GROUP = "fastconv.backends"
MEMBERS = ("algorithms", "probe", "reject", "plan")
RESERVED = ("auto", "none", "default")  # words that `backend=` may mean something by one day


def make(spec: BackendSpec) -> Backend:
    """Import, instantiate and probe the implementation of a spec; raise what is wrong with it."""
    origin = f"backend {spec.name!r}" + (f" (from {spec.distribution})" if spec.distribution else "")
    if spec.api != API:
        older = "fastconv" if spec.api > API else "the plugin"
        raise BackendVersionError(
            f"{origin} speaks version {spec.api} of the protocol, and this fastconv {API}; upgrade {older}."
        )
    try:
        backend = _implementation(spec)()
        missing = [name for name in MEMBERS if not _has(backend, name)]
        reason: object = None if missing else backend.probe()
    except (ConfigError, BackendError):
        raise  # the user's setting is wrong, not the backend; or it says itself, in fastconv's terms, what is
    except (Exception, SystemExit) as error:
        hint = f"; {spec.hint}" if spec.hint else ""
        raise BackendLoadError(f"{origin} can't be loaded: {type(error).__name__}: {error!s:.200}{hint}.") from error
    if missing:
        raise BackendLoadError(f"{origin} is not a backend: it has no {', '.join(missing)}.")
    if not isinstance(reason, str | None):
        kind = type(reason).__name__
        raise BackendLoadError(f"{origin} is not a backend: probe returned a {kind}, not None or a reason.")
    if reason is not None:
        hint = f"; {spec.hint}" if spec.hint else ""
        raise BackendUnavailableError(f"{origin} can't be used here: {reason!s:.300}{hint}.")
    return backend


def _has(backend: Backend, name: str) -> bool:
    """Whether a member is there; a property is not run for it, since it may ask other backends."""
    return getattr(type(backend), name, None) is not None or getattr(backend, name, None) is not None


def _implementation(spec: BackendSpec) -> Callable[[], Backend]:
    if not isinstance(spec.implementation, str):
        return spec.implementation
    module, _, attribute = spec.implementation.partition(":")
    found: Callable[[], Backend] = getattr(importlib.import_module(module), attribute)
    return found


def check_spec(spec: object) -> BackendSpec:
    """Return a spec that is well formed, or say what is wrong with it."""
    if not isinstance(spec, BackendSpec):
        raise TypeError(f"spec must be a fastconv.BackendSpec, got {kind_of(spec)}.")
    name: object = spec.name
    if not isinstance(name, str) or not re.fullmatch(r"[a-z][a-z0-9_]*", name):
        raise ValueError(f"a backend's name must be lower-case letters, digits and underscores, got {name!r:.60}.")
    if name in RESERVED:
        raise ValueError(f"the name {name!r} is reserved; choose another.")
    if type(spec.api) is not int or not isinstance(spec.hint, str):
        raise ValueError(f"api of backend {name!r} must be an int and hint a string.")
    for field in ("owns", "accepts", "operators"):
        values: object = getattr(spec, field)
        if not isinstance(values, tuple) or not all(isinstance(value, str) for value in values):
            raise ValueError(f"{field} of backend {name!r} must be a tuple of strings, got {values!r:.60}.")
    for kind in spec.owns + spec.accepts:
        if not re.fullmatch(r"\w+(\.\w+)*:\w+", kind):
            raise ValueError(f"an array type must be 'module:Class', got {kind!r:.60} for backend {name!r}.")
    for kind in spec.owns:
        if re.split(r"[.:]", kind)[0] in UNOWNED:
            raise ValueError(f"backend {name!r} can't own {kind!r:.60}: NumPy's arrays go where the user says.")
    return spec


def installed(built_in: set[str]) -> dict[str, BackendSpec]:
    """Return the specs of all installed plugins by name. Imports their light modules, and no implementation.

    A spec that can't be had becomes one that says why when it is used; so does one that takes a built-in name, and one
    that distributions publish differently. What is disabled is not imported.
    """
    points: dict[str, dict[str, tuple[str, EntryPoint]]] = {}
    found: dict[str, BackendSpec] = {}
    for origin, point in _entry_points(found):
        points.setdefault(point.name, {}).setdefault(point.value, (origin, point))  # equal values are one
    disabled = _config.get("FASTCONV_DISABLE_BACKENDS")
    for name, values in sorted(points.items()):
        if name in disabled:
            found[name] = _broken(name, values, RuntimeError("it is disabled"))
        elif name in built_in:
            found[f"{name}@{_origins(values)}"] = _broken(name, values, ValueError("that name is fastconv's own"))
        else:
            rows = [_spec(name, value, *row) for value, row in values.items()]
            same = all(row._replace(distribution=rows[0].distribution) == rows[0] for row in rows)
            both = ValueError(f"{_origins(values)} both publish that name; uninstall one of them")
            found[name] = rows[0] if same else _broken(name, values, both)
    return found


def _entry_points(found: dict[str, BackendSpec]) -> list[tuple[str, EntryPoint]]:
    """Every entry point of the group and its distribution's name. What can't be read goes to `found` as broken."""
    import importlib.metadata  # 20 to 60 ms, for those who ask for plugins

    points: list[tuple[str, EntryPoint]] = []
    seen: set[str] = set()
    for distribution in importlib.metadata.distributions():
        origin = "?"
        try:
            # The text decides, before anything is parsed: it is a hundred distributions for one plugin.
            if GROUP not in (distribution.read_text("entry_points.txt") or ""):
                continue
            origin = str(distribution.metadata["Name"])
            key = re.sub(r"[-_.]+", "-", origin).lower()
            if key not in seen:  # a project further down the path is not what Python would import
                seen.add(key)
                points += [(origin, point) for point in distribution.entry_points if point.group == GROUP]
        except Exception as error:  # one malformed distribution hides nothing else
            found[f"?@{origin}"] = _broken("?", {"": (origin, None)}, error)
    return points


def _spec(name: str, value: str, origin: str, point: EntryPoint) -> BackendSpec:
    try:
        spec = point.load()
        if not isinstance(spec, BackendSpec) or spec.name != name:
            raise TypeError(f"{value} is not a fastconv.BackendSpec named {name!r}")
        return check_spec(spec)._replace(distribution=origin)
    except (Exception, SystemExit) as error:
        return _broken(name, {value: (origin, point)}, error)


def _broken(name: str, values: Mapping[str, tuple[str, EntryPoint | None]], error: BaseException) -> BackendSpec:
    """A spec whose implementation is the reason why there is none."""

    def implementation() -> Backend:
        raise error

    return BackendSpec(name, implementation, distribution=_origins(values))


def _origins(values: Mapping[str, tuple[str, EntryPoint | None]]) -> str:
    return " and ".join(dict.fromkeys(origin for origin, _ in values.values()))
