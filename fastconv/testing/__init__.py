"""Is a backend right? Random calls of `conv2d`, a judge of their results, and a conformance kit made of both.

A seed is a call: ``random_call(seed)`` gives the same arrays and arguments on every machine, so a failure is reported
as one number. `check_call` compares a backend's result with the reference backend's: exactly where the arithmetic is
exact, within the proved componentwise bound where it rounds, and in the pattern of NaN and infinities always.

`BackendConformance` is the kit: subclass it, name your backend, run pytest. Without a line of code, with pytest and
hypothesis installed (``pip install 'fastconv[testing]'``)::

    pytest -p fastconv.testing.plugin --fastconv-backend=NAME

`strategies` are Hypothesis's, for calls. Both are imported when they are first asked for.
"""

from typing import TYPE_CHECKING, Any

from ._calls import Call, random_call
from ._judge import MismatchError, check_call, error_bound, judge

if TYPE_CHECKING:
    from . import strategies
    from .conformance import BackendConformance

__all__ = [
    "BackendConformance",
    "Call",
    "MismatchError",
    "check_call",
    "error_bound",
    "judge",
    "random_call",
    "strategies",
]


def __getattr__(name: str) -> Any:
    import importlib

    if name == "BackendConformance":
        return importlib.import_module(".conformance", __name__).BackendConformance
    if name == "strategies":
        return importlib.import_module(".strategies", __name__)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
