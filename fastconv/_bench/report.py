"""What is shown: tables of a document, and of two documents compared."""

from __future__ import annotations

import math
import sys
from itertools import groupby
from typing import Any

from rich.console import Console
from rich.table import Table

from .peers import OURS, PREPARED

Document = dict[str, Any]
Row = dict[str, Any]

FOOT = (
    "ratio: the peer's median over fastconv's, so above 1 fastconv is faster. each call: the best of those that get "
    "their weights with each call, beside conv2d; any: the best of all, beside the plan (plan ms), where it was timed."
)


def console() -> Console:
    """Return the standard output: as wide as it is where it is a terminal, else plain and as wide as need be."""
    return Console(highlight=False, markup=False, width=None if sys.stdout.isatty() else 160)


def show(document: Document, to: Console) -> None:
    """Print all tables of a document."""
    for rows in panels(document):
        put(to, title(rows), main_table(rows, document))
    say(to, f"FMA peak of one thread: {document['machine']['peak'] / 1e9:.1f} GFLOP/s. {FOOT}")
    if len(document["peers"]) > 1:
        put(to, "peers, over all problems", peers_table(document))
    for entry in document["fresh"]:
        what = "first calls in a new process (once each), and calls on images of ever new sizes"
        put(to, f"{what}: {entry['suite']} {entry['name']}, {head(entry)}", fresh_table(entry))
        for name, seconds in entry["peers"].items():
            if "error" in seconds:
                say(to, f"{name} failed: {seconds['error']}")
    for name, peer in document["peers"].items():
        if peer["why_not"]:
            say(to, f"left out: {name}, {peer['why_not']}")
        failed = [row["failed"][name] for row in document["rows"] if name in row["failed"]]
        if failed:
            say(to, f"{name} failed on {len(failed)} problems, first: {failed[0]}")
        unable = [row["unable"][name] for row in document["rows"] if name in row["unable"]]
        if unable and len(unable) == len(document["rows"]):
            say(to, f"{name} computes none of these: {unable[0]}")


def panels(document: Document) -> list[list[Row]]:
    """Return the rows of a document as they belong together: of one suite, measured alike."""
    measured = groupby(document["rows"], lambda row: (row["suite"], head(row)))
    return [list(rows) for _, rows in measured]


def title(rows: list[Row]) -> str:
    """Say what belongs together."""
    return f"{rows[0]['suite']}: {head(rows[0])}"


def put(to: Console, over: str, table: Table) -> None:
    """Print a table under its title, without the spaces that fill it up to its width."""
    say(to, f"\n{over}")
    with to.capture() as captured:
        to.print(table)
    for line in captured.get().splitlines():
        to.out(line.rstrip(), highlight=False)


def say(to: Console, text: str) -> None:
    """Print text as it is."""
    to.out(text, highlight=False)


def head(row: Row) -> str:
    """Say how a row was measured."""
    count = row["threads"]
    return f"{row['dtype']}, {row['layout']}, batch {row['batch']}, {count} thread{'s' if count > 1 else ''}"


def grid(*columns: str) -> Table:
    """Return an empty table; a column whose name begins with < is aligned left."""
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for name in columns:
        table.add_column(name.lstrip("<"), justify="left" if name[0] == "<" else "right")
    return table


def main_table(rows: list[Row], document: Document) -> Table:
    """One line for each problem: ours, the best peer that gets its weights with each call, and the best of all."""
    table = grid("<problem", "MFLOP", "ms", "GFLOP/s", "% peak", "<each call", "ms", "ratio",
                 "plan ms", "<any", "ms", "ratio")  # fmt: skip
    for row in rows:
        cells = [row["name"] + (f" ×{row['times']}" if row["times"] > 1 else ""), f"{row['flop'] / 1e6:.4g}"]
        if OURS not in row["peers"]:
            table.add_row(*cells, row["failed"].get(OURS, "-"))
            continue
        ours = row["peers"][OURS]["median"]
        medians = {name: times["median"] for name, times in row["peers"].items()}
        cells += [ms(ours), f"{row['gflops']:.1f}", f"{row['percent_of_peak']:.1f}"]
        table.add_row(*cells, *against(medians, document))
    totals = total(rows)
    if sum(row["times"] for row in rows) > len(rows) and OURS in totals:  # a network
        flop, ours = sum(row["times"] * row["flop"] for row in rows), totals[OURS]
        percent = 100 * flop / ours / document["machine"]["peak"] / rows[0]["threads"]
        cells = [f"all {sum(row['times'] for row in rows)} convolutions", f"{flop / 1e6:.4g}", ms(ours)]
        table.add_row(*cells, f"{flop / ours / 1e9:.1f}", f"{percent:.1f}", *against(totals, document), style="bold")
    return table


def total(rows: list[Row]) -> dict[str, float]:
    """Return the seconds of a whole network for each peer that has all of its convolutions."""
    names = set.intersection(*(set(row["peers"]) for row in rows)) if rows else set()
    return {name: sum(row["times"] * row["peers"][name]["median"] for row in rows) for name in names}


def against(medians: dict[str, float], document: Document) -> list[str]:
    """Name, time and ratio of the best peer that gets its weights with each call, and of the best of all."""
    cells = []
    for every in (False, True):
        found = {
            name: seconds
            for name, seconds in medians.items()
            if name not in (OURS, PREPARED) and (every or document["peers"][name]["weights"] == "each call")
        }
        best = min(found, key=lambda name: found[name], default=None)
        ours = medians[PREPARED] if every and PREPARED in medians else medians[OURS]
        if every:
            cells.append(ms(medians[PREPARED]) if PREPARED in medians else "-")
        cells += [best, ms(found[best]), f"{found[best] / ours:.2f}"] if best else ["-", "-", "-"]
    return cells


def peers_table(document: Document) -> Table:
    """One line for each peer: how much slower it is than ours, over all problems that it can compute.

    Those that see the weights beforehand are compared with the plan, where it was timed.
    """
    table = grid("<peer", "<version", "<weights", "<layout", "<threads",
                 "mean ratio", "least", "most", "ours faster")  # fmt: skip
    for name, peer in document["peers"].items():
        ours = PREPARED if peer["weights"] == "prepared" else OURS
        ratios = [
            row["peers"][name]["median"] / row["peers"][ours if ours in row["peers"] else OURS]["median"]
            for row in document["rows"]
            if name in row["peers"] and OURS in row["peers"]
        ]
        if name in (OURS, PREPARED) or peer["why_not"]:
            continue
        cells = [name, peer["version"], peer["weights"], peer["layout"], peer["threads"]]
        if ratios:
            wins = sum(ratio > 1 for ratio in ratios)
            cells += [f"{mean(ratios):.2f}", f"{min(ratios):.2f}", f"{max(ratios):.2f}", f"{wins} of {len(ratios)}"]
        table.add_row(*cells)
    return table


def fresh_table(entry: Row) -> Table:
    """First calls and changing sizes."""
    table = grid("<peer", "import ms", "first call ms", "second call ms", "new size ms")
    for name, seconds in entry["peers"].items():
        cells = [ms(seconds[key]) if key in seconds else "-" for key in ("import", "first", "second", "varying")]
        table.add_row(name, *cells)
    return table


def wrong(document: Document) -> list[str]:
    """Return a sentence for each output that is not ours up to rounding."""
    return [
        f"{name} on {row['suite']} {row['name']} ({head(row)}): {fault}"
        for row in document["rows"]
        for name, fault in row["wrong"].items()
    ]


KEY = ("suite", "name", "layout", "dtype", "batch", "threads")


def compare(old: Document, new: Document) -> list[str]:
    """Return lines for a commit's message: before, after and their ratio, of the problems that both have."""
    before = {tuple(row[key] for key in KEY): row for row in old["rows"]}
    pairs = [(before[key], row) for row in new["rows"] if (key := tuple(row[key] for key in KEY)) in before]
    pairs = [(a, b) for a, b in pairs if OURS in a["peers"] and OURS in b["peers"]]
    if not pairs:
        return ["the two runs have no problem in common"]
    cells = [("problem", "threads", "before ms", "after ms", "before/after")]
    for a, b in pairs:
        times = [row["peers"][OURS]["median"] for row in (a, b)]
        name = f"{b['suite']} {b['name']}, {b['layout']}"
        cells.append((name, str(b["threads"]), ms(times[0]), ms(times[1]), f"{times[0] / times[1]:.2f}"))
    ratios = [a["peers"][OURS]["median"] / b["peers"][OURS]["median"] for a, b in pairs]
    cells.append(("geometric mean", "", "", "", f"{mean(ratios):.2f}"))
    controls = [
        a["peers"][name]["median"] / b["peers"][name]["median"]
        for a, b in pairs
        for name in a["peers"]
        if name not in (OURS, PREPARED) and name in b["peers"]
    ]
    if controls:
        cells.append(("of the peers, which should be 1", "", "", "", f"{mean(controls):.2f}"))
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    lines = [
        "  ".join(
            [row[0].ljust(widths[0]), *(cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True))]
        )
        for row in cells
    ]
    peaks = [document["machine"]["peak"] for document in (old, new)]
    if not 0.95 < peaks[0] / peaks[1] < 1.05:
        lines.append(f"another machine, or a busy one: its FMA peak was {peaks[0] / 1e9:.1f}, now {peaks[1] / 1e9:.1f}")
    return lines


def mean(ratios: list[float]) -> float:
    """Geometric mean."""
    return math.exp(math.fsum(map(math.log, ratios)) / len(ratios))


def ms(seconds: float) -> str:
    """Milliseconds, to three digits."""
    value = seconds * 1e3
    return f"{value:.{max(0, min(4, 2 - math.floor(math.log10(value))))}f}" if value > 0 else "0"
