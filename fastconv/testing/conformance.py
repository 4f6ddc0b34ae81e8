"""The conformance kit: the tests that a backend has to pass, as a class to subclass."""

from __future__ import annotations

import concurrent.futures
import pickle
import warnings
from collections.abc import Iterator
from typing import Any, ClassVar

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings

import fastconv

from ._calls import Call, random_call
from ._judge import expect, judge, naming
from ._operators import DRAWN, OperatorConformance
from ._process import ProcessConformance
from ._views import frozen, views
from .strategies import calls

Array = np.ndarray[Any, Any]


class BackendConformance(OperatorConformance, ProcessConformance):
    """Tests of one backend. Subclass it under a name that pytest collects, and say which backend it is.

    Attributes
    ----------
    backend : str
        Its name.
    problems : int
        How many random calls are drawn for each test that draws them.
    least_share : float
        The least share of random calls that the backend takes; the rest it rejects, with a reason.
    exact : bool
        Whether sums of small integers in floating point are exact; FFT and Winograd do not promise it. Errors are
        judged by `fastconv.conv2d_error_bound`, so by the constant that a plan's ``error`` states.
    non_finite : bool
        Whether NaN and infinities reach exactly the outputs that they should. It is part of the operator's definition;
        a backend that can't says so in its documentation, and here.
    may_call : tuple of str
        Other backends that it may call through fastconv's public functions. A call of any other is a silent fallback.
    fork_safe : bool
        Whether it works in a forked child of a process that has used it. CUDA does not.
    """

    backend: str = ""
    problems: int = 300
    least_share: float = 0.2
    exact: bool = True
    non_finite: bool = True
    may_call: tuple[str, ...] = ()
    fork_safe: bool = True

    EXAMPLES: ClassVar[settings] = settings(
        max_examples=100,
        deadline=None,
        derandomize=True,
        database=None,
        # Subclasses share the test, and the first call of a backend may take seconds.
        suppress_health_check=[HealthCheck.differing_executors, HealthCheck.too_slow],
    )

    def make_array(self, array: Array) -> Any:
        """Return an array of a type that the backend owns with these values. For backends that own arrays."""
        raise NotImplementedError(f"backend {self.backend!r} owns arrays: its kit needs make_array and to_numpy")

    def to_numpy(self, array: Any) -> Array:
        """Return the values of an array that the backend owns. For backends that own arrays."""
        raise NotImplementedError(f"backend {self.backend!r} owns arrays: its kit needs make_array and to_numpy")

    # --- what the tests are made of

    def ways(self) -> list[bool]:
        """Return how calls are made: with NumPy's arrays (False), with the backend's own (True)."""
        spec = fastconv.backend_spec(self.backend)
        return [False] * ("numpy:ndarray" in spec.accepts) + [True] * bool(spec.owns)

    def compute(self, call: Call, owned: bool = False, **changes: Any) -> Array:
        """Compute a call with the backend, see that it was the backend that did, and return the values."""
        make = self.make_array if owned else _same
        options = call.options | changes
        self.remember()
        with naming(call), fastconv.trace() as traced:
            bias = None if call.bias is None else make(call.bias)
            y = fastconv.conv2d(make(call.x), make(call.weight), bias, **options, backend=self.backend)
        self.expect_own(traced, f"{call}")
        if owned:
            expect(not isinstance(y, np.ndarray), f"of its own arrays it makes NumPy's, for {call}")
            return self.to_numpy(y)
        fresh = type(y) is np.ndarray and y.flags.c_contiguous and y.flags.writeable and y.dtype.isnative
        expect(fresh, f"the result is not a new, native, C-contiguous numpy.ndarray for {call}")
        return y

    def expect_own(self, traced: list[fastconv.Explanation], what: str) -> None:
        """See that a traced call was computed by the backend and by no other."""
        ran = [record.backend for record in traced]
        others = set(ran) - {self.backend, *self.may_call}
        expect(bool(ran) and ran[-1] == self.backend and not others, f"backends {ran} ran {what}")

    def check(self, call: Call, owned: bool = False, **changes: Any) -> bool:
        """Judge what the backend makes of a call; return False if it rejects it, with a reason that is one."""
        if not self.non_finite and not all(np.isfinite(a).all() for a in call[:3] if a is not None):
            return False
        verdict = self.verdict(call, owned, **changes)
        try:
            result = self.compute(call, owned, **changes)
        except fastconv.BackendUnsupportedError as refusal:
            expect(verdict is not None, f"reject had nothing to say, and then: {refusal} ({call})")
            expect(len(str(refusal)) <= 500, f"a refusal of {len(str(refusal))} characters: {refusal}")
            return False
        expect(verdict is None, f"reject said {verdict!r}, and it was computed all the same: {call}")
        judge(call, result, self.backend, self.exact, **changes)
        return True

    def verdict(self, call: Call, owned: bool = False, **changes: Any) -> str | None:
        """Return why the backend rejects a call, or None. Asks twice, and with other values in the arrays."""
        answers = set()
        for source in (call, call, call._replace(x=np.zeros_like(call.x), weight=np.zeros_like(call.weight))):
            make = self.make_array if owned else _same
            options = {key: value for key, value in (source.options | changes).items() if key != "out"}
            bias = None if source.bias is None else make(source.bias)
            report = fastconv.explain(make(source.x), make(source.weight), bias, **options, backend=self.backend)
            answers.add(report.candidates[self.backend].split(" (about")[0])
        expect(len(answers) == 1, f"reject answers now {' now '.join(map(repr, answers))} for {call}")
        answer = answers.pop()
        expect(", but its cost" not in answer, f"cost is to be seconds, or None: {answer!r} for {call}")
        return None if answer == "chosen" else answer

    def taken(self, count: int | None = None) -> Iterator[Call]:
        """Yield random calls that the backend takes."""
        found = 0
        for seed in range(self.problems):
            call = random_call(seed)
            if self.verdict(call, self.ways()[0]) is None:
                found += 1
                yield call
                if found == count:
                    return
        expect(found > 0, f"it took none of {self.problems} random calls")

    # --- the tests

    def test_is_usable(self) -> None:
        """It is there, loads, says that it can be used, and has the operator that the kit tests."""
        spec = fastconv.backend_spec(self.backend)
        verdict = fastconv.explain(np.ones((3, 3)), np.ones((2, 2)), backend=self.backend).candidates[self.backend]
        expect("can't be loaded" not in verdict and "can't be used" not in verdict, verdict)
        expect("conv2d" in spec.operators, f"it has {spec.operators}, and this kit tests conv2d")
        unknown = [name for name in spec.operators if name not in DRAWN and name != "conv2d"]
        expect(not unknown, f"its description states operators that fastconv does not have: {', '.join(unknown)}")
        expect(bool(self.ways()), "it takes neither NumPy's arrays nor any of its own")

    def test_agrees_with_the_reference(self) -> None:
        """Random calls over the whole argument space come out right, or are rejected with a reason."""
        for owned in self.ways():
            taken = sum(self.check(random_call(seed), owned) for seed in range(self.problems))
            share = taken / self.problems
            expect(share >= self.least_share, f"it takes {share:.0%} of random calls, owned arrays: {owned}")

    @EXAMPLES
    @given(call=calls())
    def test_any_call(self, call: Call) -> None:
        """Hypothesis looks for a small call that comes out wrong."""
        for owned in self.ways():
            self.check(call, owned)

    @EXAMPLES
    @given(call=calls(("f4", "f8")))
    def test_any_call_of_floats(self, call: Call) -> None:
        """As above, in the dtypes that most backends are for."""
        for owned in self.ways():
            self.check(call, owned)

    def test_non_finite_values_stay_where_they_belong(self) -> None:
        """One NaN or infinity at a time, in the image and in the kernel: as in the definition, padding included."""
        if not self.non_finite:
            pytest.skip("non_finite = False")
        rng = np.random.default_rng(0)
        for position in range(25):
            for value in (np.nan, np.inf, -np.inf):
                x, weight = rng.random((2, 5, 5), np.float32), rng.random((2, 2, 3, 3), np.float32)
                (x if position % 2 else weight)[0].flat[position % 9 if position % 2 == 0 else position] = value
                for options in ({"padding": 1}, {"stride": 2, "padding": ((0, 1), (2, 0)), "padding_mode": "edge"}):
                    call = Call(x, weight, None, {**options, "data_format": "CHW"}, None, False)
                    for owned in self.ways():
                        self.check(call, owned)

    def test_empty_results(self) -> None:
        """No images or no kernels give an empty result of the right shape, refused where a full one would be."""
        for n, o in ((0, 3), (2, 0), (0, 0)):
            for kind in ("f4", "f8", "i4"):
                call = Call(np.ones((n, 2, 5, 4), kind), np.ones((o, 2, 2, 2), kind), None, {"padding": 1}, None, True)
                full = call._replace(x=np.ones((1, 2, 5, 4), kind), weight=np.ones((1, 2, 2, 2), kind))
                for owned in self.ways():
                    empty, rejected = self.check(call, owned), self.verdict(full, owned)
                    expect(empty == (rejected is None), f"an empty result is refused unlike a full one: {rejected}")

    def test_large_integers(self) -> None:
        """Integers are summed modulo 2**64, in no narrower arithmetic and in no floating point, or are rejected."""
        rng = np.random.default_rng(2)
        for kinds in (("i8", "i8"), ("u8", "u8"), ("i4", "i4"), ("i8", "u1")):
            x, weight = (
                rng.integers(np.iinfo(kind).min, np.iinfo(kind).max, shape, kind, endpoint=True)
                for kind, shape in zip(kinds, ((1, 2, 5, 6), (3, 2, 2, 2)), strict=True)
            )
            for owned in self.ways():
                self.check(Call(x, weight, None, {"padding": 1}, None, True), owned)

    def test_strides(self) -> None:
        """Any memory layout of the operands is read in place: views, steps, reversed axes, swapped bytes, stride 0."""
        rng = np.random.default_rng(1)
        x = rng.integers(-3, 4, (3, 4, 9, 8)).astype(np.float32)
        weight = rng.integers(-3, 4, (4, 4, 3, 2)).astype(np.float32)
        call, taken = Call(x, weight, None, {"padding": 1}, None, True), 0
        for name, view in views(x).items():
            for changed in (call._replace(x=view), call._replace(weight=views(weight)[name])):
                taken += sum(self.check(changed, owned) for owned in self.ways())
        expect(taken > 0, f"it takes none of {call}")

    def test_out(self) -> None:
        """The result goes into `out` if that is given, in any layout, also where it overlaps an operand."""
        if False not in self.ways():
            pytest.skip("it does not take NumPy's arrays")
        for call in self.taken(40):
            y = self.compute(call)
            for name, out in views(np.full(y.shape, 7, y.dtype), writable=True).items():
                result = fastconv.conv2d(*call[:3], **call.options, backend=self.backend, out=out)
                expect(result is out, f"out ({name}) is not what is returned for {call}")
                judge(call, result, self.backend, self.exact)
                if name == "every other element" and out.base is not None:
                    expect(not out.base[..., ::2].any(), f"it writes beside out for {call}")
        x = np.arange(1.0, 31).reshape(5, 6)
        call = Call(x, np.array([[1.0, 2.0]]), None, {"padding": "same"}, None, True)
        if self.verdict(call) is None:
            expected, overlapping = self.compute(call), x.copy()
            fastconv.conv2d(overlapping, call.weight, padding="same", backend=self.backend, out=overlapping)
            expect(np.allclose(overlapping, expected, rtol=1e-6), "it is wrong where out is x")

    def test_operands_are_left_alone(self) -> None:
        """Operands are not written to, and may be read-only."""
        for call in self.taken(60):
            for owned in self.ways():
                before = [None if a is None else a.tobytes() for a in call[:3]]
                self.compute(call, owned)
                expect(
                    [None if a is None else a.tobytes() for a in call[:3]] == before, f"it changed operands of {call}"
                )
                if owned:  # which may be copies
                    x, weight = self.make_array(call.x), self.make_array(call.weight)
                    fastconv.conv2d(x, weight, **call.options, backend=self.backend)
                    for given, array in ((x, call.x), (weight, call.weight)):
                        same = np.array_equal(self.to_numpy(given), array, equal_nan=array.dtype.kind in "fc")
                        expect(same, f"it changed operands of {call}")
                bias = None if call.bias is None else frozen(call.bias)
                self.check(call._replace(x=frozen(call.x), weight=frozen(call.weight), bias=bias), owned)

    def test_plans(self) -> None:
        """A plan for weights that stay the same gives what a call gives, from several threads too."""
        for owned in self.ways():
            for call in self.taken(30):
                plan, x, read = self.plan(call, owned)
                with fastconv.trace() as traced:
                    results = [plan(x) for _ in range(2)]
                self.expect_own(traced, f"a plan of {call}")
                with concurrent.futures.ThreadPoolExecutor(4) as pool:
                    results += pool.map(plan, [x] * 4)
                for result in results:
                    judge(call, read(result), self.backend, self.exact)

    def test_pickling(self) -> None:
        """A plan can be sent to another process, used or not."""
        for owned in self.ways():
            for call in self.taken(20):
                plan, x, read = self.plan(call, owned)
                for _ in range(2):
                    sent = pickle.loads(pickle.dumps(plan))  # noqa: S301 - made here
                    judge(call, read(sent(x)), self.backend, self.exact)
                    plan(x)

    def plan(self, call: Call, owned: bool) -> tuple[fastconv.Plan, Any, Any]:
        """Return a plan of a call, its image, and what reads its result."""
        make, read = (self.make_array, self.to_numpy) if owned else (_same, _same)
        options = {key: value for key, value in call.options.items() if key != "num_threads"}
        bias = None if call.bias is None else make(call.bias)
        return fastconv.plan_conv2d(make(call.weight), bias, **options, backend=self.backend), make(call.x), read

    def test_threads(self) -> None:
        """Calls from several threads at once, of the same problem and of different ones, are right."""
        many = [call for call in self.taken(24) for _ in range(4)]
        for owned in self.ways():
            with concurrent.futures.ThreadPoolExecutor(8) as pool:
                answers = list(pool.map(self.check, many, [owned] * len(many)))
            expect(all(answers), "it rejects in a thread what it takes elsewhere")

    def test_settings_of_the_caller_do_no_harm(self) -> None:
        """A caller who makes floating-point flags and warnings errors gets results, not errors."""
        for call in self.taken(60):
            for owned in self.ways():
                with np.errstate(all="raise"), warnings.catch_warnings():
                    warnings.simplefilter("error")
                    result = self.compute(call, owned)
                judge(call, result, self.backend, self.exact)

    def test_same_call_same_result(self) -> None:
        """The bits of a call do not change from one time to the next, whatever is computed in between."""
        several = list(self.taken(20))
        for owned in self.ways():
            first = [self.compute(call, owned).tobytes() for call in several]
            for call, bits in reversed(list(zip(several, first, strict=True))):
                expect(self.compute(call, owned).tobytes() == bits, f"other bits the second time for {call}")

    def test_unknown_algorithm(self) -> None:
        """`algorithm=` takes the names that the backend has, and no other."""
        call = next(self.taken(1))
        try:
            self.compute(call, self.ways()[0], algorithm="no_such_algorithm")
        except ValueError as error:
            expect("auto" in str(error), f"the error names no algorithms: {error}")
        else:
            expect(False, "it takes algorithm='no_such_algorithm'")

    def test_own_arrays_come_by_themselves(self) -> None:
        """A call with an array that the backend owns goes to it without being sent, and is refused elsewhere."""
        if True not in self.ways():
            pytest.skip("it owns no arrays")
        for call in self.taken(30):
            x = self.make_array(call.x)
            make = _same if False in self.ways() else self.make_array
            bias = None if call.bias is None else make(call.bias)
            with fastconv.trace() as traced:
                y = fastconv.conv2d(x, make(call.weight), bias, **call.options)
            self.expect_own(traced, f"a call with an array of its own, {call}")
            judge(call, self.to_numpy(y), self.backend, self.exact)
            with pytest.raises(fastconv.BackendUnsupportedError):
                fastconv.conv2d(x, call.weight, **call.options, backend="reference")


def _same(array: Any) -> Any:
    return array
