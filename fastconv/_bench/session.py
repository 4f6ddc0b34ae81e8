"""One run: every problem of the suites against every peer that is here; its document, plain data."""

from __future__ import annotations

from contextlib import ExitStack
from typing import TYPE_CHECKING, Any, NamedTuple

from .. import show_config
from . import fresh
from .measure import difference, peak, race, summary
from .peer import UnableError, first_line
from .peers import OURS, PEERS
from .problems import Case
from .suites import SUITES

if TYPE_CHECKING:
    from collections.abc import Callable

SCHEMA = 1  # of the document; a new number where a reader of the old one would misread it


class Settings(NamedTuple):
    """What a run does: each suite in each layout with each number of images and of threads."""

    suites: list[str]
    peers: list[str]
    layouts: list[str]
    threads: list[int]
    dtype: str
    batches: list[int]
    repeats: int
    seconds: float
    fresh: bool

    def cases(self) -> list[tuple[str, Case]]:
        """Return every problem with its suite's name, number of threads by number of threads."""
        every = (
            (suite, Case(layer, batch, self.dtype, "nhwc" if layer.pixels else layout, threads))
            for threads in self.threads
            for batch in self.batches
            for layout in self.layouts
            for suite in self.suites
            for layer in SUITES[suite]
        )
        return list(dict.fromkeys(every))


def run(settings: Settings, machine: dict[str, Any], progress: Callable[[str, int, int], None]) -> dict[str, Any]:
    """Measure everything; return the document.

    Parameters
    ----------
    settings : Settings
        What to measure.
    machine : dict
        What `noise` said.
    progress : callable
        Called before each problem with its name, how many were measured, and how many there are in all.
    """
    why_not = {name: PEERS[name].why_not() for name in settings.peers}
    usable = [name for name in settings.peers if why_not[name] is None]
    document: dict[str, Any] = {
        "schema": SCHEMA,
        "config": show_config(),
        "machine": {**machine, "peak": peak(settings.dtype)},
        "settings": settings._asdict(),
        "peers": {
            name: {
                "version": PEERS[name].version() if why_not[name] is None else None,
                "weights": "prepared" if PEERS[name].prepared else "each call",
                "layout": PEERS[name].layout,
                "threads": PEERS[name].threads,
                "why_not": why_not[name],
            }
            for name in settings.peers
        },
        "rows": [],
        "fresh": [],
    }
    cases = settings.cases()
    first = {(suite, case.threads): case for suite, case in reversed(cases)} if settings.fresh else {}
    first = {key: case for key, case in first.items() if case.layer.operator == "conv2d"}
    for threads in settings.threads:
        with ExitStack() as stack:
            for name in usable:
                stack.enter_context(PEERS[name].limited(threads))
            for suite, case in cases:
                if case.threads != threads:
                    continue
                progress(f"{suite}, {case.layer.name}", len(document["rows"]), len(cases))
                row = {"suite": suite, **measure(case, usable, settings, document)}
                document["rows"].append(row)
                if case == first.get((suite, threads)):
                    progress(f"{suite}, first calls", len(document["rows"]), len(cases))
                    peers = fresh.measure(case, list(row["peers"]))
                    document["fresh"].append({"suite": suite, **described(case), "peers": peers})
    return document


def described(case: Case) -> dict[str, Any]:
    """What identifies a problem, for the document."""
    return {
        "name": case.layer.name, "operator": case.layer.operator, "layout": case.layout, "dtype": case.dtype,
        "batch": case.batch, "threads": case.threads,
    }  # fmt: skip


def measure(case: Case, names: list[str], settings: Settings, document: dict[str, Any]) -> dict[str, Any]:
    """Time one problem; return its row."""
    first, second = case.operands()
    calls: dict[str, Callable[[], Any]] = {}
    unable, failed, wrong = {}, {}, {}
    expected = None
    for name in sorted(names, key=lambda name: name != OURS):  # ours first: the others are compared with it
        try:
            if case.layer.bytes and not PEERS[name].bytes:
                raise UnableError("it takes no images of bytes")
            if case.layer.operator not in PEERS[name].operators:
                raise UnableError(f"it is not asked for {case.layer.operator}")
            made = PEERS[name].make(case, second)
            call = made.feed(first)
            y = made.read(call())
        except UnableError as error:
            unable[name] = str(error)
            continue
        except Exception as error:
            failed[name] = f"{type(error).__name__}: {first_line(error)}"
            continue
        expected = y if expected is None else expected
        fault = difference(case, y, expected)
        if fault:
            wrong[name] = fault
        else:
            calls[name] = call
    samples = race(calls, settings.repeats, settings.seconds, case.threads)
    peers = {name: summary(values) for name, values in samples.items()}
    row = {**described(case), "times": case.layer.times, "flop": case.flop, "peers": peers}
    if OURS in peers:
        rate = case.flop / peers[OURS]["median"]
        row |= {"gflops": rate / 1e9, "percent_of_peak": 100 * rate / document["machine"]["peak"] / case.threads}
    return {**row, "unable": unable, "failed": failed, "wrong": wrong}
