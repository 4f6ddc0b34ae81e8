"""Classic image filters as kernels: arrays, nothing else.

Every kernel is two-dimensional float64, is meant for cross-correlation (as `conv2d` computes it), and has odd sizes, so
that it has a centre. Smoothing kernels sum to 1, so that brightness is kept; derivative kernels, and waves, sum to 0.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ._arguments import LIMIT, read_integer, read_number, show

Array = np.ndarray[Any, np.dtype[np.float64]]

__all__ = ["box", "emboss", "gabor", "gaussian", "identity", "laplacian", "prewitt_x", "prewitt_y", "scharr_x",
           "scharr_y", "sharpen", "sobel_x", "sobel_y"]  # fmt: skip


def box(size: int) -> Array:
    """Mean over a square.

    Parameters
    ----------
    size : int
        Side in pixels, odd.

    Returns
    -------
    numpy.ndarray of shape (size, size)
        Each weight is ``1 / size**2``.

    Examples
    --------
    >>> from fastconv import filters
    >>> filters.box(3).sum().round(12)
    np.float64(1.0)
    """
    side = _odd(size)
    return np.full((side, side), 1 / side**2)


def gaussian(size: int, sigma: float | None = None) -> Array:
    """Gaussian smoothing, sampled at the pixels and normalised to sum 1.

    Parameters
    ----------
    size : int
        Side in pixels, odd.
    sigma : float, optional
        Standard deviation in pixels; ``size / 6`` by default, so that the kernel reaches to three of them.

    Returns
    -------
    numpy.ndarray of shape (size, size)
        The outer product of two one-dimensional Gaussians.

    Raises
    ------
    ValueError, TypeError
        `size` is even or less than 1, or `sigma` is not a positive finite number.

    Examples
    --------
    >>> from fastconv import filters
    >>> filters.gaussian(3, 1.0).round(4)
    array([[0.0751, 0.1238, 0.0751],
           [0.1238, 0.2042, 0.1238],
           [0.0751, 0.1238, 0.0751]])
    """
    side = _odd(size)
    width = _pixels("sigma", side / 6 if sigma is None else sigma)
    with np.errstate(over="ignore"):  # far outside of a narrow one
        line = np.exp(-0.5 * (np.arange(-(side // 2), side // 2 + 1) / width) ** 2)
    line /= line.sum()
    return np.outer(line, line)


def gabor(size: int, wavelength: float, angle: float = 0.0, phase: float = 0.0, sigma: float | None = None) -> Array:
    """A wave under a Gaussian: answers to edges and texture of one direction and one scale.

    Parameters
    ----------
    size : int
        Side in pixels, odd.
    wavelength : float
        Length of the wave in pixels.
    angle : float
        Direction in which the wave runs, in radians from rightwards to downwards; 0 answers to vertical edges.
    phase : float
        Of the wave at the centre, in radians: 0 is a bright line, ``-pi / 2`` an edge that grows along `angle`.
    sigma : float, optional
        Standard deviation of the Gaussian in pixels; ``size / 6`` by default.

    Returns
    -------
    numpy.ndarray of shape (size, size)
        Its weights sum to 0, their magnitudes to 1.

    Raises
    ------
    ValueError, TypeError
        `size` is even or less than 1, a length is not a positive finite number, an angle is not finite, or the wave is
        flat at the pixels, as every wave is at one.

    Examples
    --------
    >>> from fastconv import filters
    >>> filters.gabor(3, 4.0).round(4)
    array([[-0.0266,  0.0533, -0.0266],
           [-0.1967,  0.3935, -0.1967],
           [-0.0266,  0.0533, -0.0266]])
    """
    window, length = gaussian(size, sigma), _pixels("wavelength", wavelength)
    angle, phase = _finite("angle", angle), _finite("phase", phase)
    line = np.arange(-(len(window) // 2), len(window) // 2 + 1)
    along = line * np.cos(angle) + line[:, None] * np.sin(angle)
    with np.errstate(over="ignore", invalid="ignore"):  # a wave so short that its phase is no number
        wave = np.cos(2 * np.pi * along / length + phase)
    kernel: Array = window * (wave - (window * wave).sum())
    total = float(np.abs(kernel).sum())
    if not total >= 1e-9:
        raise ValueError(f"a wave of length {length} is flat at the pixels of size={len(window)}; use a larger size.")
    return kernel / total


def identity(size: int = 3) -> Array:
    """The kernel that changes nothing: 1 at the centre.

    Parameters
    ----------
    size : int
        Side in pixels, odd.

    Returns
    -------
    numpy.ndarray of shape (size, size)
        Its weights sum to 1.

    Examples
    --------
    >>> from fastconv import filters
    >>> filters.identity()
    array([[0., 0., 0.],
           [0., 1., 0.],
           [0., 0., 0.]])
    """
    side = _odd(size)
    kernel = np.zeros((side, side))
    kernel[side // 2, side // 2] = 1
    return kernel


def sobel_x() -> Array:
    """Sobel's derivative along the width: positive where brightness grows to the right.

    Returns
    -------
    numpy.ndarray of shape (3, 3)
        Its weights sum to 0.

    Examples
    --------
    >>> from fastconv import filters
    >>> filters.sobel_x()
    array([[-1.,  0.,  1.],
           [-2.,  0.,  2.],
           [-1.,  0.,  1.]])
    """
    return _derivative(1, 2)


def sobel_y() -> Array:
    """Sobel's derivative along the height: positive where brightness grows downwards.

    Returns
    -------
    numpy.ndarray of shape (3, 3)
        Its weights sum to 0.

    Examples
    --------
    >>> from fastconv import filters
    >>> (filters.sobel_y() == filters.sobel_x().T).all()
    np.True_
    """
    return _derivative(1, 2).T.copy()


def prewitt_x() -> Array:
    """Prewitt's derivative along the width: rows weighed alike.

    Returns
    -------
    numpy.ndarray of shape (3, 3)
        Its weights sum to 0.

    Examples
    --------
    >>> from fastconv import filters
    >>> filters.prewitt_x()[0]
    array([-1.,  0.,  1.])
    """
    return _derivative(1, 1)


def prewitt_y() -> Array:
    """Prewitt's derivative along the height.

    Returns
    -------
    numpy.ndarray of shape (3, 3)
        Its weights sum to 0.

    Examples
    --------
    >>> from fastconv import filters
    >>> filters.prewitt_y()[:, 0]
    array([-1.,  0.,  1.])
    """
    return _derivative(1, 1).T.copy()


def scharr_x() -> Array:
    """Scharr's derivative along the width: of the 3 × 3 kernels the one nearest to rotation invariance.

    Returns
    -------
    numpy.ndarray of shape (3, 3)
        Its weights sum to 0.

    Examples
    --------
    >>> from fastconv import filters
    >>> filters.scharr_x()[:, 2]
    array([ 3., 10.,  3.])
    """
    return _derivative(3, 10)


def scharr_y() -> Array:
    """Scharr's derivative along the height.

    Returns
    -------
    numpy.ndarray of shape (3, 3)
        Its weights sum to 0.

    Examples
    --------
    >>> from fastconv import filters
    >>> filters.scharr_y()[2]
    array([ 3., 10.,  3.])
    """
    return _derivative(3, 10).T.copy()


def laplacian() -> Array:
    """Second derivative, five points: positive in a dark spot.

    Returns
    -------
    numpy.ndarray of shape (3, 3)
        Its weights sum to 0.

    Examples
    --------
    >>> from fastconv import filters
    >>> filters.laplacian()
    array([[ 0.,  1.,  0.],
           [ 1., -4.,  1.],
           [ 0.,  1.,  0.]])
    """
    return np.array([[0.0, 1, 0], [1, -4, 1], [0, 1, 0]])


def sharpen(amount: float = 1.0) -> Array:
    """The image less `amount` times its Laplacian; sums to 1.

    Parameters
    ----------
    amount : float
        How much of the Laplacian is taken away; 0 changes nothing.

    Returns
    -------
    numpy.ndarray of shape (3, 3)
        Its weights sum to 1.

    Examples
    --------
    >>> from fastconv import filters
    >>> filters.sharpen().sum()
    np.float64(1.0)
    """
    return identity() - _finite("amount", amount) * laplacian()


def emboss() -> Array:
    """Relief, lit from the upper left; sums to 1.

    Returns
    -------
    numpy.ndarray of shape (3, 3)
        Its weights sum to 1.

    Examples
    --------
    >>> from fastconv import filters
    >>> filters.emboss()
    array([[-2., -1.,  0.],
           [-1.,  1.,  1.],
           [ 0.,  1.,  2.]])
    """
    return np.array([[-2.0, -1, 0], [-1, 1, 1], [0, 1, 2]])


def _derivative(outer: float, inner: float) -> Array:
    return np.outer([outer, inner, outer], [-1.0, 0, 1])


def _pixels(name: str, value: float) -> float:
    length = _real(name, value)
    if not 0 < length < np.inf:
        raise ValueError(f"{name} must be a positive finite number of pixels, got {show(value)}.")
    return length


def _finite(name: str, value: float) -> float:
    number = _real(name, value)
    if not np.isfinite(number):
        raise ValueError(f"{name} must be a finite number, got {show(value)}.")
    return number


def _real(name: str, value: float) -> float:
    number = read_number(name, value)
    if type(number) is complex:
        raise TypeError(f"{name} must be a real number, got {show(value)}.")
    try:
        return float(number.real)
    except OverflowError as error:
        raise ValueError(f"{name} must be a number that a float can hold, got {show(value)}.") from error


def _odd(size: int) -> int:
    side = read_integer("size", size, -LIMIT)
    if side < 1 or side % 2 == 0:
        raise ValueError(f"size must be odd and at least 1, so that the kernel has a centre, got {show(side)}.")
    if side**2 * 8 > LIMIT:
        raise ValueError(f"size={show(side)} would make a kernel of more than 2**63 bytes; use a smaller size.")
    return side
