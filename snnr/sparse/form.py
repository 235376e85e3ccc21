"""A compiled network as data: stages of CSR weights, gain and offset, neuron, pooling.

The engine runs this form, and the exports write it down. A stage computes, for every time step,

    current = gain * (weight x) + offset         gain and offset by channel (bias, BatchNorm)
    spikes  = neuron(current)                    over time
    output  = pool(spikes), then votes

each part only where it is not None. Images are ``[C, H, W]``; a stage whose weight is linear takes
the output of the stage before flattened in that order.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from snnr.checkpoint import SparseWeight
from snnr.errors import ConfigError, ShapeError
from snnr.functional import Neuron
from snnr.models import MAX_OUTPUTS
from snnr.nn import IF, AvgPool2d, BatchNorm1d, BatchNorm2d, MaxPool2d, Voting
from snnr.nn.checks import MAX_PADDING, MAX_STRIDE, whole
from snnr.sparse.source import NORMS, PLAIN, WEIGHTS, Described, Entry, made

Float = NDArray[np.float32]
Shape = tuple[int, ...]


@dataclass(frozen=True, eq=False)
class Weight:
    """Connections as CSR: row o has the entries ``indptr[o]:indptr[o + 1]`` of `data` and
    `indices`, ascending columns of ``[out, in]`` or ``[out, in*kh*kw]``.

    shape : ``(out, in)``, or ``(out, in, kh, kw)`` of a convolution.
    stride, padding : of a convolution, in both directions.
    """

    data: Float
    indices: NDArray[np.int64]
    indptr: NDArray[np.int64]
    shape: Shape
    stride: int = 1
    padding: int = 0

    @property
    def is_conv(self) -> bool:
        """Whether it is a convolution."""
        return len(self.shape) == 4

    @property
    def nonzero(self) -> int:
        """Connections (weights of a convolution's kernel count once)."""
        return int(self.data.size)

    def rows(self) -> NDArray[np.int64]:
        """The row of each entry."""
        return np.repeat(np.arange(self.shape[0]), np.diff(self.indptr))

    def dense(self) -> Float:
        """In its public shape; for tests and small networks."""
        out = np.zeros((self.shape[0], math.prod(self.shape[1:])), np.float32)
        out[self.rows(), self.indices] = self.data
        return out.reshape(self.shape)


@dataclass(frozen=True)
class Pool:
    """Pooling without padding; `kind` is "max" or "avg"."""

    kind: str
    size: int
    stride: int


@dataclass(frozen=True, eq=False)
class Stage:
    """Neighbouring layers; see above.

    layers : their paths; `weight_name` and `neuron_name` those of two of them.
    input_shape : of what the weight (or the first part there is) takes.
    current_shape : in front of pooling; output_shape : behind it and behind votes.
    neuron : its scalars; T : its time steps for a static input, None where it has none.
    vote : each output is the mean of so many neighbours.
    kept : int64, the channels of the original network that `current_shape` still has.
    channels : how many it had.
    """

    layers: tuple[str, ...]
    input_shape: Shape
    current_shape: Shape
    output_shape: Shape
    kept: NDArray[np.int64]
    channels: int
    weight: Weight | None = None
    gain: Float | None = None
    offset: Float | None = None
    neuron: Neuron | None = None
    T: int | None = None
    pool: Pool | None = None
    vote: int = 1
    weight_name: str = ""
    neuron_name: str = ""


@dataclass(frozen=True, eq=False)
class Form:
    """A network of one input shape.

    T : time steps of a static input.
    silent, unneeded : by layer, channels that were removed because they never fire, or because
        nothing reads them (`snnr.sparse.removal`).
    """

    stages: tuple[Stage, ...]
    input_shape: Shape
    T: int | None
    silent: dict[str, NDArray[np.int64]]
    unneeded: dict[str, NDArray[np.int64]]

    @property
    def output_shape(self) -> Shape:
        """Of one sample at one time step."""
        return self.stages[-1].output_shape

    @property
    def nonzero(self) -> int:
        """Connections that are left, all stages."""
        return sum(stage.weight.nonzero for stage in self.stages if stage.weight is not None)

    @property
    def neurons(self) -> dict[str, int]:
        """Neurons that are left, by layer."""
        return {s.neuron_name: math.prod(s.current_shape) for s in self.stages if s.neuron}


#: what may stand in a stage, in this order, each once
_SLOTS = (("Flatten",), ("Dropout",), WEIGHTS, tuple(NORMS), ("LIF", "IF"),
          ("MaxPool2d", "AvgPool2d"), ("Voting",))  # fmt: skip


def _grouped(entries: tuple[Entry, ...]) -> Iterator[list[Entry]]:
    """Entries by stage. A dropout stands anywhere, it does nothing here."""
    found: list[Entry] = []
    last = -1
    for entry in entries:
        if entry.kind == "Dropout":
            if found:
                found.append(entry)
            continue
        place = next(i for i, kinds in enumerate(_SLOTS) if entry.kind in kinds)
        if found and place <= last:
            yield found
            found = []
        found.append(entry)
        last = place
    if found:
        yield found


def input_shape_of(described: Described) -> Shape | None:
    """The shape of a sample: as the checkpoint has it, or as a first linear layer wants it."""
    if described.input_shape is not None:
        return described.input_shape
    for entry in described.entries:
        if entry.kind == "Linear":
            return (int(entry.arrays["weight"].shape[1]),)
        if entry.kind in ("Conv2d", "BatchNorm2d", "MaxPool2d", "AvgPool2d"):
            return None
        if entry.kind == "BatchNorm1d":
            return entry.arrays["scale"].shape
    return None


def form_of(described: Described, input_shape: Shape) -> Form:
    """The form of a network for samples of one shape; nothing is removed yet.

    Raises
    ------
    ShapeError : a layer does not take what comes to it.
    ConfigError : a layer cannot be compiled, or has more numbers than a network of a spec may.
    """
    stages = []
    shape = input_shape
    for group in _grouped(described.entries):
        stage = _stage(group, shape)
        stages.append(stage)
        shape = stage.output_shape
        most = max(map(math.prod, (stage.input_shape, stage.current_shape, shape)))
        if most > MAX_OUTPUTS:
            raise ConfigError(
                f"{stage.layers[-1]} has {most:,} numbers per image and time step, at most "
                f"{MAX_OUTPUTS:,} are allowed; give a smaller input_shape than {list(input_shape)}"
            )
    neurons = [stage for stage in stages if stage.neuron is not None]
    if not neurons:
        raise ConfigError(
            "the network has no neurons: it cannot be compiled to one that is driven by spikes"
        )
    return Form(tuple(stages), input_shape, neurons[0].T, {}, {})


def _stage(group: list[Entry], shape: Shape) -> Stage:
    parts: dict[str, Any] = {}
    for entry in group:
        if entry.kind == "Flatten":
            shape = (math.prod(shape),)
        first = shape
        if entry.kind in WEIGHTS:
            parts["weight"], shape = _weight(entry, shape)
            parts["weight_name"] = entry.name
            if "bias" in entry.arrays:
                parts["offset"] = entry.arrays["bias"]
        elif entry.kind in NORMS:
            _fold(entry, shape, parts)
        elif entry.kind != "Flatten" and entry.kind in PLAIN:
            shape = _plain(entry, shape, parts)
        if "input_shape" not in parts and entry.kind != "Flatten":
            parts["input_shape"] = first
        if entry.kind not in ("MaxPool2d", "AvgPool2d", "Voting"):
            parts["current_shape"] = shape
    parts.setdefault("input_shape", shape)
    parts.setdefault("current_shape", parts["input_shape"])
    channels = parts["current_shape"][0]
    return Stage(
        layers=tuple(entry.name for entry in group), output_shape=shape,
        kept=np.arange(channels), channels=channels, **parts,
    )  # fmt: skip


def _plain(entry: Entry, shape: Shape, parts: dict[str, Any]) -> Shape:
    """A layer without arrays; returns the shape behind it."""
    layer = made(entry)
    if isinstance(layer, IF):
        parts |= {"neuron": layer.neuron(), "T": layer.T, "neuron_name": entry.name}
    elif isinstance(layer, MaxPool2d):
        kind = "avg" if isinstance(layer, AvgPool2d) else "max"
        parts["pool"] = Pool(kind, layer.kernel_size, layer.stride)
    elif isinstance(layer, Voting):
        parts["vote"] = layer.group
    return layer.output_shape(shape)


def _weight(entry: Entry, shape: Shape) -> tuple[Weight, Shape]:
    stored: SparseWeight = entry.arrays["weight"]
    kept = stored.data != 0  # a stored -0.0 is none
    if kept.all():
        data, indices, indptr = stored.data, stored.indices, stored.indptr
    else:
        indptr = np.concatenate([[0], np.cumsum(kept)])[stored.indptr]
        data, indices = stored.data[kept], stored.indices[kept]
    settings = entry.settings
    if entry.kind == "Linear":
        if shape != (stored.shape[1],):
            raise ShapeError(
                f"{entry.name} takes samples of [{stored.shape[1]}], not {list(shape)}"
            )
        return Weight(data, indices, indptr, stored.shape), (stored.shape[0],)
    stride, padding = settings.get("stride", 1), settings.get("padding", 0)
    outputs, inputs, taps, across = stored.shape
    if taps != across or not isinstance(stride, int) or not isinstance(padding, int):
        raise entry.refuse(
            f"its kernel ({taps} by {across}), stride (={stride}) and padding (={padding}) must be "
            "square; run the dense network instead"
        )
    groups = settings.get("groups", 1)
    whole(entry.name, most=MAX_STRIDE, stride=stride)
    whole(entry.name, least=0, most=MAX_PADDING, padding=padding)
    if groups != 1 and outputs % whole(entry.name, groups=groups):
        raise entry.refuse(f"groups (={groups}) do not divide its {outputs} channels")
    if groups > 1:
        # columns of the group's own channels become columns of all of them
        rows = np.repeat(np.arange(outputs), np.diff(indptr))
        indices = indices + rows // (outputs // groups) * (inputs * taps * taps)
        inputs *= groups
    if len(shape) != 3 or shape[0] != inputs:
        raise ShapeError(f"{entry.name} takes samples of [{inputs}, H, W], not {list(shape)}")
    size = [(side + 2 * padding - taps) // stride + 1 for side in shape[1:]]
    if min(shape[1:]) + 2 * padding < taps:
        raise ShapeError(f"{entry.name} is larger than the padded image, {list(shape)}")
    dense = (outputs, inputs, taps, taps)
    return Weight(data, indices, indptr, dense, stride, padding), (outputs, *size)


def _fold(entry: Entry, shape: Shape, parts: dict[str, Any]) -> None:
    """BatchNorm with its running statistics, in the arithmetic of the dense network."""
    scale, shift, mean, var = (
        entry.arrays[key] for key in ("scale", "shift", "running_mean", "running_var")
    )
    if len(shape) not in (1, 3) or shape[0] != scale.size:
        raise ShapeError(f"{entry.name} takes samples of {scale.size} channels, not {list(shape)}")
    norm = made(entry)
    assert isinstance(norm, BatchNorm1d | BatchNorm2d)
    with np.errstate(all="ignore"):
        inverse = (1.0 / np.sqrt(var.astype(np.float64) + norm.eps)).astype(np.float32)
        gain = scale * inverse
        offset = shift - mean * gain
        if "offset" in parts:  # of a bias
            offset = offset + gain * parts["offset"]
    if not (np.isfinite(gain).all() and np.isfinite(offset).all()):
        raise entry.refuse("its numbers are so large that what it gives is not finite")
    parts |= {"gain": gain, "offset": offset}


def without_rows(stage: Stage, keep: NDArray[np.bool_]) -> Stage:
    """The stage without some of its channels."""
    weight = stage.weight
    assert weight is not None
    assert stage.vote == 1
    rows = weight.rows()
    entries = keep[rows]
    counts = np.diff(weight.indptr)[keep]
    left = Weight(
        weight.data[entries], weight.indices[entries],
        np.concatenate([[0], np.cumsum(counts)]), (int(keep.sum()), *weight.shape[1:]),
        weight.stride, weight.padding,
    )  # fmt: skip
    count = int(keep.sum())
    return replace(
        stage, weight=left, kept=stage.kept[keep],
        gain=None if stage.gain is None else stage.gain[keep],
        offset=None if stage.offset is None else stage.offset[keep],
        current_shape=(count, *stage.current_shape[1:]),
        output_shape=(count, *stage.output_shape[1:]),
    )  # fmt: skip


def without_columns(stage: Stage, keep: NDArray[np.bool_]) -> Stage:
    """The stage without what it reads from some channels of the stage before."""
    weight = stage.weight
    assert weight is not None
    per = math.prod(weight.shape[1:]) // keep.size  # columns of a channel
    channel = weight.indices // per
    entries = keep[channel]
    place = np.cumsum(keep) - 1
    indices = (place[channel] * per + weight.indices % per)[entries]
    ends = np.concatenate([[0], np.cumsum(entries)])
    count = int(keep.sum())
    if weight.is_conv:
        shape, inputs = (weight.shape[0], count, *weight.shape[2:]), stage.input_shape[1:]
        input_shape = (count, *inputs)
    else:
        shape, input_shape = (weight.shape[0], count * per), (count * per,)
    left = Weight(
        weight.data[entries], indices, ends[weight.indptr], shape, weight.stride, weight.padding
    )
    return replace(stage, weight=left, input_shape=input_shape)
