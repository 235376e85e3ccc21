"""A compiled network as an ``.npz`` of CSR matrices, for scipy; nothing in it is pickled.

Arrays, for a layer of weights at the path ``1_linear``:

================== ===========================================================================
1_linear/data      float32, the connections
1_linear/indices   int32, their columns, ascending in a row
1_linear/indptr    int32, where each row begins
1_linear/shape     int64, ``[out, in]``, or ``[out, in*kh*kw]`` of a convolution
1_linear/gain      float32 by row, of a BatchNorm; only where there is one
1_linear/offset    float32 by row, of a bias or BatchNorm; only where there is one
1_linear/kept      int64, which rows of the trained network these are
network            a JSON text: T, input_shape, and the stages in order
mean, std          float32 by channel, of pixels scaled to 0..1; only where they are known
================== ===========================================================================

A stage computes ``gain * (W x) + offset``, charges its neurons with it as
``h = decay*v + drive*z + rest``, fires at ``h >= v_threshold``, resets to `v_reset` (`soft`:
subtracts the threshold), then pools, then takes the mean of `vote` neighbours. A stage without
weights has the path of its first layer in front of gain and offset.

>>> f = numpy.load("network.npz")
>>> W = scipy.sparse.csr_matrix((f["1_linear/data"], f["1_linear/indices"], f["1_linear/indptr"]),
...                             shape=f["1_linear/shape"])
"""

import io
import json
import math
import os
from pathlib import Path
from typing import Any

import numpy as np

from snnr.export.network import Exported, Source, exported, write_file
from snnr.sparse.form import Stage

FORMAT = 1


def write_npz(source: Source | Exported, path: str | os.PathLike[str], **options: Any) -> Path:
    """Write a network as CSR matrices (see above); returns the path.

    options : `input_shape`, `mean`, `std` and `T`, as `snnr.export.exported` has them.

    Raises
    ------
    ConfigError : a layer cannot be compiled.
    CheckpointError : the source is damaged, or the file cannot be written.
    """
    network = exported(source, **options)
    arrays: dict[str, Any] = {}
    stages = [_stage(stage, arrays) for stage in network.form.stages]
    about = {
        "format": "snnr-npz",
        "format_version": FORMAT,
        "T": network.T,
        "input_shape": list(network.form.input_shape),
        "stages": stages,
    }
    if network.normalisation is not None:
        arrays |= {"mean": network.normalisation.mean, "std": network.normalisation.std}
    buffer = io.BytesIO()
    np.savez_compressed(buffer, network=np.array(json.dumps(about)), **arrays)
    return write_file(path, buffer.getvalue())


def _stage(stage: Stage, arrays: dict[str, Any]) -> dict[str, Any]:
    """What the JSON says of a stage; its arrays are added."""
    path = stage.weight_name or stage.layers[0]
    described: dict[str, Any] = {
        "layers": list(stage.layers), "path": path, "input_shape": list(stage.input_shape),
        "current_shape": list(stage.current_shape), "output_shape": list(stage.output_shape),
        "vote": stage.vote,
    }  # fmt: skip
    weight = stage.weight
    if weight is not None:
        arrays |= {
            f"{path}/data": weight.data,
            f"{path}/indices": weight.indices.astype(np.int32),
            f"{path}/indptr": weight.indptr.astype(np.int32),
            f"{path}/shape": np.array([weight.shape[0], math.prod(weight.shape[1:])], np.int64),
            f"{path}/kept": stage.kept,
        }
        if weight.is_conv:
            described["kernel"] = {
                "shape": list(weight.shape), "stride": weight.stride, "padding": weight.padding,
            }  # fmt: skip
    for name, values in (("gain", stage.gain), ("offset", stage.offset)):
        if values is not None:
            arrays[f"{path}/{name}"] = values
    if stage.neuron is not None:
        keys = ("decay", "drive", "rest", "v_threshold", "v_reset", "soft")
        described["neuron"] = {key: getattr(stage.neuron, key) for key in keys}
    if stage.pool is not None:
        pool = stage.pool
        described["pool"] = {"kind": pool.kind, "size": pool.size, "stride": pool.stride}
    return described
