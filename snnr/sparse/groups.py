"""Groups of images or sequences: in, through all stages, and out."""

from typing import Any

import numba
import numpy as np
from numba import prange

from snnr.kernels.cpu.parts.bits import population
from snnr.kernels.cpu.parts.square import turn_square
from snnr.kernels.jit import jit
from snnr.sparse import plan as p
from snnr.sparse.kernels import by_events, run_stages, spread
from snnr.sparse.lanes import WIDTH, get

_ONE = np.uint64(1)
_NONE = np.uint64(0)
_FLOAT = np.float32


@jit()
def copy_row(x: Any, pixels: Any, channel: int, row: Any) -> None:
    """Floats, or the values of pixels."""
    if pixels.shape[0] > 0:
        table = pixels[channel]
        for k in range(row.shape[0]):
            row[k] = table[np.uint8(x[k])]
    else:
        for k in range(row.shape[0]):
            row[k] = x[k]


@jit()
def load_pixels(x: Any, pixels: Any, row: Any, floats: Any) -> None:
    """Images x[n, C*H*W] one after the other, each with its rings of zeros."""
    height, width, channels = row[p.HEIGHT], row[p.WIDTH], row[p.CHANNELS]
    for n in range(x.shape[0]):
        for c in range(channels):
            at = row[p.OUT_AT] + row[p.OUT_START] + (n * channels + c) * row[p.OUT_PLANE]
            for y in range(height):
                start = (c * height + y) * width
                to = at + y * row[p.OUT_WIDE]
                copy_row(x[n, start : start + width], pixels, c, floats[to : to + width])


@jit()
def load_lanes(x: Any, pixels: Any, row: Any, block: Any, floats: Any) -> None:
    """Images x[n, C*H*W], floats or (with a table of 256 for each channel) pixels, into the lanes
    of the first buffer; `row` says how it lies."""
    images, size = x.shape
    height, width, channels = row[p.HEIGHT], row[p.WIDTH], row[p.CHANNELS]
    pitch = row[p.OUT_PITCH]
    across = block.shape[0] // 16
    plain = pixels.shape[0] == 0 and width == across and x.dtype == floats.dtype
    for n0 in range(0, pitch, 16):
        full = n0 + 16 <= images
        for c in range(channels):
            for y in range(height):
                start = (c * height + y) * width
                if not (plain and full):
                    for i in range(16):
                        mine = block[i * across : (i + 1) * across]
                        if n0 + i < images:
                            copy_row(x[n0 + i, start : start + width], pixels, c, mine[:width])
                            mine[width:] = 0
                        else:
                            mine[:] = 0
                place = row[p.OUT_AT] + pitch * (
                    row[p.OUT_START] + c * row[p.OUT_PLANE] + y * row[p.OUT_WIDE]
                )
                if plain and full:
                    turn_rows(x.reshape(-1), n0 * size + start, size, across, floats, place + n0, pitch)
                else:
                    turn_rows(block, 0, across, across, floats, place + n0, pitch)


@jit()
def turn_rows(x: Any, x0: int, pitch: int, width: int, out: Any, o0: int, lanes: int) -> None:
    """out[o0 + k*lanes + i] = x[x0 + i*pitch + k] for i < 16, k < width, a multiple of 16."""
    for k in range(0, width, WIDTH):
        for i in range(0, 16, WIDTH):
            turn_square(x, x0 + i * pitch + k, pitch, out, o0 + k * lanes + i, lanes)


@jit()
def load_sequence(x: Any, row: Any, G: int, Q: int, words: Any, floats: Any) -> None:
    """x[t, n, C*H*W] into the first buffer: spikes, or floats."""
    S, images, _ = x.shape
    height, width, channels = row[p.HEIGHT], row[p.WIDTH], row[p.CHANNELS]
    at = row[p.OUT_AT]
    spikes = row[p.OUT_KIND] == p.BITS
    if spikes:
        words[at : at + row[p.OUT_PLANE] * channels * Q] = _NONE
    for t in range(S):
        for n in range(images):
            lane = t * G + n
            bit = _ONE << np.uint64(lane & 63)
            for c in range(channels):
                for y in range(height):
                    place = row[p.OUT_START] + c * row[p.OUT_PLANE] + y * row[p.OUT_WIDE]
                    start = (c * height + y) * width
                    for k in range(width):
                        u = x[t, n, start + k]
                        if spikes:
                            if u:
                                words[at + (place + k) * Q + (lane >> 6)] |= bit
                        else:
                            floats[at + (place + k) * row[p.OUT_PITCH] + lane] = u


@jit()
def finish(row: Any, G: int, S: int, Q: int, acc: Any, words: Any, floats: Any, rates: Any,
           outputs: Any) -> None:  # fmt: skip
    """rates[n, o] = mean over time of the votes, added up step by step as in the dense network;
    outputs[t, n, o] = the votes, where there is room for them."""
    images, count = rates.shape
    vote, pitch = row[p.VOTE], row[p.OUT_PITCH]
    bits = row[p.OUT_KIND] == p.BITS
    if vote == 1 and bits and G == 1 and outputs.shape[0] == 0:
        for o in range(count):
            fired = 0
            for q in range(Q):
                fired += population(get(words, row[p.OUT_AT] + o * Q + q))
            rates[0, o] = _FLOAT(fired) / _FLOAT(S)
        return
    lanes = S * G
    sums = acc[: 64 * Q]
    parts = acc[64 * Q : 128 * Q]
    for o in range(count):
        for i in range(vote):
            to = sums if i == 0 else parts
            place = o * vote + i
            if bits:
                spread(words, row[p.OUT_AT] + place * Q, lanes, to)
            else:
                at = row[p.OUT_AT] + place * pitch
                copy_row(floats[at : at + lanes], rates[:0], 0, to[:lanes])
            if i > 0:
                _add(parts, sums)
        if vote > 1:
            for lane in range(lanes):
                sums[lane] /= _FLOAT(vote)
        for n in range(images):
            total = _FLOAT(0)
            for t in range(S):
                total += get(sums, t * G + n)
            rates[n, o] = total / _FLOAT(S)
            if outputs.shape[0] > 0:
                for t in range(S):
                    outputs[t, n, o] = sums[t * G + n]


@jit()
def _add(row: Any, total: Any) -> None:
    for n in range(total.shape[0]):
        total[n] += row[n]


@jit()
def run_group(x: Any, pixels: Any, head: Any, table: Any, G: int, S: int, Q: int, first: Any,
              index: Any, value: Any, affine: Any, scalars: Any, theta: Any, where: Any,
              words: Any, floats: Any, rates: Any, outputs: Any) -> None:  # fmt: skip
    """A group of static images x[n, C*H*W]."""
    if head[p.OP] == p.PIXELS:
        load_pixels(x, pixels, head, floats)
    else:
        block = floats[table[0, p.BLOCK] : table[0, p.BLOCK] + 16 * table[0, p.ACROSS]]
        load_lanes(x, pixels, head, block, floats)
    run_stages(
        table, 0, G, S, Q, first, index, value, affine, scalars, theta, where, floats[:0], words,
        floats,
    )  # fmt: skip
    acc = floats[64 : 64 + table[0, p.SCRATCH]]
    finish(table[-1], G, S, Q, acc, words, floats, rates, outputs)


@jit(parallel=True)
def run_images(x: Any, pixels: Any, head: Any, table: Any, G: int, S: int, Q: int, first: Any,
               index: Any, value: Any, affine: Any, scalars: Any, theta: Any, where: Any,
               words: Any, floats: Any, rates: Any, outputs: Any) -> None:  # fmt: skip
    """Groups of images on all threads; `words` and `floats` have a row for each."""
    images = x.shape[0]
    for g in prange((images + G - 1) // G):
        thread = numba.get_thread_id()
        i, j = g * G, min(g * G + G, images)
        run_group(
            x[i:j], pixels, head, table, G, S, Q, first, index, value, affine, scalars, theta,
            where, words[thread], floats[thread], rates[i:j], outputs[:, i:j],
        )  # fmt: skip


@jit()
def run_alone(x: Any, pixels: Any, head: Any, table: Any, G: int, S: int, Q: int, first: Any,
              index: Any, value: Any, affine: Any, scalars: Any, theta: Any, where: Any,
              words: Any, floats: Any, rates: Any, outputs: Any) -> None:  # fmt: skip
    """The same in this thread alone."""
    images = x.shape[0]
    for g in range((images + G - 1) // G):
        i, j = g * G, min(g * G + G, images)
        run_group(
            x[i:j], pixels, head, table, G, S, Q, first, index, value, affine, scalars, theta,
            where, words[0], floats[0], rates[i:j], outputs[:, i:j],
        )  # fmt: skip


@jit()
def run_one(x: Any, base: Any, pixels: Any, period: int, table: Any, S: int, first: Any, index: Any,
            value: Any, affine: Any, scalars: Any, theta: Any, words: Any, floats: Any, rates: Any,
            outputs: Any) -> None:  # fmt: skip
    """One image x[C*H*W] through a network whose first stage is linear, in this thread."""
    scratch = table[0, p.SCRATCH]
    sums = floats[64 + scratch : table[0, p.ROOM]]
    by_events(x, base, pixels, period, table[0], S, first, index, value, affine, theta, sums, words)
    run_stages(
        table, 1, 1, S, 1, first, index, value, affine, scalars, theta, first[:0], floats[:0],
        words, floats,
    )  # fmt: skip
    acc = floats[64 : 64 + scratch]
    finish(table[-1], 1, S, 1, acc, words, floats, rates, outputs)


@jit()
def run_sequence(x: Any, head: Any, table: Any, G: int, S: int, Q: int, first: Any, index: Any,
                 value: Any, affine: Any, scalars: Any, theta: Any, where: Any, state: Any,
                 words: Any, floats: Any, rates: Any, outputs: Any) -> None:  # fmt: skip
    """A group of sequences x[t, n, C*H*W], in this thread."""
    load_sequence(x, head, G, Q, words, floats)
    run_stages(
        table, 0, G, S, Q, first, index, value, affine, scalars, theta, where, state, words, floats
    )
    acc = floats[64 : 64 + table[0, p.SCRATCH]]
    finish(table[-1], G, S, Q, acc, words, floats, rates, outputs)
