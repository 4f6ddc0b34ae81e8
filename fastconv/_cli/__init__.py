"""The commands of ``python -m fastconv``, one module each. A module has `add_arguments(parser)` and `run(args)`."""

from __future__ import annotations

import importlib

__all__ = ["UserError", "require"]


class UserError(Exception):
    """Something the user can put right: printed as one sentence, without a traceback.

    Parameters
    ----------
    message : str
        The sentence, without the name of the program.
    status : int
        Exit status.
    """

    def __init__(self, message: str, status: int = 2) -> None:
        super().__init__(message)
        self.status = status


# Import name → name on the package index, of what the extras install.
EXTRA = {
    "matplotlib": "matplotlib",
    "PIL": "pillow",
    "rich": "rich",
    "scipy": "scipy",
    "skimage": "scikit-image",
}


def require(*modules: str, extra: str = "demo") -> None:
    """Raise `UserError` unless these modules of an extra can be imported."""
    for module in modules:
        try:
            importlib.import_module(module)
        except ImportError as error:
            raise UserError(
                f"this command needs {EXTRA[module]}, which can't be imported ({error}); install it with "
                f"pip install 'fastconv[{extra}]'.",
                status=1,
            ) from error
