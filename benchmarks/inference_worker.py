"""A contender of `inference.py` in a process of its own: calls it for as long as it is told.

python inference_worker.py CONTENDER NETWORK.npz BATCH THREADS
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable
from typing import Any

import numpy as np
from networks import WORKS, Layer

Array = np.ndarray[Any, Any]
#: images -> rates
Call = Callable[[], Array]


def lif(z: Array, steps: int, static: bool) -> Array:
    """Spikes ``[T, ...]``, float32: tau 2, threshold 1, reset to 0."""
    v = np.zeros(z.shape if static else z.shape[1:], np.float32)
    out = np.empty((steps, *v.shape), np.float32)
    half = z * np.float32(0.5)
    for t in range(steps):
        h = np.float32(0.5) * v + (half if static else half[t])
        np.greater_equal(h, 1, out=out[t])
        v = h * (1 - out[t])
    return out


def snnr_network(layers: tuple[Layer, ...], params: dict[str, Array], name: str, T: int) -> Any:
    """The dense network."""
    import snnr

    network = snnr.models.MODELS[name](T=T).eval()
    for layer, made in zip(layers, network, strict=True):
        for short, array in made.arrays().items():
            array.assign(params[f"{layer.name}.{short}"])
    return network


def build(contender: str, params: dict[str, Array], name: str, T: int, images: Array) -> Call:
    """What is timed."""
    layers = WORKS[name].layers
    if contender in ("eager", "compile"):
        from peers.inference import build as build_peer

        return build_peer(contender, layers, params, T, images)
    if contender == "scipy":
        from scipy.sparse import csr_matrix

        first, second = (csr_matrix(params[f"fc{i}.weight"]) for i in (1, 2))
        flat = np.ascontiguousarray(images.reshape(len(images), -1).T)

        def multiply() -> Array:
            hidden = lif(first @ flat, T, True)  # [T, 800, N]
            wide = hidden.transpose(1, 0, 2).reshape(hidden.shape[1], -1)
            z = (second @ wide).reshape(-1, T, len(images)).transpose(1, 0, 2)
            return np.asarray(lif(z, T, False).mean(axis=0).T)

        return multiply
    import snnr

    network = snnr_network(layers, params, name, T)
    if contender == "dense":
        tensor = snnr.Tensor(images)

        def run() -> Array:
            with snnr.no_grad():
                return snnr.functional.mean_time(network(tensor)).numpy()

        return run
    engine = snnr.compile(network, input_shape=images.shape[1:])
    return lambda: engine.rates(images)


def main() -> None:
    """Entry point of the worker process."""
    contender, path, batch, threads = sys.argv[1:]
    # libraries print what they like: the protocol keeps the real stdout for itself
    out = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    with np.load(path) as file:
        meta = json.loads(str(file["meta"]))
        images = file["images"][: int(batch)]
        params = {key: file[key] for key in file.files if key not in ("meta", "images")}
    os.environ["SNNR_BENCHMARK_THREADS"] = threads
    call = build(contender, params, meta["work"], meta["T"], images)

    def answer(message: dict[str, Any]) -> None:
        out.write(json.dumps(message) + "\n")
        out.flush()

    for _ in range(3):
        rates = call()
    answer({"rates": rates.tolist()})
    for line in sys.stdin:
        ends = time.perf_counter() + json.loads(line)["seconds"]
        for _ in range(3):
            call()
        times = []
        while not times or time.perf_counter() < ends:
            start = time.perf_counter()
            call()
            times.append(time.perf_counter() - start)
        answer({"times": times})


if __name__ == "__main__":
    main()
