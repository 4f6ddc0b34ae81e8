"""What a medians' table leaves out: the first call of a process, and calls on images that change their size."""

from __future__ import annotations

import importlib
import json
import statistics
import subprocess
import sys
import time
from typing import Any

import numpy as np

from .measure import difference, settle
from .peer import first_line
from .peers import PEERS
from .problems import Case, Layer

SIZES = 12  # of the stream
CHILD = """
import json, sys, time, numpy
name, module, case = json.loads(sys.argv[1])
begin = time.perf_counter()
__import__(module)
imported = time.perf_counter() - begin
from fastconv._bench import fresh
print(json.dumps({"import": imported, **fresh.child(name, case)}))
"""


def measure(case: Case, names: list[str]) -> dict[str, dict[str, Any]]:
    """Return for each peer seconds of its import, its first and second call, and its median over new sizes."""
    rows = {name: first_call(case, name) for name in names}
    for name, seconds in varying(case, names).items():
        rows[name] |= seconds
    return rows


def first_call(case: Case, name: str) -> dict[str, Any]:
    """Ask a new process: once, since only once is it new."""
    arguments = json.dumps([name, PEERS[name].modules[0], case])
    done = subprocess.run(  # noqa: S603 - this interpreter, on our own text
        [sys.executable, "-P", "-c", CHILD, arguments], capture_output=True, text=True, check=False
    )
    if done.returncode:
        lines = done.stderr.strip().splitlines() or ["it failed"]
        return {"error": lines[-1][:200]}
    seconds: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return seconds


def child(name: str, values: list[Any]) -> dict[str, float]:
    """Time the first call with what prepares it, and the second one, in the process that `first_call` started."""
    case = Case(Layer(*values[0]), *values[1:])
    x, weight = case.x(), case.weight()
    peer = PEERS[name]
    for module in peer.modules:
        importlib.import_module(module)
    with peer.limited(case.threads):
        begin = time.perf_counter()
        call = peer.make(case, weight).feed(x)
        call()
        first = time.perf_counter()
        call()
        return {"first": first - begin, "second": time.perf_counter() - first}


def varying(case: Case, names: list[str]) -> dict[str, dict[str, Any]]:
    """Call each peer on a stream of images of different sizes, each new to it; models are told so beforehand."""
    layer, rng = case.layer, np.random.default_rng(3)
    sizes = {(layer.ih, layer.iw): None}  # the first one warms
    while len(sizes) <= SIZES:
        sizes[int(rng.integers(layer.ih // 2, layer.ih + 1)), int(rng.integers(layer.iw // 2, layer.iw + 1))] = None
    weight = case.weight()
    made, failed = {}, {}
    seconds: dict[str, list[float]] = {name: [] for name in names}
    for ih, iw in sizes:
        here = case._replace(layer=layer._replace(ih=ih, iw=iw))
        x, expected = here.x(), None
        for name in names:
            if name in failed:
                continue
            try:
                if name not in made:
                    made[name] = PEERS[name].make(case._replace(dynamic=True), weight)
                call = made[name].feed(x)
                if case.threads > 1:
                    settle()
                begin = time.perf_counter()
                y = call()
                seconds[name].append(time.perf_counter() - begin)
                y = made[name].read(y)
                expected = y if expected is None else expected
                fault = difference(here, y, expected)
            except Exception as error:
                fault = first_line(error)
            if fault:
                failed[name] = fault
    return {
        name: {"error": failed[name]} if name in failed else {"varying": statistics.median(seconds[name][1:])}
        for name in names
    }
