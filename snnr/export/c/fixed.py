"""Fixed point: weights of 8 or 16 bits, potentials of 32, no multiplication but of raw images.

The potentials of a neuron are counted in a unit of its own, chosen so that a sum of its whole
weights, times a power of two, is the current itself: with ``w = scale*W`` (the gain of a BatchNorm
in it), inputs in units of `unit` and ``U = drive*scale*unit / 2**fraction``,

    v/U <- v/U - (v/U - v_reset/U)/tau + (sum W x) * 2**fraction + drive*offset/U

so that threshold, reset and offset become whole numbers, and nothing is scaled in between. Where
tau is a power of two the leak is a shift. Weights and fraction are as fine as no overflow allows:
potentials stay below 2**30 whatever the image.
"""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from snnr.errors import ConfigError
from snnr.functional import Neuron
from snnr.sparse.form import Float, Stage, Weight
from snnr.sparse.source import Normalisation

Whole = NDArray[np.int64]

_LIMIT = 2.0**30
_FRACTION = 8
#: pixels are below this in size
_PIXELS = 2**12
_PIXEL_SHIFT = 15
LEAK_BITS = 15


@dataclass(frozen=True, eq=False)
class PixelScale:
    """Pixels by channel: ``(pixel*factor + term) >> shift``, in units of ``2**-bits``.

    largest : of their sizes.
    """

    factor: Whole
    term: Whole
    shift: int
    bits: int
    largest: int

    def table(self) -> Whole:
        """The whole number of each of the 256 pixels, ``[C, 256]``."""
        return (np.arange(256) * self.factor[:, None] + self.term[:, None]) >> self.shift


@dataclass(frozen=True, eq=False)
class Fixed:
    """Neurons in whole numbers.

    threshold, reset, offset : by row, in the units of the row.
    fraction : sums of weights count ``2**fraction`` each.
    leak : the leak is ``(v - reset)*leak >> leak_shift``; 1 where it is a shift alone, 0 for none.
    unit : of each row, as a potential of the network.
    """

    threshold: Whole
    reset: Whole
    offset: Whole
    fraction: int
    leak: int
    leak_shift: int
    unit: NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Quantized:
    """Weights in whole numbers, ``scale`` by row, and what their neurons need."""

    weights: NDArray[Any]
    scale: NDArray[np.float64]
    neurons: Fixed


def image_scale(normal: Normalisation) -> PixelScale:
    """Whole numbers for normalised pixels."""
    spread = normal.std.astype(np.float64)
    low, step = -normal.mean / spread, 1 / (255 * spread)
    largest = float(np.abs(normal.table()).max())
    bits = int(math.log2(_PIXELS) - math.ceil(math.log2(max(largest, 2**-10))))
    one = 2.0 ** (bits + _PIXEL_SHIFT)
    factor = np.rint(step * one).astype(np.int64)
    term = np.rint(low * one).astype(np.int64) + (1 << (_PIXEL_SHIFT - 1))
    found = PixelScale(factor, term, _PIXEL_SHIFT, bits, 0)
    return PixelScale(factor, term, _PIXEL_SHIFT, bits, int(np.abs(found.table()).max()))


def quantized(
    stage: Stage,
    weight: Weight,
    neuron: Neuron,
    T: int,
    kind: str,
    per: str,
    unit: float,
    largest: int,
) -> Quantized:
    """The weights and neurons of a stage in whole numbers.

    unit, largest : what an input counts, and the largest whole number that it is.

    Raises
    ------
    ConfigError : potentials do not fit 32 bits.
    """
    rows = weight.rows()
    values = weight.data.astype(np.float64)
    if stage.gain is not None:
        values = values * stage.gain.astype(np.float64)[rows]
    offset = np.zeros(weight.shape[0])
    if stage.offset is not None:
        offset = neuron.drive * stage.offset.astype(np.float64)
    top = np.zeros(weight.shape[0])
    np.maximum.at(top, rows, np.abs(values))
    horizon = float(T) if neuron.decay == 1 else min(T, 1 / (1 - neuron.decay))
    # what has to fit beside the weights, in units of the network
    beside = np.maximum(4 * max(abs(neuron.v_threshold), abs(neuron.v_reset)),
                        8 * horizon * np.abs(offset))  # fmt: skip
    most = int(np.iinfo(kind).max)
    choices = [(most, bits) for bits in range(_FRACTION, -1, -1)]
    choices += [(most >> cut, 0) for cut in range(1, 14) if most >> cut >= 7]
    for levels, fraction in choices:
        one = neuron.drive * unit / 2.0**fraction
        scale = np.maximum(top / levels, beside / (_LIMIT * one))
        scale[scale == 0] = 1.0
        if per == "layer":
            scale[:] = scale.max()
        whole = np.rint(values / scale[rows]).astype(np.int64)
        push = np.bincount(rows, np.abs(whole), weight.shape[0]) * largest * 2.0**fraction
        neurons = _neurons(neuron, offset, scale * one, fraction)
        bound = 2 * np.abs(neurons.reset) + horizon * (push + np.abs(neurons.offset)) + T
        if bound.max(initial=0) < _LIMIT:
            return Quantized(whole.astype(kind), scale, neurons)
    raise ConfigError(
        f"{stage.layers[0]}: potentials do not fit 32 bits in fixed point; export it in floating "
        "point"
    )


def _neurons(
    neuron: Neuron, offset: NDArray[np.float64], unit: NDArray[np.float64], fraction: int
) -> Fixed:
    leak, shift = 0, 0
    if neuron.decay != 1:
        places = math.log2(1 / (1 - neuron.decay))
        whole = abs(places - round(places)) < 1e-9
        leak = 1 if whole else round((1 - neuron.decay) * 2**LEAK_BITS)
        shift = round(places) if whole else LEAK_BITS
    threshold, reset, start = (
        np.rint(np.asarray(value) / unit).astype(np.int64)
        for value in (neuron.v_threshold, neuron.v_reset, offset)
    )
    return Fixed(threshold, reset, start, fraction, leak, shift, unit)


def as_float(fixed: Fixed, potentials: Whole) -> Float:
    """Potentials ``[.., rows]`` in units of the network."""
    return (potentials * fixed.unit).astype(np.float32)
