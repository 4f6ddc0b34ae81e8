"""Prepared convolutions: weights packed once, for any number of calls with images of any size."""

from __future__ import annotations

import operator
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from ._arguments import check_num_threads, read_each, read_integer
from ._dtypes import read_dtype
from ._error_bound import bound_of
from ._execute import execute, execute_owned
from ._explain import Explanation, record
from ._forks import Lock
from ._problem import Described, Problem, check_out, check_shape
from ._receive import Choice, receive, receive_named
from .backends._selection import selection, traces
from .backends._table import choose
from .backends._table import plan as make_plan
from .backends._types import Kinds

if TYPE_CHECKING:
    from collections.abc import Callable

    from .backends import BackendPlan

Array = np.ndarray[Any, Any]

SHAPES = 64  # shapes of images that a plan remembers; the oldest goes when there is one more


class Ready(NamedTuple):
    """What a plan knows of images of one shape."""

    name: str  # of the backend
    source: str  # of its choice
    kinds: Kinds
    problem: Problem
    plan: Any  # of the backend, prepared if it can be
    run: Callable[[Any, Any, int], Any]


class Plan:
    """A convolution with its weights, ready for images. Made by `plan_conv2d`.

    ``plan(x, out=None, num_threads=None)`` is the result of `conv2d` with the arguments that the plan was made with. It
    may be called from many threads at once, pickled, and printed, which says what computes images of each shape that it
    has met, and why.

    Attributes
    ----------
    weight, bias : numpy.ndarray
        The plan's own copies, read-only; `bias` is None without one. Arrays that a backend owns are kept as they are.
    options : dict
        The other arguments of `plan_conv2d`.
    """

    def __init__(self, weight: Any, bias: Any, options: dict[str, Any], names: tuple[str, ...], source: str) -> None:
        (weight, bias), seen, choice = receive_named({"weight": weight, "bias": bias}, names, source)
        self.weight = _own(weight) if weight is seen[0] else weight
        self.bias = _own(bias) if bias is not None and bias is seen[1] else bias
        self.options = options
        self._names, self._source = names, source  # the user's choice for NumPy arrays
        self._seen, self._choice = seen, choice
        self._ready: dict[tuple[Any, ...], Ready] = {}
        self._shared: dict[Any, Any] = {}  # packed weights, the same for images of many shapes
        self._calls: Any = None  # the backend's own memory of whole calls, if it has one
        self._lock = Lock()

    def __call__(self, x: Any, out: Array | None = None, num_threads: int | None = None) -> Any:
        """Return the convolution of `x` with the plan's weights.

        Parameters
        ----------
        x : array_like
            Images, as for `conv2d`.
        out : numpy.ndarray, optional
            Array to write the result into, as for `conv2d`.
        num_threads : int, optional
            Most threads to use, as for `conv2d`.

        Returns
        -------
        numpy.ndarray
            The result; `out` if that was given.

        Raises
        ------
        ValueError, TypeError, MemoryError, BackendError
            As `conv2d`.
        """
        if self._calls is not None and not traces():
            known: Array | None = self._calls.run(x, num_threads, out)
            if known is not None:
                return known
        count = check_num_threads(num_threads)
        operands, seen, choice = receive((x, self.weight, self.bias), out, self._names, self._source)
        x = operands[0]
        ready = self._prepare(seen, choice)
        problem = ready.problem
        y: Any
        if choice[2]:
            y = execute_owned(ready.name, problem, ready.run, (x,), out, count)
        else:
            if out is not None:
                check_out(problem, out)
            if 0 in problem.out_shape:
                y = np.empty(problem.out_shape, problem.dtype) if out is None else out
            else:
                y = execute(ready.name, problem, ready.run, (x,), out, count)
                remember = getattr(ready.plan, "remember_image", None)
                if remember is not None:
                    with self._lock.held():
                        self._calls = remember(self._calls, x)
        if traces():
            record(problem, *choice, count, ready.plan, operands if choice[2] else ())
        return y

    def explain(self, x_shape: tuple[int, ...], x_dtype: Any = None, num_threads: int | None = None) -> Explanation:
        """Say what the plan does with images of a shape, and why.

        Parameters
        ----------
        x_shape : tuple of int
            Their shape.
        x_dtype : dtype, optional
            Their dtype; by default the weight's.
        num_threads : int, optional
            As for a call.

        Returns
        -------
        Explanation
            As from `fastconv.explain`.
        """
        count = check_num_threads(num_threads)
        ready = self._expect(x_shape, x_dtype)
        return Explanation.of(ready.problem, (ready.name,), ready.source, ready.kinds, count, ready.plan)

    def error_bound(self, x: Any) -> Array:
        """Return the most by which each element of the plan's result for `x` may differ from the exact one.

        Parameters
        ----------
        x : array_like
            Images, as for a call.

        Returns
        -------
        numpy.ndarray
            The bound, float64, in the shape of the result: as from `conv2d_error_bound`, but of the algorithm that the
            plan chose, which need not be that of `conv2d`.

        Raises
        ------
        ValueError, TypeError, BackendError
            As `conv2d`.

        Examples
        --------
        >>> import numpy as np
        >>> from fastconv import plan_conv2d
        >>> plan = plan_conv2d(np.full((1, 1, 3, 3), 0.1, np.float32))
        >>> bool(plan.error_bound(np.ones((8, 8), np.float32)[None]).max() < 1e-6)
        True
        """
        operands, seen, choice = receive((x, self.weight, self.bias), None, self._names, self._source)
        ready = self._prepare(seen, choice)
        return bound_of(ready.problem, ready.plan, operands, choice[2])

    def _expect(self, x_shape: tuple[int, ...], x_dtype: Any) -> Ready:
        dtype = self._seen[0].dtype if x_dtype is None else read_dtype("x_dtype", x_dtype)
        return self._prepare((Described(check_shape("x_shape", x_shape).shape, dtype), *self._seen), self._choice)

    def _prepare(self, seen: tuple[Any, Any, Any], choice: Choice) -> Ready:
        names, source, kinds = choice
        key = (seen[0].shape, seen[0].dtype, kinds)
        ready = self._ready.get(key)
        if ready is not None:
            return ready
        problem = Problem.of(*seen, **self.options)
        name, plan = make_plan(names, problem, kinds)
        prepare = getattr(plan, "prepare", None)
        with self._lock.held():
            if prepare is None:
                ready = Ready(name, source, kinds, problem, plan, self._unprepared(plan))
            else:
                prepared = prepare(self.weight, self.bias, self._shared)
                ready = Ready(name, source, kinds, problem, prepared, prepared)
            while len(self._ready) >= SHAPES:
                del self._ready[next(iter(self._ready))]
            self._ready[key] = ready
        return ready

    def _unprepared(self, plan: BackendPlan) -> Callable[[Any, Any, int], Any]:
        return lambda x, y, count: plan(x, self.weight, self.bias, y, count)

    def __reduce__(self) -> tuple[Any, ...]:
        return _restore, (self.weight, self.bias, self.options, self._names, self._source)

    def __str__(self) -> str:
        options = ", ".join(f"{name}={value!r}" for name, value in self.options.items())
        bias = "" if self.bias is None else f", bias {self.bias.dtype}"
        lines = [f"plan of conv2d, weight {self.weight.shape} {self.weight.dtype}{bias}: {options}"]
        ready = list(self._ready.values())
        if not ready:
            lines.append("no image yet: what computes it is chosen for each shape when it first comes, or by x_shape=")
        for one in ready:
            lines += ["", str(Explanation.of(one.problem, (one.name,), one.source, one.kinds, 0, one.plan))]
        return "\n".join(lines)

    def __repr__(self) -> str:
        count = len(self._ready)
        return f"<fastconv.Plan: weight {self.weight.shape} {self.weight.dtype}, {count} shapes of images met>"


def plan_conv2d(
    weight: Any,
    bias: Any = None,
    stride: Any = 1,
    padding: Any = 0,
    dilation: Any = 1,
    groups: int = 1,
    *,
    padding_mode: str = "constant",
    fill_value: complex = 0,
    flip: bool = False,
    data_format: str = "NCHW",
    weight_format: str | None = None,
    dtype: Any = None,
    algorithm: str = "auto",
    backend: Any = None,
    x_shape: tuple[int, ...] | None = None,
    x_dtype: Any = None,
) -> Plan:
    """Prepare a convolution whose weights stay the same from call to call.

    The weights are copied, and packed as the fastest algorithm for them wants it, once; a call of the plan then costs
    less than one of `conv2d`, most of all where weights are many and images small.

    Parameters
    ----------
    weight, bias, stride, padding, dilation, groups, padding_mode, fill_value, flip, data_format, weight_format, \
dtype, algorithm, backend
        As for `conv2d`. The backend is chosen now: a later `use_backend` does not change it.
    x_shape : tuple of int, optional
        Shape of the images to prepare for now; other shapes are prepared for when the first image of each comes.
    x_dtype : dtype, optional
        Their dtype; by default the weight's.

    Returns
    -------
    Plan
        Call it with images. With ``algorithm="direct"`` its results have the same bits as those of `conv2d`.

    Raises
    ------
    ValueError, TypeError, BackendError
        As `conv2d`.

    Notes
    -----
    A plan holds a copy of the weights and of what they were packed into, and knowledge of the last 64 shapes of images.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv import conv2d, plan_conv2d
    >>> weight = np.ones((8, 3, 3, 3), np.float32)
    >>> plan = plan_conv2d(weight, padding=1)
    >>> x = np.ones((1, 3, 16, 16), np.float32)
    >>> bool((plan(x) == conv2d(x, weight, padding=1)).all())
    True
    """
    options = {
        "stride": stride, "padding": padding, "dilation": dilation, "groups": groups, "padding_mode": padding_mode,
        "fill_value": fill_value, "flip": flip, "data_format": data_format, "weight_format": weight_format,
        "dtype": dtype, "algorithm": algorithm,
    }  # fmt: skip
    names, source = selection(backend)
    _, seen, choice = receive_named({"weight": weight, "bias": bias}, names, source)
    problem = Problem.of(_smallest_image(seen[0], options), *seen, **options)
    choose(choice[0], problem, choice[2])
    plan = Plan(weight, bias, {name: _frozen(value) for name, value in options.items()}, names, source)
    if x_shape is not None:
        plan._expect(x_shape, x_dtype)
    return plan


def _own(array: Array) -> Array:
    try:
        copy = np.array(array, order="C", subok=False)
    except (MemoryError, ValueError) as error:  # NumPy's "array is too big" is a ValueError
        raise MemoryError(f"there is no memory for a copy of weights of shape {array.shape}, {array.dtype}.") from error
    copy.flags.writeable = False
    return copy


def _frozen(value: Any) -> Any:
    """An option that passed the checks, as it is now: what the caller changes later does not change the plan."""
    if isinstance(value, np.ndarray):
        value = value.tolist()
    if isinstance(value, tuple | list):
        return tuple(map(_frozen, value))
    is_integer = hasattr(value, "__index__") and not isinstance(value, bool | np.bool_)
    return operator.index(value) if is_integer else value


def _smallest_image(weight: Array | Described, options: dict[str, Any]) -> Described:
    """An image that goes with the weights, if any does: what is wrong with them is found without a real one."""
    letters = options["data_format"] if isinstance(options["data_format"], str) else "NCHW"
    named = options["weight_format"]
    axes = named if isinstance(named, str) else "OIHW" if letters.find("C") < letters.find("H") else "HWIO"
    if len(weight.shape) == 2:
        letters = axes = "HW"
    sizes = dict(zip(axes.upper(), weight.shape, strict=False))
    dh, dw = read_each("dilation", options["dilation"], 1)
    extents = {
        "N": 1,
        "C": sizes.get("I", 1) * read_integer("groups", options["groups"], 1),
        "H": (sizes.get("H", 1) - 1) * dh + 1,
        "W": (sizes.get("W", 1) - 1) * dw + 1,
    }
    shape = tuple(extents.get(letter, 1) for letter in letters.upper())
    return Described(shape, weight.dtype)


def _restore(weight: Any, bias: Any, options: dict[str, Any], names: tuple[str, ...], source: str) -> Plan:
    return Plan(weight, bias, options, names, source)
