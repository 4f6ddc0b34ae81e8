"""THE OPERATOR TABLE: every function that computes, one row each. How to add one: docs/howto/add-an-operator.md.

A row names code by where it is, "module:attribute" in fastconv, and `find` imports it when it is first asked for. So
this file imports nothing, everybody may read it, and a process that calls conv2d alone never loads what others need.
"""

from __future__ import annotations

import functools
import importlib
import operator
from typing import Any, NamedTuple


class Operator(NamedTuple):
    """One operator."""

    operands: tuple[str, ...]  # its arrays, three at most, in the order of its arguments and of a plan's
    result: str  # what its result has the shape of, a name that `Problem.shape_of` knows
    problem: str  # a function of the arrays, of which it reads shape and dtype alone, and the arguments: a `Problem`
    definition: (
        str  # a function of the problem, the arrays in the widest arithmetic and `out`, for the reference backend
    )
    composition: str = ""  # a class (`backends._compose.Composition`) for backends that do not have it
    case_of: str = ""  # the operator that it is, with fewer axes: what computes that one computes it


OPERATORS = {
    "conv2d": Operator(("x", "weight", "bias"), "y", "_problem:Problem.of", "backends.reference:correlate"),
    "conv2d_grad_input": Operator(
        ("grad", "weight"),
        "x",
        "_adjoint_problems:grad_input",
        "backends._adjoints:grad_input",
        "backends._compositions:GradInput",
    ),
    "conv2d_grad_weight": Operator(
        ("x", "grad"),
        "weight",
        "_adjoint_problems:grad_weight",
        "backends._adjoints:grad_weight",
        "backends._compositions:GradWeight",
    ),
    "conv2d_grad_bias": Operator(
        ("grad",),
        "bias",
        "_adjoint_problems:grad_bias",
        "backends._adjoints:grad_bias",
        "backends._compositions:GradBias",
    ),
    "conv_transpose2d": Operator(
        ("x", "weight", "bias"),
        "x",
        "_adjoint_problems:transpose",
        "backends._adjoints:transposed",
        "backends._compositions:Transpose",
    ),
    "local_conv2d": Operator(
        ("x", "weight", "bias"),
        "y",
        "_window_problems:local",
        "backends._taps:local",
        "backends._local:Local",
    ),
    "pad2d": Operator(
        ("x",),
        "y",
        "_window_problems:pad",
        "backends._taps:unfold",
        "backends._windows:Unfold",
    ),
    "unfold2d": Operator(
        ("x",),
        "y",
        "_window_problems:unfold",
        "backends._taps:unfold",
        "backends._windows:Unfold",
    ),
    "fold2d": Operator(
        ("cols",),
        "x",
        "_window_problems:fold",
        "backends._taps:fold",
        "backends._windows:Fold",
    ),
    "conv3d": Operator(
        ("x", "weight", "bias"),
        "y",
        "_problem:of_conv3d",
        "backends._volumes:correlate",
        "backends._slices:Slices",
    ),
    "conv_transpose3d": Operator(
        ("x", "weight", "bias"),
        "x",
        "_adjoint_problems:transpose3d",
        "backends._volumes:transposed",
        "backends._transpose3d:Transpose",
    ),
}
OPERATORS |= {
    "conv1d": OPERATORS["conv2d"]._replace(problem="_problem:of_conv1d", case_of="conv2d"),
    "conv_transpose1d": OPERATORS["conv_transpose2d"]._replace(
        problem="_adjoint_problems:transpose1d", case_of="conv_transpose2d"
    ),
}


@functools.cache
def find(place: str) -> Any:
    """Return what "module:attribute" names in fastconv."""
    module, _, attribute = place.partition(":")
    return operator.attrgetter(attribute)(importlib.import_module(f".{module}", __package__))
