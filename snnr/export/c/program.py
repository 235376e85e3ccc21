"""What the C code does, step by step, as data: written down by `text`, run by `emulate`.

A network runs stage by stage, each over all time steps of an image: the spikes of a neuron are the
bits of one word, so that potentials live in registers and a stage decodes its weights once for an
image, not once for a time step.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from snnr.errors import ConfigError
from snnr.export.c.fixed import Fixed, PixelScale, Quantized, image_scale, quantized
from snnr.export.c.indices import Columns, encoded, smallest
from snnr.export.network import Exported
from snnr.functional import Neuron
from snnr.sparse.form import Float, Pool, Shape, Stage, Weight
from snnr.sparse.source import Normalisation

#: spikes of a neuron are the bits of a word
MAX_STEPS = 64
WORDS = {8: "uint8_t", 16: "uint16_t", 32: "uint32_t", 64: "uint64_t"}


@dataclass(frozen=True)
class Values:
    """What lies between two steps: `shape` places, each with `steps` values.

    kind : "pixels" (uint8, static), "floats", "spikes" (a word of bits, one for each of `steps`),
        or "counts" (of spikes in a window).
    top : the largest count.
    scale : what a count is worth, ``value = count * scale``.
    """

    kind: str
    shape: Shape
    steps: int
    top: int = 1
    scale: float = 1.0

    @property
    def size(self) -> int:
        """Places."""
        return math.prod(self.shape)

    @property
    def ctype(self) -> str:
        """Type of an element in C."""
        if self.kind == "floats":
            return "float"
        if self.kind == "spikes":
            return WORDS[next(bits for bits in WORDS if self.steps <= bits)]
        return f"{np.dtype(smallest(self.top))}_t" if self.kind == "counts" else "uint8_t"

    @property
    def per_place(self) -> int:
        """Elements of a place."""
        return 1 if self.kind == "spikes" else self.steps

    @property
    def bytes(self) -> int:
        """Bytes of all."""
        widths = {"float": 4, **{word: bits // 8 for bits, word in WORDS.items()}}
        return self.size * self.per_place * widths[self.ctype]

    @property
    def image(self) -> tuple[int, int, int]:
        """Channels, height and width."""
        if len(self.shape) == 1:
            return self.shape[0], 1, 1
        channels, height, width = self.shape
        return channels, height, width


@dataclass(frozen=True, eq=False)
class Weighted:
    """Sums of weights, a BatchNorm, neurons.

    layers : their paths, for comments and messages.
    weights : float32, int8 or int16, as CSR rows of `counts` entries.
    shape, stride, padding : as of `snnr.sparse.form.Weight`.
    gain, offset : by row, in floating point; None where there is none.
    fixed : the neurons in fixed point; None in floating point.
    """

    layers: tuple[str, ...]
    source: Values
    target: Values
    weights: NDArray[Any]
    columns: Columns
    indices: NDArray[np.int64]
    counts: NDArray[Any]
    shape: Shape
    stride: int
    padding: int
    gain: Float | None
    offset: Float | None
    neuron: Neuron | None
    fixed: Fixed | None

    @property
    def arrays(self) -> list[NDArray[Any]]:
        """The tables of weights."""
        return [self.weights, self.columns.values, self.counts]


@dataclass(frozen=True, eq=False)
class Pooled:
    """Pooling of spikes, counts or floats."""

    layers: tuple[str, ...]
    source: Values
    target: Values
    pool: Pool


Step = Weighted | Pooled


@dataclass(frozen=True, eq=False)
class Program:
    """A network as steps.

    T : time steps. vote : an output is the mean of so many neighbours.
    quantize : "int8", "int16", or None for float32.
    normalisation : of the pixels in floating point; pixels : their scale in fixed point.
    """

    steps: tuple[Step, ...]
    T: int
    vote: int
    quantize: str | None
    normalisation: Normalisation | None
    pixels: PixelScale | None

    @property
    def source(self) -> Values:
        """The input."""
        return self.steps[0].source

    @property
    def output(self) -> Values:
        """What the last step leaves."""
        return self.steps[-1].target

    @property
    def classes(self) -> int:
        """Outputs."""
        return self.output.size // self.vote

    @property
    def answer(self) -> str:
        """C type of an output: a sum over time steps and votes."""
        if self.output.kind == "floats":
            return "float"
        return f"{np.dtype(smallest(self.output.top * self.T * self.vote))}_t"

    @property
    def scale(self) -> float:
        """rate = answer * scale."""
        return self.output.scale / (self.output.steps * self.vote)


def program_of(network: Exported, quantize: str | None = None, per: str = "channel") -> Program:
    """The steps of a network.

    Parameters
    ----------
    quantize : "int8" or "int16" weights with int32 potentials; None for float32.
    per : in fixed point, one scale for each "channel" of a layer, or one for the "layer".

    Raises
    ------
    ConfigError : a setting or a layer that cannot be written so; it is named.
    """
    if quantize not in (None, "int8", "int16"):
        raise ConfigError(f"quantize (={quantize!r}) must be int8, int16 or None")
    if per not in ("channel", "layer"):
        raise ConfigError(f"per (={per!r}) must be channel or layer")
    if network.T > MAX_STEPS:
        raise ConfigError(
            f"T (={network.T}) exceeds {MAX_STEPS}: the spikes of a neuron are the bits of a word "
            "there; give a smaller T"
        )
    normal = network.normalisation
    if quantize is not None and normal is None:
        raise ConfigError(
            "fixed point needs to know how images are normalised: give mean and std, of pixels "
            "scaled to 0..1"
        )
    stages = [stage for stage in network.form.stages if _does_something(stage)]
    kind = "floats" if normal is None else "pixels"
    values = Values(kind, network.form.input_shape, 1, 255)
    scale = None
    if quantize is not None and normal is not None:
        scale = image_scale(normal)
    steps: list[Step] = []
    for stage in stages:
        for step in _steps(stage, values, network.T, quantize, per, scale):
            steps.append(step)
            values = step.target
        if stage.vote > 1 and stage is not stages[-1]:
            raise ConfigError(f"{stage.layers[-1]}: votes are written as C at the end alone")
    if not any(step.target.kind == "spikes" for step in steps):
        raise ConfigError("the network has no neurons")
    return Program(tuple(steps), network.T, stages[-1].vote, quantize, normal, scale)


def _does_something(stage: Stage) -> bool:
    parts = (stage.weight, stage.gain, stage.neuron, stage.pool)
    return any(part is not None for part in parts) or stage.vote > 1


def first_weight(stage: Stage) -> Weight:
    """The weight of a stage; one that has none multiplies each channel by 1."""
    if stage.weight is not None:
        return stage.weight
    channels = stage.current_shape[0]
    each = np.arange(channels)
    shape = (channels, channels, 1, 1) if len(stage.current_shape) == 3 else (channels, channels)
    return Weight(np.ones(channels, np.float32), each, np.arange(channels + 1), shape)


def _steps(
    stage: Stage, values: Values, T: int, quantize: str | None, per: str, scale: PixelScale | None
) -> Iterator[Step]:
    if stage.weight is not None or stage.gain is not None or stage.neuron is not None:
        step = _weighted(stage, values, T, quantize, per, scale)
        yield step
        values = step.target
    if stage.pool is not None:
        yield _pooled(stage, stage.pool, values)


def _weighted(
    stage: Stage, values: Values, T: int, quantize: str | None, per: str, scale: PixelScale | None
) -> Weighted:
    weight, neuron = first_weight(stage), stage.neuron
    if neuron is not None:
        target = Values("spikes", stage.current_shape, T)
    elif quantize is None:
        target = Values("floats", stage.current_shape, values.steps)
    else:
        raise ConfigError(
            f"{stage.layers[0]} has no neurons behind it, which fixed point needs; export it in "
            "floating point"
        )
    source = values
    if not weight.is_conv and len(values.shape) == 3 and values.kind != "pixels":
        source = Values(values.kind, (values.size,), values.steps, values.top, values.scale)
    made: Quantized | None = None
    data: NDArray[Any] = weight.data
    indices, indptr = weight.indices, weight.indptr
    if quantize is not None:
        assert neuron is not None
        unit, largest = values.scale, values.top
        if values.kind == "pixels":
            assert scale is not None
            unit, largest = 2.0**-scale.bits, scale.largest
        made = quantized(stage, weight, neuron, T, quantize, per, unit, largest)
        kept = made.weights != 0
        data, indices = made.weights[kept], indices[kept]
        indptr = np.concatenate([[0], np.cumsum(kept)])[indptr]
    counts = np.diff(indptr)
    return Weighted(
        stage.layers, source, target, data, encoded(indices, indptr), indices,
        counts.astype(smallest(int(counts.max(initial=0)))), weight.shape, weight.stride,
        weight.padding, *((stage.gain, stage.offset) if made is None else (None, None)),
        neuron, None if made is None else made.neurons,
    )  # fmt: skip


def _pooled(stage: Stage, pool: Pool, values: Values) -> Pooled:
    if values.kind == "pixels":
        raise ConfigError(
            f"{stage.layers[0]} pools raw images, which is not written as C: pool them before, and "
            "train on those"
        )
    kind, steps, top, scale = values.kind, values.steps, values.top, values.scale
    if pool.kind == "avg" and kind != "floats":
        top, kind, scale = top * pool.size**2, "counts", scale / pool.size**2
        if top > np.iinfo(np.uint16).max:
            raise ConfigError(f"{stage.layers[0]} averages too many spikes for 16 bits")
    target = Values(kind, stage.output_shape, steps, top, scale)
    return Pooled(stage.layers, values, target, pool)
