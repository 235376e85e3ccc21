"""`compile`: a network that runs over its surviving connections and its spikes."""

import os
from typing import Any

import numba
import numpy as np
from numpy.typing import ArrayLike, NDArray

from snnr.errors import ConfigError, DeviceError, ShapeError
from snnr.kernels import threads
from snnr.nn import Sequential
from snnr.sparse import groups
from snnr.sparse.form import Float, Form, Shape, form_of, input_shape_of
from snnr.sparse.plan import BITS, FLOATS, MOST_LANES, STATIC, Plan, Wiring
from snnr.sparse.removal import pruned
from snnr.sparse.source import Described, read

Array = NDArray[Any]

#: launches on all threads; where a forked process cannot, it works on one
_LAUNCH: dict[str, Any] = dict(threads.in_turn({"images": groups.run_images}))
threads.refuse_after_fork(_LAUNCH, list(_LAUNCH))

#: images of a group at most: the bits of a word
MOST_IMAGES = 64


def compile(
    source: "Sequential | str | os.PathLike[str]",
    input_shape: Shape | None = None,
    limit: int | None = None,
) -> "Engine":
    """Make a network ready to run sparsely: event-driven, on the CPU, for inference alone.

    Parameters
    ----------
    source : a network (as its weights are now, in evaluation mode), or a checkpoint file, or the
        folder of a run. A file is read without making a dense weight.
    input_shape : of one sample, ``(C, H, W)`` or ``(C,)``, where neither the checkpoint nor a first
        linear layer says so; without it the first images do.
    limit : bytes of memory that the file may ask for, as for `snnr.load`.

    Raises
    ------
    ConfigError : a layer cannot be compiled; it is named.
    ShapeError : the layers do not fit one another, or the input shape.
    CheckpointError : the file is damaged.
    """
    return Engine(read(source, limit), input_shape)


class State:
    """Potentials of all neurons between two pieces of a recording.

    Belongs to one engine and one number of recordings. An engine never changes the state that it
    is given.
    """

    def __init__(self, wiring: Wiring, G: int, count: int, values: Float) -> None:
        self.wiring, self.G, self.count, self.values = wiring, G, count, values

    def potentials(self, layer: str) -> Float:
        """``[N, ...]`` of a neuron layer by name, of the channels that are left."""
        wiring = self.wiring
        for op, at, neuron in zip(wiring.ops, wiring.state_at, wiring.neuron_at, strict=True):
            if op.stage.neuron_name == layer and neuron >= 0:
                size = int(np.prod(op.shape))
                inside = self.values.reshape(len(self.values), -1, self.G)[:, at : at + size]
                found = inside.transpose(0, 2, 1).reshape(-1, *op.shape)[: self.count]
                return np.ascontiguousarray(found)
        names = [op.stage.neuron_name for op in wiring.ops if op.stage.neuron is not None]
        raise ConfigError(f"there is no neuron layer {layer!r}: expected one of {', '.join(names)}")


class _Built:
    """An engine for one input shape: its form, wiring, and plans as they are needed."""

    def __init__(self, described: Described, input_shape: Shape, T: int | None) -> None:
        self.form = pruned(form_of(described, input_shape))
        self.wiring = Wiring(self.form)
        self.T = self.form.T if T is None else T
        self.outputs = int(np.prod(self.form.output_shape))
        self.size = int(np.prod(input_shape))
        self._plans: dict[tuple[int, int, int, bool], Plan] = {}
        self._idle: dict[tuple[Plan, int], list[Any]] = {}
        self.none = np.zeros((0, 256), np.float32)
        pixels = described.normalisation
        self.pixels = self.none if pixels is None else pixels.table()
        self._one()

    def _one(self) -> None:
        """What a single image needs, where the first stage is linear."""
        self.single: tuple[Any, ...] | None = None
        self.bases: tuple[Any, ...] = ()
        first = self.wiring.ops[0].stage
        weight, neuron = first.weight, first.neuron
        if self.T is None or weight is None or weight.is_conv or neuron is None or neuron.soft:
            return
        plan = self.plan(STATIC, 1, self.T)
        if not plan.theta.size:
            return
        rows, count = weight.rows(), weight.shape[0]
        ones = np.bincount(rows, weight.data, count)
        period = self.size // max(len(self.pixels), 1)
        zeros, change = ones, self.none
        if len(self.pixels):
            zeros = np.bincount(
                rows, weight.data * self.pixels[weight.indices // period, 0].astype(float), count
            )
            change = self.pixels - self.pixels[:, :1]
        wiring = self.wiring
        self.single = (
            plan.table, self.T, wiring.first, wiring.index, wiring.value, wiring.affine,
            wiring.scalars, plan.theta,
        )  # fmt: skip
        self.bases = (
            (ones.astype(np.float32), self.none, 1),
            (zeros.astype(np.float32), change, period),
        )
        self.single_plan = plan

    def plan(self, kind: int, G: int, S: int, watched: bool = False) -> Plan:
        """Tables for groups of G images over S steps; made when they are first needed."""
        key = kind, G, S, watched
        found = self._plans.get(key)
        if found is None:
            found = self._plans.setdefault(key, Plan(self.wiring, *key))
        return found

    def borrow(self, plan: Plan, count: int) -> Any:
        """A workspace that nobody else uses now."""
        try:
            return self._idle[plan, count].pop()
        except (KeyError, IndexError):
            return plan.workspace(count)

    def give_back(self, plan: Plan, count: int, space: Any) -> None:
        """Let others use it."""
        self._idle.setdefault((plan, count), []).append(space)


class Engine:
    """A compiled network; made by `snnr.compile`.

    Several threads may call it at once. It computes in float32 and gives the spikes of the dense
    network in evaluation mode, except where a potential lies within rounding of its threshold
    (`compare` counts those). Images are raw (uint8, where the checkpoint has the normalisation) or
    normalised floats, ``[N, C, H, W]`` or ``[N, C]``, or one of them without N.
    """

    def __init__(self, described: Described, input_shape: Shape | None = None) -> None:
        self.described = described
        self._shapes: dict[Shape, _Built] = {}
        known = input_shape_of(described) if input_shape is None else tuple(input_shape)
        self._built: _Built | None = None if known is None else self._for(known)

    def _for(self, shape: Shape) -> _Built:
        found = self._shapes.get(shape)
        if found is None:
            T = None
            found = self._shapes.setdefault(shape, _Built(self.described, shape, T))
        return found

    @property
    def form(self) -> Form:
        """What is run, as data.

        Raises
        ------
        ConfigError : no input shape is known yet.
        """
        return self._known().form

    def _known(self) -> _Built:
        if self._built is None:
            raise ConfigError(
                "the shape of the input is not known: give input_shape to compile, or run it on "
                "images first"
            )
        return self._built

    # Images

    def predict(self, images: ArrayLike) -> Any:
        """The class with the largest rate, the first one of equals: int64 ``[N]``, or an int."""
        rates = self.rates(images)
        if rates.ndim == 1:
            return int(rates.argmax())
        return rates.reshape(len(rates), -1).argmax(axis=1)

    def rates(self, images: ArrayLike) -> Float:
        """Mean of the outputs over time: ``[N, classes]``, or ``[classes]`` of one image."""
        built, x, alone = self._images(images)
        rates = np.empty((x.shape[0], built.outputs), np.float32)
        self._run(built, x, rates, _no_outputs(x.shape[0], built.outputs))
        shape = built.form.output_shape
        return rates.reshape(shape if alone else (-1, *shape))

    def spikes(self, images: ArrayLike) -> Array:
        """What the last layer puts out, ``[T, N, ...]`` (no N of one image): uint8 spikes, or
        floats where votes are counted or no neuron is the last."""
        built, x, alone = self._images(images)
        rates = np.empty((x.shape[0], built.outputs), np.float32)
        outputs = np.empty((self._steps(built), x.shape[0], built.outputs), np.float32)
        self._run(built, x, rates, outputs)
        return self._shaped(built, outputs, alone)

    def _shaped(self, built: _Built, outputs: Float, alone: bool) -> Array:
        last = built.form.stages[-1]
        average = last.pool is not None and last.pool.kind == "avg"
        if last.neuron is not None and last.vote == 1 and not average:
            found: Array = outputs.astype(np.uint8)
        else:
            found = outputs
        shape = built.form.output_shape
        lead = outputs.shape[:1] if alone else outputs.shape[:2]
        return found.reshape(*lead, *shape)

    def _steps(self, built: _Built) -> int:
        if built.T is None:
            raise ConfigError(
                "the network has no number of time steps T for images: give its Sequential a T, or "
                "use run and step for sequences"
            )
        return built.T

    def _images(self, images: ArrayLike) -> tuple[_Built, Array, bool]:
        """Images as contiguous ``[N, size]``, uint8 or float32; and whether it was one."""
        x = images if isinstance(images, np.ndarray) else np.asarray(images)
        shape = x.shape
        built = self._built
        if built is None:
            built = self._learn(shape)
        wanted = built.form.input_shape
        alone = shape == wanted
        if not alone and shape[1:] != wanted:
            if len(shape) < 2 or not self._fits(built, shape[1:]):
                raise ShapeError(
                    f"images {list(shape)} must be [N, {', '.join(map(str, wanted))}]"
                )
        if x.dtype == np.uint8:
            if not len(built.pixels):
                raise ShapeError(
                    "the network does not know how raw (uint8) images are normalised: give "
                    "normalised float images, or compile a checkpoint that snnr trained"
                )
        elif x.dtype != np.float32:
            if x.dtype.kind not in "f":
                raise ShapeError(f"images are {x.dtype}, expected uint8 or floats")
            x = x.astype(np.float32)
        return built, np.ascontiguousarray(x).reshape(1 if alone else shape[0], built.size), alone

    def _fits(self, built: _Built, shape: Shape) -> bool:
        """Whether samples of this shape come to the same numbers in the same order."""
        weight = built.wiring.ops[0].stage.weight
        return weight is not None and not weight.is_conv and int(np.prod(shape)) == built.size

    def _learn(self, shape: Shape) -> _Built:
        """From the first images, what shape they have."""
        if len(shape) != 4:
            raise ShapeError(
                f"images {list(shape)} must be [N, C, H, W]: the network starts with a "
                "convolution, and no input_shape is known"
            )
        built = self._for(shape[1:])
        self._built = built
        return built

    def _run(self, built: _Built, x: Array, rates: Float, outputs: Float) -> None:
        count = x.shape[0]
        if count == 1 and built.single is not None:
            plan = built.single_plan
            words, floats = space = built.borrow(plan, 1)
            base, pixels, period = built.bases[x.dtype == np.uint8]
            groups.run_one(
                x[0], base, pixels, period, *built.single, words[0], floats[0], rates, outputs
            )
            built.give_back(plan, 1, space)
            return
        if count == 0:
            return
        workers = int(numba.get_num_threads())
        G = _group(count, workers, self._steps(built))
        plan = built.plan(STATIC, G, self._steps(built))
        parallel = count > G and workers > 1
        space = built.borrow(plan, workers if parallel else 1)
        wiring = built.wiring
        pixels = built.pixels if x.dtype == np.uint8 else built.none
        arguments = (
            x, pixels, plan.head, plan.table, G, plan.S, plan.Q, wiring.first, wiring.index,
            wiring.value, wiring.affine, wiring.scalars, plan.theta, plan.where, *space, rates,
            outputs,
        )  # fmt: skip
        if parallel:
            try:
                _LAUNCH["images"](*arguments)
            except DeviceError:  # in a forked process
                groups.run_alone(*arguments)
        else:
            groups.run_alone(*arguments)
        built.give_back(plan, workers if parallel else 1, space)

    # Sequences

    def step(self, x: ArrayLike, state: State | None = None) -> tuple[Array, State]:
        """One time step of N streams: their outputs ``[N, ...]`` and the state after it.

        Parameters
        ----------
        x : ``[N, ...]``, uint8 or bool spikes, or the floats of this step.
        state : after the step before; None starts at rest.

        Raises
        ------
        ShapeError : the input or the state does not fit.
        """
        array = np.asarray(x)
        out, state = self.run(array[None], state)
        return out[0], state

    def run(self, sequence: ArrayLike, state: State | None = None) -> tuple[Array, State]:
        """Outputs ``[T, N, ...]`` of sequences ``[T, N, ...]``, and the state after them; as
        `step`."""
        x = np.asarray(sequence)
        built = self._built
        if built is None:
            built = self._learn(x.shape[1:])
        wanted = built.form.input_shape
        if x.ndim < 3 or (x.shape[2:] != wanted and not self._fits(built, x.shape[2:])):
            raise ShapeError(
                f"a sequence {list(x.shape)} must be [T, N, {', '.join(map(str, wanted))}]"
            )
        if x.dtype == np.bool_ or x.dtype == np.uint8:
            if x.dtype == np.uint8 and x.size and x.max() > 1:
                raise ShapeError("spikes must be 0 or 1; normalise raw images to floats first")
            x, kind = x.astype(np.uint8, copy=False), BITS
        elif x.dtype.kind == "f":
            x, kind = x.astype(np.float32, copy=False), FLOATS
        else:
            raise ShapeError(f"a sequence is {x.dtype}, expected uint8 or bool spikes, or floats")
        S, count = x.shape[:2]
        x = np.ascontiguousarray(x).reshape(S, count, built.size)
        state = self._state(built, count, state)
        outputs = np.empty((S, count, built.outputs), np.float32)
        G = state.G
        chunk = max(1, MOST_LANES // G)
        for t in range(0, S, chunk):
            part = x[t : t + chunk]
            plan = built.plan(kind, G, len(part))
            space = built.borrow(plan, 1)
            for g, values in enumerate(state.values):
                i, j = g * G, min(g * G + G, count)
                self._pieces(
                    built, plan, space, np.ascontiguousarray(part[:, i:j]), values,
                    outputs[t : t + chunk, i:j],
                )  # fmt: skip
            built.give_back(plan, 1, space)
        return self._shaped(built, outputs, False), state

    def _pieces(
        self, built: _Built, plan: Plan, space: Any, x: Array, values: Float, outputs: Float
    ) -> None:
        wiring = built.wiring
        out = np.empty(outputs.shape, np.float32)
        groups.run_sequence(
            x, plan.head, plan.table, plan.G, plan.S, plan.Q, wiring.first, wiring.index,
            wiring.value, wiring.affine, wiring.scalars, plan.theta, plan.where, values,
            space[0][0], space[1][0], np.empty((x.shape[1], built.outputs), np.float32), out,
        )  # fmt: skip
        outputs[...] = out

    def _state(self, built: _Built, count: int, state: State | None) -> State:
        """A copy of the state, or one at rest."""
        wiring = built.wiring
        if state is not None:
            if state.wiring is not wiring or state.count != count:
                raise ShapeError(
                    f"the state is that of {state.count} streams of "
                    f"{'this' if state.wiring is wiring else 'another'} network, not of {count} "
                    "of this one: start without a state"
                )
            return State(wiring, state.G, count, state.values.copy())
        G = min(MOST_IMAGES, _power(count))
        values = np.empty((-(-count // G), wiring.neurons * G), np.float32)
        ends = [*wiring.state_at[1:], wiring.neurons]
        for op, at, end, neuron in zip(
            wiring.ops, wiring.state_at, ends, wiring.neuron_at, strict=True
        ):
            if neuron >= 0 and op.stage.neuron is not None:
                values[:, at * G : end * G] = op.stage.neuron.v_reset
        return State(wiring, G, count, values)


def _no_outputs(count: int, outputs: int) -> Float:
    return np.empty((0, count, outputs), np.float32)


def _power(count: int) -> int:
    """The smallest power of two that is not below `count`."""
    return 1 << max(0, count - 1).bit_length()


def _group(count: int, workers: int, steps: int) -> int:
    """Images of a group: so few that all threads have one, and that their lanes fit."""
    G = min(MOST_IMAGES, _power(-(-count // workers)))
    while G > 1 and G * steps > MOST_LANES:
        G //= 2
    return G
