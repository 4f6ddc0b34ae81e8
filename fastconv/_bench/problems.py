"""What is timed: THE OPERATOR TABLE of the benchmark, and one problem of an operator, as data."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np

Array = np.ndarray[Any, Any]


class Operator(NamedTuple):
    """One row: two arrays and a result, each with the shape of x, weight or y of the convolution that it belongs to."""

    first: str
    second: str
    result: str
    axes: str = "HW"


OPERATORS = {
    "conv2d": Operator("x", "weight", "y"),
    "conv2d_grad_input": Operator("y", "weight", "x"),
    "conv2d_grad_weight": Operator("x", "y", "weight"),
    "conv_transpose2d": Operator("y", "weight", "x"),
    "conv1d": Operator("x", "weight", "y", "W"),
    "conv3d": Operator("x", "weight", "y", "DHW"),
}


class Axis(NamedTuple):
    """One axis of a convolution."""

    size: int
    k: int
    stride: int = 1
    padding: int = 0


class Layer(NamedTuple):
    """One convolution, with a square kernel and symmetric padding; `times` is how often its network has it.

    `pixels`: the image is as in files, channels last whatever layout a run is for, and with as many groups as channels
    there is one kernel for all. `bytes`: its elements are too. `operator` is what is timed, a row of the table; all
    else says which convolution it belongs to. One of one axis has W alone, one of three has `depth` before H.
    """

    name: str
    ic: int
    ih: int
    iw: int
    oc: int
    k: int
    stride: int = 1
    padding: int = 0
    groups: int = 1
    times: int = 1
    dilation: int = 1
    pixels: bool = False
    bytes: bool = False
    operator: str = "conv2d"
    depth: Axis | None = None


class Case(NamedTuple):
    """A layer and everything else that a time depends on. `dynamic`: the image's size is known with each call only."""

    layer: Layer
    batch: int
    dtype: str
    layout: str
    threads: int
    dynamic: bool = False

    @property
    def operator(self) -> Operator:
        """The operator's row."""
        return OPERATORS[self.layer.operator]

    @property
    def axes(self) -> list[Axis]:
        """Depth, height and width, those that the operator has."""
        height, width = (
            Axis(size, self.layer.k, self.layer.stride, self.layer.padding) for size in (self.layer.ih, self.layer.iw)
        )
        axes = {"D": self.layer.depth, "H": height, "W": width}
        return [axis for letter in self.operator.axes if (axis := axes[letter]) is not None]

    @property
    def arguments(self) -> tuple[Any, Any, int, int]:
        """Stride, padding, dilation and groups; one number where all axes have the same."""
        stride, padding = (
            (each[0] if len(set(each)) == 1 else each) for each in list(zip(*self.axes, strict=True))[2:]
        )
        return stride, padding, self.layer.dilation, self.layer.groups

    @property
    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Shapes of x (N, C, …), weight (O, I, …) and y (N, C, …) of the convolution."""
        layer, axes = self.layer, self.axes
        out = ((a.size + 2 * a.padding - layer.dilation * (a.k - 1) - 1) // a.stride + 1 for a in axes)
        return {
            "x": (self.batch, layer.ic, *(a.size for a in axes)),
            "weight": (layer.oc, layer.ic // layer.groups, *(a.k for a in axes)),
            "y": (self.batch, layer.oc, *out),
        }

    @property
    def flop(self) -> int:
        """Floating-point operations: two for each product."""
        shapes = self.shapes
        return 2 * math.prod(shapes["y"]) * math.prod(shapes["weight"][1:])

    @property
    def terms(self) -> int:
        """Products in one value of the result, on average."""
        return self.flop // 2 // math.prod(self.shapes[self.operator.result])

    def order(self, array: str) -> tuple[int, ...]:
        """Return in which order x, y (of N, C, …) or weight (of O, I, …) has its axes in this layout."""
        spatial = range(2, 2 + len(self.operator.axes))
        if self.layout == "nchw":
            return (0, 1, *spatial)
        return (*spatial, 1, 0) if array == "weight" else (0, *spatial, 1)

    def x(self) -> Array:
        """Return the images, N, C, H, W."""
        shape = self.shapes["x"]
        if self.layer.bytes:
            return np.random.default_rng(1).integers(0, 256, shape, np.uint8)
        return np.random.default_rng(1).standard_normal(shape).astype(self.dtype)

    def weight(self) -> Array:
        """Return the kernels, O, I, H, W."""
        weight = np.random.default_rng(2).standard_normal(self.shapes["weight"]).astype(self.dtype)
        if self.layer.pixels and self.layer.groups > 1:
            weight[:] = weight[:1]
        return weight

    def y(self) -> Array:
        """Return what a gradient and a transpose get in place of the result, N, C, H, W."""
        return np.random.default_rng(3).standard_normal(self.shapes["y"]).astype(self.dtype)

    def operands(self) -> tuple[Array, Array]:
        """Return the operator's two arrays."""
        first, second = getattr(self, self.operator.first)(), getattr(self, self.operator.second)()
        return first, second
