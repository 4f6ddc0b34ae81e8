"""What is timed: named lists of convolutions, as data."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

Array = np.ndarray[Any, Any]


class Layer(NamedTuple):
    """One convolution, with a square kernel and symmetric padding; `times` is how often its network has it.

    `pixels`: the image is as in files, channels last whatever layout a run is for, and with as many groups as channels
    there is one kernel for all. `bytes`: its elements are too.
    """

    name: str
    ic: int
    ih: int
    iw: int
    oc: int
    k: int
    stride: int = 1
    padding: int = 0
    groups: int = 1
    times: int = 1
    dilation: int = 1
    pixels: bool = False
    bytes: bool = False


class Case(NamedTuple):
    """A layer and everything else that a time depends on. `dynamic`: the image's size is known with each call only."""

    layer: Layer
    batch: int
    dtype: str
    layout: str
    threads: int
    dynamic: bool = False

    @property
    def terms(self) -> int:
        """Products in one output."""
        return self.layer.ic // self.layer.groups * self.layer.k**2

    @property
    def out_size(self) -> tuple[int, int]:
        """Height and width of the result."""
        h, w = (
            (size + 2 * self.layer.padding - self.layer.dilation * (self.layer.k - 1) - 1) // self.layer.stride + 1
            for size in (self.layer.ih, self.layer.iw)
        )
        return h, w

    @property
    def flop(self) -> int:
        """Floating-point operations: two for each product."""
        oh, ow = self.out_size
        return 2 * self.batch * self.layer.oc * oh * ow * self.terms

    def x(self) -> Array:
        """Return the images, N, C, H, W."""
        shape = (self.batch, self.layer.ic, self.layer.ih, self.layer.iw)
        if self.layer.bytes:
            return np.random.default_rng(1).integers(0, 256, shape, np.uint8)
        return np.random.default_rng(1).standard_normal(shape).astype(self.dtype)

    def weight(self) -> Array:
        """Return the kernels, O, I, H, W."""
        shape = (self.layer.oc, self.layer.ic // self.layer.groups, self.layer.k, self.layer.k)
        weight = np.random.default_rng(2).standard_normal(shape).astype(self.dtype)
        if self.layer.pixels and self.layer.groups > 1:
            weight[:] = weight[:1]
        return weight


def _dense(k: int, ic: int, oc: int, size: int, stride: int = 1, times: int = 1) -> Layer:
    step = f" s{stride}" if stride > 1 else ""
    return Layer(f"{k}x{k}{step} {ic}-{oc} {size}", ic, size, size, oc, k, stride, k // 2, 1, times)


def _depthwise(k: int, c: int, size: int, stride: int = 1, times: int = 1) -> Layer:
    step = f" s{stride}" if stride > 1 else ""
    return Layer(f"dw {k}x{k}{step} {c} {size}", c, size, size, c, k, stride, k // 2, c, times)


def _pixels(name: str, k: int, groups: int = 3, is_bytes: bool = False) -> Layer:
    return Layer(f"{name} 1080x1920 {k}x{k}", 3, 1080, 1920, 3, k, 1, k // 2, groups, pixels=True, bytes=is_bytes)


# The stride of a block is in its 3x3 convolution (version 1.5, as in torchvision), and in its shortcut.
RESNET50 = [
    _dense(7, 3, 64, 224, stride=2),
    _dense(1, 64, 64, 56),
    _dense(3, 64, 64, 56, times=3),
    _dense(1, 64, 256, 56, times=4),  # three blocks and a shortcut
    _dense(1, 256, 64, 56, times=2),
    _dense(1, 256, 128, 56),
    _dense(3, 128, 128, 56, stride=2),
    _dense(1, 128, 512, 28, times=4),
    _dense(1, 256, 512, 56, stride=2),
    _dense(1, 512, 128, 28, times=3),
    _dense(3, 128, 128, 28, times=3),
    _dense(1, 512, 256, 28),
    _dense(3, 256, 256, 28, stride=2),
    _dense(1, 256, 1024, 14, times=6),
    _dense(1, 512, 1024, 28, stride=2),
    _dense(1, 1024, 256, 14, times=5),
    _dense(3, 256, 256, 14, times=5),
    _dense(1, 1024, 512, 14),
    _dense(3, 512, 512, 14, stride=2),
    _dense(1, 512, 2048, 7, times=3),
    _dense(1, 1024, 2048, 14, stride=2),
    _dense(1, 2048, 512, 7, times=2),
    _dense(3, 512, 512, 7, times=2),
]

VGG16 = [
    _dense(3, 3, 64, 224),
    _dense(3, 64, 64, 224),
    _dense(3, 64, 128, 112),
    _dense(3, 128, 128, 112),
    _dense(3, 128, 256, 56),
    _dense(3, 256, 256, 56, times=2),
    _dense(3, 256, 512, 28),
    _dense(3, 512, 512, 28, times=2),
    _dense(3, 512, 512, 14, times=3),
]

MOBILENETV2 = [
    _dense(3, 3, 32, 224, stride=2),
    _depthwise(3, 32, 112),
    _dense(1, 32, 16, 112),
    _dense(1, 16, 96, 112),
    _depthwise(3, 96, 112, stride=2),
    _dense(1, 96, 24, 56),
    _dense(1, 24, 144, 56, times=2),
    _depthwise(3, 144, 56),
    _dense(1, 144, 24, 56),
    _depthwise(3, 144, 56, stride=2),
    _dense(1, 144, 32, 28),
    _dense(1, 32, 192, 28, times=3),
    _depthwise(3, 192, 28, times=2),
    _dense(1, 192, 32, 28, times=2),
    _depthwise(3, 192, 28, stride=2),
    _dense(1, 192, 64, 14),
    _dense(1, 64, 384, 14, times=4),
    _depthwise(3, 384, 14, times=4),
    _dense(1, 384, 64, 14, times=3),
    _dense(1, 384, 96, 14),
    _dense(1, 96, 576, 14, times=3),
    _depthwise(3, 576, 14, times=2),
    _dense(1, 576, 96, 14, times=2),
    _depthwise(3, 576, 14, stride=2),
    _dense(1, 576, 160, 7),
    _dense(1, 160, 960, 7, times=3),
    _depthwise(3, 960, 7, times=3),
    _dense(1, 960, 160, 7, times=2),
    _dense(1, 960, 320, 7),
    _dense(1, 320, 1280, 7),
]

IMAGES = [
    *(Layer(f"grey 1024 {k}x{k}", 1, 1024, 1024, 1, k, padding=k // 2) for k in (3, 5, 9, 15, 31)),
    *(Layer(f"colour 1080x1920 {k}x{k}", 3, 1080, 1920, 3, k, padding=k // 2, groups=3) for k in (3, 7)),
    Layer("edge bank 512 5x5 3-16", 3, 512, 512, 16, 5, padding=2),
    *(Layer(f"grey bytes 1024 {k}x{k}", 1, 1024, 1024, 1, k, padding=k // 2, bytes=True) for k in (3, 9)),
    *(_pixels("HWC", k) for k in (3, 5, 7, 11, 15)),
    *(_pixels("HWC bytes", k, is_bytes=True) for k in (3, 5, 7, 11, 15)),
    *(_pixels("HWC mixing", k, groups=1) for k in (3, 7)),
]

LAYERS = [
    _dense(7, 3, 64, 224, stride=2),
    _dense(3, 64, 64, 56),
    _dense(3, 128, 128, 56, stride=2),
    _dense(3, 512, 512, 7),
    _dense(1, 256, 64, 56),
    Layer("3x3 dilated 64-64 56", 64, 56, 56, 64, 3, padding=2, dilation=2),
    _depthwise(3, 96, 112),
]

KERNELS = [
    _dense(3, 32, 32, 56),
    _dense(3, 48, 72, 100),
    _dense(3, 96, 96, 35),
    _dense(3, 160, 160, 24),
    _dense(3, 384, 384, 13),
    _dense(5, 32, 32, 28),
    _dense(5, 64, 64, 56),
    _dense(5, 96, 256, 27),
    Layer("3x3 dilated 64-64 56", 64, 56, 56, 64, 3, padding=2, dilation=2),
    Layer("3x3 8 groups 256 28", 256, 28, 28, 256, 3, padding=1, groups=8),
]

LARGE = [
    *(Layer(f"grey 1024 {k}x{k}", 1, 1024, 1024, 1, k, padding=k // 2) for k in (15, 31, 63, 101)),
    _depthwise(15, 64, 112),
    _depthwise(31, 96, 56),
    _depthwise(31, 64, 112),
    _dense(11, 32, 32, 64),
    _dense(15, 32, 32, 64),
    _dense(31, 16, 16, 128),
]

TINY = [
    Layer("3x3 1-1 8", 1, 8, 8, 1, 3),
    Layer("3x3 8-8 8", 8, 8, 8, 8, 3),
    Layer("5x5 1-1 32", 1, 32, 32, 1, 5, padding=2),
    Layer("3x3 s2 dilated grouped", 4, 17, 19, 8, 3, 2, 1, 2, dilation=2),
    _depthwise(3, 8, 16),
]

SUITES = {
    "resnet50": RESNET50,
    "vgg16": VGG16,
    "mobilenetv2": MOBILENETV2,
    "images": IMAGES,
    "kernels": KERNELS,  # shapes beside those of the networks
    "large": LARGE,
    "layers": LAYERS,  # a few of everything, for a quick look
    "tiny": TINY,
}

USUAL = ["resnet50", "vgg16", "mobilenetv2", "images"]  # unless others are asked for
