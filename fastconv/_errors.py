"""What can go wrong with a backend or a setting. Wrong arguments are ValueError and TypeError, from `_problem`."""

from __future__ import annotations


class ConfigError(ValueError):
    """An environment variable of fastconv has a value that can't be used."""


class BackendError(RuntimeError):
    """A backend did not do what was asked of it; the base of the errors below."""


class BackendNotFoundError(BackendError, LookupError):
    """No backend of that name is installed."""


class BackendLoadError(BackendError, ImportError):
    """A backend is installed, but it can't be imported or is not one."""


class BackendVersionError(BackendError):
    """A backend was written for another version of the protocol."""


class BackendUnavailableError(BackendError):
    """A backend is installed, but can't be used on this machine."""


class BackendUnsupportedError(BackendError, NotImplementedError):
    """A backend can't compute this problem."""


class BackendResultError(BackendError):
    """A backend broke its contract: it returned something other than what was asked for, or did what it must not."""
