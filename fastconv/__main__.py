"""The command line: ``python -m fastconv COMMAND``, installed as ``fastconv COMMAND`` too."""

from __future__ import annotations

import argparse
import io
import os
import sys
from typing import TYPE_CHECKING

from . import _config
from ._cli import UserError, bench, demo, info
from ._cli import filter as filter_
from ._errors import BackendError
from ._version import __version__

if TYPE_CHECKING:
    from collections.abc import Sequence

COMMANDS = {"info": info, "demo": demo, "filter": filter_, "bench": bench}


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command.

    Parameters
    ----------
    argv : sequence of str, optional
        The arguments, without the name of the program; those of the process by default.

    Returns
    -------
    int
        Exit status: 0; 1 where a result is wrong or a package is missing; 2 where the user can put something right.
    """
    if argv is None and isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")  # where the terminal has no "×", a "?" will do
    args = _parser().parse_args(argv)
    try:
        _check_environment()
        status: int = args.run(args)
        sys.stdout.flush()
    except UserError as error:
        return _fail(str(error), error.status)
    except BackendError as error:  # of the user's own choice of backend
        return _fail(str(error), 2)
    except MemoryError:
        return _fail("there is not enough memory for this.", 1)
    except KeyboardInterrupt:
        return _fail("interrupted.", 130)
    except BrokenPipeError:  # `fastconv info | head -1`: nobody reads on, which is no failure of ours
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    return status


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="fastconv", description="Fast convolution on plain NumPy arrays.")
    parser.add_argument("--version", action="version", version=f"fastconv {__version__}")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    for name, command in COMMANDS.items():
        text = (command.__doc__ or "").partition(":")[2].strip()
        sub = commands.add_parser(
            name, help=command.HELP, description=text, formatter_class=argparse.RawDescriptionHelpFormatter
        )
        command.add_arguments(sub)
        sub.set_defaults(run=command.run)
    return parser


def _check_environment() -> None:
    try:
        for name in _config.VARIABLES:
            _config.get(name)
    except ValueError as error:
        raise UserError(str(error)) from error


def _fail(message: str, status: int) -> int:
    """Print the first line of a message, as one line, and return the exit status."""
    print("fastconv:", " ".join(message.split()), file=sys.stderr)
    return status


if __name__ == "__main__":
    sys.exit(main())
