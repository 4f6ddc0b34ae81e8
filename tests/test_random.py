"""The sweep: random problems over the whole argument space, each a seed, against the reference backend."""

import functools

import numpy as np
import pytest

import fastconv
from fastconv.backends.reference import ReferenceBackend
from fastconv.testing import MismatchError, check_call, random_call

CHUNKS = 20
EVERY = 25  # every so many problems one more is run with every instruction set but the best


def seeds(config, chunk):
    first, count = config.getoption("--first-problem"), config.getoption("--problems")
    return range(first + chunk * count // CHUNKS, first + (chunk + 1) * count // CHUNKS)


@pytest.mark.semantics
@pytest.mark.parametrize("chunk", range(CHUNKS))
def test_agrees_with_reference(chunk, request, fastconv_backend):
    failures, refused = [], 0
    for seed in seeds(request.config, chunk):
        try:
            check_call(random_call(seed), fastconv_backend)
        except fastconv.BackendUnsupportedError as error:
            refused += 1
            if fastconv_backend == "cpu":
                failures.append(f"{type(error).__name__}: {error}")
        except Exception as error:
            failures.append(f"{type(error).__name__}: {error}")
    assert refused < len(seeds(request.config, chunk)), f"{fastconv_backend} takes none"
    assert not failures, f"{len(failures)} failures, the first:\n" + "\n".join(failures[:3])


@functools.lru_cache(1000)  # of the 800 that are drawn unless more are asked for; each row takes them in turn
def by_direct(seed):
    """A random problem, and what the best instruction set and the chosen row make of it."""
    call = random_call(seed)
    best = fastconv.conv2d(call.x, call.weight, call.bias, **call.options, algorithm="direct")
    return call, best.tobytes()


def test_every_instruction_set_and_row_agrees_bit_for_bit(request, isa_backend, variant, conv2d_by):
    computed = 0
    for chunk in range(CHUNKS):
        for seed in seeds(request.config, chunk)[::EVERY]:
            call, best = by_direct(seed)
            other = conv2d_by(variant, call.x, call.weight, call.bias, **call.options, backend=isa_backend)
            if other is not None:
                assert best == other.tobytes(), repr(call)
                computed += 1
    if variant == "depthwise":
        assert computed > 0.02 * request.config.getoption("--problems") / EVERY


def test_draws_cover_the_argument_space():
    calls = [random_call(seed) for seed in range(1500)]
    seen = {
        "modes": {call.options["padding_mode"] for call in calls},
        "paddings": {type(call.options["padding"]).__name__ for call in calls},
        "formats": {call.options.get("data_format", "HW") for call in calls},
        "kinds": {call.x.dtype.kind + call.weight.dtype.kind for call in calls},
    }
    assert seen["modes"] == set(fastconv.PADDING_MODES)
    assert seen["paddings"] == {"int", "tuple", "str"}
    assert len(seen["formats"]) == 25  # the orders of four letters, and HW
    assert {"ff", "uf", "ui", "cc", "fc", "bi"} <= seen["kinds"]
    assert any(call.x.shape[0] == 0 for call in calls)
    assert any(0 in call.weight.shape for call in calls)
    for property_of in (
        lambda x: not x.flags.aligned,
        lambda x: not x.flags.writeable,
        lambda x: not x.dtype.isnative,
        lambda x: any(step < 0 for step in x.strides),
        lambda x: any(step == 0 and size > 1 for step, size in zip(x.strides, x.shape, strict=True)),
        lambda x: not x.flags.c_contiguous,
    ):
        assert any(property_of(call.x) for call in calls)
        assert any(property_of(call.weight) for call in calls)


def test_sums_of_small_integers_are_exact_where_the_algorithm_promises_it():
    """In float32: `direct` does, Winograd, which `auto` takes for this call, keeps within its bound."""
    call = random_call(12473)
    assert call.exact
    check_call(call, "cpu")
    direct = check_call(call, "cpu", algorithm="direct")
    np.testing.assert_array_equal(direct, check_call(call, "reference"))


def test_judge_rejects_wrong_results():
    """The judge is worth nothing unless it refuses a result that is a little wrong."""
    noisy = {
        "value": lambda y: y * (1 + 1e-4),
        "nan": lambda y: np.where(np.arange(y.size).reshape(y.shape) == 0, np.nan, y),
    }
    for name, spoil in noisy.items():

        class Spoiled:
            algorithms = ("auto",)

            def probe(self):
                return None

            def reject(self, problem):
                return None

            def plan(self, problem, spoil=spoil):
                right = ReferenceBackend().plan(problem)
                return lambda x, w, b, out, threads: spoil(right(x, w, b, out, threads)).astype(out.dtype)

        fastconv.register_backend(fastconv.BackendSpec(f"spoiled_{name}", Spoiled))
        call = next(c for c in map(random_call, range(100)) if not c.exact and c.x.dtype == "f4" and c.x.size > 50)
        with pytest.raises(MismatchError):
            check_call(call, f"spoiled_{name}")
