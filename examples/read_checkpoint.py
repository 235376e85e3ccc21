"""A checkpoint without snnr: h5py, SciPy and NumPy read it and classify MNIST's test images.

Run it with `python examples/read_checkpoint.py runs/<run>/checkpoint.h5` on a network of linear
layers (`snnr train mnist`). It prints the accuracy that `snnr eval` prints.
"""

import argparse
import gzip
import json
from pathlib import Path

import h5py
import numpy as np
from scipy.sparse import csr_matrix

MNIST = Path(__file__).resolve().parent.parent / "data" / "mnist"


def read_idx(path: Path, header: int) -> np.ndarray:
    """Bytes of an IDX file after its header."""
    with gzip.open(path) as file:
        return np.frombuffer(file.read(), np.uint8)[header:]


def weight(group: h5py.Group) -> csr_matrix:
    """The sparse weight [out, in] of a layer."""
    parts = (group["data"][()], group["indices"][()], group["indptr"][()])
    return csr_matrix(parts, shape=tuple(group.attrs["shape"]))


def linear(layer: h5py.Group, x: np.ndarray) -> np.ndarray:
    """Input [N, in], or [T, N, in] -> current of the same form."""
    matrix = weight(layer["weight"])
    rows = (matrix @ x.reshape(-1, x.shape[-1]).T).T
    if "bias" in layer:
        rows = rows + layer["bias"][()]
    return rows.reshape(*x.shape[:-1], -1)


def lif(current: np.ndarray, T: int, settings: h5py.AttributeManager) -> np.ndarray:
    """Leaky integrate-and-fire neurons: current [T, N, units], or [N, units] when it is the same
    at every step -> spikes [T, N, units].

    charge  h = v + (x - (v - v_reset)) / tau        fire  s = 1 where h >= v_threshold
    reset   v = v_reset where s = 1, else h
    """
    tau, threshold = np.float32(settings["tau"]), np.float32(settings["v_threshold"])
    reset = np.float32(settings["v_reset"])
    v = np.full(current.shape[-2:], reset)
    spikes = np.empty((T, *v.shape), np.float32)
    for t in range(T):
        x = current[t] if current.ndim == 3 else current
        h = v + (x - (v - reset)) / tau
        spikes[t] = h >= threshold
        v = np.where(spikes[t] > 0, reset, h)
    return spikes


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("checkpoint", type=Path)
    parser.add_argument("--images", type=int, default=10_000, help="test images to classify")
    options = parser.parse_args()

    pixels = read_idx(MNIST / "t10k-images-idx3-ubyte.gz", 16).reshape(-1, 784)
    labels = read_idx(MNIST / "t10k-labels-idx1-ubyte.gz", 8)[: options.images]

    with h5py.File(options.checkpoint) as file:
        data = json.loads(file["config"][()])["data"]
        plan = json.loads(file["network"].attrs["architecture"])
        x = (pixels[: options.images].astype(np.float32) / 255 - data["mean"][0]) / data["std"][0]
        x = x.astype(np.float32)
        for described in plan["layers"]:
            layer = file["network"][described["name"]]
            if described["type"] == "Linear":
                x = linear(layer, x)
            elif described["type"] == "LIF":
                x = lif(x, plan["T"], layer.attrs)
            elif described["type"] != "Flatten":
                parser.error(f"this example reads linear networks, not {described['type']}")
            print(f"{described['name']}: {x.shape[-1]} units")

    rate = x.mean(axis=0)
    print(f"accuracy {100 * np.mean(rate.argmax(axis=1) == labels):.2f} %")


if __name__ == "__main__":
    main()
