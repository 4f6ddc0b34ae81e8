"""Type dispatch: arrays of other libraries go to the backend that owns them, and nothing is converted on the way."""

import pickle
import sys
import types

import numpy as np
import pytest

import fastconv
from fastconv import BackendSpec, _config, conv2d, plan_conv2d
from fastconv.backends._types import route
from fastconv.backends.reference import ReferenceBackend

IMAGE, KERNEL, BIAS = np.arange(12.0).reshape(3, 4), np.ones((2, 2)), np.array([3.0])
EXPECTED = conv2d(IMAGE, KERNEL)


class Foreign:
    """An array of another library. Its data is for its own backend alone."""

    __array_ufunc__ = None

    def __init__(self, data):
        self.data = np.asarray(data)

    @property
    def shape(self):
        return self.data.shape

    @property
    def dtype(self):
        return self.data.dtype

    def __array__(self, dtype=None, copy=None):
        raise AssertionError("converted")


class Array(Foreign):
    pass


class Subclass(Array):
    pass


class Other(Foreign):
    pass


class Kin(np.ndarray):
    """An owned subclass of NumPy's array."""


class Owner:
    """A backend that has arrays of its own, and computes NumPy's too."""

    algorithms = ("auto",)
    kind = Array

    def probe(self):
        return None

    def reject(self, problem):
        return "it computes no strided problems" if problem.sh > 1 else None

    def plan(self, problem):
        right = ReferenceBackend().plan(problem)

        def run(x, weight, bias, out, num_threads):
            x, weight, bias = (a.data if isinstance(a, Foreign) else a for a in (x, weight, bias))
            if isinstance(out, np.ndarray):
                return right(x, weight, bias, out, num_threads)
            y = right(x, weight, bias, np.empty(problem.out_shape, problem.dtype), num_threads)
            if out is None:
                return self.kind(y)
            out.data[...] = y
            return out

        return run


class OtherOwner(Owner):
    kind = Other


@pytest.fixture
def lib(table, monkeypatch):
    """A process in which the library `lib` is imported, and has a backend that owns its arrays."""
    monkeypatch.setattr(table, "_published", {})
    lib = types.ModuleType("lib")
    lib.Array, lib.Other, lib.Kin = Array, Other, Kin

    def hook(name):
        if name.startswith("__"):  # a debugger's or a test runner's question
            raise AttributeError(name)
        raise AssertionError(f"a hook of the library ran, for {name}")

    lib.__getattr__ = hook
    monkeypatch.setitem(sys.modules, "lib", lib)
    fastconv.register_backend(BackendSpec("owner", Owner, owns=("lib:Array", "never_imported.part:Thing")))
    return lib


@pytest.fixture
def two(lib):
    fastconv.register_backend(BackendSpec("second", OtherOwner, owns=("lib:Other",)))


def same(result, expected=EXPECTED):
    assert isinstance(result, Foreign)
    np.testing.assert_array_equal(result.data, expected)


@pytest.mark.parametrize("kind", [Array, Subclass])
def test_an_owned_operand_takes_the_call_to_its_owner(lib, kind):
    same(conv2d(kind(IMAGE), KERNEL))
    same(conv2d(IMAGE, kind(KERNEL)))
    same(conv2d(IMAGE.tolist(), kind(KERNEL)))
    x, w = IMAGE[None, None], KERNEL[None, None]
    same(conv2d(x, w, kind(BIAS)), conv2d(x, w, BIAS))
    out = kind(np.zeros_like(EXPECTED))
    assert conv2d(IMAGE, KERNEL, out=out) is out
    same(out)
    assert "never_imported" not in sys.modules


def test_numpy_arrays_stay_where_they_were(lib):
    for x in (IMAGE, IMAGE.tolist(), IMAGE.view(Kin)):
        assert type(conv2d(x, KERNEL)) is np.ndarray
    assert fastconv.explain(IMAGE, KERNEL).backend == "cpu"


def test_numpy_arrays_come_to_an_owner_that_is_selected(lib):
    y = conv2d(IMAGE, KERNEL, backend="owner")
    assert type(y) is np.ndarray
    np.testing.assert_array_equal(y, EXPECTED)


def test_selection_for_numpy_arrays_does_not_move_owned_ones(lib, monkeypatch):
    monkeypatch.setenv("FASTCONV_BACKEND", "reference")
    _config.reload()
    same(conv2d(Array(IMAGE), KERNEL))
    fastconv.set_default_backend("reference")
    with fastconv.use_backend("cpu"):
        same(conv2d(Array(IMAGE), KERNEL))
        assert fastconv.explain(IMAGE, Array(KERNEL)).source == "the type of weight"


def test_backend_argument_is_strict_about_types(lib):
    with pytest.raises(fastconv.BackendUnsupportedError, match=r"'cpu' takes numpy.ndarray, but weight is a .*Array;"):
        conv2d(IMAGE, Array(KERNEL), backend="cpu")
    same(conv2d(Array(IMAGE), KERNEL, backend="owner"))
    same(conv2d(Array(IMAGE), KERNEL, backend=("cpu", "owner")))
    assert "takes numpy.ndarray" in fastconv.explain(Array(IMAGE), KERNEL, backend="cpu").candidates["cpu"]


def test_backend_that_takes_only_its_own(lib):
    fastconv.register_backend(BackendSpec("strict", OtherOwner, owns=("lib:Other",), accepts=()))
    same(conv2d(Other(IMAGE), Other(KERNEL)))
    for arrays in ((Other(IMAGE), KERNEL), (IMAGE, Other(KERNEL))):
        with pytest.raises(fastconv.BackendUnsupportedError, match=r"'strict' takes lib.Other, but \w+ is a numpy.nd"):
            conv2d(*arrays)
    with pytest.raises(fastconv.BackendUnsupportedError, match=r"'strict' takes lib.Other, but x is a numpy.ndarray"):
        conv2d(IMAGE, KERNEL, backend="strict")


def test_two_owners_in_one_call_are_an_error_that_names_both(two):
    with pytest.raises(
        fastconv.BackendUnsupportedError, match=r"x is .*Array, which 'owner' owns; weight is .*'second'"
    ):
        conv2d(Array(IMAGE), Other(KERNEL))


def test_owner_that_takes_the_other_arrays_too_computes(lib):
    fastconv.register_backend(BackendSpec("second", OtherOwner, owns=("lib:Other",), accepts=("lib:Array",)))
    assert type(conv2d(Array(IMAGE), Other(KERNEL))) is Other
    assert type(conv2d(Array(IMAGE), Array(KERNEL))) is Array


def test_two_owners_of_one_type_are_an_error_until_one_is_selected(lib, monkeypatch):
    fastconv.register_backend(BackendSpec("rival", Owner, owns=("lib:Array",)))
    with pytest.raises(fastconv.BackendUnsupportedError, match="which 'owner' and 'rival' owns"):
        conv2d(Array(IMAGE), KERNEL)
    with fastconv.use_backend("rival"):
        assert fastconv.explain(Array(IMAGE), KERNEL).backend == "rival"
    assert fastconv.explain(Array(IMAGE), KERNEL, backend="owner").backend == "owner"
    monkeypatch.setenv("FASTCONV_DISABLE_BACKENDS", "owner")
    _config.reload()
    assert fastconv.explain(Array(IMAGE), KERNEL).backend == "rival"


def test_the_most_derived_class_that_is_owned_decides(lib, monkeypatch):
    monkeypatch.setitem(sys.modules, "lib.sub", types.SimpleNamespace(Subclass=Subclass))
    fastconv.register_backend(BackendSpec("special", Owner, owns=("lib.sub:Subclass",)))
    assert fastconv.explain(Subclass(IMAGE), KERNEL).backend == "special"
    assert fastconv.explain(Array(IMAGE), KERNEL).backend == "owner"


def test_owned_subclass_of_numpys_array_is_not_numpys(lib):
    fastconv.register_backend(BackendSpec("kin", Owner, owns=("lib:Kin",)))
    assert fastconv.explain(IMAGE.view(Kin), KERNEL).backend == "kin"
    with pytest.raises(fastconv.BackendUnsupportedError, match=r"'cpu' takes numpy\.ndarray, but x is a .*Kin"):
        conv2d(IMAGE.view(Kin), KERNEL, backend="cpu")


def test_arrays_nobody_owns_are_converted(lib):
    class Stranger:
        def __array__(self, dtype=None, copy=None):
            return IMAGE

    np.testing.assert_array_equal(conv2d(Stranger(), KERNEL), EXPECTED)


def test_refusals_and_checks_are_those_of_every_call(lib):
    with pytest.raises(fastconv.BackendUnsupportedError, match=r"no strided problems; convert the arrays"):
        conv2d(Array(IMAGE), KERNEL, stride=2)
    with pytest.raises(ValueError, match="reaches over 9 pixels"):
        conv2d(Array(IMAGE), Array(np.ones((9, 9))))
    with pytest.raises(TypeError, match="x has dtype"):
        conv2d(Array(np.zeros((3, 3), object)), KERNEL)
    with pytest.raises(TypeError, match="weight must be an array"):
        conv2d(Array(IMAGE), None)
    same(conv2d(Array(np.ones((0, 1, 3, 3))), np.ones((1, 1, 2, 2))), np.ones((0, 1, 2, 2)))


@pytest.mark.parametrize(
    ("shape", "dtype", "words"),
    [
        ((float("nan"), 4), np.float64, r"x has sizes that are not known yet, got shape \(nan, 4\)"),
        ((1.5, 4), np.float64, r"each size in x.shape must be an integer, got 1\.5"),
        (None, np.float64, r"x.shape must be a tuple of sizes, got None"),
        ((3, 4), "no dtype", r"x.dtype must be a NumPy dtype"),
    ],
)
def test_owned_arrays_without_a_shape_or_dtype(lib, shape, dtype, words):
    class Odd(Array):
        pass

    Odd.shape, Odd.dtype = shape, dtype
    with pytest.raises((TypeError, ValueError), match=words):
        conv2d(Odd(IMAGE), KERNEL)


def test_out_of_the_wrong_kind(lib):
    with pytest.raises(TypeError, match="out must be of the other operands' library"):
        conv2d(Array(IMAGE), KERNEL, out=np.zeros_like(EXPECTED))
    with pytest.raises(ValueError, match=r"out has shape \(1, 1\) and dtype float64, but the result"):
        conv2d(Array(IMAGE), KERNEL, out=Array(np.ones((1, 1))))


@pytest.mark.parametrize(
    "wrong", [EXPECTED, None, Array(EXPECTED[1:]), Array(EXPECTED.astype("f4")), Other(EXPECTED), IMAGE.view(Kin)]
)
def test_wrong_result_is_caught(lib, wrong):
    class Wrong(Owner):
        def plan(self, problem):
            return lambda x, weight, bias, out, num_threads: wrong

    fastconv.register_backend(BackendSpec("wrong", Wrong, owns=("lib:Array",), accepts=("numpy:ndarray", "lib:Other")))
    for options in ({}, {"out": Array(np.zeros_like(EXPECTED))}):
        with pytest.raises(
            fastconv.BackendResultError, match=r"'wrong' returned .* of shape \(2, 3\) and dtype float64"
        ):
            conv2d(Array(IMAGE), KERNEL, backend="wrong", **options)


def test_plan_follows_the_type_of_its_image(lib):
    plan = plan_conv2d(KERNEL)
    for _ in range(2):
        same(plan(Array(IMAGE)))
        assert type(plan(IMAGE)) is np.ndarray
    out = Array(np.zeros_like(EXPECTED))
    assert plan(Array(IMAGE), out=out) is out
    assert "backend: owner (from the type of x)" in str(plan)
    assert "backend: cpu (from default)" in str(plan)
    same(pickle.loads(pickle.dumps(plan))(Array(IMAGE)))


def test_explanations_see_the_operands_where_one_is_owned(lib):
    """A plan may have more to say of them than their shapes, such as how a lazy array is cut."""

    class Talkative(Owner):
        def plan(self, problem):
            run = super().plan(problem)

            class Plan:
                __call__ = staticmethod(run)

                def explain(self, num_threads, *operands):
                    return {"seen": [type(operand).__name__ for operand in operands]}

            return Plan()

    fastconv.register_backend(BackendSpec("talkative", Talkative, owns=("lib:Other",)))
    x = Other(IMAGE)
    Talkative.kind = Other
    with fastconv.trace() as calls:
        conv2d(x, KERNEL)
        plan_conv2d(KERNEL)(x)
        conv2d(IMAGE, KERNEL, backend="talkative")
    seen = [call.details["seen"] for call in (*calls, fastconv.explain(x, KERNEL))]
    of_owned = ["Other", "ndarray", "NoneType"]
    assert seen == [of_owned, of_owned, [], of_owned]


def test_plan_of_owned_weights(lib):
    weight = Array(KERNEL)
    plan = plan_conv2d(weight, x_shape=(3, 4))
    assert plan.weight is weight
    same(plan(IMAGE))
    same(plan(Array(IMAGE)))
    assert plan.explain((3, 4)).backend == "owner"
    with pytest.raises(fastconv.BackendUnsupportedError, match=r"'cpu' takes numpy\.ndarray, but weight is"):
        plan_conv2d(weight, backend="cpu")


def test_plan_with_a_backend_of_its_own_is_strict(lib):
    with pytest.raises(fastconv.BackendUnsupportedError, match=r"'cpu' takes numpy\.ndarray, but x is"):
        plan_conv2d(KERNEL, backend="cpu")(Array(IMAGE))


def test_disabled_owner_keeps_its_arrays(lib, monkeypatch):
    monkeypatch.setenv("FASTCONV_DISABLE_BACKENDS", "owner")
    _config.reload()
    with pytest.raises(fastconv.BackendUnavailableError, match="'owner' is disabled"):
        conv2d(Array(IMAGE), KERNEL)


@pytest.mark.parametrize(
    "owns",
    ["numpy:ndarray", "numpy.ma:MaskedArray", "builtins:object", "builtins:list", "array:array", "collections.abc:Set"],
)
def test_numpys_and_pythons_types_cannot_be_owned(lib, owns):
    with pytest.raises(ValueError, match="can't own"):
        fastconv.register_backend(BackendSpec("greedy", Owner, owns=(owns,)))


def test_what_a_built_in_backend_owns_is_its_alone(table, monkeypatch):
    """By its own name it can't be claimed, by another it goes to nobody else, nor does an array of a class below."""
    monkeypatch.setattr(table, "_published", {"late": lambda: BackendSpec("late", Owner, owns=("alias:Array",))})
    monkeypatch.setitem(sys.modules, "dask.array.core", types.SimpleNamespace(Array=Array))
    monkeypatch.setitem(sys.modules, "alias", types.SimpleNamespace(Array=Array, Foreign=Foreign))
    with pytest.raises(ValueError, match=r"can't own 'dask\.array\.core:Array', which 'dask' does"):
        fastconv.register_backend(BackendSpec("greedy", Owner, owns=("dask.array.core:Array",)))
    fastconv.register_backend(BackendSpec("greedy", Owner, owns=("alias:Array", "alias:Foreign")))
    for kind, looked in ((Array, False), (Subclass, True)):
        assert route({"x": kind(IMAGE), "weight": KERNEL}, ("cpu",), "default")[0] == ("dask",)
        assert ("late" in table._installed) is looked, "arrays of a built-in backend's own type need no plugin"
    assert route({"x": Other(IMAGE)}, ("cpu",), "default")[0] == ("greedy",)


@pytest.mark.parametrize("field", ["owns", "accepts"])
@pytest.mark.parametrize("value", ["lib", "lib.Array", "lib:", ":Array", "a b:C"])
def test_array_types_are_named_in_one_form(lib, field, value):
    with pytest.raises(ValueError, match="must be 'module:Class'"):
        fastconv.register_backend(BackendSpec("bad", Owner, **{field: (value,)}))
    with pytest.raises(ValueError, match=f"{field} of backend 'bad' must be a tuple of strings"):
        fastconv.register_backend(BackendSpec("bad", Owner, **{field: value}))


def test_operator_that_a_backend_does_not_have(lib):
    fastconv.register_backend(BackendSpec("other", Owner, operators=("conv_transpose2d",)))
    with pytest.raises(fastconv.BackendUnsupportedError, match="'other' has no conv2d; it has conv_transpose2d"):
        conv2d(IMAGE, KERNEL, backend="other")
