"""What a user asks of the table: which backends there are, what is known of one, and one more."""

from __future__ import annotations

from .._arguments import kind_of, read_name, show, told
from .._operators import OPERATORS
from . import BUILT_IN, BackendSpec, _table
from ._compose import how
from ._table import find, load, specs


def backends(operator: str = "conv2d") -> dict[str, str]:
    """Return every backend that is built in, registered or installed, with "usable" or why it can't be used.

    Loads and probes each of them; a broken one breaks nothing but its own line, and a slow one is left after ten
    seconds.

    Parameters
    ----------
    operator : str
        What they are to compute: the name of a function, such as ``"conv2d_grad_input"``.

    Examples
    --------
    >>> import fastconv
    >>> fastconv.backends()["cpu"]
    'usable'
    >>> fastconv.backends(operator="conv2d_grad_input")["cpu"]
    'usable, composed from conv2d'
    """
    operator = read_name("operator", operator)
    if operator not in OPERATORS:
        raise ValueError(f"operator must be one of {', '.join(OPERATORS)}, got {show(operator)}.")
    return {name: _verdict_on(name, spec, operator) for name, spec in specs().items()}


def _verdict_on(name: str, spec: BackendSpec, operator: str) -> str:
    verdict, answer = _verdict(name), how(spec, operator)
    if verdict != "usable" or answer == "its own":
        return verdict
    return f"usable, {answer}" if answer.startswith("composed") else answer


def _verdict(name: str) -> str:
    if name in _table._loaded or name in {spec.name for spec in BUILT_IN}:
        return _ask(name)
    from ._patience import lateness, within_patience

    if name not in specs(scan=False):  # not even its description is there
        return lateness(name)

    def raised(error: BaseException) -> str:
        return told(error, 500) or f"backend {name!r} raised {type(error).__name__} while it was loaded."

    return within_patience(f"probe of {name}", lambda: _ask(name), raised, lateness(name))


def _ask(name: str) -> str:
    try:
        load(name)
    except Exception as error:
        return told(error, 500)
    return "usable"


def register_backend(spec: BackendSpec) -> None:
    """Add a backend to the table of this process, as an installed plugin's entry point does.

    Parameters
    ----------
    spec : BackendSpec
        Its name must be new; registering an equal spec again does nothing. It goes before a plugin of the same name
        that is installed and that nobody has asked for yet.

    Raises
    ------
    ValueError
        The name is not well formed, or is that of another backend; or an array type is not "module:Class".

    Examples
    --------
    >>> import fastconv
    >>> from fastconv.backends.reference import ReferenceBackend
    >>> fastconv.register_backend(fastconv.BackendSpec("mine", ReferenceBackend))
    >>> fastconv.conv2d([[1, 2]], [[3]], backend="mine")
    array([[3, 6]])
    """
    from ._specs import check_spec

    check_spec(spec)
    other = specs(scan=False).get(spec.name, spec)
    if other._replace(distribution=spec.distribution) != spec:
        raise ValueError(f"there already is a backend {spec.name!r} ({other.implementation}); choose another name.")
    if other is spec:
        _table._registered[spec.name] = spec


def backend_spec(name: str) -> BackendSpec:
    """Return the description of a backend, without importing its implementation.

    Parameters
    ----------
    name : str
        The backend's name.

    Returns
    -------
    BackendSpec
        As it was registered or published, with the distribution that it comes from.

    Raises
    ------
    TypeError
        `name` is not a string.
    BackendNotFoundError
        There is no backend of that name.
    BackendUnavailableError
        It is disabled by FASTCONV_DISABLE_BACKENDS.

    Examples
    --------
    >>> import fastconv
    >>> fastconv.backend_spec("cpu").accepts
    ('numpy:ndarray',)
    """
    if not isinstance(name, str):
        raise TypeError(f"name must be that of a backend, such as 'cpu', got {kind_of(name)}.")
    return find(name)
