"""Pictures of numbers as PNG inside of the page: receptive fields, an image, spikes."""

import base64
import struct
import zlib
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]

_BLUE, _WHITE, _RED = np.array([5, 48, 97]), np.array([247, 247, 247]), np.array([103, 0, 31])
_GREY = np.array([214, 214, 214])


def png(pixels: Array) -> str:
    """uint8 ``[H, W, 3]`` as a data URI."""
    height, width, _ = pixels.shape
    rows = np.concatenate(
        [np.zeros((height, 1), np.uint8), pixels.reshape(height, 3 * width)], axis=1
    )

    def chunk(kind: bytes, content: bytes) -> bytes:
        checked = kind + content
        return struct.pack(">I", len(content)) + checked + struct.pack(">I", zlib.crc32(checked))

    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    image = (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head)
        + chunk(b"IDAT", zlib.compress(rows.tobytes(), 9)) + chunk(b"IEND", b"")
    )  # fmt: skip
    return "data:image/png;base64," + base64.b64encode(image).decode("ascii")


def diverging(values: Array) -> Array:
    """Blue below 0, red above, grey where there is none (NaN): uint8 ``[..., 3]``."""
    finite = np.nan_to_num(values)
    most = float(np.abs(finite).max()) or 1.0
    share = np.sqrt(np.abs(finite) / most)[..., None]  # small weights are seen too
    ends = np.where(finite[..., None] > 0, _RED, _BLUE)
    mixed = _WHITE + share * (ends - _WHITE)
    return np.where(np.isnan(values)[..., None], _GREY, mixed).astype(np.uint8)


def tiles(images: Array, columns: int = 8) -> Array:
    """Images ``[n, H, W]`` side by side, with a white line between two: uint8 ``[.., .., 3]``."""
    count, height, width = images.shape
    rows = -(-count // columns)
    sheet = np.full((rows * (height + 1) + 1, columns * (width + 1) + 1, 3), 255, np.uint8)
    for index, image in enumerate(diverging(images)):
        top, left = divmod(index, columns)
        y, x = top * (height + 1) + 1, left * (width + 1) + 1
        sheet[y : y + height, x : x + width] = image
    return sheet


def grey(image: Array) -> Array:
    """A picture ``[H, W]`` or ``[H, W, 3]`` of any range: uint8 ``[H, W, 3]``."""
    values = np.nan_to_num(np.asarray(image, np.float64))
    low, high = float(values.min()), float(values.max())
    scaled = (255 * (values - low) / ((high - low) or 1.0)).astype(np.uint8)
    return scaled if scaled.ndim == 3 else np.repeat(scaled[..., None], 3, axis=2)
