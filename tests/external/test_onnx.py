"""ONNX as an oracle: its node cases, its files with results from PyTorch, its networks, its own Conv.

conv1d, conv2d and conv3d take the place of the operators Conv and ConvInteger in ONNX's reference evaluator, and their
transposes that of ConvTranspose.
"""

import pathlib
import warnings

import numpy as np
import pytest

pytest.importorskip("onnx", reason="ONNX is the oracle")

import onnx
from onnx import TensorProto, helper, numpy_helper, shape_inference
from onnx.backend.test.case.node import collect_testcases
from onnx.reference import ReferenceEvaluator
from onnx.reference.op_run import OpRun

import fastconv

pytestmark = pytest.mark.semantics

DATA = pathlib.Path(onnx.__file__).parent / "backend" / "test" / "data"
PADDING = {"SAME_UPPER": "same", "SAME_LOWER": "same_lower", "VALID": "valid"}


def arguments(rank, auto_pad=None, dilations=None, group=1, kernel_shape=None, pads=None, strides=None):
    """ONNX's attributes as arguments of conv2d, or of its like for so many axes."""
    pads = tuple(pads or [0] * 2 * rank)
    padding = PADDING.get(auto_pad, tuple(zip(pads[:rank], pads[rank:], strict=True)))
    stride, dilation = tuple(strides or [1] * rank), tuple(dilations or [1] * rank)
    return {"stride": stride, "padding": padding, "dilation": dilation, "groups": group or 1}


def operators(conv2d):
    """Conv, ConvInteger and ConvTranspose for the evaluator, by conv2d and its like, and a list of the calls."""
    calls = []
    how = getattr(conv2d, "keywords", {})

    def convolve(x, weight, *bias, dtype=None, **attributes):
        calls.append((x.shape, weight.shape))
        options = arguments(x.ndim - 2, **attributes) | {"dtype": dtype}
        return getattr(fastconv, f"conv{x.ndim - 2}d")(x, weight, *bias, **options, **how)

    class ConvTranspose(OpRun):
        op_domain = ""

        def _run(
            self, x, weight, *bias, auto_pad="NOTSET", output_padding=None, output_shape=None, pads=None, **others
        ):
            calls.append((x.shape, weight.shape))
            rank = x.ndim - 2
            options = arguments(rank, pads=pads, **others)
            stride, extra = options["stride"], list(output_padding or [0] * rank)
            if auto_pad in ("SAME_UPPER", "SAME_LOWER") and output_shape is None:
                output_shape = [n * s for n, s in zip(x.shape[2:], stride, strict=True)]
            if output_shape is not None:  # then the standard derives the padding from it
                sizes = zip(
                    x.shape[2:], stride, options["dilation"], weight.shape[2:], extra, output_shape, strict=True
                )
                total = [s * (n - 1) + e + (k - 1) * d + 1 - out for n, s, d, k, e, out in sizes]
                pairs = [(t // 2, t - t // 2) if auto_pad == "SAME_UPPER" else (t - t // 2, t // 2) for t in total]
                options["padding"] = tuple(pairs)
            function = getattr(fastconv, f"conv_transpose{rank}d")
            # What is asked for beyond what the taps reach is padding below zero there, and output_padding here.
            extra = [e + max(-high, 0) for e, (_, high) in zip(extra, options["padding"], strict=True)]
            options["padding"] = tuple((low, max(high, 0)) for low, high in options["padding"])
            return (function(x, weight, *bias, output_padding=extra, **options, **how),)

    class Conv(OpRun):
        op_domain = ""

        def _run(self, *inputs, **attributes):
            return (convolve(*inputs, **attributes),)

    class ConvInteger(OpRun):
        op_domain = ""

        def _run(self, x, weight, x_zero_point=None, w_zero_point=None, **attributes):
            x, weight = x.astype(np.int32), weight.astype(np.int32)
            if x_zero_point is not None:
                x -= x_zero_point
            if w_zero_point is not None:  # one, or one for each output channel
                weight -= w_zero_point.reshape(-1, *[1] * (weight.ndim - 1))
            return (convolve(x, weight, dtype=np.int32, **attributes),)

    return [Conv, ConvInteger, ConvTranspose], calls


def count(model):
    """Number of nodes that `operators` computes."""
    return sum(node.op_type in ("Conv", "ConvInteger", "ConvTranspose") for node in model.graph.node)


def run(model, feeds, new_ops):
    return ReferenceEvaluator(model, new_ops=new_ops).run(None, feeds)


def load(path):
    return numpy_helper.to_array(TensorProto.FromString(path.read_bytes()))


# The cases that are written in Python.

NODE_CASES = {
    "test_basic_conv_with_padding",
    "test_basic_conv_without_padding",
    "test_conv_with_autopad_same",
    "test_conv_with_strides_and_asymmetric_padding",
    "test_conv_with_strides_no_padding",
    "test_conv_with_strides_padding",
    "test_convinteger_with_padding",
    "test_convinteger_without_padding",
}
TRANSPOSED = 11  # cases of ConvTranspose, of one, two and three axes
CAUSAL = 13  # cases of CausalConvWithState, a function whose body is a Conv of one axis


@pytest.fixture(scope="module")
def node_cases():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # the cases of Cast overflow while they are made
        cases = [case for case in collect_testcases(None) if count(case.model)]
    return {case.name: case for case in cases}


@pytest.mark.semantics(False)
def test_node_cases_are_all_here(node_cases):
    assert set(node_cases) >= NODE_CASES
    assert sum(name.startswith("test_causal_conv_with_state") for name in node_cases) >= CAUSAL
    assert sum(name.startswith("test_convtranspose") for name in node_cases) >= TRANSPOSED


def test_node_cases(conv2d, node_cases, subtests):
    for name, case in node_cases.items():
        with subtests.test(name):
            new_ops, calls = operators(conv2d)
            for inputs, outputs in case.data_sets:
                feeds = dict(zip((value.name for value in case.model.graph.input), inputs, strict=True))
                results = run(case.model, feeds, new_ops)
                for result, want in zip(results, outputs, strict=True):
                    # Conv's own cases are of small integers, so they are exact; the others are of random numbers.
                    rtol = 0 if name in NODE_CASES else 1e-3 if want.dtype == np.float16 else 1e-5
                    np.testing.assert_allclose(result, want, rtol=rtol, atol=rtol / 10, strict=True)
            assert len(calls) == count(case.model) * len(case.data_sets)


# The cases that lie in files, with results of PyTorch.

PATTERNS = ["pytorch-converted/test_Conv*", "pytorch-operator/test_operator_conv*"]
FILES = sorted(path.relative_to(DATA).as_posix() for pattern in PATTERNS for path in DATA.glob(pattern))


@pytest.mark.semantics(False)
def test_files_are_all_here():
    found = {path.parent.relative_to(DATA).as_posix() for path in DATA.glob("*/*/model.onnx") if count(onnx.load(path))}
    assert set(FILES) == found
    assert len(FILES) >= 8 + 11 + 7 + 2 + 2


@pytest.mark.parametrize("name", FILES)
def test_files(conv2d, name):
    model = onnx.load(DATA / name / "model.onnx")
    data = DATA / name / "test_data_set_0"
    new_ops, calls = operators(conv2d)
    weights = {tensor.name for tensor in model.graph.initializer}
    names = [value.name for value in model.graph.input if value.name not in weights]
    feeds = {name: load(data / f"input_{i}.pb") for i, name in enumerate(names)}
    (y,) = run(model, feeds, new_ops)
    np.testing.assert_allclose(y, load(data / "output_0.pb"), rtol=1e-5, atol=1e-5, strict=True)
    assert len(calls) == count(model) == 1


# Real networks. All their weights are 0.02, so what comes out shows the wiring of the layers and little else; the
# layers themselves are tried with random numbers below.

NETWORKS = {  # number of convolutions
    "bvlc_alexnet": 5,
    "densenet121": 121,
    "inception_v1": 57,
    "inception_v2": 69,
    "resnet50": 53,
    "shufflenet": 49,
    "squeezenet": 26,
    "vgg19": 16,
    "zfnet512": 5,
}


class Softmax(OpRun):
    """That of opset 9, over all axes after the first; the evaluator has opset 13's, over the last one."""

    op_domain = ""

    def _run(self, x, axis=None):
        axes = tuple(range(1, x.ndim))
        y = np.exp(x - x.max(axes, keepdims=True))
        return (y / y.sum(axes, keepdims=True),)


def network(name):
    return onnx.load(DATA / "light" / f"light_{name}.onnx")


@pytest.mark.semantics(False)
@pytest.mark.parametrize("name", NETWORKS)
def test_networks(name):
    model = network(name)
    new_ops, calls = operators(fastconv.conv2d)
    weights = {tensor.name for tensor in model.graph.initializer}
    (image,) = (value for value in model.graph.input if value.name not in weights)
    shape = [axis.dim_value for axis in image.type.tensor_type.shape.dim]
    x = (np.arange(np.prod(shape)) / np.prod(shape)).reshape(shape).astype(np.float32)
    (y,) = run(model, {image.name: x}, [*new_ops, Softmax])
    # DenseNet's stored result is off by as much from what the evaluator gives with ONNX's own Conv.
    rtol = 4e-3 if name == "densenet121" else 1e-6
    np.testing.assert_allclose(y, load(DATA / "light" / f"light_{name}_output_0.pb"), rtol=rtol, strict=True)
    assert len(calls) == count(model) == NETWORKS[name]


def layers(model):
    """Every different Conv of a network: shapes of its inputs, and the attributes."""
    graph = shape_inference.infer_shapes(model, data_prop=True).graph
    shapes = {
        value.name: tuple(axis.dim_value for axis in value.type.tensor_type.shape.dim)
        for value in (*graph.input, *graph.value_info)
    }
    found = {}
    for node in graph.node:
        if node.op_type == "Conv":
            attributes = {attribute.name: helper.get_attribute_value(attribute) for attribute in node.attribute}
            key = [shapes[name] for name in node.input], sorted(attributes.items())
            found[repr(key)] = [shapes[name] for name in node.input], attributes
    return list(found.values())


def at(outputs, stride, padding, dilation, groups):
    """The definition, at a few outputs."""

    def oracle(x, weight, bias, fill_value):
        x = np.pad(x, ((0, 0), (0, 0), *padding), constant_values=fill_value)
        oc, igc, *kernel = weight.shape
        y = []
        for n, o, i, j in outputs:
            c = o // (oc // groups) * igc
            rows, columns = (
                slice(p * s, p * s + (k - 1) * d + 1, d)
                for p, s, k, d in zip((i, j), stride, kernel, dilation, strict=True)
            )
            y.append((x[n, c : c + igc, rows, columns] * weight[o]).sum() + bias[o])
        return np.array(y)

    return oracle


@pytest.mark.semantics(False)
@pytest.mark.parametrize("conv2d", ["cpu-direct", "auto"], indirect=True)
@pytest.mark.parametrize("name", NETWORKS)
def test_network_layers(conv2d, assert_right, name, subtests):
    rng = np.random.default_rng(0)
    configurations = layers(network(name))
    assert len(configurations) >= 4
    for shapes, attributes in configurations:
        with subtests.test(shapes=shapes, attributes=attributes):
            arrays = [rng.standard_normal(shape, np.float32) for shape in shapes]
            options = arguments(2, **attributes)
            y = conv2d(*arrays, **options)
            edges = [[0, size - 1] for size in y.shape]  # two corners, and outputs drawn at random
            outputs = np.transpose(edges).tolist() + rng.integers(0, y.shape, (30, 4)).tolist()
            oracle = at(outputs, *options.values())
            assert_right(y[tuple(np.transpose(outputs))], oracle, *arrays)


# ONNX's own Conv, on random problems.


def random_attributes(rng):
    """Attributes of a Conv, shapes of its inputs, and whether it has a bias."""
    kernel, strides, dilations = (rng.integers(1, high, 2).tolist() for high in (6, 4, 4))
    group, igc, ocg = rng.integers(1, 4, 3).tolist()
    attributes = {"kernel_shape": kernel, "strides": strides, "dilations": dilations, "group": group}
    reach = [(k - 1) * d + 1 for k, d in zip(kernel, dilations, strict=True)]
    auto_pad = str(rng.choice(["NOTSET", "SAME_UPPER", "SAME_LOWER", "VALID"], p=[0.4, 0.25, 0.25, 0.1]))
    pads = [0] * 4
    if auto_pad == "NOTSET":  # the only one that the standard lets pads stand with
        attributes["pads"] = pads = rng.integers(0, 8, 4).tolist()
    smallest = [1, 1]
    if not auto_pad.startswith("SAME"):
        smallest = [max(r - pads[i] - pads[i + 2], 1) for i, r in enumerate(reach)]
    attributes["auto_pad"] = auto_pad
    image = [int(size + rng.integers(0, 12)) for size in smallest]
    x_shape = (int(rng.integers(1, 4)), group * igc, *image)
    return attributes, x_shape, (group * ocg, igc, *kernel)


def one_node(op_type, names, types, attributes):
    inputs = [helper.make_tensor_value_info(name, of, None) for name, of in zip(names, types, strict=True)]
    output = helper.make_tensor_value_info("y", TensorProto.UNDEFINED, None)
    node = helper.make_node(op_type, names, ["y"], **attributes)
    return helper.make_model(helper.make_graph([node], "one_node", inputs, [output]))


@pytest.mark.parametrize("seed", range(300))
def test_random_problems(conv2d, assert_right, seed):
    """Nothing is left out: the evaluator's Conv knows auto_pad with strides and dilations, all at once.

    It computes in the dtype it gets, so it gets float64, which makes it an oracle for float32.
    """
    rng = np.random.default_rng(seed)
    attributes, x_shape, w_shape = random_attributes(rng)
    dtype = rng.choice([np.float32, np.float64])
    x, w, b = (rng.standard_normal(shape).astype(dtype) for shape in (x_shape, w_shape, w_shape[0]))
    names = ["x", "w", "b"][: rng.integers(2, 4)]
    evaluator = ReferenceEvaluator(one_node("Conv", names, [TensorProto.DOUBLE] * len(names), attributes))

    def oracle(x, weight, bias, fill_value):
        return evaluator.run(None, dict(zip(names, (x, weight, bias), strict=False)))[0]

    b = b if "b" in names else None
    y = conv2d(x, w, b, **arguments(2, **attributes))
    assert y.dtype == dtype
    assert_right(y, oracle, x, w, b)


@pytest.mark.parametrize("seed", range(60))
def test_random_integers(conv2d, seed):
    rng = np.random.default_rng(seed)
    attributes, x_shape, w_shape = random_attributes(rng)
    x_dtype, w_dtype = rng.choice([np.int8, np.uint8], 2)
    of_w = rng.choice([None, 1, w_shape[0]])  # zero points: none, one, one for each output channel
    arrays = {"x": (x_shape, x_dtype), "w": (w_shape, w_dtype)}
    if of_w is not None:
        arrays |= {"x_zero_point": ((), x_dtype), "w_zero_point": (() if of_w == 1 else of_w, w_dtype)}
    feeds = {
        name: np.asarray(rng.integers(np.iinfo(dtype).min, np.iinfo(dtype).max, shape, dtype, endpoint=True))
        for name, (shape, dtype) in arrays.items()
    }
    types = [helper.np_dtype_to_tensor_dtype(array.dtype) for array in feeds.values()]
    model = one_node("ConvInteger", list(feeds), types, attributes)
    new_ops, calls = operators(conv2d)
    np.testing.assert_array_equal(run(model, feeds, new_ops)[0], run(model, feeds, None)[0], strict=True)
    assert len(calls) == 1
