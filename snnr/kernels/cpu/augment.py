"""Input kernels on the CPU: gather images, move them, and normalise, in one pass over the output.

A pixel has 256 values, so normalising is a look-up in a table made once per call.
"""

from typing import Any

import numpy as np
from numba import prange

from snnr.kernels.jit import jit


@jit()
def _table(mean: Any, std: Any) -> Any:
    """table[c, p] = (p / 255 - mean[c]) / std[c], in float32."""
    table = np.empty((mean.size, 256), np.float32)
    for c in range(mean.size):
        for p in range(256):
            table[c, p] = (np.float32(p) / np.float32(255) - mean[c]) / std[c]
    return table


@jit(parallel=True)
def normalise(images: Any, index: Any, mean: Any, std: Any, out: Any) -> None:
    """out[B, H, W, C] = (images[index] / 255 - mean) / std."""
    batch, height, width, channels = out.shape
    table = _table(mean, std)
    for b in prange(batch):
        image = images[index[b]]
        for y in range(height):
            for c in range(channels):
                for x in range(width):
                    out[b, y, x, c] = table[c, image[c, y, x]]


@jit(parallel=True)
def random_affine(images: Any, index: Any, matrix: Any, mean: Any, std: Any, out: Any) -> None:
    """Each output pixel takes the input pixel that its centre falls into, or 0 outside.

    With u, v the centre of an output pixel relative to the centre of the image, the place in the
    input is (m0 u + m1 v + m2, m3 u + m4 v + m5), relative to the centre too.
    """
    batch, height, width, channels = out.shape
    table = _table(mean, std)
    middle_x = np.float32(width) / np.float32(2)
    middle_y = np.float32(height) / np.float32(2)
    for b in prange(batch):
        image = images[index[b]]
        m = matrix[b]
        offset_x = m[2] + middle_x
        offset_y = m[5] + middle_y
        for y in range(height):
            v = np.float32(y) + np.float32(0.5) - middle_y
            for x in range(width):
                u = np.float32(x) + np.float32(0.5) - middle_x
                from_x = m[0] * u + m[1] * v + offset_x
                from_y = m[3] * u + m[4] * v + offset_y
                # the comparison comes before the conversion, which has no meaning for huge values
                inside = 0 <= from_x < width and 0 <= from_y < height
                for c in range(channels):
                    pixel = image[c, int(from_y), int(from_x)] if inside else np.uint8(0)
                    out[b, y, x, c] = table[c, pixel]


@jit(parallel=True)
def crop_flip(
    images: Any, index: Any, dy: Any, dx: Any, flip: Any, mean: Any, std: Any, out: Any
) -> None:
    """The window at (dy, dx) of the image in a frame of zeros, mirrored left to right if `flip`."""
    batch, height, width, channels = out.shape
    table = _table(mean, std)
    for b in prange(batch):
        image = images[index[b]]
        for y in range(height):
            row = y + dy[b]
            for x in range(width):
                column = (width - 1 - x if flip[b] else x) + dx[b]
                inside = 0 <= row < height and 0 <= column < width
                for c in range(channels):
                    pixel = image[c, row, column] if inside else np.uint8(0)
                    out[b, y, x, c] = table[c, pixel]


#: operation name -> kernel
OPERATIONS = {
    "normalise": normalise,
    "random_affine": random_affine,
    "crop_flip": crop_flip,
}
