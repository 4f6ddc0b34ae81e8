"""``fastconv filter``: apply classic filters, or kernels of your own, to every colour channel of an image.

The result has the size of the image; alpha is kept as it is. Several kernels are applied one after the other. Values
outside the image's range are clipped, except where the weights sum to 0, as those of derivatives do: then the result
is shown as 0.5 + value / (2 max|value|), so that zero is mid-grey. The raw minimum and maximum are printed either way.
"""

from __future__ import annotations

import inspect
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from .. import PADDING_MODES, filter2d, filters
from . import UserError, files, require

if TYPE_CHECKING:
    import argparse

HELP = "apply classic filters or your own kernels to an image"
LARGEST = 1001  # pixels a side of a kernel: a typing error must not fill the memory

Array = np.ndarray[Any, Any]


class Kernel(NamedTuple):
    """A kernel and what the user called it."""

    name: str
    weight: Array


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add this command's arguments."""
    names = ", ".join(_usage(name) for name in filters.__all__)
    parser.add_argument("image", metavar="IMAGE", type=Path, help="an image file")
    parser.add_argument(
        "--kernel", "-k", metavar="KERNEL", nargs="+", required=True,
        help=f"a filter, with its arguments after colons, as in gaussian:9:1.5 ({names}), or the path of a .npy file "
        "with a two-dimensional array",
    )  # fmt: skip
    parser.add_argument("-o", "--output", metavar="OUT.png", type=Path, default=Path("filtered.png"),
                        help="where to write the result (default: %(default)s)")  # fmt: skip
    parser.add_argument("--padding-mode", choices=PADDING_MODES, default="reflect",
                        help="what lies outside the image (default: %(default)s)")  # fmt: skip
    parser.add_argument("--flip", action="store_true", help="true convolution: flip the kernels in both axes")


def run(args: argparse.Namespace) -> int:
    """Filter one image."""
    kernels = [parse(spec) for spec in args.kernel]
    require("PIL")
    from PIL import Image

    from . import images

    files.check_output(args.output, set(Image.registered_extensions()))
    picture = images.read(args.image)
    x = picture.pixels
    for kernel in kernels:
        x = apply(kernel, x, args.padding_mode, args.flip)
    shown, how = displayed(x, kernels)
    images.write(args.output, shown, picture.alpha, picture.bits)
    print(f"raw result from {x.min():.4g} to {x.max():.4g}; {how}")
    print(f"wrote {args.output}")
    return 0


def apply(kernel: Kernel, x: Array, padding_mode: str, flip: bool) -> Array:
    """Filter an image (H, W, C) and print what was done."""
    weight = kernel.weight.astype(np.float32)
    start = time.perf_counter()
    y = filter2d(x, weight, padding_mode=padding_mode, flip=flip, data_format="HWC")
    ms = (time.perf_counter() - start) * 1e3
    side = "×".join(map(str, kernel.weight.shape))
    print(f"{kernel.name}: kernel {side}, image {x.shape}, {ms:.2f} ms")
    return y


def displayed(y: Array, kernels: list[Kernel]) -> tuple[Array, str]:
    """Bring a result into the range 0 to 1; return it and what was done, for the user to read."""
    total = np.prod([kernel.weight.sum() for kernel in kernels])
    size = np.prod([np.abs(kernel.weight).sum() for kernel in kernels])
    if abs(total) <= 1e-6 * size:
        scale = np.abs(y).max()
        if scale <= 1e-6 * size:  # rounding errors of a flat image are no picture
            scale = np.float32(1)
        return 0.5 + y / (2 * scale), "shown as 0.5 + value / (2 max|value|), so zero is mid-grey"
    outside = np.mean((y < 0) | (y > 1))
    return np.clip(y, 0, 1), f"clipped to the image's range, 0 to 1 ({outside:.1%} of the values lay outside)"


def parse(spec: str) -> Kernel:
    """Make a kernel of ``name``, ``name:argument:argument`` or the path of a .npy file."""
    weight = load(spec) if spec.lower().endswith(".npy") else _classic(spec)
    if not np.isfinite(weight).all():
        raise UserError(f"kernel {spec!r} has weights that are not finite numbers.")
    return Kernel(spec, weight)


def load(path: str) -> Array:
    """Read a two-dimensional array of real numbers from a .npy file, without unpickling anything."""
    try:
        array = np.load(path, allow_pickle=False)
    except OSError as error:
        raise UserError(f"can't read the kernel {path}: {error.strerror or error}.") from error
    except (ValueError, EOFError) as error:
        raise UserError(f"can't read the kernel {path}: it is not a .npy file of numbers.") from error
    if not isinstance(array, np.ndarray):
        raise UserError(f"can't read the kernel {path}: it is not a .npy file of numbers.")
    if array.ndim != 2 or array.size == 0 or array.dtype.kind not in "biuf":
        raise UserError(
            f"the kernel {path} must be a two-dimensional array of real numbers, got shape {array.shape} and dtype "
            f"{array.dtype}."
        )
    return array.astype(np.float64)


def _classic(spec: str) -> Array:
    name, *texts = spec.split(":")
    if name not in filters.__all__:
        raise UserError(f"unknown kernel {spec!r}; there are {', '.join(filters.__all__)}, and paths that end in .npy.")
    make = getattr(filters, name)
    try:
        arguments = [_number(text) for text in texts]
        inspect.signature(make).bind(*arguments)
        if "size" in inspect.signature(make).parameters and arguments and arguments[0] > LARGEST:
            raise ValueError(f"size must be at most {LARGEST}")
        weight: Array = make(*arguments)
    except (TypeError, ValueError) as error:
        raise UserError(f"kernel {spec!r}: {str(error).rstrip('.')}; write it as {_usage(name)}.") from error
    return weight


def _number(text: str) -> float:
    try:
        return int(text)
    except ValueError:
        return float(text)


def _usage(name: str) -> str:
    """How a filter is written, such as ``gaussian:SIZE[:SIGMA]``."""
    parameters = inspect.signature(getattr(filters, name)).parameters.values()
    return name + "".join(f":{p.name.upper()}" if p.default is p.empty else f"[:{p.name.upper()}]" for p in parameters)
