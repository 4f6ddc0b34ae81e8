"""What a row of `peers` is."""

from __future__ import annotations

import contextlib
import importlib
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractContextManager

    from .problems import Array, Case


class UnableError(Exception):
    """Why a peer can't compute a problem, as a phrase."""


class Made(NamedTuple):
    """A peer that has the second array of one problem, the weights mostly."""

    feed: Callable[[Array], Callable[[], Any]]  # from the first array (N, C, H, W) to a call without arguments
    read: Callable[[Any], Array] = np.asarray  # from what the call returns to (N, C, H, W) or (O, I, H, W)


def in_the_call(threads: int) -> AbstractContextManager[Any]:
    """Limit nothing here: `make` passes the number on."""
    return contextlib.nullcontext(threads)


class Peer(NamedTuple):
    """One row: who, what it may, how a problem becomes a call, and how its threads are limited."""

    name: str
    modules: tuple[str, ...]  # the first one is the package
    make: Callable[[Case, Array], Made]  # from a problem and its second array; raises UnableError, or anything
    prepared: bool = False  # whether it sees the weights before the call, and may rearrange them
    layout: str = "given"  # of its operands; "given" is the one that the run asks for
    threads: str = "in the call"  # how they are limited, to be read
    limited: Callable[[int], AbstractContextManager[Any]] = in_the_call
    bytes: bool = False  # whether it takes images of unsigned bytes
    operators: tuple[str, ...] = ("conv2d",)  # which it is asked for

    def why_not(self) -> str | None:
        """Say why it can't be used here, or None."""
        for module in self.modules:
            try:
                importlib.import_module(module)
            except Exception as error:  # of a broken installation, whatever it raises
                return f"{module} can't be imported ({first_line(error)})"
        return None

    def version(self) -> str:
        """Return the package's version."""
        package = importlib.import_module(self.modules[0].partition(".")[0])
        return str(getattr(package, "__version__", "unknown")).partition("-")[0]  # OpenVINO adds its branch


def first_line(error: Exception) -> str:
    """Return what an error says, in a line that fits a table."""
    lines = str(error).strip().splitlines()
    return (lines[0] if lines else type(error).__name__)[:200].rstrip(".")
