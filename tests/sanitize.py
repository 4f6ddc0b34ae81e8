"""Build with AddressSanitizer and UndefinedBehaviorSanitizer by clang, and run the suite.

    python tests/sanitize.py [arguments of pytest]

The build is pip's own, from a copy of the sources into a temporary folder; clang's runtime is preloaded, since the
interpreter is not instrumented. The leaf loops are why it is clang at -O1: gcc 12 needs over half an hour for them.
They read memory through vectors, and at each such read the checks of undefined behaviour would ask whether its
pointer is null, aligned, in an object and not wrapped: AddressSanitizer asks what counts.
"""

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).parent.parent
FLAGS = (
    "-fsanitize=address,undefined -fno-sanitize=null,alignment,object-size,pointer-overflow -fno-sanitize-recover=all "
    "-shared-libasan -fno-omit-frame-pointer"
)
SUITE = ["direct", "split", "winograd", "fft", "error_bound", "malformed", "problem", "random", "threads"]


def main():
    """Build, run, and return pytest's exit status."""
    runtime = subprocess.run(
        ["clang", f"-print-file-name=libclang_rt.asan-{os.uname().machine}.so"],
        capture_output=True, text=True, check=True,
    ).stdout.strip()  # fmt: skip
    with tempfile.TemporaryDirectory() as folder:
        sources, site, compiler = (Path(folder, name) for name in ("sources", "site", "compiler"))
        shutil.copytree(ROOT, sources, ignore=shutil.ignore_patterns("*.so", "_kernels.c", "build", ".*", "*.egg-info"))
        compiler.write_text(f'#!/bin/sh\nexec clang "$@" {FLAGS} -g1 -O1\n')  # after setup.py's own -O3 and -g0
        compiler.chmod(0o755)
        build = [sys.executable, "-m", "pip", "install", "-q", "--no-deps", "--target", str(site), str(sources)]
        subprocess.run(build, check=True, env=os.environ | {"CC": str(compiler)})
        environment = os.environ | {
            "PYTHONPATH": str(site),
            "LD_PRELOAD": runtime,
            "ASAN_OPTIONS": "detect_leaks=0:allocator_may_return_null=1:halt_on_error=1",
            "PYTHONMALLOC": "malloc",
        }
        tests = [str(sources / "tests" / f"test_{name}.py") for name in SUITE]
        promise = "tests/test_malformed.py::test_refused_within_a_millisecond"  # of builds without checks
        options = ["-q", "--problems", "3000", "--deselect", promise, *sys.argv[1:]]
        command = [sys.executable, "-m", "pytest", *tests, *options]
        return subprocess.run(command, cwd=site, env=environment, check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
