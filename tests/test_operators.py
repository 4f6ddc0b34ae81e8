"""The operators beside conv2d: adjoints of it, natively or composed, or refused with the reason."""

import time

import numpy as np
import pytest

import fastconv
from fastconv import (
    BackendSpec,
    Problem,
    _kernels,
    conv2d,
    conv2d_grad_bias,
    conv2d_grad_input,
    conv2d_grad_weight,
    conv_transpose2d,
)
from fastconv._operators import OPERATORS, find
from fastconv.backends.cpu import CpuBackend, CpuPlan
from fastconv.backends.reference import ReferenceBackend
from fastconv.testing import BackendConformance, MismatchError, random_call
from fastconv.testing._operators import DRAWN, SUMS_ALONE, judge_operator, operator_calls

pytestmark = pytest.mark.semantics

CHUNKS = 8
EACH = 30


@pytest.mark.parametrize("chunk", range(CHUNKS))
def test_gradients_are_the_adjoints_of_conv2d(chunk, backend, integers, unless_refused):
    """<conv2d(x, w), g> = <x, grad_input(g, w)> = <w, grad_weight(x, g)>, exactly, over the whole argument space."""
    for seed in range(chunk * EACH, (chunk + 1) * EACH):
        with unless_refused():
            call, rng = random_call(seed), np.random.default_rng(seed)
            options = {k: v for k, v in call.options.items() if k not in ("dtype", "fill_value")}
            x, weight = integers(rng, call.x.shape), integers(rng, call.weight.shape)
            y = conv2d(x, weight, **options)
            grad = integers(rng, y.shape)
            product = (y * grad).sum()
            by_image = conv2d_grad_input(grad, weight, x.shape, **options, backend=backend)
            by_kernel = conv2d_grad_weight(x, grad, weight.shape, **options, backend=backend)
            assert by_image.dtype == by_kernel.dtype == x.dtype
            assert (x * by_image).sum() == product, repr(call)
            assert (weight * by_kernel).sum() == product, repr(call)


@pytest.mark.parametrize("operator", DRAWN)
@pytest.mark.parametrize("chunk", range(CHUNKS))
def test_compositions_agree_with_the_definitions(chunk, operator, direct, fastconv_backend, unless_refused):
    """Dtypes, layouts, NaN and infinities of random calls, in sums whose error is proved."""
    options = {} if operator in SUMS_ALONE else direct
    for call in operator_calls(operator, range(chunk * EACH, (chunk + 1) * EACH)):
        with unless_refused():
            judge_operator(call, call.run(fastconv_backend, **options))


@pytest.mark.parametrize("layout", ["NCHW", "NHWC"])
@pytest.mark.parametrize("algorithm", ["auto", "direct"])
def test_phases_that_are_computed_together_have_the_bits_of_each_alone(monkeypatch, layout, algorithm):
    """Strides of different phases, tasks of different sizes, weights packed before and inside tasks; any threads."""
    rng, order = np.random.default_rng(0), ["NCHW".index(letter) for letter in layout]
    cases = [  # x, weight, stride, padding, groups
        ((2, 40, 9, 11), (40, 33, 3, 3), 2, 1, 1),
        ((1, 64, 17, 30), (64, 70, 5, 4), (3, 2), 0, 1),
        ((3, 20, 23, 19), (20, 1, 3, 3), 2, 1, 20),
        ((1, 6, 8, 8), (6, 7, 16, 16), 8, 4, 2),
        ((1, 300, 7, 7), (300, 96, 4, 4), 2, 1, 1),
    ]
    together = CpuPlan.together
    done = []
    for x_shape, weight_shape, stride, padding, groups in cases:
        x, weight = (rng.standard_normal(shape).astype(np.float32) for shape in (x_shape, weight_shape))
        x = np.ascontiguousarray(x.transpose(order))

        def run(threads, given=(x, weight, None, stride, padding, 1, groups)):
            options = {"data_format": layout, "weight_format": "OIHW", "algorithm": algorithm, "num_threads": threads}
            return conv_transpose2d(*given, **options)

        monkeypatch.setattr(CpuPlan, "together", lambda *_: False)
        alone = run(1)
        monkeypatch.setattr(CpuPlan, "together", lambda *given: done.append(together(*given)) or done[-1])
        for threads in (1, 2, 3):
            np.testing.assert_array_equal(run(threads), alone)
    assert done == [True] * 3 * len(cases)


@pytest.mark.parametrize("kind", [np.complex128, np.float16, ">f8"])
def test_phases_that_need_conversions_are_computed_one_by_one(monkeypatch, kind, integers):
    rng, together, done = np.random.default_rng(0), CpuPlan.together, []
    monkeypatch.setattr(CpuPlan, "together", lambda *given: done.append(together(*given)) or done[-1])
    x, weight = integers(rng, (1, 4, 6, 6)).astype(kind), integers(rng, (4, 4, 5, 5)).astype(kind)
    got = conv_transpose2d(x, weight, stride=2)
    np.testing.assert_array_equal(got, conv_transpose2d(x, weight, stride=2, backend="reference"))
    assert done == [False]


@pytest.mark.semantics(False)
def test_what_packs_its_weights_in_rounds_is_computed_alone():
    x, weight = np.ones((1, 64, 40, 40)), np.ones((64, 64, 15, 15))
    plan = CpuBackend().plan(Problem.of(x, weight, algorithm="fft"))
    run = x, weight, np.full((1, 64, 26, 26), 7.0), 0
    assert not _kernels.run_together([plan.kernel, plan.kernel], [run, run])
    assert (run[2] == 7).all()


@pytest.mark.semantics(False)
def test_the_judge_refuses_wrong_results():
    for call in operator_calls("conv2d_grad_weight", range(100)):
        right = call.run("reference")
        if right.size and right.dtype.kind == "f" and right.dtype.itemsize > 2 and np.isfinite(right).all():
            with pytest.raises(AssertionError):
                judge_operator(call, right + np.abs(right).max() * right.dtype.type(0.03) + right.dtype.type(0.03))


def test_fill_value_counts_in_the_gradient_of_kernels_alone():
    x, grad = np.zeros((3, 3), int), np.ones((5, 5), int)
    np.testing.assert_array_equal(conv2d_grad_weight(x, grad, (1, 1), padding=1, fill_value=7), [[7 * 16]])
    options = {"padding": 1, "fill_value": 7}
    np.testing.assert_array_equal(conv2d_grad_input(grad, [[2]], (3, 3), **options), np.full((3, 3), 2))


def test_padding_gives_back_to_where_it_came_from():
    grad, one = np.arange(1, 8)[None], [[1]]
    options = {"padding": ((0, 0), (2, 2))}
    expected = {
        "constant": [3, 4, 5],
        "reflect": [3 + 1 + 7, 4 + 2 + 6, 5],
        "symmetric": [3 + 2, 4 + 1 + 7, 5 + 6],
        "edge": [3 + 1 + 2, 4, 5 + 6 + 7],
        "wrap": [3 + 6, 4 + 1 + 7, 5 + 2],
    }
    expected["reflect"] = [3 + 7, 4 + 2 + 6, 5 + 1]
    for mode, values in expected.items():
        assert conv2d_grad_input(grad, one, (1, 3), **options, padding_mode=mode).tolist() == [values], mode


def test_complex_gradients_are_those_of_the_hermitian_product(backend, integers):
    rng = np.random.default_rng(0)
    x, weight = (integers(rng, shape) + 1j * integers(rng, shape) for shape in ((2, 3, 6, 5), (4, 3, 2, 3)))
    options = {"stride": (2, 1), "padding": 1, "padding_mode": "edge"}
    y = conv2d(x, weight, **options)
    grad = integers(rng, y.shape) + 1j * integers(rng, y.shape)
    product = (y * grad.conj()).sum()
    by_image = conv2d_grad_input(grad, weight, x.shape, **options, backend=backend)
    by_kernel = conv2d_grad_weight(x, grad, weight.shape, **options, backend=backend)
    assert (x * by_image.conj()).sum() == product
    assert (weight * by_kernel.conj()).sum() == product
    transposed = conv_transpose2d(grad, weight, **options, output_shape=x.shape[2:], backend=backend)
    np.testing.assert_array_equal(transposed, conv2d_grad_input(grad, weight.conj(), x.shape, **options))


def test_a_complex_fill_is_conjugated_with_the_image(backend):
    x, grad = np.array([[1 + 2j]]), np.array([[1j, 3], [5, 7 - 1j]])
    options = {"padding": ((1, 0), (0, 1)), "fill_value": 2 - 5j}
    expected = 5 * (1 - 2j) + (2 + 5j) * (1j + 3 + 7 - 1j)
    assert conv2d_grad_weight(x, grad, (1, 1), **options, backend=backend).tolist() == [[expected]]


def test_narrow_floats_are_rounded_once():
    grad = np.full((1, 1, 1, 4097), 1, np.float16)
    assert conv2d_grad_bias(grad) == np.float16(4096)
    assert conv2d_grad_bias(grad, dtype="f4") == 4097
    grad, weight = np.array([[2048, 1, 1]], np.float16), np.ones((1, 3), np.float16)
    assert conv2d_grad_input(grad, weight, (1, 1), padding=((0, 0), (2, 2))).tolist() == [[2050]]
    assert conv2d_grad_input(grad, weight, (1, 1), padding=((0, 0), (2, 2)), padding_mode="edge").dtype == np.float16


@pytest.mark.parametrize("padding", [0, 1, ((1, 0), (0, 2)), "valid", "full"])
@pytest.mark.parametrize("stride", [1, 2, (3, 2)])
def test_transposed_convolution_has_the_size_that_its_convolution_undoes(stride, padding):
    x, weight = np.arange(1, 2 * 3 * 4 * 5 + 1).reshape(2, 3, 4, 5), np.arange(3 * 2 * 3 * 4).reshape(3, 2, 3, 4)
    for extra in {0, 1} if stride != 1 else {0}:
        y = conv_transpose2d(x, weight, None, stride, padding, output_padding=extra)
        assert fastconv.conv2d_output_shape(y.shape, weight.shape, stride, padding) == x.shape
        np.testing.assert_array_equal(y, conv2d_grad_input(x, weight, y.shape, stride, padding))
        again = conv_transpose2d(x, weight, [1, 2], stride, padding, output_shape=y.shape[2:])
        np.testing.assert_array_equal(again, y + np.array([1, 2])[:, None, None])


def test_transposed_convolution_for_every_other_size():
    x, weight = np.ones((1, 1, 4, 4)), np.ones((1, 1, 3, 3))
    with pytest.raises(ValueError, match="say which it is with output_shape"):
        conv_transpose2d(x, weight, stride=2, padding="same")
    for size in (7, 8):
        assert conv_transpose2d(x, weight, stride=2, padding="same", output_shape=(size, size)).shape[2:] == (
            size,
            size,
        )


def test_nothing_to_sum_is_zero(backend):
    options = {"padding": 1, "backend": backend}
    assert conv2d_grad_input(np.ones((0, 3, 5, 5)), np.ones((3, 2, 3, 3)), (0, 2, 5, 5), **options).size == 0
    for n, o in ((0, 3), (2, 0), (0, 0)):
        x, grad = np.ones((n, 2, 5, 5)), np.ones((n, o, 5, 5))
        out = np.full((o, 2, 3, 3), 7.0)
        assert conv2d_grad_weight(x, grad, (o, 2, 3, 3), **options, out=out) is out
        assert not out.any()
        assert conv2d_grad_bias(grad, backend=backend).tolist() == [0] * o
        assert not conv2d_grad_input(grad, np.ones((o, 2, 3, 3)), x.shape, **options).any()
    assert conv_transpose2d(np.ones((0, 3, 5, 5)), np.ones((3, 2, 3, 3)), **options).shape == (0, 2, 5, 5)


def test_out_is_written_in_any_layout_also_over_an_operand():
    grad, weight = np.arange(36.0).reshape(1, 1, 6, 6), np.ones((1, 1, 3, 3))
    expected = conv2d_grad_input(grad, weight, (1, 1, 6, 6), padding=1)
    wide = np.zeros((1, 1, 12, 12))[:, :, ::2, ::-2]
    assert conv2d_grad_input(grad, weight, (1, 1, 6, 6), padding=1, out=wide) is wide
    np.testing.assert_array_equal(wide, expected)
    swapped = np.empty((1, 1, 6, 6), ">f8")
    np.testing.assert_array_equal(conv2d_grad_input(grad, weight, (1, 1, 6, 6), padding=1, out=swapped), expected)
    conv2d_grad_input(grad, weight, (1, 1, 6, 6), padding=1, out=grad)
    np.testing.assert_array_equal(grad, expected)


@pytest.mark.semantics(False)
def test_padding_as_wide_as_it_may_be():
    """Neither time nor memory grows with padding that no window reads."""
    far = {"stride": 2**30, "padding": 2**30}
    grad = np.arange(9.0).reshape(3, 3)
    assert conv2d_grad_input(grad, [[2.0]], (1, 1), **far).tolist() == [[8.0]]
    assert conv2d_grad_weight([[3.0]], grad, (1, 1), **far).tolist() == [[12.0]]
    folded = conv2d_grad_input(grad, [[2.0]], (1, 1), **far, padding_mode="wrap")
    assert folded.tolist() == [[72.0]]


MALFORMED = [
    (conv2d_grad_input, ([[1.0]], [[1.0]], 3), {}, TypeError, "x_shape must be a tuple of sizes"),
    (conv2d_grad_input, ([[1.0]], [[1.0]], (2, 2)), {}, ValueError, r"grad must have shape \(2, 2\), that of"),
    (conv2d_grad_input, ([[1.0]], [[1.0]], (1, 0)), {}, ValueError, "empty axis W"),
    (conv2d_grad_input, ([[1.0]], [[1.0]], (1, 1, 1, 1)), {}, ValueError, "weight must have 4 axes"),
    (conv2d_grad_input, ([["a"]], [[1.0]], (1, 1)), {}, TypeError, "grad has dtype"),
    (conv2d_grad_input, (None, [[1.0]], (1, 1)), {}, TypeError, "grad must be an array"),
    (conv2d_grad_input, ([[1.0]], [[1.0]], (1, 1)), {"stride": 0}, ValueError, "stride must be at least 1"),
    (conv2d_grad_input, ([[1.0]], [[1.0]], (1, 1)), {"dtype": "i4"}, TypeError, "dtype=int32 can't hold"),
    (conv2d_grad_input, ([[1.0]], [[1.0]], (1, 1)), {"out": np.ones((2, 1))}, ValueError, r"out has shape \(2, 1\)"),
    (conv2d_grad_input, ([[1.0]], [[1.0]], (1, 1)), {"num_threads": 0}, ValueError, "num_threads must be at least 1"),
    (conv2d_grad_input, ([[1.0]], [[1.0]], (2**40, 2**40)), {"stride": 2**41}, ValueError, r"more than 2\*\*63 bytes"),
    (conv2d_grad_weight, ([[1.0]], [[1.0]], (2, 2)), {}, ValueError, "the kernel reaches over 2 pixels of height"),
    (conv2d_grad_weight, ([[1.0]], [[1.0, 1.0]], (1, 1)), {}, ValueError, r"grad must have shape \(1, 1\)"),
    (conv2d_grad_weight, ([[1]], [[1]], (1, 1)), {"fill_value": 0.5}, ValueError, "fill_value must be an integer"),
    (conv2d_grad_bias, ([1.0],), {}, ValueError, "grad must have 4 axes"),
    (conv2d_grad_bias, (np.ones((1, 1, 0, 1)),), {}, ValueError, "empty axis H"),
    (conv_transpose2d, ([[1.0]], [[1.0]]), {"output_padding": 1}, ValueError, "must be less than the stride"),
    (conv_transpose2d, ([[1.0]], [[1.0]]), {"padding": 1}, ValueError, "the result would have -1 pixels along H"),
    (conv_transpose2d, ([[1.0]], [[1.0]]), {"output_shape": (3, 3)}, ValueError, r"x must have shape \(3, 3\)"),
    (conv_transpose2d, ([[1.0]], [[1.0]], [1.0, 2.0]), {}, ValueError, r"bias must have shape \(1,\)"),
    (
        conv_transpose2d, (np.ones((2, 3, 3)), np.ones((2, 0, 1, 1))), {}, ValueError,
        r"weight has an empty axis I.* \(x \(2, 3, 3\) CHW, weight \(2, 0, 1, 1\) OIHW\)\.$",
    ),
    (
        conv_transpose2d, (np.ones((2, 3, 3)), np.ones((2, 1, 1, 1))), {"groups": 3}, ValueError,
        r"groups=3 does not divide weight's 2 kernels; .* \(x \(2, 3, 3\) CHW",
    ),
    (
        conv_transpose2d, ([[1.0]], [[1.0]]), {"output_shape": (2, 1), "output_padding": 1, "stride": 2}, ValueError,
        "has no meaning with output_shape",
    ),
]  # fmt: skip


@pytest.mark.parametrize(("function", "arguments", "options", "kind", "message"), MALFORMED)
def test_what_is_wrong_is_said_in_a_sentence(function, arguments, options, kind, message):
    with pytest.raises(kind, match=message) as caught:
        function(*arguments, **options)
    assert len(str(caught.value)) <= 500
    assert str(caught.value).endswith(".")


class Own(ReferenceBackend):
    """A plugin that counts what it is asked for."""

    asked = ()

    def plan(self, problem):
        Own.asked += (problem.operator,)
        return super().plan(problem)


GRAD, KERNEL = np.arange(16.0).reshape(4, 4), np.array([[1.0, 2.0], [3.0, 4.0]])


def grad_input(backend):
    return conv2d_grad_input(GRAD, KERNEL, (9, 9), stride=2, padding_mode="edge", backend=backend)


def test_an_operator_that_a_plugin_states_is_its_own(table):
    fastconv.register_backend(BackendSpec("own", Own, operators=("conv2d", "conv2d_grad_input")))
    Own.asked = ()
    with fastconv.trace() as calls:
        grad_input("own")
        conv2d_grad_weight(np.ones((5, 5)), GRAD, (2, 2), backend="own")
    assert Own.asked == ("conv2d_grad_input", "conv2d")
    assert [call.candidates["own"] for call in calls] == ["chosen", "chosen, composed from conv2d"]
    assert calls[1].details["composed"] == "from conv2d, 1 of them"


def test_a_plugin_of_old_is_composed_from(table):
    fastconv.register_backend(BackendSpec("old", Own))
    Own.asked = ()
    np.testing.assert_array_equal(grad_input("old"), grad_input("reference"))
    assert set(Own.asked) == {"conv2d"}


def test_a_backend_that_has_neither_refuses(table):
    fastconv.register_backend(BackendSpec("neither", Own, operators=("fold2d",)))
    with pytest.raises(
        fastconv.BackendUnsupportedError, match="has no conv2d_grad_input, nor conv2d to compose it from"
    ):
        grad_input("neither")
    np.testing.assert_array_equal(grad_input(("neither", "cpu")), grad_input("cpu"))


class Held:
    shape, dtype = (4, 4), np.dtype("f8")


def test_arrays_that_a_backend_owns_are_not_composed_for(table):
    fastconv.register_backend(BackendSpec("holder", Own, owns=(f"{__name__}:Held",)))
    with pytest.raises(fastconv.BackendUnsupportedError, match="no conv2d_grad_input for arrays of its own"):
        conv2d_grad_input(Held(), KERNEL, (9, 9), stride=2)


def test_the_reasons_of_what_it_is_composed_of_are_given(table):
    class Picky(Own):
        def reject(self, problem):
            return "it likes no kernels of one column" if problem.kw == 1 else None

    fastconv.register_backend(BackendSpec("picky", Picky))
    with pytest.raises(fastconv.BackendUnsupportedError, match="likes no kernels of one column"):
        grad_input("picky")  # the phases of stride 2 have one tap each
    with pytest.raises(fastconv.BackendUnsupportedError, match="algorithm 'winograd'"):
        conv2d_grad_input(GRAD, KERNEL, (9, 9), stride=2, algorithm="winograd")


def test_what_a_plugin_returns_for_a_part_is_checked(table):
    class Wrong(Own):
        def plan(self, problem):
            return lambda x, weight, bias, out, num_threads: np.ones(3)

    fastconv.register_backend(BackendSpec("wrong", Wrong))
    with pytest.raises(fastconv.BackendResultError, match="not its result"):
        grad_input("wrong")

    class NoPlan(Own):
        def plan(self, problem):
            return 5

    fastconv.register_backend(BackendSpec("no_plan", NoPlan))
    with pytest.raises(fastconv.BackendResultError, match="can't be called"):
        grad_input("no_plan")


@pytest.mark.parametrize("own", [True, False])
@pytest.mark.parametrize("fault", ["off", "elsewhere"])
def test_the_kit_sees_what_is_wrong(table, own, fault):
    """In an operator that a backend has, and in the conv2d that one is composed from."""

    class Wrong(ReferenceBackend):
        def plan(self, problem):
            def run(x, weight, bias, out, num_threads):
                if fault == "elsewhere":
                    conv2d(GRAD, KERNEL, backend="cpu")
                ReferenceBackend.plan(self, problem)(x, weight, bias, out, num_threads)
                out[...] += fault == "off"
                return out

            return run

    operators = tuple(DRAWN) if own else ()
    fastconv.register_backend(BackendSpec("wrong", Wrong, operators=("conv2d", *operators)))
    kit = type("Kit", (BackendConformance,), {"backend": "wrong", "problems": 60})()
    words = "not exact|outside the bound" if fault == "off" else r"backends \['cpu', 'wrong'\] ran"
    with pytest.raises(MismatchError, match=words):
        kit.test_other_operators()


@pytest.mark.semantics(False)
def test_it_is_said_how_an_operator_is_computed():
    report = fastconv.explain(
        GRAD, KERNEL, (9, 9), stride=2, padding_mode="edge", operator="conv2d_grad_input", num_threads=1
    )
    assert report.to_dict()["operator"] == "conv2d_grad_input"
    assert report.candidates["cpu"] == "chosen, composed from conv2d"
    assert report.details["composed"] == "from conv2d, 4 of them"
    assert "conv2d_grad_input" in str(report)
    for function in (lambda name: fastconv.explain(GRAD, KERNEL, operator=name), fastconv.backends):
        with pytest.raises(ValueError, match="operator must be one of conv2d, conv2d_grad_input"):
            function("conv4d")
        with pytest.raises(TypeError, match=r"operator must be a string, got \['conv2d'\]\.$"):
            function(["conv2d"])
    assert fastconv.backends(operator="conv2d_grad_input")["cpu"] == "usable, composed from conv2d"
    assert fastconv.backends(operator="conv2d_grad_input")["reference"] == "usable"
    config = fastconv.show_config()
    assert config["operators"]["conv2d_grad_weight"]["cpu"] == "composed from conv2d"
    assert config["operators"]["conv2d"]["cpu"] == "its own"


@pytest.mark.semantics(False)
def test_problems_of_different_operators_are_different():
    """Plans are kept by problem: one of another operator must never be found."""
    x = np.ones((1, 1, 3, 3))
    for _ in range(2):
        assert conv2d(x, [[[[2.0]]]], backend="reference")[0, 0, 0, 0] == 2
        assert conv2d_grad_weight(x, x, (1, 1, 1, 1), backend="reference")[0, 0, 0, 0] == 9
        assert conv2d_grad_input(x, [[[[3.0]]]], x.shape, backend="reference")[0, 0, 0, 0] == 3


@pytest.mark.semantics(False)
@pytest.mark.parametrize("name", OPERATORS)
def test_every_row_of_the_table_is_whole(name):
    """It is public, tested by the kit, defined by the reference, and names code that is there."""
    row = OPERATORS[name]
    assert name in fastconv.__all__
    assert (row.case_of or name) in fastconv.backend_spec("reference").operators
    assert name == "conv2d" or (name in DRAWN and (row.composition or row.case_of))
    assert 1 <= len(row.operands) <= 3
    for place in filter(None, (row.problem, row.definition, row.composition)):
        assert callable(find(place)), place


@pytest.mark.semantics(False)
def test_nothing_but_rows_of_the_table_is_known_elsewhere():
    assert set(DRAWN) == set(OPERATORS) - {"conv2d"}
    assert set(DRAWN) >= SUMS_ALONE


def test_what_equals_an_earlier_argument_is_checked_all_the_same():
    """Problems are kept by their arguments, and True and 1.0 equal 1."""
    x = np.ones((1, 1, 3, 3))
    for stride, groups in ((1, 1), ((1, 1), 1)):
        conv2d_grad_weight(x, x, (1, 1, 1, 1), stride, 0, 1, groups)
    for stride, groups in ((1.0, 1), (True, 1), ((True, 1), 1), (1, True), (1, 1.0)):
        with pytest.raises(TypeError):
            conv2d_grad_weight(x, x, (1, 1, 1, 1), stride, 0, 1, groups)
    assert conv2d_grad_weight(x, x, (1, 1, 1, 1), [1, 1])[0, 0, 0, 0] == 9


def test_images_are_summed_whatever_the_convolutions_of_a_gradient_of_kernels(integers):
    rng = np.random.default_rng(0)
    for k, stride, groups, padding in ((1, 1, 1, 0), (1, 2, 4, 0), (3, 2, 8, 1), (3, 1, 2, 0), (1, 1, 8, 1)):
        x, weight = integers(rng, (3, 8, 9, 7)), np.ones((8, 8 // groups, k, k), int)
        grad = integers(rng, conv2d(x, weight, None, stride, padding, 1, groups).shape)
        for dtype in (x.dtype, np.float32, np.float16):
            arguments = (x.astype(dtype), grad.astype(dtype), weight.shape, stride, padding, 1, groups)
            result = conv2d_grad_weight(*arguments)
            np.testing.assert_array_equal(result, conv2d_grad_weight(*arguments, backend="reference"))


@pytest.mark.parametrize(("o", "i"), [(1, 1), (3, 70), (70, 3), (33, 40)])
def test_many_kernels_of_one_pixel_are_turned(o, i):
    rng = np.random.default_rng(4)
    grad, weight = rng.integers(-9, 9, (2, o, 3, 4)), rng.integers(-9, 9, (o, i, 1, 1))
    expected = np.zeros((2, i, 5, 7), int)
    expected[:, :, ::2, ::2] = np.einsum("nohw,oi->nihw", grad, weight[:, :, 0, 0])
    assert np.array_equal(conv2d_grad_input(grad, weight, expected.shape, stride=2), expected)
    weight = weight.transpose(2, 3, 1, 0)
    y = conv_transpose2d(grad.transpose(0, 2, 3, 1), weight, stride=2, data_format="NHWC")
    assert np.array_equal(y.transpose(0, 3, 1, 2), expected)


def test_a_call_that_equals_an_earlier_one_in_other_types_is_checked_for_itself():
    x, weight = np.ones((1, 2, 2), np.float32), np.ones((1, 1, 1, 1), np.float32)
    fastconv.conv_transpose2d(x, weight, groups=1, padding=0)
    for wrong in ({"groups": True}, {"groups": 1.0}, {"padding": False}, {"padding": (0, False)}):
        with pytest.raises(TypeError, match=next(iter(wrong))):
            fastconv.conv_transpose2d(x, weight, **({"groups": 1, "padding": 0} | wrong))


def test_a_long_tuple_is_refused_without_a_walk_through_it():
    """A problem is kept by its arguments, and a million of them took 50 ms to look up."""
    x, weight, long = np.ones((1, 2, 2)), np.ones((1, 1, 1, 1)), (1,) * 10**6
    fastconv.conv_transpose2d(x, weight)
    for wrong in ({"stride": long}, {"padding": (long, long)}, {"groups": long}, {"algorithm": long}):
        best = np.inf
        for _ in range(5):
            start = time.thread_time()
            with pytest.raises((TypeError, ValueError), match=next(iter(wrong))):
                fastconv.conv_transpose2d(x, weight, **wrong)
            best = min(best, time.thread_time() - start)
        assert best < 1e-3


def test_sums_that_are_not_finite_make_no_warnings():
    """Of padding that is folded back, over the phases of a stride."""
    options = {"stride": 2, "padding": ((0, 0), (0, 1)), "padding_mode": "edge"}
    assert np.isnan(conv2d_grad_input([[np.inf]], [[1.0, -1.0]], (1, 1), **options)).all()
    assert np.isinf(conv2d_grad_input(np.float32([[3e38]]), np.float32([[1, 1]]), (1, 1), **options)).all()
