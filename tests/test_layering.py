"""The rules of the architecture, as tests: who may know whom, what is in a table, how large a part may grow.

These read the sources, so they run where the checkout is at hand.
"""

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

from fastconv import Problem, _kernels

ROOT = Path(__file__).parent.parent
PACKAGE = ROOT / "fastconv"
CSRC = PACKAGE / "csrc"

CHOOSING = ("backends._selection", "backends._table", "backends._types")
DASK = tuple(
    f"backends.dask.{name}" for name in ("_adjoint", "_axis", "_bands", "_channels", "_compute", "_layout", "_tiles")
)

MAY_IMPORT = {  # module -> what else of fastconv it may import
    "_arguments": set(),
    "_dtypes": {"_arguments"},
    "_axes": {"_arguments"},
    "_problem": {"_arguments", "_axes", "_dtypes", "_operators"},
    "_errors": set(),
    "_version": set(),
    "_cpus": {"_errors", "_kernels"},
    "filters": {"_arguments"},
    "expand": {"_arguments", "_operators", "_problem", "_receive", "backends._selection", "backends.reference"},
    "_config": {"_errors"},
    "_operators": set(),  # what it names is imported when it is first asked for
    "_adjoint_problems": {"_arguments", "_axes", "_dtypes", "_problem"},
    "_explain": {"_arguments", "_errors", "_problem", "backends._compose", *CHOOSING},
    "_execute": {"_arguments", "_errors", "_problem", "backends", "backends._table", "backends._types"},
    "_problems": {"_forks", "_operators", "_problem"},
    "_receive": {"_problem", "backends._types"},
    "_error_bound": {
        *("_api", "_problem", "_receive", "_spectral_bound", "_tile_bound"),
        *("backends._selection", "backends._types", "backends.reference"),
    },
    "_spectral_bound": {"_api", "_problem", "_tile_bound", "backends.reference"},
    "_tile_bound": {"_problem", "backends.reference"},
    "_forks": set(),
    "_api": {
        *(
            "_arguments",
            "_execute",
            "_explain",
            "_forks",
            "_operators",
            "_problem",
            "_problems",
            "_receive",
            "backends",
        ),
        *CHOOSING,
    },
    "_gradients": {"_api"},
    "_conv1d": {"_api"},
    "_conv3d": {"_api"},
    "_views": {"_api", "_arguments", "_axes", "_receive", "backends._selection"},
    "_windows": {"_api"},
    "_window_problems": {"_arguments", "_axes", "_dtypes", "_problem"},
    "_plan": {
        *(
            "_arguments",
            "_dtypes",
            "_error_bound",
            "_execute",
            "_explain",
            "_forks",
            "_problem",
            "_receive",
            "backends",
        ),
        *CHOOSING,
    },
    "_show_config": {
        *("_config", "_errors", "_operators", "_version", "_kernels", "backends", "backends._compose"),
        *("backends._listing", *CHOOSING),
    },
    "backends.__init__": {"_operators", "_problem"},
    "backends._compose": {"_arguments", "_errors", "_operators", "_problem", "backends", "backends._convolve"},
    "backends._convolve": {"_arguments", "_errors", "_problem"},
    "backends._compositions": {"_axes", "_problem", "backends._convolve", "backends._phases"},
    "backends._windows": {"_problem", "backends._convolve", "backends.reference"},
    "backends._local": {"_problem", "backends._convolve", "backends._windows"},
    "backends._taps": {"_problem", "backends.reference"},
    "backends._phases": {"_axes", "backends.reference"},
    "backends._slices": {"_axes", "_problem", "backends._convolve", "backends.reference"},
    "backends._transpose3d": {
        *("_axes", "_problem", "backends._convolve", "backends._phases", "backends._slices"),
    },
    "backends._table": {
        *("_arguments", "_config", "_errors", "_problem", "backends", "backends._compose", "backends._loading"),
        "backends._types",
    },
    "backends._listing": {
        *("_arguments", "_operators", "backends", "backends._compose", "backends._patience", "backends._specs"),
        "backends._table",
    },
    "backends._types": {"_arguments", "_config", "_errors", "backends", "backends._table"},
    "backends._loading": {"_arguments", "_config", "_errors", "backends", "backends._patience", "backends._specs"},
    "backends._specs": {"_arguments", "backends", "backends._types"},
    "backends._patience": set(),
    "backends._selection": {"_config"},
    "backends.cpu": {"_arguments", "_config", "_cpus", "_errors", "_kernels", "_problem", "backends._prepared"},
    "backends._prepared": {"_kernels"},
    "backends.reference": {"_operators", "_problem"},
    "backends._adjoints": {"_problem", "backends.reference"},
    "backends._volumes": {"_problem", "backends.reference"},
    "backends.dask._axis": {"backends.reference"},
    "backends.dask._adjoint": {"backends.reference", "backends.dask._axis"},
    "backends.dask._channels": {"_axes", "_problem", "backends.dask._adjoint", "backends.dask._axis"},
    "backends.dask._layout": {"_problem", "backends.dask._axis", "backends.dask._channels"},
    "backends.dask._tiles": {"_problem", *DASK} - {"backends.dask._compute"},
    "backends.dask._bands": {"_problem", "backends._selection", *DASK} - {"backends.dask._compute"},
    "backends.dask._compute": {"_error_bound", "_execute", "_problem", "backends", *DASK, *CHOOSING}
    - {"backends._selection"},
    "backends.dask._sums": {"_problem", "backends._phases", *DASK},
    "backends.dask._graph": {"_problem", "backends._table", "backends.dask._sums", *DASK},
    "backends.dask._operands": {"_operators", "_problem", *DASK, *CHOOSING},
    "backends.dask._report": {"_errors", "_operators", "_problem", "backends._table", "backends.dask._operands", *DASK},
    "backends.dask.__init__": {
        *("_errors", "_problem", "backends._table"),
        *("backends.dask._channels", "backends.dask._graph", "backends.dask._operands", "backends.dask._report"),
    },
}

CEILINGS = {  # lines: over it, simplify or split
    "_*.py": 400,
    "backends/__init__.py": 200,
    "backends/_*.py": 200,
    "csrc/plan.c": 150,
    "csrc/fastconv.h": 250,
    "csrc/ukernels.h": 250,
    "csrc/*.c": 150,
    "_pool.h": 280,
    "_ranges.h": 60,
    "_memory.h": 60,
    "_results.h": 130,
    "csrc/simd/*.h": 70,
    "csrc/algorithms/*.c": 400,
    "_bench/*.py": 250,
    "testing/*.py": 400,
    "backends/cpu.py": 200,
    "backends/reference.py": 120,
    "backends/dask/*.py": 200,
}


def module_name(path):
    return ".".join(path.relative_to(PACKAGE).with_suffix("").parts)


def imports(path):
    """Modules of fastconv that a module imports, relative to the package; () of a name is the package itself."""
    package = list(path.relative_to(PACKAGE).parts[:-1])
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom):
            if node.level:
                base = package[: len(package) - node.level + 1]
                stem = [*base, *(node.module or "").split(".")] if node.module else base
                for alias in node.names:
                    joined = PACKAGE.joinpath(*stem, alias.name)
                    is_module = joined.with_suffix(".py").exists() or joined.with_suffix(".pyi").exists()
                    found.add(".".join([*stem, alias.name] if is_module else stem))
            elif (node.module or "").split(".")[0] == "fastconv":
                found.add("fastconv")
        elif isinstance(node, ast.Import):
            found |= {"fastconv" for alias in node.names if alias.name.split(".")[0] == "fastconv"}
    return found


OUTER = ["testing", "_cli", "_bench"]  # folders that use the public API

SOURCES = {
    module_name(path): path
    for path in sorted(PACKAGE.rglob("*.py"))
    if path.parent.name not in OUTER and path.name != "__main__.py" and path != PACKAGE / "__init__.py"
}


@pytest.mark.parametrize("name", SOURCES)
def test_imports(name):
    assert name in MAY_IMPORT, f"{name} is new: state what it may import"
    assert imports(SOURCES[name]) <= MAY_IMPORT[name]


@pytest.mark.parametrize("folder", OUTER)
def test_outer_parts_use_the_public_api_alone(folder):
    for path in (PACKAGE / folder).glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ImportFrom) and not node.level and (node.module or "").startswith("fastconv"):
                assert node.module == "fastconv", f"{path.name} imports {node.module}"
            if isinstance(node, ast.ImportFrom) and node.level:
                assert node.level == 1 or node.module is None or folder == "_cli", f"{path.name} reaches inwards"


def test_package_face_defines_nothing():
    tree = ast.parse((PACKAGE / "__init__.py").read_text())
    assert not [node for node in tree.body if isinstance(node, ast.FunctionDef | ast.ClassDef)]


def test_import_loads_numpy_and_fastconv_alone():
    code = """
        import sys, numpy
        before = set(sys.modules)
        import fastconv
        new = {name.split(".")[0] for name in set(sys.modules) - before}
        import numpy as np
        fastconv.conv2d(np.ones((3, 3)), np.ones((2, 2)))
        fastconv.conv2d(np.ones((3, 3)), np.ones((2, 2)))
        print(sorted(new - set(sys.stdlib_module_names)), "importlib.metadata" in sys.modules)
    """
    lines = "\n".join(line.strip() for line in code.splitlines())
    done = subprocess.run([sys.executable, "-P", "-c", lines], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "['fastconv'] False"


def without_comments(text):
    return re.sub(r"//[^\n]*|/\*.*?\*/", "", text, flags=re.DOTALL)


C_SOURCES = {str(path.relative_to(CSRC)): without_comments(path.read_text()) for path in sorted(CSRC.rglob("*.[ch]"))}


@pytest.mark.parametrize("name", C_SOURCES)
def test_c_knows_no_python_threads_environment_or_allocation(name):
    forbidden = r"Python\.h|\bomp_|#pragma omp|pthread|\bgetenv\b|stdio\.h|\b(m|c|re)alloc\b|\bfree\("
    assert not re.search(forbidden, C_SOURCES[name])


@pytest.mark.parametrize("name", [name for name in C_SOURCES if not name.startswith("simd/")])
def test_instruction_sets_are_named_in_simd_alone(name):
    assert not re.search(r"_mm\d|__m\d|vfmaq|immintrin|arm_neon|__AVX|__builtin_cpu|\bavx|\bneon\b", C_SOURCES[name])


def test_algorithms_do_not_know_each_other_and_are_all_in_the_table():
    stems = {Path(name).stem for name in C_SOURCES if re.fullmatch(r"algorithms/\w+\.c", name)}
    table = re.findall(r"^FC_ALGORITHM\((\w+)\)", C_SOURCES["algorithms/table.h"], re.MULTILINE)
    assert set(table) == stems
    assert table == list(_kernels.algorithms())
    for stem in stems:
        for other in stems - {stem}:
            assert not re.search(rf"fc_algorithm_{other}\b|algorithms/{other}\b", C_SOURCES[f"algorithms/{stem}.c"])


def test_instruction_sets_are_all_in_the_table():
    headers = set(re.findall(r'FC_ISA_HEADER "(\w+)\.h"', C_SOURCES["simd/foreach.h"]))
    parts = {"begin", "detect", "end", "foreach", "grant", "i64", "isa.row", "kernels", "rows", "undef", "verbs"}
    assert {Path(name).stem for name in C_SOURCES if name.startswith("simd/")} - parts == headers
    assert {name for name, _ in _kernels.isas()} <= headers


def test_problem_has_the_same_fields_in_c_and_python():
    struct = re.search(r"typedef struct \{(.*?)\} fc_problem;", C_SOURCES["fastconv.h"], re.DOTALL).group(1)
    sizes = re.findall(r"\w+", " ".join(re.findall(r"int64_t ([^;]*);", struct)))
    assert tuple(sizes) == Problem._fields[: len(sizes)]
    assert len(sizes) == 18
    pyx = (PACKAGE / "_kernels.pyx").read_text()
    assert re.findall(r"\w+", re.search(r"int64_t (n, groups[^\n]*)", pyx).group(1)) == sizes


@pytest.mark.parametrize("pattern", CEILINGS)
def test_parts_stay_small(pattern):
    for path in PACKAGE.glob(pattern):
        lines = len(path.read_text().splitlines())
        assert lines <= CEILINGS[pattern], f"{path.name} has {lines} lines: simplify or split"


def test_one_parallel_loop():
    text = (PACKAGE / "_kernels.pyx").read_text()
    assert len(re.findall(r"^ +fc_share\(", text, re.MULTILINE)) == 1
    assert "prange" not in text
    assert "with gil" not in text
    for name, source in C_SOURCES.items():
        assert not re.search(r"pthread|#pragma omp", source), name


def test_flags_keep_the_numerical_contract():
    text = (ROOT / "setup.py").read_text()
    assert '"-ffp-contract=off"' in text
    assert '"-fno-fast-math"' in text
    assert not re.search(r'"-(Ofast|ffast-math|march|mtune|funsafe|mavx|mfma)', text)


def test_environment_is_read_in_one_place():
    for path in PACKAGE.rglob("*.py"):
        if path.name not in ("_config.py", "_show_config.py", "_state.py"):  # the last compares all of it
            assert not re.search(r"os\.environ|getenv", re.sub(r'""".*?"""', "", path.read_text(), flags=re.DOTALL)), (
                path.name
            )
