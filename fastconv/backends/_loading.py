"""From a spec to a backend, and from installed distributions to specs. Imported when the first backend is loaded."""

from __future__ import annotations

import functools
import importlib
import re
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from .. import _config
from .._arguments import clip, show, told
from .._errors import (
    BackendError,
    BackendLoadError,
    BackendUnavailableError,
    BackendVersionError,
    ConfigError,
)
from . import API, Backend, BackendSpec
from ._patience import lateness, within_patience
from ._specs import check_name, check_spec

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

GROUP = "fastconv.backends"
MEMBERS = ("algorithms", "probe", "reject", "plan")

Values = dict[str, tuple[str, "EntryPoint"]]  # of the entry points of one name: value, distribution, what loads it


def make(spec: BackendSpec) -> Backend:
    """Import, instantiate and probe the implementation of a spec; raise what is wrong with it."""
    origin = f"backend {spec.name!r}" + (f" (from {clip(spec.distribution, 60)})" if spec.distribution else "")
    hint = f"; {clip(spec.hint, 100)}" if spec.hint else ""
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
    except KeyboardInterrupt:
        raise  # the user's
    except BaseException as error:
        kind = clip(type(error).__name__, 40)
        raise BackendLoadError(f"{origin} can't be loaded: {kind}: {told(error).rstrip('.')}{hint}.") from error
    if missing:
        raise BackendLoadError(f"{origin} is not a backend: it has no {', '.join(missing)}.")
    if not isinstance(reason, str | None):
        raise BackendLoadError(f"{origin} is not a backend: probe returned {show(reason)}, not None or a reason.")
    if reason is not None:
        why = told(reason, 250).strip().rstrip(".") or "it does not say why"
        raise BackendUnavailableError(f"{origin} can't be used here: {why}{hint}.")
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


def published(built_in: set[str]) -> dict[str, Callable[[], BackendSpec]]:
    """Return what imports the spec of each installed plugin, by name: its light module, and no implementation.

    Nothing is imported before that is called, so a plugin that hangs is met by those alone who ask for it. A spec that
    can't be had becomes one that says why when it is used; so does one that takes a name that it may not have, and one
    that distributions publish differently.
    """
    points: dict[str, Values] = {}
    found: dict[str, Callable[[], BackendSpec]] = {}
    for origin, point in _entry_points(found):
        points.setdefault(point.name, {}).setdefault(point.value, (origin, point))  # equal values are one
    for name, values in sorted(points.items()):
        taken = name in built_in
        found[f"{name}@{_origins(values)}" if taken else name] = functools.partial(_published, name, values, taken)
    return found


def _published(name: str, values: Values, taken: bool) -> BackendSpec:
    """Import the spec that distributions publish under a name."""
    if taken:
        return _broken(name, values, ValueError("that name is fastconv's own"))
    if name in _config.get("FASTCONV_DISABLE_BACKENDS"):
        return _broken(name, values, RuntimeError("it is disabled"))
    try:
        check_name(name)
    except ValueError as error:
        return _broken(name, values, error)
    rows = [_spec(name, value, *row) for value, row in values.items()]
    if all(row._replace(distribution=rows[0].distribution) == rows[0] for row in rows):
        return rows[0]
    return _broken(name, values, ValueError(f"{_origins(values)} publish that name for different backends; keep one"))


def import_spec(name: str, spec: Callable[[], BackendSpec]) -> tuple[BackendSpec, bool]:
    """Import a spec among others, and return whether it is there: one that hangs is told as late, and left."""
    late = _broken(name, {}, BackendUnavailableError(lateness(name)))

    def raised(error: BaseException) -> BackendSpec:
        return _broken(name, {}, error)

    found = within_patience(f"description of {name}", spec, raised, late)
    return found, found is not late


def _entry_points(found: dict[str, Callable[[], BackendSpec]]) -> list[tuple[str, EntryPoint]]:
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
            found[f"?@{origin}"] = functools.partial(_broken, "?", {"": (origin, None)}, error)
    return points


def _spec(name: str, value: str, origin: str, point: EntryPoint) -> BackendSpec:
    try:
        spec = point.load()
        if not isinstance(spec, BackendSpec) or spec.name != name:
            raise TypeError(f"{value} is not a fastconv.BackendSpec named {name!r}")
        return check_spec(spec)._replace(distribution=origin)
    except KeyboardInterrupt:
        raise  # the user's
    except BaseException as error:
        return _broken(name, {value: (origin, point)}, error)


def _broken(name: str, values: Mapping[str, tuple[str, EntryPoint | None]], error: BaseException) -> BackendSpec:
    """A spec whose implementation is the reason why there is none."""

    def implementation() -> Backend:
        raise error

    return BackendSpec(name, implementation, distribution=_origins(values))


def _origins(values: Mapping[str, tuple[str, EntryPoint | None]]) -> str:
    return " and ".join(dict.fromkeys(origin for origin, _ in values.values()))
