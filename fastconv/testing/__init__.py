"""Random problems over the whole argument space of `conv2d`, and a judge that knows what each result may be.

A seed is a problem: ``random_call(seed)`` gives the same arrays and arguments on every machine, so a failure is
reported as one number. `check_call` compares any backend with the reference backend: exactly where the arithmetic is
exact, within the proved componentwise bound where it rounds, and in the pattern of NaN and infinities always.
"""

from ._calls import Call, random_call
from ._judge import MismatchError, check_call, error_bound

__all__ = ["Call", "MismatchError", "check_call", "error_bound", "random_call"]
