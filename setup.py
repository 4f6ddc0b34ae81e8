"""One extension: _kernels.pyx and every C file of csrc. Metadata is in pyproject.toml.

No instruction-set flags: kernels choose theirs by target regions (csrc/simd/begin.h), so one build serves every
processor of an architecture. -ffp-contract=off and the absence of -ffast-math are part of the numerical contract.
"""

import os
import tempfile
from pathlib import Path

import numpy
from Cython.Build import cythonize
from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext
from setuptools.errors import CompileError, LinkError

CSRC = Path("fastconv/csrc")
# -fwrapv: coordinates of rows that no output needs may wrap with strides near 2**62; they are clamped before any use.
STRICT = ["-O3", "-std=gnu11", "-fno-fast-math", "-ffp-contract=off", "-fno-math-errno", "-fwrapv"]
NUMPY = "NPY_2_0_API_VERSION"  # the oldest that is supported
# Python's own flags ask for debug symbols, nine tenths of the extension's 17 MB: they are left out unless asked for.
SYMBOLS = [] if "-g" in os.environ.get("CFLAGS", "").split() else ["-g0"]


class BuildExt(build_ext):
    """Ask the compiler what it can do before the build, and say what is missing."""

    def build_extensions(self):
        if not self.compiles("int probe(void) { return 0; }", []):
            raise SystemExit(
                f"fastconv needs a C compiler, and {self.compiler.compiler_so[0]!r} does not compile one line. "
                "Install gcc or clang with the C library's headers (Debian, Ubuntu: apt install gcc libc6-dev; Fedora: "
                "dnf install gcc; macOS: xcode-select --install), or name your compiler in CC, and install again."
            )
        openmp = ["-fopenmp"]
        if not self.compiles("#include <omp.h>\nint probe(void) { return omp_get_max_threads(); }", openmp):
            print("fastconv: this compiler has no OpenMP; building a serial extension.")
            openmp = []
        for extension in self.extensions:
            extension.extra_compile_args += openmp
            extension.extra_link_args += openmp
        super().build_extensions()

    def compiles(self, program, flags):
        """Whether a program compiles and links."""
        with tempfile.TemporaryDirectory() as folder:
            source = Path(folder, "probe.c")
            source.write_text(program)
            quiet = os.dup(2)
            with Path(folder, "log").open("w") as log:
                os.dup2(log.fileno(), 2)
            try:
                objects = self.compiler.compile([str(source)], output_dir=folder, extra_postargs=flags)
                self.compiler.link_shared_object(objects, str(Path(folder, "probe.so")), extra_postargs=flags)
            except (CompileError, LinkError, OSError):
                return False
            finally:
                os.dup2(quiet, 2)
                os.close(quiet)
            return True


setup(
    cmdclass={"build_ext": BuildExt},
    ext_modules=cythonize(
        [
            Extension(
                "fastconv._kernels",
                ["fastconv/_kernels.pyx", *map(str, sorted(CSRC.rglob("*.c")))],
                include_dirs=["fastconv", str(CSRC), numpy.get_include()],
                depends=[*map(str, sorted(Path("fastconv").glob("_*.h"))), *map(str, sorted(CSRC.rglob("*.h")))],
                define_macros=[("NPY_NO_DEPRECATED_API", NUMPY), ("NPY_TARGET_VERSION", NUMPY)],
                extra_compile_args=STRICT + SYMBOLS,
                libraries=["m"],
            )
        ],
        compiler_directives={"language_level": 3, "boundscheck": False, "wraparound": False, "cdivision": True},
    ),
)
