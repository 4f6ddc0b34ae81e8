"""How PyTorch, ONNX Runtime, OpenVINO and JAX are asked for a convolution; rows of `peers` name these."""

from __future__ import annotations

import contextlib
import importlib
import os
from typing import TYPE_CHECKING, Any

import numpy as np

from .peer import Made, UnableError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from .problems import Array, Case


@contextlib.contextmanager
def torch_limited(threads: int) -> Iterator[None]:
    """Set PyTorch's number of threads, in inference mode, and put it back."""
    torch = importlib.import_module("torch")
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        with torch.inference_mode():
            yield
    finally:
        torch.set_num_threads(before)


# Of PyTorch's tensors, by the axes of an image.
CONTIGUOUS = dict.fromkeys(("W", "HW", "DHW"), "contiguous_format")
CHANNELS_LAST = {"HW": "channels_last", "DHW": "channels_last_3d"}


def torch(case: Case, second: Array, formats: dict[str, str]) -> Made:
    """Dense tensors, both with each call."""
    torch, operator = importlib.import_module("torch"), case.operator
    if operator.axes not in formats:
        raise UnableError(f"PyTorch has no such format for the axes {operator.axes}")
    memory = getattr(torch, formats[operator.axes])
    stride, padding, dilation, groups = case.arguments
    b = torch.from_numpy(second).contiguous(memory_format=memory)
    call: Any = getattr(torch.nn.functional, case.layer.operator, None)

    def feed(first: Array) -> Any:
        a = torch.from_numpy(first).contiguous(memory_format=memory)
        if call is None:
            return torch_gradient(
                case, a, b, a.new_zeros(case.shapes[operator.result]).contiguous(memory_format=memory)
            )
        if case.layer.operator == "conv_transpose2d":
            return lambda: call(a, b, None, stride, padding, 0, groups, dilation)
        return lambda: call(a, b, None, stride, padding, dilation, groups)

    return Made(feed, lambda y: np.asarray(y.numpy()))


def torch_gradient(case: Case, a: Any, b: Any, like: Any) -> Callable[[], Any]:
    """One gradient; `like` is the array that it belongs to, of which the shape counts alone."""
    backward = importlib.import_module("torch").ops.aten.convolution_backward
    operator, axes = case.operator, case.axes
    given = dict(zip(operator[:3], (a, b, like), strict=True))
    operands = [given[name] for name in ("y", "x", "weight")]
    mask = [operator.result == name for name in ("x", "weight", "bias")]
    stride, padding = ([axis[i] for axis in axes] for i in (2, 3))
    dilation, groups, none = [case.layer.dilation] * len(axes), case.layer.groups, [0] * len(axes)
    which = mask.index(True)
    return lambda: backward(*operands, None, stride, padding, dilation, False, none, groups, mask)[which]


def torch_prepacked(case: Case, weight: Array) -> Made:
    """Weights in oneDNN's own order, made for this size of image."""
    torch, layer = importlib.import_module("torch"), case.layer
    if case.dtype != "float32":
        raise UnableError("oneDNN has no float64")
    pairs = [(v, v) for v in (layer.padding, layer.stride, layer.dilation)]
    shape = (case.batch, layer.ic, layer.ih, layer.iw)
    packed = torch._C._nn.mkldnn_reorder_conv2d_weight(
        torch.from_numpy(weight).to_mkldnn(), *pairs, layer.groups, shape
    )

    def feed(x: Array) -> Any:
        images = torch.from_numpy(x)
        return lambda: torch.mkldnn_convolution(images, packed, None, *pairs, layer.groups)

    return Made(feed, lambda y: np.asarray(y.numpy()))


def onnxruntime(case: Case, weight: Array, constant: bool) -> Made:
    """A model of one node, all optimisations on."""
    onnx, ort = importlib.import_module("onnx"), importlib.import_module("onnxruntime")
    if case.dtype != "float32":
        raise UnableError("ONNX Runtime has no float64 convolution on processors")
    layer, helper, kind = case.layer, onnx.helper, onnx.TensorProto.FLOAT
    size = [None, None] if case.dynamic else [layer.ih, layer.iw]
    x = helper.make_tensor_value_info("x", kind, [case.batch, layer.ic, *size])
    w = helper.make_tensor_value_info("w", kind, weight.shape)
    y = helper.make_tensor_value_info("y", kind, None)
    node = helper.make_node(
        "Conv", ["x", "w"], ["y"], strides=[layer.stride] * 2, pads=[layer.padding] * 4,
        dilations=[layer.dilation] * 2, group=layer.groups,
    )  # fmt: skip
    constants = [onnx.numpy_helper.from_array(weight, "w")] if constant else []
    graph = helper.make_graph([node], "conv", [x] if constant else [x, w], [y], constants)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    options = ort.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = case.threads, 1
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_ENABLE_ALL
    session = ort.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    run = session.run

    def feed(x: Array) -> Any:
        operands = {"x": x} if constant else {"x": x, "w": weight}
        return lambda: run(None, operands)

    return Made(feed, lambda y: np.asarray(y[0]))


def openvino(case: Case, weight: Array, constant: bool) -> Made:
    """A model of one node, compiled for latency."""
    ov = importlib.import_module("openvino")
    if case.dtype != "float32":
        raise UnableError("OpenVINO computes float64 as float32 on processors")
    ops, layer = importlib.import_module("openvino.opset13"), case.layer
    size = [-1, -1] if case.dynamic else [layer.ih, layer.iw]
    x = ops.parameter(ov.PartialShape([case.batch, layer.ic, *size]), ov.Type.f32)
    oc, ic, kh, kw = weight.shape
    grouped = weight.reshape(layer.groups, oc // layer.groups, ic, kh, kw) if layer.groups > 1 else weight
    w = ops.constant(grouped) if constant else ops.parameter(ov.PartialShape(list(grouped.shape)), ov.Type.f32)
    conv = ops.group_convolution if layer.groups > 1 else ops.convolution
    y = conv(x, w, *([v, v] for v in (layer.stride, layer.padding, layer.padding, layer.dilation)))
    hints = {
        "INFERENCE_NUM_THREADS": case.threads,
        "PERFORMANCE_HINT": "LATENCY",
        "INFERENCE_PRECISION_HINT": "f32",
    }
    request = ov.Core().compile_model(ov.Model([y], [x] if constant else [x, w]), "CPU", hints).create_infer_request()

    def feed(x: Array) -> Any:
        operands = [x] if constant else [x, grouped]
        return lambda: request.infer(operands, share_inputs=True, share_outputs=True)

    return Made(feed, lambda y: np.array(y[0]))


@contextlib.contextmanager
def jax_limited(threads: int) -> Iterator[None]:
    """JAX makes its pool with its first array; to change its size the pool is made again, and all that it compiled."""
    os.putenv("PJRT_NPROC", str(threads))  # read by the C++ side, hence not through Python's copy
    jax, backend = importlib.import_module("jax"), importlib.import_module("jax.extend.backend")
    backend.clear_backends()
    before = jax.config.jax_enable_x64
    jax.config.update("jax_enable_x64", True)
    try:
        yield
    finally:
        jax.config.update("jax_enable_x64", before)
        os.unsetenv("PJRT_NPROC")


def jax(case: Case, weight: Array) -> Made:
    """A jitted function of images and weights."""
    jax, layer, nhwc = importlib.import_module("jax"), case.layer, case.layout == "nhwc"
    orders = ("NHWC", "HWIO", "NHWC") if nhwc else ("NCHW", "OIHW", "NCHW")
    kernels = jax.numpy.asarray(weight.transpose(2, 3, 1, 0) if nhwc else weight)

    def function(x: Any, w: Any) -> Any:
        return jax.lax.conv_general_dilated(
            x, w, [layer.stride] * 2, [(layer.padding, layer.padding)] * 2, rhs_dilation=[layer.dilation] * 2,
            dimension_numbers=orders, feature_group_count=layer.groups,
        )  # fmt: skip

    conv = jax.jit(function)

    def feed(x: Array) -> Any:
        images = jax.numpy.asarray(x.transpose(0, 2, 3, 1) if nhwc else x).block_until_ready()
        return lambda: conv(images, kernels).block_until_ready()

    return Made(feed, (lambda y: np.asarray(y).transpose(0, 3, 1, 2)) if nhwc else np.asarray)
