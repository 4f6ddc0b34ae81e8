"""Operands as they come: NumPy's arrays coerced, arrays that a backend owns left alone, the backends to try chosen."""

from __future__ import annotations

from typing import Any

import numpy as np

from ._problem import check_array, describe
from .backends._types import Kinds, route

ndarray = np.ndarray

PLAIN = frozenset({ndarray, list, tuple, type(None)})  # the usual, told apart without a look at any table

Choice = tuple[tuple[str, ...], str, Kinds]  # the backends to try, where that comes from, the operands' types


def receive(operands: tuple[Any, Any, Any], out: Any, names: tuple[str, ...], source: str) -> tuple[Any, Any, Choice]:
    """Return (x, weight, bias) as a plan takes them, what `Problem.of` reads of each, and who is to be asked.

    `names` and `source` are the user's choice for NumPy arrays.
    """
    x, weight, bias = operands
    if type(x) in PLAIN and type(weight) in PLAIN and type(bias) in PLAIN and type(out) in PLAIN:
        if type(x) is not ndarray or type(weight) is not ndarray or type(bias) is not ndarray:
            bias = None if bias is None else check_array("bias", bias)
            operands = check_array("x", x), check_array("weight", weight), bias
        return operands, operands, (names, source, ())
    return receive_named({"x": x, "weight": weight, "bias": bias, "out": out}, names, source)


def receive_named(named: dict[str, Any], names: tuple[str, ...], source: str) -> tuple[Any, Any, Choice]:
    """`receive` for some of the operands, by name."""
    plain = all(type(value) in PLAIN for value in named.values())
    choice: Choice = (names, source, ()) if plain else route(named, names, source)
    owned = {name for name, kind in choice[2] if kind is not ndarray}
    named.pop("out", None)
    taken = tuple(
        value if name in owned or (value is None and name == "bias") else check_array(name, value)
        for name, value in named.items()
    )
    if not owned:
        return taken, taken, choice
    seen = tuple(describe(name, value) if name in owned else value for name, value in zip(named, taken, strict=True))
    return taken, seen, choice
