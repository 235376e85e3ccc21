"""Where the entries of operands lie.

An operand of a product is a matrix that nobody wrote down: entry (row, term) lies at the sum of a
word of its row and one of its term, and is zero where the sum of their places is outside the image.
A map gives word and place of row i, or of term i, counted from a first one: `origin` (once per
block) gives what is large, in 64 bits, and `at` the rest. Three maps serve everything: a line of
numbers, the pixels of images, and the taps of a kernel with the channels of each.
"""

from collections.abc import Callable
from functools import cache
from typing import Any, NamedTuple

import numpy as np

from snnr.kernels.cuda.device import function
from snnr.kernels.cuda.parts.tiles import division

_ZERO = np.uint32(0)
_NOTHING = np.uint64(0)


class Map(NamedTuple):
    """Device functions of a tuple of numbers: origin(shape, first) -> (word, rest) and
    at(shape, rest, i) -> (word, y, x)."""

    origin: Any
    at: Any


@function
def _quotient(n: Any, factor: Any, shift: Any) -> Any:
    """n // divisor, n < 2**31."""
    return np.uint32((np.uint64(n) * np.uint64(factor)) >> np.uint64(shift))


def _line_origin(shape: Any, first: Any) -> Any:
    return first * np.uint64(shape[0]), _ZERO


def _pixel_origin(shape: Any, first: Any) -> Any:
    area = np.uint64(shape[0])
    return (first // area) * np.uint64(shape[6]), np.uint32(first % area)


def _tap_origin(shape: Any, first: Any) -> Any:
    return _NOTHING, np.uint32(first)


def _line_at(word: Any) -> Callable[..., Any]:
    def at(shape: Any, rest: Any, i: Any) -> Any:
        return word(word(i) * word(shape[0])), _ZERO, _ZERO

    return at


def _pixel_at(word: Any) -> Callable[..., Any]:
    def at(shape: Any, rest: Any, i: Any) -> Any:
        pixel = np.uint32(rest + i)
        image = _quotient(pixel, shape[1], shape[2])
        pixel = np.uint32(pixel - np.uint32(image * shape[0]))
        y = _quotient(pixel, shape[4], shape[5])
        x = np.uint32(pixel - np.uint32(y * shape[3]))
        at = word(word(image) * word(shape[6]))
        at = word(at + word(word(y) * word(shape[7])))
        at = word(at + word(word(x) * word(shape[8])))
        at = word(at + word(shape[9]))
        y = np.uint32(np.uint32(y * shape[10]) - shape[12])
        x = np.uint32(np.uint32(x * shape[11]) - shape[13])
        return at, y, x

    return at


def _tap_at(word: Any) -> Callable[..., Any]:
    def at(shape: Any, rest: Any, i: Any) -> Any:
        channel = np.uint32(rest + i)
        tap = _quotient(channel, shape[1], shape[2])
        channel = np.uint32(channel - np.uint32(tap * shape[0]))
        y = _quotient(tap, shape[4], shape[5])
        x = np.uint32(tap - np.uint32(y * shape[3]))
        at = word(word(channel) * word(shape[6]))
        at = word(at + word(word(y) * word(shape[7])))
        at = word(at + word(word(x) * word(shape[8])))
        return word(at + word(shape[9])), y, x

    return at


@cache
def line(word: Any) -> Map:
    """i * shape[0]."""
    return Map(function(_line_origin), function(_line_at(word)))


@cache
def pixels(word: Any) -> Map:
    """Pixel i of images, row by row; see `pixel_shape`."""
    return Map(function(_pixel_origin), function(_pixel_at(word)))


@cache
def taps(word: Any) -> Map:
    """Channel i % C of tap i // C; see `tap_shape`."""
    return Map(function(_tap_origin), function(_tap_at(word)))


def line_shape(stride: int, word: Any) -> tuple[Any, ...]:
    """Of entries `stride` apart."""
    return (word(stride),)


def _wrapped(value: int, word: Any) -> Any:
    """As a machine word: sums with it are right wherever they are inside of memory."""
    return word(value % (1 << 8 * np.dtype(word).itemsize))


def pixel_shape(
    size: tuple[int, int], image: int, step: tuple[int, int], first: int,
    stride: tuple[int, int], padding: tuple[int, int], word: Any,
) -> tuple[Any, ...]:  # fmt: skip
    """Of images of so many rows and columns of pixels: words per image and from row to row and
    column to column, and of the first one; the place of pixel (y, x) is y*stride - padding."""
    area, width = max(size[0] * size[1], 1), max(size[1], 1)
    small = [area, *division(area), width, *division(width)]
    return (
        *map(np.uint32, small), word(image), word(step[0]), word(step[1]), _wrapped(first, word),
        *map(np.uint32, stride), *(_wrapped(p, np.uint32) for p in padding),
    )  # fmt: skip


def tap_shape(
    channels: int, width: int, step: tuple[int, int, int], first: int, word: Any
) -> tuple[Any, ...]:
    """Of taps in rows of `width`: words from channel to channel, row to row and tap to tap, which
    may be negative, and of the first one."""
    channels, width = max(channels, 1), max(width, 1)
    small = [channels, *division(channels), width, *division(width)]
    return (*map(np.uint32, small), *(_wrapped(s, word) for s in (*step, first)))
