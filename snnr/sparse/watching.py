"""What a compiled network does on images: rates and operations, and where it differs from the dense
network."""

from collections.abc import Iterator
from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from snnr.kernels import rules
from snnr.nn import Sequential
from snnr.sparse.built import Built
from snnr.sparse.form import Float, Form, Stage
from snnr.sparse.kernels import groups
from snnr.sparse.kernels.fields import BITS, OP, OUT_AT, OUT_PITCH, PIXELS, STATIC
from snnr.sparse.plan import Op, Plan, Wiring
from snnr.tensor import Tensor, no_grad

Array = NDArray[Any]
_RULES: Any = rules
#: images that are watched at a time
_IMAGES = 16


@dataclass(frozen=True)
class Stats:
    """What is left of a network, and with images what it did.

    connections : by weight layer, those that are left.
    neurons : by neuron layer, those that are left; silent, unneeded : channels that were removed.
    images : how many were counted. Of each neuron layer, the spikes of every neuron that is left
        (spikes, int64, as the layer's images lie); over neurons that are left and those that
        are silent: spikes per neuron, time step and image (firing_rates), and the share that did
        not fire once (silent_shares). Per image, how often a spike met a connection
        (synaptic_operations) or an analog input did (multiply_accumulates).
    """

    connections: dict[str, int]
    neurons: dict[str, int]
    silent: dict[str, int]
    unneeded: dict[str, int]
    images: int
    spikes: dict[str, Array]
    firing_rates: dict[str, float]
    silent_shares: dict[str, float]
    synaptic_operations: dict[str, float]
    multiply_accumulates: dict[str, float]


@dataclass(frozen=True)
class Comparison:
    """A compiled network beside the dense one.

    spikes : how many were compared; differing : by neuron layer, how many are not the same (one
        that is not starts others in the layers behind it).
    images, predictions : images that were compared, and those with another prediction.
    margin : of the spikes that differ in an image's first layer that does, the largest distance of
        the potential (in float64) from the threshold; 0 where none differs.
    """

    spikes: int
    differing: dict[str, int]
    images: int
    predictions: int
    margin: float


def unpacked(words: NDArray[np.uint64], S: int, G: int) -> NDArray[np.uint8]:
    """Spikes ``[S, G, places]`` of words ``[places, Q]``."""
    octets = words.astype("<u8").view(np.uint8)
    lanes = np.unpackbits(octets, axis=1, bitorder="little")[:, : S * G]
    return lanes.reshape(len(words), S, G).transpose(1, 2, 0)


class Watched:
    """One group after the other of a batch, with everything that lies in the workspace."""

    def __init__(self, built: Built, T: int) -> None:
        self.built, self.wiring = built, built.wiring
        self.plan = Plan(built.wiring, STATIC, _IMAGES, T, watched=True)
        self.words, self.floats = self.plan.workspace()

    def groups(self, x: Array, rates: Float) -> Iterator[tuple[int, int]]:
        """Run; after each group, the images ``i:j`` that lie in the workspace."""
        nothing = np.zeros((0, 0), np.float32)
        for i in range(0, len(x), _IMAGES):
            j = min(i + _IMAGES, len(x))
            space = self.words, self.floats
            groups.run_alone(
                *self.built.arguments(self.plan, x[i:j], nothing, space, rates[i:j], nothing)
            )
            yield i, j

    def values(self, number: int, images: int) -> Array:
        """Buffer `number` (0 lies behind the first operation) as ``[S, images, C, H, W]``."""
        plan, place = self.plan, self.wiring.places[number + 1]
        kind, at, pitch = plan.buffers[number]
        if kind == BITS:
            found: Array = unpacked(
                self.words[0, at : at + place.size * pitch].reshape(-1, pitch), plan.S, plan.G
            )
        else:
            rows = self.floats[0, at : at + place.size * pitch].reshape(-1, pitch)
            found = rows[:, : plan.lanes].reshape(-1, plan.S, plan.G).transpose(1, 2, 0)
        inside = found.reshape(*found.shape[:2], place.channels, -1, place.wide)
        edge = place.padding
        inside = inside[..., edge : edge + place.height, edge : edge + place.width]
        return inside[:, :images]


def stats(form: Form, watched: Watched | None, x: Array | None) -> Stats:
    """See `Stats`."""
    told = Stats(
        connections={s.weight_name: s.weight.nonzero for s in form.stages if s.weight},
        neurons=form.neurons,
        silent={name: len(gone) for name, gone in form.silent.items()},
        unneeded={name: len(gone) for name, gone in form.unneeded.items()},
        images=0 if x is None else len(x), spikes={}, firing_rates={}, silent_shares={},
        synaptic_operations={}, multiply_accumulates={},
    )  # fmt: skip
    if watched is not None and x is not None and len(x):
        _count(watched, x, told)
    return told


def _count(watched: Watched, x: Array, told: Stats) -> None:
    """Fill in what the network does on images."""
    ops = watched.wiring.ops
    totals: dict[int, Array] = {}
    out = np.empty((len(x), prod(watched.wiring.form.output_shape)), np.float32)
    for i, j in watched.groups(x, out):
        for number in range(len(ops)):
            if watched.plan.buffers[number][0] == BITS:
                fired = watched.values(number, j - i).sum(axis=(0, 1), dtype=np.int64)
                totals[number] = totals.get(number, 0) + fired
    for number, op in enumerate(ops):
        stage = op.stage
        if op.pooling:
            continue
        positions = prod(stage.current_shape[1:])
        if stage.neuron is not None:
            name, fired = stage.neuron_name, totals[number]
            told.spikes[name] = fired
            gone = told.silent.get(name, 0) * positions
            times = (fired.size + gone) * watched.plan.S * len(x)
            told.firing_rates[name] = float(fired.sum() / times)
            quiet = np.count_nonzero(fired == 0) + gone
            told.silent_shares[name] = float(quiet / (fired.size + gone))
        if stage.weight is None:
            continue
        if number > 0 and number - 1 in totals:
            met = operations(stage, totals[number - 1])
            told.synaptic_operations[stage.weight_name] = met / len(x)
        else:
            steps = 1 if number == 0 else watched.plan.S
            macs = stage.weight.nonzero * positions * steps
            told.multiply_accumulates[stage.weight_name] = float(macs)


def operations(stage: Stage, spikes: Array) -> int:
    """Times that a spike met a connection; `spikes` of each input ``[C, H, W]``."""
    weight = stage.weight
    assert weight is not None
    if not weight.is_conv:
        return int(np.bincount(weight.indices, minlength=spikes.size) @ spikes.reshape(-1))
    edge, step = weight.padding, weight.stride
    padded = np.pad(spikes.reshape(stage.input_shape), ((0, 0), (edge, edge), (edge, edge)))
    taps = weight.shape[2:]
    fan_out = np.bincount(weight.indices, minlength=prod(weight.shape[1:])).reshape(-1, *taps)
    height, width = stage.current_shape[1:]
    total = 0
    for i in range(taps[0]):
        for j in range(taps[1]):
            read = padded[:, i : i + step * height : step, j : j + step * width : step]
            total += int(fan_out[:, i, j] @ read.sum(axis=(1, 2)))
    return total


def compare(watched: Watched, network: Sequential, x: Array, dense_input: Float) -> Comparison:
    """See `Comparison`; `dense_input` are the images as the dense network takes them."""
    wiring = watched.wiring
    form = wiring.form
    was = [(layer, layer.training) for layer in network.layers()]
    network.eval()
    rates = np.empty((len(x), prod(form.output_shape)), np.float32)
    differing = {s.neuron_name: 0 for s in form.stages if s.neuron is not None}
    total, other, margin = 0, 0, 0.0
    try:
        for i, j in watched.groups(x, rates):
            seen: dict[str, Array] = {}
            with no_grad(), network.observed(_keeper(seen), spikes=True):
                out = network(Tensor(dense_input[i:j], device=network.device)).numpy()
            told = out.mean(axis=0, dtype=np.float32).reshape(j - i, -1)
            mine = rates[i:j]
            other += int((told.argmax(axis=1) != mine.argmax(axis=1)).sum())
            clean = np.ones(j - i, bool)
            for number, op in enumerate(wiring.ops):
                stage = op.stage
                if stage.neuron is None or op.pooling:
                    continue
                spikes = watched.values(number, j - i)
                dense = seen[stage.neuron_name].reshape(*spikes.shape[:2], stage.channels, -1)
                gone = np.setdiff1d(form.silent.get(stage.neuron_name, []), stage.kept)
                wrong = int(dense[:, :, gone.astype(int)].sum())
                dense = dense[:, :, stage.kept].reshape(spikes.shape)
                off = spikes != dense
                total += off.size
                differing[stage.neuron_name] += int(off.sum()) + wrong
                margin = max(margin, _margin(watched, number, op, off & clean[:, None, None, None]))
                clean &= ~off.any(axis=(0, 2, 3, 4))
    finally:
        for layer, mode in was:
            layer.training = mode
    return Comparison(total, differing, len(x), other, float(margin))


def _keeper(seen: dict[str, Array]) -> Any:
    def keep(name: str, out: Tensor) -> None:
        if out.dtype == np.uint8:
            seen[name] = out.numpy()

    return keep


def _margin(watched: Watched, number: int, op: Op, off: Array) -> float:
    """Largest distance of a potential from its threshold where a first spike differs."""
    if not off.any():
        return 0.0
    wiring, neuron = watched.wiring, op.stage.neuron
    assert neuron is not None
    inputs = _inputs(watched, number, off.shape[1])
    farthest = 0.0
    for n, c, y, z in np.argwhere(off.any(axis=0)).tolist():
        current = _current(wiring, number, op, inputs[:, n], c, y, z)
        v = neuron.v_reset
        for t in range(len(off)):
            h = _RULES.charge(v, current[t % len(current)], neuron.decay, neuron.drive, neuron.rest)
            if off[t, n, c, y, z]:
                farthest = max(farthest, abs(h - neuron.v_threshold))
                break
            s = float(h >= neuron.v_threshold)
            v = (
                _RULES.reset_soft(h, s, neuron.v_threshold) if neuron.soft
                else _RULES.reset_hard(h, s, neuron.v_reset)
            )  # fmt: skip
    return farthest


def _inputs(watched: Watched, number: int, images: int) -> Array:
    """What an operation read, float64 ``[S or 1, images, places]``."""
    plan, place = watched.plan, watched.wiring.places[number]
    if number > 0:
        values = watched.values(number - 1, images)
        edge = place.padding
        pads = ((0, 0), (0, 0), (0, 0), (edge, edge), (edge, edge))
        return np.pad(values, pads).reshape(*values.shape[:2], -1).astype(np.float64)
    row = plan.head
    at = row[OUT_AT]
    if row[OP] == PIXELS:
        flat = watched.floats[0, at : at + images * place.size].reshape(1, images, -1)
    else:
        pitch = row[OUT_PITCH]
        flat = watched.floats[0, at : at + place.size * pitch].reshape(-1, pitch).T[None, :images]
    return flat.astype(np.float64)


def _current(wiring: Wiring, number: int, op: Op, inputs: Array, c: int, y: int, x: int) -> Array:
    """Current of a neuron at each step, in float64."""
    stage, place = op.stage, wiring.places[number]
    weight = stage.weight
    if weight is None:
        total = inputs[:, place.start + c * place.plane + y * place.wide + x]
    else:
        start = wiring.first[wiring.rows[number] + c : wiring.rows[number] + c + 2]
        entries = slice(*start)
        base = weight.stride * (y * place.wide + x) if weight.is_conv else 0
        places = wiring.index[entries].astype(np.int64) + base
        total = inputs[:, places] @ wiring.value[entries].astype(np.float64)
    gain = 1.0 if stage.gain is None else float(stage.gain[c])
    offset = 0.0 if stage.offset is None else float(stage.offset[c])
    return gain * total + offset


__all__ = ["Comparison", "Stats", "Watched", "compare", "operations", "stats"]
