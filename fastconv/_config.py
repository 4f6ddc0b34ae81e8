"""Every environment variable, in one table: name, parser, default, meaning.

A variable is read when it is first needed, once; `reload()` forgets what was read.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from typing import Any, NamedTuple

from ._errors import ConfigError


def _text(value: str) -> str:
    return value.strip().lower()


def _names(value: str) -> tuple[str, ...]:
    names = tuple(name.strip() for name in value.split(",") if name.strip())
    if not all(re.fullmatch(r"[a-z][a-z0-9_]*", name) for name in names):
        raise ValueError("backend names such as cpu, or several of them separated by commas")
    return names


def _thread_count(value: str) -> int:
    if not re.fullmatch(r"\s*[0-9]{1,6}\s*", value) or int(value) < 1:
        raise ValueError("a whole number of at least 1")
    return int(value)


class Variable(NamedTuple):
    """One environment variable. Its parser raises ValueError with what would be accepted."""

    name: str
    parse: Callable[[str], Any]
    default: Any
    meaning: str


VARIABLES = {
    row.name: row
    for row in (
        Variable("FASTCONV_ALGORITHM", _text, "auto", "algorithm of the backend cpu where a call names none"),
        Variable("FASTCONV_BACKEND", _names, (), "backend for NumPy arrays, or several in order of preference"),
        Variable("FASTCONV_DISABLE_BACKENDS", _names, (), "backends that are never loaded"),
        Variable("FASTCONV_ISA", _text, "", "best instruction set to use: a cap, for tests and comparisons"),
        Variable("FASTCONV_NUM_THREADS", _thread_count, 0, "threads of a call, instead of OpenMP's own settings"),
    )
}

_values: dict[str, Any] = {}


def get(name: str) -> Any:
    """Return the value of a variable of the table, its default where it is not set or empty."""
    if name not in _values:
        row = VARIABLES[name]
        text = os.environ.get(name, "")
        try:
            _values[name] = row.parse(text) if text.strip() else row.default
        except ValueError as error:
            raise ConfigError(f"the environment variable {name} must be {error}, got {text[:60]!r}.") from None
    return _values[name]


def reload() -> None:
    """Read every variable again when it is next needed."""
    _values.clear()
