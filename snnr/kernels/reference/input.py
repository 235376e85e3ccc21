"""Gathering, moving and normalising images, in NumPy."""

import numpy as np

from snnr.kernels.reference.types import Array


def normalise(images: Array, index: Array, mean: Array, std: Array, out: Array) -> None:
    """out[B,H,W,C] float32 = (images[index] / 255 - mean) / std; images [M,C,H,W], uint8 or float32
    (which are not divided by 255)."""
    _normalise_into(images[index], mean, std, out)


def random_affine(
    images: Array, index: Array, matrix: Array, mean: Array, std: Array, out: Array
) -> None:
    """Nearest neighbour through an inverse map about the image's centre; outside is 0.

    matrix float32 [B,6]: the output pixel whose centre lies at (u, v) from the image's centre takes
    the input pixel that (m0 u + m1 v + m2, m3 u + m4 v + m5) falls into. Coordinates are float32,
    added in this order, because a tie between two pixels is decided by the last bit.
    """
    _, height, width, _ = out.shape
    half = np.float32(0.5)
    middle_x, middle_y = np.float32(width) / 2, np.float32(height) / 2
    u = np.arange(width, dtype=np.float32)[None, :] + half - middle_x
    v = np.arange(height, dtype=np.float32)[:, None] + half - middle_y
    moved = np.zeros((len(index), *images.shape[1:]), np.uint8)
    for b, m in enumerate(matrix):
        from_x = np.floor((m[0] * u + m[1] * v) + (m[2] + middle_x))
        from_y = np.floor((m[3] * u + m[4] * v) + (m[5] + middle_y))
        inside = (from_x >= 0) & (from_x < width) & (from_y >= 0) & (from_y < height)
        rows, columns = from_y[inside].astype(int), from_x[inside].astype(int)
        moved[b][:, inside] = images[index[b]][:, rows, columns]
    _normalise_into(moved, mean, std, out)


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
    """Zero padding, a window of the original size whose row y is input row y + dy, then a mirror.

    dy, dx int64 [B]; flip uint8 [B].
    """
    _, height, width, _ = out.shape
    moved = np.zeros((len(index), *images.shape[1:]), np.uint8)
    for b in range(len(index)):
        pad = int(max(abs(dy[b]), abs(dx[b])))
        framed = np.pad(images[index[b]], ((0, 0), (pad, pad), (pad, pad)))
        top, left = pad + dy[b], pad + dx[b]
        window = framed[:, top : top + height, left : left + width]
        moved[b] = window[:, :, ::-1] if flip[b] else window
    _normalise_into(moved, mean, std, out)


def _normalise_into(pixels: Array, mean: Array, std: Array, out: Array) -> None:
    scaled = pixels.transpose(0, 2, 3, 1).astype(np.float32)
    if pixels.dtype == np.uint8:
        scaled /= np.float32(255)
    out[...] = (scaled - mean) / std
