"""Groups of images or sequences: in, through all stages, and out.

What comes in is `x`, floats, or, where it is not empty, `octets`: spikes, or the pixels of raw
images, whose floats `pixels` has, 256 for each channel. All of these are flat, and so is what goes
out; `N` is how many images or sequences there are in all, `size` how many numbers in one of them at
one step.
"""

from typing import Any

import numba
import numpy as np
from numba import prange

from snnr.kernels.cpu.parts.bits import population
from snnr.kernels.cpu.parts.square import turn_square
from snnr.kernels.jit import jit
from snnr.sparse.kernels import fields as p
from snnr.sparse.kernels.lanes import WIDTH, get
from snnr.sparse.kernels.stages import by_events, run_stages, spread

_ONE = np.uint64(1)
_NONE = np.uint64(0)
_FLOAT = np.float32


@jit()
def copy_row(x: Any, octets: Any, at: int, pixels: Any, channel: int, row: Any) -> None:
    """Floats, or those of pixels."""
    size = row.shape[0]
    if octets.shape[0] > 0:
        table = pixels[256 * channel : 256 * channel + 256]
        source = octets[at : at + size]
        for k in range(size):
            row[k] = table[source[k]]
    else:
        floats = x[at : at + size]
        for k in range(size):
            row[k] = floats[k]


@jit()
def load_pixels(x: Any, octets: Any, pixels: Any, n0: int, images: int, size: int, row: Any,
                floats: Any) -> None:  # fmt: skip
    """Static images one after the other, each with its rings of zeros."""
    height, width, channels = row[p.HEIGHT], row[p.WIDTH], row[p.CHANNELS]
    for n in range(images):
        for c in range(channels):
            at = row[p.OUT_AT] + row[p.OUT_START] + (n * channels + c) * row[p.OUT_PLANE]
            for y in range(height):
                start = (n0 + n) * size + (c * height + y) * width
                to = at + y * row[p.OUT_WIDE]
                copy_row(x, octets, start, pixels, c, floats[to : to + width])


@jit()
def load_lanes(x: Any, octets: Any, pixels: Any, n0: int, images: int, size: int, row: Any,
               block: Any, floats: Any) -> None:  # fmt: skip
    """Static images side by side, a lane for each."""
    height, width, channels = row[p.HEIGHT], row[p.WIDTH], row[p.CHANNELS]
    pitch = row[p.OUT_PITCH]
    across = block.shape[0] // 16
    plain = octets.shape[0] == 0 and width == across
    for n in range(0, pitch, 16):
        straight = plain and n + 16 <= images
        for c in range(channels):
            for y in range(height):
                start = (n0 + n) * size + (c * height + y) * width
                place = row[p.OUT_START] + c * row[p.OUT_PLANE] + y * row[p.OUT_WIDE]
                to = row[p.OUT_AT] + pitch * place + n
                if straight:
                    turn_rows(x, start, size, across, floats, to, pitch)
                    continue
                for i in range(16):
                    mine = block[i * across : (i + 1) * across]
                    if n + i < images:
                        copy_row(x, octets, start + i * size, pixels, c, mine[:width])
                        mine[width:] = 0
                    else:
                        mine[:] = 0
                turn_rows(block, 0, across, across, floats, to, pitch)


@jit()
def turn_rows(x: Any, x0: int, pitch: int, width: int, out: Any, o0: int, lanes: int) -> None:
    """out[o0 + k*lanes + i] = x[x0 + i*pitch + k] for i < 16, k < width, a multiple of 16."""
    for k in range(0, width, WIDTH):
        for i in range(0, 16, WIDTH):
            turn_square(x, x0 + i * pitch + k, pitch, out, o0 + k * lanes + i, lanes)


@jit()
def load_sequence(x: Any, octets: Any, N: int, n0: int, images: int, size: int, row: Any, G: int,
                  S: int, Q: int, words: Any, floats: Any) -> None:  # fmt: skip
    """Sequences of spikes, or of floats."""
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
                    start = (t * N + n0 + n) * size + (c * height + y) * width
                    for k in range(width):
                        if not spikes:
                            floats[at + (place + k) * row[p.OUT_PITCH] + lane] = x[start + k]
                        elif octets[start + k]:
                            words[at + (place + k) * Q + (lane >> 6)] |= bit


@jit()
def finish(row: Any, G: int, S: int, Q: int, acc: Any, words: Any, floats: Any, N: int, n0: int,
           images: int, count: int, rates: Any, outputs: Any) -> None:  # fmt: skip
    """rates[n, o] = mean over time of the votes, added up step by step as in the dense network;
    outputs[t, n, o] = the votes, where there is room for them."""
    vote, pitch = row[p.VOTE], row[p.OUT_PITCH]
    bits = row[p.OUT_KIND] == p.BITS
    if vote == 1 and bits and G == 1 and outputs.shape[0] == 0:
        for o in range(count):
            fired = 0
            for q in range(Q):
                fired += population(get(words, row[p.OUT_AT] + o * Q + q))
            rates[n0 * count + o] = _FLOAT(fired) / _FLOAT(S)
        return
    lanes = S * G
    sums, parts = acc[: 64 * Q], acc[64 * Q : 128 * Q]
    for o in range(count):
        for i in range(vote):
            to = sums if i == 0 else parts
            place = o * vote + i
            if bits:
                spread(words, row[p.OUT_AT] + place * Q, lanes, to)
            else:
                at = row[p.OUT_AT] + place * pitch
                _copy(floats[at : at + lanes], to)
            if i > 0:
                _add(parts, sums)
        if vote > 1:
            _divide(sums, _FLOAT(vote))
        for n in range(images):
            total = _FLOAT(0)
            for t in range(S):
                total += get(sums, t * G + n)
            rates[(n0 + n) * count + o] = total / _FLOAT(S)
            if outputs.shape[0] > 0:
                for t in range(S):
                    outputs[(t * N + n0 + n) * count + o] = get(sums, t * G + n)


@jit()
def _copy(row: Any, to: Any) -> None:
    for n in range(row.shape[0]):
        to[n] = row[n]


@jit()
def _add(row: Any, total: Any) -> None:
    for n in range(total.shape[0]):
        total[n] += row[n]


@jit()
def _divide(row: Any, by: Any) -> None:
    for n in range(row.shape[0]):
        row[n] /= by


@jit()
def run_group(
    x: Any, octets: Any, pixels: Any, N: int, n0: int, images: int, size: int, head: Any,
    table: Any, G: int, S: int, Q: int, first: Any, index: Any, value: Any, affine: Any,
    scalars: Any, theta: Any, where: Any, state: Any, words: Any, floats: Any, count: int,
    rates: Any, outputs: Any,
) -> None:  # fmt: skip
    """Images or sequences n0 to n0 + images."""
    if head[p.OUT_KIND] != p.STATIC:
        load_sequence(x, octets, N, n0, images, size, head, G, S, Q, words, floats)
    elif head[p.OP] == p.PIXELS:
        load_pixels(x, octets, pixels, n0, images, size, head, floats)
    else:
        block = floats[table[0, p.BLOCK] : table[0, p.BLOCK] + 16 * table[0, p.ACROSS]]
        load_lanes(x, octets, pixels, n0, images, size, head, block, floats)
    run_stages(
        table, 0, G, S, Q, first, index, value, affine, scalars, theta, where, state, words, floats
    )
    acc = floats[64 : 64 + table[0, p.SCRATCH]]
    finish(table[-1], G, S, Q, acc, words, floats, N, n0, images, count, rates, outputs)


@jit(parallel=True)
def run_parallel(
    x: Any, octets: Any, pixels: Any, N: int, size: int, head: Any, table: Any, G: int, S: int,
    Q: int, first: Any, index: Any, value: Any, affine: Any, scalars: Any, theta: Any, where: Any,
    states: Any, words: Any, floats: Any, count: int, rates: Any, outputs: Any,
) -> None:  # fmt: skip
    """Groups on all threads; `words` and `floats` have a row for each thread, `states` one for
    each group, or none."""
    for g in prange((N + G - 1) // G):
        thread = numba.get_thread_id()
        state = states[g] if states.shape[0] > 0 else floats[thread, :0]
        run_group(
            x, octets, pixels, N, g * G, min(G, N - g * G), size, head, table, G, S, Q, first,
            index, value, affine, scalars, theta, where, state, words[thread], floats[thread],
            count, rates, outputs,
        )  # fmt: skip


@jit()
def run_alone(
    x: Any, octets: Any, pixels: Any, N: int, size: int, head: Any, table: Any, G: int, S: int,
    Q: int, first: Any, index: Any, value: Any, affine: Any, scalars: Any, theta: Any, where: Any,
    states: Any, words: Any, floats: Any, count: int, rates: Any, outputs: Any,
) -> None:  # fmt: skip
    """The same in this thread alone."""
    for g in range((N + G - 1) // G):
        state = states[g] if states.shape[0] > 0 else floats[0, :0]
        run_group(
            x, octets, pixels, N, g * G, min(G, N - g * G), size, head, table, G, S, Q, first,
            index, value, affine, scalars, theta, where, state, words[0], floats[0], count, rates,
            outputs,
        )  # fmt: skip


@jit()
def run_one(
    x: Any, octets: Any, base: Any, pixels: Any, period: int, table: Any, S: int, first: Any,
    index: Any, value: Any, affine: Any, scalars: Any, theta: Any, words: Any, floats: Any,
    count: int, rates: Any, outputs: Any,
) -> None:  # fmt: skip
    """One image through a network whose first stage is linear, in this thread."""
    scratch = table[0, p.SCRATCH]
    sums = floats[64 + scratch : table[0, p.ROOM]]
    by_events(
        x, octets, base, pixels, period, table[0], S, first, index, value, affine, theta, sums,
        words,
    )  # fmt: skip
    run_stages(
        table, 1, 1, S, 1, first, index, value, affine, scalars, theta, first[:0], floats[:0],
        words, floats,
    )  # fmt: skip
    acc = floats[64 : 64 + scratch]
    finish(table[-1], 1, S, 1, acc, words, floats, 1, 0, 1, count, rates, outputs)
