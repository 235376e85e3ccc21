"""From the form of a network to the tables that its kernels walk.

`Wiring` holds what a form needs whatever comes in: lists of connections as distances between
places, gains and offsets, neurons. A `Plan` says where everything lies for groups of G images over
S steps.
"""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from snnr.errors import ConfigError
from snnr.sparse.form import Form, Shape, Stage
from snnr.sparse.kernels import fields as f
from snnr.sparse.kernels.lanes import critical_currents

#: lanes of a group of several images
MOST_LANES = 4096

Float = NDArray[np.float32]
Int = NDArray[np.int64]


@dataclass(frozen=True)
class Place:
    """How a buffer lies: channels of height x width in a ring of zeros."""

    channels: int
    height: int
    width: int
    padding: int

    @property
    def wide(self) -> int:
        """Places from a pixel to the one below."""
        return self.width + 2 * self.padding

    @property
    def plane(self) -> int:
        """Places of a channel."""
        return (self.height + 2 * self.padding) * self.wide

    @property
    def start(self) -> int:
        """Where the first pixel lies."""
        return self.padding * self.wide + self.padding

    @property
    def size(self) -> int:
        """All places."""
        return self.channels * self.plane


@dataclass(frozen=True, eq=False)
class Op:
    """One operation: a stage's neurons, or its pooling."""

    stage: Stage
    pooling: bool
    shape: Shape
    number: int  #: of the stage


def _image(shape: Shape) -> tuple[int, int, int]:
    return (shape[0], shape[1], shape[2]) if len(shape) == 3 else (shape[0], 1, 1)


class Wiring:
    """The arrays of a form, and how its buffers lie.

    first, index, value : lists one after the other; rows by output (`rows` of an operation), and
        once more by input, of linear stages (`columns`), or as 64 times the row of pixels plus the
        distance in it, of convolutions (`runs`).
    affine : pairs of gain and offset.
    scalars : six for each neuron layer: decay, drive, rest, threshold, reset, soft.
    """

    def __init__(self, form: Form) -> None:
        self.form = form
        self.ops: list[Op] = []
        for number, stage in enumerate(form.stages):
            if stage.vote > 1 and number < len(form.stages) - 1:
                raise ConfigError(
                    f"{stage.layers[-1]} (Voting) cannot be compiled: it stands before other "
                    "layers; let it be the last one"
                )
            if stage.weight is not None or stage.neuron is not None or stage.gain is not None:
                self.ops.append(Op(stage, False, stage.current_shape, number))
            if stage.pool is not None:
                behind = stage.output_shape
                if stage.vote > 1:
                    raise ConfigError(f"{stage.layers[-1]} (Voting) takes no images")
                self.ops.append(Op(stage, True, behind, number))
        self.vote = form.stages[-1].vote
        self._lay_out()
        self._list()

    def _lay_out(self) -> None:
        """The buffer in front of each operation, and the last one."""
        self.places: list[Place] = []
        shapes = [self.form.input_shape, *(op.shape for op in self.ops)]
        for number, shape in enumerate(shapes):
            padding = 0
            if number < len(self.ops):
                op = self.ops[number]
                weight = op.stage.weight
                if not op.pooling and weight is not None:
                    padding = weight.padding if weight.is_conv else 0
                    if weight.is_conv and len(shape) == 1:
                        shape = op.stage.input_shape
            self.places.append(Place(*_image(shape), padding))

    def _list(self) -> None:
        first: list[Int] = []
        index: list[Int] = []
        value: list[Float] = []
        affine: list[Float] = []
        scalars: list[list[float]] = []
        self.rows, self.columns, self.runs = [], [], []
        self.affine_at, self.neuron_at = [], []
        entries, starts, state = 0, 0, 0
        self.state_at: list[int] = []

        def add(indptr: Int, places: Int, data: Float) -> int:
            nonlocal entries, starts
            at = starts
            first.append(indptr + entries)
            index.append(places)
            value.append(data)
            starts += indptr.size
            entries += data.size
            return at

        for op, before in zip(self.ops, self.places, strict=False):
            stage, weight = op.stage, op.stage.weight
            own = not op.pooling
            rows = columns = runs = affine_at = neuron_at = -1
            if own and weight is not None:
                places = weight.indices
                if weight.is_conv:
                    taps = weight.shape[2] * weight.shape[3]
                    channel, tap = places // taps, places % taps
                    i, j = tap // weight.shape[3], tap % weight.shape[3]
                    places = channel * before.plane + i * before.wide + j
                rows = add(weight.indptr, places, weight.data)
                if weight.is_conv and weight.stride == 1 and before.wide <= f.WIDEST_ROW:
                    code = places // before.wide * 64 + places % before.wide
                    runs = add(weight.indptr, code, weight.data)
                if not weight.is_conv:
                    columns = add(*_by_input(weight.rows(), places, weight.data, before.size))
            if own and (stage.gain is not None or stage.offset is not None):
                count = op.shape[0]
                pairs = np.empty((count, 2), np.float32)
                pairs[:, 0] = 1 if stage.gain is None else stage.gain
                pairs[:, 1] = 0 if stage.offset is None else stage.offset
                affine_at = sum(part.size for part in affine)
                affine.append(pairs.reshape(-1))
            if own and stage.neuron is not None:
                n = stage.neuron
                neuron_at = 6 * len(scalars)
                scalars.append([n.decay, n.drive, n.rest, n.v_threshold, n.v_reset, float(n.soft)])
            self.rows.append(rows)
            self.columns.append(columns)
            self.runs.append(runs)
            self.affine_at.append(affine_at)
            self.neuron_at.append(neuron_at)
            self.state_at.append(state)
            if neuron_at >= 0:
                state += math.prod(op.shape)
        self.neurons = state
        self.first = _joined(first, np.int64)
        self.index = _joined(index, np.uint32)
        self.value = _joined(value, np.float32)
        self.affine = _joined(affine, np.float32)
        self.scalars = np.array(scalars, np.float32).reshape(-1)


def _joined(parts: list[Any], dtype: Any) -> NDArray[Any]:
    return np.concatenate(parts).astype(dtype) if parts else np.zeros(0, dtype)


def _by_input(rows: Int, places: Int, data: Float, size: int) -> tuple[Int, Int, Float]:
    """The same connections by the place they come from."""
    order = np.argsort(places, kind="stable")
    indptr = np.zeros(size + 1, np.int64)
    np.cumsum(np.bincount(places, minlength=size), out=indptr[1:])
    return indptr, rows[order], data[order]


class Plan:
    """Tables for groups of G images over S steps.

    kind : STATIC, FLOATS or BITS, of the input.
    watched : nothing is fused, so that the spikes of every neuron lie in the workspace.
    """

    def __init__(self, wiring: Wiring, kind: int, G: int, S: int, watched: bool = False) -> None:
        self.wiring, self.kind, self.G, self.S = wiring, kind, G, S
        self.lanes = G * S
        self.Q = -(-self.lanes // 64)
        self.pitches = {f.STATIC: max(16, G), f.FLOATS: -(-self.lanes // 16) * 16, f.BITS: self.Q}
        self.theta = np.zeros(0, np.float32)
        self.where = np.zeros(0, np.int64)
        self.word_room = f.PERIODIC  # the first words are scratch
        self._scratch()
        self.buffers: list[tuple[int, int, int]] = []  #: of each operation: kind, place, pitch
        self._fill(watched)

    def _pitch(self) -> int:
        """Lanes of a sum, where spikes are walked one by one."""
        return next(lanes for lanes in (4, 8, 16, 64) if self.lanes <= lanes)

    def _scratch(self) -> None:
        wiring = self.wiring
        acc = max(128 * self.Q, *self.pitches.values(), 16 * min(self.lanes, 64))
        sums = 0
        if self.G == 1 and self.kind == f.STATIC:
            sums = wiring.ops[0].shape[0] + 64
        if self.Q == 1:
            pitch = self._pitch()
            for op, columns in zip(wiring.ops, wiring.columns, strict=True):
                if columns >= 0:
                    sums = max(sums, op.shape[0] * pitch)
        self.scratch = acc
        self.room = 64 + acc + sums
        self.float_room = self.room

    def _fill(self, watched: bool) -> None:
        wiring = self.wiring
        ops = wiring.ops
        rows: list[dict[int, int]] = []
        kind = self.kind
        pixels = self._by_pixels()
        head = self._head(pixels)
        at, pitch = self._buffer(kind, wiring.places[0], pixels)
        head |= {f.OUT_KIND: kind, f.OUT_AT: at, f.OUT_PITCH: pitch}
        number = 0
        while number < len(ops):
            op, before = ops[number], wiring.places[number]
            row = self._row(number, op, before, kind, at, pitch)
            fused = 0
            if number == 0 and pixels:
                row[f.OP] = f.PIXELS
                pool = op.stage.pool
                plain = pool is not None and pool.kind == "max" and pool.size == pool.stride
                if plain and pool is not None and not watched:
                    row[f.POOL], fused = pool.size, 1
            out = f.BITS if op.stage.neuron is not None and not op.pooling else kind
            if op.pooling:
                average = op.stage.pool is not None and op.stage.pool.kind == "avg"
                out = f.FLOATS if average and kind == f.BITS else kind
            elif kind == f.BITS and out == f.BITS and op.stage.neuron is None:
                out = f.FLOATS
            after = wiring.places[number + 1 + fused]
            kind = out
            at, pitch = self._buffer(kind, after, False)
            row |= {
                f.OUT_KIND: kind, f.OUT_AT: at, f.OUT_PITCH: pitch, f.OUT_START: after.start,
                f.OUT_PLANE: after.plane, f.OUT_WIDE: after.wide,
            }  # fmt: skip
            self.buffers.append((kind, at, pitch))
            if row[f.OP] == f.PIXELS:
                self.where = _where(op.shape, wiring.places[number], after, row.get(f.POOL, 1))
            rows.append(row)
            number += 1 + fused
        rows[-1][f.VOTE] = wiring.vote
        rows[0] |= {f.SCRATCH: self.scratch, f.ROOM: self.room, f.BLOCK: self.float_room,
                    f.ACROSS: head[f.ACROSS]}  # fmt: skip
        self.float_room += 16 * head[f.ACROSS]
        self.table = _table(rows)
        self.head = _table([head])[0]

    def _by_pixels(self) -> bool:
        """Whether the first operation is a convolution of a static input that walks pixels."""
        stage = self.wiring.ops[0].stage
        weight, neuron = stage.weight, stage.neuron
        if self.kind != f.STATIC or weight is None or neuron is None:
            return False
        return weight.is_conv and weight.stride == 1 and not neuron.soft and self.S <= f.PERIODIC

    def _head(self, pixels: bool) -> dict[int, int]:
        """How the input is loaded."""
        place = self.wiring.places[0]
        channels, height, width = place.channels, place.height, place.width
        if not pixels and place.padding == 0:
            # rows as long as can be; channels count for raw images only
            height, width = 1, height * width
        head = {
            f.OP: f.PIXELS if pixels else f.NEURONS, f.OUT_START: place.start,
            f.OUT_PLANE: place.plane, f.OUT_WIDE: place.wide, f.CHANNELS: channels,
            f.HEIGHT: height, f.WIDTH: width,
        }  # fmt: skip
        if len(self.wiring.form.input_shape) == 1:
            head |= {f.CHANNELS: 1, f.WIDTH: channels, f.OUT_PLANE: channels, f.OUT_WIDE: channels}
            width = channels
        head[f.ACROSS] = -(-width // 16) * 16
        return head

    def _buffer(self, kind: int, place: Place, pixels: bool) -> tuple[int, int]:
        """Room for a buffer: where, and lanes (of floats) or words of a place."""
        pitch = self.pitches[kind]
        if kind == f.BITS:
            at = self.word_room
            self.word_room += place.size * pitch
            return at, pitch
        at = self.float_room
        if pixels:
            self.float_room += place.size * self.G + place.plane + 64
        else:
            self.float_room += (place.size + 16) * pitch
        return at, pitch

    def _row(
        self, number: int, op: Op, before: Place, kind: int, at: int, pitch: int
    ) -> dict[int, int]:
        wiring, stage = self.wiring, op.stage
        channels, height, width = _image(op.shape)
        row = {
            f.OP: f.POOLING if op.pooling else f.NEURONS,
            f.IN_KIND: kind, f.IN_AT: at, f.IN_PITCH: pitch,
            f.IN_CHANNELS: before.channels, f.IN_START: before.start, f.IN_PLANE: before.plane,
            f.IN_WIDE: before.wide, f.STEP_Y: before.wide, f.STEP_X: 1, f.CHANNELS: channels,
            f.HEIGHT: height, f.WIDTH: width, f.ROWS: wiring.rows[number], f.COLUMNS: -1,
            f.RUNS: -1, f.PLACES: before.size, f.AFFINE: wiring.affine_at[number],
            f.NEURON: wiring.neuron_at[number], f.THETA: -1, f.STATE: wiring.state_at[number],
            f.VOTE: 1,
        }  # fmt: skip
        if op.pooling:
            assert stage.pool is not None
            step = stage.pool.stride
            row |= {f.POOL: stage.pool.size, f.AVERAGE: int(stage.pool.kind == "avg"),
                    f.STEP_Y: step * before.wide, f.STEP_X: step}  # fmt: skip
            return row
        weight, neuron = stage.weight, stage.neuron
        if weight is not None and weight.is_conv:
            row |= {f.STEP_Y: weight.stride * before.wide, f.STEP_X: weight.stride}
        few = self.G <= f.FEW_IMAGES and self.Q == 1
        if kind == f.BITS and few and neuron is not None and wiring.runs[number] >= 0:
            row |= {f.RUNS: wiring.runs[number], f.RUN_AT: self.word_room}
            self.word_room += before.size // before.wide * self.lanes
        events = kind == f.STATIC and self.G == 1 and number == 0
        if (kind == f.BITS and self.Q == 1 and neuron is not None) or events:
            row[f.COLUMNS] = wiring.columns[number]
        if kind == f.STATIC and neuron is not None and not neuron.soft and self.S <= f.PERIODIC:
            row[f.THETA] = self.theta.size
            self.theta = np.concatenate([self.theta, critical_currents(neuron, self.S)])
        return row

    def workspace(self, threads: int = 1) -> tuple[NDArray[np.uint64], Float]:
        """Words and floats for so many groups at once; rings of zeros are zero, and stay so."""
        return (
            np.zeros((threads, max(self.word_room, 1)), np.uint64),
            np.zeros((threads, self.float_room), np.float32),
        )


def _where(shape: Shape, before: Place, after: Place, pool: int) -> Int:
    """For the pixels of a run through a channel in front, the place behind, or -1."""
    height, width = shape[1:]
    span = (height - 1) * before.wide + width
    run = np.arange(-(-span // 64) * 64)
    y, x = run // before.wide, run % before.wide
    inside = (y < height // pool * pool) & (x < width // pool * pool)
    place = after.start + y // pool * after.wide + x // pool
    return np.where(inside, place, -1)


def _table(rows: list[dict[int, int]]) -> Int:
    table = np.zeros((len(rows), f.FIELDS), np.int64)
    for number, row in enumerate(rows):
        for column, value in row.items():
            table[number, column] = value
    return table
