"""What a backend does to the process that it runs in, and what it needs of it: the kit's tests in other processes."""

from __future__ import annotations

import os
import pickle
import re
import subprocess
import sys
import time
import warnings
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import pytest

import fastconv

from ._calls import Call
from ._judge import expect, judge
from ._state import snapshot

FORK_SECONDS = 60.0


class ProcessConformance:
    """The tests of the kit that are about the process."""

    backend: str = ""
    exact: bool = True
    fork_safe: bool = True
    may_call: tuple[str, ...] = ()
    _first: ClassVar[dict[str, Any]]

    if TYPE_CHECKING:  # `BackendConformance` has them

        def ways(self) -> list[bool]: ...
        def taken(self, count: int | None = None) -> Iterator[Call]: ...
        def check(self, call: Call, owned: bool = False, **changes: Any) -> bool: ...
        def make_array(self, array: np.ndarray[Any, Any]) -> Any: ...

    def remember(self) -> None:
        """Take the settings of the process before the first call of this class, for those that each call sets alike."""
        if "_first" not in vars(type(self)):
            type(self)._first = snapshot(loading=True)

    def test_fork(self) -> None:
        """A forked child of a process that has used the backend can use it too, and ends."""
        if not hasattr(os, "fork") or not self.fork_safe:
            pytest.skip("fork_safe = False, or a system without fork")
        call = next(self.taken(1))
        owned = self.ways()[0]
        self.check(call, owned)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # of forking where there are threads: it is the point
            child = os.fork()
        if child == 0:
            try:
                os._exit(0 if self.check(call, owned) else 3)
            finally:
                os._exit(4)
        deadline = time.monotonic() + FORK_SECONDS
        status = 0
        while time.monotonic() < deadline:
            ended, status = os.waitpid(child, os.WNOHANG)
            if ended:
                break
            time.sleep(0.01)
        else:
            os.kill(child, 9)
            os.waitpid(child, 0)
            expect(False, f"a forked child hangs in {call}")
        expect(os.waitstatus_to_exitcode(status) == 0, f"a forked child fails in {call}")

    def test_global_state_is_restored(self) -> None:
        """Floating-point state, NumPy's error state, warnings, environment and the like are as before a call."""
        for owned in self.ways():
            for i, call in enumerate(self.taken(30)):  # loaded by now, without having computed anything
                make = self.make_array if owned else _same
                x, weight, bias = (None if array is None else make(array) for array in call[:3])
                # Settings that vary, so that one who sets them to the same each time is found out.
                with np.errstate(all=("warn", "ignore", "raise")[i % 3]), warnings.catch_warnings():
                    warnings.simplefilter(("error", "default", "always")[i % 3])
                    self.remember()
                    before = snapshot()
                    fastconv.conv2d(x, weight, bias, **call.options, backend=self.backend)  # a trace would mend scopes
                    after = snapshot()
                changed = [name for name, value in before.items() if value != after[name]]
                expect(not changed, f"a call changed {', '.join(changed)}: {call}")
        now = snapshot(loading=True)
        # NumPy's may be seeded or set between tests by whoever runs them.
        changed = [name for name in now if not name.startswith("numpy.") and now[name] != self._first[name]]
        expect(not changed, f"since the first call {', '.join(changed)} changed")

    def test_nothing_is_imported_early(self) -> None:
        """Neither fastconv, nor a look at the backend's description, imports the backend or what it is made of."""
        module = self.place().partition(":")[0]
        early = self.elsewhere(EARLY, module)
        expect(not early, f"its description imports {', '.join(early)}")

    def test_loading_leaves_the_process_as_it_is(self) -> None:
        """Importing and probing it changes no floating-point state and no setting that others rely on."""
        changed = self.elsewhere(LOADED)
        expect(not changed, f"loading it changed {', '.join(changed)}")

    def test_needs_no_other_backend(self) -> None:
        """It computes, in any thread of its own too, where every other backend is disabled."""
        self.place()
        if False not in self.ways():
            pytest.skip("it does not take NumPy's arrays")
        several = list(self.taken(10))
        report = fastconv.explain(np.ones((3, 3)), np.ones((2, 2)), backend=self.backend)
        others = sorted(set(report.candidates) - {self.backend, *self.may_call})
        named = ",".join(name for name in others if re.fullmatch(r"[a-z][a-z0-9_]*", name))
        seeds = [str(call.seed) for call in several]
        results = self.elsewhere(ALONE, *self.may_call, "/", *seeds, disabled=named)
        for call, result in zip(several, results, strict=True):
            judge(call, result, self.backend, self.exact)

    def place(self) -> str:
        """Return where the implementation is, for tests in a process that knows of installed backends alone."""
        spec = fastconv.backend_spec(self.backend)
        made = spec.implementation
        if not isinstance(made, str) or not (spec.distribution or made.startswith("fastconv.")):  # or built in
            pytest.skip("it is registered in this process alone")
        return made

    def elsewhere(self, code: str, *arguments: str, disabled: str = "") -> Any:
        """Run code in a new process where some backends are disabled, and return what it assigns to `result`."""
        self.place()
        done = subprocess.run(  # noqa: S603 - our own code
            [sys.executable, "-P", "-c", START + code + END, self.backend, disabled, *arguments],
            capture_output=True, check=False,
        )  # fmt: skip
        expect(done.returncode == 0, f"in a new process: {done.stderr.decode(errors='replace')[-500:]}")
        return pickle.loads(done.stdout)  # noqa: S301 - made above


def _same(array: Any) -> Any:
    return array


# What is printed, by the backend too, goes to stderr; stdout is for the result.
START = """
import os, pickle, sys
stdout = os.fdopen(os.dup(1), "wb")
os.dup2(2, 1)
name, disabled, *arguments = sys.argv[1:]
if disabled:
    os.environ["FASTCONV_DISABLE_BACKENDS"] = disabled
import fastconv
"""

END = """
stdout.write(pickle.dumps(result))
stdout.close()
"""

EARLY = """
import importlib.metadata
fastconv.conv2d([[1.0, 2.0]], [[3.0]])
module = arguments[0]
before = set(sys.modules)
assert module not in before or module.startswith("fastconv."), f"import fastconv imports {module}"
light = {point.module for point in importlib.metadata.entry_points(group="fastconv.backends")}
fastconv.backend_spec(name)
new = {each for each in set(sys.modules) - before if each.split(".")[0] not in sys.stdlib_module_names}
allowed = {"fastconv", *light, *(part.partition(".")[0] for part in light)}
early = sorted(each for each in new - allowed if not each.startswith("fastconv."))
early += [module] * (module in sys.modules and module not in before)
result = early[:10]
"""

LOADED = """
from fastconv.testing._state import snapshot
fastconv.explain([[1.0]], [[1.0]], backend="reference")
before = snapshot(loading=True)
fastconv.explain([[1.0]], [[1.0]], backend=name)
result = [setting for setting, value in snapshot(loading=True).items() if value != before[setting]]
"""

# Backends that are disabled may still be imported by where they are.
ALONE = """
import importlib
from fastconv.testing import random_call
def implementation(name):
    module, _, attribute = fastconv.backend_spec(name).implementation.partition(":")
    return getattr(importlib.import_module(module), attribute)
def refuse(self, problem):
    raise RuntimeError("it has another backend compute")
may_call, seeds = arguments[:arguments.index("/")], arguments[arguments.index("/") + 1:]
mine = implementation(name)
from fastconv.backends.cpu import CpuBackend
from fastconv.backends.reference import ReferenceBackend
for other, kind in {"cpu": CpuBackend, "reference": ReferenceBackend}.items():
    if other not in may_call and not (isinstance(mine, type) and issubclass(mine, kind)):
        kind.plan = refuse
calls = [random_call(int(seed)) for seed in seeds]
result = [fastconv.conv2d(*call[:3], **call.options, backend=name) for call in calls]
"""
