"""Test the C core where there is no Python: cross-compiled for AArch64, under QEMU's user emulation; and with clang.

    apt install gcc-aarch64-linux-gnu qemu-user clang
    python tests/emulated/run.py [problems]

Every instruction set of the architecture computes the same random problems; each output is compared to the bit with the
contract's chain. On x86-64 no subnormal that lay in scratch memory may be computed with, since that is slow. A compiler
that is not installed is left out, and named.
"""

import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).parents[2]
CSRC = ROOT / "fastconv/csrc"
FLAGS = ["-O3", "-std=gnu11", "-ffp-contract=off", "-fno-math-errno", "-Wall", "-Wextra", "-Werror"]

TARGETS = [  # name, compiler, more flags, how to run
    ("gcc", "gcc", ["-Wconversion", "-Wshadow"], []),
    ("clang", "clang", ["-Wno-unknown-pragmas"], []),
    ("AArch64, gcc", "aarch64-linux-gnu-gcc", ["-static"], ["qemu-aarch64"]),
    (
        "AArch64, clang",
        "clang",
        ["--target=aarch64-linux-gnu", "-static", "-fuse-ld=bfd", "-Wno-unknown-pragmas"],
        ["qemu-aarch64"],
    ),
]


def main():
    """Build and run each target; return how many failed."""
    count = sys.argv[1] if len(sys.argv) > 1 else "300"
    failed = 0
    sources = [str(Path(__file__).with_name("driver.c")), *map(str, sorted(CSRC.rglob("*.c")))]
    for name, compiler, flags, runner in TARGETS:
        missing = [tool for tool in (compiler, *runner) if not shutil.which(tool)]
        if missing:
            print(f"{name}: left out, {', '.join(missing)} is not installed")
            continue
        with tempfile.TemporaryDirectory() as folder:
            binary = str(Path(folder, "driver"))
            subprocess.run([compiler, *FLAGS, *flags, f"-I{CSRC}", *sources, "-o", binary, "-lm"], check=True)
            done = subprocess.run([*runner, binary, count], capture_output=True, text=True, check=False)
            print(name, *done.stdout.splitlines(), sep="\n  ")
            failed += done.returncode != 0
    return failed


if __name__ == "__main__":
    sys.exit(main())
