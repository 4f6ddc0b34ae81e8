"""Measure the errors of every algorithm and of other libraries, beside the bound of `conv2d_error_bound`.

python benchmarks/accuracy.py [--page docs/accuracy.md]      a minute
python benchmarks/accuracy.py --smoke                         seconds, to see that it runs
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np

import fastconv
from fastconv import _kernels
from fastconv._bench.peer import UnableError
from fastconv._bench.peers import PEERS
from fastconv._bench.problems import Case, Layer

U = 2.0**-24
FAMILIES = list(dict.fromkeys(_kernels.algorithms().values()))
OTHERS = ["torch", "onnxruntime", "openvino", "opencv"]
COLUMNS = "| filling | by | root mean square | largest | of the bound |\n| --- | --- | ---: | ---: | ---: |"
LAYERS = [
    Layer("3x3, 64 channels of 56", 64, 56, 56, 64, 3, padding=1),
    Layer("3x3, 256 channels of 14", 256, 14, 14, 256, 3, padding=1),
    Layer("3x3, 512 channels of 7", 512, 7, 7, 64, 3, padding=1),
    Layer("3x3, stride 2, 64 channels of 56", 64, 56, 56, 64, 3, stride=2, padding=1),
    Layer("5x5, 64 channels of 28", 64, 28, 28, 64, 5, padding=2),
    Layer("1x1, 256 channels of 28", 256, 28, 28, 64, 1),
    Layer("15x15, one channel of 256", 1, 256, 256, 1, 15, padding=7),
    Layer("31x31, one channel of 256", 1, 256, 256, 1, 31, padding=15),
]
FILLINGS = {
    "normal": lambda rng, shape: rng.standard_normal(shape),
    "positive": lambda rng, shape: rng.random(shape),
    "one value": lambda rng, shape: np.full(shape, 0.1),
    "wide range": lambda rng, shape: rng.standard_normal(shape) * 10.0 ** rng.uniform(-4, 4, shape),
}

HEAD = """\
# Accuracy

Made by `python benchmarks/accuracy.py --page docs/accuracy.md`. Nothing on this page is edited by hand.

Errors of float32 results against the sum in float64, in units of u · Σ|x||w| of their element (u = 2⁻²⁴): the root of
the mean square, and the largest. Fast algorithms mix a neighbourhood, so where values differ by many orders of
magnitude the small ones see the errors of the large. "Of the bound" is the largest part that an error takes of what
`conv2d_error_bound` proves for its element.

"""


def errors(y, exact, size, bound):
    """Root mean square and largest error in units of u times the size; the largest part of the bound."""
    error = abs(y.astype("f8") - exact)
    relative = error / (U * size)
    part = f"{(error / bound).max():.2%}" if bound is not None else ""
    return f"{np.sqrt((relative**2).mean()):.2f}", f"{relative.max():.1f}", part


def rows(layer, filling, rng):
    """The lines of one problem with one filling."""
    case = Case(layer, 1, "float32", "nchw", 1)
    x = FILLINGS[filling](rng, case.x().shape).astype("f4")
    weight = FILLINGS[filling](rng, case.weight().shape).astype("f4")
    options = {"stride": layer.stride, "padding": layer.padding}
    exact = fastconv.conv2d(x.astype("f8"), weight.astype("f8"), **options, algorithm="direct")
    size = fastconv.conv2d(abs(x).astype("f8"), abs(weight).astype("f8"), **options, algorithm="direct")
    for name in FAMILIES:
        try:
            y = fastconv.conv2d(x, weight, **options, algorithm=name)
        except fastconv.BackendUnsupportedError:
            continue
        yield name, errors(y, exact, size, fastconv.conv2d_error_bound(x, weight, **options, algorithm=name))
    for name in OTHERS:
        if PEERS[name].why_not():
            continue
        try:
            made = PEERS[name].make(case, weight)
            yield name, errors(made.read(made.feed(x)()), exact, size, None)
        except UnableError:
            continue


def main():
    """Print the tables, or write the page."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--page", type=Path)
    parser.add_argument("--smoke", action="store_true")
    arguments = parser.parse_args()
    parts = [HEAD]
    for layer in LAYERS[:1] if arguments.smoke else LAYERS:
        parts.append(f"## {layer.name}\n\n{COLUMNS}\n")
        for filling in FILLINGS:
            for name, found in rows(layer, filling, np.random.default_rng(9)):
                parts.append(f"| {filling} | {name} | {' | '.join(found)} |\n")
        parts.append("\n")
    text = "".join(parts).rstrip("\n") + "\n"
    if arguments.page:
        arguments.page.write_text(text)
    else:
        print(text)


if __name__ == "__main__":
    main()
