"""Gather images, move them, and normalise, in one pass over the output: a thread for each value, so
that consecutive threads write consecutive channels. Same pixels and bits as on the CPU."""

from typing import Any

import numpy as np

from snnr.kernels.cuda import device
from snnr.kernels.cuda.device import cuda, function, kernel, launch
from snnr.kernels.cuda.geometry import per_image
from snnr.kernels.cuda.memory import Memory
from snnr.kernels.cuda.parts.exact import times

#: the brightest pixel
_FULL = np.float32(255)
_ZERO = np.float32(0)
_HALF = np.float32(0.5)
_TWO = np.float32(2)


@function
def _normalised(pixel: Any, full: Any, mean: Any, std: Any) -> Any:
    # divisions as the CPU makes them, not products with an inverse
    return (np.float32(pixel) / full - mean) / std


# Kernels see images as [M, C, H*W] and out as [N, H*W*C].


@kernel()
def _normalise(images: Any, index: Any, full: Any, mean: Any, std: Any, out: Any) -> None:
    channels = np.uint32(images.shape[1])
    for b in range(cuda.blockIdx.y, out.shape[0], cuda.gridDim.y):
        image = index[b]
        for i in range(cuda.grid(1), out.shape[1], cuda.gridsize(1)):
            place = np.uint32(np.uint32(i) // channels)
            c = np.uint32(np.uint32(i) - place * channels)
            out[b, i] = _normalised(images[image, c, place], full, mean[c], std[c])


@kernel()
def _random_affine(
    images: Any, index: Any, matrix: Any, width: Any, height: Any, mean: Any, std: Any, out: Any
) -> None:
    channels = np.uint32(images.shape[1])
    right, bottom = np.float32(width), np.float32(height)
    middle_x, middle_y = right / _TWO, bottom / _TWO
    for b in range(cuda.blockIdx.y, out.shape[0], cuda.gridDim.y):
        image = index[b]
        offset_x = matrix[b, 2] + middle_x
        offset_y = matrix[b, 5] + middle_y
        for i in range(cuda.grid(1), out.shape[1], cuda.gridsize(1)):
            place = np.uint32(np.uint32(i) // channels)
            c = np.uint32(np.uint32(i) - place * channels)
            y = np.uint32(place // width)
            x = np.uint32(place - y * width)
            u = np.float32(x) + _HALF - middle_x
            v = np.float32(y) + _HALF - middle_y
            from_x = times(matrix[b, 0], u) + times(matrix[b, 1], v) + offset_x
            from_y = times(matrix[b, 3], u) + times(matrix[b, 4], v) + offset_y
            pixel = np.uint8(0)
            # as floats: what is not finite lies outside
            if from_x >= _ZERO and from_x < right and from_y >= _ZERO and from_y < bottom:
                pixel = images[image, c, np.uint32(from_y) * width + np.uint32(from_x)]
            out[b, i] = _normalised(pixel, _FULL, mean[c], std[c])


@kernel()
def _crop_flip(
    images: Any,
    index: Any,
    dy: Any,
    dx: Any,
    flip: Any,
    width: Any,
    height: Any,
    mean: Any,
    std: Any,
    out: Any,
) -> None:
    channels = np.uint32(images.shape[1])
    for b in range(cuda.blockIdx.y, out.shape[0], cuda.gridDim.y):
        image = index[b]
        for i in range(cuda.grid(1), out.shape[1], cuda.gridsize(1)):
            place = np.uint32(np.uint32(i) // channels)
            c = np.uint32(np.uint32(i) - place * channels)
            y = np.int64(place // width)
            x = np.int64(place) - y * np.int64(width)
            if flip[b]:
                x = np.int64(width) - 1 - x
            row = y + dy[b]
            column = x + dx[b]
            pixel = np.uint8(0)
            if column >= 0 and column < width and row >= 0 and row < height:
                pixel = images[image, c, row * np.int64(width) + column]
            out[b, i] = _normalised(pixel, _FULL, mean[c], std[c])


def normalise(images: Memory, index: Memory, mean: Memory, std: Memory, out: Memory) -> None:
    """out[N, H, W, C] = (images[index] / 255 - mean) / std; float32 images as they are."""
    full = _FULL if images.dtype == np.uint8 else np.float32(1)
    pixels, (geometry, result, _) = _planes(images), _rows(out)
    launch(_normalise, *geometry, pixels, index.array, full, mean.array, std.array, result)


def random_affine(
    images: Memory, index: Memory, matrix: Memory, mean: Memory, std: Memory, out: Memory
) -> None:
    """Each output pixel takes the input pixel that its centre falls into, or 0 outside."""
    pixels, (geometry, result, size) = _planes(images), _rows(out)
    launch(
        _random_affine, *geometry, pixels, index.array, matrix.array, *size, mean.array, std.array,
        result,
    )  # fmt: skip


def crop_flip(
    images: Memory,
    index: Memory,
    dy: Memory,
    dx: Memory,
    flip: Memory,
    mean: Memory,
    std: Memory,
    out: Memory,
) -> None:
    """The window at (dy, dx) of the image in a frame of zeros, mirrored if `flip`."""
    pixels, (geometry, result, size) = _planes(images), _rows(out)
    launch(
        _crop_flip, *geometry, pixels, index.array, dy.array, dx.array, flip.array, *size,
        mean.array, std.array, result,
    )  # fmt: skip


def _planes(images: Memory) -> Any:
    count, channels, height, width = images.shape
    return images.as_array((count, channels, height * width))


def _rows(out: Memory) -> tuple[Any, Any, tuple[np.uint32, np.uint32]]:
    """Blocks and threads, the output as rows, and the width and height of an image."""
    batch, height, width, channels = out.shape
    each = height * width * channels
    geometry = per_image(batch, each, device.machine().limits)
    return geometry, out.as_array((batch, each)), (np.uint32(width), np.uint32(height))
