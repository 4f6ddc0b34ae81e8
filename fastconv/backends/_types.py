"""Type dispatch: whose array is this, and which backends take it. No array is touched, no library imported."""

from __future__ import annotations

import sys
from typing import Any

import numpy as np

from .. import _config
from .._arguments import clip
from .._errors import BackendUnsupportedError
from . import BUILT_IN, BackendSpec

# Operands and their types, `numpy.ndarray` for all that no backend owns; empty where no operand is owned.
Kinds = tuple[tuple[str, type], ...]

NUMPY = "numpy:ndarray"
UNOWNED = sys.stdlib_module_names | {"numpy"}  # whose types no backend can own: they go where the user says


def route(operands: dict[str, Any], names: tuple[str, ...], source: str) -> tuple[tuple[str, ...], str, Kinds]:
    """Return the backends to try for these operands, where that choice comes from, and the operands' types.

    `names` and `source` are the user's choice. It holds for calls without owned arrays, and where `backend=` made it.
    """
    owners = {name: _owners(type(array)) for name, array in operands.items() if array is not None}
    if not any(owners.values()):
        return names, source, ()
    kinds = tuple((name, type(operands[name]) if owners[name] else np.ndarray) for name in owners)
    if source == "backend=":
        return names, source, kinds
    candidates = {spec.name: spec for owned in owners.values() for spec in owned}
    selected = [name for name in names if name in candidates]  # the user's word where two own one type
    able = [name for name in selected or candidates if all(takes(candidates[name], kind) for _, kind in kinds)]
    if len(able) == 1 or len(candidates) == 1:
        chosen = able[0] if able else next(iter(candidates))
        owned = next(name for name in owners if chosen in [spec.name for spec in owners[name]])
        return (chosen,), f"the type of {owned}", kinds
    owned = "; ".join(
        f"{name} is {_text(type(operands[name]))}, which {' and '.join(repr(spec.name) for spec in owners[name])} owns"
        for name in owners
        if owners[name]
    )
    one = "several can" if able else "none of these takes both"
    raise BackendUnsupportedError(
        f"more than one backend owns arrays of this call, and {one}: {clip(owned, 300)}; "
        "convert arrays to one library's, or name the backend with backend=."
    )


def takes(spec: BackendSpec, kind: type) -> bool:
    """Whether a backend takes arrays of a type, `numpy.ndarray` meaning what no backend owns."""
    if kind is np.ndarray:
        return NUMPY in spec.accepts
    return is_one_of(kind, tuple(name for name in spec.owns + spec.accepts if name != NUMPY))


def is_one_of(kind: type, names: tuple[str, ...]) -> bool:
    """Whether a type is one of those named, or a subclass."""
    named = [_resolve(name) for name in names]
    return any(base is other for base in kind.__mro__ for other in named)


def refuse_types(spec: BackendSpec, kinds: Kinds | None) -> None:
    """Raise if the backend does not take one of the operands, and say what it takes."""
    for name, kind in () if kinds is None else kinds or (("x", np.ndarray),):
        if not takes(spec, kind):
            known = ", ".join(other.replace(":", ".") for other in spec.owns + spec.accepts) or "no array at all"
            way_on = "convert it" if kind is np.ndarray else "convert it, or leave backend= out and its owner computes"
            raise BackendUnsupportedError(
                f"backend {spec.name!r} takes {clip(known)}, but {name} is {_text(kind)}; {way_on}."
            )


def _owners(kind: type) -> list[BackendSpec]:
    """The backends that own the first class of a type's MRO that any owns; what a built-in one owns is its alone."""
    if str(kind.__module__).partition(".")[0] in UNOWNED:
        return []
    built_in = [(_resolve(name), spec) for spec in BUILT_IN for name in spec.owns]
    found = [spec for other, spec in built_in if other is kind]
    if found:  # whatever plugins there are
        return found
    from ._table import specs  # a foreign array is one of the few reasons to look at installed plugins

    owned = [(_resolve(name), spec) for spec in specs().values() for name in spec.owns]
    disabled = _config.get("FASTCONV_DISABLE_BACKENDS")
    for base in kind.__mro__:
        found = [spec for rows in (built_in, owned) for other, spec in rows if other is base]
        if found and found[0] in BUILT_IN:
            return found[:1]
        if found:  # one that is disabled says so, unless there is another
            return [spec for spec in found if spec.name not in disabled] or found
    return []


def _resolve(name: str) -> Any:
    """The class that "module:Class" names, None where its module is not imported. A module's own hooks do not run."""
    module, _, attribute = name.partition(":")
    return getattr(sys.modules.get(module), "__dict__", {}).get(attribute)


def _text(kind: type) -> str:
    return clip(f"a {kind.__module__}.{kind.__qualname__}", 80)
