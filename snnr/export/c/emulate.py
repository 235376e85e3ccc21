"""The C code's arithmetic in NumPy: the same operations in the same order, so the same bits.

It makes the golden vectors that an export carries, and tells how far a potential is from its
threshold.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from snnr.export.c.fixed import Fixed
from snnr.export.c.program import Pooled, Program, Weighted
from snnr.functional import Neuron

Array = NDArray[Any]
FNV_START, FNV_FACTOR = 2166136261, 16777619


@dataclass(frozen=True, eq=False)
class Answers:
    """What the C code says of N images.

    outputs : ``[N, classes]``, sums over time steps and votes.
    spikes : of each layer of neurons in order, uint8 ``[N, T, places]``.
    margins : ``[N]``, the smallest distance of a potential to its threshold, in thresholds; empty
        where nobody computed it.
    """

    outputs: Array
    spikes: list[NDArray[np.uint8]]
    margins: NDArray[np.float64]

    def labels(self) -> NDArray[np.int64]:
        """The class of each image: the first of the largest."""
        return np.asarray(self.outputs.argmax(axis=1), np.int64)

    def digests(self) -> list[int]:
        """Of all spikes of each image, as the C code makes them (FNV-1a over words)."""
        found = []
        for image in range(len(self.outputs)):
            digest = FNV_START
            for layer in self.spikes:
                bits = layer[image].astype(np.uint64)
                shifts = np.arange(bits.shape[0], dtype=np.uint64)[:, None]
                for word in (bits << shifts).sum(axis=0).tolist():
                    digest = (digest ^ (word & 0xFFFFFFFF)) * FNV_FACTOR & 0xFFFFFFFF
                    if bits.shape[0] > 32:
                        digest = (digest ^ (word >> 32)) * FNV_FACTOR & 0xFFFFFFFF
            found.append(digest)
        return found


def emulate(program: Program, images: Array) -> Answers:
    """Run images ``[N, ...]``, uint8 where the program takes pixels, else float32."""
    values = _entered(program, images)
    spikes: list[NDArray[np.uint8]] = []
    margins = np.full(len(images), np.inf)
    for step in program.steps:
        if isinstance(step, Pooled):
            values = _pooled(step, values)
            continue
        sums = _sums(step, values)
        if step.neuron is None:
            values = _scaled(step, sums)
            continue
        charged = sums if step.fixed is not None else _scaled(step, sums)
        values, margin = _fired(step, charged, program.T)
        margins = np.minimum(margins, margin)
        spikes.append(values.reshape(len(images), program.T, -1))
    every = values.reshape(*values.shape[:2], -1, program.vote)
    if program.output.kind == "floats":
        total = np.zeros((len(images), program.classes), np.float32)
        for t in range(every.shape[1]):
            for k in range(program.vote):
                total += every[:, t, :, k]
    else:
        total = every.astype(np.int64).sum(axis=(1, 3))
    return Answers(total, spikes, margins)


def _entered(program: Program, images: Array) -> Array:
    """The input ``[N, 1, ...]`` in the numbers that the first step computes with."""
    shape = program.source.shape
    if program.source.kind == "floats":
        return images.reshape(len(images), 1, *shape).astype(np.float32)
    channels = program.source.image[0] if len(shape) == 3 else 1
    pixels = images.reshape(len(images), channels, -1)
    assert program.normalisation is not None
    table = program.normalisation.table() if program.pixels is None else program.pixels.table()
    found = np.stack([table[c][pixels[:, c]] for c in range(channels)], axis=1)
    return found.reshape(len(images), 1, *shape)


def _number(step: Weighted) -> Any:
    return np.float32 if step.fixed is None else np.int64


def _sums(step: Weighted, values: Array) -> Array:
    """``[N, S, rows, ...]``, each sum in the order of its columns."""
    kind = _number(step)
    values = values.astype(kind)
    count, steps = values.shape[:2]
    starts = np.concatenate([[0], np.cumsum(step.counts.astype(np.int64))])
    data = step.weights.astype(kind)
    if len(step.shape) == 2:
        flat = values.reshape(count, steps, -1)
        sums = np.zeros((count, steps, step.shape[0]), kind)
        for place in range(int(step.counts.max(initial=0))):
            rows = np.flatnonzero(step.counts > place)
            entries = starts[rows] + place
            sums[:, :, rows] += data[entries] * flat[:, :, step.indices[entries]]
        return sums
    _, _, taps, _ = step.shape
    height, width = step.target.image[1:]
    frame = [(0, 0)] * 3 + [(step.padding,) * 2] * 2
    padded = np.pad(values.reshape(count, steps, *step.source.image), frame)
    sums = np.zeros((count, steps, step.shape[0], height, width), kind)
    reach = (step.stride * (height - 1) + 1, step.stride * (width - 1) + 1)
    for row in range(step.shape[0]):
        for entry in range(starts[row], starts[row + 1]):
            channel, tap = divmod(int(step.indices[entry]), taps * taps)
            y, x = divmod(tap, taps)
            part = padded[:, :, channel, y : y + reach[0], x : x + reach[1]]
            sums[:, :, row] += data[entry] * part[:, :, :: step.stride, :: step.stride]
    return sums


def _by_row(values: Array | float, like: Array) -> Any:
    """Values of rows beside ``[.., rows, ...]``; `like` is ``[N, S, rows, ...]``."""
    shaped = np.asarray(values)
    return shaped.reshape(-1, *(1,) * (like.ndim - 3)) if shaped.ndim else shaped


def _scaled(step: Weighted, sums: Array) -> Array:
    out = sums
    if step.source.kind == "counts":
        out = out * np.float32(step.source.scale)
    if step.gain is not None:
        out = _by_row(step.gain, sums) * out
    if step.offset is not None:
        out = out + _by_row(step.offset, sums)
    return out


def _fired(step: Weighted, currents: Array, T: int) -> tuple[NDArray[np.uint8], Array]:
    neuron, fixed = step.neuron, step.fixed
    assert neuron is not None
    spikes = np.empty((len(currents), T, *currents.shape[2:]), np.uint8)
    margins = np.full(len(currents), np.inf)
    reset: Any = np.float32(neuron.v_reset)
    threshold: Any = np.float32(neuron.v_threshold)
    if fixed is not None:
        reset, threshold = (_by_row(part, currents) for part in (fixed.reset, fixed.threshold))
    v = np.zeros_like(currents[:, 0]) + reset
    for t in range(T):
        z = currents[:, min(t, currents.shape[1] - 1)]
        h = _charged(neuron, v, z) if fixed is None else _charged_fixed(fixed, v, z, reset)
        fires = h >= threshold
        spikes[:, t] = fires
        v = np.where(fires, h - threshold if neuron.soft else reset, h)
        distance = np.abs(h - threshold) / np.maximum(np.abs(threshold), 1e-30)
        margins = np.minimum(margins, distance.reshape(len(v), -1).min(axis=1, initial=np.inf))
    return spikes, margins


def _charged(neuron: Neuron, v: Array, z: Array) -> Array:
    decay, drive, rest = (np.float32(x) for x in (neuron.decay, neuron.drive, neuron.rest))
    return np.asarray(decay * v + drive * z + rest)


def _charged_fixed(fixed: Fixed, v: Array, z: Array, reset: Array) -> Array:
    leak = (v - reset) * fixed.leak >> fixed.leak_shift
    return np.asarray(v - leak + (z << fixed.fraction) + _by_row(fixed.offset, z[None]))


def _pooled(step: Pooled, values: Array) -> Array:
    size, stride = step.pool.size, step.pool.stride
    images = values.reshape(*values.shape[:2], *step.source.image)
    _, height, width = step.target.image
    out: Array | None = None
    for y in range(size):
        for x in range(size):
            part = images[:, :, :, y : y + stride * (height - 1) + 1 : stride,
                          x : x + stride * (width - 1) + 1 : stride]  # fmt: skip
            if out is None:
                out = part.astype(np.int64 if step.target.kind == "counts" else part.dtype)
            elif step.pool.kind == "max":
                out = np.maximum(out, part)
            else:
                out = out + part
    assert out is not None
    if step.pool.kind == "avg" and step.target.kind == "floats":
        out = out * np.float32(1 / size**2)
    return out
