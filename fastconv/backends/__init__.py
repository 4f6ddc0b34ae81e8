"""THE BACKEND TABLE: what a backend is, and which are built in. A backend's author needs this file alone.

A backend is two things:

* a *spec*, a light object (`BackendSpec`) that says where the implementation is and which arrays it takes. It is built
  in (the rows of `BUILT_IN`), registered by `register_backend`, or published by a distribution as an entry point of the
  group "fastconv.backends", whose module imports nothing heavy;
* an *implementation* (`Backend`), a class imported, instantiated and probed when the backend is first asked for.

Importing fastconv scans nothing and loads no plugin, and naming a backend imports no other plugin's spec. Which backend
computes a call is two questions, kept apart:

* *Selection*, for NumPy arrays, is the user's: `backend=`, `use_backend`, `set_default_backend`, FASTCONV_BACKEND, in
  this order, else `cpu`. A choice is strict: the backend runs, or the call raises and says why; a tuple of names is
  tried in order. Installing a plugin changes no result.
* *Type dispatch*, for arrays of other libraries: a call with an array that a backend `owns`, as x, weight, bias or out,
  goes to that backend by itself, whatever is selected for NumPy arrays; only `backend=` can name another, which must
  take such arrays too. Types are found through `sys.modules` and compared along the type's MRO, so no library is ever
  imported to recognise its arrays. Where several backends own an array of the call, the one that takes every operand
  computes it; if that is none or more than one, the call raises and names them all. What a built-in backend owns is its
  alone; others can accept it.

A backend that owns arrays keeps this contract:

* Only `shape` and `dtype` of an owned array are read before the plan has it: a tuple of integers and what `numpy.dtype`
  reads. Nothing is converted. Operands of other types are plain NumPy arrays, if the spec accepts "numpy:ndarray".
* If an operand is owned, so is the result: `plan(x, weight, bias, out, num_threads)` gets the user's `out`, an owned
  array of the right shape and dtype, or None; it returns `out`, or a new array of a type that it owns. Type, shape and
  dtype are checked, never the values, so that lazy arrays stay lazy. Empty results are asked for like others.
* If all operands are NumPy arrays, which happens where the user selects the backend, it is as any other: `out` is a
  NumPy array to write into.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple, Protocol

from .._operators import OPERATORS
from .._problem import Problem

API = 1  # version of the protocol below; a spec states the one it was written for


class BackendPlan(Protocol):
    """One problem, ready to run any number of times, from any thread.

    A plan may have more: ``explain(num_threads)``, a dict of what it would do, which gets x, weight and bias besides if
    the backend owns one of them and they are at hand; and ``prepare(weight, bias, shared)``, for `plan_conv2d`, which
    returns the same problem's plan for weights that stay the same, called as ``plan(x, out, num_threads)``. `shared` is
    a dict of the user's plan, where what is made of the weights is kept for other images. And ``error()``, for FFT and
    the like: the constant K of `conv2d_error_bound`, and how many pixels beside an output's window (rows, columns) its
    error depends on. Or ``error_bound(x, weight, bias)``, the bound itself, which may be an array of the backend's own.
    And ``pack(weight, shared, num_threads)``, for operators that are composed of several convolutions with the same
    weights: what it makes of these, kept in `shared` for other plans, and handed to the plan as one more argument. And
    ``together(plans, operands, num_threads)``, for those composed of convolutions that write between one another: all
    of `plans`, each with its (x, weight, result), computed at once; it returns whether it did.
    """

    def __call__(self, x: Any, weight: Any, bias: Any, out: Any, num_threads: int) -> Any:
        """Write the result into `out` and return it. Inputs are checked, in any layout, and are not modified.

        Of other operators than conv2d the operands come in the same three places, None where there are fewer: which
        and in what order, the `operands` of the operator's row of `fastconv._operators` say, such as (grad, weight) for
        conv2d_grad_input.
        """


class Backend(Protocol):
    """An implementation. It never sees a user's argument: a `Problem` is all there is to know.

    It may have ``cost(problem)`` too: about how many seconds the problem takes, which `explain` shows.
    """

    algorithms: tuple[str, ...]  # what `algorithm=` may name; "auto" is always among them

    def probe(self) -> str | None:
        """Return None if the backend can be used on this machine, or why not. Called once."""

    def reject(self, problem: Problem) -> str | None:
        """Return None if the problem can be computed, or why not, as a sentence. Looks at no array."""

    def plan(self, problem: Problem) -> BackendPlan:
        """Return the plan of a problem that was not rejected."""


class BackendSpec(NamedTuple):
    """A light description of a backend.

    Parameters
    ----------
    name : str
        Lower-case letters, digits and underscores, a letter first, 40 at most.
    implementation : str or callable
        "module:attribute" of a class, or a callable; called without arguments it gives a `Backend`.
    api : int
        Version of the protocol that it was written for.
    hint : str
        How to install what it needs.
    distribution : str
        Where it comes from; filled in for entry points.
    owns : tuple of str
        Array types of its own, each "module:Class", as `sys.modules` has them: calls with such arrays come by
        themselves. Not NumPy's and not Python's.
    accepts : tuple of str
        Array types that it takes besides, in the same form; "numpy:ndarray" is also whatever NumPy converts.
    operators : tuple of str
        The operators that it has: the `operator` of each problem that it gets is one of them. Others are composed from
        its conv2d, for NumPy's arrays, or refused.
    """

    name: str
    implementation: str | Callable[[], Backend]
    api: int = API
    hint: str = ""
    distribution: str = ""
    owns: tuple[str, ...] = ()
    accepts: tuple[str, ...] = ("numpy:ndarray",)
    operators: tuple[str, ...] = ("conv2d",)


BUILT_IN = (
    BackendSpec(
        "cpu",
        "fastconv.backends.cpu:CpuBackend",
        hint="sources that are not compiled? run from another folder, or compile them in place: pip install -e .",
        distribution="fastconv",
    ),
    BackendSpec(
        "reference",
        "fastconv.backends.reference:ReferenceBackend",
        distribution="fastconv",
        operators=tuple(name for name, row in OPERATORS.items() if not row.case_of),
    ),
    BackendSpec(
        "dask",
        "fastconv.backends.dask:DaskBackend",
        hint="pip install 'fastconv[dask]'",
        distribution="fastconv",
        owns=("dask.array.core:Array",),
        operators=(
            *("conv2d", "conv2d_grad_input", "conv2d_grad_weight", "conv2d_grad_bias", "conv_transpose2d"),
            *("conv3d", "conv_transpose3d", "local_conv2d", "pad2d", "unfold2d", "fold2d"),
        ),
    ),
)

# Distributions of this project by the backend that each provides: where one is asked for and not installed, the error
# says what to install. No name that is not here is guessed at, since an index may have anything under it.
DISTRIBUTIONS = {"cuda": "fastconv-cuda"}
