"""The package built in other ways; minutes, so by `pytest -m build` alone.

Each build is pip's own, isolated, from a copy of the sources, into a folder of its own.
"""

import json
import os
import re
import shutil
import subprocess
import sys
import tarfile
import textwrap
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
pytestmark = pytest.mark.build


def run(*command, cwd, check=True, **environment):
    variables = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "CC")}
    done = subprocess.run(command, cwd=cwd, capture_output=True, text=True, env=variables | environment, check=False)
    assert not check or done.returncode == 0, done.stdout[-5000:] + done.stderr[-5000:]
    return done


@pytest.fixture
def sources(tmp_path):
    """A copy of what is under version control or would be."""
    ignored = shutil.ignore_patterns("*.so", "_kernels.c", "__pycache__", "*.egg-info", "build", "dist", ".*")
    copy = tmp_path / "sources"
    shutil.copytree(ROOT, copy, ignore=ignored)
    return copy


def install(sources, target, check=True, **environment):
    command = (
        sys.executable,
        "-m",
        "pip",
        "install",
        "--no-deps",
        "--no-cache-dir",
        "--target",
        str(target),
        str(sources),
    )
    return run(*command, cwd=sources.parent, check=check, **environment)


def python(target, code, **environment):
    command = (sys.executable, "-W", "error", "-c", textwrap.dedent(code))
    return run(*command, cwd=target, PYTHONPATH=str(target), **environment).stdout.strip()


HASH = """
import hashlib, numpy as np
from fastconv import conv2d
rng = np.random.default_rng(5)
x, weight = rng.standard_normal((2, 37, 19, 23)).astype("f4"), rng.standard_normal((11, 37, 3, 3)).astype("f4")
print(hashlib.sha256(conv2d(x, weight, padding=1, stride=(1, 2)).tobytes()).hexdigest())
"""


def test_sdist_holds_every_source_and_the_wheel_made_from_it_none(sources, tmp_path):
    run(sys.executable, "-m", "build", "--outdir", str(tmp_path), cwd=sources)
    (sdist,), (wheel,) = tmp_path.glob("*.tar.gz"), tmp_path.glob("*.whl")
    with tarfile.open(sdist) as archive:
        packed = {name.split("/", 1)[1] for name in archive.getnames() if "/" in name}
    wanted = {
        str(path.relative_to(ROOT))
        for path in (ROOT / "fastconv").rglob("*")
        if path.suffix in (".c", ".h", ".py", ".pyx", ".pyi")
    }
    wanted -= {"fastconv/_kernels.c"}
    assert wanted <= packed
    assert {"setup.py", "pyproject.toml", "LICENSE", "README.md", "tests/test_random.py"} <= packed
    assert "fastconv/_kernels.c" not in packed
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
    assert not [name for name in names if re.search(r"\.(c|h|pyx|pxd)$|csrc|tests/", name)]
    assert {"fastconv/py.typed", "fastconv/_kernels.pyi", "fastconv/testing/__init__.py"} <= set(names)
    assert len([name for name in names if name.endswith((".so", ".pyd"))]) == 1
    assert wheel.stat().st_size < 4 << 20


def test_compiler_without_openmp_builds_a_serial_package(sources, tmp_path):
    compiler = tmp_path / "cc"
    compiler.write_text(
        '#!/bin/sh\nfor a in "$@"; do [ "$a" = -fopenmp ] && echo "unsupported option -fopenmp" >&2 && exit 1; done\n'
        'exec gcc "$@"\n'
    )
    compiler.chmod(0o755)
    target = tmp_path / "site"
    install(sources, target, CC=str(compiler))
    info = json.loads(python(target, "import json, fastconv; print(json.dumps(fastconv.show_config()))"))
    assert info["openmp"] is None
    assert info["threads"] == {"count": 1, "from": "built without OpenMP"}
    text = run(sys.executable, "-m", "fastconv", "info", cwd=target, PYTHONPATH=str(target)).stdout
    assert "built without OpenMP" in text
    here = run(sys.executable, "-c", HASH, cwd=tmp_path).stdout.strip()
    assert python(target, HASH) == here
    sweep = "from fastconv.testing import *\nfor seed in range(300): check_call(random_call(seed), 'cpu')"
    python(target, sweep)


def test_without_a_compiler_the_error_says_what_to_install(sources, tmp_path):
    done = install(sources, tmp_path / "site", check=False, CC=str(tmp_path / "no-such-compiler"))
    assert done.returncode != 0
    said = " ".join((done.stdout + done.stderr).split())
    assert "fastconv needs a C compiler" in said
    assert "apt install gcc" in said


def diff_of(page):
    text = (ROOT / "docs/howto" / page).read_text()
    return re.search(r"```diff\n(.*?)```", text, re.DOTALL).group(1)


def test_how_tos_are_true(sources, tmp_path):
    """Both diffs apply, touch one new file and one row, build, and their rows are tested with no test edited."""
    touched = {}
    for page in ("add-an-algorithm.md", "add-an-instruction-set.md"):
        diff = diff_of(page)
        touched[page] = sorted(re.findall(r"^\+\+\+ b/fastconv/csrc/(\S+)", diff, re.MULTILINE))
        (tmp_path / "change.diff").write_text(diff)
        run("git", "apply", str(tmp_path / "change.diff"), cwd=sources)
    assert touched["add-an-algorithm.md"] == ["algorithms/naive.c", "algorithms/table.h"]
    assert touched["add-an-instruction-set.md"] == ["simd/fma3.h", "simd/foreach.h"]
    target = tmp_path / "site"
    install(sources, target)
    code = """
        import numpy as np, fastconv
        from fastconv import _kernels
        assert _kernels.algorithms()["naive"] == "direct"
        rng = np.random.default_rng(0)
        x, weight = (rng.standard_normal(s).astype("f4") for s in ((2, 40, 9, 9), (5, 40, 3, 3)))
        results = {fastconv.conv2d(x, weight, algorithm=name).tobytes() for name in ("direct", "gather", "naive")}
        assert len(results) == 1
        assert "slower" in fastconv.explain(x, weight).details["algorithms"]["naive"]
        assert fastconv.explain(x, weight, padding=1).details["algorithms"]["naive"] == "it needs padding 0"
        try:
            fastconv.conv2d(x, weight, stride=2, algorithm="naive")
        except fastconv.BackendUnsupportedError as error:
            assert "algorithm 'naive' (algorithm=): it needs stride 1" in str(error)
        else:
            raise AssertionError("a row without FC_CAN_STRIDE computed a strided problem")
        print(fastconv.show_config()["instruction_sets"]["fma3"])
    """
    found = python(target, code)
    tests = [str(sources / "tests" / name) for name in ("test_layering.py", "test_direct.py")]
    done = run(sys.executable, "-m", "pytest", "-q", "-rA", *tests, cwd=target, PYTHONPATH=str(target))
    if found != "not on this processor":
        assert "cpu_fma3" in done.stdout


@pytest.mark.parametrize("sanitizer", ["", "-fsanitize=thread"])
def test_the_pool_runs_every_part_once_and_without_races(tmp_path, sanitizer):
    program = tmp_path / "pool"
    flags = ["-O1", "-g", "-std=gnu11", f"-I{ROOT / 'fastconv'}", *filter(None, [sanitizer])]
    built = run("gcc", *flags, str(ROOT / "tests/pool.c"), "-o", str(program), "-lpthread", cwd=tmp_path, check=False)
    if sanitizer and built.returncode:
        pytest.skip("this gcc has no ThreadSanitizer")
    assert built.returncode == 0, built.stderr
    # ThreadSanitizer does not follow children of a process with threads.
    done = run(str(program), *([] if sanitizer else ["children"]), cwd=tmp_path)
    assert done.stdout == "every part ran once\n"
    assert "WARNING" not in done.stderr
