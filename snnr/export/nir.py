"""A compiled network as NIR, the Neuromorphic Intermediate Representation (extra `nir`).

NIR's equations are continuous: a reader steps ``tau*dv/dt = (v_leak - v) + r*I`` with its own `dt`
and fires at ``v > v_threshold``. So

- tau is ``tau*dt`` seconds, v_leak is v_reset, and r is 1 where the input decays too, else tau;
  of a neuron without leak r is ``1/dt``;
- the threshold is the float32 below ours, which fires at ``v >= v_threshold``: the same spikes;
- BatchNorm lies in weights and biases; votes are a Linear of ``1/votes``;
- max pooling of spikes is SumPool2d and Threshold(0.5), which is exact.

What readers know (snnTorch 1.0, Norse 1.1): both take Linear, Affine, Conv2d, Flatten, SumPool2d
and LIF. snnTorch takes AvgPool2d too, steps with dt = 1e-4, wants v_leak = v_reset = 0 and has an
IF of its own; Norse passes over AvgPool2d, takes dt as an argument and knows r = 1 alone. Neither
knows Threshold: hand ``nirtorch.nir_to_torch`` a module for it. Both read Flatten without a batch:
run such networks image by image.
"""

import io
import math
import os
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from snnr.errors import ConfigError, SnnrError
from snnr.export.c.program import first_weight
from snnr.export.network import Exported, Source, exported, write_file
from snnr.functional import Neuron
from snnr.sparse.form import Pool, Shape, Stage

DT = 1e-4


def package() -> Any:
    """The package `nir`.

    Raises
    ------
    ConfigError : it is not installed.
    """
    try:
        import nir
    except ImportError as error:
        raise ConfigError(f"NIR needs the package nir ({error}): pip install 'snnr[nir]'") from None
    return nir


def write_nir(
    source: Source | Exported, path: str | os.PathLike[str], dt: float = DT, **options: Any
) -> Path:
    """Write a network as a NIR graph (see above); returns the path.

    The input is what training normalised, without the batch; a network whose first layer is linear
    takes it flattened. The graph's metadata has dt, T, and mean and std where they are known.

    Parameters
    ----------
    dt : seconds of a time step.
    options : `input_shape`, `mean`, `std` and `T`, as `snnr.export.exported` has them.

    Raises
    ------
    ConfigError : the package is missing, or a layer does what NIR cannot say; it is named.
    CheckpointError : the source is damaged, or the file cannot be written.
    """
    nir = package()
    if not 0 < dt < math.inf:
        raise ConfigError(f"dt (={dt}) must be above 0")
    network = exported(source, **options)
    writer = _Graph(nir, dt, network.form.input_shape)
    for stage in network.form.stages:
        writer.stage(stage)
    metadata: dict[str, Any] = {"writer": "snnr", "dt": float(dt), "T": network.T}
    if network.normalisation is not None:
        metadata |= {"mean": network.normalisation.mean, "std": network.normalisation.std}
    graph = writer.graph(metadata)
    buffer: Any = io.BytesIO()
    try:
        nir.write(buffer, graph)
    except (TypeError, ValueError, OSError) as error:
        raise SnnrError(f"the package nir {nir.version} cannot write this: {error}") from error
    return write_file(path, buffer.getvalue())


class _Graph:
    """Nodes one behind the other."""

    def __init__(self, nir: Any, dt: float, shape: Shape) -> None:
        self.nir = nir
        self.dt = dt
        self.input_shape = self.shape = shape
        self.nodes: dict[str, Any] = {}
        self.spikes = False

    def add(self, kind: str, node: Any, shape: Shape) -> None:
        """One more node, and the shape behind it. Names are such that fx can make code of them."""
        self.nodes[f"{kind}_{len(self.nodes)}"] = node
        self.shape = shape

    def stage(self, stage: Stage) -> None:
        """The nodes of a stage."""
        if stage.weight is not None or stage.gain is not None:
            self._weight(stage)
        if stage.neuron is not None:
            self._neuron(stage.neuron, stage.neuron_name)
        if stage.pool is not None:
            self._pool(stage.pool, stage)
        if stage.vote > 1:
            self._flat()
            count = self.shape[0] // stage.vote
            each = np.repeat(np.eye(count, dtype=np.float32), stage.vote, axis=1)
            self.add("linear", self.nir.Linear(weight=each / np.float32(stage.vote)), (count,))
            self.spikes = False

    def _flat(self) -> None:
        """Behind images; in front of everything the input is flat itself."""
        if len(self.shape) == 1:
            return
        size = (math.prod(self.shape),)
        if not self.nodes:
            self.input_shape = self.shape = size
            return
        node = self.nir.Flatten({"input": np.array(self.shape)}, start_dim=0, end_dim=-1)
        self.add("flatten", node, size)

    def _weight(self, stage: Stage) -> None:
        weight = first_weight(stage)
        dense = weight.dense()
        if stage.gain is not None:
            dense = stage.gain.reshape(-1, *(1,) * (dense.ndim - 1)) * dense
        offset = stage.offset
        self.spikes = False
        if weight.is_conv:
            bias = np.zeros(len(dense), np.float32) if offset is None else offset
            two = (weight.stride,) * 2, (weight.padding,) * 2
            node = self.nir.Conv2d(
                input_shape=tuple(self.shape[1:]), weight=dense, stride=two[0], padding=two[1],
                dilation=(1, 1), groups=1, bias=bias,
            )  # fmt: skip
            self.add("conv2d", node, stage.current_shape)
            return
        self._flat()
        if offset is None:
            self.add("linear", self.nir.Linear(weight=dense), stage.current_shape)
        else:
            self.add("affine", self.nir.Affine(weight=dense, bias=offset), stage.current_shape)

    def _neuron(self, neuron: Neuron, name: str) -> None:
        if neuron.soft:
            raise ConfigError(
                f"{name} resets by subtraction, which NIR cannot say: train it with v_reset=0, or "
                "export it to c or npz"
            )

        def full(value: float) -> Any:
            return np.full(self.shape, value, np.float32)

        below = float(np.nextafter(np.float32(neuron.v_threshold), np.float32(-np.inf)))
        common = {"v_threshold": full(below), "v_reset": full(neuron.v_reset)}
        if neuron.decay == 1:
            self.add("if", self.nir.IF(r=full(1 / self.dt), **common), self.shape)
        else:
            tau = 1 / (1 - neuron.decay)
            node = self.nir.LIF(
                tau=full(tau * self.dt), r=full(neuron.drive * tau), v_leak=full(neuron.v_reset),
                **common,
            )  # fmt: skip
            self.add("lif", node, self.shape)
        self.spikes = True

    def _pool(self, pool: Pool, stage: Stage) -> None:
        sizes = {
            "kernel_size": np.array([pool.size] * 2), "stride": np.array([pool.stride] * 2),
            "padding": np.array([0, 0]),
        }  # fmt: skip
        if pool.kind == "avg":
            self.add("avgpool", self.nir.AvgPool2d(**sizes), stage.output_shape)
            self.spikes = False
            return
        if not self.spikes:
            raise ConfigError(
                f"{stage.layers[-1]} takes the maximum of what is no spike, which NIR cannot say: "
                "pool behind the neurons, or on average"
            )
        self.add("sumpool", self.nir.SumPool2d(**sizes), stage.output_shape)
        half = np.full(self.shape, 0.5, np.float32)
        self.add("threshold", self.nir.Threshold(threshold=half), self.shape)

    def graph(self, metadata: dict[str, Any]) -> Any:
        """All of it, from input to output."""
        nodes = {
            "input": self.nir.Input({"input": np.array(self.input_shape)}),
            **self.nodes,
            "output": self.nir.Output({"output": np.array(self.shape)}),
        }
        names = list(nodes)
        edges = list(pairwise(names))
        return self.nir.NIRGraph(nodes=nodes, edges=edges, metadata=metadata)
