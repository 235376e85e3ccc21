"""Convolutions of spikes with a row of neighbouring pixels as lanes, for groups of few images."""

from typing import Any

import numpy as np

from snnr.kernels.cpu.parts.bits import lowest
from snnr.kernels.jit import jit
from snnr.sparse.kernels import fields as p
from snnr.sparse.kernels.lanes import gather_rows_1, gather_rows_4, get, put
from snnr.sparse.kernels.neurons import fire_rows

_ONE = np.uint64(1)
_NONE = np.uint64(0)
_FLOAT = np.float32


@jit()
def turn(words: Any, at: int, places: int, wide: int, lanes: int, out: int) -> None:
    """words[out + row*lanes + lane] = bits of a row of `wide` places, from a word for each."""
    count = places // wide
    words[out : out + count * lanes] = _NONE
    for row in range(count):
        to = out + row * lanes
        for x in range(wide):
            word = get(words, at + row * wide + x)
            bit = _ONE << np.uint64(x)
            while word:
                lane = to + lowest(word)
                word &= word - _ONE
                put(words, lane, get(words, lane) | bit)


@jit()
def by_rows(row: Any, G: int, S: int, first: Any, index: Any, value: Any, affine: Any,
            scalars: Any, v: Any, acc: Any, words: Any) -> None:  # fmt: skip
    """A convolution with stride 1 of neurons at rest; the lanes fit one word."""
    lanes = S * G
    rows, places = row[p.RUN_AT], row[p.PLACES]
    turn(words, row[p.IN_AT], places, row[p.IN_WIDE], lanes, rows)
    out, plane, wide = row[p.OUT_AT], row[p.OUT_PLANE], row[p.OUT_WIDE]
    words[out : out + plane * row[p.CHANNELS]] = _NONE
    gain, offset = _FLOAT(1), _FLOAT(0)
    s0, width = row[p.NEURON], row[p.WIDTH]
    for c in range(row[p.CHANNELS]):
        start, stop = first[row[p.RUNS] + c], first[row[p.RUNS] + c + 1]
        if row[p.AFFINE] >= 0:
            gain = affine[row[p.AFFINE] + 2 * c]
            offset = affine[row[p.AFFINE] + 2 * c + 1]
        for y in range(row[p.HEIGHT]):
            for x0 in range(0, width, 16):
                base = rows + y * lanes
                place = out + row[p.OUT_START] + c * plane + y * wide + x0
                inside = (_ONE << np.uint64(min(width - x0, 16))) - _ONE
                lane = 0
                while lane + 4 <= lanes:
                    gather_rows_4(
                        words, base + lane, lanes, x0, index, start, stop, value, acc, 16 * lane
                    )
                    lane += 4
                while lane < lanes:
                    gather_rows_1(
                        words, base + lane, lanes, x0, index, start, stop, value, acc, 16 * lane
                    )
                    lane += 1
                for n in range(G):
                    fire_rows(
                        acc, 16 * n, 16 * G, S, G, n, gain, offset, scalars, s0, v, inside, words,
                        place,
                    )  # fmt: skip
