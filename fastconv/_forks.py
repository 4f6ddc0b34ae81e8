"""Locks that a forked child finds open: the thread that held one in its parent is not there to let go of it."""

from __future__ import annotations

import contextlib
import os
import threading
import weakref
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator


class Lock:
    """A lock for changes that are complete, or not there, at every moment: a fork may come at any."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        _every.add(self)

    @contextlib.contextmanager
    def held(self) -> Iterator[None]:
        """Hold the lock inside a `with` block; a child that is forked inside it lets go of its parent's."""
        with self._lock:
            yield

    def _renew(self) -> None:
        self._lock = threading.Lock()


_every: weakref.WeakSet[Lock] = weakref.WeakSet()


def _renew_all() -> None:
    for lock in list(_every):
        lock._renew()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_renew_all)
