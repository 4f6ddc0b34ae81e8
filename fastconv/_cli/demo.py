"""``fastconv demo``: classic filters and a small stack of layers on a photograph, timed beside SciPy, in one figure.

Every step is one call of fastconv.conv2d on all channels of the photo, in float32. SciPy computes the same once, and
the two results are compared. The photo is one that ships with scikit-image, or yours. Nothing is opened or downloaded.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from . import require

if TYPE_CHECKING:
    import argparse

HELP = "filter a photograph, time it beside SciPy and draw one figure"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add this command's arguments."""
    parser.add_argument("image", metavar="IMAGE", type=Path, nargs="?",
                        help="an image file (default: a photo of scikit-image)")  # fmt: skip
    parser.add_argument("-o", "--output", metavar="OUT.png", type=Path, default=Path("demo.png"),
                        help="where to draw the figure (default: %(default)s)")  # fmt: skip


def run(args: argparse.Namespace) -> int:
    """Compute, draw and print."""
    require("matplotlib", "PIL", "rich", "scipy", "skimage")
    from . import story  # here, since it imports all of those

    story.tell(args.image, args.output)
    return 0
