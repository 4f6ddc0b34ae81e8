"""Prepared convolutions: what `conv2d` computes, from any thread and process, from the plan's own weights."""

import concurrent.futures
import pickle
import subprocess
import sys
import textwrap
from pathlib import Path

import numpy as np
import pytest

from fastconv import BackendUnsupportedError, Plan, conv2d, conv2d_error_bound, plan_conv2d, use_backend
from fastconv import _plan as module
from fastconv.backends.cpu import CpuPlan
from fastconv.testing import judge, random_call

pytestmark = pytest.mark.semantics

RNG = np.random.default_rng(7)
X = RNG.standard_normal((2, 40, 9, 11)).astype("f4")
W = RNG.standard_normal((70, 40, 3, 3)).astype("f4")
B = RNG.standard_normal(70).astype("f4")


def same(a, b):
    assert (a.shape, a.dtype) == (b.shape, b.dtype)
    assert a.tobytes() == b.tobytes()


def test_what_conv2d_gives_on_random_calls(direct, fastconv_backend, unless_refused):
    """To the bit where a backend takes sums in one order, inside the bound where it does not say so."""
    for seed in range(1500):
        with unless_refused():
            call = random_call(seed)
            options = {name: value for name, value in call.options.items() if name != "num_threads"}
            plan = plan_conv2d(call.weight, call.bias, **options, **direct)
            expected = conv2d(call.x, call.weight, call.bias, **options, **direct)
            for _ in range(2):  # checked in full, and from memory
                if direct:
                    same(plan(call.x), expected)
                else:
                    judge(call, plan(call.x), fastconv_backend)


@pytest.mark.semantics(False)
@pytest.mark.parametrize("weight", [W, W[:20, :, :1, :1], W[:, :, :1]])
def test_what_is_chosen_for_prepared_weights_may_differ_from_conv2d_within_the_bounds(weight):
    plan = plan_conv2d(weight, B[: len(weight)], padding=1)
    arguments = (X, weight, B[: len(weight)], 1, 1)
    bounds = [conv2d_error_bound(*arguments, algorithm=plan.explain(X.shape).details["algorithm"])]
    bounds.append(conv2d_error_bound(*arguments))
    assert (abs(plan(X).astype("f8") - conv2d(*arguments)) <= sum(bounds)).all()


@pytest.mark.semantics(False)
@pytest.mark.parametrize("row", ["panel", "strip", "gather"])
@pytest.mark.parametrize("dtype", ["f4", "f8", "i8"])
@pytest.mark.parametrize("options", [{}, {"padding": 1, "stride": 2}, {"flip": True, "padding": "same"}])
def test_every_way_to_pack_gives_the_same_bits(row, dtype, options):
    x, weight, bias = ((8 * array).astype(dtype) for array in (X, W, B))
    expected = conv2d(x, weight, bias, algorithm="gather", **options)
    for layout in ("OIHW", "HWIO", "IHWO"):
        arranged = np.ascontiguousarray(weight.transpose(["OIHW".index(letter) for letter in layout]))
        plan = plan_conv2d(arranged, bias, weight_format=layout, algorithm=row, **options)
        same(plan(x), expected)
        same(plan(x[:1]), expected[:1])
        same(plan(x.transpose(0, 1, 3, 2).copy().transpose(0, 1, 3, 2), num_threads=3), expected)


def test_images_of_other_shapes_and_dtypes(direct):
    plan = plan_conv2d(W, B, padding=1, **direct)
    for shape in [(1, 40, 1, 1), (3, 40, 5, 40), (40, 6, 6), (0, 40, 5, 5)]:
        for dtype in ("f4", "f8", "u1", "c8", ">f4"):
            x = RNG.integers(0, 9, shape).astype(dtype)
            same(plan(x), conv2d(x, W, B, padding=1, **direct))
    turned = X[:, :, ::-1, ::-1]
    assert plan(turned).tobytes() == conv2d(turned.copy(), W, B, padding=1, **direct).tobytes()


@pytest.mark.semantics(False)
@pytest.mark.parametrize(("dtype", "channels"), [("f4", 256), ("f8", 128)])
def test_widths_whose_tiles_want_panels_of_another_width(dtype, channels):
    weight = RNG.standard_normal((channels, 3, 1, 1)).astype(dtype)
    plan = plan_conv2d(weight, algorithm="panel")
    for width in (7, 6, 8, 24, 7):
        x = RNG.standard_normal((1, 3, 4, width)).astype(dtype)
        assert plan(x).tobytes() == conv2d(x, weight, algorithm="gather").tobytes()


@pytest.mark.semantics(False)
def test_a_plan_remembers_a_bounded_number_of_shapes():
    plan = plan_conv2d(np.ones((1, 1), "f4"))
    for size in range(1, module.SHAPES + 20):
        assert plan(np.ones((size, 2), "f4")).shape == (size, 2)
    assert len(plan._ready) == module.SHAPES
    assert len(plan._calls) <= plan._calls.most


def test_out_of_a_shape_that_was_met():
    plan = plan_conv2d(W, B)
    expected = plan(X)
    buffer = np.full((2, *expected.shape), 7, "f4")
    for out in (buffer[0], buffer[1][..., ::-1], np.empty(expected.shape[::-1], "f4").T):
        assert plan(X, out) is out
        same(out.copy(), expected)
    shared = np.empty(max(X.size, expected.size) + 9, "f4")
    x, out = shared[9 : 9 + X.size].reshape(X.shape), shared[: expected.size].reshape(expected.shape)
    x[...] = X
    assert plan(x, out) is out
    same(out.copy(), expected)
    fixed = np.broadcast_to(expected, expected.shape)
    for out, error, message in [
        (expected[0], ValueError, "out has shape"),
        (expected.astype("f8"), TypeError, "out has dtype float64"),
        (fixed, ValueError, "out is read-only"),
        (np.ma.array(expected), TypeError, "out must be a plain"),
    ]:
        with pytest.raises(error, match=message):
            plan(X, out)


def test_weights_are_the_plans_own():
    weight, bias = W.copy(), B.copy()
    plan = plan_conv2d(weight, bias)
    expected = plan(X)
    weight[...] = np.nan
    bias[...] = np.nan
    same(plan(X), expected)
    for array in (plan.weight, plan.bias):
        with pytest.raises(ValueError, match="read-only"):
            array[...] = 0


def test_options_are_the_plans_own(direct):
    padding, stride = [[1, 0], [0, 1]], [1, np.array(2)]
    plan = plan_conv2d(W, None, stride, padding)
    expected = plan(X[:, :, :5])
    padding[0][0], stride[0] = 5, 3
    stride[1][...] = 1
    same(plan(X[:, :, :5]), expected)
    fresh = RNG.standard_normal((1, 40, 7, 7)).astype("f4")  # a shape that it has not met
    same(plan(fresh), conv2d(fresh, W, None, (1, 2), ((1, 0), (0, 1)), **direct))
    same(pickle.loads(pickle.dumps(plan))(fresh), plan(fresh))


def test_out():
    plan = plan_conv2d(W, B)
    expected = plan(X)
    out = np.empty_like(expected)
    assert plan(X, out) is out
    same(out, expected)
    with pytest.raises(ValueError, match="out has shape"):
        plan(X, out[:1])
    identity = plan_conv2d(np.eye(40, dtype="f4").reshape(40, 40, 1, 1))
    image = X.copy()
    assert identity(image, image) is image
    same(image, X)


def test_callable_from_many_threads(direct):
    plan = plan_conv2d(W, B, padding=1, **direct)
    images = [RNG.standard_normal((1, 40, 6 + i % 5, 8)).astype("f4") for i in range(60)]
    expected = [conv2d(x, W, B, padding=1, **direct) for x in images]
    with concurrent.futures.ThreadPoolExecutor(12) as pool:
        for y, right in zip(pool.map(plan, images), expected, strict=True):
            same(y, right)


@pytest.mark.semantics(False)
@pytest.mark.parametrize("protocol", range(2, pickle.HIGHEST_PROTOCOL + 1))
def test_pickle(protocol):
    plan = plan_conv2d(W, B, 2, "same", data_format="NCHW", backend=("cpu", "reference"))
    expected = plan(X)
    copy = pickle.loads(pickle.dumps(plan, protocol))
    same(copy(X), expected)
    assert copy.options == plan.options
    with use_backend("reference"):  # the backend was chosen when the plan was made
        assert "backend: cpu" in str(pickle.loads(pickle.dumps(plan_conv2d(W, backend="cpu"))).explain(X.shape))


def test_pickle_to_another_process(tmp_path):
    plan = plan_conv2d(W, B)
    (tmp_path / "plan").write_bytes(pickle.dumps((plan, X)))
    code = """
        import pickle, sys
        plan, x = pickle.load(open(sys.argv[1], "rb"))
        sys.stdout.buffer.write(plan(x).tobytes())
    """
    command = [sys.executable, "-P", "-W", "error", "-c", textwrap.dedent(code), str(tmp_path / "plan")]
    done = subprocess.run(command, capture_output=True, timeout=60, check=True)
    assert done.stdout == plan(X).tobytes()


@pytest.mark.semantics(False)
def test_printing_says_what_computes_which_images_and_why():
    plan = plan_conv2d(W, B, padding=1)
    assert isinstance(plan, Plan)
    assert str(plan).startswith("plan of conv2d, weight (70, 40, 3, 3) float32, bias float32: stride=1, padding=1,")
    assert "no image yet" in str(plan)
    plan(X)
    plan(X[:1])
    text = str(plan)
    assert "no image yet" not in text
    assert text.count("backend: cpu (from default)") == 2
    assert "winograd: chosen" in text
    assert "slower (cost" in text
    assert repr(plan) == "<fastconv.Plan: weight (70, 40, 3, 3) float32, 2 shapes of images met>"
    report = plan.explain((1, 40, 8, 8), "f8")
    assert (report.problem.ih, report.problem.x_dtype) == (8, np.dtype("f8"))


def test_x_shape_prepares_at_once(direct):
    plan = plan_conv2d(W, x_shape=X.shape, **direct)
    assert len(plan._ready) == 1
    same(plan(X), conv2d(X, W, **direct))
    assert len(plan._ready) == 1
    with pytest.raises(ValueError, match="channels"):
        plan_conv2d(W, x_shape=(1, 3, 8, 8))
    with pytest.raises(TypeError, match="x_shape must be a tuple"):
        plan_conv2d(W, x_shape=3.5)
    for dtype in ("float33", ["f4"], 7):
        with pytest.raises(TypeError, match=r"^x_dtype must be a NumPy dtype or its name, got .*\.$"):
            plan_conv2d(W, x_shape=X.shape, x_dtype=dtype)


@pytest.mark.parametrize(
    ("words", "arguments"),
    [
        ("groups=3 does not divide weight's 70", {"groups": 3}),
        ("bias must have shape", {"bias": B[:3]}),
        ("stride must be", {"stride": 0}),
        ("algorithm must be one of", {"algorithm": "fastest"}),
        ("empty axis", {"weight": W[:, :0]}),
        ("dtype", {"dtype": "O"}),
    ],
)
def test_what_is_wrong_is_said_before_any_image_comes(words, arguments):
    with pytest.raises((ValueError, TypeError), match=words):
        plan_conv2d(**({"weight": W} | arguments))


@pytest.mark.semantics(False)
def test_strict_choice_of_backend():
    with use_backend("reference"):
        plan = plan_conv2d(W[:2], padding=1)
    assert plan.explain(X.shape).backend == "reference"
    np.testing.assert_allclose(plan(X), conv2d(X, W[:2], padding=1), rtol=1e-4, atol=1e-4)
    with pytest.raises(BackendUnsupportedError, match="depthwise"):
        plan_conv2d(W, algorithm="depthwise")


@pytest.mark.semantics(False)
def test_packed_weights_of_another_plan_are_refused():
    problem = plan_conv2d(W, algorithm="panel").explain(X.shape).problem
    wide, narrow = CpuPlan(problem, "portable", "panel"), CpuPlan(problem._replace(oc=7), "portable", "panel")
    packed = narrow.kernel.pack(W[:7])
    y = np.empty(problem.out_shape, "f4")
    with pytest.raises(ValueError, match="not this plan's"):
        wide.kernel.run(X, W, None, y, 0.0, 1, packed)


LARGE_PAGES = Path("/sys/kernel/mm/transparent_hugepage/enabled")


@pytest.mark.semantics(False)
@pytest.mark.skipif(not LARGE_PAGES.exists() or "[never]" in LARGE_PAGES.read_text(), reason="no large pages here")
def test_packed_weights_lie_in_large_pages(tmp_path):
    """38 MB of weights, which Linux is advised to keep in pages of 2 MiB, in a process that has none yet."""
    program = """
    import re
    from pathlib import Path
    import numpy as np
    from fastconv import plan_conv2d

    def advised():
        text = Path("/proc/self/smaps").read_text()
        maps = re.findall(r"^Size: +(\\d+) kB$.*?^VmFlags:(.*?)$", text, re.DOTALL | re.MULTILINE)
        return sum(int(size) for size, flags in maps if " hg" in flags) << 10

    x, weight = np.zeros((1, 512, 28, 28), "f4"), np.zeros((512, 512, 3, 3), "f4")
    plan = plan_conv2d(weight, padding=1, algorithm="winograd")
    before = advised()
    plan(x)  # packs them
    assert advised() - before > 30 << 20, (before, advised())
    """
    subprocess.run([sys.executable, "-c", textwrap.dedent(program)], check=True, timeout=60, cwd=tmp_path)
