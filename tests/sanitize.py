"""Build with AddressSanitizer and UndefinedBehaviorSanitizer, and run the suite.

    python tests/sanitize.py [arguments of pytest]

The build is pip's own, from a copy of the sources into a temporary folder; gcc's runtime is preloaded, since the
interpreter is not instrumented.
"""

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).parent.parent
FLAGS = "-fsanitize=address,undefined -fno-sanitize-recover=all -fno-omit-frame-pointer -g"
SUITE = ["direct", "winograd", "fft", "error_bound", "malformed", "problem", "random", "threads"]


def main():
    """Build, run, and return pytest's exit status."""
    with tempfile.TemporaryDirectory() as folder:
        sources, site = Path(folder, "sources"), Path(folder, "site")
        shutil.copytree(ROOT, sources, ignore=shutil.ignore_patterns("*.so", "_kernels.c", "build", ".*", "*.egg-info"))
        build = [sys.executable, "-m", "pip", "install", "-q", "--no-deps", "--target", str(site), str(sources)]
        subprocess.run(build, check=True, env=os.environ | {"CFLAGS": FLAGS, "LDFLAGS": FLAGS})
        runtimes = [
            subprocess.run(
                ["gcc", f"-print-file-name={name}"], capture_output=True, text=True, check=True
            ).stdout.strip()
            for name in ("libasan.so", "libubsan.so")
        ]
        environment = os.environ | {
            "PYTHONPATH": str(site),
            "LD_PRELOAD": " ".join(runtimes),
            "ASAN_OPTIONS": "detect_leaks=0:allocator_may_return_null=1:halt_on_error=1",
            "PYTHONMALLOC": "malloc",
        }
        tests = [str(sources / "tests" / f"test_{name}.py") for name in SUITE]
        command = [sys.executable, "-m", "pytest", "-q", "--problems", "3000", *tests, *sys.argv[1:]]
        return subprocess.run(command, cwd=site, env=environment, check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
