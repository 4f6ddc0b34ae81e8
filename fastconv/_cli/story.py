"""What ``fastconv demo`` computes, prints and draws. It imports the whole `demo` extra."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import skimage
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from .._api import conv2d
from .._show_config import show_config
from . import UserError, figure, files, images, layers
from .figure import Section, Tile
from .steps import Step, Timed
from .steps import run as run_step

DEFAULT_PHOTO = "chelsea.png"  # CC0; inside scikit-image's wheel, so that nothing is downloaded
LONGEST_SIDE = 768  # pixels: SciPy must be done in a few seconds too
STEPS = 8
IN_COLOUR = 5  # so many of the classic filters give pictures; the others give signed maps

Array = np.ndarray[Any, Any]


class Photo(NamedTuple):
    """The photo (H, W, 3) from 0 to 1, what it is, and the part that the filters are shown on."""

    pixels: Array
    source: str
    detail: tuple[slice, slice]

    @property
    def nchw(self) -> Array:
        """A batch of one image."""
        return np.ascontiguousarray(self.pixels.transpose(2, 0, 1))[None]


class Runner:
    """Runs steps and reports each: on a progress bar, or as a line where there is no terminal to draw a bar on."""

    def __init__(self, console: Console) -> None:
        self.timed: list[Timed] = []
        self._console = console
        columns = TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn()
        self.progress = Progress(*columns, console=console, transient=True, disable=not console.is_terminal)
        self._task = self.progress.add_task("", total=STEPS)

    def __call__(self, step: Step) -> Array:
        """Run a step and return its result."""
        self.progress.update(self._task, description=step.title)
        timed = run_step(step)
        self.timed.append(timed)
        self.progress.advance(self._task)
        if not self._console.is_terminal:
            self._console.print(f"[{len(self.timed)}/{STEPS}] {step.title}: {timed.ms:.2f} ms")
        return timed.y


def tell(image: Path | None, output: Path) -> None:
    """Run the demonstration."""
    files.check_output(output, figure.SUFFIXES)
    photo = read(image)
    # A pipe or a file has no width that the table must fit in.
    console = Console(highlight=False, markup=False, soft_wrap=True, width=None if sys.stdout.isatty() else 140)
    h, w = photo.pixels.shape[:2]
    console.print(f"photo: {photo.source}; computed at {h} × {w} × 3 in float32")
    runner = Runner(console)
    with runner.progress:
        sections = [filters(photo, runner), flips(photo, runner), *stack(photo, runner)]
    console.print(table(runner.timed), soft_wrap=False)
    console.print(FOOTNOTE.format(threads=show_config()["threads"]["count"]))
    files.store(output, figure.draw(photo.pixels, photo.detail, sections, output.suffix))
    console.print(f"wrote {output}")
    wrong = [timed.step.title for timed in runner.timed if not timed.agrees]
    if wrong:
        raise UserError(f"fastconv and SciPy differ in: {', '.join(wrong)}.", status=1)


def read(path: Path | None) -> Photo:
    """Read the user's photo, or the default one."""
    name = str(path)
    if path is None:
        path = Path(skimage.__file__).parent / "data" / DEFAULT_PHOTO
        name = f"{DEFAULT_PHOTO} of scikit-image"
    picture = images.read(path)
    h, w, channels = picture.pixels.shape
    kind = "grey, repeated three times" if channels == 1 else "RGB"
    alpha = ", laid on white" if picture.alpha is not None else ""
    pixels = images.reduced(picture.rgb, LONGEST_SIDE)
    return Photo(pixels, f"{name}, {h} × {w}, {kind}{alpha}", (_middle(len(pixels)), _middle(len(pixels[0]))))


def filters(photo: Photo, run: Runner) -> Section:
    """Run classic filters on each channel by itself, and detectors that look at all three."""
    detail = (..., *photo.detail)
    bank, edges = layers.classic(), layers.colour_edges()
    planes = photo.nchw.transpose(1, 0, 2, 3)  # the colours are the batch: one kernel serves them all
    y = run(Step(f"{len(bank.names)} classic filters", planes, bank.weight,
                 scipy="signal.oaconvolve"))[detail]  # fmt: skip
    z = run(Step("3 colour-edge detectors", photo.nchw, edges.weight))[0][detail]
    tiles = [Tile(y[:, k].transpose(1, 2, 0), name, "rgb") for k, name in enumerate(bank.names[:IN_COLOUR])]
    tiles += [Tile(y[:, k].mean(axis=0), bank.names[k], "signed") for k in range(IN_COLOUR, len(bank.names))]
    tiles += [Tile(plane, name, "signed") for plane, name in zip(z, edges.names, strict=True)]
    return Section(
        "Classic filters",
        "on each colour channel by itself, derivatives averaged; the last three kernels see all channels at once",
        tiles,
        leads=True,
    )


def flips(photo: Photo, run: Runner) -> Section:
    """Apply one kernel as cross-correlation and as true convolution."""
    relief = layers.relief()
    planes = photo.nchw.transpose(1, 0, 2, 3)
    pictures = [
        run(Step(title, planes, relief[None, None], flip=flip))[(slice(None), 0, *photo.detail)].transpose(1, 2, 0)
        for title, flip in (("cross-correlation", False), ("true convolution (flip)", True))
    ]
    dots = np.zeros((25, min(max(25 * photo.pixels.shape[1] // photo.pixels.shape[0], 21), 50)), np.float32)
    dots[[4, 12, 20], [dots.shape[1] * part // 100 for part in (25, 75, 40)]] = 1
    marks = [conv2d(dots, layers.letter(), padding="same", flip=flip) for flip in (False, True)]
    tiles = [
        Tile(layers.letter(), "kernel 7×7", "kernel"),
        Tile(dots, "three points", "map"),
        Tile(marks[0], "cross-correlation", "map"),
        Tile(marks[1], "convolution", "map"),
        Tile(relief, "relief 5×5", "kernel"),
        Tile(pictures[0], "cross-correlation", "rgb"),
        Tile(pictures[1], "convolution", "rgb"),
        Tile((pictures[1] - pictures[0]).mean(axis=2), "their difference", "signed"),
    ]
    return Section(
        "Cross-correlation and convolution",
        "convolution copies the kernel to every point, cross-correlation its half-turn: the light changes sides",
        tiles,
    )


def stack(photo: Photo, run: Runner) -> list[Section]:
    """Run three layers of designed kernels, each with a bias and a ReLU."""
    one = layers.layer1()
    two = layers.layer2(one.names)
    three = layers.layer3(two.names)
    y1 = _activate(run(Step("layer 1: 7×7, stride 2", photo.nchw, one.weight, one.bias, stride=2)))
    y2 = _activate(run(Step("layer 2: 3×3, stride 2", y1, two.weight, two.bias, stride=2)))
    y1_last, hwio = (np.ascontiguousarray(a) for a in (y1.transpose(0, 2, 3, 1), two.weight.transpose(2, 3, 1, 0)))
    run(Step("layer 2 again, in NHWC", y1_last, hwio, two.bias, stride=2, data_format="NHWC"))
    y3 = _activate(run(Step("layer 3: 3×3, dilation 2", y2, three.weight, three.bias, dilation=2)))
    return [
        _layer("Layer 1", "3 → 16 channels, 7×7, stride 2, bias, ReLU: edges by the direction of growing brightness, "
               "opponent colours", y1, one),
        _layer("Layer 2", "16 → 16 channels, 3×3, stride 2, bias, ReLU: contours and lines by direction, corners, "
               "texture, colour", y2, two),
        _layer("Layer 3", "16 → 16 channels, 3×3, dilation 2, bias, ReLU: longer motifs made of those, and regions",
               y3, three),
    ]  # fmt: skip


def table(timed: list[Timed]) -> Table:
    """Lay out the steps."""
    result = Table(title="one call of fastconv.conv2d a step; times in milliseconds", title_justify="left")
    result.add_column("step")
    result.add_column("input → output")
    for heading in ("fastconv", "1 thread", "SciPy"):
        result.add_column(heading, justify="right")
    result.add_column("by SciPy's")
    result.add_column("×", justify="right")
    result.add_column("max |diff|", justify="right")
    for row in timed:
        step = row.step
        result.add_row(
            step.title, f"{_shape(step.x)} → {_shape(row.y)}", f"{row.ms:.2f}", f"{row.ms_one:.2f}",
            f"{row.ms_scipy:.1f}", step.scipy, f"{row.ms_scipy / row.ms_one:.1f}", f"{row.difference:.1e}",
        )  # fmt: skip
    return result


FOOTNOTE = (
    "fastconv: best of a few runs, on {threads} threads and on 1; × compares 1 thread with SciPy, which has 1. SciPy: "
    "one run, a loop over the planes, summed over the input channels, without zero kernels; it has no stride (computes "
    "all, keeps some) and no dilation (zeros between the weights)."
)


def _layer(heading: str, caption: str, y: Array, bank: layers.Bank) -> Section:
    """One tile a channel, with the kernel in its corner where that is a colour picture."""
    tiles = [Tile(plane, name, "map") for plane, name in zip(y[0], bank.names, strict=True)]
    if bank.weight.shape[1] == 3:
        kernels = bank.weight.transpose(0, 2, 3, 1)
        tiles = [tile._replace(kernel=kernel) for tile, kernel in zip(tiles, kernels, strict=True)]
    return Section(heading, caption, tiles)


def _activate(y: Array) -> Array:
    """ReLU, then each channel divided by its strongest answers, so that the next layer's biases suit any photo."""
    y = np.maximum(y, 0)
    strongest = np.quantile(y, 0.995, axis=(2, 3), keepdims=True)
    floor = max(0.2 * float(strongest.max()), 1e-6)  # a channel that hardly answers must not be made of noise
    return np.asarray(y / np.maximum(strongest, floor), np.float32)


def _middle(side: int) -> slice:
    """Return the middle half of a side; all of a short one."""
    return slice(0, side) if side < 96 else slice(side // 4, side // 4 + side // 2)


def _shape(array: Array) -> str:
    return "×".join(map(str, array.shape))
