"""The compiled network at work: a group of images goes through all stages, in one thread.

A group is G images (a power of two) over S time steps; image n at step t is lane t*G + n. Spikes of
a place are Q words of 64 lanes, floats a row of lanes; those of a static input have a lane for each
image only, padded to whole registers. Places are channel-major, with the ring of zeros that the
next convolution wants around each channel, so that a connection is a fixed distance between places.

What an operation does is a row of `table`, whose columns are named in `fields`.
"""

from typing import Any

import numpy as np

from snnr.kernels.cpu.linear.scatter import scatter_bits
from snnr.kernels.cpu.parts.bits import active, differing, lowest
from snnr.kernels.cpu.parts.gather import gather_scaled, gather_scaled_narrow
from snnr.kernels.jit import jit
from snnr.sparse.kernels import fields as p
from snnr.sparse.kernels.lanes import (
    gather_bits_16,
    gather_bits_32,
    gather_bits_64,
    get,
    put,
    reached_64,
    scatter_bits_4,
    scatter_bits_8,
    scatter_bits_16,
)
from snnr.sparse.kernels.neurons import REACH, fire, fire_periodic
from snnr.sparse.kernels.rows import by_rows

_ONE = np.uint64(1)
_NONE = np.uint64(0)
_FLOAT = np.float32


@jit(forceinline=True)
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


@jit(forceinline=True)
def sum_bits(words: Any, w0: int, Q: int, lanes: int, index: Any, start: int, stop: int, value: Any,
             acc: Any) -> None:  # fmt: skip
    """acc[n] = sum of value[e] where lane n of place index[e] spiked."""
    if lanes <= 16:
        gather_bits_16(words, w0, 1, index, start, stop, value, acc, 0)
    elif lanes <= 32:
        gather_bits_32(words, w0, 1, index, start, stop, value, acc, 0)
    else:
        for q in range(Q):
            gather_bits_64(words, w0 + q, Q, index, start, stop, value, acc, 64 * q)


@jit()
def spread(words: Any, w0: int, lanes: int, acc: Any) -> None:
    """acc[n] = 1 where lane n spiked, else 0."""
    for n in range(0, lanes, 64):
        _spread_word(get(words, w0 + (n >> 6)), acc[n : n + 64])


@jit()
def _spread_word(word: Any, row: Any) -> None:
    for n in range(row.shape[0]):
        row[n] = _FLOAT((word >> np.uint64(n)) & _ONE)


@jit()
def _affine(row: Any, gain: Any, offset: Any, out: Any) -> None:
    for n in range(out.shape[0]):
        out[n] = gain * row[n] + offset


@jit()
def gathered(row: Any, G: int, S: int, Q: int, first: Any, index: Any, value: Any, affine: Any,
             scalars: Any, theta: Any, state: Any, v: Any, acc: Any, words: Any,
             floats: Any) -> None:  # fmt: skip
    """A stage, neuron by neuron over the list of its connections (or its one input)."""
    lanes = S * G
    bits, at, pitch = row[p.IN_KIND] == p.BITS, row[p.IN_AT], row[p.IN_PITCH]
    to, to_pitch, spikes = row[p.OUT_AT], row[p.OUT_PITCH], row[p.OUT_KIND] == p.BITS
    height, width = row[p.HEIGHT], row[p.WIDTH]
    step_y, step_x, wide, plane = row[p.STEP_Y], row[p.STEP_X], row[p.OUT_WIDE], row[p.OUT_PLANE]
    rows, pairs, s0, theta0 = row[p.ROWS], row[p.AFFINE], row[p.NEURON], row[p.THETA]
    fresh = state.shape[0] == 0
    periodic = theta0 >= 0 and fresh
    potential = v if fresh else state
    stride = 0 if row[p.IN_KIND] == p.STATIC else G
    v0 = 0 if fresh else row[p.STATE] * G
    move = 0 if fresh else G
    gain, offset = _FLOAT(1), _FLOAT(0)
    start: Any = np.intp(0)
    stop: Any = np.intp(0)
    for c in range(row[p.CHANNELS]):
        if rows >= 0:
            start, stop = first[rows + c], first[rows + c + 1]
        if pairs >= 0:
            gain, offset = affine[pairs + 2 * c], affine[pairs + 2 * c + 1]
        for y in range(height):
            place = row[p.OUT_START] + c * plane + y * wide
            base = y * step_y
            for _ in range(width):
                if rows < 0:
                    there = base + row[p.IN_START] + c * row[p.IN_PLANE]
                    if bits:
                        spread(words, at + there * Q, lanes, acc)
                    else:
                        from_ = at + there * pitch
                        _affine(floats[from_ : from_ + pitch], _FLOAT(1), _FLOAT(0), acc[:pitch])
                elif bits:
                    sum_bits(words, at + base * Q, Q, lanes, index, start, stop, value, acc)
                else:
                    sum_floats(floats, at + base * pitch, pitch, index, start, stop, value, acc)
                out = to + place * to_pitch
                if not spikes:
                    _affine(acc[:to_pitch], gain, offset, floats[out : out + to_pitch])
                elif periodic:
                    fire_periodic(acc, 0, S, G, gain, offset, theta, theta0, words, out, Q)
                else:
                    fire(
                        acc, 0, stride, S, G, gain, offset, scalars, s0, potential, v0, fresh,
                        words, out,
                    )  # fmt: skip
                place += 1
                base += step_x
                v0 += move


@jit()
def scattered(row: Any, G: int, S: int, Q: int, first: Any, index: Any, value: Any, affine: Any,
              scalars: Any, state: Any, v: Any, sums: Any, words: Any) -> bool:  # fmt: skip
    """A linear stage of neurons spike by spike, where those meet few enough connections; else
    returns False. Its lists are by input; the lanes fit one word."""
    at, columns, places = row[p.IN_AT], row[p.COLUMNS], row[p.PLACES]
    met = 0
    for k in range(places):
        if get(words, at + k):
            met += get(first, columns + k + 1) - get(first, columns + k)
    lanes = S * G
    pitch = 4 if lanes <= 4 else 8 if lanes <= 8 else 16 if lanes <= 16 else 64
    # a connection that is met costs more than one that is looked at
    if met * (1.3 if pitch <= 16 else 2.0) > first[columns + places] - first[columns]:
        return False
    count = row[p.CHANNELS]
    sums[: count * pitch] = 0
    for k in range(places):
        word = get(words, at + k)
        if word:
            start, stop = get(first, columns + k), get(first, columns + k + 1)
            if pitch == 4:
                scatter_bits_4(word, index, start, stop, value, sums, 0)
            elif pitch == 8:
                scatter_bits_8(word, index, start, stop, value, sums, 0)
            elif pitch == 16:
                scatter_bits_16(word, index, start, stop, value, sums, 0)
            else:
                scatter_bits(word, index, start, stop, value, sums, 0)
    gain, offset = _FLOAT(1), _FLOAT(0)
    pairs, s0 = row[p.AFFINE], row[p.NEURON]
    fresh = state.shape[0] == 0
    potential = v if fresh else state
    for c in range(count):
        if pairs >= 0:
            gain, offset = affine[pairs + 2 * c], affine[pairs + 2 * c + 1]
        place = row[p.OUT_START] + c * row[p.OUT_PLANE]
        v0 = 0 if fresh else (row[p.STATE] + c) * G
        fire(
            sums, c * pitch, G, S, G, gain, offset, scalars, s0, potential, v0, fresh, words,
            row[p.OUT_AT] + place,
        )  # fmt: skip
    return True


@jit()
def by_pixels(row: Any, G: int, S: int, Q: int, first: Any, index: Any, value: Any, affine: Any,
              theta: Any, where: Any, acc: Any, words: Any, floats: Any) -> None:  # fmt: skip
    """A convolution of a static input, its neurons periodic, with neighbouring pixels as lanes.
    where[r] is the place, in a channel of the output, of pixel r, or -1: pooling on the way is an
    or."""
    at, image = row[p.IN_AT], row[p.IN_PLANE] * row[p.IN_CHANNELS]
    theta0, span, plane = row[p.THETA], where.shape[0], row[p.OUT_PLANE]
    out = row[p.OUT_AT]
    words[out : out + plane * row[p.CHANNELS] * Q] = _NONE
    gain, offset = _FLOAT(1), _FLOAT(0)
    for c in range(row[p.CHANNELS]):
        if row[p.AFFINE] >= 0:
            gain = affine[row[p.AFFINE] + 2 * c]
            offset = affine[row[p.AFFINE] + 2 * c + 1]
        start, stop = first[row[p.ROWS] + c], first[row[p.ROWS] + c + 1]
        for n in range(G):
            for r0 in range(0, span, 64):
                gather_scaled(
                    floats, at + n * image + r0, 1, index, start, stop, value, acc, 0, True
                )
                ever = reached_64(acc, 0, gain, offset, theta, theta0, S, words, REACH)
                if ever == 0:
                    continue
                before = _NONE
                for k in range(S):
                    within = get(words, REACH + k)
                    new = within & ~before
                    before = within
                    while new:
                        place = get(where, r0 + lowest(new))
                        new &= new - _ONE
                        if place < 0:
                            continue
                        lane = k * G + n
                        base = out + (c * plane + place) * Q
                        while lane < S * G:
                            q = base + (lane >> 6)
                            put(words, q, get(words, q) | (_ONE << np.uint64(lane & 63)))
                            lane += (k + 1) * G


@jit()
def by_events(
    x: Any, octets: Any, base: Any, pixels: Any, period: int, row: Any, S: int, first: Any,
    index: Any, value: Any, affine: Any, theta: Any, sums: Any, words: Any,
) -> None:  # fmt: skip
    """A linear stage of periodic neurons on one image, pixel by pixel that is not background.

    base : the currents of the background: of raw pixels (`octets`) an image of zeros, of floats one
        of ones, which are multiplied by the first float.
    pixels : the floats of raw pixels less those of zero, 256 for each `period` of them.
    """
    columns, count = row[p.COLUMNS], row[p.CHANNELS]
    raw = octets.shape[0] > 0
    background = _FLOAT(1)
    if not raw:
        background = x[0]
        if _differing(x, background) > x.shape[0] // 2:
            background = _FLOAT(0)
    _scale(base, background, sums[:count])
    size = octets.shape[0] if raw else x.shape[0]
    whole = size - size % 64
    for k0 in range(0, size, 64):
        if k0 == whole:
            bits = _last_bits(x, octets, k0, size, background)
        elif raw:
            bits = active(octets, k0)
        else:
            bits = differing(x, k0, background)
        while bits:
            k = k0 + lowest(bits)
            bits &= bits - _ONE
            if raw:
                u = get(pixels, k // period * 256 + np.intp(get(octets, k)))
            else:
                u = get(x, k) - background
            for e in range(get(first, columns + k), get(first, columns + k + 1)):
                o = np.intp(get(index, e))
                put(sums, o, get(sums, o) + u * get(value, e))
    out, theta0, pairs = row[p.OUT_AT], row[p.THETA], row[p.AFFINE]
    words[out : out + count] = _NONE
    if pairs >= 0:
        for c in range(count):
            sums[c] = affine[pairs + 2 * c] * sums[c] + affine[pairs + 2 * c + 1]
    for c0 in range(0, count, 64):
        ever = reached_64(sums, c0, _FLOAT(1), _FLOAT(0), theta, theta0, S, words, REACH)
        if count - c0 < 64:
            ever &= (_ONE << np.uint64(count - c0)) - _ONE
        before = _NONE
        for k in range(S):
            if before == ever:
                break
            within = get(words, REACH + k) & ever
            new = within & ~before
            before = within
            train = _NONE
            t = k
            while t < S:
                train |= _ONE << np.uint64(t)
                t += k + 1
            while new:
                put(words, out + c0 + lowest(new), train)
                new &= new - _ONE


@jit()
def _last_bits(x: Any, octets: Any, k0: int, size: int, background: Any) -> Any:
    """Which of fewer than 64 pixels are not background."""
    bits = _NONE
    for k in range(k0, size):
        other = octets[k] != 0 if octets.shape[0] > 0 else x[k] != background
        if other:
            bits |= _ONE << np.uint64(k - k0)
    return bits


@jit()
def _differing(x: Any, background: Any) -> int:
    total = 0
    for k in range(x.shape[0]):
        total += x[k] != background
    return total


@jit()
def _scale(row: Any, factor: Any, out: Any) -> None:
    for k in range(out.shape[0]):
        out[k] = row[k] * factor


@jit()
def pooled(row: Any, G: int, S: int, Q: int, acc: Any, words: Any, floats: Any) -> None:
    """Maximum or average over windows."""
    bits, at, pitch = row[p.IN_KIND] == p.BITS, row[p.IN_AT], row[p.IN_PITCH]
    size, lanes, wide = row[p.POOL], S * G, row[p.IN_WIDE]
    average = row[p.AVERAGE] != 0
    count = row[p.OUT_PITCH]
    for c in range(row[p.CHANNELS]):
        for y in range(row[p.HEIGHT]):
            base = row[p.IN_START] + c * row[p.IN_PLANE] + y * row[p.STEP_Y]
            out = row[p.OUT_AT] + count * (
                row[p.OUT_START] + c * row[p.OUT_PLANE] + y * row[p.OUT_WIDE]
            )
            for _ in range(row[p.WIDTH]):
                if bits and not average:
                    for q in range(Q):
                        word = _NONE
                        for i in range(size):
                            for j in range(size):
                                word |= get(words, at + (base + i * wide + j) * Q + q)
                        put(words, out + q, word)
                else:
                    total = floats[out : out + count]
                    for i in range(size):
                        for j in range(size):
                            there = base + i * wide + j
                            if bits:
                                spread(words, at + there * Q, lanes, acc)
                                _merge(acc[:count], i + j == 0, average, total)
                            else:
                                from_ = at + there * pitch
                                part = floats[from_ : from_ + count]
                                _merge(part, i + j == 0, average, total)
                    if average:
                        for n in range(count):
                            total[n] /= _FLOAT(size * size)
                out += count
                base += row[p.STEP_X]


@jit()
def _merge(part: Any, fresh: bool, average: bool, total: Any) -> None:
    for n in range(total.shape[0]):
        if fresh:
            total[n] = part[n]
        elif average:
            total[n] += part[n]
        else:
            total[n] = max(total[n], part[n])


@jit()
def run_stages(table: Any, begin: int, G: int, S: int, Q: int, first: Any, index: Any, value: Any,
               affine: Any, scalars: Any, theta: Any, where: Any, state: Any, words: Any,
               floats: Any) -> None:  # fmt: skip
    """The operations from `begin` on, for a group that lies in the workspace, whose first floats
    are scratch."""
    v = floats[:64]
    acc = floats[64 : 64 + table[0, p.SCRATCH]]
    sums = floats[64 + table[0, p.SCRATCH] : table[0, p.ROOM]]
    for number in range(begin, table.shape[0]):
        row = table[number]
        op = row[p.OP]
        if op == p.POOLING:
            pooled(row, G, S, Q, acc, words, floats)
        elif op == p.PIXELS:
            by_pixels(row, G, S, Q, first, index, value, affine, theta, where, acc, words, floats)
        done = False
        if op == p.NEURONS and row[p.COLUMNS] >= 0 and row[p.IN_KIND] == p.BITS:
            done = scattered(
                row, G, S, Q, first, index, value, affine, scalars, state, v, sums, words
            )
        elif op == p.NEURONS and row[p.RUNS] >= 0 and state.shape[0] == 0:
            by_rows(row, G, S, first, index, value, affine, scalars, v, acc, words)
            done = True
        if op == p.NEURONS and not done:
            gathered(
                row, G, S, Q, first, index, value, affine, scalars, theta, state, v, acc, words,
                floats,
            )  # fmt: skip
