"""Public shapes against memory: images are [.., C, H, W] views of channels-last memory."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]


def channels_last(images: Array) -> Array:
    """[..., C, H, W] -> contiguous [..., H, W, C]; no copy when the memory is like that already."""
    return np.ascontiguousarray(np.moveaxis(images, -3, -1))


def public(images: Array) -> Array:
    """[..., H, W, C] -> view [..., C, H, W]."""
    return np.moveaxis(images, -1, -3)


def kernel_memory(weight: Array) -> Array:
    """Conv weight [out, in, kh, kw] -> contiguous [kh, kw, in, out]."""
    return np.ascontiguousarray(weight.transpose(2, 3, 1, 0))


def kernel_public(weight: Array) -> Array:
    """[kh, kw, in, out] -> view [out, in, kh, kw]."""
    return weight.transpose(3, 2, 0, 1)


def rows(array: Array, images: bool) -> Array:
    """Public array -> contiguous [rows, channels] memory."""
    if images:
        array = channels_last(array)
    return np.ascontiguousarray(array).reshape(-1, array.shape[-1])


def from_rows(memory: Array, shape: tuple[int, ...], images: bool) -> Array:
    """Inverse of `rows`: a view of the public `shape`."""
    if images:
        *lead, channels, height, width = shape
        return public(memory.reshape(*lead, height, width, channels))
    return memory.reshape(shape)
