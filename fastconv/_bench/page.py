"""Documents as a page: what was measured, on what, and where a peer is faster."""

from __future__ import annotations

import shlex
from typing import Any

from rich.console import Console

from . import report
from .peers import OURS, PREPARED

Document = dict[str, Any]

INTRODUCTION = """\
# Performance

Made by `{command}`. Nothing on this page is edited by hand: run the same for your own machine.

Calls are made in turn in one process, with equal threads; medians count. `conv2d`, or the operator that a problem
names, stands beside the peers that get their weights with each call ("each call"), the plan of `plan_conv2d` beside all
("any"). Operands are brought into the form and the layout that a peer likes best before the clock starts.
"""


def page(documents: list[Document], arguments: list[str]) -> str:
    """Return the page of one or more runs, as Markdown; `arguments` are those of the command line that made it."""
    command = shlex.join(["fastconv", *arguments])
    parts = [INTRODUCTION.format(command=command), "\n".join(facts(documents))]
    console = Console(highlight=False, markup=False, width=200)
    for document in documents:
        for rows in report.panels(document):
            parts.append(f"## {report.title(rows)}")
            parts.append(f"```text\n{text(report.main_table(rows, document), console)}\n```")
            parts.append(losses(rows, document))
        if len(document["peers"]) > 1:
            parts.append(f"## Peers, over all problems in {document['settings']['dtype']}")
            parts.append(f"```text\n{text(report.peers_table(document), console)}\n```")
    return "\n\n".join(part.strip() for part in parts) + "\n"


def facts(documents: list[Document]) -> list[str]:
    """Say what was measured with, on what, line by line."""
    config, machine = documents[0]["config"], documents[0]["machine"]
    used = [name for name, state in config["instruction_sets"].items() if state == "used"]
    lines = [
        f"- {config['platform']}, {machine['processors']} processors ({machine['model']}), "
        f"instruction set {', '.join(used)}",
        f"- fastconv {config['fastconv']} ({config['compiler']}), NumPy {config['numpy']}, Python {config['python']}",
    ]
    peers = documents[0]["peers"].items()
    versions = {f"{name.partition('-')[0]} {peer['version']}": None for name, peer in peers if peer["version"]}
    lines.append(f"- peers: {', '.join(name for name in versions if not name.startswith(OURS))}")
    for document in documents:
        dtype, peak = document["settings"]["dtype"], document["machine"]["peak"] / 1e9
        noise = "; ".join(document["machine"]["warnings"])
        lines.append(f"- {dtype}: FMA peak of one thread {peak:.1f} GFLOP/s, measured{f' ({noise})' if noise else ''}")
    return lines


def text(table: Any, console: Console) -> str:
    """Return a table as lines without spaces at their ends."""
    with console.capture() as captured:
        console.print(table)
    return "\n".join(line.rstrip() for line in captured.get().splitlines())


def losses(rows: list[dict[str, Any]], document: Document) -> str:
    """Say where peers are faster by more than 5 %, the noise of a quiet machine."""
    found = []
    for row in rows:
        medians = {name: times["median"] for name, times in row["peers"].items()}
        for ours, kinds in ((OURS, {"each call"}), (PREPARED, {"each call", "prepared"})):
            peers = {
                name: seconds
                for name, seconds in medians.items()
                if name not in (OURS, PREPARED) and document["peers"][name]["weights"] in kinds
            }
            if not peers or ours not in medians:
                continue
            best = min(peers, key=lambda name: peers[name])
            if peers[best] < 0.95 * medians[ours]:
                what = row.get("operator", "conv2d") if ours == OURS else "the plan"  # earlier runs had no other
                found.append(f"{row['name']}: {best} takes {peers[best] / medians[ours]:.0%} of the time of {what}")
    if not found:
        return "No peer is faster by more than 5 %."
    return "Where a peer is faster by more than 5 %:\n\n" + "\n".join(f"- {line}" for line in found)
