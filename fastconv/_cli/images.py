"""Image files in and out, through Pillow. Imported by the commands that need it, when they run."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from PIL import Image, ImageOps

from . import UserError, files

if TYPE_CHECKING:
    from pathlib import Path

Array = np.ndarray[Any, Any]

# What Pillow raises for files that are not images, are cut short, or claim to be absurdly large.
UNREADABLE = (OSError, ValueError, SyntaxError, EOFError, Image.DecompressionBombError)
PLAIN = {"L": 1, "RGB": 3, "LA": 1, "RGBA": 3}  # mode → colour channels; other modes are converted to one of these


class Picture(NamedTuple):
    """An image: colours as float32 from 0 to 1, shape (H, W, 1 or 3); alpha as it was read; bits a sample."""

    pixels: Array
    alpha: Array | None
    bits: int

    @property
    def rgb(self) -> Array:
        """Three channels, laid on white where there is an alpha channel."""
        rgb = np.repeat(self.pixels, 3 // self.pixels.shape[2], axis=2)
        if self.alpha is None:
            return rgb
        alpha = self.alpha[..., None].astype(np.float32) / 255
        return rgb * alpha + (1 - alpha)


def read(path: Path) -> Picture:
    """Read an image file of any kind that Pillow knows, turned the way its camera says."""
    try:
        with Image.open(path) as image:
            return _picture(ImageOps.exif_transpose(image))
    except UNREADABLE as error:
        if isinstance(error, OSError) and error.strerror:
            raise UserError(f"can't read {path}: {error.strerror}.") from error
        raise UserError(f"can't read {path} as an image: {str(error)[:200].rstrip('.')}.") from error


def reduced(rgb: Array, longest: int) -> Array:
    """Shrink an (H, W, 3) image so that no side is longer than `longest`."""
    h, w = rgb.shape[:2]
    scale = longest / max(h, w)
    if scale >= 1:
        return rgb
    size = (max(1, round(w * scale)), max(1, round(h * scale)))
    planes = [Image.fromarray(rgb[..., c]).resize(size, Image.Resampling.LANCZOS) for c in range(3)]
    shrunk: Array = np.stack([np.asarray(plane) for plane in planes], axis=-1)
    return np.clip(shrunk, 0, 1, out=shrunk)


def write(path: Path, pixels: Array, alpha: Array | None, bits: int) -> None:
    """Write values from 0 to 1, shape (H, W, 1 or 3), with 8 or 16 bits a sample."""
    top, dtype = (65535, np.uint16) if bits == 16 else (255, np.uint8)
    samples = np.rint(np.clip(pixels, 0, 1) * top).astype(dtype)
    if alpha is not None:
        samples = np.concatenate([samples, alpha[..., None]], axis=2)
    buffer = io.BytesIO()
    try:
        image = Image.fromarray(samples[..., 0] if samples.shape[2] == 1 else samples, None)
        if samples.shape[2] == 2:
            image = Image.merge("LA", [Image.fromarray(samples[..., c]) for c in range(2)])
        image.save(buffer, format=Image.registered_extensions()[path.suffix.lower()])
    except (OSError, ValueError, KeyError) as error:
        raise UserError(f"can't write this image as {path.suffix}: {error}.") from error
    files.store(path, buffer.getvalue())


def _picture(image: Image.Image) -> Picture:
    if image.mode[0] in "IF":  # 16-bit greyscale, and 32-bit greyscale of TIFF files
        values = np.asarray(image).astype(np.float32)
        top = 65535 if image.mode[0] == "I" and values.max() <= 65535 else max(float(values.max()), 1.0)
        return Picture(np.clip(values / np.float32(top), 0, 1)[..., None], None, 16)
    if "transparency" in image.info or image.mode in ("PA", "La", "RGBa"):
        image = image.convert("LA" if image.mode in ("L", "La") else "RGBA")
    if image.mode not in PLAIN:
        image = image.convert("L" if image.mode == "1" else "RGB")
    channels = PLAIN[image.mode]
    samples = np.asarray(image).reshape(image.height, image.width, -1)
    alpha = samples[..., channels] if samples.shape[2] > channels else None
    return Picture(samples[..., :channels].astype(np.float32) / np.float32(255), alpha, 8)
