"""Files that commands write."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from . import UserError

if TYPE_CHECKING:
    from pathlib import Path


def check_output(path: Path, suffixes: set[str]) -> None:
    """Refuse an output that can't be written, before anything is computed."""
    if path.suffix.lower() not in suffixes:
        shown = ", ".join(sorted(suffixes)) if len(suffixes) < 12 else ".png, .jpg, .tif and others that Pillow writes"
        raise UserError(f"can't write {path}: its name must end in one of {shown}.")
    if path.is_dir():
        raise UserError(f"can't write {path}: it is a directory.")
    if not path.parent.is_dir():
        raise UserError(f"can't write {path}: there is no directory {path.parent}.")
    if not os.access(path if path.exists() else path.parent, os.W_OK):
        raise UserError(f"can't write {path}: permission denied.")


def store(path: Path, data: bytes) -> None:
    """Write a file in one go, so that a failure leaves nothing half done."""
    try:
        path.write_bytes(data)
    except OSError as error:
        raise UserError(f"can't write {path}: {error.strerror}.") from error
