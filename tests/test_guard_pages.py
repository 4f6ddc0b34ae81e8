"""No byte outside an operand is touched, not even one that is then ignored: operands lie against forbidden pages.

The check is the processor's own, so it holds for any instruction and for the release build. It runs in a child process;
a fault there names the problem it was on.
"""

import ctypes
import itertools
import mmap
import os
import subprocess
import sys

import numpy as np
import pytest

import fastconv
from fastconv import _kernels
from fastconv.backends.cpu import CpuBackend
from fastconv.testing import Call, random_call

PAGE = mmap.PAGESIZE
PROT_NONE = 0


class Fence:
    """Memory between two forbidden pages, used again and again; an array lies flush against one of them."""

    def __init__(self, size):
        self.size = -(-size // PAGE) * PAGE
        self.map = mmap.mmap(-1, self.size + 2 * PAGE)
        self.address = ctypes.addressof(ctypes.c_char.from_buffer(self.map))
        libc = ctypes.CDLL(None, use_errno=True)
        for guard in (self.address, self.address + PAGE + self.size):
            assert libc.mprotect(ctypes.c_void_p(guard), ctypes.c_size_t(PAGE), PROT_NONE) == 0
        self.bytes = np.frombuffer((ctypes.c_ubyte * self.size).from_address(self.address + PAGE), np.uint8)

    def place(self, array, at_end):
        """A copy with the same dtype and order of axes in memory, flush against a forbidden page."""
        order = np.argsort([-abs(step) for step in array.strides], kind="stable")
        packed = np.ascontiguousarray(array.transpose(order))
        start = self.size - packed.nbytes if at_end else 0
        view = self.bytes[start : start + packed.nbytes].view(array.dtype).reshape(packed.shape)
        view[...] = packed
        return view.transpose(np.argsort(order))


def special_calls():
    """What random problems meet too seldom: images that are read in place, up to their last pixel, in both layouts."""
    rng = np.random.default_rng(0)
    for c, h, w in ((1, 8, 9), (3, 9, 11), (5, 13, 17), (2, 5, 131), (33, 8, 21), (64, 6, 7), (67, 5, 9)):
        for k, groups in itertools.product((1, 2, 3, 5), (1, c)):
            for data_format in ("NCHW", "NHWC"):
                x_shape, weight_shape = (2, c, h, w), (c if groups > 1 else 7, c // groups, k, k)
                if data_format == "NHWC":
                    x_shape, weight_shape = (2, h, w, c), (k, k, c // groups, weight_shape[0])
                x, weight = (rng.standard_normal(shape).astype("f4") for shape in (x_shape, weight_shape))
                options = {"groups": groups, "data_format": data_format}
                yield Call(x, weight, None, options, -1, False)
                if c < 5 and groups == c:  # images of bytes, and rows of more than a tile
                    wide_shape = (2, 7, 131, c) if data_format == "NHWC" else (2, c, 7, 131)
                    wide = rng.integers(0, 256, wide_shape).astype("u1")
                    for image, padding in itertools.product((wide, wide.astype("f4")), (0, ((0, 1), (2, 0)))):
                        yield Call(image, weight, None, options | {"padding": padding}, -1, False)
                if c >= 16 and groups == 1 and k in (3, 5):
                    options["algorithm"] = "winograd"
                    for stride, padding in itertools.product((1, 2), (0, ((2, 0), (1, 3)))):
                        yield Call(x, weight, None, options | {"stride": stride, "padding": padding}, -1, False)
                if c >= 8 and groups == 1:
                    options["algorithm"] = "split"
                    for stride, padding in itertools.product((1, 2), (0, ((2, 0), (1, 3)))):
                        yield Call(x, weight, None, options | {"stride": stride, "padding": padding}, -1, False)


def run(first, count, isa):
    """Compute problems between forbidden pages and elsewhere; prints each seed before it."""
    fences = [Fence(1 << 20) for _ in range(4)]
    fastconv.register_backend(fastconv.BackendSpec("capped", lambda: CpuBackend(isa)))
    done = 0
    for call in itertools.chain(special_calls(), map(random_call, range(first, first + count))):
        seed = call.seed
        arrays = [a for a in (call.x, call.weight, call.bias) if a is not None]
        if any(a.nbytes > 1 << 20 for a in arrays):
            continue
        expected = fastconv.conv2d(call.x, call.weight, call.bias, **call.options, backend="capped")
        if expected.nbytes > 1 << 20:
            continue
        os.write(2, f"\rseed {seed}".encode())
        for at_end in (False, True):
            x, weight, *bias = (fence.place(a, at_end) for fence, a in zip(fences, arrays, strict=False))
            out = fences[3].place(expected, at_end)
            out.view(np.uint8)[...] = 0xAA
            fastconv.conv2d(x, weight, *bias, **call.options, backend="capped", out=out)
            assert out.tobytes() == expected.tobytes(), seed
        done += 1
    print(done)


@pytest.mark.skipif(sys.platform != "linux", reason="mprotect is called as Linux declares it")
@pytest.mark.parametrize("isa", [name for name, here in _kernels.isas() if here])
def test_nothing_outside_the_operands_is_touched(isa, request):
    first, count = request.config.getoption("--first-problem"), request.config.getoption("--problems")
    share = count // (5 if isa == _kernels.isas()[0][0] else 25)
    done = subprocess.run(
        [sys.executable, "-X", "faulthandler", __file__, str(first), str(share), isa],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-2000:]
    assert int(done.stdout) > 0.9 * share


@pytest.mark.skipif(sys.platform != "linux", reason="mprotect is called as Linux declares it")
@pytest.mark.parametrize("step", [-1, 1])
def test_the_fence_stops_a_single_byte(step):
    """The oracle itself: reading one byte beyond either end ends the process."""
    code = f"""
import ctypes, runpy
import numpy as np
Fence = runpy.run_path({__file__!r})["Fence"]
fence = Fence(8)
array = fence.place(np.zeros(8, np.uint8), {step > 0})
ctypes.string_at(array.ctypes.data + {8 if step > 0 else -1}, 1)
"""
    done = subprocess.run([sys.executable, "-P", "-c", code], capture_output=True, check=False)
    assert done.returncode == -11, done.stderr


if __name__ == "__main__":
    run(int(sys.argv[1]), int(sys.argv[2]), sys.argv[3])
