"""Measure what a first call takes beyond its operands and its result, of every library in a process of its own.

python benchmarks/memory.py [--page docs/memory.md]      half a minute; Linux
python benchmarks/memory.py --smoke
"""

from __future__ import annotations

import argparse
import importlib
import json
import math
import subprocess
import sys
from pathlib import Path

from fastconv._bench.peers import PEERS
from fastconv._bench.problems import Case, Layer

LAYERS = [
    Layer("3x3, 64 channels of 224", 64, 224, 224, 64, 3, padding=1),
    Layer("3x3, 64 to 128 channels of 112", 64, 112, 112, 128, 3, padding=1),
    Layer("3x3, 512 channels of 56", 512, 56, 56, 512, 3, padding=1),
    Layer("1x1, 256 channels of 112", 256, 112, 112, 256, 1),
    Layer("depthwise 3x3, 256 channels of 112", 256, 112, 112, 256, 3, padding=1, groups=256),
    Layer("15x15, 32 channels of 224", 32, 224, 224, 32, 15, padding=7),
    Layer("31x31, one channel of 2048", 1, 2048, 2048, 1, 31, padding=15),
]
CHILD = """
import json, sys
sys.path[:0] = [json.loads(sys.argv[1])]
import memory
print(memory.child(*json.loads(sys.argv[2])))
"""
HEAD = """\
# Memory

Made by `python benchmarks/memory.py --page docs/memory.md`. Nothing on this page is edited by hand.

MiB that the first call of a process takes beyond its operands and its result, float32, batch 1, two threads: the
highest resident size during the call, less that before it, less the result. It includes what a library sets up once; of
a prepared plan, the weights as it wants them.

"""


def status(field):
    """A line of the system's account of this process, in bytes."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(field):
            return int(line.split()[1]) * 1024
    raise LookupError(field)


def child(name, values):
    """Bytes of the first call, in a process that has made nothing else."""
    case = Case(Layer(*values[0]), *values[1:])
    peer = PEERS[name]
    for module in peer.modules:
        importlib.import_module(module)
    x, weight = case.x(), case.weight()
    with peer.limited(case.threads):
        made = peer.make(case, weight)
        call = made.feed(x)
        Path("/proc/self/clear_refs").write_text("5")  # the highest size counts from here
        before = status("VmRSS")
        y = call()
        highest = status("VmHWM")
        return highest - before - made.read(y).nbytes


def measure(name, case):
    """Ask a new process."""
    arguments = [json.dumps(str(Path(__file__).parent)), json.dumps([name, case])]
    command = [sys.executable, "-P", "-c", CHILD, *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return int(done.stdout) if done.returncode == 0 else None


def main():
    """Print the table, or write the page."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--page", type=Path)
    parser.add_argument("--smoke", action="store_true")
    arguments = parser.parse_args()
    names = [name for name, peer in PEERS.items() if not peer.why_not()]
    rows = [f"| by | {' | '.join(layer.name for layer in LAYERS)} |", "| --- |" + " ---: |" * len(LAYERS)]
    operands = [Case(layer, 1, "float32", "nchw", 2) for layer in LAYERS]
    sizes = [sum(4 * math.prod(case.shapes[array]) for array in "xy") / 4 for case in operands]
    rows.append(f"| *a quarter of input and output* | {' | '.join(f'{size / 2**20:.1f}' for size in sizes)} |")
    for name in names[:1] if arguments.smoke else names:
        found = [measure(name, case) for case in operands]
        if any(size is not None for size in found):
            cells = ["" if size is None else f"{size / 2**20:.1f}" for size in found]
            rows.append(f"| {name} | {' | '.join(cells)} |")
    text = HEAD + "\n".join(rows) + "\n"
    if arguments.page:
        arguments.page.write_text(text)
    else:
        print(text)


if __name__ == "__main__":
    main()
