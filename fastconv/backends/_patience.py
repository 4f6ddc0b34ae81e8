"""Plugins that take their time: each is asked in a thread of its own, waited for a while, and then left."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from typing import Any, TypeVar

PATIENCE = 10.0  # seconds that others wait for one plugin, once

T = TypeVar("T")

_asked: dict[str, tuple[threading.Thread, list[Any]]] = {}

if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_asked.clear)  # its threads are not in the child


def within_patience(what: str, ask: Callable[[], T], raised: Callable[[BaseException], T], late: T) -> T:
    """Return what `ask` returns, what `raised` makes of an error, or `late` if there is no answer yet.

    `what` names the question. While it has no answer it is not asked again, nor waited for again.
    """
    answers: list[T] = []

    def run() -> None:
        try:
            answers.append(ask())
        except BaseException as error:  # no signal comes to this thread: what is raised is the plugin's
            answers.append(raised(error))

    known = _asked.get(what)
    if known is None:
        thread = threading.Thread(target=run, daemon=True, name=f"fastconv: {what}")
        _asked[what] = thread, answers
        thread.start()
        thread.join(PATIENCE)
    else:
        answers = known[1]
    if not answers:
        return late
    _asked.pop(what, None)
    return answers[0]


def lateness(name: str) -> str:
    """Say of a backend that it has not answered."""
    return f"backend {name!r} did not answer within {PATIENCE:.0f} seconds; it is still loading."
