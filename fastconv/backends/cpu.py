"""The default backend: our kernels, reached through the compiled core.

float32, float64 and 64-bit integers are computed as they are; everything else goes through one of these exactly (narrow
integers; bytes in the kernels that can), in a wider accumulator (float16, bfloat16) or part by part (complex).
"""

from __future__ import annotations

from typing import Any

import numpy as np

from .. import _config, _cpus, _kernels
from .._arguments import PADDING_MODES
from .._errors import ConfigError
from .._problem import Problem
from ._prepared import PreparedCpuPlan, is_ready, ready

Array = np.ndarray[Any, Any]

KINDS = {"f4": "f32", "f8": "f64", "i8": "i64", "u8": "i64", "c8": "f32", "c16": "f64"}


class CpuBackend:
    """fastconv's own kernels.

    Parameters
    ----------
    isa : str, optional
        Best instruction set to use; by default the environment variable FASTCONV_ISA, or the best that runs here.
    """

    algorithms = tuple(dict.fromkeys(("auto", *_kernels.algorithms().values(), *_kernels.algorithms())))

    def __init__(self, isa: str | None = None) -> None:
        self.isa = _cpus.choose_isa(_config.get("FASTCONV_ISA") if isa is None else isa)
        _kernels.configure_threads(_config.get("FASTCONV_NUM_THREADS"), _cpus.cgroup_quota())

    def probe(self) -> str | None:
        """Return None: an import is all it takes."""
        return None

    def reject(self, problem: Problem) -> str | None:
        """Return None, or why the algorithm asked for can't compute the problem."""
        name, source = self.asked(problem)
        if name == "auto":
            return None
        verdicts = CpuPlan(problem, self.isa, "auto").kernel.verdicts()
        families = _kernels.algorithms()
        reasons = [reason for row, reason, _ in verdicts if name in (row, families[row])]
        return None if None in reasons else f"algorithm {name!r} ({source}): {'; '.join(map(str, reasons))}"

    def plan(self, problem: Problem) -> CpuPlan:
        """Return the plan of a problem, decided once and good for any number of calls from any threads."""
        return CpuPlan(problem, self.isa, *self.asked(problem))

    def asked(self, problem: Problem) -> tuple[str, str]:
        """Return the algorithm that is asked for, "auto" if none is, and who asks."""
        name = _config.get("FASTCONV_ALGORITHM")
        if problem.algorithm != "auto" or name == "auto":
            return problem.algorithm, "algorithm="
        if name not in self.algorithms:
            known = ", ".join(self.algorithms)
            raise ConfigError(f"the environment variable FASTCONV_ALGORITHM must be one of {known}, got {name[:60]!r}.")
        return name, "FASTCONV_ALGORITHM"


class CpuPlan:
    """One problem, ready to run on arrays in any layout."""

    def __init__(self, problem: Problem, isa: str, algorithm: str, source: str = "", prepared: bool = False) -> None:
        self.problem = problem
        self.asked = algorithm, source
        compute = problem.compute
        # Empty as the smallest that is not, since it is divided into tasks; a single tap's dilation, of any size, as 1.
        dh, dw = problem.dh if problem.kh > 1 else 1, problem.dw if problem.kw > 1 else 1
        planned = problem._replace(n=max(problem.n, 1), oc=max(problem.oc, problem.groups), dh=dh, dw=dw)
        self.kernel = _kernels.Plan(
            planned[:18],
            PADDING_MODES.index(problem.padding_mode),
            KINDS[compute.str[1:]],
            problem.bias_dtype is not None and compute.kind != "c",
            problem.flip,
            tuple(problem.x_axes.find(letter) for letter in "NCHW"),
            tuple(problem.weight_axes.find(letter) for letter in "OIHW"),
            isa,
            algorithm,
            prepared,
            problem.x_dtype == np.uint8 and compute.kind == "f",
        )
        self.error = self.kernel.error  # for `conv2d_error_bound`

    def prepare(self, weight: Array, bias: Array | None, shared: dict[Any, Any]) -> PreparedCpuPlan:
        """Return the plan of the same problem for weights that stay the same."""
        return PreparedCpuPlan(self, weight, bias, shared)

    def pack(self, weight: Array, shared: dict[Any, Any], num_threads: int = 0) -> Any:
        """Return the weights as tasks want them, kept in `shared` for all plans that do; None for as they are."""
        key = self.kernel.packing
        if self.problem.compute.kind != "c" and weight.size and key not in shared:  # parts of complex ones are not
            shared[key] = self.kernel.pack(ready(weight, self.problem.compute), num_threads)
        return shared.get(key)

    def together(self, plans: list[CpuPlan], operands: list[tuple[Array, Array, Array]], num_threads: int) -> bool:
        """Compute several convolutions, each with its x, weight and result, if none of them needs a conversion."""
        runs = []
        for plan, arrays in zip(plans, operands, strict=True):
            p = plan.problem
            if p.compute.kind == "c" or not all(is_ready(array, p.compute) and array.size for array in arrays):
                return False
            runs.append((*arrays, p.fill_value))
        return _kernels.run_together([plan.kernel for plan in plans], runs, num_threads)

    def remember(self, calls: Any, arguments: tuple[Any, ...]) -> Any:
        """Let the next call of a function with the same arguments skip all checks, if it needs no conversion."""
        calls = _kernels.CallCache(256) if calls is None else calls
        if self.needs_no_conversion():
            calls.add(arguments, self.kernel, self.problem.fill_value, self.problem.out_shape)
        return calls

    def needs_no_conversion(self) -> bool:
        """Whether every operand has the arithmetic's dtype, if it is native and aligned."""
        p = self.problem
        dtypes = {p.weight_dtype, p.bias_dtype or p.dtype, p.dtype, p.compute}
        return len(dtypes | (set() if self.kernel.reads_bytes else {p.x_dtype})) == 1 and p.compute.kind != "c"

    def explain(self, num_threads: int) -> dict[str, Any]:
        """Return what a call would do: algorithm and why the others were passed over, instruction set, threads."""
        threads, why = self.kernel.threads(num_threads)
        return {
            "algorithm": self.kernel.family,
            "algorithm_from": "cost" if self.asked[0] == "auto" else self.asked[1],
            "variant": self.kernel.algorithm,
            "isa": self.kernel.isa,
            "isa_from": _cpus.isa_source(self.kernel.isa, _config.get("FASTCONV_ISA")),
            "threads": threads,
            "threads_from": why,
            "tasks": self.kernel.n_tasks(threads),
            "scratch_bytes": self.kernel.scratch_bytes(threads) * threads,
            "packed_bytes": self.kernel.packed_bytes(threads),
            "algorithms": {
                name: reason or ("chosen" if name == self.kernel.algorithm else f"slower (cost {cost:.3g})")
                for name, reason, cost in self.kernel.verdicts()
            },
        }

    def __call__(
        self, x: Array, weight: Array, bias: Array | None, out: Array, num_threads: int, packed: Any = None
    ) -> Array:
        """Write the result into `out`."""
        if out.size == 0:
            return out
        compute, x_dtype = self.problem.compute, np.uint8 if self.kernel.reads_bytes else self.problem.compute
        x, weight, bias = ready(x, x_dtype), ready(weight, compute), None if bias is None else ready(bias, compute)
        in_place = out.dtype == compute and out.flags.aligned
        y = out if in_place else np.empty(out.shape, compute)
        if compute.kind == "c":
            self.run_complex(x, weight, bias, y, num_threads)
        else:
            self.kernel.run(x, weight, bias, y, self.problem.fill_value, num_threads, packed)
        if not in_place:
            with np.errstate(over="ignore", invalid="ignore"):  # a float too large for a narrow result becomes Inf
                out[...] = y
        return out

    def run_complex(self, x: Array, weight: Array, bias: Array | None, y: Array, num_threads: int) -> None:
        """Compute (a + bi)(c + di) as four real convolutions of views, so that each part has one chain an output."""
        fill = complex(self.problem.fill_value)
        part = np.empty(y.shape, y.real.dtype)
        with np.errstate(over="ignore", invalid="ignore"):
            self.kernel.run(x.real, weight.real, None, y.real, fill.real, num_threads)
            self.kernel.run(x.imag, weight.imag, None, part, fill.imag, num_threads)
            y.real -= part
            self.kernel.run(x.real, weight.imag, None, y.imag, fill.real, num_threads)
            self.kernel.run(x.imag, weight.real, None, part, fill.imag, num_threads)
            y.imag += part
            if bias is not None:
                axes = self.problem.x_axes
                y += bias.reshape([-1 if letter == "C" else 1 for letter in axes]) if "C" in axes else bias
