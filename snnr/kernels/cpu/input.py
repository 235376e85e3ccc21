"""Input kernels on the CPU: gather images, move them, and normalise, in one pass over the output.

A pixel has 256 values, so normalising is a look-up in a table made once per call.
"""

from typing import Any

import numpy as np
from numba import prange
from numpy.typing import NDArray

from snnr.kernels.jit import jit

Array = NDArray[Any]


@jit()
def _table(mean: Any, std: Any) -> Any:
    """table[c, p] = (p / 255 - mean[c]) / std[c], in float32."""
    table = np.empty((mean.size, 256), np.float32)
    for c in range(mean.size):
        for p in range(256):
            table[c, p] = (np.float32(p) / np.float32(255) - mean[c]) / std[c]
    return table


@jit()
def _write_row(table: Any, pixels: Any, place: Any, out: Any) -> None:
    """out[x, c] = table[c, pixels[c, place[x]]]; unsigned indices spare the test for negatives."""
    width, channels = out.shape
    if channels == 1:
        for x in range(width):
            out[x, 0] = table[0, pixels[0, np.uint32(place[x])]]
        return
    for x in range(width):
        for c in range(channels):
            out[x, c] = table[c, pixels[c, np.uint32(place[x])]]


@jit(parallel=True)
def _normalise(images: Any, index: Any, mean: Any, std: Any, out: Any) -> None:
    batch, height, width, channels = out.shape
    table = _table(mean, std)
    for b in prange(batch):
        image = images[index[b]]
        for y in range(height):
            for x in range(width):
                for c in range(channels):
                    out[b, y, x, c] = table[c, image[c, y, x]]


@jit(parallel=True)
def _normalise_floats(images: Any, index: Any, mean: Any, std: Any, out: Any) -> None:
    batch, height, width, channels = out.shape
    for b in prange(batch):
        image = images[index[b]]
        for y in range(height):
            for x in range(width):
                for c in range(channels):
                    out[b, y, x, c] = (image[c, y, x] - mean[c]) / std[c]


def normalise(images: Array, index: Array, mean: Array, std: Array, out: Array) -> None:
    """out[B, H, W, C] = (images[index] / 255 - mean) / std; float32 images as they are."""
    if images.dtype == np.uint8:
        _normalise(images, index, mean, std, out)
    else:
        _normalise_floats(images, index, mean, std, out)


@jit(parallel=True)
def _random_affine(images: Any, index: Any, matrix: Any, mean: Any, std: Any, out: Any) -> None:
    """Each output pixel takes the input pixel that its centre falls into, or 0 outside.

    With u, v the centre of an output pixel relative to the centre of the image, the place in the
    input is (m0 u + m1 v + m2, m3 u + m4 v + m5), relative to the centre too. Places of a row come
    first, without branches, so that they vectorise; outside is a pixel of 0 after the last one.
    """
    batch, height, width, channels = out.shape
    table = _table(mean, std)
    outside = np.int32(height * width)
    stride = np.int32(width)
    right, bottom = np.float32(width), np.float32(height)
    middle_x, middle_y = right / np.float32(2), bottom / np.float32(2)
    for b in prange(batch):
        pixels = np.empty((channels, height * width + 1), np.uint8)
        pixels[:, :-1] = images[index[b]].reshape(channels, height * width)
        pixels[:, -1] = 0
        place = np.empty(width, np.int32)
        m0, m1, m2, m3, m4, m5 = matrix[b]
        offset_x = m2 + middle_x
        offset_y = m5 + middle_y
        for y in range(height):
            v = np.float32(y) + np.float32(0.5) - middle_y
            for x in range(width):
                u = np.float32(np.int32(x)) + np.float32(0.5) - middle_x
                from_x = m0 * u + m1 * v + offset_x
                from_y = m3 * u + m4 * v + offset_y
                inside = (
                    (from_x >= np.float32(0))
                    & (from_x < right)
                    & (from_y >= np.float32(0))
                    & (from_y < bottom)
                )
                place[x] = np.int32(from_y) * stride + np.int32(from_x) if inside else outside
            _write_row(table, pixels, place, out[b, y])


def random_affine(
    images: Array, index: Array, matrix: Array, mean: Array, std: Array, out: Array
) -> None:
    """Each output pixel takes the input pixel that its centre falls into, or 0 outside."""
    _random_affine(images, index, matrix, mean, std, out)


@jit(parallel=True)
def _crop_flip(
    images: Any, index: Any, dy: Any, dx: Any, flip: Any, mean: Any, std: Any, out: Any
) -> None:
    """The window at (dy, dx) of the image in a frame of zeros, mirrored left to right if `flip`."""
    batch, height, width, channels = out.shape
    table = _table(mean, std)
    for b in prange(batch):
        pixels = np.zeros((channels, width + 1), np.uint8)  # a row, and a pixel of 0 for outside
        place = np.empty(width, np.int32)
        for x in range(width):
            column = (width - 1 - x if flip[b] else x) + dx[b]
            place[x] = column if 0 <= column < width else width
        for y in range(height):
            row = y + dy[b]
            if 0 <= row < height:
                pixels[:, :width] = images[index[b], :, row]
            else:
                pixels[:] = 0
            _write_row(table, pixels, place, out[b, y])


def crop_flip(
    images: Array,
    index: Array,
    dy: Array,
    dx: Array,
    flip: Array,
    mean: Array,
    std: Array,
    out: Array,
) -> None:
    """The window at (dy, dx) of the image in a frame of zeros, mirrored if `flip`."""
    _crop_flip(images, index, dy, dx, flip, mean, std, out)
