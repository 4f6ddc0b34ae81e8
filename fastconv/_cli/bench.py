"""``fastconv bench``: time suites of convolutions beside every other library that is installed.

Calls are made in turn in one process, with equal threads, each after the last one's threads have come to rest; medians
count. Results are compared before they are timed: one that is wrong is named and the exit status is 1. A peer gets its
operands in the form that it likes best before the clock starts. Run it on a quiet machine.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from . import UserError, files, require

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterable

    from .._bench.session import Settings

HELP = "time suites of convolutions beside PyTorch, ONNX Runtime, OpenVINO, JAX, OpenCV and SciPy"
PLOTS = {".pdf", ".png", ".svg"}
LAYOUTS = {"nchw": ["nchw"], "nhwc": ["nhwc"], "both": ["nchw", "nhwc"]}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add this command's arguments."""
    add = parser.add_argument
    add(
        "--suite",
        metavar="NAME,…",
        help="resnet50, vgg16, mobilenetv2, images (these are the default); kernels, large, layers, tiny; gradients "
        "and volumes, of other operators",
    )
    add("--peers", metavar="NAME,…", help="against whom, as the table names them (default: all that are installed)")
    add("--threads", metavar="N,…", help="one run for each number (default: what fastconv would use)")
    add("--batch", metavar="N,…", default="1", help="images in a call, one run for each (default: %(default)s)")
    add("--dtype", choices=["float32", "float64"], default="float32", help="(default: %(default)s)")
    add("--layout", choices=LAYOUTS, default="nchw", help="of fastconv's and JAX's operands (default: %(default)s)")
    add("--repeats", metavar="N", type=int, default=15, help="most rounds of a problem (default: %(default)s)")
    add("--seconds", metavar="S", type=float, default=5.0,
        help="no new round of a problem after this time, three rounds aside (default: %(default)s)")  # fmt: skip
    add("--no-first", action="store_true", help="leave out first calls and changing sizes (of conv2d)")
    add("--json", metavar="OUT.json", type=Path, help="write all that was measured")
    add("--plot", metavar="OUT.png", type=Path, help="draw it")
    add("--page", metavar="OUT.md", type=Path, help="write it as a page, with the losses")
    add("--also", metavar="RUN.json,…", help="earlier runs that the page begins with")
    add("--compare", metavar="OLD.json", type=Path, help="print a table of before and after")
    add("--strict", action="store_true", help="refuse to measure on a noisy machine")


def run(args: argparse.Namespace) -> int:
    """Measure, print and write."""
    require("rich", extra="bench")
    if args.plot:
        require("matplotlib", extra="bench")
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    from .._bench import measure, report, session

    settings = settings_of(args)
    old = load(args.compare) if args.compare else None
    also = [load(Path(name)) for name in args.also.split(",")] if args.also else []
    machine = measure.noise()
    if machine["warnings"]:
        said = f"this machine is noisy: {', and '.join(machine['warnings'])}"
        if args.strict:
            raise UserError(f"{said}; nothing was measured.")
        print(f"fastconv: {said}; the times below may mean little.", file=sys.stderr)

    columns = (BarColumn(), MofNCompleteColumn(), TimeRemainingColumn(), TextColumn("{task.description}"))
    with Progress(*columns, console=Console(stderr=True), transient=True, disable=not sys.stderr.isatty()) as bar:
        task = bar.add_task("")

        def progress(name: str, done: int, total: int) -> None:
            bar.update(task, description=name, completed=done, total=total)

        document = session.run(settings, machine, progress)
    report.show(document, report.console())
    if args.json:
        files.store(args.json, json.dumps(document, indent=1).encode())
        print(f"wrote {args.json}")
    if args.plot:
        from .._bench import plot

        files.store(args.plot, plot.draw(document, args.plot.suffix))
        print(f"wrote {args.plot}")
    if args.page:
        from .._bench.page import page

        files.store(args.page, page([*also, document], command(args)).encode())
        print(f"wrote {args.page}")
    if old is not None:
        print("", *report.compare(old, document), sep="\n")
    faults = report.wrong(document)
    if faults:
        raise UserError(f"{len(faults)} results are wrong: {'; '.join(faults)}.", status=1)
    return 0


def command(args: argparse.Namespace) -> list[str]:
    """Return what to type for the same run."""
    names = ("suite", "peers", "threads", "batch", "dtype", "layout", "seconds", "also", "page")
    given = [(f"--{name}", getattr(args, name)) for name in names if name != "also"]
    if args.also:
        given.append(("--also", ",".join(Path(name).name for name in args.also.split(","))))
    words = [word for option, value in given if value is not None for word in (option, str(value))]
    return ["bench", *words, *(["--no-first"] if args.no_first else [])]


def settings_of(args: argparse.Namespace) -> Settings:
    """Check all arguments before anything is measured."""
    from .._bench.peers import OURS, PEERS
    from .._bench.session import Settings
    from .._bench.suites import SUITES, USUAL
    from .._show_config import show_config

    threads = show_config()["threads"]["count"]
    counts = [threads] if args.threads is None else numbers("--threads", args.threads, os.cpu_count() or 1)
    batches = numbers("--batch", args.batch, 10**6)
    if args.repeats < 1:
        raise UserError(f"--repeats must be at least 1, got {args.repeats}.")
    if not 0 <= args.seconds < 1e6:
        raise UserError(f"--seconds must be between 0 and a million, got {args.seconds}.")
    if args.json:
        files.check_output(args.json, {".json"})
    if args.plot:
        files.check_output(args.plot, PLOTS)
    if args.page:
        files.check_output(args.page, {".md"})
    return Settings(
        suites=chosen("suite", args.suite, SUITES, USUAL),
        peers=[OURS, *(name for name in chosen("peer", args.peers, PEERS, list(PEERS)) if name != OURS)],
        layouts=LAYOUTS[args.layout], threads=counts, dtype=args.dtype, batches=batches, repeats=args.repeats,
        seconds=args.seconds, fresh=not args.no_first,
    )  # fmt: skip


def chosen(kind: str, text: str | None, known: Iterable[str], usual: list[str]) -> list[str]:
    """Read names separated by commas, each once."""
    names = usual if text is None else list(dict.fromkeys(text.split(",")))
    for name in names:
        if name not in known:
            raise UserError(f"unknown {kind} {name!r}; there are {', '.join(known)}.")
    return names


def numbers(option: str, text: str, most: int) -> list[int]:
    """Read numbers separated by commas."""
    for each in text.split(","):
        if not each.strip().isdecimal() or not 1 <= int(each) <= most:
            raise UserError(f"{option} takes numbers from 1 to {most} separated by commas, got {each!r}.")
    return [int(each) for each in text.split(",")]


def load(path: Path) -> dict[str, Any]:
    """Read the document of an earlier run."""
    from .._bench.session import SCHEMA

    try:
        document = json.loads(path.read_bytes())
    except OSError as error:
        raise UserError(f"can't read {path}: {error.strerror}.") from error
    except ValueError as error:
        raise UserError(f"can't read {path}: it is not JSON.") from error
    if not isinstance(document, dict) or document.get("schema") != SCHEMA:
        raise UserError(f"can't compare with {path}: it was not written by this version's bench --json.")
    return document
