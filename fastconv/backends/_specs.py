"""What a backend's description may be, field by field."""

from __future__ import annotations

import re

from .._arguments import kind_of, show
from . import BUILT_IN, BackendSpec
from ._types import UNOWNED

RESERVED = ("auto", "none", "default")  # words that `backend=` may mean something by one day
PLACE = r"\w+(\.\w+)*:\w+"


def check_spec(spec: object) -> BackendSpec:
    """Return a spec that is well formed, or say what is wrong with it."""
    if not isinstance(spec, BackendSpec):
        raise TypeError(f"spec must be a fastconv.BackendSpec, got {kind_of(spec)}.")
    name = check_name(spec.name)
    made: object = spec.implementation
    if not callable(made) and not (isinstance(made, str) and re.fullmatch(PLACE, made)):
        raise ValueError(
            f"implementation of backend {name!r} must be 'module:attribute' or something to call, got {show(made)}."
        )
    if type(spec.api) is not int:
        raise ValueError(f"api of backend {name!r} must be an int, got {show(spec.api)}.")
    for field in ("hint", "distribution"):
        text: object = getattr(spec, field)
        if not isinstance(text, str):
            raise ValueError(f"{field} of backend {name!r} must be a string, got {show(text)}.")
    for field in ("owns", "accepts", "operators"):
        values: object = getattr(spec, field)
        if not isinstance(values, tuple) or not all(isinstance(value, str) for value in values):
            raise ValueError(f"{field} of backend {name!r} must be a tuple of strings, got {show(values)}.")
    for kind in spec.owns + spec.accepts:
        if not re.fullmatch(PLACE, kind):
            raise ValueError(f"an array type must be 'module:Class', got {show(kind)} for backend {name!r}.")
    for kind in spec.owns:
        if re.split(r"[.:]", kind)[0] in UNOWNED:
            raise ValueError(f"backend {name!r} can't own {show(kind)}: NumPy's arrays go where the user says.")
        owner = next((row.name for row in BUILT_IN if kind in row.owns), name)
        if owner != name:
            raise ValueError(f"backend {name!r} can't own {show(kind)}, which {owner!r} does; list it in accepts.")
    return spec


def check_name(name: object) -> str:
    """Return a name that a backend may have, or say why it may not."""
    if not isinstance(name, str) or not re.fullmatch(r"[a-z][a-z0-9_]{0,39}", name):
        raise ValueError(
            "a backend's name must be lower-case letters, digits and underscores, a letter first and 40 at most, "
            f"got {show(name)}."
        )
    if name in RESERVED:
        raise ValueError(f"the name {name!r} is reserved; choose another.")
    return name
