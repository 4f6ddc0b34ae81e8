"""What this installation is and what it would use here."""

from __future__ import annotations

import os
import platform
from typing import Any

import numpy as np

from . import _config
from ._errors import BackendError, BackendUnavailableError
from ._operators import OPERATORS
from ._version import __version__
from .backends import BackendSpec
from .backends._compose import how
from .backends._listing import backends
from .backends._selection import selection
from .backends._table import load, specs


def show_config() -> dict[str, Any]:
    """Describe this installation: version, backends, instruction sets, threads, compiler, environment.

    Returns
    -------
    dict
        Plain data, as ``python -m fastconv info --json`` prints it. Of each operator it says how the backends that are
        usable compute it.

    Examples
    --------
    >>> import fastconv
    >>> fastconv.show_config()["fastconv"] == fastconv.__version__
    True
    """
    try:
        isa = getattr(load("cpu"), "isa", "")  # says what is wrong where the extension is not compiled
    except BackendUnavailableError:  # disabled
        isa = ""
    from . import _kernels

    threads, why = _kernels.threads()
    names, source = selection()
    verdicts = backends()
    for name in names:  # that are asked for, and are not there
        if name not in verdicts:
            verdicts[name] = _why_not(name)
    usable = [spec for name, spec in specs().items() if verdicts.get(name) == "usable"]
    return {
        "fastconv": __version__,
        "python": platform.python_version(),
        "numpy": np.__version__,
        "platform": f"{platform.system()} {platform.machine()}",
        "compiler": _kernels.COMPILER,
        "openmp": _kernels.OPENMP or None,
        "threads": {"count": threads, "from": why},
        "instruction_sets": {
            name: "used" if name == isa else "found" if here else "not on this processor"
            for name, here in _kernels.isas()
        },
        "algorithms": {name: f"of {family}" for name, family in _kernels.algorithms().items()},
        "backend": {"names": list(names), "from": source},
        "backends": verdicts,
        "operators": {name: {spec.name: how(spec, name) for spec in usable} for name in OPERATORS},
        "specs": {name: _described(spec) for name, spec in specs().items()},
        "environment": {
            name: {"value": os.environ.get(name), "meaning": row.meaning} for name, row in _config.VARIABLES.items()
        },
    }


def _why_not(name: str) -> str:
    try:
        load(name)
    except BackendError as error:
        return str(error)
    return "usable"


def _described(spec: BackendSpec) -> dict[str, Any]:
    """A spec as plain data."""
    data = spec._asdict() | {"version": _version(spec.distribution)}
    return {key: value if isinstance(value, int | None) else _plain(value) for key, value in data.items()}


def _plain(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else str(value)


def _version(distribution: str) -> str | None:
    """The version of an installed distribution, None for what is none."""
    if distribution == "fastconv":
        return __version__
    import importlib.metadata

    try:
        return importlib.metadata.version(distribution)
    except (ValueError, importlib.metadata.PackageNotFoundError):
        return None
