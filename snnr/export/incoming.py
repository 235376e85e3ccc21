"""Networks that were trained elsewhere: from NIR, or weights from an ``.npz``.

They train, prune and are saved here like any other; `snnr.optim.GradR` starts from their weights.
"""

import io
import lzma
import math
import os
import struct
import tokenize
import zipfile
import zlib
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray

from snnr.budget import Budget
from snnr.errors import CheckpointError, ConfigError, ShapeError, printable
from snnr.export.nir import DT, package
from snnr.hdf5 import copied
from snnr.nn import IF, LIF, AvgPool2d, Conv2d, Flatten, Layer, Linear, MaxPool2d, Sequential

#: of strides, windows and paddings
MAX_NUMBER = 1 << 20


def load_nir(
    path: str | os.PathLike[str], T: int | None = None, dt: float | None = None
) -> Sequential:
    """A NIR graph that is a chain, as a network in evaluation mode.

    Linear, Affine, Conv2d, Flatten, AvgPool2d, LIF, IF, and SumPool2d with a Threshold between 0
    and 1 behind it (max pooling of spikes) are read. Neurons of a layer must be alike and leak
    towards their reset. A resistance goes into the weights in front.

    Parameters
    ----------
    T : time steps; by default those that snnr has written into the file, else 8.
    dt : seconds of a time step; by default what snnr has written into the file, else 1e-4, which
        is snnTorch's. An IF whose r is 1 is taken to count steps, as other frameworks write it.

    Raises
    ------
    CheckpointError : it is no NIR file, or has a node that cannot be read; it is named.
    ConfigError : the package `nir` is missing, or T or dt makes no sense.
    """
    nir = package()
    image, budget = copied(path, CheckpointError, "NIR file")
    where = os.fspath(path)
    try:
        graph = nir.read(io.BytesIO(image))
        chain = _chain(graph)
    except CheckpointError:
        raise
    except Exception as error:  # the package checks little, and raises what it meets
        told = printable(" ".join(str(error).split()))[:500]
        raise CheckpointError(f"{where} is no NIR graph: {told}") from error
    metadata = graph.metadata if isinstance(graph.metadata, dict) else {}
    step = _number(where, metadata, "dt", DT) if dt is None else dt
    steps = _number(where, metadata, "T", 8) if T is None else T
    if not 0 < step < math.inf:
        raise ConfigError(f"dt (={step:g}) must be above 0; give dt if {where} says so")
    if steps != int(steps) or steps < 1:
        raise ConfigError(f"T (={steps:g}) must be 1 or more; give T if {where} says so")
    reader = _Reader(float(step), budget)
    with np.errstate(all="ignore"):  # what float32 does not hold is refused
        for name, node in chain:
            reader.read(name, node)
        arrays = reader.close()
    network = Sequential(*reader.layers, T=int(steps))
    for layer, short, values in arrays:
        layer.arrays()[short].assign(values)
    return network.eval()


def _number(where: str, metadata: dict[str, Any], key: str, default: float) -> float:
    """A finite number of the metadata."""
    try:
        found = float(metadata.get(key, default))
    except (TypeError, ValueError):
        found = math.nan
    if not math.isfinite(found):
        raise CheckpointError(f"{where}: {key} in its metadata is no number; give {key}")
    return found


def _chain(graph: Any) -> list[tuple[str, Any]]:
    """The nodes between input and output in order."""
    after: dict[str, list[str]] = {}
    for start, end in graph.edges:
        after.setdefault(start, []).append(end)
    (name,) = graph.inputs
    chain = []
    for _ in graph.nodes:
        following = after.get(name, [])
        if len(following) != 1:
            raise CheckpointError(
                f"node {name!r} has {len(following)} successors, expected 1: only chains are read"
            )
        name = following[0]
        if name in graph.outputs:
            break
        chain.append((name, graph.nodes[name]))
    if len(graph.inputs[next(iter(graph.inputs))].input_type["input"]) == 1:
        chain.insert(0, ("input", None))
    return chain


class _Reader:
    """Layers, and the arrays they are to have."""

    def __init__(self, dt: float, budget: Budget) -> None:
        self.dt = dt
        self.budget = budget
        self.layers: list[Layer] = []
        self.arrays: list[tuple[str, Layer, dict[str, NDArray[Any]]]] = []
        self.sum: tuple[str, int, int] | None = None

    def read(self, name: str, node: Any) -> None:
        """One more node."""
        kind = "Flatten" if node is None else type(node).__name__
        if self.sum is not None and kind != "Threshold":
            self._refuse(self.sum[0], "is a SumPool2d without a Threshold behind it")
        method = getattr(self, f"_{kind.lower()}", None)
        if method is None:
            self._refuse(name, f"is a {kind}, which snnr does not have")
        try:
            method(name, node)
        except ConfigError as error:
            self._refuse(name, f"makes no layer: {error}")

    def close(self) -> list[tuple[Layer, str, NDArray[np.float32]]]:
        """The chain ends here; what is to be put where."""
        if self.sum is not None:
            self._refuse(self.sum[0], "is a SumPool2d without a Threshold behind it")
        found = []
        for name, layer, arrays in self.arrays:
            for short, values in arrays.items():
                single = np.ascontiguousarray(values, np.float32)
                if not np.isfinite(single).all():
                    self._refuse(name, f"has values of {short} that float32 does not hold")
                found.append((layer, short, single))
        return found

    def _refuse(self, name: str, why: str) -> NoReturn:
        raise CheckpointError(printable(f"NIR node {name[:80]!r} {why}"))

    def _one(self, name: str, what: str, values: Any) -> float:
        """The finite number that all entries are."""
        try:
            found = np.unique(np.asarray(values, np.float64))
        except (TypeError, ValueError):
            self._refuse(name, f"has a {what} that is no number")
        if found.size != 1:
            self._refuse(name, f"has {found.size} different values of {what}, expected one")
        if not np.isfinite(found[0]):
            self._refuse(name, f"has {what} = {found[0]}, expected a finite number")
        return float(found[0])

    def _whole(self, name: str, what: str, values: Any) -> int:
        number = self._one(name, what, values)
        if number != int(number) or not 0 <= number <= MAX_NUMBER:
            self._refuse(name, f"has {what} = {number:g}, expected 0 to {MAX_NUMBER}")
        return int(number)

    def _two(self, name: str, what: str, values: Any) -> tuple[int, int]:
        """A whole number for rows and one for columns."""
        given = values if np.ndim(values) else (values, values)
        if len(given) != 2:
            self._refuse(name, f"has {len(given)} values of {what}, expected one or two")
        first, second = (self._whole(name, what, one) for one in given)
        return first, second

    def _weight(self, name: str, node: Any, axes: str) -> NDArray[Any]:
        """Its weights; the layer that is to have them takes 16 bytes for each on the way."""
        values = np.asarray(node.weight)
        if values.ndim != len(axes.split(", ")) or values.dtype.kind not in "iuf":
            self._refuse(
                name, f"has weights {values.dtype} {list(values.shape)}, expected [{axes}]"
            )
        self.budget.take(16 * values.size, name)
        return values

    def _bias(self, name: str, node: Any, outputs: int) -> NDArray[Any]:
        values = np.asarray(node.bias)
        if values.shape != (outputs,) or values.dtype.kind not in "iuf":
            self._refuse(name, f"has a bias {list(values.shape)}, expected [{outputs}]")
        return values

    def _add(self, name: str, layer: Layer, **arrays: Any) -> None:
        self.layers.append(layer)
        if arrays:
            self.arrays.append((name, layer, arrays))

    def _flatten(self, name: str, node: Any) -> None:
        self._add(name, Flatten())

    def _linear(self, name: str, node: Any) -> None:
        weight = self._weight(name, node, "out, in")
        outputs, inputs = weight.shape
        self._add(name, Linear(inputs, outputs, bias=False), weight=weight)

    def _affine(self, name: str, node: Any) -> None:
        weight = self._weight(name, node, "out, in")
        outputs, inputs = weight.shape
        bias = self._bias(name, node, outputs)
        self._add(name, Linear(inputs, outputs), weight=weight, bias=bias)

    def _conv2d(self, name: str, node: Any) -> None:
        if isinstance(node.padding, str):
            self._refuse(name, f"has padding {node.padding!r}, expected a number")
        stride = self._two(name, "stride", node.stride)
        padding = self._two(name, "padding", node.padding)
        weight = self._weight(name, node, "out, in, height, width")
        outputs, inputs, *size = weight.shape
        if self._one(name, "dilation", node.dilation) != 1:
            self._refuse(name, "has a dilation")
        groups = self._whole(name, "groups", node.groups)
        bias = self._bias(name, node, outputs)
        biased = bool(np.any(bias))
        layer = Conv2d(
            inputs * groups, outputs, (size[0], size[1]), stride, padding, biased, groups=groups
        )
        self._add(name, layer, weight=weight, **({"bias": bias} if biased else {}))

    def _avgpool2d(self, name: str, node: Any) -> None:
        self._add(name, AvgPool2d(*self._window(name, node)))

    def _sumpool2d(self, name: str, node: Any) -> None:
        if not self.layers or not isinstance(self.layers[-1], IF):
            self._refuse(name, "sums what is no spike")
        self.sum = (name, *self._window(name, node))

    def _threshold(self, name: str, node: Any) -> None:
        if self.sum is None or not 0 <= self._one(name, "threshold", node.threshold) < 1:
            self._refuse(name, "is no Threshold in [0, 1) behind a SumPool2d")
        self._add(name, MaxPool2d(*self.sum[1:]))
        self.sum = None

    def _window(self, name: str, node: Any) -> tuple[int, int]:
        if self._one(name, "padding", node.padding) != 0:
            self._refuse(name, "pads, which pooling here does not")
        return tuple(self._whole(name, key, getattr(node, key))
                     for key in ("kernel_size", "stride"))  # type: ignore[return-value]  # fmt: skip

    def _lif(self, name: str, node: Any) -> None:
        threshold, reset = self._levels(name, node)
        if self._one(name, "v_leak", node.v_leak) != reset:
            self._refuse(name, "leaks to another potential than it resets to")
        tau = float(f"{self._one(name, 'tau', node.tau) / self.dt:.6g}")
        if not tau > 1:
            self._refuse(name, f"has tau = {tau:g} time steps, expected more than 1; give dt")
        r = self._one(name, "r", node.r)
        decays = not np.isclose(r, tau, rtol=1e-5)
        if decays:
            self._scale(name, r)
        self._add(name, LIF(tau, threshold, reset, decay_input=decays))

    def _if(self, name: str, node: Any) -> None:
        threshold, reset = self._levels(name, node)
        r = self._one(name, "r", node.r)
        self._scale(name, 1.0 if r == 1 else r * self.dt)
        self._add(name, IF(threshold, reset))

    def _levels(self, name: str, node: Any) -> tuple[float, float]:
        """Threshold (NIR fires above it) and reset."""
        below = np.float32(self._one(name, "v_threshold", node.v_threshold))
        threshold = float(np.nextafter(below, np.float32(np.inf)))
        return threshold, self._one(name, "v_reset", node.v_reset)

    def _scale(self, name: str, r: float) -> None:
        """Multiply what comes in: in the weights in front."""
        if np.isclose(r, 1, rtol=1e-5):
            return
        if not self.arrays or self.arrays[-1][1] is not self.layers[-1]:
            self._refuse(name, f"has r = {r:g} and no weights in front that could have it instead")
        arrays = self.arrays[-1][2]
        for short in arrays:
            arrays[short] = arrays[short] * np.float32(r)


#: what zipfile and NumPy raise for a file that is damaged
_UNREADABLE = (
    OSError, ValueError, KeyError, IndexError, EOFError, MemoryError, OverflowError, RuntimeError,
    NotImplementedError, TypeError, SyntaxError, struct.error, tokenize.TokenError,
    zipfile.BadZipFile, zlib.error, lzma.LZMAError,
)  # fmt: skip
_SHOWN = 300  # characters of names in a message


def _array(archive: zipfile.ZipFile, info: zipfile.ZipInfo, budget: Budget) -> NDArray[Any]:
    """One array; what it takes is counted from its header, before it is unpacked."""
    if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise ValueError(f"{info.filename} is not packed as numpy.savez_compressed does")
    with archive.open(info) as file:
        version = npy.read_magic(file)
        header = npy.read_array_header_1_0 if version == (1, 0) else npy.read_array_header_2_0
        shape, _, dtype = header(file)
        size = math.prod(shape) * dtype.itemsize
        if dtype.hasobject or not 0 <= size <= info.file_size:
            raise ValueError(f"{info.filename} does not hold numbers of that shape")
        budget.take(size, info.filename)
    with archive.open(info) as file:
        return np.asarray(npy.read_array(file, allow_pickle=False))


def load_weights(network: Layer, path: str | os.PathLike[str]) -> None:
    """Fill a network from an ``.npz`` whose arrays have the names of its own: ``1_linear.weight``
    ``[out, in]``, ``0_conv2d.weight`` ``[out, in, kh, kw]``, ``1_batchnorm2d.running_mean`` ...

    Every array of the network must be there, and no other. Nothing is changed where one does not
    fit.

    Raises
    ------
    CheckpointError : it is no .npz, names are missing or unknown, or values are not finite.
    ShapeError : an array has another shape.
    """
    where = os.fspath(path)
    budget = Budget(where, Path(path).stat().st_size if Path(path).exists() else 0, CheckpointError)
    wanted = {array.name: array for layer in network.layers() for array in layer.arrays().values()}
    least = {
        array.name: spec.least
        for layer in network.layers()
        for short, array in layer.arrays().items()
        if (spec := type(layer).declare(**layer.settings()).get(short)) is not None
    }
    try:
        with zipfile.ZipFile(where) as archive:
            found = {
                info.filename.removesuffix(".npy"): _array(archive, info, budget)
                for info in archive.infolist()
            }
    except _UNREADABLE as error:
        told = _shortened(printable(f"{type(error).__name__}: {error}"))
        raise CheckpointError(f"{where} is no .npz of arrays ({told})") from error
    missing, unknown = sorted(wanted.keys() - found.keys()), sorted(found.keys() - wanted.keys())
    if missing or unknown:
        raise CheckpointError(
            f"{where} lacks {_listed(missing)} and has {_listed(unknown)} too many; expected "
            f"{', '.join(wanted)}"
        )
    for name, array in wanted.items():
        values = found[name]
        if values.shape != array.shape or values.dtype.kind != "f":
            raise ShapeError(
                f"{where}: {name} is {values.dtype} {list(values.shape)}, expected floats "
                f"{list(array.shape)}"
            )
        with np.errstate(over="ignore"):
            found[name] = values.astype(np.float32)
        if not np.isfinite(found[name]).all():
            raise CheckpointError(f"{where}: {name} has values that are not finite")
        if (bound := least.get(name)) is not None and (found[name] < bound).any():
            raise CheckpointError(f"{where}: {name} has values below {bound:g}")
    for name, array in wanted.items():
        array.assign(found[name].astype(array.dtype))


def _listed(names: list[str]) -> str:
    """Names that may be a stranger's."""
    return _shortened(printable(", ".join(names)) or "nothing")


def _shortened(text: str) -> str:
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}..."
