"""The public functions: coerce arrays, describe the problem, choose the backend, keep its plan."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from ._arguments import check_num_threads, read_name, show
from ._execute import execute, execute_owned
from ._explain import Explanation, record
from ._forks import Lock
from ._operators import OPERATORS, find
from ._problem import Problem, check_out, check_shape, of_conv1d
from ._problems import problem_of
from ._receive import receive, receive_named
from .backends import BackendPlan
from .backends._selection import is_default, selection, traces
from .backends._table import choose
from .backends._table import plan as make_plan
from .backends._types import Kinds

ndarray = np.ndarray

Array = np.ndarray[Any, Any]

PLANS = 256  # plans that are kept; the oldest goes when there is one more

_plans: dict[tuple[str, Problem, Kinds | None], BackendPlan] = {}
_calls: Any = None  # the default backend's own memory of whole calls of conv2d, once it has computed one
_calls_conv1d: Any = None  # and of conv1d; arrays of three axes are signals to one and an image to the other
_plans_lock = Lock()


def conv2d(
    x: Any,
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
    out: Array | None = None,
    algorithm: str = "auto",
    backend: Any = None,
    num_threads: int | None = None,
) -> Array:
    r"""Two-dimensional cross-correlation, summed over input channels.

    .. math:: y_{n,o,i,j} = b_o + \sum_{c,a,b} w_{o,c,a,b} \, x_{n,c,\; i s_h + a d_h - p_t,\; j s_w + b d_w - p_l}

    Parameters
    ----------
    x : array_like
        Images, shape ``(N, C, H, W)`` in the order of `data_format`; ``(C, H, W)``, one image; or ``(H, W)``, one
        channel of one image. Any strides, byte order and alignment; it is read where it lies.
    weight : array_like
        Kernels, shape ``(O, C / groups, kh, kw)`` in the order of `weight_format`; ``(kh, kw)`` for ``(H, W)``.
    bias : array_like of shape (O,), optional
        Added to each output channel.
    stride : int or (int, int)
        Step between outputs, in pixels: height, width.
    padding : int, (int, int), ((int, int), (int, int)) or str
        Pixels around the image: on all sides; (height, width) on both sides each; or ((top, bottom), (left, right)).
        By name: ``"valid"``, none; ``"same"``, ``ceil(size / stride)`` outputs, the odd pixel after the image
        (TensorFlow's and ONNX's SAME_UPPER, PyTorch's ``"same"``); ``"same_lower"``, the odd pixel before it;
        ``"full"``, every output that touches the image.
    dilation : int or (int, int)
        Distance between taps of the kernel, in pixels: height, width.
    groups : int
        Number of groups that the channels are divided into; output channels of a group see its input channels alone.
        ``groups=C`` is depthwise convolution, with ``O / C`` outputs a channel.
    padding_mode : {"constant", "reflect", "symmetric", "edge", "wrap"}
        What lies outside the image, in the meaning of `numpy.pad`, at any width. ``"zeros"``, ``"replicate"`` and
        ``"circular"`` are other names of constant, edge and wrap.
    fill_value : number
        The value outside the image with ``padding_mode="constant"``.
    flip : bool
        Flip the kernel in both spatial axes: true convolution instead of cross-correlation.
    data_format : str
        The axes of `x` and of the result: any order of N, C, H and W. N may be left out.
    weight_format : str, optional
        The axes of `weight`: any order of O, I, H and W. By default OIHW where C stands before H in `data_format`, HWIO
        otherwise.
    dtype : dtype, optional
        The result's. By default `numpy.result_type` of the arguments for floats and complex numbers; for integers
        int64, or uint64 where all are unsigned.
    out : numpy.ndarray, optional
        Array to write the result into, of its shape and dtype, with any strides. It may overlap the arguments.
    algorithm : str
        ``"auto"``, the fastest; ``"direct"``, one chain of fused multiply-adds an output; or another by name, which
        then computes it or raises. By default what the environment variable FASTCONV_ALGORITHM says, or ``"auto"``.
    backend : str or tuple of str, optional
        Who computes it; a tuple is tried in order. By default what `use_backend`, `set_default_backend` or the
        environment variable FASTCONV_BACKEND say, or ``"cpu"``. Arrays of a library whose type a backend owns, such as
        Dask's, go to that backend by themselves.
    num_threads : int, optional
        Most threads to use. By default OpenMP's setting, no more than the processors this process may use.

    Returns
    -------
    numpy.ndarray
        The result, in the order of `data_format`, C-contiguous; `out` if that was given. An array of another library
        where an operand is one that a backend owns.

    Raises
    ------
    ValueError
        Shapes or values do not fit; nothing has been allocated or written.
    TypeError
        An argument is of the wrong kind; nothing has been allocated or written.
    MemoryError
        There is no memory for the result.
    BackendError
        The backend asked for can't compute this.

    Notes
    -----
    What is computed is the cross-correlation that neural networks call convolution; ``flip=True`` gives the
    mathematical convolution. Complex kernels are not conjugated.

    Each output of ``algorithm="direct"`` is one chain of fused multiply-adds in an order that depends on the kernel's
    shape alone, from +0, with the bias added last. Hence the componentwise bound
    :math:`|\hat y - y| \le \gamma_{n+1} (\sum |x||w| + |b|)` with :math:`n = C k_h k_w / groups` (Higham, *Accuracy and
    Stability of Numerical Algorithms*, 2nd ed., section 3.1), exact sums of small integers, and the same bits for every
    number of threads, batch, layout, alignment and instruction set.

    ``"auto"`` takes a faster algorithm where there is one, such as Winograd's minimal filtering for 3 × 3 kernels and
    16 channels or more (Lavin and Gray, 2015, arXiv 1509.09308), or float32 as three of bfloat16 on processors with
    matrix tiles for them (AMX). Its error is bounded too (`conv2d_error_bound`); its bits are the same from run to run,
    for every number of threads and whatever else is in the batch; and NaN and infinities reach exactly the outputs
    whose window touches them.

    Integers are summed exactly, modulo 2\ :sup:`64`, and a narrower integer `dtype` is reduced modulo its own range, as
    `numpy.sum` does. float16 and bfloat16 are accumulated in float32. Padding is a value like any other: 0 times Inf is
    NaN there too.

    N = 0 or O = 0 give an empty result. The cost is ``N * O * OH * OW * C / groups * kh * kw`` multiply-adds, whatever
    the padding.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv import conv2d
    >>> image = np.arange(12.0).reshape(3, 4)
    >>> conv2d(image, [[1.0, -1.0]])
    array([[-1., -1., -1.],
           [-1., -1., -1.],
           [-1., -1., -1.]])

    A batch of two colour images, channels last, and eight kernels at half the resolution:

    >>> x = np.ones((2, 32, 32, 3), np.float32)
    >>> weight = np.ones((3, 3, 3, 8), np.float32)
    >>> conv2d(x, weight, stride=2, padding="same", data_format="NHWC").shape
    (2, 16, 16, 8)
    """
    arguments = (
        x, weight, bias, stride, padding, dilation, groups, padding_mode, fill_value, flip, data_format, weight_format,
        dtype, algorithm,
    )  # fmt: skip
    by_default = backend is None and is_default()
    if by_default and _calls is not None:
        known: Array | None = _calls.run(*arguments, num_threads, out)
        if known is not None:
            return known
    return _check_and_compute(Problem.of, arguments, by_default, out, backend, num_threads)


def call_conv1d(arguments: tuple[Any, ...], out: Any, backend: Any, num_threads: Any) -> Array:
    """Return the result of conv1d, whose `arguments` are in the order of conv2d's."""
    by_default = backend is None and is_default()
    if by_default and _calls_conv1d is not None:
        known: Array | None = _calls_conv1d.run(*arguments, num_threads, out)
        if known is not None:
            return known
    return _check_and_compute(of_conv1d, arguments, by_default, out, backend, num_threads)


def _check_and_compute(
    problem_of: Callable[..., Problem],
    arguments: tuple[Any, ...],
    by_default: bool,
    out: Any,
    backend: Any,
    num_threads: Any,
) -> Array:
    """Return the result of a call that is not remembered, and remember it."""
    global _calls, _calls_conv1d
    (
        x, weight, bias, stride, padding, dilation, groups, padding_mode, fill_value, flip, data_format, weight_format,
        dtype, algorithm,
    ) = arguments  # fmt: skip
    num_threads = check_num_threads(num_threads)
    names, source = selection(backend)
    kinds: Kinds = ()
    seen_x, seen_weight, seen_bias = x, weight, bias
    if not (  # NumPy's arrays alone need no look at who owns them
        type(x) is ndarray
        and type(weight) is ndarray
        and (bias is None or type(bias) is ndarray)
        and (out is None or type(out) is ndarray)
    ):
        (x, weight, bias), (seen_x, seen_weight, seen_bias), (names, source, kinds) = receive(
            (x, weight, bias), out, names, source
        )
    problem = problem_of(
        seen_x, seen_weight, seen_bias, stride, padding, dilation, groups, padding_mode=padding_mode,
        fill_value=fill_value, flip=flip, data_format=data_format, weight_format=weight_format, dtype=dtype,
        algorithm=algorithm,
    )  # fmt: skip
    y: Array
    y, plan = compute(problem, names, source, kinds, (x, weight, bias), out, num_threads)
    remember = getattr(plan, "remember", None) if by_default and not kinds else None
    if remember is not None and problem_of is of_conv1d:
        _calls_conv1d = remember(_calls_conv1d, arguments)
    elif remember is not None:
        _calls = remember(_calls, arguments)
    return y


def compute(
    problem: Problem,
    names: tuple[str, ...],
    source: str,
    kinds: Kinds,
    operands: tuple[Any, ...],
    out: Any,
    num_threads: int,
) -> tuple[Any, BackendPlan | None]:
    """Return the result of a problem of any operator, and the plan that computed it if there was something to compute.

    `names`, `source` and `kinds` are who is to be asked, as `receive` gives it; `operands` are three, or None.
    """
    plan = None
    if kinds:
        name, plan = _plan(names, problem, kinds)
        y = execute_owned(name, problem, plan, operands, out, num_threads)
    elif problem.is_empty:
        y = _empty(names, problem, out)
    else:
        if out is not None:
            check_out(problem, out)
        name, plan = _plan(names, problem, kinds)
        y = execute(name, problem, plan, operands, out, num_threads)
    if traces():
        record(problem, names, source, kinds, num_threads, plan, operands if kinds else ())
    return y, plan


def call(
    operator: str,
    operands: tuple[Any, ...],
    arguments: tuple[Any, ...],
    options: dict[str, Any],
    out: Any,
    backend: Any,
    num_threads: Any,
) -> Array:
    """Return the result of a call of an operator of the table, whose function has nothing to do but this."""
    row = OPERATORS[operator]
    num_threads = check_num_threads(num_threads)
    names, source = selection(backend)
    named = dict(zip(row.operands, operands, strict=True))
    taken, seen, choice = receive_named({**named, "out": out}, names, source)
    problem = problem_of(operator, seen, arguments, options)
    result: Array = compute(problem, *choice, (*taken, None, None)[:3], out, num_threads)[0]
    return result


def explain(
    x: Any,
    weight: Any = None,
    bias: Any = None,
    stride: Any = 1,
    padding: Any = 0,
    dilation: Any = 1,
    groups: int = 1,
    *,
    operator: str = "conv2d",
    backend: Any = None,
    num_threads: int | None = None,
    **options: Any,
) -> Explanation:
    """Say what `conv2d` would do with the same arguments, and why, without computing anything.

    Parameters
    ----------
    x, weight, bias, stride, padding, dilation, groups, backend, num_threads, **options
        As for `conv2d`, except `out`.
    operator : str
        The name of another function, such as ``"conv2d_grad_input"``; the arguments are then that function's, in its
        order.

    Returns
    -------
    Explanation
        Prints as a short report; `to_dict` gives the same as data.

    Examples
    --------
    >>> import numpy as np, fastconv
    >>> report = fastconv.explain(np.ones((8, 8)), np.ones((3, 3)), backend="cpu")
    >>> report.backend, report.source
    ('cpu', 'backend=')
    """
    num_threads = check_num_threads(num_threads)
    names, source = selection(backend)
    operator = read_name("operator", operator)
    if operator not in OPERATORS:
        raise ValueError(f"operator must be one of {', '.join(OPERATORS)}, got {show(operator)}.")
    given = dict(zip(OPERATORS[operator].operands, (x, weight, bias), strict=False))
    rest = (*(x, weight, bias)[len(given) :], stride, padding, dilation, groups)
    operands, seen, choice = receive_named(given, names, source)
    problem = find(OPERATORS[operator].problem)(*seen, *rest, **options)
    return Explanation.of(problem, *choice, num_threads, operands=operands if choice[2] else ())


def conv2d_output_shape(
    x_shape: tuple[int, ...],
    weight_shape: tuple[int, ...],
    stride: Any = 1,
    padding: Any = 0,
    dilation: Any = 1,
    groups: int = 1,
    *,
    data_format: str = "NCHW",
    weight_format: str | None = None,
) -> tuple[int, ...]:
    """Shape of the result of `conv2d` for arrays of these shapes; the same arguments, the same checks.

    Parameters
    ----------
    x_shape, weight_shape : tuple of int
        Shapes of the arrays.
    stride, padding, dilation, groups, data_format, weight_format
        As for `conv2d`.

    Returns
    -------
    tuple of int
        The shape.

    Examples
    --------
    >>> from fastconv import conv2d_output_shape
    >>> conv2d_output_shape((1, 3, 224, 224), (64, 3, 7, 7), stride=2, padding=3)
    (1, 64, 112, 112)
    """
    problem = Problem.of(
        check_shape("x_shape", x_shape), check_shape("weight_shape", weight_shape), None, stride, padding, dilation,
        groups, data_format=data_format, weight_format=weight_format,
    )  # fmt: skip
    return problem.out_shape


def _empty(names: tuple[str, ...], problem: Problem, out: Array | None) -> Array:
    """A result without elements or sums of nothing, which no plan is asked for; refused as another would be."""
    if out is not None:
        check_out(problem, out)
    choose(names, problem)
    if out is None:
        return np.zeros(problem.out_shape, problem.dtype)
    out[...] = 0
    return out


def _plan(names: tuple[str, ...], problem: Problem, kinds: Kinds | None) -> tuple[str, BackendPlan]:
    """The plan of a problem from the first backend that takes it. Plans are kept by backend, problem and types."""
    name = names[0]
    plan = _plans.get((name, problem, kinds))
    if plan is not None:
        return name, plan
    name, plan = make_plan(names, problem, kinds)
    with _plans_lock.held():
        while len(_plans) >= PLANS:
            del _plans[next(iter(_plans))]
        _plans[name, problem, kinds] = plan
    return name, plan
