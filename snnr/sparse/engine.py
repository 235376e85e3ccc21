"""`compile`: a network that runs over its surviving connections and its spikes."""

import os
from typing import Any

import numba
import numpy as np
from numpy.typing import ArrayLike, NDArray

from snnr.checkpoint import Checkpoint
from snnr.errors import ConfigError, DeviceError, ShapeError
from snnr.kernels import threads
from snnr.nn import Sequential
from snnr.sparse import watching
from snnr.sparse.built import NO_OCTETS, NOTHING, Built
from snnr.sparse.form import Float, Form, Shape, input_shape_of
from snnr.sparse.kernels import groups
from snnr.sparse.kernels.fields import BITS, FLOATS, STATIC
from snnr.sparse.plan import MOST_LANES, Wiring
from snnr.sparse.source import Described, read
from snnr.sparse.watching import Comparison, Stats, Watched

Array = NDArray[Any]

#: launches on all threads; where a forked process cannot, it works on one
_LAUNCH: dict[str, Any] = dict(threads.guarded({"groups": groups.run_parallel}))
threads.refuse_after_fork(_LAUNCH, list(_LAUNCH))

NO_STATES = np.zeros((0, 0), np.float32)

#: images of a group at most: the bits of a word
MOST_IMAGES = 64


def compile(
    source: "Sequential | Checkpoint | str | os.PathLike[str]",
    input_shape: Shape | None = None,
    limit: int | None = None,
) -> "Engine":
    """Make a network ready to run sparsely: event-driven, on the CPU, for inference alone.

    Parameters
    ----------
    source : a network (as its weights are now, in evaluation mode), or a checkpoint that was
        loaded, which also knows the images, or its file, or the folder of a run. A file is read
        without making a dense weight.
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


class Engine:
    """A compiled network; made by `snnr.compile`.

    Several threads may call it at once. It computes in float32 and gives the spikes of the dense
    network in evaluation mode, except where a potential lies within rounding of its threshold
    (`compare` counts those). Images are raw (uint8, where the checkpoint has the normalisation) or
    normalised floats, ``[N, C, H, W]`` or ``[N, C]``, or one of them without N.
    """

    def __init__(self, described: Described, input_shape: Shape | None = None) -> None:
        self.described = described
        self._shapes: dict[Shape, Built] = {}
        known = input_shape_of(described) if input_shape is None else tuple(input_shape)
        self._built: Built | None = None if known is None else self._for(known)

    def _for(self, shape: Shape) -> Built:
        found = self._shapes.get(shape)
        if found is None:
            found = self._shapes.setdefault(shape, Built(self.described, shape))
        return found

    def __repr__(self) -> str:
        if self._built is None:
            return "Engine(of images whose shape the first ones tell)"
        weights = [stage.weight for stage in self.form.stages if stage.weight is not None]
        return (
            f"Engine({'x'.join(map(str, self.form.input_shape))} to "
            f"{'x'.join(map(str, self.form.output_shape))}, T={self.form.T}, {len(weights)} layers "
            f"of {sum(len(weight.data) for weight in weights)} connections)"
        )

    @property
    def form(self) -> Form:
        """What is run, as data.

        Raises
        ------
        ConfigError : no input shape is known yet.
        """
        return self._known().form

    def _known(self) -> Built:
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

    def _shaped(self, built: Built, outputs: Float, alone: bool) -> Array:
        last = built.form.stages[-1]
        average = last.pool is not None and last.pool.kind == "avg"
        if last.neuron is not None and last.vote == 1 and not average:
            found: Array = outputs.astype(np.uint8)
        else:
            found = outputs
        shape = built.form.output_shape
        lead = outputs.shape[:1] if alone else outputs.shape[:2]
        return found.reshape(*lead, *shape)

    def _steps(self, built: Built) -> int:
        if built.T is None:
            raise ConfigError(
                "the network has no number of time steps T for images: give its Sequential a T, or "
                "use run and step for sequences"
            )
        return built.T

    def _images(self, images: ArrayLike) -> tuple[Built, Array, bool]:
        """Images as contiguous ``[N, size]``, uint8 or float32; and whether it was one."""
        x = images if isinstance(images, np.ndarray) else np.asarray(images)
        shape = x.shape
        built = self._built
        if built is None:
            built = self._learn(shape)
        wanted = built.form.input_shape
        alone = shape == wanted
        plain = alone or shape[1:] == wanted
        if not plain and (len(shape) < 2 or not self._fits(built, shape[1:])):
            raise ShapeError(f"images {list(shape)} must be [N, {', '.join(map(str, wanted))}]")
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

    def _fits(self, built: Built, shape: Shape) -> bool:
        """Whether samples of this shape come to the same numbers in the same order."""
        weight = built.wiring.ops[0].stage.weight
        return weight is not None and not weight.is_conv and int(np.prod(shape)) == built.size

    def _learn(self, shape: Shape) -> Built:
        """From the first images, what shape they have."""
        if len(shape) != 4:
            raise ShapeError(
                f"images {list(shape)} must be [N, C, H, W]: the network starts with a "
                "convolution, and no input_shape is known"
            )
        built = self._for(shape[1:])
        self._built = built
        return built

    def _run(self, built: Built, x: Array, rates: Float, outputs: Float) -> None:
        count = x.shape[0]
        if count == 1 and built.single is not None:
            plan = built.single_plan
            words, floats = space = built.borrow(plan, 1)
            raw, one = x.dtype == np.uint8, x[0]
            groups.run_one(
                NOTHING if raw else one, one if raw else NO_OCTETS, *built.bases[raw],
                *built.single, words[0], floats[0], built.outputs, rates[0], outputs.reshape(-1),
            )  # fmt: skip
            built.give_back(plan, 1, space)
            return
        if count == 0:
            return
        workers = int(numba.get_num_threads())
        G = _group(count, workers, self._steps(built))
        plan = built.plan(STATIC, G, self._steps(built))
        parallel = count > G and workers > 1
        space = built.borrow(plan, workers if parallel else 1)
        arguments = built.arguments(plan, x, NO_STATES, space, rates, outputs)
        if parallel:
            try:
                _LAUNCH["groups"](*arguments)
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
        chunk = max(1, MOST_LANES // state.G)
        rates = np.empty((count, built.outputs), np.float32)
        for t in range(0, S if count else 0, chunk):
            part = x[t : t + chunk]
            plan = built.plan(kind, state.G, len(part))
            space = built.borrow(plan, 1)
            groups.run_alone(
                *built.arguments(plan, part, state.values, space, rates, outputs[t : t + chunk])
            )
            built.give_back(plan, 1, space)
        return self._shaped(built, outputs, False), state

    def _state(self, built: Built, count: int, state: State | None) -> State:
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

    # What it does

    def stats(self, images: ArrayLike | None = None) -> Stats:
        """Connections and neurons that are left; with images also rates and operations on them."""
        if images is None:
            return watching.stats(self.form, None, None)
        built, x, _ = self._images(images)
        watched = Watched(built, self._steps(built))
        return watching.stats(built.form, watched, x)

    def compare(self, images: ArrayLike, network: Sequential | None = None) -> Comparison:
        """Run the dense network on the same images and count what differs.

        Parameters
        ----------
        network : the dense network; by default the one that was compiled, where it was no file.

        Raises
        ------
        ConfigError : there is no dense network to compare with.
        """
        dense = self.described.network if network is None else network
        if dense is None:
            raise ConfigError(
                "a network compiled from a file has no dense one beside it: give "
                "network=snnr.load(path).network"
            )
        given = np.asarray(images)
        built, x, alone = self._images(given)
        batch = given[None] if alone else given
        if x.dtype == np.uint8:
            table = built.pixels
            flat = x.reshape(len(x), len(table), -1)
            values = np.stack([row[flat[:, c]] for c, row in enumerate(table)], axis=1)
            batch = values.reshape(batch.shape)
        watched = Watched(built, self._steps(built))
        return watching.compare(watched, dense, x, batch.astype(np.float32))


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
