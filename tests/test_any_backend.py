"""The suite on any backend: what `--fastconv-backend=NAME` runs, what it counts, and what it finds out."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PLUGINS = {
    "right": "    pass",
    "wrong": """
    def plan(self, problem):
        right = super().plan(problem)
        def run(x, weight, bias, out, num_threads):
            right(x, weight, bias, out, num_threads)
            out += 1
            return out
        return run
    """,
    "picky": """
    def reject(self, problem):
        if problem.compute.kind in "iu":
            return "it has no integers"
        return "it has no strides" if problem.sw > 1 else None
    """,
    "absent": """
    def probe(self):
        return "there is no such device"
    """,
}


@pytest.fixture
def suite(tmp_path):
    """Run some of the tests on one of these backends, as if it were installed."""
    light, heavy = "from fastconv import BackendSpec\n", "from fastconv.backends.reference import ReferenceBackend\n"
    for name, code in PLUGINS.items():
        light += f"{name} = BackendSpec({name!r}, 'heavy:{name}')\n"
        heavy += f"class {name}(ReferenceBackend):\n{code}\n"
    (tmp_path / "light.py").write_text(light)
    (tmp_path / "heavy.py").write_text(heavy)
    metadata = tmp_path / "some_backends-1.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: some-backends\nVersion: 1\n")
    (metadata / "entry_points.txt").write_text(
        "[fastconv.backends]\n" + "".join(f"{name} = light:{name}\n" for name in PLUGINS)
    )
    path = os.pathsep.join([str(tmp_path), *filter(None, [os.environ.get("PYTHONPATH")])])

    def run(backend, *arguments):
        done = subprocess.run(
            [sys.executable, "-P", "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "no:xdist", *arguments,
             f"--fastconv-backend={backend}"],
            cwd=ROOT, capture_output=True, text=True, check=False, env=os.environ | {"PYTHONPATH": path},
        )  # fmt: skip
        counts = {word: int(n) for n, word in re.findall(r"(\d+) (\w+)", done.stdout.splitlines()[-1])}
        computed = re.search(r"It computed (\d+) calls in (\d+) of (\d+) tests", done.stdout)
        return done.returncode, counts, computed and [int(n) for n in computed.groups()], done.stdout + done.stderr

    return run


def test_a_right_backend_passes_and_is_seen_to_compute(suite):
    code, counts, (calls, computing, tests), _ = suite("right", "tests/test_conv1d.py", "tests/test_calls.py")
    assert code == 0
    assert counts["passed"] == tests > computing > 10
    assert calls > 200
    assert counts["deselected"] > 70  # all of test_calls.py, which is about the memory of cpu's calls


def test_a_wrong_backend_fails(suite):
    code, counts, _, _ = suite("wrong", "tests/test_conv1d.py")
    assert code == 1
    assert counts["failed"] > 10


def test_what_a_backend_rejects_is_refused_and_counted_with_its_reason(suite):
    code, counts, _, text = suite("picky", "tests/test_conv1d.py", "tests/test_direct.py", "tests/test_views.py")
    assert code == 0, text
    assert counts["refused"] > 3
    assert counts["passed"] > 50
    assert re.search(r"and refused \d+ tests and \d\d+ calls in others:", text)
    assert re.search(r"^ +\d+ backend 'picky' can't compute this problem: it has no integers;", text, re.MULTILINE)
    assert re.search(r"^ +\d+ backend 'picky' can't compute this problem: it has no strides;", text, re.MULTILINE)


def test_a_run_in_which_it_computes_nothing_proves_nothing(suite):
    code, counts, computed, _ = suite("right", "tests/test_conv1d.py", "-k", "what_is_wrong")
    assert counts["passed"] > 10
    assert "failed" not in counts
    assert computed[0] == 0
    assert code == 1


@pytest.mark.parametrize(("name", "said"), [("absent", "there is no such device"), ("nobody", "no backend 'nobody'")])
def test_a_backend_that_is_not_there_is_an_error_of_usage(suite, name, said):
    code, _, _, text = suite(name, "tests/test_conv1d.py")
    assert code == pytest.ExitCode.USAGE_ERROR
    assert said in text
    assert "Traceback" not in text
