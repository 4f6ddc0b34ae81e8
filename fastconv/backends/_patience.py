"""Plugins that take their time: each is asked in a thread of its own, waited for a while, and then left."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable
from typing import Any, TypeVar

PATIENCE = 10.0  # seconds that others wait for one plugin, once

T = TypeVar("T")

# Who is asked a question, what it answers, when it has, and until when it is waited for.
_asked: dict[str, tuple[threading.Thread, list[Any], threading.Event, float]] = {}

if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_asked.clear)  # its threads are not in the child


def within_patience(what: str, ask: Callable[[], T], raised: Callable[[BaseException], T], late: T) -> T:
    """Return what `ask` returns, what `raised` makes of an error, or `late` if there is no answer yet.

    `what` names the question. While it has no answer it is not asked again, and all who ask wait for the same time.
    """
    own: list[T] = []
    told = threading.Event()

    def run() -> None:
        try:
            own.append(ask())
        except BaseException as error:  # no signal comes to this thread: what is raised is the plugin's
            own.append(raised(error))
        told.set()

    mine = threading.Thread(target=run, daemon=True, name=f"fastconv: {what}")
    thread, answers, answered, end = _asked.setdefault(what, (mine, own, told, time.monotonic() + PATIENCE))
    if thread is mine:
        thread.start()
    if thread is not threading.current_thread():  # as where a plugin asks for all while it is asked itself
        answered.wait(max(0.0, end - time.monotonic()))
    if not answers:
        return late
    _asked.pop(what, None)
    found: T = answers[0]
    return found


def lateness(name: str) -> str:
    """Say of a backend that it has not answered."""
    return f"backend {name!r} did not answer within {PATIENCE:.0f} seconds; it is still loading."
