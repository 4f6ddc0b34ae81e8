"""Arguments of the public functions: what each may be, as Python values, and how messages show what was got.

Nothing here knows a convolution; `_problem` puts the values together. What a user passes may run code of theirs
(`__index__`), be a subclass of what it seems, or have a repr of megabytes; what leaves here is plain and bounded.
"""

from __future__ import annotations

import operator
from typing import NamedTuple

import numpy as np

LIMIT = 2**63 - 1  # the kernels count elements and bytes in int64

# NumPy's name of a padding mode, and what the same extension is called elsewhere (PyTorch, TensorFlow).
PADDING_MODES = ("constant", "reflect", "symmetric", "edge", "wrap")
PADDING_MODE_ALIASES = {"zeros": "constant", "replicate": "edge", "circular": "wrap"}

PADDING_NAMES = ("valid", "same", "same_lower", "full")


class Space(NamedTuple):
    """The axes that a kernel moves along, and how messages speak of what has a value for each."""

    letters: str
    names: tuple[str, ...]
    each: str
    pads: str
    sides: str


LINE = Space("W", ("width",), "(width,)", "(pw,)", "((left, right),)")
PLANE = Space("HW", ("height", "width"), "a pair (height, width)", "(ph, pw)", "((top, bottom), (left, right))")
VOLUME = Space(
    "DHW",
    ("depth", "height", "width"),
    "a triple (depth, height, width)",
    "(pd, ph, pw)",
    "((front, back), (top, bottom), (left, right))",
)


def read_integer(name: str, value: object, minimum: int) -> int:
    """An integer through `__index__`; a bool is not one, whatever Python says."""
    if type(value) is not int:
        if isinstance(value, bool | np.bool_):
            raise TypeError(f"{name} must be an integer, got the bool {value}.")
        if isinstance(value, np.ma.MaskedArray):  # its __index__ ignores the mask
            raise TypeError(f"{name} must be an integer, got {show(value)}.")
        try:
            value = operator.index(value)  # type: ignore[arg-type]
        except TypeError as error:
            raise TypeError(f"{name} must be an integer, got {show(value)}.") from error
    if value < minimum:
        raise ValueError(f"{name} must be at least {minimum}, got {show(value)}.")
    if value > LIMIT:
        raise ValueError(f"{name} must be less than 2**63, got {show(value)}.")
    return int(value)


def read_each(name: str, value: object, minimum: int, space: Space = PLANE) -> tuple[int, ...]:
    """An integer for each axis, such as height and width, from as many or from one for all."""
    items = _items(value)
    if items is None:
        return (read_integer(name, value, minimum),) * len(space.letters)
    if len(items) != len(space.letters):
        raise ValueError(f"{name} must be an int or {space.each}, got {show(value)}.")
    return tuple(read_integer(name, item, minimum) for item in items)


def read_number(name: str, value: object) -> complex:
    """A Python int, float or complex, from any numeric scalar."""
    if isinstance(value, np.ndarray) and value.ndim == 0 and not isinstance(value, np.ma.MaskedArray):
        value = value[()]
    if isinstance(value, np.generic) and value.dtype.kind in "biufc":  # no timedelta64, whose item may be an int
        value = value.item()
    if isinstance(value, int):  # plain ones, also of bools and subclasses
        return int(value)
    if isinstance(value, float):
        return float(value)
    if isinstance(value, complex):
        return complex(value)
    raise TypeError(f"{name} must be a number, got {show(value)}.")


def read_flag(name: str, value: object) -> bool:
    """A bool, and nothing that merely counts as one."""
    if isinstance(value, bool | np.bool_):
        return bool(value)
    raise TypeError(f"{name} must be True or False, got {show(value)}.")


def read_name(name: str, value: object) -> str:
    """A name in lower case."""
    if isinstance(value, str):
        return value.lower() if len(value) <= 40 else value
    raise TypeError(f"{name} must be a string, got {show(value)}.")


def read_padding(value: object, space: Space = PLANE) -> str | tuple[tuple[int, int], ...]:
    """Padding in pixels, such as ((top, bottom), (left, right)), or the name of a rule."""
    if isinstance(value, str):
        if (name := read_name("padding", value)) in PADDING_NAMES:
            return name
        raise ValueError(
            f"padding must be one of {', '.join(PADDING_NAMES)}, an int, {space.pads} or {space.sides}, "
            f"got {show(value)}."
        )
    items = _items(value)
    if items is None:
        p = read_integer("padding", value, 0)
        return ((p, p),) * len(space.letters)
    if len(items) != len(space.letters):
        raise ValueError(
            f"padding must be an int, {space.pads}, {space.sides} or a name, got {show(value)}; flat "
            "sequences of other lengths are ordered differently by every library and are not accepted."
        )
    pairs = [_items(item) for item in items]
    if not any(pair is not None for pair in pairs):
        widths = [read_integer("padding", item, 0) for item in items]
        return tuple((p, p) for p in widths)
    if any(pair is None or len(pair) != 2 for pair in pairs):
        raise ValueError(f"padding must be {space.pads} or {space.sides}, got {show(value)}.")
    sides = [[read_integer("padding", item, 0) for item in pair or ()] for pair in pairs]
    return tuple((before, after) for before, after in sides)


def read_padding_mode(value: object) -> str:
    """NumPy's name of a padding mode."""
    name = read_name("padding_mode", value)
    name = PADDING_MODE_ALIASES.get(name, name)
    if name not in PADDING_MODES:
        known = ", ".join((*PADDING_MODES, *PADDING_MODE_ALIASES))
        raise ValueError(f"padding_mode must be one of {known}, got {show(value)}.")
    return name


def read_axes(name: str, value: object, letters: str, choices: tuple[str, ...]) -> str:
    """The letters of an array's axes in order, upper case."""
    if not isinstance(value, str):
        raise TypeError(f"{name} must be a string such as {letters!r}, got {kind_of(value)}.")
    upper = value.upper() if len(value) <= len(letters) else ""
    if sorted(upper) not in [sorted(choice) for choice in choices]:
        raise ValueError(f"{name} must be the letters of {' or '.join(choices)} in any order, got {show(value)}.")
    return upper


def _items(value: object) -> list[object] | tuple[object, ...] | None:
    """The items of a sequence of arguments, or None if `value` is a single one."""
    if isinstance(value, np.ndarray) and value.ndim:
        return list(value[:5])  # of a longer one only the length matters, and five is already wrong
    return value if isinstance(value, list | tuple) else None


def kind_of(value: object) -> str:
    """What a value of the wrong kind is, for a message."""
    return "None" if value is None else f"an object of type {clip(type(value).__name__, 60)}"


def show(value: object, depth: int = 2) -> str:
    """A short, safe text for a message: never an array's contents, a foreign repr, or a thousand digits."""
    if type(value) is int and abs(value) >= 10**24:
        return f"an integer of {value.bit_length()} bits"
    if type(value) in (tuple, list) and depth:
        items = [show(item, depth - 1) for item in value[:6]]  # type: ignore[index]
        more = len(value) - len(items)  # type: ignore[arg-type]
        inner = ", ".join(items) + (f", … {more} more" if more else "")
        if type(value) is list:
            return f"[{inner}]"
        return f"({inner},)" if len(items) == 1 else f"({inner})"
    if value is None or type(value) in (bool, int, float, complex):
        return repr(value)
    if type(value) in (str, bytes):
        return clip(repr(value[:60]), 60)  # type: ignore[index]
    return kind_of(value)


def clip(text: str, length: int = 200) -> str:
    """A text cut to a length, for a message."""
    return text if len(text) <= length else text[: length - 1] + "…"


def told(value: object, length: int = 200) -> str:
    """What foreign code says, a reason or an exception, for a message: cut, and plain whatever its `__str__` does."""
    try:
        text = str.__str__(value) if isinstance(value, str) else str.__str__(str(value))
    except Exception:
        text = kind_of(value)
    return clip(text, length)


def check_num_threads(num_threads: object) -> int:
    """Return the thread count asked for, 0 where the choice is the library's."""
    return 0 if num_threads is None else min(read_integer("num_threads", num_threads, 1), 2**31 - 1)  # a C int
