"""The compiled network at work: a group of images goes through all stages, in one thread.

A group is G images (a power of two) over S time steps; image n at step t is lane t*G + n. Spikes of
a place are Q words of 64 lanes, floats a row of lanes; those of a static input have a lane for each
image only, padded to whole registers. Places are channel-major, with the ring of zeros that the
next convolution wants around each channel, so that a connection is a fixed distance between places.

What an operation does is a row of `table`, whose columns are named in `plan`.
"""

from typing import Any

import numba
import numpy as np
from numba import prange

from snnr.kernels.cpu.linear.scatter import scatter_bits
from snnr.kernels.cpu.parts.bits import active, lowest, population
from snnr.kernels.cpu.parts.gather import gather_scaled, gather_scaled_narrow
from snnr.kernels.cpu.parts.square import turn_square
from snnr.kernels.jit import jit
from snnr.sparse import plan as p
from snnr.sparse.lanes import (
    WIDTH,
    gather_bits_16,
    gather_bits_32,
    gather_bits_64,
    reached_16,
    reached_64,
    scatter_bits_16,
    step_hard_1,
    step_hard_2,
    step_hard_4,
    step_hard_8,
    step_hard_16,
    step_hard_32,
    step_hard_64,
    step_soft_1,
    step_soft_2,
    step_soft_4,
    step_soft_8,
    step_soft_16,
    step_soft_32,
    step_soft_64,
)

_ONE = np.uint64(1)
_BITS = np.uint64(63)
#: columns of a row that the loops below use by name
_FLOAT = np.float32


@jit()
def hard_word(G: int, z: Any, z0: int, gain: Any, offset: Any, scalars: Any, s0: int, v: Any,
              v0: int) -> Any:  # fmt: skip
    """One time step of G neurons with hard reset: who fires."""
    if G == 64:
        return step_hard_64(z, z0, gain, offset, scalars, s0, v, v0)
    if G == 32:
        return step_hard_32(z, z0, gain, offset, scalars, s0, v, v0)
    if G == 16:
        return step_hard_16(z, z0, gain, offset, scalars, s0, v, v0)
    if G == 8:
        return step_hard_8(z, z0, gain, offset, scalars, s0, v, v0)
    if G == 4:
        return step_hard_4(z, z0, gain, offset, scalars, s0, v, v0)
    if G == 2:
        return step_hard_2(z, z0, gain, offset, scalars, s0, v, v0)
    return step_hard_1(z, z0, gain, offset, scalars, s0, v, v0)


@jit()
def soft_word(G: int, z: Any, z0: int, gain: Any, offset: Any, scalars: Any, s0: int, v: Any,
              v0: int) -> Any:  # fmt: skip
    """The same with soft reset."""
    if G == 64:
        return step_soft_64(z, z0, gain, offset, scalars, s0, v, v0)
    if G == 32:
        return step_soft_32(z, z0, gain, offset, scalars, s0, v, v0)
    if G == 16:
        return step_soft_16(z, z0, gain, offset, scalars, s0, v, v0)
    if G == 8:
        return step_soft_8(z, z0, gain, offset, scalars, s0, v, v0)
    if G == 4:
        return step_soft_4(z, z0, gain, offset, scalars, s0, v, v0)
    if G == 2:
        return step_soft_2(z, z0, gain, offset, scalars, s0, v, v0)
    return step_soft_1(z, z0, gain, offset, scalars, s0, v, v0)


@jit()
def fire(z: Any, z0: int, static: bool, S: int, G: int, gain: Any, offset: Any, scalars: Any,
         s0: int, v: Any, v0: int, words: Any, w0: int, Q: int) -> None:  # fmt: skip
    """A neuron over S steps from the currents in z: its words."""
    soft = scalars[s0 + 5] != 0
    for q in range(Q):
        words[w0 + q] = 0
    for t in range(S):
        lane = t * G
        at = z0 if static else z0 + lane
        if soft:
            bits = soft_word(G, z, at, gain, offset, scalars, s0, v, v0)
        else:
            bits = hard_word(G, z, at, gain, offset, scalars, s0, v, v0)
        words[w0 + (lane >> 6)] |= bits << np.uint64(lane & 63)


@jit()
def fire_periodic(z: Any, z0: int, S: int, G: int, gain: Any, offset: Any, theta: Any,
                  theta0: int, words: Any, w0: int, Q: int) -> None:  # fmt: skip
    """A neuron with hard reset under constant currents, from its reset on: every k steps."""
    pitch = max(G, 16)
    for n in range(pitch):
        z[z0 + n] = gain * z[z0 + n] + offset
    for q in range(Q):
        words[w0 + q] = 0
    own = ~np.uint64(0) if G == 64 else (_ONE << np.uint64(G)) - _ONE
    before = np.uint64(0)
    ever = reached_lanes(z, z0, pitch, theta[theta0 + S - 1]) & own
    if ever == 0:
        return
    for k in range(1, S + 1):
        within = reached_lanes(z, z0, pitch, theta[theta0 + k - 1]) & own
        new = within & ~before
        before = within
        if new:
            for t in range(k - 1, S, k):
                lane = t * G
                words[w0 + (lane >> 6)] |= new << np.uint64(lane & 63)
        if before == ever:
            break


@jit()
def reached_lanes(z: Any, z0: int, pitch: int, bound: Any) -> Any:
    """Lanes of z that are at least the bound; `pitch` is 16, 32 or 64."""
    if pitch == 64:
        return reached_64(z, z0, bound)
    word = reached_16(z, z0, bound)
    if pitch == 32:
        word |= reached_16(z, z0 + 16, bound) << np.uint64(16)
    return word


@jit()
def sum_floats(x: Any, x0: int, pitch: int, index: Any, start: int, stop: int, value: Any,
               acc: Any) -> None:  # fmt: skip
    """acc[n] = sum of value[e] * x[x0 + index[e]*pitch + n] for n < pitch, a multiple of 16."""
    n = 0
    while n + 64 <= pitch:
        gather_scaled(x, x0 + n, pitch, index, start, stop, value, acc, n, True)
        n += 64
    while n < pitch:
        gather_scaled_narrow(x, x0 + n, pitch, index, start, stop, value, acc, n, True)
        n += 16


@jit()
def sum_bits(words: Any, w0: int, Q: int, lanes: int, index: Any, start: int, stop: int, value: Any,
             acc: Any) -> None:  # fmt: skip
    """acc[n] = sum of value[e] where lane n of place index[e] spiked."""
    if lanes <= 16:
        gather_bits_16(words, w0, Q, index, start, stop, value, acc, 0)
    elif lanes <= 32:
        gather_bits_32(words, w0, Q, index, start, stop, value, acc, 0)
    else:
        for q in range(Q):
            gather_bits_64(words, w0 + q, Q, index, start, stop, value, acc, 64 * q)


@jit()
def spread(words: Any, w0: int, lanes: int, acc: Any) -> None:
    """acc[n] = 1 where lane n spiked, else 0."""
    for n in range(lanes):
        acc[n] = _FLOAT((words[w0 + (n >> 6)] >> np.uint64(n & 63)) & _ONE)


@jit()
def settle(row: Any, channel: int, place: int, G: int, S: int, Q: int, acc: Any, z0: int,
           affine: Any, scalars: Any, theta: Any, state: Any, v: Any, words: Any, floats: Any) -> None:
    """From the currents of one place of one channel to what the stage puts out there."""
    gain, offset = _FLOAT(1), _FLOAT(0)
    if row[p.AFFINE] >= 0:
        gain = affine[row[p.AFFINE] + 2 * channel]
        offset = affine[row[p.AFFINE] + 2 * channel + 1]
    static = row[p.IN_KIND] == p.STATIC
    if row[p.OUT_KIND] != p.BITS:
        pitch = row[p.OUT_PITCH]
        out = row[p.OUT_AT] + place * pitch
        for n in range(pitch):
            floats[out + n] = gain * acc[z0 + n] + offset
        return
    out = row[p.OUT_AT] + place * Q
    if row[p.THETA] >= 0 and state.shape[0] == 0:
        fire_periodic(acc, z0, S, G, gain, offset, theta, row[p.THETA], words, out, Q)
        return
    s0 = row[p.NEURON]
    if state.shape[0] > 0:
        # which place it is without the ring of zeros
        inside = (place - row[p.OUT_START] - channel * row[p.OUT_PLANE])
        y = inside // row[p.OUT_WIDE]
        x = inside % row[p.OUT_WIDE]
        v0 = row[p.STATE] + (channel * row[p.HEIGHT] + y) * row[p.WIDTH] + x
        fire(acc, z0, static, S, G, gain, offset, scalars, s0, state, v0 * G, words, out, Q)
        return
    for n in range(G):
        v[n] = scalars[s0 + 4]
    fire(acc, z0, static, S, G, gain, offset, scalars, s0, v, 0, words, out, Q)


@jit()
def gathered(row: Any, G: int, S: int, Q: int, first: Any, index: Any, value: Any, affine: Any,
             scalars: Any, theta: Any, state: Any, v: Any, acc: Any, words: Any,
             floats: Any) -> None:  # fmt: skip
    """A stage, neuron by neuron over the list of its connections (or its one input)."""
    lanes = S * G
    kind, at, pitch = row[p.IN_KIND], row[p.IN_AT], row[p.IN_PITCH]
    weighted = row[p.ROWS] >= 0
    for c in range(row[p.CHANNELS]):
        start: Any = np.intp(0)
        stop: Any = np.intp(0)
        if weighted:
            start, stop = first[row[p.ROWS] + c], first[row[p.ROWS] + c + 1]
        for y in range(row[p.HEIGHT]):
            for x in range(row[p.WIDTH]):
                base = y * row[p.STEP_Y] + x * row[p.STEP_X]
                if weighted:
                    if kind == p.BITS:
                        sum_bits(words, at + base * Q, Q, lanes, index, start, stop, value, acc)
                    else:
                        sum_floats(
                            floats, at + base * pitch, pitch, index, start, stop, value, acc
                        )
                else:
                    base += row[p.IN_START] + c * row[p.IN_PLANE]
                    if kind == p.BITS:
                        spread(words, at + base * Q, lanes, acc)
                    else:
                        for n in range(pitch):
                            acc[n] = floats[at + base * pitch + n]
                place = (
                    row[p.OUT_START] + c * row[p.OUT_PLANE] + y * row[p.OUT_WIDE] + x
                )
                settle(
                    row, c, place, G, S, Q, acc, 0, affine, scalars, theta, state, v, words, floats
                )


@jit()
def scattered(row: Any, G: int, S: int, Q: int, first: Any, index: Any, value: Any, affine: Any,
              scalars: Any, theta: Any, state: Any, v: Any, sums: Any, words: Any,
              floats: Any) -> bool:  # fmt: skip
    """A linear stage spike by spike, where those meet few enough connections; else returns False.
    Its lists are by input; the lanes fit one word."""
    at, columns = row[p.IN_AT], row[p.COLUMNS]
    met = 0
    for k in range(row[p.PLACES]):
        if words[at + k]:
            met += first[columns + k + 1] - first[columns + k]
    connections = first[columns + row[p.PLACES]] - first[columns]
    if 2 * met > connections:
        return False
    pitch = 16 if S * G <= 16 else 64
    count = row[p.CHANNELS]
    sums[: count * pitch] = 0
    for k in range(row[p.PLACES]):
        word = words[at + k]
        if word:
            start, stop = first[columns + k], first[columns + k + 1]
            if pitch == 16:
                scatter_bits_16(word, index, start, stop, value, sums, 0)
            else:
                scatter_bits(word, index, start, stop, value, sums, 0)
    for c in range(count):
        place = row[p.OUT_START] + c * row[p.OUT_PLANE]
        settle(
            row, c, place, G, S, Q, sums, c * pitch, affine, scalars, theta, state, v, words, floats
        )
    return True


@jit()
def by_pixels(row: Any, G: int, S: int, Q: int, first: Any, index: Any, value: Any, affine: Any,
              theta: Any, acc: Any, words: Any, floats: Any) -> None:  # fmt: skip
    """A convolution of a static input, its neurons periodic, with neighbouring pixels as lanes, for
    groups of few images. Its output may be pooled on the way (a maximum over spikes is their or)."""
    at, image = row[p.IN_AT], row[p.IN_PLANE] * row[p.IN_CHANNELS]
    wide, height, width = row[p.STEP_Y], row[p.HEIGHT], row[p.WIDTH]
    pool = max(row[p.POOL], 1)
    tall_out, wide_out = height // pool, width // pool
    theta0 = row[p.THETA]
    span = (height - 1) * wide + width
    reach = np.empty(S, np.uint64)
    out, size = row[p.OUT_AT], row[p.OUT_PLANE] * row[p.CHANNELS] * Q
    words[out : out + size] = 0
    for c in range(row[p.CHANNELS]):
        gain, offset = _FLOAT(1), _FLOAT(0)
        if row[p.AFFINE] >= 0:
            gain = affine[row[p.AFFINE] + 2 * c]
            offset = affine[row[p.AFFINE] + 2 * c + 1]
        start, stop = first[row[p.ROWS] + c], first[row[p.ROWS] + c + 1]
        for n in range(G):
            for r0 in range(0, span, 64):
                gather_scaled(
                    floats, at + n * image + r0, 1, index, start, stop, value, acc, 0, True
                )
                for r in range(64):
                    acc[r] = gain * acc[r] + offset
                left = reached_64(acc, 0, theta[theta0 + S - 1])
                if left == 0:
                    continue
                for k in range(S):
                    reach[k] = reached_64(acc, 0, theta[theta0 + k])
                while left:
                    r = lowest(left)
                    left &= left - _ONE
                    y = (r0 + r) // wide
                    x = (r0 + r) % wide
                    if y >= tall_out * pool or x >= wide_out * pool:
                        continue
                    k = 0
                    while not (reach[k] >> np.uint64(r)) & _ONE:
                        k += 1
                    place = (
                        row[p.OUT_START] + c * row[p.OUT_PLANE]
                        + (y // pool) * row[p.OUT_WIDE] + x // pool
                    )  # fmt: skip
                    for t in range(k, S, k + 1):
                        lane = t * G + n
                        words[out + place * Q + (lane >> 6)] |= _ONE << np.uint64(lane & 63)


@jit()
def pooled(row: Any, G: int, S: int, Q: int, acc: Any, words: Any, floats: Any) -> None:
    """Maximum or average over windows."""
    kind, at, pitch = row[p.IN_KIND], row[p.IN_AT], row[p.IN_PITCH]
    size, lanes = row[p.POOL], S * G
    average = row[p.AVERAGE] != 0
    share = _FLOAT(size * size)
    for c in range(row[p.CHANNELS]):
        for y in range(row[p.HEIGHT]):
            for x in range(row[p.WIDTH]):
                base = (
                    row[p.IN_START] + c * row[p.IN_PLANE] + y * row[p.STEP_Y] + x * row[p.STEP_X]
                )
                place = row[p.OUT_START] + c * row[p.OUT_PLANE] + y * row[p.OUT_WIDE] + x
                if kind == p.BITS and not average:
                    out = row[p.OUT_AT] + place * Q
                    for q in range(Q):
                        word = np.uint64(0)
                        for i in range(size):
                            for j in range(size):
                                word |= words[at + (base + i * row[p.IN_WIDE] + j) * Q + q]
                        words[out + q] = word
                    continue
                count = lanes if kind == p.BITS else pitch
                out = row[p.OUT_AT] + place * row[p.OUT_PITCH]
                for i in range(size):
                    for j in range(size):
                        there = base + i * row[p.IN_WIDE] + j
                        if kind == p.BITS:
                            spread(words, at + there * Q, lanes, acc)
                        for n in range(count):
                            u = acc[n] if kind == p.BITS else floats[at + there * pitch + n]
                            if i == 0 and j == 0:
                                floats[out + n] = u
                            elif average:
                                floats[out + n] += u
                            else:
                                floats[out + n] = max(floats[out + n], u)
                if average:
                    for n in range(count):
                        floats[out + n] /= share


@jit()
def run_stages(table: Any, G: int, S: int, Q: int, first: Any, index: Any, value: Any, affine: Any,
               scalars: Any, theta: Any, state: Any, words: Any, floats: Any) -> None:  # fmt: skip
    """All operations on a group that lies in the workspace. The first floats are scratch."""
    v = floats[:64]
    acc = floats[64 : 64 + table[0, p.SCRATCH]]
    sums = floats[64 + table[0, p.SCRATCH] : table[0, p.ROOM]]
    for number in range(table.shape[0]):
        row = table[number]
        op = row[p.OP]
        if op == p.POOLING:
            pooled(row, G, S, Q, acc, words, floats)
        elif op == p.PIXELS and state.shape[0] == 0:
            by_pixels(row, G, S, Q, first, index, value, affine, theta, acc, words, floats)
        else:
            done = False
            if row[p.COLUMNS] >= 0:
                done = scattered(
                    row, G, S, Q, first, index, value, affine, scalars, theta, state, v, sums,
                    words, floats,
                )  # fmt: skip
            if not done:
                gathered(
                    row, G, S, Q, first, index, value, affine, scalars, theta, state, v, acc,
                    words, floats,
                )  # fmt: skip


@jit()
def load_rows(x: Any, pixels: Any, n0: int, images: int, channel: int, start: int, width: int,
              block: Any) -> None:  # fmt: skip
    """block[i, :] = part of the images n0 + i as floats, zero beyond their end."""
    pitch = block.shape[0] // 16
    for i in range(16):
        row = block[i * pitch : (i + 1) * pitch]
        if n0 + i >= images:
            row[:] = 0
            continue
        source = x[n0 + i]
        if pixels.shape[0] > 0:
            for k in range(width):
                row[k] = pixels[channel, np.uint8(source[start + k])]
        else:
            for k in range(width):
                row[k] = source[start + k]
        row[width:] = 0


@jit()
def load_static(x: Any, pixels: Any, row: Any, G: int, block: Any, floats: Any) -> None:
    """Images x[n, C*H*W], floats or (with a table of 256 for each channel) pixels, into the lanes
    of the first buffer; `row` says how it lies."""
    images = x.shape[0]
    height, width, channels = row[p.HEIGHT], row[p.WIDTH], row[p.CHANNELS]
    at = row[p.OUT_AT]
    if row[p.OP] == p.PIXELS:
        size = row[p.OUT_PLANE] * channels
        for n in range(images):
            for c in range(channels):
                for y in range(height):
                    to = at + n * size + row[p.OUT_START] + c * row[p.OUT_PLANE] + y * row[p.OUT_WIDE]
                    start = (c * height + y) * width
                    if pixels.shape[0] > 0:
                        for k in range(width):
                            floats[to + k] = pixels[c, np.uint8(x[n, start + k])]
                    else:
                        for k in range(width):
                            floats[to + k] = x[n, start + k]
        return
    pitch = row[p.OUT_PITCH]
    for n0 in range(0, pitch, 16):
        for c in range(channels):
            for y in range(height):
                start = (c * height + y) * width
                load_rows(x, pixels, n0, images, c, start, width, block)
                place = row[p.OUT_START] + c * row[p.OUT_PLANE] + y * row[p.OUT_WIDE]
                across = block.shape[0] // 16
                for k in range(0, across, WIDTH):
                    for i in range(0, 16, WIDTH):
                        turn_square(
                            block, i * across + k, across, floats,
                            at + (place + k) * pitch + n0 + i, pitch,
                        )  # fmt: skip


@jit()
def load_sequence(x: Any, row: Any, G: int, Q: int, words: Any, floats: Any) -> None:
    """x[t, n, C*H*W] into the first buffer: spikes, or floats."""
    S, images, _ = x.shape
    height, width, channels = row[p.HEIGHT], row[p.WIDTH], row[p.CHANNELS]
    at = row[p.OUT_AT]
    spikes = row[p.OUT_KIND] == p.BITS
    if spikes:
        words[at : at + row[p.OUT_PLANE] * channels * Q] = 0
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
def lane_value(row: Any, place: int, lane: int, Q: int, words: Any, floats: Any) -> Any:
    """What the last stage puts out at a place in a lane."""
    if row[p.OUT_KIND] == p.BITS:
        word = words[row[p.OUT_AT] + place * Q + (lane >> 6)]
        return _FLOAT((word >> np.uint64(lane & 63)) & _ONE)
    return floats[row[p.OUT_AT] + place * row[p.OUT_PITCH] + lane]


@jit()
def finish(row: Any, G: int, S: int, Q: int, words: Any, floats: Any, images: int, rates: Any,
           outputs: Any) -> None:  # fmt: skip
    """rates[n, o] = mean over time of the votes, added up step by step as in the dense network;
    outputs[t, n, o] = the votes, where there is room for them."""
    vote = row[p.VOTE]
    share = _FLOAT(vote)
    for n in range(images):
        for o in range(rates.shape[1]):
            total = _FLOAT(0)
            for t in range(S):
                here = _FLOAT(0)
                for i in range(o * vote, (o + 1) * vote):
                    here += lane_value(row, i, t * G + n, Q, words, floats)
                if vote > 1:
                    here /= share
                total += here
                if outputs.shape[0] > 0:
                    outputs[t, n, o] = here
            rates[n, o] = total / _FLOAT(S)


@jit()
def run_group(x: Any, pixels: Any, head: Any, table: Any, G: int, S: int, Q: int, first: Any,
              index: Any, value: Any, affine: Any, scalars: Any, theta: Any, state: Any,
              words: Any, floats: Any, rates: Any, outputs: Any) -> None:  # fmt: skip
    """A group of static images x[n, C*H*W]."""
    block = floats[table[0, p.BLOCK] : table[0, p.BLOCK] + 16 * table[0, p.ACROSS]]
    load_static(x, pixels, head, G, block, floats)
    run_stages(table, G, S, Q, first, index, value, affine, scalars, theta, state, words, floats)
    finish(table[-1], G, S, Q, words, floats, x.shape[0], rates, outputs)


@jit(parallel=True)
def run_images(x: Any, pixels: Any, head: Any, table: Any, G: int, S: int, Q: int, first: Any,
               index: Any, value: Any, affine: Any, scalars: Any, theta: Any, words: Any,
               floats: Any, rates: Any, outputs: Any) -> None:  # fmt: skip
    """Groups of images on all threads; `words` and `floats` have a row for each."""
    images = x.shape[0]
    none = floats[0, :0]
    for g in prange((images + G - 1) // G):
        thread = numba.get_thread_id()
        i, j = g * G, min(g * G + G, images)
        run_group(
            x[i:j], pixels, head, table, G, S, Q, first, index, value, affine, scalars, theta,
            none, words[thread], floats[thread], rates[i:j], outputs[:, i:j],
        )  # fmt: skip


@jit()
def run_sequence(x: Any, head: Any, table: Any, G: int, S: int, Q: int, first: Any, index: Any,
                 value: Any, affine: Any, scalars: Any, theta: Any, state: Any, words: Any,
                 floats: Any, rates: Any, outputs: Any) -> None:  # fmt: skip
    """A group of sequences x[t, n, C*H*W], in this thread."""
    load_sequence(x, head, G, Q, words, floats)
    run_stages(table, G, S, Q, first, index, value, affine, scalars, theta, state, words, floats)
    finish(table[-1], G, S, Q, words, floats, x.shape[1], rates, outputs)


@jit()
def run_one(x: Any, pixels: Any, head: Any, table: Any, S: int, Q: int, first: Any, index: Any,
            value: Any, affine: Any, scalars: Any, theta: Any, words: Any, floats: Any, rates: Any,
            outputs: Any) -> None:  # fmt: skip
    """One image, in this thread."""
    run_group(
        x, pixels, head, table, 1, S, Q, first, index, value, affine, scalars, theta, floats[:0],
        words, floats, rates, outputs,
    )  # fmt: skip


__all__ = ["active", "population", "run_images", "run_one", "run_sequence"]
