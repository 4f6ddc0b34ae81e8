"""What is timed: named lists of layers, as data."""

from __future__ import annotations

from .problems import Axis, Layer


def _dense(k: int, ic: int, oc: int, size: int, stride: int = 1, times: int = 1) -> Layer:
    step = f" s{stride}" if stride > 1 else ""
    return Layer(f"{k}x{k}{step} {ic}-{oc} {size}", ic, size, size, oc, k, stride, k // 2, 1, times)


def _depthwise(k: int, c: int, size: int, stride: int = 1, times: int = 1) -> Layer:
    step = f" s{stride}" if stride > 1 else ""
    return Layer(f"dw {k}x{k}{step} {c} {size}", c, size, size, c, k, stride, k // 2, c, times)


def _pixels(name: str, k: int, groups: int = 3, is_bytes: bool = False) -> Layer:
    return Layer(f"{name} 1080x1920 {k}x{k}", 3, 1080, 1920, 3, k, 1, k // 2, groups, pixels=True, bytes=is_bytes)


def _gradients(layers: list[Layer]) -> list[Layer]:
    """Both gradients of each layer."""
    return [
        layer._replace(name=f"{which} {layer.name}", operator=f"conv2d_{which}", times=1)
        for which in ("grad_input", "grad_weight")
        for layer in layers
    ]


def _transposed(k: int, ic: int, oc: int, size: int, stride: int, padding: int) -> Layer:
    name, whole = f"conv_transpose2d {k}x{k} s{stride} {ic}-{oc} {size}", (size - 1) * stride + k - 2 * padding
    return Layer(name, oc, whole, whole, ic, k, stride, padding, operator="conv_transpose2d")


def _signal(k: int, ic: int, oc: int, size: int, stride: int = 1, dilation: int = 1, groups: int = 1) -> Layer:
    step = f" s{stride}" if stride > 1 else " dilated" if dilation > 1 else ""
    name = f"conv1d {'dw ' if groups > 1 else ''}{k}{step} {ic}-{oc} {size}"
    return Layer(name, ic, 1, size, oc, k, stride, k // 2 * dilation, groups, dilation=dilation, operator="conv1d")


def _volume(kd: int, k: int, ic: int, oc: int, d: int, size: int, stride: int = 1, groups: int = 1) -> Layer:
    step, kind = f" s{stride}" if stride > 1 else "", "dw " if groups > 1 else ""
    depth = Axis(d, kd, stride if kd > 1 else 1, kd // 2)
    name = f"conv3d {kind}{kd}x{k}x{k}{step} {ic}-{oc} {d}x{size}x{size}"
    return Layer(name, ic, size, size, oc, k, stride, k // 2, groups, operator="conv3d", depth=depth)


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
    *_gradients([_dense(3, 8, 8, 8), _dense(3, 4, 6, 9, stride=2)]),
    _transposed(3, 8, 8, 8, 2, 1),
    _signal(3, 8, 8, 64),
    _volume(3, 3, 1, 1, 6, 6),
    _volume(3, 5, 4, 6, 5, 9, stride=2),
]

# A third of ResNet-50's layers, one of each kind, and others than dense ones.
GRADIENTS = _gradients(
    [
        *(RESNET50[i] for i in (0, 2, 3, 6, 10, 14, 15, 22)),
        _depthwise(3, 32, 112),
        _depthwise(3, 96, 112, stride=2),
        _depthwise(3, 384, 14),
        _depthwise(3, 960, 7),
        _depthwise(5, 240, 28),
        Layer("3x3 32 groups 128 56", 128, 56, 56, 128, 3, padding=1, groups=32),
        Layer("3x3 8 groups 256 28", 256, 28, 28, 256, 3, padding=1, groups=8),
    ]
)

VOLUMES = [
    _signal(10, 1, 512, 16000, stride=5),
    _signal(3, 512, 512, 800, stride=2),
    _signal(3, 64, 64, 4000),
    _signal(3, 64, 64, 4000, dilation=8),
    _signal(31, 256, 256, 500, groups=256),
    _signal(9, 8, 8, 64),
    _volume(3, 3, 1, 8, 64, 64),
    _volume(3, 3, 16, 16, 16, 56),
    _volume(3, 3, 32, 32, 16, 56),
    _volume(3, 3, 64, 64, 8, 28, stride=2),
    _volume(1, 7, 3, 32, 8, 112, stride=2),
    _volume(1, 3, 32, 32, 8, 56),
    _volume(3, 1, 64, 64, 16, 28),
    _volume(1, 1, 64, 256, 8, 28),
    _volume(3, 3, 64, 64, 16, 28, groups=64),
    _volume(3, 3, 1, 1, 6, 6),
    _transposed(2, 128, 64, 56, 2, 0),
    _transposed(3, 64, 32, 56, 2, 1),
    _transposed(4, 512, 256, 8, 2, 1),
    _transposed(4, 64, 3, 64, 2, 1),
    _transposed(16, 21, 21, 16, 8, 4),
]

SUITES = {
    "resnet50": RESNET50,
    "vgg16": VGG16,
    "mobilenetv2": MOBILENETV2,
    "images": IMAGES,
    "kernels": KERNELS,  # shapes beside those of the networks
    "large": LARGE,
    "layers": LAYERS,  # a few of everything, for a quick look
    "gradients": GRADIENTS,
    "volumes": VOLUMES,  # one axis, three, and transposes of two
    "tiny": TINY,
}

USUAL = ["resnet50", "vgg16", "mobilenetv2", "images"]  # unless others are asked for
