"""Problems of operators beside conv2d that were asked for before: a call like an earlier one is not checked again.

The checks of a gradient take 30 us, more than a small one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from ._forks import Lock
from ._operators import OPERATORS, find

if TYPE_CHECKING:
    from ._problem import Problem

PROBLEMS = 256  # that are kept; the oldest goes when there is one more

LONGEST = 5  # of a tuple that may be right: a shape's, with three axes beside N and C; a key of a million takes 50 ms

PLAIN = frozenset({int, float, complex, str, bool, type(None)})  # of floats a problem has one zero

_problems: dict[Any, Problem] = {}
_lock = Lock()


def problem_of(operator: str, arrays: tuple[Any, ...], arguments: tuple[Any, ...], options: dict[str, Any]) -> Problem:
    """Return the problem of a call, all of it checked."""
    values = (*arguments, *options.values())
    key: Any = None
    if all(map(_is_plain, values)):  # 1, 1.0 and True are equal, and not the same to a check
        shapes = tuple([None if array is None else (array.shape, array.dtype) for array in arrays])
        key = (operator, shapes, tuple(map(type, values)), values)
    problem = _problems.get(key)
    if problem is not None:
        return problem
    made: Problem = find(OPERATORS[operator].problem)(*arrays, *arguments, **options)
    if key is not None:
        with _lock.held():
            while len(_problems) >= PROBLEMS:
                del _problems[next(iter(_problems))]
            _problems[key] = made
    return made


def _is_plain(value: object) -> bool:
    """Whether equal values of this type are the same argument."""
    if type(value) in PLAIN:
        return True
    if type(value) is tuple:
        return len(value) <= LONGEST and all(
            type(one) is int or (type(one) is tuple and len(one) <= LONGEST and all(type(x) is int for x in one))
            for one in value
        )
    return isinstance(value, np.dtype)
