"""Random masks and their use. Spikes and masks are bytes: a thread takes four at once where it
can."""

from typing import Any

import numpy as np

from snnr.kernels.backend import philox_blocks
from snnr.kernels.cuda import device
from snnr.kernels.cuda.device import kernel, launch
from snnr.kernels.cuda.geometry import strided
from snnr.kernels.cuda.memory import Memory
from snnr.kernels.cuda.parts.random import philox
from snnr.kernels.cuda.parts.walk import places

_NOTHING = np.uint64(0)


def _elements(count: int) -> tuple[int, int]:
    return strided(count, device.machine().limits)


@kernel()
def _mask(key: Any, counter: Any, limit: Any, words: Any) -> None:
    """A thread for the four elements of a block of random words."""
    start = counter[0]
    b, step, end = places(words.shape[0])
    while b < end:
        w0, w1, w2, w3 = philox(start + np.uint64(b), _NOTHING, key)
        four = np.uint32(w0 >= limit)
        four |= np.uint32(w1 >= limit) << np.uint32(8)
        four |= np.uint32(w2 >= limit) << np.uint32(16)
        four |= np.uint32(w3 >= limit) << np.uint32(24)
        words[b] = four
        b += step


@kernel()
def _advance(counter: Any, blocks: Any) -> None:
    counter[0] += blocks


def dropout_mask(key: int, counter: Memory, p: float, out: Memory) -> None:
    """out uint8 = 1 where the word of the element is at least round(p * 2**32); the counter
    moves on, when all have read it."""
    blocks = philox_blocks(out.size)
    limit = np.uint64(round(p * 2**32))
    # the last word may reach beyond out, within its block of memory
    words = out.words(np.uint32, (blocks,))
    launch(_mask, *_elements(blocks), np.uint64(key), counter.array, limit, words)
    if blocks:
        launch(_advance, 1, 1, counter.array, np.uint64(blocks))


@kernel()
def _mask_time(x: Any, mask: Any, factor: Any, out: Any) -> None:
    i, step, end = places(mask.shape[0])
    while i < end:
        kept = mask[i] * factor
        for t in range(x.shape[0]):
            out[t, i] = x[t, i] * kept
        i += step


@kernel()
def _mask_words(x: Any, mask: Any, out: Any) -> None:
    """Four spikes at once: bytes that are 0 or 1."""
    i, step, end = places(mask.shape[0])
    while i < end:
        kept = mask[i]
        for t in range(x.shape[0]):
            out[t, i] = x[t, i] & kept
        i += step


def mask_time(x: Memory, mask: Memory, factor: float, out: Memory) -> None:
    """out[T, M] = x*mask*factor; with uint8 out, x*mask."""
    steps, size = x.shape[0], mask.size
    if out.dtype == np.uint8 and size % 4 == 0:
        rows = steps, size // 4
        launch(
            _mask_words, *_elements(size // 4), x.words(np.uint32, rows), mask.words(np.uint32),
            out.words(np.uint32, rows),
        )  # fmt: skip
        return
    rows = steps, size
    launch(
        _mask_time, *_elements(size), x.as_array(rows), mask.flat, out.dtype.type(factor),
        out.as_array(rows),
    )  # fmt: skip
