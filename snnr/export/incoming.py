"""Networks that were trained elsewhere: from NIR, or weights from an ``.npz``.

They train, prune and are saved here like any other; `snnr.optim.GradR` starts from their weights.
"""

import math
import os
import zipfile
import zlib
from pathlib import Path
from typing import Any, NoReturn

import h5py
import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray

from snnr.budget import Budget
from snnr.errors import CheckpointError, ShapeError
from snnr.export.nir import DT, package
from snnr.hdf5 import opened
from snnr.nn import IF, LIF, AvgPool2d, Conv2d, Flatten, Layer, Linear, MaxPool2d, Sequential

_MAX_GROUPS = 10_000


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
    ConfigError : the package `nir` is missing.
    """
    nir = package()
    _look_over(path)
    try:
        graph = nir.read(path)
        chain = _chain(graph)
    except CheckpointError:
        raise
    except Exception as error:  # the package checks little, and raises what it meets
        raise CheckpointError(f"{os.fspath(path)} is no NIR graph: {error}") from error
    metadata = graph.metadata if isinstance(graph.metadata, dict) else {}
    step = float(metadata.get("dt", DT)) if dt is None else dt
    reader = _Reader(step)
    for name, node in chain:
        reader.read(name, node)
    reader.close()
    steps = int(metadata.get("T", 8)) if T is None else T
    network = Sequential(*reader.layers, T=steps)
    for layer, arrays in reader.arrays:
        for short, values in arrays.items():
            layer.arrays()[short].assign(np.ascontiguousarray(values, np.float32))
    return network.eval()


def _look_over(path: str | os.PathLike[str]) -> None:
    """Links that lead elsewhere, and what would take more memory than the file may ask for, are
    refused before the package reads anything."""
    with opened(Path(path), CheckpointError, "NIR file", texts=False) as source:
        inside, groups = [source.root], 0
        while inside:
            group = inside.pop()
            groups += 1
            if groups > _MAX_GROUPS:
                source.fail("/", f"has more than {_MAX_GROUPS} groups, or one inside of itself")
            for name in source.names(group):
                child = source.child(group, name)
                if isinstance(child, h5py.Group):
                    inside.append(child)
                    continue
                if child.shape is None:
                    source.fail(child.name, "is empty")
                source.budget.take(math.prod(child.shape) * child.dtype.itemsize, child.name)
                if child.shape:
                    source.dataset(group, name)


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

    def __init__(self, dt: float) -> None:
        self.dt = dt
        self.layers: list[Layer] = []
        self.arrays: list[tuple[Layer, dict[str, NDArray[Any]]]] = []
        self.sum: tuple[str, int, int] | None = None

    def read(self, name: str, node: Any) -> None:
        """One more node."""
        kind = "Flatten" if node is None else type(node).__name__
        if self.sum is not None and kind != "Threshold":
            self._refuse(self.sum[0], "is a SumPool2d without a Threshold behind it")
        method = getattr(self, f"_{kind.lower()}", None)
        if method is None:
            self._refuse(name, f"is a {kind}, which snnr does not have")
        method(name, node)

    def close(self) -> None:
        """The chain ends here."""
        if self.sum is not None:
            self._refuse(self.sum[0], "is a SumPool2d without a Threshold behind it")

    def _refuse(self, name: str, why: str) -> NoReturn:
        raise CheckpointError(f"NIR node {name!r} {why}")

    def _one(self, name: str, what: str, values: Any) -> float:
        """The number that all entries are."""
        found = np.unique(np.asarray(values, np.float64))
        if found.size != 1:
            self._refuse(name, f"has {found.size} different values of {what}, expected one")
        return float(found[0])

    def _two(self, name: str, what: str, values: Any) -> tuple[int, int]:
        """A whole number for rows and one for columns."""
        found = np.asarray(values, np.float64).reshape(-1)
        if found.size not in (1, 2) or not (np.abs(found) < 1e9).all() or (found % 1 != 0).any():
            self._refuse(name, f"has {what} {values!r}, expected a whole number or two")
        return int(found[0]), int(found[-1])

    def _add(self, layer: Layer, **arrays: Any) -> None:
        self.layers.append(layer)
        if arrays:
            self.arrays.append((layer, arrays))

    def _flatten(self, name: str, node: Any) -> None:
        self._add(Flatten())

    def _linear(self, name: str, node: Any) -> None:
        outputs, inputs = node.weight.shape
        self._add(Linear(inputs, outputs, bias=False), weight=node.weight)

    def _affine(self, name: str, node: Any) -> None:
        outputs, inputs = node.weight.shape
        self._add(Linear(inputs, outputs), weight=node.weight, bias=node.bias)

    def _conv2d(self, name: str, node: Any) -> None:
        if isinstance(node.padding, str):
            self._refuse(name, f"has padding {node.padding!r}, expected a number")
        stride = self._two(name, "stride", node.stride)
        padding = self._two(name, "padding", node.padding)
        if self._one(name, "dilation", node.dilation) != 1:
            self._refuse(name, "has a dilation")
        groups = int(node.groups)
        outputs, inputs = node.weight.shape[:2]
        biased = bool(np.any(node.bias))
        layer = Conv2d(
            inputs * groups, outputs, node.weight.shape[2:], stride, padding, biased, groups=groups
        )
        self._add(layer, weight=node.weight, **({"bias": node.bias} if biased else {}))

    def _avgpool2d(self, name: str, node: Any) -> None:
        self._add(AvgPool2d(*self._window(name, node)))

    def _sumpool2d(self, name: str, node: Any) -> None:
        if not self.layers or not isinstance(self.layers[-1], IF):
            self._refuse(name, "sums what is no spike")
        self.sum = (name, *self._window(name, node))

    def _threshold(self, name: str, node: Any) -> None:
        if self.sum is None or not 0 <= self._one(name, "threshold", node.threshold) < 1:
            self._refuse(name, "is no Threshold in [0, 1) behind a SumPool2d")
        self._add(MaxPool2d(*self.sum[1:]))
        self.sum = None

    def _window(self, name: str, node: Any) -> tuple[int, int]:
        if self._one(name, "padding", node.padding) != 0:
            self._refuse(name, "pads, which pooling here does not")
        return tuple(int(self._one(name, key, getattr(node, key)))
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
        self._add(LIF(tau, threshold, reset, decay_input=decays))

    def _if(self, name: str, node: Any) -> None:
        threshold, reset = self._levels(name, node)
        r = self._one(name, "r", node.r)
        self._scale(name, 1.0 if r == 1 else r * self.dt)
        self._add(IF(threshold, reset))

    def _levels(self, name: str, node: Any) -> tuple[float, float]:
        """Threshold (NIR fires above it) and reset."""
        below = np.float32(self._one(name, "v_threshold", node.v_threshold))
        threshold = float(np.nextafter(below, np.float32(np.inf)))
        return threshold, self._one(name, "v_reset", node.v_reset)

    def _scale(self, name: str, r: float) -> None:
        """Multiply what comes in: in the weights in front."""
        if np.isclose(r, 1, rtol=1e-5):
            return
        if not self.arrays or self.arrays[-1][0] is not self.layers[-1]:
            self._refuse(name, f"has r = {r:g} and no weights in front that could have it instead")
        arrays = self.arrays[-1][1]
        for short in arrays:
            arrays[short] = arrays[short] * np.float32(r)


#: what zipfile and NumPy raise for a file that is damaged
_UNREADABLE = (
    OSError, ValueError, KeyError, EOFError, RuntimeError, NotImplementedError, TypeError,
    zipfile.BadZipFile, zlib.error, MemoryError, OverflowError, SyntaxError,
)  # fmt: skip


def _array(archive: zipfile.ZipFile, info: zipfile.ZipInfo, budget: Budget) -> NDArray[Any]:
    """One array; what it takes is counted from its header, before it is unpacked."""
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
    try:
        with zipfile.ZipFile(where) as archive:
            found = {
                info.filename.removesuffix(".npy"): _array(archive, info, budget)
                for info in archive.infolist()
            }
    except _UNREADABLE as error:
        raise CheckpointError(f"{where} is no .npz of arrays: {error}") from error
    missing, unknown = sorted(wanted.keys() - found.keys()), sorted(found.keys() - wanted.keys())
    if missing or unknown:
        raise CheckpointError(
            f"{where} lacks {', '.join(missing) or 'nothing'} and has "
            f"{', '.join(unknown) or 'nothing'} too many; expected {', '.join(wanted)}"
        )
    for name, array in wanted.items():
        values = found[name]
        if values.shape != array.shape or values.dtype.kind != "f":
            raise ShapeError(
                f"{where}: {name} is {values.dtype} {list(values.shape)}, expected floats "
                f"{list(array.shape)}"
            )
        if not np.isfinite(values.astype(np.float32)).all():
            raise CheckpointError(f"{where}: {name} has values that are not finite")
    for name, array in wanted.items():
        array.assign(found[name].astype(array.dtype))
