"""Time conv2d beside its peers: ``fastconv bench`` from a clone, with the same arguments.

python benchmarks/conv2d.py --suite layers --json results.json
python benchmarks/conv2d.py --smoke                 seconds, to see that it runs; its times mean nothing
"""

import sys

from fastconv.__main__ import main

SMOKE = ["--suite", "tiny", "--repeats", "2", "--seconds", "1", "--layout", "both"]

if __name__ == "__main__":
    arguments = sys.argv[1:]
    if "--smoke" in arguments:
        arguments = [*SMOKE, *(argument for argument in arguments if argument != "--smoke")]
    sys.exit(main(["bench", *arguments]))
