"""``fastconv info``: what this installation is and what it would use here."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from .._show_config import show_config

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterable

WAYS = ("its own", "composed from conv2d")  # how a backend may have an operator

UNKNOWN = {"distribution": "-", "version": None, "owns": ()}  # of a backend that is asked for and not there

HELP = "show the version, backends, instruction sets, threads and compiler"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add this command's arguments."""
    parser.add_argument("--json", action="store_true", help="print fastconv.show_config() as JSON")


def run(args: argparse.Namespace) -> int:
    """Print the configuration."""
    config = show_config()
    print(json.dumps(config, indent=2) if args.json else as_text(config))
    return 0


def as_text(config: dict[str, Any]) -> str:
    """Lay out `show_config()` for reading, in plain text."""
    threads = config["threads"]
    isas = config["instruction_sets"]
    facts = [
        ("Python", f"{config['python']}, NumPy {config['numpy']}"),
        ("platform", config["platform"]),
        ("compiler", config["compiler"]),
        ("OpenMP", config["openmp"] or "not built in: every call runs on one thread"),
        ("threads", f"{threads['count']}, from: {threads['from']}"),
        ("algorithms", ", ".join(config["algorithms"])),
    ]
    variables = [
        (name, "not set" if row["value"] is None else repr(row["value"]), row["meaning"])
        for name, row in config["environment"].items()
    ]
    choice = config["backend"]
    chosen = f"NumPy arrays go to {' or '.join(choice['names'])}, from: {choice['from']}"
    backends = [
        (name, _origin(spec), ", ".join(spec["owns"]) or "-", verdict)
        for name, verdict in config["backends"].items()
        for spec in [config["specs"].get(name, UNKNOWN)]
    ]
    operators = [
        (name, way, ", ".join(row for row in rows if rows[row] == way))
        for name, rows in config["operators"].items()
        for way in WAYS
        if way in rows.values()
    ]
    return "\n".join(
        [
            f"fastconv {config['fastconv']}",
            *_columns(facts),
            *_section("instruction sets, best first", isas.items()),
            *_section(f"backends; {chosen}", backends),
            *_section("operators, and whose they are", operators),
            *_section("environment variables", variables),
        ]
    )


def _origin(spec: dict[str, Any]) -> str:
    """Which distribution a backend comes from."""
    return f"{spec['distribution'] or 'registered'} {spec['version'] or ''}".rstrip()


def _section(heading: str, rows: Iterable[tuple[Any, ...]]) -> list[str]:
    return ["", heading, *_columns(rows)]


def _columns(rows: Iterable[tuple[Any, ...]]) -> list[str]:
    """Indent the rows and align all columns but the last."""
    table = [tuple(map(str, row)) for row in rows]
    widths = [*(max(map(len, column)) for column in zip(*(row[:-1] for row in table), strict=True)), 0]
    return [
        "  " + "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in table
    ]
