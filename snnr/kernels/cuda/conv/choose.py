"""Convolution on a card, as products of tiles.

The rows of a product are pixels and its terms the taps of the kernel with their channels, or, for
the weight gradient, the other way round; where each entry lies is worked out while it is copied.
The input gradient is a convolution of dy with the mirrored kernel; with a stride it falls apart
into one for every place of an input pixel within the stride, each with the taps that reach it.
"""

from typing import Any, NamedTuple

from snnr.kernels.cuda.geometry import ceil
from snnr.kernels.cuda.memory import Memory
from snnr.kernels.cuda.parts import maps
from snnr.kernels.cuda.parts.gemm import BIASED, SCALED, Side
from snnr.kernels.cuda.parts.products import (
    Finish,
    Operand,
    multiply,
    word_for,
    written_columns,
)
from snnr.kernels.operations import Hints, Pair


def _size(images: Memory) -> Pair:
    """Rows and columns."""
    return images.shape[1], images.shape[2]


def _reach(x: Memory, w: Memory, padding: Pair) -> int:
    """What no coordinate of a pixel that a window meets is beyond, in either direction."""
    return max(_size(x)) + 2 * max(padding) + max(w.shape[:2])


def _pixels(
    images: tuple[int, ...], size: Pair, stride: Pair, padding: Pair, word: Any
) -> tuple[Any, ...]:
    """Of `size` windows per image, the pixel of x[N, H, W, C] that their first tap meets."""
    (_, height, width, channels) = images
    row = width * channels
    lead = -padding[0] * row - padding[1] * channels
    return maps.pixel_shape(
        size, height * row, (stride[0] * row, stride[1] * channels), lead, stride, padding, word
    )


def _taps(images: tuple[int, ...], width: int, word: Any) -> tuple[Any, ...]:
    """Of a kernel of so many columns over x[N, H, W, C]."""
    channels = images[3]
    return maps.tap_shape(channels, width, (1, images[2] * channels, channels), 0, word)


def conv2d(
    x: Memory, w: Memory, bias: Memory | None, stride: Pair, padding: Pair, out: Memory,
    hints: Hints | None = None,
) -> None:  # fmt: skip
    """out[N, H', W', O] = x[N, H, W, C] * w[kh, kw, C, O] + bias[O]."""
    outputs = w.shape[3]
    word = word_for(x, w, out, side=_reach(x, w, padding))
    left = Operand(
        x, Side(maps.pixels(word), maps.taps(word), windowed=True),
        _pixels(x.shape, _size(out), stride, padding, word),
        _taps(x.shape, w.shape[1], word), "pixels", _size(x),
    )  # fmt: skip
    multiply(
        left, written_columns(w, outputs, word),
        (out.size // max(outputs, 1), outputs, w.size // max(outputs, 1)), out,
        Finish(SCALED if bias is None else BIASED, extra=bias), word,
    )  # fmt: skip


class Phase(NamedTuple):
    """Of the input pixels at one place within the stride, along one axis.

    first : of them; pixels : how many; tap : the first that reaches them; taps : how many;
    padding : of the stride-1 convolution of dy with those taps, mirrored.
    """

    first: int
    pixels: int
    tap: int
    taps: int
    padding: int


def phases(size: int, taps: int, stride: int, padding: int) -> list[Phase]:
    """One for each place within the stride that has pixels: pixel first + stride*u meets dy at
    u + start - t through tap + stride*t."""
    found = []
    for first in range(min(stride, size)):
        tap, start = (first + padding) % stride, (first + padding) // stride
        count = max(ceil(taps - tap, stride), 0)
        found.append(Phase(first, ceil(size - first, stride), tap, count, count - 1 - start))
    return found


def conv2d_input_grad(
    dy: Memory, w: Memory, stride: Pair, padding: Pair, dx: Memory, hints: Hints | None = None
) -> None:
    """dx[N, H, W, C] from dy[N, H', W', O]."""
    (_, kernel, channels, outputs) = w.shape
    (images, height, width, _) = dx.shape
    word = word_for(dy, w, dx, side=_reach(dx, w, padding))
    tap = channels * outputs
    for v in phases(height, w.shape[0], stride[0], padding[0]):
        for h in phases(width, kernel, stride[1], padding[1]):
            left = Operand(
                dy, Side(maps.pixels(word), maps.taps(word), windowed=True),
                _pixels(dy.shape, (v.pixels, h.pixels), (1, 1), (v.padding, h.padding), word),
                _taps(dy.shape, h.taps, word), "pixels", _size(dy),
            )  # fmt: skip
            last = (v.tap + stride[0] * (v.taps - 1)) * kernel + h.tap + stride[1] * (h.taps - 1)
            right = Operand(
                w, Side(maps.line(word), maps.taps(word)), maps.line_shape(outputs, word),
                maps.tap_shape(
                    outputs, h.taps, (1, -stride[0] * kernel * tap, -stride[1] * tap),
                    max(last, 0) * tap, word,
                ), "mirrored",
            )  # fmt: skip
            places = None
            if stride != (1, 1):
                row = width * channels
                places = maps.pixel_shape(
                    (v.pixels, h.pixels), height * row, (stride[0] * row, stride[1] * channels),
                    v.first * row + h.first * channels, (1, 1), (0, 0), word,
                )  # fmt: skip
            size = images * v.pixels * h.pixels, channels, v.taps * h.taps * outputs
            multiply(left, right, size, dx, Finish(), word, places=places)


def conv2d_weight_grad(
    x: Memory, dy: Memory, stride: Pair, padding: Pair, dw: Memory, hints: Hints | None = None
) -> None:
    """dw[kh, kw, C, O] from x[N, H, W, C] and dy[N, H', W', O]."""
    outputs = dw.shape[3]
    word = word_for(x, dy, dw, side=_reach(x, dw, padding))
    left = Operand(
        x, Side(maps.taps(word), maps.pixels(word), windowed=True, along=False),
        _taps(x.shape, dw.shape[1], word),
        _pixels(x.shape, _size(dy), stride, padding, word), "taps", _size(x),
    )  # fmt: skip
    size = dw.size // max(outputs, 1), outputs, dy.size // max(outputs, 1)
    multiply(left, written_columns(dy, outputs, word), size, dw, Finish(SCALED), word)
