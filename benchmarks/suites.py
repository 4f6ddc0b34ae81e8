"""Named lists of problems, as (name, x shape, weight shape, options) in NCHW and OIHW."""

SUITES = {
    "layers": [
        ("first 7x7 s2", (1, 3, 224, 224), (64, 3, 7, 7), {"stride": 2, "padding": 3}),
        ("3x3 64 56", (1, 64, 56, 56), (64, 64, 3, 3), {"padding": 1}),
        ("3x3 s2 128 56", (1, 128, 56, 56), (128, 128, 3, 3), {"stride": 2, "padding": 1}),
        ("3x3 512 7", (1, 512, 7, 7), (512, 512, 3, 3), {"padding": 1}),
        ("1x1 256 56", (1, 256, 56, 56), (64, 256, 1, 1), {}),
        ("3x3 dilated 64 56", (1, 64, 56, 56), (64, 64, 3, 3), {"padding": 2, "dilation": 2}),
        ("depthwise 3x3 96 112", (1, 96, 112, 112), (96, 1, 3, 3), {"padding": 1, "groups": 96}),
    ],
    "images": [(f"{k}x{k} 1024", (1, 1, 1024, 1024), (1, 1, k, k), {"padding": "same"}) for k in (3, 5, 9, 15)],
    "tiny": [
        ("3x3 1 8", (1, 1, 8, 8), (1, 1, 3, 3), {}),
        ("3x3 8 8", (1, 8, 8, 8), (8, 8, 3, 3), {}),
    ],
}
