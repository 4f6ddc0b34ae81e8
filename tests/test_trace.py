"""What computed a call and why: trace, explain, and where each setting came from."""

import asyncio
import concurrent.futures
import multiprocessing

import numpy as np
import pytest

import fastconv
from fastconv import BackendSpec, _config, conv2d
from fastconv.backends.reference import ReferenceBackend

IMAGE, KERNEL = np.arange(12.0).reshape(3, 4), np.ones((2, 2))
EXPECTED = conv2d(IMAGE, KERNEL)


class Picky(ReferenceBackend):
    def reject(self, problem):
        return "it computes no strided problems" if problem.sh > 1 else None

    def cost(self, problem):
        return problem.macs * 1e-6


@pytest.fixture
def picky(table):
    fastconv.register_backend(BackendSpec("picky", Picky))


def test_trace_records_each_call_as_it_was_computed(picky):
    conv2d(IMAGE, KERNEL)  # remembered, and traced all the same
    plan = fastconv.plan_conv2d(KERNEL)
    plan(IMAGE)
    with fastconv.trace() as calls:
        assert conv2d(IMAGE, KERNEL, num_threads=1).tobytes() == EXPECTED.tobytes()
        conv2d(IMAGE, KERNEL, stride=2, backend=("picky", "reference", "cpu"))
        plan(IMAGE)
        conv2d(np.ones((0, 1, 3, 3)), np.ones((1, 1, 2, 2)))
        with pytest.raises(fastconv.BackendUnsupportedError):
            conv2d(IMAGE, KERNEL, stride=2, backend="picky")
    conv2d(IMAGE, KERNEL)
    assert [call.backend for call in calls] == ["cpu", "reference", "cpu", "cpu"]
    first, second, third, empty = calls
    assert first.source == third.source == "default"
    assert {"algorithm", "variant", "isa", "threads"} <= first.details.keys()
    assert first.details["threads"] == 1
    assert first.details["algorithms"][first.details["variant"]] == "chosen"
    assert second.source == "backend="
    assert "no strided problems" in second.candidates["picky"]
    assert second.candidates["reference"] == "chosen"
    assert second.candidates["cpu"] == "not needed"
    assert empty.problem.n == 0
    assert empty.details == {}


def test_traces_nest_and_keep_the_choice_of_backend():
    with fastconv.use_backend("reference"), fastconv.trace() as outer:
        conv2d(IMAGE, KERNEL)
        with fastconv.trace() as inner, fastconv.use_backend("cpu"):
            conv2d(IMAGE, KERNEL)
        conv2d(IMAGE, KERNEL)
    assert [call.backend for call in outer] == ["reference", "cpu", "reference"]
    assert [call.backend for call in inner] == ["cpu"]
    assert outer[1].source == "use_backend"


def test_trace_is_left_after_an_error():
    with pytest.raises(ZeroDivisionError), fastconv.trace() as calls:
        raise ZeroDivisionError
    conv2d(IMAGE, KERNEL)
    assert not calls


def test_scopes_follow_asynchronous_tasks():
    """A task has the scope of where it was created, and what it opens itself stays with it."""

    async def call(backend, steps):
        with fastconv.use_backend(backend) if backend else fastconv.trace():
            seen = []
            for _ in range(steps):
                await asyncio.sleep(0)
                seen.append(fastconv.explain(IMAGE, KERNEL).backend)
            return seen

    async def main():
        with fastconv.use_backend("reference"):
            return await asyncio.gather(call("cpu", 3), call("reference", 4), call(None, 5), asyncio.to_thread(ask))

    def ask():
        return fastconv.explain(IMAGE, KERNEL).backend

    assert asyncio.run(main()) == [["cpu"] * 3, ["reference"] * 4, ["reference"] * 5, "reference"]
    assert ask() == "cpu"


@pytest.mark.parametrize(("method", "expected"), [("fork", "use_backend"), ("spawn", "FASTCONV_BACKEND")])
@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_scopes_reach_forked_processes_alone(table, monkeypatch, method, expected):
    """As docs/threads.md has it: a forked child is a copy; a spawned one has what its environment says."""
    monkeypatch.setenv("FASTCONV_BACKEND", "reference")
    fastconv.set_default_backend("reference")
    with fastconv.use_backend("cpu"):
        context = multiprocessing.get_context(method)
        with concurrent.futures.ProcessPoolExecutor(1, mp_context=context) as pool:
            report = pool.submit(fastconv.explain, IMAGE, KERNEL).result()
    assert report.source == expected
    assert report.backend == ("cpu" if method == "fork" else "reference")


def test_trace_sees_this_thread_alone():
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        pool.submit(conv2d, IMAGE, KERNEL).result()  # the thread is there before the trace is
        with fastconv.trace() as calls:
            pool.submit(conv2d, IMAGE, KERNEL).result()
            conv2d(IMAGE, KERNEL)
    assert len(calls) == 1


def test_explain_gives_every_candidates_verdict(picky, monkeypatch):
    monkeypatch.setenv("FASTCONV_DISABLE_BACKENDS", "reference")
    _config.reload()
    fastconv.register_backend(BackendSpec("absent", "no_such_module:Backend"))
    conv2d(IMAGE, KERNEL, backend="picky")
    report = fastconv.explain(IMAGE, KERNEL, stride=2)
    assert report.candidates["cpu"] == "chosen"
    assert report.candidates["picky"].startswith(
        "not asked for; backend 'picky' can't compute this problem: it computes"
    )
    assert report.candidates["absent"] == "not asked for"  # asking would import it
    assert fastconv.explain(IMAGE, KERNEL).candidates["picky"] == "not asked for; it could (about 2.4e-05 s)"
    asked = fastconv.explain(IMAGE, KERNEL, backend=("absent", "reference", "picky", "cpu")).candidates
    assert "No module named" in asked["absent"]
    assert "is disabled by FASTCONV_DISABLE_BACKENDS" in asked["reference"]
    assert asked["picky"] == "chosen (about 2.4e-05 s)"
    assert asked["cpu"] == "not needed"


def test_a_backend_nobody_asked_for_cannot_spoil_an_explanation(table):
    class Spoilsport(ReferenceBackend):
        def reject(self, problem):
            raise ZeroDivisionError("a bug")

    fastconv.register_backend(BackendSpec("spoilsport", Spoilsport))
    assert fastconv.backends()["spoilsport"] == "usable"
    assert fastconv.explain(IMAGE, KERNEL).candidates["spoilsport"] == "not asked for; a bug"
    with pytest.raises(ZeroDivisionError):
        conv2d(IMAGE, KERNEL, backend="spoilsport")


COSTS = {
    "nan": (float("nan"), "but its cost is nan, not seconds"),
    "infinite": (float("inf"), "but its cost is inf, not seconds"),
    "negative": (-1, "but its cost is -1, not seconds"),
    "text": ("2", "but its cost is '2', not seconds"),
    "complex": (1j, "but its cost failed: TypeError: "),
    "exit": (SystemExit(3), "but its cost failed: SystemExit: 3"),
    "generator": (GeneratorExit(), "but its cost failed: GeneratorExit: "),
}


@pytest.mark.parametrize("what", COSTS)
def test_a_cost_that_is_none_is_told_and_does_no_harm(table, what):
    value, words = COSTS[what]

    class Costly(ReferenceBackend):
        def cost(self, problem):
            if isinstance(value, BaseException):
                raise value
            return value

    fastconv.register_backend(BackendSpec("costly", Costly))
    np.testing.assert_array_equal(conv2d(IMAGE, KERNEL, backend="costly"), EXPECTED)
    assert fastconv.explain(IMAGE, KERNEL, backend="costly").candidates["costly"].startswith(f"chosen, {words}")
    assert fastconv.explain(IMAGE, KERNEL).candidates["costly"].startswith(f"not asked for; it could, {words}")


def test_a_plan_that_ends_the_process_ends_no_explanation(table):
    class Quitter(ReferenceBackend):
        def plan(self, problem):
            raise SystemExit(3)

    fastconv.register_backend(BackendSpec("quitter", Quitter))
    with pytest.raises(fastconv.BackendResultError, match="'quitter' tried to end the process"):
        fastconv.explain(IMAGE, KERNEL, backend="quitter")


def test_a_plan_that_cannot_explain_itself_still_computes(table):
    class Mute(ReferenceBackend):
        def plan(self, problem):
            class Plan:
                def __call__(self, *arguments):
                    return ReferenceBackend().plan(problem)(*arguments)

                def explain(self, num_threads):
                    raise KeyError("threads")

            return Plan()

    fastconv.register_backend(BackendSpec("mute", Mute))
    with fastconv.trace() as calls:
        np.testing.assert_array_equal(conv2d(IMAGE, KERNEL, backend="mute"), EXPECTED)
    assert "explain failed: KeyError" in calls[0].details["explain"]


def test_an_algorithm_that_the_first_of_several_does_not_have(picky):
    options = {"algorithm": "direct", "backend": ("picky", "cpu")}
    with fastconv.trace() as calls:
        np.testing.assert_array_equal(conv2d(IMAGE, KERNEL, **options), EXPECTED)
    assert calls[0].backend == fastconv.explain(IMAGE, KERNEL, **options).backend == "cpu"
    assert "algorithm must be one of auto with backend 'picky'" in calls[0].candidates["picky"]
    for call in (conv2d, fastconv.explain):
        with pytest.raises(ValueError, match="algorithm must be one of auto with backend 'picky'"):
            call(IMAGE, KERNEL, algorithm="direct", backend="picky")


def test_each_setting_has_its_source(table, monkeypatch):
    details = fastconv.explain(IMAGE, KERNEL).details
    assert details["algorithm_from"] == "cost"
    assert details["isa_from"] == "the best that runs here"
    text = str(fastconv.explain(IMAGE, KERNEL, num_threads=1, algorithm="direct"))
    for line in (
        "backend: cpu (from default)",
        "algorithm: direct (from algorithm=)",
        "threads: 1 (from num_th",
    ):
        assert line in text
    assert "isa: " in text
    monkeypatch.setenv("FASTCONV_ISA", "portable")
    _config.reload()
    table._loaded.clear()
    assert "isa: portable (from FASTCONV_ISA)" in str(fastconv.explain(IMAGE, KERNEL))


def test_explanation_is_plain_data():
    data = fastconv.explain(IMAGE, KERNEL).to_dict()
    assert data["operator"] == "conv2d"
    assert data["problem"]["oh"] == 2
    assert set(data) == {"operator", "problem", "backend", "source", "candidates", "details"}
